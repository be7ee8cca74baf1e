"""VQAScore and the judge against direct computations on miniatures of real model classes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evalkit.analysis.judge_bias import judge_bias
from evalkit.errors import EvalkitError, ModelError
from evalkit.metrics import vlm_judge, vqa_score
from evalkit.metrics.loading import vision_language
from evalkit.metrics.loading.vision_language import VisionLanguageModel

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("torchvision")

from tests import vision_language_miniatures as mini  # noqa: E402

PROMPTS = ["a red cat", "two", 'a sign that says "open"', "ein Haus am Meer, groß"]
QUESTION = "Which image is better?"


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini.qwen3_vl(tmp_path_factory.mktemp("models") / "qwen")


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini.llava(tmp_path_factory.mktemp("models") / "llava")


@pytest.fixture(params=["qwen", "llava"])
def checkpoint(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def pictures() -> list[Image.Image]:
    """Images of noise, of four sizes."""
    rng = np.random.default_rng(0)
    sizes = [(64, 40), (48, 56), (56, 72), (64, 88)]
    return [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in sizes
    ]


def next_token(folder: Path, asked: str, images: list[Image.Image]) -> np.ndarray:
    """The next token's probabilities over the vocabulary, from one forward pass over one text."""
    is_qwen = "qwen" in json.loads((folder / "config.json").read_text())["model_type"]
    kind = (
        transformers.Qwen3VLForConditionalGeneration
        if is_qwen
        else transformers.LlavaForConditionalGeneration
    )
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    text = asked.replace("<image>", mini.QWEN_IMAGE if is_qwen else "<image>")
    inputs = processor(text=[text], images=images, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits[0, -1].double().numpy()
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def token(folder: Path, word: str) -> int:
    return json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"][word]


def test_a_vqa_score_is_the_probability_of_yes_over_the_vocabulary(checkpoint: Path) -> None:
    scores = vqa_score.load(str(checkpoint), None).score(pictures(), PROMPTS)
    witness = [
        next_token(
            checkpoint,
            f'<|start|>user\n<image>Does this figure show "{prompt}"? Please answer yes or no.'
            "<|end|>\n<|start|>assistant\n",
            [image],
        )[token(checkpoint, "Yes")]
        for image, prompt in zip(pictures(), PROMPTS, strict=True)
    ]
    assert scores == pytest.approx(witness, rel=1e-3)
    assert max(witness) > 1.5 * min(witness)  # the witness tells images apart


def test_a_judgement_is_the_first_answer_against_the_second(checkpoint: Path) -> None:
    first, second = pictures()[:2], pictures()[2:]
    judged = vlm_judge.load(str(checkpoint), None).prefers_first(
        first, second, ["a red cat", ""], QUESTION
    )
    witness = []
    for pair, made_for in [
        ((first[0], second[0]), 'Both images were made for the prompt "a red cat". '),
        ((first[1], second[1]), ""),
    ]:
        asked = (
            f"<|start|>user\nImage A:<image>Image B:<image>{made_for}{QUESTION} "
            "Answer with the letter A or B only.<|end|>\n<|start|>assistant\n"
        )
        likely = next_token(checkpoint, asked, list(pair))
        a, b = likely[token(checkpoint, "A")], likely[token(checkpoint, "B")]
        witness.append(a / (a + b))
    assert judged == pytest.approx(witness, abs=1e-4)
    assert abs(witness[0] - witness[1]) > 0.001


def test_a_batch_gives_what_single_images_give(checkpoint: Path) -> None:
    scorer = vqa_score.load(str(checkpoint), None)
    single = [
        scorer.score([image], [prompt])[0]
        for image, prompt in zip(pictures(), PROMPTS, strict=True)
    ]
    assert scorer.score(pictures(), PROMPTS) == pytest.approx(single, rel=1e-3)
    judge = vlm_judge.load(str(checkpoint), None)
    first, second = pictures(), pictures()[::-1]
    alone = [
        judge.prefers_first([a], [b], [prompt], QUESTION)[0]
        for a, b, prompt in zip(first, second, PROMPTS, strict=True)
    ]
    assert judge.prefers_first(first, second, PROMPTS, QUESTION) == pytest.approx(alone, abs=1e-4)


def test_a_folder_is_named_by_its_content_and_known_without_loading(
    qwen: Path, tmp_path: Path
) -> None:
    scorer = vqa_score.load(str(qwen), None)
    assert scorer.weights.startswith("qwen@")
    assert vqa_score.identify(str(qwen), None) == scorer.weights
    assert vlm_judge.identify(str(qwen), None) == scorer.weights
    other = mini.qwen3_vl(tmp_path / "qwen", seed=7)
    assert vqa_score.identify(str(other), None) != scorer.weights
    before = vqa_score.identify(str(other), None)
    (other / "chat_template.jinja").write_text("{{ messages }}")  # the request is part of it
    assert vqa_score.identify(str(other), None) != before


def test_it_says_that_no_prompt_is_cut(qwen: Path) -> None:
    assert vqa_score.load(str(qwen), None).is_truncated("a red cat " * 100) is False


def test_parameters_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = mini.qwen3_vl(tmp_path / "qwen")
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 parameters.*lm_head\.weight") as caught:
        vqa_score.load(str(folder), None)
    assert "\n" not in str(caught.value)


def test_parameters_of_another_shape_get_one_sentence(tmp_path: Path) -> None:
    folder = mini.qwen3_vl(tmp_path / "qwen")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["hidden_size"] = 48
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="could not be loaded") as caught:
        vqa_score.load(str(folder), None)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_splits_an_answer_is_refused(tmp_path: Path) -> None:
    folder = mini.qwen3_vl(tmp_path / "qwen", answers=("No", "A", "B"))
    with pytest.raises(ModelError, match="not one token of its own for each of Yes"):
        vqa_score.load(str(folder), None)
    vlm_judge.load(str(folder), None)  # has both of its answers


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    folder = mini.llava(tmp_path / "llava")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="without a chat template"):
        vlm_judge.load(str(folder), None)


@pytest.mark.parametrize("metric", [vqa_score, vlm_judge])
def test_the_hub_that_cannot_be_reached_is_named(
    metric: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(ModelError, match=r"Qwen/Qwen3-VL-4B-Instruct.*the hub \(OSError\)"):
        metric.load(None, None)
    with pytest.raises(ModelError, match=r'no folder "/nowhere/at/all"'):
        metric.load("/nowhere/at/all", None)


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r'vqa_score.*pip install "evalkit\[metrics\]"'):
        vqa_score.load(None, None)


def test_a_judge_without_a_probability_for_either_answer_is_not_believed(qwen: Path) -> None:
    judge = vlm_judge.load(str(qwen), None)
    with torch.no_grad():
        judge._model._model.lm_head.weight.fill_(float("nan"))
    first, second = pictures()[:1], pictures()[1:2]
    with pytest.raises(EvalkitError, match='neither answer has a probability.*"a red cat"'):
        judge.prefers_first(first, second, ["a red cat"], QUESTION)


class Looking(VisionLanguageModel):
    """A construct that likes bright images, and the image called A by `bias` more."""

    def __init__(self, bias: float):
        self.weights = "construct"
        self._bias = bias

    def log_probabilities(self, asked, answers):
        bright = [
            [np.asarray(part).mean() / 32 for part in content if not isinstance(part, str)]
            for content in asked
        ]
        return np.log(1e-6) + np.array(bright) + [self._bias, 0]


def grey(level: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (level, level, level))


def judged(bias: float) -> pd.DataFrame:
    """`tables.JUDGEMENTS` of 60 pairs of 20 prompts by the construct, in both orders."""
    rng = np.random.default_rng(4)
    left, right = ([grey(level) for level in rng.integers(0, 256, 60)] for _ in range(2))
    judge = vlm_judge.VlmJudge(Looking(bias))
    when_first = judge.prefers_first(left, right, [""] * 60, QUESTION)
    when_second = 1 - np.array(judge.prefers_first(right, left, [""] * 60, QUESTION))
    return pd.DataFrame(
        {
            "question_id": "quality",
            "pair_id": [f"pair{number}" for number in range(60)],
            "prompt_id": [f"p{number // 3}" for number in range(60)],
            "seed": 0,
            "model_a": "one",
            "model_b": "two",
            "metric": "vlm_judge",
            "weights": judge.weights,
            "a_when_first": when_first,
            "a_when_second": when_second,
            "score": (np.array(when_first) + when_second) / 2,
        }
    )


def test_an_unbiased_judge_says_the_opposite_in_the_other_order() -> None:
    table = judged(0.0)
    assert table["a_when_first"].to_numpy() == pytest.approx(table["a_when_second"].to_numpy())
    assert judge_bias(table)["contradictions"].tolist() == [0]


def test_a_planted_position_bias_shows() -> None:
    table = judged(2.01)
    (row,) = judge_bias(table).itertuples()
    # it contradicts itself where brightness differs by less than the bias: |x - y| / 32 < 2.01
    rng = np.random.default_rng(4)
    left, right = rng.integers(0, 256, 60), rng.integers(0, 256, 60)
    share = float((np.abs(left - right) <= 64).mean())
    assert row.contradictions == pytest.approx(share)
    assert row.first_share == pytest.approx((1 + share) / 2)
    assert 0.5 < row.ci_low < row.first_share < row.ci_high


def test_the_default_is_of_a_class_that_the_library_loads() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    assert vision_language.DEFAULT.startswith("Qwen/Qwen3-VL-")
    assert "qwen3_vl" in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
