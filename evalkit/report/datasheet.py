"""How the study was run, from its own files: rows of label and values for the end of the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from evalkit.models import ModelSpec
from evalkit.report.results import Results

_LONGEST_LIST = 12  # more entries are data, not something to read in a table


@dataclass(frozen=True)
class Part:
    """A part of the datasheet: a title, rows of a label and its values, headings of the values."""

    title: str
    rows: list[tuple[str, list[str]]]
    headings: tuple[str, ...] = ()


def datasheet(results: Results, now: str) -> list[Part]:
    """The parts of the datasheet, in order; a part without rows is left out."""
    parts = [
        _part("Prompts and images", _images(results)),
        _models(results.study.models),
        _part("Questions", _questions(results)),
        _part("Design", _design(results)),
        _part("What annotators read", _texts(results)),
        _part("Votes", [*_planned_votes(results), *_votes(results.summary)]),
        _part("Simulation", simulation(results)),
        _part("Estimates", _estimates(results)),
        _part("Lock", flatten(results.lock)),
        _made(results.manifest),
        _part("Notes on generation", flatten(results.manifest.get("notes", {}))),
        _part("Report", _report(results, now)),
    ]
    return [part for part in parts if part.rows]


def _part(title: str, rows: list[tuple[str, str]]) -> Part:
    return Part(title, [(label, [value]) for label, value in rows])


def simulation(results: Results) -> list[tuple[str, str]]:
    """What the votes were simulated from; no rows where people voted."""
    return flatten(results.summary.get("simulation", {}))


def _planned_votes(results: Results) -> list[tuple[str, str]]:
    """What of the plan was there at the analysis, and every look at results before the end."""
    votes, looks = results.planned_votes, results.summary["planned_votes"]["early_looks"]
    early = [f"{look['given']:,} of {look['planned']:,} at {look['at']}" for look in looks]
    return [
        ("planned votes", votes.banner or f"all {votes.planned:,} were there at the analysis"),
        ("early looks", "; ".join(early) or "none"),
    ]


def _votes(summary: dict[str, Any]) -> list[tuple[str, str]]:
    apart = ("simulation", "planned_votes", "tables_sha256", "lock")
    counts = {key: value for key, value in summary.items() if key not in apart}
    return flatten(counts, null="not estimated")


def flatten(content: dict[str, Any], above: str = "", null: str = "none") -> list[tuple[str, str]]:
    """Rows for nested JSON: names joined by a dot, scalars and short lists of them as text.

    Things in a list are numbered where they are several; `null` stands for null; a long list of
    scalars is left out.
    """
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        label = f"{above} \N{MIDDLE DOT} {key}" if above else str(key)
        label = label.replace("_", " ")
        if isinstance(value, dict):
            rows += flatten(value, label, null)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            several = len(value) > 1
            for number, item in enumerate(value, start=1):
                rows += flatten(item, f"{label} {number}" if several else label, null)
        elif isinstance(value, list):
            if 0 < len(value) <= _LONGEST_LIST:
                rows.append((label, ", ".join(_plain(item, null) for item in value)))
        else:
            rows.append((label, _plain(value, null)))
    return rows


def _plain(value: object, null: str) -> str:
    if value is None:
        return null
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _images(results: Results) -> list[tuple[str, str]]:
    study, prompts = results.study, results.prompts
    drawn = "all" if study.prompts.n is None else f"{study.prompts.n}, draw = {study.prompts.draw}"
    rows = [
        ("prompt source", f"{study.prompts.source} ({drawn})"),
        *_source_rows(results.prompts_record),
        ("prompts", str(len(prompts))),
        ("image seeds", ", ".join(str(seed) for seed in study.images.seeds)),
        ("viewing size", f"{study.images.viewing_size} px square"),
    ]
    categories = prompts.loc[prompts["category"] != "", "category"].value_counts()
    if len(categories):
        counted = ", ".join(f"{name} {n}" for name, n in categories.items())
        rows.append(("categories", counted))
    for model, statuses in results.images.groupby("model")["status"]:
        counted = ", ".join(f"{n} {status}" for status, n in statuses.value_counts().items())
        rows.append((f"images of {model}", counted))
    return rows


def _source_rows(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What was read of the prompts' source, dropped and cut, as prompts.json has it."""
    if not record:
        return []
    source = record["source"]
    dropped = ", ".join(f"{n} {why.replace('_', '-')}" for why, n in source["dropped"].items() if n)
    rows = [("rows of the source", f"{source['rows']} read, dropped: {dropped or 'none'}")]
    cut = [
        f"{name} {len(model['over_long'])} (past {model['limit_tokens']} tokens)"
        for name, model in record["models"].items()
        if model["over_long"]
    ]
    return [*rows, ("prompts that a model cuts", "; ".join(cut) or "none")]


def _models(models: Sequence[ModelSpec]) -> Part:
    """The settings of each model; what none of them sets is left out."""
    settings = {
        model.name: model.model_dump(exclude={"name"}, exclude_defaults=True, mode="json")
        for model in models
    }
    return _by_model("Models", settings)


def _made(manifest: dict[str, Any]) -> Part:
    """How the images of each model were made; the settings stand in their own part."""
    models = manifest.get("models", {})
    return _by_model(
        "Images as made",
        {
            name: {key: value for key, value in made.items() if key != "settings"}
            for name, made in models.items()
        },
    )


def _by_model(title: str, contents: dict[str, dict[str, Any]]) -> Part:
    """One column per model and one row per label that any of them has."""
    columns = [dict(flatten(content)) for content in contents.values()]
    labels = dict.fromkeys(label for column in columns for label in column)
    rows = [(label, [column.get(label, "\N{EN DASH}") for column in columns]) for label in labels]
    return Part(title, rows, tuple(contents))


def _questions(results: Results) -> list[tuple[str, str]]:
    return [
        (
            question.id,
            f"{question.text} (prompt {'shown' if question.show_prompt else 'not shown'}; "
            f"choices: {', '.join(question.choices)})",
        )
        for question in results.study.questions
    ]


def _design(results: Results) -> list[tuple[str, str]]:
    design = results.study.design
    pairs = design.pairs
    return [
        ("pairs of models", "all" if pairs == "all" else "; ".join(" - ".join(p) for p in pairs)),
        ("votes per pair and question", str(design.votes_per_pair)),
        ("trials per annotator", f"at most {design.trials_per_annotator}"),
        ("attention checks", f"{design.attention_share:.0%} of trials"),
        ("hidden repeats", f"{design.repeat_share:.0%} of trials"),
        ("shortest viewing time", f"{design.min_viewing_ms} ms"),
        ("study seed", str(results.study.seed)),
    ]


def _texts(results: Results) -> list[tuple[str, str]]:
    texts = results.study.session
    return [("consent", texts.consent.strip()), ("instructions", texts.instructions.strip())]


def _estimates(results: Results) -> list[tuple[str, str]]:
    return [
        *(("win rate", method) for method in sorted(set(results.win_rates["method"]))),
        *(("rating", method) for method in sorted(set(results.ratings["method"]))),
        ("p-values", "corrected by Holm over the pairs of one question"),
    ]


def _report(results: Results, now: str) -> list[tuple[str, str]]:
    return [
        ("study file sha256", results.study.sha256),
        ("evalkit", _version()),
        ("written at", now),
    ]


def _version() -> str:
    try:
        return version("evalkit")
    except PackageNotFoundError:
        return "not installed as a package"
