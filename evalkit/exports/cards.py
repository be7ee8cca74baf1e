"""README.md of an export: what each file is, what was left out, and what must be said first."""

from collections.abc import Sequence

from evalkit.exports.published import Published
from evalkit.tables import SIMULATED
from evalkit.wording import counted

_LICENCE = (
    "The licence of this data is to be filled in by the authors, here and at the top of this file."
)
_VOTES = (
    "a row per vote: what was asked of which pair (`question_id`, `prompt_id`, `pair_id`, `seed`, "
    "`model_a`, `model_b`, `image_a`, `image_b`), who won (`winner`: model_a, model_b, tie, "
    "both_bad), which model's image lay left (`left_model`), what was pressed (`choice`; "
    "`revision` 1: never corrected), `response_ms` until the first answer, `kind` (main, or "
    "repeat: an earlier pair again, which does not count) and `excluded_by` (the study's rules "
    "against its annotator; empty: it counts)"
)
_PEOPLE = (
    "`annotator_id`, `session_id` and `trial_id` are numbers of this export, not the ids under "
    "which votes were collected."
)
_NOBODY = (
    "Annotators, sessions and times were left out, and rows do not stand in the order in which "
    "votes were given; `response_ms` is rounded to 100. The intervals of the study's analysis rest "
    "on who voted: they cannot be had from this export, and `evalkit analyze` refuses it."
)
_INPUTS = "The input images of the prompts are not in this export."
_REASONS = "`reason` is what annotators wrote; it may name people."


def tables_card(content: Published, ending: str) -> str:
    """README.md of the formats csv and parquet."""
    files = {
        "votes": _VOTES,
        "prompts": "the prompts: `prompt_id`, `prompt`, `category`, `challenge`",
        "images": (
            "a row per image, without the pictures: `image_id`, model, prompt, seed, size, sha256"
        ),
        "pairs": "which two images make a pair",
    }
    lines = [f"- `{name}{ending}`: {what}." for name, what in files.items()]
    again = f"Analyse it again: `evalkit analyze votes{ending} --out tables`."
    again_too = [again] if content.names_annotators else []
    return _text(content, ["\n".join(lines), *again_too, *_who(content)])


def datasets_card(content: Published) -> str:
    """The card of the format datasets, with its YAML header."""
    files = {"images": "images/train.parquet", "comparisons": "comparisons/train.parquet"}
    lines = [
        "- `images`: a row per image, with its prompt, model and seed.",
        f"- `comparisons`: {_VOTES}.",
    ]
    call = '```python\nfrom datasets import load_dataset\n\nload_dataset(PATH, "images")\n```'
    return _header(content, files) + _text(content, ["\n".join(lines), call, *_who(content)])


def preference_card(content: Published, left_out: dict[str, int]) -> str:
    """The card of the format preference, with its YAML header."""
    said = (
        "A row per pair of images and question that has a majority: `prompt`, the image `chosen` "
        "by more votes, the one `rejected`, the `question`, the votes behind it (`votes_for`, "
        "`votes_against`, `ties`, `both_bad`) and their `margin`, which is votes_for less "
        "votes_against over all votes on the pair. A majority may be one vote: weigh by the "
        "margin, or leave small ones out. Only main votes count that no rule of the study "
        "sets aside."
    )
    header = _header(content, {"default": "data/train.parquet"})
    return header + _text(content, [said, *_left_out(left_out)])


def pickapic_card(content: Published, files: Sequence[str], left_out: dict[str, int]) -> str:
    """The card of the format pickapic, with its YAML header."""
    named = {file.removeprefix("data/").removesuffix(".parquet"): file for file in files}
    said = (
        "A row per vote in the columns of Pick-a-Pic, one file per question of the study. Image 0 "
        "lay left. `jpg_0` and `jpg_1` are the bytes of the images as they were made, mostly PNG. "
        "`best_image_uid` is empty where the labels are 0.5 and 0.5. `user_id` and `ranking_id` "
        "are numbers of this export."
    )
    again = f"Analyse it again: `evalkit analyze {files[0]} --format pickapic --out tables`."
    return _header(content, named) + _text(content, [said, *_left_out(left_out), again])


def exported_heading(study: str) -> str:
    """The heading of every card, by which an export of the study is known."""
    return f"# Human preferences of the study {study}"


def _text(content: Published, paragraphs: Sequence[str]) -> str:
    study = content.folder.study
    licences = "; ".join(f"{model.name}: {model.licence or 'not known'}" for model in study.models)
    withdrawn = (
        [f"{counted(content.withdrawn, 'vote')} withdrawn by annotators are not here."]
        if content.withdrawn
        else []
    )
    rules = study.exclusions.model_dump(exclude_defaults=True)
    stated = ", ".join(f"{name} = {value}" for name, value in rules.items()) or "none"
    found = [
        exported_heading(study.name),
        *(f"**{stamp}**" for stamp in content.stamps),
        *(["These votes were made by a program, not by people."] if content.simulated else []),
        *paragraphs,
        *withdrawn,
        *([_INPUTS] if "input_image" in content.prompts.columns else []),
        f"Rules of exclusion, fixed before the votes: {stated}. "
        f"SHA-256 of the study file: {study.sha256}.",
        f"Licences of the models that made the images: {licences}. {_LICENCE}",
    ]
    return "\n\n".join(found) + "\n"


def _who(content: Published) -> list[str]:
    """What is known of who voted."""
    reasons = [_REASONS] if "reason" in content.votes.columns else []
    return [_PEOPLE if content.names_annotators else _NOBODY, *reasons]


def _header(content: Published, files: dict[str, str]) -> str:
    """The YAML header of a data set's card."""
    lines = [
        "---",
        "license: unknown  # to be filled in by the authors",
        "tags:",
        "- evalkit",
        "- human-preferences",
        "- text-to-image",
        *([f"- {SIMULATED.lower().replace(' ', '-')}"] if content.simulated else []),
        "configs:",
    ]
    for name, path in files.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        lines += ["  - split: train", f"    path: {path}"]
    return "\n".join([*lines, "---", "", ""])


def _left_out(left_out: dict[str, int]) -> list[str]:
    said = "; ".join(f"{n:,} {why}" for why, n in left_out.items())
    return [f"Left out: {said}."] if said else []
