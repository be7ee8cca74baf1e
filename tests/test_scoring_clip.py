"""The CLIP score beside torchmetrics on the same miniature weights, and weights from a file."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evalkit.errors import ModelError
from evalkit.metrics import clip_score
from evalkit.metrics.loading import open_clip_weights
from evalkit.scoring import score
from evalkit.study_folder import StudyFolder
from tests.test_metrics import CLIP_FILE, CONFIG, PROMPTS, checkpoint, folder, loaded

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

__all__ = ["checkpoint", "folder"]  # fixtures
SHORT = ["a red circle", "A green house, at sea!", "star " * 75]
LONG = ["star " * 76, "a red circle above a blue star " * 30]


@pytest.fixture
def peer(checkpoint: Path):
    """torchmetrics' CLIPScore with the tensors of the miniature."""
    pytest.importorskip("torchmetrics")
    from safetensors.torch import load_file

    from benchmarks.clip_peer import peer

    cfg = json.loads((checkpoint / "open_clip_config.json").read_text())["preprocess_cfg"]
    return peer(
        CONFIG,
        load_file(checkpoint / CLIP_FILE),
        open_clip.SimpleTokenizer(),
        image_mean=cfg["mean"],
        image_std=cfg["std"],
    )


def both(scorer, peer, prompt: str, seed: int) -> tuple[float, float]:
    """The two scores of an image of the model's own size, which nobody resizes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    [ours] = scorer.score([scorer.prepare(Image.fromarray(pixels))], [prompt])
    peer.reset()
    return ours, peer(torch.from_numpy(pixels).permute(2, 0, 1), prompt).item()


@pytest.mark.parametrize("prompt", SHORT, ids=["short", "marks", "75 words"])
def test_scores_are_those_of_torchmetrics_where_the_prompt_fits(checkpoint, peer, prompt):
    scorer = loaded(str(checkpoint))
    ours, theirs = zip(*(both(scorer, peer, prompt, seed) for seed in range(4)), strict=True)
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert min(theirs) > 0
    assert np.ptp(ours) > 0.1


@pytest.mark.filterwarnings("ignore:Encountered caption longer")
@pytest.mark.parametrize("prompt", LONG, ids=["76 words", "many words"])
def test_torchmetrics_loses_the_end_token_of_a_long_prompt(checkpoint, peer, prompt):
    """A CLIP reads a prompt at its end token: cut off, another token is read in its place."""
    scorer = loaded(str(checkpoint))
    ours, theirs = both(scorer, peer, prompt, 1)
    assert abs(ours - theirs) > 1
    tokens = scorer._clip.tokenizer([prompt])
    assert tokens[0, -1] == 49407  # kept
    lost = tokens.clone()
    lost[0, -1] = tokens[0, -2] if prompt == LONG[0] else longer(prompt)[76]
    words = peer.processor(text=[prompt], return_tensors="pt")["input_ids"][0, :77]
    assert words.tolist() == lost[0].tolist()  # what torchmetrics reads has no end
    assert scorer.is_truncated(prompt)


def longer(prompt: str) -> list[int]:
    return open_clip.SimpleTokenizer()([prompt], context_length=78)[0].tolist()


def test_linear_layers_by_onednn_change_the_last_digits_only(checkpoint: Path) -> None:
    from safetensors.torch import load_file

    from evalkit.metrics.loading.onednn import use_onednn

    model = open_clip.CLIP(**CONFIG).eval()
    model.load_state_dict(load_file(checkpoint / CLIP_FILE))
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = open_clip.tokenize([*PROMPTS.values()])
    with torch.inference_mode():
        plain = model.encode_image(pixels), model.encode_text(tokens)
        use_onednn(model)
        fast = model.encode_image(pixels), model.encode_text(tokens)
    for one, other in zip(plain, fast, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    if torch.backends.mkldnn.is_available():
        blocks = [*model.transformer.resblocks, *model.visual.transformer.resblocks]
        assert not [b for b in blocks for m in b.modules() if isinstance(m, torch.nn.Linear)]


@pytest.fixture
def mini(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The miniature's architecture, known to open_clip under a name."""
    from open_clip import factory

    monkeypatch.setitem(factory._MODEL_CONFIGS, "mini-clip", CONFIG)
    return "mini-clip"


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".bin"])
def test_a_checkpoint_file_gives_the_scores_of_its_tensors(
    folder: StudyFolder, checkpoint: Path, mini: str, tmp_path: Path, ending: str
) -> None:
    from safetensors.torch import load_file

    file = tmp_path / f"own{ending}"
    if ending == ".safetensors":
        file.write_bytes((checkpoint / CLIP_FILE).read_bytes())
    else:
        torch.save(load_file(checkpoint / CLIP_FILE), file)
    scorer = loaded(f"{mini}:{file}")
    model = open_clip.CLIP(**CONFIG).eval()
    model.load_state_dict(load_file(checkpoint / CLIP_FILE))
    preprocess = open_clip.image_transform(32, is_train=False)
    name = folder.read_images()["file_name"][0]
    with Image.open(folder.images / name) as image, torch.no_grad():
        pixels = model.encode_image(preprocess(image)[None], normalize=True)
        text = model.encode_text(open_clip.tokenize(["a red circle"]), normalize=True)
        [ours] = scorer.score([scorer.prepare(image)], ["a red circle"])
    assert ours == pytest.approx(100 * (pixels @ text.T).item(), abs=1e-4)
    assert scorer.weights.startswith(f"mini-clip:own{ending}@")
    assert scorer.weights == clip_score.identify(f"{mini}:{file}", folder.study)
    (weights,) = set(score(folder, weights=f"{mini}:{file}")["weights"])
    assert weights == scorer.weights
    assert str(tmp_path) not in weights


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self):
        return (Path.touch, (self.place,))


def test_a_checkpoint_file_cannot_run_code(mini: str, tmp_path: Path) -> None:
    torch.save({"weight": Harm(tmp_path / "harmed")}, tmp_path / "bad.pt")
    with pytest.raises(ModelError, match="could not be loaded") as caught:
        loaded(f"{mini}:{tmp_path}/bad.pt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("mini-clip:{}/none.pt", "none.pt is not there"),
        ("mini-clip:{}/notes.txt", "notes.txt is no .safetensors, .pt, .bin, .pth file"),
        ("mini-clap:{}/whole.pt", 'did you mean "mini-clip"'),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    folder: StudyFolder, mini: str, tmp_path: Path, monkeypatch, weights: str, said: str
) -> None:
    monkeypatch.setattr(open_clip, "list_models", lambda: ["mini-clip", "ViT-B-32"])
    (tmp_path / "notes.txt").touch()
    (tmp_path / "whole.pt").touch()
    with pytest.raises(ModelError, match=said):
        score(folder, weights=weights.format(tmp_path))


def test_a_second_run_does_not_load_the_model(
    folder: StudyFolder, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score(folder, weights=str(checkpoint))
    assert first["score"].to_numpy() == pytest.approx(100 * first["cosine"].to_numpy())
    monkeypatch.setattr(
        clip_score, "load", lambda *given, **options: pytest.fail("the model is loaded")
    )
    assert score(folder, weights=str(checkpoint)).equals(first)
    other = checkpoint / CLIP_FILE
    data = other.read_bytes()
    other.write_bytes(data + b" ")  # other bytes are other weights
    try:
        assert open_clip_weights.identify(str(checkpoint)) != first["weights"].iloc[0]
    finally:
        other.write_bytes(data)


def test_prompts_of_the_study_are_counted_where_they_are_cut(
    folder: StudyFolder, checkpoint: Path
) -> None:
    from evalkit.scoring.told import told_json, told_lines

    scores = score(folder, weights=str(checkpoint))
    assert len(PROMPTS["p3"].split()) > 77
    assert told_json(scores)["truncated"] == 2  # p3 of both models
    assert "2 of them of a prompt that was cut at the token limit" in told_lines(scores)[0]
