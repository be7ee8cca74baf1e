"""Metrics against direct computations on miniature checkpoints of the real classes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evalkit import metrics, tables
from evalkit.errors import EvalkitError, ModelError, StudyError
from evalkit.metrics import clip_score, registry
from evalkit.metrics.loading import open_clip_weights
from evalkit.models import resolve
from evalkit.scoring import score
from evalkit.study_folder import StudyFolder

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

CLIP_FILE = "open_clip_model.safetensors"
LONG = "a red circle above a blue star " * 30
PROMPTS = {"p1": "a red circle", "p2": "a green house at sea", "p3": LONG}
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
STUDY = """
name = "mini"
seed = 1
[prompts]
source = "scenes"
[images]
seeds = [0]
[models.scenes-base]
[models.scenes-turbo]
[[questions]]
id = "quality"
text = "Which image is better?"
show_prompt = false
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature CLIP with random weights, in open_clip's own folder layout."""
    folder = tmp_path_factory.mktemp("mini-clip")
    write_checkpoint(folder, CONFIG)
    return folder


def write_checkpoint(folder: Path, config: dict) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = open_clip.CLIP(**config).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, folder / CLIP_FILE)
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25], "interpolation": "bilinear"}
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / open_clip_weights.CONFIG_NAME).write_text(json.dumps(content))


def loaded(weights: str) -> clip_score.ClipScorer:
    return clip_score.ClipScorer(open_clip_weights.load(weights))


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """A generated study: two models, three prompts, one image of them failed."""
    rng = np.random.default_rng(3)
    rows = []
    for model in ("scenes-base", "scenes-turbo"):
        (tmp_path / "images" / model).mkdir(parents=True)
        for prompt_id in PROMPTS:
            failed = (model, prompt_id) == ("scenes-turbo", "p2")
            name = f"{model}/{prompt_id}.png"
            if not failed:
                pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / name)
            status, file_name = ("failed", "") if failed else ("ok", name)
            rows.append((f"{model}-{prompt_id}", prompt_id, model, 0, file_name, status))
    names = ["image_id", "prompt_id", "model", "seed", "file_name", "status"]
    images = pd.DataFrame(rows, columns=names)
    images = images.assign(width=64, height=48, sha256="", seconds=0.1)
    tables.write(images, tmp_path / "images.csv", tables.IMAGES)
    prompts = pd.DataFrame({"prompt_id": PROMPTS.keys(), "prompt": PROMPTS.values()})
    prompts = prompts.assign(category="", challenge="")
    tables.write(prompts, tmp_path / "prompts.csv", tables.PROMPTS)
    (tmp_path / "study.toml").write_text(STUDY)
    return StudyFolder(tmp_path)


def direct_scores(checkpoint: Path, folder: StudyFolder) -> dict[str, float]:
    """The same, one image at a time, by open_clip and torch alone."""
    source = f"local-dir:{checkpoint}"
    model, _, preprocess = open_clip.create_model_and_transforms(source)
    tokenizer = open_clip.get_tokenizer(source)
    model.eval()
    values = {}
    images = folder.read_images()
    for row in images[images["status"] == "ok"].itertuples():
        pixels = preprocess(Image.open(folder.images / row.file_name))[None]
        with torch.no_grad():
            image = model.encode_image(pixels)
            text = model.encode_text(tokenizer([PROMPTS[row.prompt_id]]))
        values[row.image_id] = 100 * torch.nn.functional.cosine_similarity(image, text).item()
    return values


def test_scores_equal_a_direct_computation(folder: StudyFolder, checkpoint: Path) -> None:
    scores = score(folder, weights=str(checkpoint))
    witness = direct_scores(checkpoint, folder)
    assert dict(zip(scores["image_id"], scores["score"], strict=True)) == pytest.approx(
        witness, abs=1e-3
    )
    assert np.ptp(list(witness.values())) > 0.1  # the witness tells images apart


def test_scores_are_written_as_the_table_says(folder: StudyFolder, checkpoint: Path) -> None:
    scores = score(folder, weights=str(checkpoint))
    written = tables.read(folder.scores / "clip_score.csv", tables.SCORES)
    assert written["score"].tolist() == scores["score"].tolist()
    assert set(written["metric"]) == {"clip_score"}
    (weights,) = set(written["weights"])
    assert weights.startswith(f"{checkpoint.name}@")
    assert str(checkpoint.parent) not in weights


def test_an_image_that_failed_is_counted_and_not_scored(
    folder: StudyFolder, checkpoint: Path
) -> None:
    scores = score(folder, weights=str(checkpoint))
    assert "scenes-turbo-p2" not in set(scores["image_id"])
    assert len(scores) == 5
    assert scores.attrs["skipped"] == 1


def test_only_the_long_prompt_is_marked_truncated(folder: StudyFolder, checkpoint: Path) -> None:
    scores = score(folder, weights=str(checkpoint))
    assert set(scores.loc[scores["truncated"], "prompt_id"]) == {"p3"}
    assert set(scores.loc[~scores["truncated"], "prompt_id"]) == {"p1", "p2"}


@pytest.mark.parametrize(("words", "truncated"), [(74, False), (75, False), (76, True), (77, True)])
def test_truncation_begins_past_75_words_and_keeps_the_end_token(
    checkpoint: Path, words: int, truncated: bool
) -> None:
    scorer = loaded(str(checkpoint))
    prompt = " ".join(["star"] * words)
    assert scorer.is_truncated(prompt) is truncated
    tokens = scorer._clip.tokenizer([prompt])[0]
    assert tokens.tolist().count(49407) == 1
    assert tokens.argmax().item() == min(words + 1, 76)  # where the text encoder reads the prompt


def test_truncation_is_seen_with_a_tokenizer_of_the_checkpoint(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    text = {**CONFIG["text_cfg"], "vocab_size": 8, "context_length": 6, "hf_tokenizer_name": "own"}
    write_checkpoint(tmp_path, CONFIG | {"text_cfg": text})
    scorer = loaded(str(tmp_path))
    assert not scorer.is_truncated("red star red star")
    assert scorer.is_truncated("red star red star red")
    assert scorer._clip.tokenizer(["red star red star red"])[0].tolist() == [0, 3, 4, 3, 4, 1]


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of five words whose padding is its end token, as CLIP's is."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {"<s>": 0, "</s>": 1, "<unk>": 2, "red": 3, "star": 4}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    ).save_pretrained(folder)


def test_each_prompt_is_encoded_once_and_batches_do_not_change_scores(
    folder: StudyFolder, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_one = score(folder, weights=str(checkpoint))
    shutil.rmtree(folder.cache)
    encoded: list[int] = []
    plain = open_clip.CLIP.encode_text

    def counting(self: object, text: "torch.Tensor", normalize: bool = False) -> "torch.Tensor":
        encoded.append(len(text))
        return plain(self, text, normalize)

    monkeypatch.setattr(open_clip.CLIP, "encode_text", counting)
    monkeypatch.setattr(clip_score.ClipScorer, "batch_size", 2)
    steps: list[tuple[int, int, str]] = []
    in_twos = score(folder, weights=str(checkpoint), progress=lambda *step: steps.append(step))
    assert sum(encoded) == len(PROMPTS)
    assert [step[:2] for step in steps] == [(2, 5), (4, 5), (5, 5)]
    assert in_twos["score"].to_numpy() == pytest.approx(in_one["score"].to_numpy(), abs=1e-4)


def test_scores_are_not_clipped_at_zero(folder: StudyFolder, checkpoint: Path) -> None:
    scores = score(folder, weights=str(checkpoint))["score"]
    opposite = loaded(str(checkpoint))
    with torch.no_grad():
        opposite._clip.model.text_projection.neg_()
    images = folder.read_images().query("status == 'ok'")
    opened = [Image.open(folder.images / name).convert("RGB") for name in images["file_name"]]
    prepared = [opposite.prepare(image) for image in opened]
    flipped = opposite.score(prepared, [PROMPTS[prompt_id] for prompt_id in images["prompt_id"]])
    assert flipped == pytest.approx((-scores).tolist(), abs=1e-3)
    assert min([*flipped, *scores]) < 0


def test_weights_trained_with_quick_gelu_run_with_it(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from open_clip import factory, pretrained

    (tmp_path / "mini-clip.json").write_text(json.dumps(CONFIG))
    monkeypatch.setitem(factory._MODEL_CONFIGS, "mini-clip", CONFIG)
    monkeypatch.setitem(
        pretrained._PRETRAINED,
        "mini-clip",
        {
            tag: pretrained._pcfg(file=str(checkpoint / CLIP_FILE), quick_gelu=quick)
            for tag, quick in [("openai", True), ("laion", False)]
        },
    )
    for tag, activation in [("openai", "QuickGELU"), ("laion", "GELU")]:
        model = open_clip_weights.load(f"mini-clip/{tag}").model
        assert type(model.visual.transformer.resblocks[0].mlp.gelu).__name__ == activation


def test_other_weights_stay_in_the_table_and_the_same_are_replaced(
    folder: StudyFolder, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other-clip")
    write_checkpoint(other, CONFIG | {"embed_dim": 8})
    score(folder, weights=str(checkpoint))
    score(folder, weights=str(other))
    score(folder, weights=str(other))
    written = tables.read(folder.scores / "clip_score.csv", tables.SCORES)
    assert written.groupby("weights").size().tolist() == [5, 5]


def test_a_score_that_is_not_finite_names_the_image(
    folder: StudyFolder, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = clip_score.ClipScorer.encode_images

    def broken(self: clip_score.ClipScorer, images: list) -> np.ndarray:
        self._clip.model.visual.proj.data[:] = float("nan")
        return plain(self, images)

    monkeypatch.setattr(clip_score.ClipScorer, "encode_images", broken)
    with pytest.raises(EvalkitError, match=r"scenes-base/p1\.png: its score is nan"):
        score(folder, weights=str(checkpoint))
    assert not (folder.scores / "clip_score.csv").exists()
    assert not list(folder.cache.rglob("*.npz"))  # nor is anything of it kept


def test_an_unreadable_image_is_named(folder: StudyFolder, checkpoint: Path) -> None:
    (folder.images / "scenes-base" / "p1.png").write_bytes(b"not an image")
    with pytest.raises(ModelError, match=r"p1\.png: cannot be decoded .*no image is in it"):
        score(folder, weights=str(checkpoint))


def test_before_generation_the_next_command_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    with pytest.raises(StudyError, match="run: evalkit generate"):
        score(StudyFolder(tmp_path))


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ("ViT-B-33/openai", 'unknown weights "ViT-B-33/openai".*did you mean "ViT-B-32"'),
        ("ViT-B-32/openia", 'ViT-B-32 has openai, .*did you mean "openai"'),
        ("scenes-clop", 'did you mean "scenes-clip"'),
    ],
)
def test_unknown_weights_get_one_sentence(folder: StudyFolder, weights: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        score(folder, weights=weights)


def test_weights_that_cannot_be_loaded_get_one_sentence(
    folder: StudyFolder, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wrong = tmp_path_factory.mktemp("wrong-shape")
    write_checkpoint(wrong, CONFIG)
    config = {"model_cfg": CONFIG | {"embed_dim": 24}, "preprocess_cfg": {}}
    (wrong / open_clip_weights.CONFIG_NAME).write_text(json.dumps(config))
    with pytest.raises(ModelError, match="could not be loaded") as caught:
        score(folder, weights=str(wrong))
    assert "\n" not in str(caught.value)
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(ModelError, match=r"has no open_clip_config\.json"):
        score(folder, weights=str(empty))


def test_without_a_network_the_hub_is_named_as_the_cause(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from open_clip import pretrained

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(pretrained, "hf_hub_download", unreachable)
    with pytest.raises(ModelError, match=r"ViT-B-32/openai.*could not be loaded.*no route.*hub"):
        score(folder, weights="ViT-B-32/openai")


def test_without_open_clip_the_extra_is_named(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ModelError, match=r'pip install "evalkit\[metrics\]"'):
        score(folder)


def test_the_default_is_built_in_only_for_a_study_of_scenes(folder: StudyFolder) -> None:
    assert clip_score.default_weights(folder.study) == "scenes-clip"
    models = (*folder.study.models, resolve("sdxl-turbo", {}, "test"))
    mixed = folder.study.model_copy(update={"models": models})
    assert clip_score.default_weights(mixed) == "ViT-g-14/laion2b_s34b_b88k"


def test_the_paper_and_openai_weights_are_known_to_open_clip() -> None:
    for name in (clip_score.PAPER_WEIGHTS, "ViT-L-14/openai"):
        architecture, pretrained = name.split("/")
        assert pretrained in open_clip.list_pretrained_tags_by_model(architecture)


@pytest.fixture
def drawn(folder: StudyFolder) -> StudyFolder:
    """The study with images that show their prompts for one model, and another's for the other."""
    from evalkit.models.scenes.captions import write_caption
    from evalkit.models.scenes.drawing import draw_picture
    from evalkit.models.scenes.scene import draw_scene

    rng = np.random.default_rng(5)
    scenes = [draw_scene(rng) for _ in range(24)]
    prompts = pd.DataFrame({"prompt_id": [f"s{number}" for number in range(24)]})
    prompts["prompt"] = [write_caption(scene, rng, full=True) for scene in scenes]
    tables.write(prompts.assign(category="", challenge=""), folder.prompts_file, tables.PROMPTS)
    rows = []
    for model, shift in [("scenes-base", 0), ("scenes-turbo", 1)]:
        for number, prompt_id in enumerate(prompts["prompt_id"]):
            name = f"{model}/{prompt_id}.png"
            draw_picture(scenes[(number + shift) % 24]).save(folder.images / name)
            rows.append((f"{model}-{prompt_id}", prompt_id, model, 0, name))
    images = pd.DataFrame(rows, columns=["image_id", "prompt_id", "model", "seed", "file_name"])
    images = images.assign(width=96, height=96, sha256="", seconds=0.1, status="ok")
    tables.write(images, folder.images_file, tables.IMAGES)
    return folder


shipped = Path(open_clip_weights.checkpoint_path("built-in:scenes-clip")).parent
without_weights = pytest.mark.skipif(
    not (shipped / "scenes-clip").is_dir(), reason="the built-in weights are not trained yet"
)


@without_weights
@pytest.mark.parametrize("metric", ["clip_score", "scene_attributes"])
def test_built_in_metrics_prefer_the_image_that_shows_the_prompt(
    drawn: StudyFolder, metric: str
) -> None:
    scores = score(drawn, metric=metric)
    means = scores.groupby("model")["score"].mean()
    assert means["scenes-base"] > means["scenes-turbo"]
    wide = scores.pivot(index="prompt_id", columns="model", values="score")
    assert (wide["scenes-base"] > wide["scenes-turbo"]).mean() > 0.8
    assert scores["weights"].iloc[0] in ("scenes-clip", "scenes-attributes")
    assert not scores["truncated"].any()


@without_weights
def test_scene_attributes_are_shares_and_nearly_all_are_read_in_drawings(
    drawn: StudyFolder,
) -> None:
    scores = score(drawn, metric="scene_attributes")
    assert scores["score"].between(0, 1).all()
    assert scores.loc[scores["model"] == "scenes-base", "score"].mean() > 0.95


def test_scene_attributes_have_one_set_of_weights(folder: StudyFolder) -> None:
    with pytest.raises(ModelError, match="allowed is scenes-attributes"):
        score(folder, metric="scene_attributes", weights="other")


def test_metrics_are_found_by_themselves(folder: StudyFolder) -> None:
    files = {path.stem for path in Path(metrics.__file__).parent.glob("*.py")}
    assert set(metrics.metric_names()) == files - {"__init__", *registry.NOT_METRICS}
    assert {metrics.metric_card(name).kind for name in files & set(metrics.metric_names())} <= set(
        registry.KINDS
    )
    with pytest.raises(ModelError, match=r'unknown metric "clip".*are aesthetic, clip_score'):
        score(folder, metric="clip")


def test_metrics_are_listed_without_torch() -> None:
    code = (
        "import sys, evalkit.scoring.run, evalkit.metrics.clip_score\n"
        "import evalkit.metrics.scene_attributes as scene\n"
        "print([name for name in ('torch', 'open_clip') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
