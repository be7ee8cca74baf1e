"""FID and KID: distances against closed forms and other packages, features against another network.

The network is the real one with random weights; its published weights need a network connection.
"""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import linalg

from evalkit.errors import ModelError
from evalkit.metrics import fid, kid
from evalkit.metrics.fid import frechet_distance
from evalkit.metrics.kid import kernel_distance
from evalkit.metrics.loading import inception

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("cleanfid")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of FID with random weights, in the layout of the published file."""
    torch_fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    # the published file's layout is torchvision's, with 1,008 classes and other widths in places
    blank = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    blank.Mixed_7b = torch_fidelity.InceptionE_1(1280)
    blank.Mixed_7c = torch_fidelity.InceptionE_2(2048)
    for name, tensor in blank.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bn.bias")):
            tensor.normal_(0, 0.1)
        elif name.endswith("conv.weight"):  # so that the images are told apart to the last layer
            tensor.normal_(0, math.sqrt(2 / tensor[0].numel()))
    path = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save(blank.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def metric(weights: Path) -> fid.FrechetInceptionDistance:
    return fid.load(str(weights), None)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_features_are_those_of_another_implementation(
    weights: Path, metric: fid.FrechetInceptionDistance
) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    images = [noise(299, 299, seed) for seed in range(2)]  # 299: neither resizes
    features = metric.features([metric.prepare(image) for image in images])
    other = FeatureExtractorInceptionV3(
        "witness", ["2048"], feature_extractor_weights_path=str(weights)
    )
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    (witness,) = other(pixels.permute(0, 3, 1, 2))
    assert features == pytest.approx(witness.numpy(), rel=1e-3, abs=1e-4 * float(witness.max()))
    assert features.shape == (2, 2048)
    assert features.dtype == np.float32
    assert np.abs(features[0] - features[1]).max() > 0.01 * features.max()


def test_an_image_is_resized_on_floats_as_clean_fid_does(
    metric: fid.FrechetInceptionDistance,
) -> None:
    from cleanfid.resize import make_resizer

    image = noise(640, 480)
    prepared = metric.prepare(image)
    witness = make_resizer("PIL", False, "bicubic", (299, 299))(np.asarray(image))
    assert prepared.transpose(1, 2, 0) == pytest.approx(witness)
    assert prepared.shape == (3, 299, 299)
    assert (prepared % 1 != 0).mean() > 0.9  # not rounded to bytes
    # antialiasing: of noise at twice the size, about a quarter of the variance is left
    half = metric.prepare(noise(598, 598)).astype(float)
    assert 0.15 < half.var() / np.asarray(noise(598, 598)).astype(float).var() < 0.4


def test_a_batch_gives_what_single_images_give(metric: fid.FrechetInceptionDistance) -> None:
    prepared = [metric.prepare(noise(64 + 8 * seed, 48, seed)) for seed in range(3)]
    single = np.concatenate([metric.features([one]) for one in prepared])
    together = metric.features(prepared)
    assert together == pytest.approx(single, rel=1e-3, abs=1e-4 * float(single.max()))


def with_moments(mean: np.ndarray, covariance: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Rows (n x d) whose sample mean and unbiased covariance are exactly these."""
    rows = np.random.default_rng(seed).normal(size=(n, len(mean)))
    rows -= rows.mean(axis=0)
    q, _ = np.linalg.qr(rows)
    return mean + math.sqrt(n - 1) * q @ np.linalg.cholesky(covariance).T


def test_the_frechet_distance_has_its_closed_form() -> None:
    # Diagonal covariances: sum of (difference of means)^2 + (difference of deviations)^2.
    # Means 0, 1, 2 and 1, 1, 0: 1 + 0 + 4. Deviations 1, 2, 3 and 2, 2, 1: 1 + 0 + 4. In all 10.
    first = with_moments(np.array([0.0, 1, 2]), np.diag([1.0, 4, 9]), 50, 0)
    second = with_moments(np.array([1.0, 1, 0]), np.diag([4.0, 4, 1]), 70, 1)
    assert frechet_distance(first, second) == pytest.approx(10)
    # With correlation: S = [[2, 1], [1, 2]] and its square T = [[5, 4], [4, 5]] commute, so
    # (S T)^(1/2) = S^(3/2), whose eigenvalues are 3^1.5 and 1: 4 + 10 - 2 (3^1.5 + 1) = 1.607695.
    square = np.array([[2.0, 1], [1, 2]])
    first = with_moments(np.zeros(2), square, 30, 2)
    second = with_moments(np.zeros(2), square @ square, 20, 3)
    assert frechet_distance(first, second) == pytest.approx(12 - 2 * 3**1.5)
    assert frechet_distance(second, first) == pytest.approx(12 - 2 * 3**1.5)


def test_the_frechet_distance_is_that_of_roots_of_matrices() -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    rng = np.random.default_rng(5)
    first = rng.gamma(2, size=(300, 40)) @ rng.normal(size=(40, 40))
    second = 0.5 + rng.normal(size=(200, 40)) @ rng.normal(size=(40, 40))
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    apart = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2)
    direct = apart + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(direct)
    stats = [fid_features_to_statistics(torch.from_numpy(rows)) for rows in (first, second)]
    other = fid_statistics_to_metric(*stats, verbose=False)
    assert frechet_distance(first, second) == pytest.approx(next(iter(other.values())))
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-8)


def test_fid_refuses_fewer_images_than_features(metric: fid.FrechetInceptionDistance) -> None:
    rng = np.random.default_rng(6)
    few, enough = rng.normal(size=(8, 8)), rng.normal(size=(9, 8))
    value, low, high = metric.distance(enough, enough[::-1])
    assert value == pytest.approx(0, abs=1e-9)
    assert np.isnan([low, high]).all()
    with pytest.raises(ModelError, match="fid: 8 images of a model; allowed are 9 or more.*kid"):
        metric.distance(few, enough)
    with pytest.raises(ModelError, match="fid: 8 images of the reference"):
        metric.distance(enough, few)
    with pytest.raises(ModelError, match="not finite"):
        metric.distance(enough, np.full_like(enough, np.nan))


def test_kid_has_the_value_of_the_arithmetic() -> None:
    # One feature, kernel (xy + 1)^3. Rows 0, 1, 2: off the diagonal 1, 1, 27, twice each: their
    # mean is 29/3. Rows 1, 3, 0: (3 + 1)^3 = 64, 1 and 1: mean 22. Across: 1 1 1, 8 64 1, 27 343 1
    # in all 447, of 9. 29/3 + 22 - 2 x 447/9 = -203/3.
    first, second = np.array([[0.0], [1], [2]]), np.array([[1.0], [3], [0]])
    value, low, high = kernel_distance(first, second)
    assert value == pytest.approx(-203 / 3)
    assert low < value < high


def leaving_out(first: np.ndarray, second: np.ndarray) -> float:
    """The jackknife's standard error, by leaving out each row in turn."""
    variance = 0.0
    for number, rows in enumerate((first, second)):
        values = []
        for out in range(len(rows)):
            left = [np.delete(rows, out, axis=0) if k == number else r
                    for k, r in enumerate((first, second))]  # fmt: skip
            values.append(kernel_distance(*left)[0])
        n = len(rows)
        variance += (n - 1) / n * np.sum((np.array(values) - np.mean(values)) ** 2)
    return math.sqrt(variance)


def test_kid_is_that_of_another_package_and_its_interval_that_of_the_jackknife() -> None:
    from scipy import stats
    from torch_fidelity.metric_kid import kid_features_to_metric

    rng = np.random.default_rng(7)
    first, second = rng.normal(size=(30, 16)), rng.normal(0.3, 1.2, size=(30, 16))
    value, low, high = kernel_distance(first, second)
    other = kid_features_to_metric(  # one subset of all rows
        torch.from_numpy(first), torch.from_numpy(second),
        kid_subsets=1, kid_subset_size=30, verbose=False,
    )  # fmt: skip
    assert value == pytest.approx(other["kernel_inception_distance_mean"])
    first = first[:20]
    value, low, high = kernel_distance(first, second)
    half = stats.t.ppf(0.975, 19) * leaving_out(first, second)
    assert (low, high) == pytest.approx((value - half, value + half))


def test_many_rows_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    first, second = rng.normal(size=(25, 4)), rng.normal(size=(31, 4))
    whole = kernel_distance(first, second)
    monkeypatch.setattr(kid, "_AT_ONCE", 7)
    assert kernel_distance(first, second) == pytest.approx(whole)


def test_kid_is_unbiased_and_its_intervals_hold_the_truth() -> None:
    # Rows drawn from four points each, all equally likely: the truth is the mean of the kernel over
    # all pairs of points, a point with itself too.
    rng = np.random.default_rng(9)
    points, others = rng.normal(size=(2, 4, 3))
    kernel = [
        ((a @ b.T / 3 + 1) ** 3).mean()
        for a, b in ((points, points), (others, others), (points, others))
    ]
    truth = kernel[0] + kernel[1] - 2 * kernel[2]
    values, held = [], 0
    for _ in range(500):
        first, second = points[rng.integers(4, size=40)], others[rng.integers(4, size=60)]
        value, low, high = kernel_distance(first, second)
        values.append(value)
        held += low <= truth <= high
    error = np.std(values) / math.sqrt(500)
    assert abs(np.mean(values) - truth) < 3 * error
    assert 0.92 <= held / 500 <= 0.98


def test_kid_refuses_a_handful_of_images(weights: Path) -> None:
    metric = kid.load(str(weights), None)
    rows = np.random.default_rng(10).normal(size=(10, 5))
    assert metric.distance(rows, rows + 1)[0] > 0
    with pytest.raises(ModelError, match="kid: 9 images of a model; allowed are 10 or more"):
        metric.distance(rows[:9], rows)


def test_weights_are_named_by_their_content(weights: Path) -> None:
    name = fid.identify(str(weights), None)
    assert name.startswith("inception.pth@")
    assert fid.load(str(weights), None).weights == name == kid.identify(str(weights), None)
    assert fid.identify(None, None) == "inception-2015-12-05"


def test_weights_that_do_not_fit_get_one_sentence(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    torch.save({"run": Path("code")}, tmp_path / "code.pth")
    for name, found in [("other.pth", "could not be loaded"), ("code.pth", "is not run")]:
        with pytest.raises(ModelError, match=found) as caught:
            fid.load(str(tmp_path / name), None)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no file"):
        fid.load(str(tmp_path / "missing.pth"), None)


def test_without_a_network_the_address_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(ModelError, match=r"inception-2015-12-05.*6726825d\.pth.*no route"):
        kid.load(None, None)


def test_the_hash_in_the_address_is_asked_for(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def fetch(url: str, path: str, hash_prefix: str, progress: bool) -> None:
        asked.update(url=url, hash_prefix=hash_prefix)
        Path(path).symlink_to(weights)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    assert fid.load(None, None).weights == inception.DEFAULT
    assert asked["hash_prefix"] == "6726825d"


def test_without_clean_fid_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cleanfid", None)
    with pytest.raises(ModelError, match=r'fid needs.*cleanfid.*pip install "evalkit\[metrics\]"'):
        fid.load(None, None)
