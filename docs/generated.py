"""Pages of the guide that are made from the code: the data dictionary and every command's help.

`python -m docs.generated` writes them; a test fails where they differ from the code.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from evalkit import tables
from evalkit.tables import Column, Table
from evalkit.tables.meanings import meaning

DOCS = Path(__file__).parent
_KINDS = {
    "text": "text",
    "integer": "whole number",
    "number": "number",
    "flag": "true or false",
    "file": "path below its folder",
}
WHERE = {  # table -> its file below the study folder, and what a row is
    "PROMPTS": ("prompts.csv", "a prompt of the study"),
    "IMAGES": ("images.csv", "an image, made or not"),
    "PAIRS": ("pairs.csv", "two images of one prompt and seed: the key that puts names back"),
    "CHECKS": ("checks.csv", "a pair with a right answer"),
    "BLINDED_PAIRS": ("the vote database", "a pair as the app knows it, without model names"),
    "TRIALS": ("the vote database", "one showing of a pair to one annotator"),
    "VOTES": ("the vote database", "the answer to a trial, as it stands"),
    "SCORES": ("scores/METRIC.csv", "a metric's score of an image"),
    "JUDGEMENTS": ("judgements/METRIC.csv", "a judge's answers on a pair, in both orders"),
    "SET_SCORES": ("sets/METRIC.csv, analysis/sets.csv", "a model's images against a reference"),
    "SPREADS": ("spreads/METRIC.csv", "how different a prompt's images are across seeds"),
    "COMPARISONS": ("analysis/comparisons.csv", "a vote with the names put back"),
    "IMPORTED_VOTES": ("votes from elsewhere", "a vote, as `evalkit analyze FILE` reads it"),
    "WIN_RATES": ("analysis/win_rates.csv", "a question and pair of models (and slice)"),
    "TIE_RULES": ("analysis/tie_rules.csv", "a question, pair of models and rule for ties"),
    "ANYTIME": ("analysis/anytime.csv", "a question and pair, at any look"),
    "LEFT_SHARE": ("analysis/sides.csv", "a question"),
    "RATINGS": ("analysis/ratings.csv", "a question and model"),
    "STABILITY": ("analysis/stability.csv", "a question, model and what is left out"),
    "ELO": ("analysis/elo.csv", "a question and model"),
    "AGREEMENT": ("analysis/agreement.csv", "a question and measure"),
    "ANNOTATORS": ("analysis/annotators.csv", "an annotator"),
    "EXCLUDED": ("in Python", "an annotator and a rule that sets them aside"),
    "EXCLUSIONS": ("analysis/exclusions.csv", "a rule, and the totals"),
    "SENSITIVITY": ("analysis/sensitivity.csv", "a headline number with and without exclusions"),
    "MEAN_SCORES": (
        "analysis/scores.csv, analysis/spreads.csv",
        "a metric, its weights and a model",
    ),
    "MARGINS": ("in Python", "a pair with both scores of a metric (`evalkit.margins`)"),
    "JUDGE_BIAS": ("analysis/judge_bias.csv", "a judge and question: does it prefer a place?"),
    "METRIC_AGREEMENT": ("analysis/metric_agreement.csv", "a question, metric and measure"),
    "METRIC_BINS": ("analysis/metric_bins.csv", "a question, metric and bin of differences"),
    "METRIC_DIFFERENCES": ("analysis/metric_differences.csv", "a metric and pair of models"),
    "DISAGREEMENTS": ("analysis/disagreements.csv", "a pair on which people and metric differ"),
    "SPEED": ("analysis/speed.csv", "a model"),
}


def pages() -> dict[str, str]:
    """The content of each generated page by its file name in docs/."""
    return {"data-dictionary.md": data_dictionary(), "commands.md": commands()}


def data_dictionary() -> str:
    """Every table that crosses a boundary: where it lies, what a row is, what its columns mean."""
    parts = [
        "# Data dictionary",
        "",
        "Written from the code that checks these tables; a value that is not allowed is refused. "
        "Tables are CSV, UTF-8, one row per thing; times are UTC, ISO 8601; units stand in the "
        "name or below. *may be empty*: the cell; *may be absent*: the column.",
    ]
    for name, (place, row) in WHERE.items():
        table = getattr(tables, name)
        parts += ["", f"## {table.name}: {place}", "", f"A row is {row}.{_key(table)}", ""]
        parts += ["| column | kind | meaning |", "|---|---|---|"]
        parts += [_row(table, column) for column in table.columns]
    return "\n".join(parts) + "\n"


def _key(table: Table) -> str:
    return f" Named by {', '.join(f'`{name}`' for name in table.key)}." if table.key else ""


def _row(table: Table, column: Column) -> str:
    kind = ", ".join(f"`{value}`" for value in column.allowed) or _KINDS[column.kind]
    kind += ", may be empty" if column.empty else ""
    kind += "" if column.required else ", may be absent"
    return f"| `{column.name}` | {kind} | {meaning(table, column.name)} |"


def commands() -> str:
    """The help of every command, as it is printed."""
    parts = [
        "# Commands",
        "",
        "What `evalkit COMMAND --help` prints. A mistake is answered in one sentence with exit "
        "code 2; exit code 1 is a fault of evalkit's own, 0 all else; 130 after Ctrl-C.",
    ]
    for words in _commands():
        parts += ["", f"## evalkit {' '.join(words)}".rstrip(), "", "```text", help_of(*words)]
        parts += ["```"]
    return "\n".join(parts) + "\n"


def _commands() -> list[tuple[str, ...]]:
    """Every command, groups before what they hold."""
    import typer.main

    from evalkit.cli import app

    found: list[tuple[str, ...]] = []

    def walk(command: object, words: tuple[str, ...]) -> None:
        found.append(words)
        for name, below in getattr(command, "commands", {}).items():
            walk(below, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


def help_of(*words: str) -> str:
    """What `evalkit WORDS --help` prints, 100 columns wide."""
    done = subprocess.run(
        [sys.executable, "-m", "evalkit.cli", *words, "--help"],
        env={**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [
        line.rstrip()
        for line in done.stdout.replace("python -m evalkit.cli", "evalkit").splitlines()
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def main() -> None:
    """Write the pages."""
    for name, content in pages().items():
        (DOCS / name).write_text(content, encoding="utf-8")
        print(f"Wrote docs/{name}")


if __name__ == "__main__":
    main()
