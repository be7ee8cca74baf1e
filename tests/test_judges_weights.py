"""What the judges share: where weights are found, how they are named, what is refused; scoring."""

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("open_clip")
pytest.importorskip("transformers")

from evalkit import tables  # noqa: E402
from evalkit.errors import ModelError  # noqa: E402
from evalkit.metrics import identify_metric, load_metric, metric_card  # noqa: E402
from evalkit.metrics.loading.places import Place, locate_file, locate_folder  # noqa: E402
from evalkit.metrics.loading.tensors import fill, read_tensors  # noqa: E402
from evalkit.scoring.run import score  # noqa: E402
from tests import judge_miniatures  # noqa: E402

JUDGES = ("aesthetic", "hps", "image_reward", "pick_score")


@pytest.fixture
def weights(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Miniature weights of each judge, by its name."""
    from open_clip import factory

    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-H-14", judge_miniatures.CLIP)
    root = tmp_path_factory.mktemp("judges")
    for judge in ("aesthetic", "image_reward", "pick_score"):
        (root / judge).mkdir()
        getattr(judge_miniatures, judge)(root / judge)
    judge_miniatures.hps(root / "hps.pt")
    return {judge: root / ("hps.pt" if judge == "hps" else judge) for judge in JUDGES}


@pytest.mark.parametrize("judge", JUDGES)
def test_each_judge_scores_a_study_and_marks_what_it_cut(
    weights: dict, tmp_path: Path, judge: str
) -> None:
    long = "a red circle above a blue star " * 30
    study = judge_miniatures.study(tmp_path, ["a red star", "a cat", long])
    score(study, metric=judge, weights=str(weights[judge]))
    written = tables.read(study.scores / f"{judge}.csv", tables.SCORES)
    assert set(written["weights"].str.partition("@")[0]) == {weights[judge].name}
    assert not written["weights"].str.contains("/").any()  # a name, not a place on this machine
    cut = [] if judge == "aesthetic" else ["p2"]
    assert written.loc[written["truncated"], "image_id"].tolist() == cut
    assert written["score"].nunique() == 3


@pytest.mark.parametrize("judge", JUDGES)
def test_weights_are_named_without_being_loaded_and_loaded_where_asked(
    weights: dict, judge: str
) -> None:
    loaded = load_metric(judge, str(weights[judge]), None, device="cpu")
    assert identify_metric(judge, str(weights[judge]), None) == loaded.weights
    with pytest.raises(ModelError, match="cpux") as caught:
        load_metric(judge, str(weights[judge]), None, device="cpux")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("missing", ["/nowhere/at/all.pt", "/nowhere/folder", "./none", "no-name"])
def test_weights_that_are_not_there_are_one_sentence(judge: str, missing: str) -> None:
    with pytest.raises(ModelError, match=rf'score: no (file|folder) "{missing}".*correct it'):
        load_metric(judge, missing, None)


@pytest.mark.parametrize("judge", JUDGES)
def test_a_hub_that_cannot_be_reached_is_one_sentence(
    judge: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    name = "org/other" if judge == "pick_score" else "org/other/file.pt"
    with pytest.raises(ModelError, match=rf'"{name}" are not on this machine.*hub') as caught:
        load_metric(judge, name, None)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("judge", "package"),
    [
        ("aesthetic", "torch"),
        ("aesthetic", "open_clip"),
        ("hps", "torchvision"),
        ("hps", "open_clip"),
        ("image_reward", "torch"),
        ("image_reward", "transformers"),
        ("pick_score", "torch"),
        ("pick_score", "transformers"),
    ],
)
def test_a_missing_package_names_the_extra(
    judge: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError) as caught:
        load_metric(judge, None, None)
    assert str(caught.value) == (
        f"score: {judge} needs the package {package}, which is not installed; "
        'run: pip install "evalkit[metrics]"'
    )


def test_cards_are_read_without_the_packages() -> None:
    code = (
        "import sys\n"
        "from evalkit.metrics import metric_card\n"
        f"cards = [metric_card(name) for name in {JUDGES}]\n"
        "print(all(card.licence and card.range and card.source for card in cards))\n"
        "heavy = ('torch', 'open_clip', 'transformers', 'torchvision', 'huggingface_hub')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["True", "[]"]
    assert {metric_card(name).kind for name in JUDGES} == {"image"}


def test_a_name_changes_with_what_a_folder_or_file_holds(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "model.safetensors"
    file.write_bytes(b"one")
    one = locate_folder(str(tmp_path / "own"), ()).name, locate_file(str(file)).name
    (tmp_path / "own" / "README.md").write_text("not weights")
    same = locate_folder(str(tmp_path / "own"), ()).name, locate_file(str(file)).name
    file.write_bytes(b"two")
    other = locate_folder(str(tmp_path / "own"), ()).name, locate_file(str(file)).name
    assert one == same
    assert one[0] != other[0]
    assert one[1] != other[1]
    # printf one | sha256sum
    assert one[1] == "model.safetensors@7692c3ad3540"


def test_a_revision_of_the_hub_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = judge_miniatures.cached(tmp_path, "org/judge")
    (snapshot / "part").mkdir()
    (snapshot / "part" / "a+b.pth").write_bytes(b"")
    commit = judge_miniatures.COMMIT
    found = locate_file(f"org/judge/part/a+b.pth@{commit}")
    assert found.path == snapshot / "part" / "a+b.pth"
    assert found.name == f"org/judge/part/a+b.pth@{commit}"
    assert locate_folder("org/judge@main", ()).name == f"org/judge@{commit}"
    with pytest.raises(ModelError, match="not on this machine"):
        locate_file("org/judge/part/a+b.pth@v9")


def test_only_files_of_tensors_are_read(tmp_path: Path) -> None:
    (tmp_path / "weights.ckpt").write_bytes(b"")
    with pytest.raises(ModelError, match=r"is not a file of weights.*\.safetensors, \.pt"):
        locate_file(str(tmp_path / "weights.ckpt"))
    broken = tmp_path / "half.safetensors"
    broken.write_bytes(b"half a file")
    with pytest.raises(ModelError, match="could not be loaded"):
        read_tensors(Place(broken, "half"))


@pytest.mark.parametrize("form", ["plain", "zipped"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    file = tmp_path / "code.pt"
    judge_miniatures.code(file)
    if form == "zipped":  # as torch writes files today
        torch.save({"layers.0.weight": judge_miniatures._Code()}, file)
    with pytest.raises(ModelError, match="hold more than tensors, or are damaged") as caught:
        read_tensors(locate_file(str(file)))
    assert "\n" not in str(caught.value)


def test_tensors_are_read_alike_from_either_format_wrapped_or_not(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "a.pt")
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "b.pt")
    for name in ("a.safetensors", "a.pt", "b.pt"):
        model = torch.nn.Linear(2, 1)
        fill(model, read_tensors(Place(tmp_path / name, name)), name)
        assert model(torch.tensor([2.0, 5.0])).item() == 7
    with pytest.raises(ModelError, match="do not fit the Linear .*of 2 tensors 2 differ"):
        fill(torch.nn.Linear(3, 2), tensors, "a")


def test_the_hub_is_quiet_though_it_is_imported_while_weights_load():
    code = (
        "import logging\nfrom evalkit.metrics.loading.library import quiet\nwith quiet():\n"
        "    import huggingface_hub.utils._http\n"
        "    print(logging.getLogger('huggingface_hub.utils._http').getEffectiveLevel())\n"
        "print(logging.getLogger('huggingface_hub').level)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["50", "30"]  # CRITICAL, and after it WARNING as the hub has it
