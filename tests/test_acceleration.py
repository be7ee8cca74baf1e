"""Acceleration: the memory layout and the compiled parts give the image that the library gives."""

import functools
import shutil
import types

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0

from evalkit.errors import ModelError
from evalkit.models import resolve
from evalkit.pipelines import acceleration, load_pipeline
from evalkit.pipelines.loading import load_library_pipeline
from evalkit.pipelines.noise import noise_seed
from tests.miniatures import requests, small

REQUESTS = requests(["a red cat", "two green dogs"], [0, 1])


def model(made, **changes):
    return resolve("m", small("scenes-base", made["scenes_base"], steps=2, **changes), "m")


def pixels(results):
    return np.stack([np.asarray(result.image).astype(int) for result in results])


@pytest.fixture()
def untranslated(monkeypatch):
    """Compile without the step that takes a C++ compiler: graphs and guards stay."""
    compile_ = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(
        acceleration.torch,
        "compile",
        lambda run, mode, dynamic: compile_(run, dynamic=dynamic),
    )


def test_the_layout_changes_no_grey_level(made):
    spec = model(made)
    library = load_library_pipeline(spec, torch.float32)
    library.set_progress_bar_config(disable=True)
    given = [
        torch.Generator("cpu").manual_seed(noise_seed(request.prompt, request.seed))
        for request in REQUESTS
    ]
    stock = library(
        [request.prompt for request in REQUESTS],
        generator=given,
        num_inference_steps=spec.steps,
        guidance_scale=spec.guidance,
        width=spec.width,
        height=spec.height,
        output_type="np",
    ).images
    loaded = load_pipeline(spec, "cpu")
    weight = loaded.library.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert loaded.made_with["memory_format"] == "channels_last"
    assert loaded.made_with["compiled"] == []
    assert abs(pixels(loaded.render(REQUESTS)) - (stock * 255).round()).max() <= 1


def test_attention_is_the_fused_one(made):
    for compiled in (False, True):
        library = load_pipeline(model(made, compile=compiled), "cpu").library
        kinds = {type(processor) for processor in library.unet.attn_processors.values()}
        assert kinds == {AttnProcessor2_0}


def test_compiled_parts_give_the_same_image_at_every_batch_size(made, untranslated):
    plain = load_pipeline(model(made), "cpu")
    compiled = load_pipeline(model(made, compile=True), "cpu")
    assert compiled.made_with["compiled"] == ["unet", "vae.decoder", "text_encoder"]
    for batch in (REQUESTS, REQUESTS[:1], REQUESTS):
        assert abs(pixels(compiled.render(batch)) - pixels(plain.render(batch))).max() <= 1


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_what_the_compiler_gives_is_the_library_s_image():
    """The real compiler, on a decoder that takes it seconds and not minutes."""
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    sizes = {"decoder_block_out_channels": (8, 8), "encoder_block_out_channels": (8, 8)}
    counts = {"num_decoder_blocks": (1, 1), "num_encoder_blocks": (1, 1)}
    vae = AutoencoderTiny(**sizes, **counts).eval()
    latents = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        expected = vae.decode(latents).sample
        library = types.SimpleNamespace(vae=vae, components={"vae": vae})
        acceleration.accelerate(library, torch.device("cpu"), True, "models.m")
        found = vae.decode(latents).sample
    assert torch.allclose(found, expected, atol=1 / 255)
    assert not torch.equal(found, torch.zeros_like(found))


def test_results_are_copies_that_the_next_call_leaves_alone(monkeypatch):
    """A CUDA graph writes each result into the same memory."""
    memory = torch.zeros(3)

    class Part(torch.nn.Module):
        def forward(self, value: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"sample": memory.copy_(value)}

    monkeypatch.setattr(acceleration.torch, "compile", lambda run, mode, dynamic: run)
    part = Part()
    part.forward = acceleration._compiled(part, torch.device("cpu"), "models.m: unet")
    first = part(torch.ones(3))["sample"]
    part(torch.full((3,), 2.0))
    assert first.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("kind", "mode"), [("cuda", "reduce-overhead"), ("cpu", "default")])
def test_a_gpu_runs_cuda_graphs_of_fixed_shapes(monkeypatch, kind, mode):
    asked = {}
    monkeypatch.setattr(acceleration.torch, "compile", lambda run, **given: asked.update(given))
    acceleration._compiled(torch.nn.Linear(1, 1), torch.device(kind), "models.m: unet")
    assert asked == {"mode": mode, "dynamic": False}


def test_only_a_single_prompt_is_encoded_compiled():
    run = acceleration._for_one(lambda ids: "compiled", lambda ids: "plain")
    assert [run(torch.zeros(n, 77)) for n in (1, 2, 5)] == ["compiled", "plain", "plain"]


def test_no_compiler_is_one_sentence(made, monkeypatch):
    from torch._inductor import cpp_builder, exc

    def absent(*args: object) -> str:
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", absent)
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    torch._dynamo.reset()
    pipeline = load_pipeline(model(made, compile=True), "cpu")
    with pytest.raises(ModelError, match=r"models\.m: \w+ cannot be compiled .*g\+\+") as caught:
        pipeline.render(REQUESTS[:1])
    assert "\n" not in str(caught.value)
