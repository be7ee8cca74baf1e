"""Every family that runs in one library pipeline: the library's pixels, its own noise, each text
encoded once."""

import inspect
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from evalkit.errors import StudyError
from evalkit.pipelines import OutOfMemoryError
from tests import miniatures
from tests.families import FAMILIES, by_hand, checkpoints, load, pixels

PROMPTS = ["a red cat", "two green dogs", "a red cat", "a house"]
SEEDS = [0, 0, 1, 5]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return checkpoints(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    """Four requests, each with an input image of its own, 32x32."""
    root = tmp_path_factory.mktemp("inputs")
    found = []
    for request in miniatures.requests(PROMPTS, SEEDS):
        noise = np.random.default_rng(len(found)).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(root / f"{request.prompt_id}.png")
        found.append(replace(request, input_image=root / f"{request.prompt_id}.png"))
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_what_the_library_makes(made, requests, name):
    loaded = load(name, made)
    assert loaded.made_with["pipeline"] == FAMILIES[name].kind.__name__
    found = pixels(loaded.render(requests))
    assert np.abs(found - by_hand(name, made, requests)).max() <= 1
    assert found.std(axis=(1, 2, 3)).min() > 5  # there is something to be compared


@pytest.mark.parametrize("name", FAMILIES)
def test_an_image_depends_on_its_prompt_and_seed_alone(made, requests, name):
    loaded = load(name, made)
    together = pixels(loaded.render(requests))
    alone = np.concatenate([pixels(loaded.render([request])) for request in requests])
    backwards = pixels(loaded.render(requests[::-1]))[::-1]
    assert np.abs(together - alone).max() <= 1
    assert np.abs(together - backwards).max() <= 1
    one, other = (replace(requests[0], seed=seed) for seed in (0, 1))
    first, second = pixels(loaded.render([one, other]))
    assert np.abs(first - second).max() > 1


def test_noise_that_a_pipeline_does_not_seed_is_seeded(made, requests):
    """FluxPipeline does not tell its scheduler the generators; then the library's draws differ."""
    loaded = load("flux", made, scheduler_settings={"stochastic_sampling": True})
    together = pixels(loaded.render(requests))
    alone = np.concatenate([pixels(loaded.render([request])) for request in requests])
    assert np.abs(together - alone).max() <= 1
    deterministic = pixels(load("flux", made).render(requests))
    assert np.abs(together - deterministic).max() > 5


TEXT = ("flux-negative",)  # take text: all of it, and the negative prompt
ENCODED = [name for name in FAMILIES if name not in TEXT]


@pytest.mark.parametrize("name", ENCODED)
def test_each_prompt_is_encoded_once(made, requests, name):
    """By every text encoder; a batch keeps what the one before encoded."""
    loaded = load(name, made)
    texts: dict[str, Counter] = {}
    for part, module in loaded.library.components.items():
        if part.startswith("text_encoder"):
            seen = texts[part] = Counter()

            def count(module, args, kwargs, seen=seen):
                rows = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
                seen.update(tuple(row) for row in rows.tolist())

            module.register_forward_pre_hook(count, with_kwargs=True)
    second = [requests[3], replace(requests[3], seed=6), replace(requests[1], prompt="a blue bird")]
    found = pixels(loaded.render(requests)), pixels(loaded.render(second))
    kind = loaded.library.__class__.__name__  # those of SDXL have zeros for no negative prompt
    guided = kind.startswith(("StableDiffusionPipeline", "StableDiffusion3", "SanaPipe", "Amused"))
    guided = guided and FAMILIES[name].call["guidance_scale"] > 1
    for seen in texts.values():
        negative = {max(seen, key=seen.__getitem__)} if guided else set()
        assert len(set(seen) - negative) == 4  # distinct prompts of both batches
        assert {seen[row] for row in set(seen) - negative} == {1}
    fresh = pixels(load(name, made).render(second))
    assert np.abs(found[1] - fresh).max() <= 1


def test_prompts_of_a_call_that_failed_are_encoded_anew(made, requests, monkeypatch):
    """With the smaller batch after out of memory they are encoded in that batch's company."""
    loaded = load("sdxl-turbo", made)
    encoded = []
    loaded.library.text_encoder.register_forward_pre_hook(
        lambda module, args: encoded.append(len(args[0]))
    )
    with monkeypatch.context() as patch:
        patch.setattr(loaded.library.unet, "forward", _out_of_memory)
        with pytest.raises(OutOfMemoryError):
            loaded.render(requests)
    loaded.render(requests[:1])
    assert encoded == [3, 1]  # distinct prompts of each call


def _out_of_memory(*args, **kwargs):
    raise torch.OutOfMemoryError("full")


@pytest.mark.parametrize("name", ENCODED)
def test_encode_gives_what_the_library_s_call_takes(made, requests, name):
    loaded = load(name, made)
    given = loaded.encode(["a red cat", "two green dogs", "a red cat"])
    embeds = given["prompt_embeds"]
    assert len(embeds) == 3
    assert torch.equal(embeds[0], embeds[2])
    assert not torch.allclose(embeds[0], embeds[1], atol=1e-3)  # the tokenizer tells them apart
    assert not any(tensor.requires_grad for tensor in given.values() if tensor is not None)
    assert set(given) <= set(inspect.signature(loaded.library.__call__).parameters)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_denoiser_is_not_searched_for_its_device(made, requests, name):
    """It has thousands of modules, and the library would ask each, several times in a call."""
    loaded = load(name, made)
    asked = []
    denoiser = getattr(loaded.library, "unet", None) or loaded.library.transformer
    denoiser.modules = lambda: asked.append(1) or iter([])
    assert pixels(loaded.render(requests[:1])).any()
    assert asked == []


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("bias", "reason"), [(float("nan"), "not finite"), (-1e4, "black")])
def test_images_that_cannot_be_shown_have_a_reason(made, requests, name, bias, reason):
    loaded = load(name, made)
    vae = loaded.library.vqvae if name == "amused" else loaded.library.vae
    [*_, last] = (m for m in vae.decoder.modules() if isinstance(m, torch.nn.Conv2d))
    last.bias.data.fill_(bias)
    results = loaded.render(requests[:2])
    assert [(result.status, result.image) for result in results] == [("failed", None)] * 2
    assert all(reason in result.reason for result in results)


@pytest.mark.parametrize("name", ["sd-turbo-image", "sdxl-image"])
@pytest.mark.parametrize(("steps", "strength", "run"), [(2, 0.5, 1), (5, 0.5, 2), (3, 1.0, 3)])
def test_image_to_image_runs_the_steps_that_strength_leaves(
    made, requests, name, steps, strength, run
):
    loaded = load(name, made, steps=steps, strength=strength)
    calls = []
    loaded.library.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    loaded.render(requests)
    assert len(calls) == run


def test_an_input_image_of_another_size_gives_its_middle(made, requests, tmp_path):
    loaded = load("sdxl-image", made)
    inner = np.asarray(Image.open(requests[0].input_image))
    wide = np.zeros((32, 64, 3), np.uint8)
    wide[:, 16:48] = inner
    Image.fromarray(wide).save(tmp_path / "wide.png")
    [found] = pixels(loaded.render([replace(requests[0], input_image=tmp_path / "wide.png")]))
    [expected] = pixels(loaded.render(requests[:1]))
    assert (found == expected).all()


def test_image_to_image_that_would_run_no_step_is_refused(made):
    with pytest.raises(StudyError, match=r"runs int\(1 \* 0.5\) = 0 steps; at least 1 is needed"):
        load("sd-turbo-image", made, steps=1)
