"""Votes beyond memory: coded by DuckDB on the disk, then summed a part at a time.

What comes out are the sums of `evalkit.analysis.vote_sums`; they do not grow with the votes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from evalkit import tables
from evalkit.analysis.vote_sums import (
    OUTCOMES,
    Clustered,
    Layout,
    PromptSums,
    VoteSums,
    clustered,
    heaviest_dissent,
    one_sided,
    prompt_sums,
    votes_by_cluster,
)
from evalkit.errors import TableError
from evalkit.progress import Progress, no_progress
from evalkit.vote_files.large_cells import LargeCells
from evalkit.vote_files.parquet import opened, quoted
from evalkit.vote_files.values import MODELS

ROWS_IN_MEMORY = 2_000_000  # a Parquet file with more votes is not read into memory
MOST_PAIRS = 1000  # of models: the sums grow with the square of their number
_PART = 5_000_000  # votes in memory at once
_NOBODY_KNOWS = OUTCOMES  # the code of a vote whose sides are unknown
_CODES = (  # column of the coded table, of the file, and the kind of name
    ("question", "question_id", "question"),
    ("prompt", "prompt_id", "prompt"),
    ("annotator", "annotator_id", "annotator"),
    ("a", "model_a", "model"),
    ("b", "model_b", "model"),
    ("winner", "winner", "winner"),
)

Votes = dict[str, np.ndarray]  # question, prompt, annotator, pair, side: codes, one per vote


@dataclass(frozen=True)
class LargeVotes:
    """The votes of a file in sums, per question: those of its pairs, and those of its sides.

    `sides` has one pair, the left image against the right one, of the votes whose sides are known;
    questions without such a vote are not in it. `n_rows` counts all rows of the file, `n_main`
    those of kind main; the sums, `n_prompts` and `n_annotators` are of those that nobody excluded.
    """

    pairs: dict[str, VoteSums]
    sides: dict[str, VoteSums]
    n_rows: int
    n_main: int
    n_prompts: int
    n_annotators: int
    simulated: bool


def is_large(path: Path) -> bool:
    """Whether a vote file is so large that it is not read into memory."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return False
    with opened(path) as file:
        return file.n > ROWS_IN_MEMORY


def read_large(path: Path, progress: Progress = no_progress) -> LargeVotes:
    """The sums of the votes (`tables.IMPORTED_VOTES`) in a Parquet file.

    Refuses what `read_vote_file` refuses, and more than `MOST_PAIRS` pairs of models. Needs memory
    for a part of the votes and for the ids of prompts and annotators; the votes as codes, some ten
    bytes each, lie beside the system's temporary files meanwhile. `progress` gets (parts summed,
    of them in all, "parts of the votes").
    """
    if path.suffix.lower() != ".parquet":
        raise TableError(
            f'{path}: the ending "{path.suffix}"; out of core only .parquet is read; save the '
            "votes as Parquet, or leave --out-of-core out"
        )
    if not path.is_file():
        raise TableError(f"{path}: no such file; a table of votes is needed there")
    with TemporaryDirectory(prefix="evalkit-") as scratch, opened(path, Path(scratch)) as file:
        return _CodedVotes(LargeCells(path, file), progress).sums()


class _CodedVotes:
    """The votes that count, as numbers in a table on the disk."""

    def __init__(self, cells: LargeCells, progress: Progress) -> None:
        self.progress, self.summed = progress, 0
        self.cells, self.connection = cells, cells.file.connection
        self.questions = cells.texts("question_id")
        self.models = cells.texts(*MODELS)
        self._write()
        self.n = self._count("*", "votes")

    def sums(self) -> LargeVotes:
        """The sums per question."""
        coded = {**self._pairs(), **self._sides()}
        by_prompt: dict[tuple[str, int], PromptSums] = {}
        by_annotator: dict[tuple[str, int], Clustered] = {}
        for name, one, code in self._parts("prompt", coded):
            part = prompt_sums(one["prompt"], one["annotator"], code, coded[name].layout)
            by_prompt[name] = by_prompt[name] + part if name in by_prompt else part
        for name, one, code in self._parts("annotator", coded):
            layout = coded[name].layout
            part = clustered(votes_by_cluster(one["annotator"], code, layout), layout)
            by_annotator[name] = by_annotator[name] + part if name in by_annotator else part
        found: dict[str, dict[str, VoteSums]] = {"pairs": {}, "sides": {}}
        for name, sums in by_prompt.items():
            kind, question = name
            layout = coded[name].layout
            heaviest = self._heaviest(question, coded[name], sums.counts)
            found[kind][self.questions[question]] = VoteSums(
                layout, sums, by_annotator[name], heaviest
            )
        return LargeVotes(
            pairs=found["pairs"],
            sides=found["sides"],
            n_rows=self.cells.file.n,
            n_main=self._n_main(),
            n_prompts=self._count("DISTINCT prompt", "votes"),
            n_annotators=self._count("DISTINCT annotator", "votes"),
            simulated=self.cells.has("vote_source")
            and tables.SIMULATED in self.cells.texts("vote_source"),
        )

    def _count(self, what: str, source: str) -> int:
        return int(self._ask(f"SELECT count({what}) AS n FROM {source}")["n"][0])

    def _n_main(self) -> int:
        where = f" WHERE {self.cells.file.text('kind')} = 'main'" if self.cells.has("kind") else ""
        return self._count("*", self.cells.file.source + where)

    def _write(self) -> None:
        """Make the table `votes`: question, prompt, annotator, first, second, outcome, side."""
        text = self.cells.file.text
        for name, texts in (
            ("question", self.questions),
            ("model", self.models),
            ("winner", tables.WINNERS),
        ):
            self._name(name, ", ".join(quoted(one) for one in texts))
        for name in ("prompt", "annotator"):
            self._name(name, f"SELECT DISTINCT {text(f'{name}_id')} FROM {self.cells.file.source}")
        codes = ", ".join(
            f"enum_code(CAST({text(column)} AS {kind}_name)) AS {name}"
            for name, column, kind in _CODES
        )
        left = text("left_model") if self.cells.has("left_model") else "''"
        counts = [
            f"{text(column)} = {quoted(value)}"
            for column, value in (("kind", "main"), ("excluded_by", ""))
            if self.cells.has(column)
        ]
        self.connection.execute(
            "CREATE TABLE votes AS SELECT question, prompt, annotator, "
            "least(a, b) AS first, greatest(a, b) AS second, "
            "CAST(CASE WHEN a > b AND winner < 2 THEN 1 - winner ELSE winner END AS UTINYINT) "
            "AS outcome, "
            f"CAST(CASE WHEN lay_left = '' THEN {_NOBODY_KNOWS} WHEN winner >= 2 THEN winner "
            "WHEN (lay_left = model_a) = (winner = 0) THEN 0 ELSE 1 END AS UTINYINT) AS side "
            f"FROM (SELECT {codes}, {left} AS lay_left, {text('model_a')} AS model_a "
            f"FROM {self.cells.file.source} WHERE {' AND '.join(counts) or 'true'})"
        )

    def _name(self, name: str, texts: str) -> None:
        """Number the texts, given as literals or as a query."""
        self.connection.execute(f"CREATE TYPE {name}_name AS ENUM ({texts})")

    def _pairs(self) -> dict[tuple[str, int], "_Codes"]:
        """The pairs of each question that has votes; its models are those compared in it."""
        found = self._ask("SELECT DISTINCT question, first, second FROM votes ORDER BY ALL")
        coded = {}
        for question in np.unique(found["question"]):
            rows = found["question"] == question
            if rows.sum() > MOST_PAIRS:
                raise TableError(
                    f"{self.cells.path}: {rows.sum()} pairs of models on "
                    f"{self.questions[question]}; allowed out of core are {MOST_PAIRS}; analyse "
                    "some of the models at a time"
                )
            first, second = (found[name][rows].astype(np.int64) for name in ("first", "second"))
            present, places = np.unique(np.concatenate([first, second]), return_inverse=True)
            models = tuple(self.models[model] for model in present)
            table = np.full((len(self.models), len(self.models)), -1, dtype=np.int64)
            table[first, second] = np.arange(len(first))
            layout = Layout(models, *places.reshape(2, -1))
            coded["pairs", int(question)] = _Codes(layout, table)
        return coded

    def _sides(self) -> dict[tuple[str, int], "_Codes"]:
        """The left image against the right one, of each question with a vote of known sides."""
        found = self._ask(f"SELECT DISTINCT question FROM votes WHERE side <> {_NOBODY_KNOWS}")
        layout = Layout(("left", "right"), np.array([0]), np.array([1]))
        return {("sides", int(question)): _Codes(layout, None) for question in found["question"]}

    def _parts(
        self, cluster: str, coded: dict[tuple[str, int], "_Codes"]
    ) -> Iterator[tuple[tuple[str, int], Votes, np.ndarray]]:
        """Part after part, the votes of each question with their codes.

        No prompt (or annotator, by `cluster`) is divided among two parts.
        """
        parts = -(-self.n // _PART)
        for part in range(parts):
            votes = self._ask(f"SELECT * FROM votes WHERE {cluster} % {parts} = {part}")
            for name, codes in coded.items():
                rows = votes["question"] == name[1]
                if codes.pairs is None:
                    rows &= votes["side"] != _NOBODY_KNOWS
                if rows.any():
                    one = {column: values[rows] for column, values in votes.items()}
                    yield name, one, codes.of(one)
            self.summed += 1
            self.progress(self.summed, 2 * parts, "parts of the votes")  # by prompt, by annotator

    def _heaviest(
        self, question: int, coded: "_Codes", counts: np.ndarray
    ) -> dict[tuple[int, str], tuple[int, int, int]]:
        """`ShareSums.heaviest` of the pairs of which one side got no vote."""
        found = {}
        for pair in one_sided(counts):
            votes = self._ask(
                "SELECT prompt, annotator, outcome, side FROM votes "
                f"WHERE question = {question} AND {coded.where(pair)}"
            )
            outcome = votes["side"] if coded.pairs is None else votes["outcome"]
            dissent = heaviest_dissent(votes["prompt"], votes["annotator"], outcome)
            found |= {(pair, rule): weight for rule, weight in dissent.items()}
        return found

    def _ask(self, query: str) -> Votes:
        found = self.connection.execute(query).fetchnumpy()
        return {name: np.asarray(values) for name, values in found.items()}


@dataclass(frozen=True)
class _Codes:
    """How votes are coded: by pair and outcome (`pairs`: the pair of two models), or by side."""

    layout: Layout
    pairs: np.ndarray | None

    def of(self, votes: Votes) -> np.ndarray:
        """The code of each vote, as the layout has it."""
        if self.pairs is None:
            return votes["side"].astype(np.int64)
        return OUTCOMES * self.pairs[votes["first"], votes["second"]] + votes["outcome"]

    def where(self, pair: int) -> str:
        """A condition of SQL for the votes of one pair."""
        if self.pairs is None:
            return f"side <> {_NOBODY_KNOWS}"
        [[first, second]] = np.argwhere(self.pairs == pair)
        return f"first = {first} AND second = {second}"
