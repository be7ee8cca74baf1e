"""How different a prompt's images are: LPIPS and CLIP embeddings against direct computations.

LPIPS has its own linear layers and an AlexNet of random weights; AlexNet's published weights need a
network connection.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evalkit.errors import ModelError
from evalkit.metrics import clip_score, embedding_diversity, lpips_diversity
from evalkit.metrics.registry import metric_card

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
pytest.importorskip("lpips")
open_clip = pytest.importorskip("open_clip")

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]  # of ImageNet
DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("mini-clip")
    tensors = {name: t.contiguous() for name, t in open_clip.CLIP(**CLIP).state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    config = {"model_cfg": CLIP, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def pictures(*, size: tuple[int, int] = (64, 48), n: int = 4) -> list[Image.Image]:
    """Images of coarse noise in n tints."""
    rng = np.random.default_rng(1)
    blocks = [rng.integers(0, 120 + 40 * k, (6, 8, 3), dtype=np.uint8) for k in range(n)]
    return [Image.fromarray(block).resize(size, Image.Resampling.NEAREST) for block in blocks]


def lpips_by_hand(alexnet: Path, first: Image.Image, second: Image.Image) -> float:
    """Zhang et al. 2018, equation 1, on AlexNet with the weights of its five layers."""
    import lpips

    network = torchvision.models.alexnet(weights=None).eval()
    network.load_state_dict(torch.load(alexnet, weights_only=True))
    linear = torch.load(Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth", "cpu")
    after = {1: 0, 4: 1, 7: 2, 9: 3, 11: 4}  # the layer of a rectifier -> its place
    total = 0.0
    states = []
    for image in (first, second):
        pixels = torch.from_numpy(np.asarray(image) / 255).permute(2, 0, 1).float()
        states.append(((pixels - MEAN) / DEVIATION)[None])
    with torch.no_grad():
        for number, layer in enumerate(network.features[:12]):
            states = [layer(state.clone()) for state in states]
            if number in after:
                units = [state / state.norm(dim=1, keepdim=True) for state in states]
                weight = linear[f"lin{after[number]}.model.1.weight"]
                total += ((units[0] - units[1]) ** 2 * weight).sum(dim=1).mean().item()
    return total


def test_lpips_diversity_is_the_mean_over_pairs_by_hand(alexnet: Path) -> None:
    metric = lpips_diversity.load(str(alexnet), None)
    images = pictures(n=3)
    pairs = [(0, 1), (0, 2), (1, 2)]
    by_hand = [lpips_by_hand(alexnet, images[a], images[b]) for a, b in pairs]
    spread = metric.spread([metric.prepare(image) for image in images])
    # LPIPS shifts by .030, .088, .188 of -1 to 1, ImageNet's mean and deviation to three digits
    assert spread == pytest.approx(np.mean(by_hand), rel=5e-3)
    assert np.ptp(by_hand) > 0.1 * spread


def test_the_same_image_is_no_diversity_and_batches_change_nothing(
    alexnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = lpips_diversity.load(str(alexnet), None)
    prepared = [metric.prepare(image) for image in pictures()]
    assert metric.spread([prepared[0]] * 3) == 0
    whole = metric.spread(prepared)
    assert whole > 0
    monkeypatch.setattr(lpips_diversity.LpipsDiversity, "batch_size", 4)
    assert metric.spread(prepared) == pytest.approx(whole, rel=1e-4)
    # of two images twice, two of six pairs are the same image
    assert metric.spread(prepared[:2] * 2) == pytest.approx(metric.spread(prepared[:2]) * 2 / 3)


def test_images_that_lpips_cannot_compare_get_one_sentence(alexnet: Path) -> None:
    metric = lpips_diversity.load(str(alexnet), None)
    smallest = [metric.prepare(image) for image in pictures(size=(31, 31))]
    assert metric.spread(smallest) > 0
    with pytest.raises(ModelError, match=r"of 40 x 30 pixels; allowed are 31 or more"):
        metric.prepare(pictures(size=(40, 30))[0])
    other = metric.prepare(pictures(size=(64, 64))[0])
    with pytest.raises(ModelError, match="of 31 x 31 and 64 x 64 pixels; allowed is one size"):
        metric.spread([*smallest, other])


def test_lpips_weights_are_named_and_refused_in_one_sentence(
    alexnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = lpips_diversity.identify(str(alexnet), None)
    assert name.startswith("alexnet.pth@")
    assert lpips_diversity.load(str(alexnet), None).weights == name
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), tmp_path / "other.pth")
    with pytest.raises(ModelError, match="could not be loaded") as caught:
        lpips_diversity.load(str(tmp_path / "other.pth"), None)
    assert "\n" not in str(caught.value)

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(ModelError, match=r"lpips-0\.1-alex.*alexnet-owt-7be5be79\.pth.*no route"):
        lpips_diversity.load(None, None)
    monkeypatch.setitem(__import__("sys").modules, "lpips", None)
    with pytest.raises(ModelError, match=r'needs.*lpips.*pip install "evalkit\[metrics\]"'):
        lpips_diversity.load(None, None)


def test_embedding_diversity_is_the_mean_cosine_distance(clip: Path) -> None:
    metric = embedding_diversity.load(str(clip), None)
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{clip}")
    model.eval()
    with torch.no_grad():
        rows = [model.encode_image(preprocess(image)[None])[0] for image in pictures()]
    cosine = torch.nn.functional.cosine_similarity
    distances = [
        1 - cosine(rows[a], rows[b], dim=0).item() for a in range(4) for b in range(a + 1, 4)
    ]
    spread = metric.spread([metric.prepare(image) for image in pictures()])
    assert spread == pytest.approx(np.mean(distances), abs=1e-5)
    assert np.ptp(distances) > 0.01
    metric.batch_size = 3
    parts = metric.spread([metric.prepare(image) for image in pictures()])
    assert parts == pytest.approx(spread, abs=1e-5)


def test_embeddings_of_right_angles_and_of_the_same_image(clip: Path) -> None:
    class Encoder:
        weights, batch_size = "construct", 2

        def encode_images(self, prepared):
            return np.array(prepared, dtype=np.float32)

    metric = embedding_diversity.EmbeddingDiversity(Encoder())
    assert metric.spread([(1, 0), (0, 1)]) == 1  # a right angle
    assert metric.spread([(1, 0), (-1, 0)]) == 2
    assert metric.spread([(1, 0)] * 3) == 0
    # of (1, 0), (0, 1), (1, 0): distances 1, 0, 1
    assert metric.spread([(1, 0), (0, 1), (1, 0)]) == pytest.approx(2 / 3)


def test_embedding_diversity_takes_the_weights_of_clip_score(clip: Path) -> None:
    name = embedding_diversity.load(str(clip), None).weights
    assert name == embedding_diversity.identify(str(clip), None)
    assert name == clip_score.identify(str(clip), None)
    with pytest.raises(ModelError, match="score: embedding_diversity: unknown weights"):
        embedding_diversity.load("ViT-B-33/openai", None)


def test_the_cards_say_what_kind_each_is() -> None:
    kinds = {
        "vqa_score": "image",
        "vlm_judge": "pair",
        "fid": "set",
        "kid": "set",
        "lpips_diversity": "spread",
        "embedding_diversity": "spread",
    }
    assert {name: metric_card(name).kind for name in kinds} == kinds
    better = {name for name in kinds if metric_card(name).higher_is_better}
    assert better == set(kinds) - {"fid", "kid"}  # distances
