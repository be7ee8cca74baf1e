"""ImageReward against a computation in plain torch from the published names of its tensors."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")  # of the miniatures
transformers = pytest.importorskip("transformers")

from evalkit.errors import ModelError  # noqa: E402
from evalkit.metrics import image_reward  # noqa: E402
from tests import blip_by_hand, judge_miniatures  # noqa: E402

PROMPTS = ["a red star", "blue cat", "a red star and a blue cat " * 9]
SIZES = [(64, 64), (96, 48), (40, 80)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A folder with a miniature checkpoint and a tokenizer, and the tensors by published name."""
    folder = tmp_path_factory.mktemp("mini-reward")
    return folder, judge_miniatures.image_reward(folder)


@pytest.fixture(scope="module")
def scorer(made: tuple) -> image_reward.ImageRewardScorer:
    return image_reward.load(str(made[0]), None)


def test_scores_equal_the_computation_by_hand(
    made: tuple, scorer: image_reward.ImageRewardScorer
) -> None:
    images = judge_miniatures.pictures(SIZES)
    tokens = transformers.BertTokenizer.from_pretrained(made[0])(
        PROMPTS, padding=True, truncation=True, max_length=35, return_tensors="pt"
    )
    pixels = torch.stack([scorer.prepare(image) for image in images])
    with torch.no_grad():
        raw = blip_by_hand.reward(made[1], pixels, tokens["input_ids"], tokens["attention_mask"])
    expected = (raw - 0.16717362830052426) / 1.0333394966054072
    scores = scorer.score(list(pixels), PROMPTS)
    assert scores == pytest.approx(expected.tolist(), abs=1e-4)
    assert np.ptp(scores) > 0.01  # the images are told apart


def test_image_and_prompt_both_count(scorer: image_reward.ImageRewardScorer) -> None:
    one, other = (scorer.prepare(image) for image in judge_miniatures.pictures([(64, 64)] * 2))
    scores = scorer.score([one, other, one], ["a red star", "a red star", "blue cat"])
    assert abs(scores[0] - scores[1]) > 1e-3
    assert abs(scores[0] - scores[2]) > 1e-3


def test_a_batch_gives_what_single_images_give(scorer: image_reward.ImageRewardScorer) -> None:
    prepared = [scorer.prepare(image) for image in judge_miniatures.pictures(SIZES)]
    pairs = zip(prepared, PROMPTS, strict=True)
    single = [scorer.score([one], [prompt])[0] for one, prompt in pairs]
    assert scorer.score(prepared, PROMPTS) == pytest.approx(single, abs=1e-4)


def test_an_image_is_scaled_by_its_shorter_side_and_cropped(
    scorer: image_reward.ImageRewardScorer,
) -> None:
    (wide,) = judge_miniatures.pictures([(96, 48)])
    middle = wide.resize((64, 32), 3).crop((16, 0, 48, 32))  # 3: bicubic
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = ((np.asarray(middle) / 255 - mean) / deviation).transpose(2, 0, 1)
    assert scorer.prepare(wide).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("words", "truncated"), [(33, False), (34, True), (50, True)])
def test_truncation_begins_past_35_tokens_and_keeps_the_last(
    scorer: image_reward.ImageRewardScorer, words: int, truncated: bool
) -> None:
    prompt = " ".join(["star"] * words)
    assert scorer.is_truncated(prompt) is truncated
    tokens = scorer._tokenizer([prompt], truncation=True, max_length=35)["input_ids"][0]
    assert (len(tokens), tokens[0], tokens[-1]) == (35, 2, 3)  # [CLS] and [SEP]
    (image,) = judge_miniatures.pictures([(64, 64)])
    prepared = [scorer.prepare(image)]
    first = scorer.score(prepared, [" ".join(["star"] * 33)])
    assert scorer.score(prepared, [prompt]) == pytest.approx(first, abs=1e-6)


def changed(made: tuple, folder: Path, **tensors: object) -> Path:
    """A folder like the miniature's with other tensors; None takes one away."""
    (folder / "vocab.txt").write_bytes((made[0] / "vocab.txt").read_bytes())
    kept = {**made[1], **{name.replace("__", "."): tensor for name, tensor in tensors.items()}}
    kept = {name: tensor for name, tensor in kept.items() if tensor is not None}
    torch.save(kept, folder / "ImageReward.pt")
    return folder


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"blip__visual_encoder__cls_token": torch.zeros(1, 1, 32)}, "class_embedding"),
        ({"blip__visual_encoder__norm__bias": None}, "post_layernorm.bias"),
        ({"blip__visual_encoder__pos_embed": None}, "there is no pos_embed"),
        ({"blip__text_encoder__encoder__layer__1__output__dense__bias": None}, "layer.1.output"),
        ({"blip__visual_encoder__patch_embed__proj__weight": torch.zeros(3)}, "not be loaded"),
        ({"mlp__layers__7__weight": torch.zeros(1, 12)}, "no head of linear layers"),
        ({"mlp__layers__7__bias": None}, "the first is 7.bias"),
    ],
)
def test_tensors_that_do_not_fit_are_one_sentence(
    made: tuple, tmp_path: Path, tensors: dict, sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        image_reward.load(str(changed(made, tmp_path, **tensors)), None)
    assert "\n" not in str(caught.value)


def test_a_folder_without_tokenizer_or_checkpoint_is_one_sentence(
    made: tuple, tmp_path: Path
) -> None:
    changed(made, tmp_path)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(ModelError) as caught:
        image_reward.load(str(tmp_path), None)
    assert "\n" not in str(caught.value)
    (tmp_path / "ImageReward.pt").unlink()
    with pytest.raises(ModelError, match=r"no folder of ImageReward weights.*\(none\)"):
        image_reward.load(str(tmp_path), None)


def test_the_default_comes_from_the_cache_of_the_hub_with_bert_s_tokenizer(
    made: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"zai-org/ImageReward.*not on this machine.*hub"):
        image_reward.load(None, None)
    snapshot = judge_miniatures.cached(tmp_path, "zai-org/ImageReward")
    (snapshot / "ImageReward.pt").write_bytes((made[0] / "ImageReward.pt").read_bytes())
    with pytest.raises(ModelError, match=r"bert-base-uncased.*not on this machine.*hub"):
        image_reward.load(None, None)
    words = judge_miniatures.cached(tmp_path, "google-bert/bert-base-uncased")
    (words / "vocab.txt").write_bytes((made[0] / "vocab.txt").read_bytes())
    scorer = image_reward.load(None, None)
    assert scorer.weights == f"zai-org/ImageReward/ImageReward.pt@{judge_miniatures.COMMIT}"
