"""The aesthetic score against open_clip and torch called by hand, on a miniature CLIP."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
pytest.importorskip("transformers")  # of the miniatures

from evalkit.errors import ModelError  # noqa: E402
from evalkit.metrics import aesthetic  # noqa: E402
from tests import judge_miniatures  # noqa: E402

HEAD = "sac+logos+ava1-l14-linearMSE.pth"
SIZES = [(64, 64), (96, 48), (40, 80)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """A folder with a miniature CLIP and a head, and both as they were before they were saved."""
    folder = tmp_path_factory.mktemp("mini-aesthetic")
    return folder, *judge_miniatures.aesthetic(folder)


@pytest.fixture(scope="module")
def scorer(made: tuple) -> aesthetic.AestheticScorer:
    return aesthetic.load(str(made[0]), None)


def by_hand(made: tuple, images: list) -> list[float]:
    """The head on the embedding divided by its length, one image at a time."""
    _, model, head = made
    preprocess = open_clip.image_transform(32, is_train=False)
    values = []
    for image in images:
        with torch.no_grad():
            embedding = model.encode_image(preprocess(image)[None])[0]
            values.append(head(embedding / embedding.square().sum().sqrt()).item())
    return values


def test_scores_equal_the_head_on_unit_embeddings(
    made: tuple, scorer: aesthetic.AestheticScorer
) -> None:
    images = judge_miniatures.pictures(SIZES)
    scores = scorer.score([scorer.prepare(image) for image in images], ["a", "b", "c"])
    assert scores == pytest.approx(by_hand(made, images), abs=1e-4)
    assert np.ptp(scores) > 0.001  # the images are told apart


def test_the_prompt_is_not_read_and_never_cut(scorer: aesthetic.AestheticScorer) -> None:
    prepared = [scorer.prepare(image) for image in judge_miniatures.pictures(SIZES[:1] * 2)][:1] * 2
    one, other = scorer.score(prepared, ["a red star", "a blue cat " * 50])
    assert one == pytest.approx(other, abs=1e-6)
    assert scorer.is_truncated("a blue cat " * 50) is False


def test_a_head_for_another_clip_is_one_sentence(made: tuple, tmp_path: Path) -> None:
    for file in made[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = judge_miniatures.head(24).state_dict()
    torch.save({f"layers.{key}": tensor for key, tensor in state.items()}, tmp_path / HEAD)
    with pytest.raises(ModelError, match=r"from 16 numbers to one \(its layers are 1024 x 24, "):
        aesthetic.load(str(tmp_path), None)
    torch.save({"weight": torch.zeros(1, 16)}, tmp_path / HEAD)
    with pytest.raises(ModelError, match=r"its layers are none\)"):
        aesthetic.load(str(tmp_path), None)


def test_a_folder_says_what_it_must_hold(made: tuple, tmp_path: Path) -> None:
    (tmp_path / HEAD).write_bytes((made[0] / HEAD).read_bytes())
    with pytest.raises(ModelError, match=r"holds open_clip_config\.json.*the head; complete it"):
        aesthetic.load(str(tmp_path), None)
    (tmp_path / "open_clip_config.json").write_text("{")
    with pytest.raises(ModelError, match="could not be loaded") as caught:
        aesthetic.load(str(tmp_path), None)
    assert "\n" not in str(caught.value)


def test_a_pickle_with_code_is_refused_and_not_run(made: tuple, tmp_path: Path) -> None:
    for file in made[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    judge_miniatures.code(tmp_path / HEAD)
    with pytest.raises(ModelError, match=r"hold more than tensors.*use a \.safetensors file"):
        aesthetic.load(str(tmp_path), None)


@pytest.fixture
def large(made: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name ViT-L-14 with OpenAI's weights stands for the miniature."""
    from open_clip import factory, pretrained

    tag = pretrained._pcfg(file=str(made[0] / "open_clip_model.safetensors"), quick_gelu=True)
    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-L-14", judge_miniatures.CLIP)
    monkeypatch.setitem(pretrained._PRETRAINED, "ViT-L-14", {"openai": tag})


def test_a_head_alone_stands_on_openai_s_clip_with_its_own_activation(
    made: tuple, large: None
) -> None:
    scorer = aesthetic.load(str(made[0] / HEAD), None)
    activation = scorer._clip.model.visual.transformer.resblocks[0].mlp.gelu
    assert type(activation).__name__ == "QuickGELU"
    assert scorer.weights.startswith(f"{HEAD}@")


def test_the_default_comes_from_the_cache_of_the_hub(
    made: tuple, large: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"aesthetic-predictor.*not on this machine.*hub"):
        aesthetic.load(None, None)
    snapshot = judge_miniatures.cached(tmp_path, "trl-lib/ddpo-aesthetic-predictor")
    (snapshot / "aesthetic-model.pth").write_bytes((made[0] / HEAD).read_bytes())
    scorer = aesthetic.load(None, None)
    assert scorer.weights == f"{aesthetic.WEIGHTS}@{judge_miniatures.COMMIT}"
