"""Tokens: counted as the model's own pipeline and the original tokenizer count them."""

import gzip

import pytest
import torch
from diffusers import DiffusionPipeline
from transformers import CLIPTokenizer

from evalkit.errors import ModelError
from evalkit.models import resolve
from evalkit.pipelines.tokens import load_text_window
from evalkit.prompts import read_prompts
from evalkit.study_sections import PromptSource
from tests import cascade_miniatures, family_miniatures, miniatures


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        "sdxl": miniatures.sdxl(root / "sdxl"),
        "flux": family_miniatures.flux(root / "flux"),
        "sd3": family_miniatures.sd3(root / "sd3"),
        "sana": family_miniatures.sana_sprint(root / "sana"),
        "if": cascade_miniatures.stage_one(root / "if"),
    }


def window(repository, **settings):
    table = {"repository": str(repository), "steps": 1, "guidance": 0.0, "width": 32, "height": 32}
    return load_text_window(resolve("m", {**table, **settings}, "models.m"))


def text_of(window, n: int, between: str) -> str:
    """A text of `n` tokens: of letters, each of which is a token in the miniatures."""
    letters = ("abcdefghijklmnopqrstuvwxyz" * n)[: n - window.count([""])[0]]
    text = between.join(letters)
    assert window.count([text]) == [n]
    return text


def test_each_family_has_its_limit(checkpoints):
    # CLIP: the tokenizer's own, 24 in the miniature. T5 and Gemma: the default of the call.
    assert window(checkpoints["sdxl"]).limit == 24
    assert window(checkpoints["flux"]).limit == 512
    assert window(checkpoints["flux"], call_settings={"max_sequence_length": 256}).limit == 256
    assert window(checkpoints["sd3"]).limit == 256
    # Sana's instruction keeps two places; a begin mark, which counts, the miniature has not.
    assert window(checkpoints["sana"]).limit == 298
    plain = {"complex_human_instruction": None}
    assert window(checkpoints["sana"], call_settings=plain).limit == 300


def test_a_cascade_reads_as_its_first_stage(checkpoints):
    stages = [{"repository": str(checkpoints["if"]), "steps": 1, "guidance": 1.0}]
    spec = resolve("m", {"stages": stages, "width": 8, "height": 8}, "models.m")
    assert load_text_window(spec).limit == 77


@pytest.mark.parametrize(
    "table",
    [
        {"images": "folder"},
        {"callable": "package.module:function"},
        {"command": ["paint", "{prompt}", "{file}"]},
    ],
)
def test_models_without_a_tokenizer_have_no_window(table):
    spec = resolve("m", {**table, "width": 32, "height": 32}, "models.m")
    assert load_text_window(spec) is None


def test_what_is_past_the_window_does_not_reach_the_encoder(checkpoints):
    """The library's own encoding: one word more changes it up to the limit and not beyond."""
    found = window(checkpoints["sdxl"])
    pipeline = DiffusionPipeline.from_pretrained(checkpoints["sdxl"], variant="fp16")
    within, whole, cut = (text_of(found, n, " ") for n in (23, 24, 25))
    assert whole.startswith(within)
    assert cut.startswith(whole)
    embedded = [pipeline.encode_prompt(text, device="cpu")[0] for text in (within, whole, cut)]
    assert not torch.equal(embedded[0], embedded[1])
    assert torch.equal(embedded[1], embedded[2])


def test_sana_reads_less_beside_its_instruction(checkpoints):
    settings = {"max_sequence_length": 9, "complex_human_instruction": ["Describe: "]}
    found = window(checkpoints["sana"], call_settings=settings)
    assert found.limit == 7
    pipeline = DiffusionPipeline.from_pretrained(checkpoints["sana"])
    texts = [text_of(found, n, "") for n in (6, 7, 8)]
    embedded = [
        pipeline.encode_prompt(text, device=torch.device("cpu"), **settings)[0] for text in texts
    ]
    assert not torch.equal(embedded[0], embedded[1])
    assert torch.equal(embedded[1], embedded[2])


def test_a_checkpoint_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ModelError, match=r"models\.m: no folder"):
        window(tmp_path / "none")


def test_clip_counts_as_the_original(tmp_path, checkpoints):
    """The published vocabulary of CLIP in the library's class, against OpenAI's own tokenizer."""
    original = pytest.importorskip("open_clip").tokenizer
    reference = original.SimpleTokenizer()
    with gzip.open(original.default_bpe(), "rt", encoding="utf-8") as file:
        merges = [tuple(line.split()) for line in file.read().split("\n")[1 : 49152 - 256 - 2 + 1]]
    marks = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {marks.get(token, token): number for token, number in reference.encoder.items()}
    assert len(vocabulary) == 49408
    folder = tmp_path / "sdxl"
    folder.mkdir()
    (folder / "model_index.json").write_text((checkpoints["sdxl"] / "model_index.json").read_text())
    for name in ("tokenizer", "tokenizer_2"):
        CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77).save_pretrained(
            folder / name
        )
    found = window(folder)
    texts = read_prompts(PromptSource(source="general-100"), tmp_path).table["prompt"].tolist()
    texts += ["", "naïve café, 1950s", " ".join(["a red cat"] * 30)]
    counts = found.count(texts)
    assert counts == [len(reference.encode(text)) + 2 for text in texts]
    assert found.limit == 77
    assert [count > found.limit for count in counts].index(True) == len(texts) - 1
    assert counts[-1] == 92  # 30 times three words, begin and end
