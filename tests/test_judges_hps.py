"""HPS v2 against open_clip and torch called by hand, with a miniature in place of ViT-H-14."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
pytest.importorskip("transformers")  # of the miniatures

from evalkit.errors import ModelError  # noqa: E402
from evalkit.metrics import hps  # noqa: E402
from tests import judge_miniatures  # noqa: E402

PROMPTS = ["a red circle", "a green house at sea", "a red circle above a blue star " * 20]
SIZES = [(64, 64), (64, 32), (24, 48)]
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


@pytest.fixture(autouse=True)
def architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name ViT-H-14 stands for a miniature."""
    from open_clip import factory

    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-H-14", judge_miniatures.CLIP)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A miniature checkpoint, and its model in float32."""
    file = tmp_path_factory.mktemp("mini-hps") / "HPS_v2_compressed.pt"
    return file, judge_miniatures.hps(file)


@pytest.fixture
def scorer(made: tuple) -> hps.HpsScorer:
    return hps.load(str(made[0]), None)


def seen_by_hand(image: Any) -> Any:
    """The longer side scaled to 32, the rest filled with black on both sides, normalised."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
    height, width = (round(side * 32 / max(image.size)) for side in image.size[::-1])
    scaled = torch.nn.functional.interpolate(
        pixels, (height, width), mode="bicubic", antialias=True, align_corners=False
    )[0]
    whole = torch.zeros(3, 32, 32)
    top, left = (32 - height) // 2, (32 - width) // 2
    whole[:, top : top + height, left : left + width] = scaled
    return (whole - MEAN) / DEVIATION


def by_hand(model: Any, images: list) -> list[float]:
    tokens = open_clip.tokenize(PROMPTS)
    with torch.no_grad():
        pictures = model.encode_image(torch.stack([seen_by_hand(image) for image in images]))
        return (100 * torch.cosine_similarity(pictures, model.encode_text(tokens))).tolist()


def test_scores_are_a_hundred_times_the_cosine(made: tuple, scorer: hps.HpsScorer) -> None:
    images = judge_miniatures.pictures(SIZES)
    scores = scorer.score([scorer.prepare(image) for image in images], PROMPTS)
    assert scores == pytest.approx(by_hand(made[1], images), abs=1e-4)
    assert np.ptp(scores) > 1  # the images are told apart


def test_the_weights_are_computed_with_in_float32(scorer: hps.HpsScorer) -> None:
    assert {tensor.dtype for tensor in scorer._model.parameters()} == {torch.float32}
    assert not scorer._model.training


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (32, 16), (90, 41), (7, 64), (640, 1)])
def test_every_image_is_shown_whole_on_black(scorer: hps.HpsScorer, size: tuple[int, int]) -> None:
    (image,) = judge_miniatures.pictures([size])
    seen = scorer.prepare(image)
    assert seen.shape == (3, 32, 32)
    if size != (640, 1):  # whose shorter side would be less than a pixel
        assert seen.numpy() == pytest.approx(seen_by_hand(image).numpy(), abs=1e-5)
    if size == (32, 16):  # black above and below: (0 - mean) / deviation
        assert seen[:, 7] == pytest.approx((-MEAN / DEVIATION)[:, 0].expand(3, 32))
        assert seen[:, 24] == pytest.approx((-MEAN / DEVIATION)[:, 0].expand(3, 32))


def test_a_batch_gives_what_single_images_give_and_embeddings_can_be_kept(
    scorer: hps.HpsScorer,
) -> None:
    prepared = [scorer.prepare(image) for image in judge_miniatures.pictures(SIZES)]
    pairs = zip(prepared, PROMPTS, strict=True)
    single = [scorer.score([one], [prompt])[0] for one, prompt in pairs]
    assert scorer.score(prepared, PROMPTS) == pytest.approx(single, abs=1e-4)
    images, texts = scorer.encode_images(prepared), scorer.encode_texts(PROMPTS)
    assert images.dtype == texts.dtype == np.float32
    assert np.linalg.norm(images, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert scorer.compare(images, texts).tolist() == scorer.score(prepared, PROMPTS)


@pytest.mark.parametrize(("words", "truncated"), [(75, False), (76, True), (90, True)])
def test_truncation_begins_past_75_words_and_keeps_the_end_token(
    scorer: hps.HpsScorer, words: int, truncated: bool
) -> None:
    prompt = " ".join(["star"] * words)
    assert scorer.is_truncated(prompt) is truncated
    tokens = scorer._tokenizer([prompt])[0]
    assert tokens[min(words + 1, 76)] == 49407
    first = " ".join(["star"] * 75)
    assert scorer.encode_texts([prompt]) == pytest.approx(scorer.encode_texts([first]), abs=1e-6)


def test_a_checkpoint_of_another_shape_is_one_sentence(made: tuple, tmp_path: Path) -> None:
    saved = torch.load(made[0], weights_only=True)
    saved["state_dict"]["text_projection"] = torch.zeros(32, 24)
    torch.save(saved, tmp_path / "wrong.pt")
    with pytest.raises(ModelError, match=r"do not fit.* 1 differ, the first is text_projection"):
        hps.load(str(tmp_path / "wrong.pt"), None)
    del saved["state_dict"]["logit_scale"]
    torch.save(saved, tmp_path / "part.pt")
    with pytest.raises(ModelError, match=r"do not fit.* 2 differ") as caught:
        hps.load(str(tmp_path / "part.pt"), None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weights", [None, "v2", "v2.1"])
def test_both_versions_come_from_the_cache_of_the_hub(
    made: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str | None
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"xswu/HPSv2/HPS_v2.*not on this machine.*hub"):
        hps.load(weights, None)
    name = {"v2": "HPS_v2_compressed.pt"}.get(weights, "HPS_v2.1_compressed.pt")
    snapshot = judge_miniatures.cached(tmp_path, "xswu/HPSv2")
    (snapshot / name).write_bytes(made[0].read_bytes())
    scorer = hps.load(weights, None)
    assert scorer.weights == f"xswu/HPSv2/{name}@{judge_miniatures.COMMIT}"
    assert hps.load(scorer.weights, None).weights == scorer.weights


def test_an_unknown_version_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r'no file "v3"; allowed are v2, v2\.1, a local'):
        hps.load("v3", None)
