"""PickScore against the library called by hand, on a miniature CLIP of the real classes."""

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("open_clip")

from evalkit.errors import ModelError  # noqa: E402
from evalkit.metrics import pick_score  # noqa: E402
from tests import judge_miniatures  # noqa: E402

PROMPTS = ["a red star", "two cats", "a red star " * 9]
SIZES = [(64, 64), (96, 48), (40, 80)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, transformers.CLIPModel]:
    """A miniature checkpoint, and its model before it was saved."""
    folder = tmp_path_factory.mktemp("mini-pick")
    return folder, judge_miniatures.pick_score(folder)


@pytest.fixture(scope="module")
def scorer(made: tuple) -> pick_score.PickScorer:
    return pick_score.load(str(made[0]), None)


def by_hand(made: tuple) -> list[float]:
    """The diagonal of the model's own logits, with the processor that the folder names."""
    folder, model = made
    processor = transformers.CLIPProcessor(
        transformers.CLIPImageProcessorPil.from_pretrained(folder),
        transformers.CLIPTokenizer.from_pretrained(folder),
    )
    inputs = processor(
        text=PROMPTS,
        images=judge_miniatures.pictures(SIZES),
        padding=True,
        truncation=True,
        max_length=24,
        return_tensors="pt",
    )
    with torch.no_grad():
        return model(**inputs).logits_per_text.diag().tolist()


def test_scores_equal_the_logits_of_the_model(made: tuple, scorer: pick_score.PickScorer) -> None:
    prepared = [scorer.prepare(image) for image in judge_miniatures.pictures(SIZES)]
    scores = scorer.score(prepared, PROMPTS)
    assert scores == pytest.approx(by_hand(made), abs=1e-4)
    assert np.ptp(scores) > 1  # the images are told apart


def test_a_batch_gives_what_single_images_give(scorer: pick_score.PickScorer) -> None:
    prepared = [scorer.prepare(image) for image in judge_miniatures.pictures(SIZES)]
    single = [
        scorer.score([one], [prompt])[0] for one, prompt in zip(prepared, PROMPTS, strict=True)
    ]
    assert scorer.score(prepared, PROMPTS) == pytest.approx(single, abs=1e-4)


def test_kept_embeddings_give_the_same_scores(scorer: pick_score.PickScorer) -> None:
    prepared = [scorer.prepare(image) for image in judge_miniatures.pictures(SIZES)]
    images, texts = scorer.encode_images(prepared), scorer.encode_texts(PROMPTS)
    assert images.dtype == texts.dtype == np.float32
    assert images.shape == texts.shape == (3, 16)
    assert np.linalg.norm(images, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert np.linalg.norm(texts, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert scorer.compare(images, texts).tolist() == scorer.score(prepared, PROMPTS)
    cosine = scorer.compare(images, images)
    assert cosine == pytest.approx([100, 100, 100], abs=1e-4)  # the scale of PickScore v1


def test_an_image_is_scaled_by_its_shorter_side_and_cropped(
    scorer: pick_score.PickScorer,
) -> None:
    (wide,) = judge_miniatures.pictures([(96, 48)])
    middle = wide.resize((64, 32), 3).crop((16, 0, 48, 32))  # 3: bicubic
    mean, deviation = (
        np.array([0.48145466, 0.4578275, 0.40821073]),
        np.array([0.26862954, 0.26130258, 0.27577711]),
    )
    expected = ((np.asarray(middle) / 255 - mean) / deviation).transpose(2, 0, 1)
    assert scorer.prepare(wide).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("letters", "truncated"), [(22, False), (23, True), (40, True)])
def test_truncation_begins_past_the_limit_and_keeps_the_end_token(
    scorer: pick_score.PickScorer, letters: int, truncated: bool
) -> None:
    """A word of the miniature is a letter; of 24 tokens two are beginning and end."""
    prompt = " ".join("x" * letters)
    assert scorer.is_truncated(prompt) is truncated
    tokens = scorer._tokenizer([prompt], truncation=True, max_length=24)["input_ids"][0]
    assert tokens[-1] == 1
    assert len(tokens) == min(letters + 2, 24)
    first = " ".join("x" * 22)
    if truncated:
        assert scorer.encode_texts([prompt]) == pytest.approx(
            scorer.encode_texts([first]), abs=1e-6
        )


def test_the_positions_that_older_files_carry_are_left(made: tuple, tmp_path: Path) -> None:
    """Files of 2023, PickScore v1 among them, hold the numbers of the positions as a tensor."""
    from safetensors.torch import load_file, save_file

    for file in made[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(made[0] / "model.safetensors")
    tensors["text_model.embeddings.position_ids"] = torch.arange(24)[None]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    scorer = pick_score.load(str(tmp_path), None)
    prepared = [scorer.prepare(image) for image in judge_miniatures.pictures(SIZES)]
    assert scorer.score(prepared, PROMPTS) == pytest.approx(by_hand(made), abs=1e-4)


def test_half_a_checkpoint_is_refused_rather_than_filled_at_random(
    tmp_path: Path,
) -> None:
    from safetensors.torch import load_file, save_file

    judge_miniatures.pick_score(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    del tensors["visual_projection.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"not fit the CLIP.*\(1 tensors.*visual_projection\.weight"
    ):
        pick_score.load(str(tmp_path), None)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "could not be loaded"),
        (lambda folder: (folder / "config.json").unlink(), "have no config.json"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "could not be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"half"), "could not be loaded"),
    ],
)
def test_a_folder_with_a_file_missing_or_broken_is_one_sentence(
    tmp_path: Path, spoil, sentence: str
) -> None:
    judge_miniatures.pick_score(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ModelError, match=sentence) as caught:
        pick_score.load(str(tmp_path), None)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    judge_miniatures.pick_score(tmp_path)
    for file in [*tmp_path.glob("tokenizer*"), *tmp_path.glob("vocab*"), *tmp_path.glob("merges*")]:
        file.unlink()
    with pytest.raises(ModelError) as caught:
        pick_score.load(str(tmp_path), None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "other", "first"),
    [
        ("projection_dim", 24, "text_projection.weight"),
        ("num_hidden_layers", 1, "text_model.encoder.layers.1"),
        ("num_hidden_layers", 3, "text_model.encoder.layers.2"),
    ],
)
def test_a_config_of_another_shape_is_one_sentence(
    tmp_path: Path, size: str, other: int, first: str
) -> None:
    judge_miniatures.pick_score(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(re.sub(rf'"{size}": \d+', f'"{size}": {other}', config.read_text()))
    with pytest.raises(ModelError, match=f"not fit the CLIP.*the first is {first}") as caught:
        pick_score.load(str(tmp_path), None)
    assert "\n" not in str(caught.value)


def test_a_folder_as_the_processor_saves_it_is_read_alike(made: tuple, tmp_path: Path) -> None:
    made[1].save_pretrained(tmp_path)
    transformers.CLIPProcessor(
        transformers.CLIPImageProcessorPil.from_pretrained(made[0]),
        transformers.CLIPTokenizer.from_pretrained(made[0]),
    ).save_pretrained(tmp_path)
    scorer = pick_score.load(str(tmp_path), None)
    prepared = [scorer.prepare(image) for image in judge_miniatures.pictures(SIZES)]
    assert scorer.score(prepared, PROMPTS) == pytest.approx(by_hand(made), abs=1e-4)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    judge_miniatures.pick_score(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    judge_miniatures.code(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="hold more than tensors, or are damaged") as caught:
        pick_score.load(str(tmp_path), None)
    assert "\n" not in str(caught.value)


def test_the_default_comes_from_the_cache_of_the_hub_and_is_named_by_its_commit(
    made: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"PickScore_v1.*not on this machine.*hub"):
        pick_score.load(None, None)
    snapshot = judge_miniatures.cached(tmp_path, pick_score.WEIGHTS)
    for file in made[0].iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    scorer = pick_score.load(None, None)
    assert scorer.weights == f"yuvalkirstain/PickScore_v1@{judge_miniatures.COMMIT}"
    again = pick_score.load(scorer.weights, None)  # what the table names can be asked for
    assert again.weights == scorer.weights
