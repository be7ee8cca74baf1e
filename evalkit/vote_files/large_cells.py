"""The cells of a Parquet file that stays on disk: the same refusals as in memory, asked in SQL."""

from pathlib import Path
from typing import NoReturn

import pandas as pd

from evalkit import tables
from evalkit.errors import TableError
from evalkit.vote_files.formats import FORMATS
from evalkit.vote_files.parquet import Parquet, quoted
from evalkit.vote_files.reading import DEFAULT, require_columns
from evalkit.vote_files.values import (
    MISSING,
    MODELS,
    Values,
    check_column,
    check_names,
    check_pairs,
    in_one_line,
)

_TRIALS = {"trial_id": ("trial_id",), "pair_id": ("annotator_id", "question_id", "pair_id")}


class LargeCells:
    """The columns of an open Parquet file of votes (`tables.IMPORTED_VOTES`), all cells allowed.

    Only the different texts of each column come into memory, and of trial_id none but those that
    may have to be refused. TableError, with row and column, on what `read_vote_file` refuses.
    """

    def __init__(self, path: Path, file: Parquet) -> None:
        self.path, self.file = path, file
        require_columns(path, file.names, FORMATS[DEFAULT])
        self.values: dict[str, Values] = {}
        for column in tables.IMPORTED_VOTES.columns:
            if self.has(column.name):
                where = _doubtful(self.file.text("trial_id")) if column.name == "trial_id" else ""
                self.values[column.name] = self._values(column.name, where)
                check_column(column, self.values[column.name], self._refuse)
        check_names(self.values, self._refuse)
        check_pairs(self._pairs(), self._refuse)
        self._check_trials()

    def has(self, name: str) -> bool:
        """Whether the file has the column."""
        return name in self.file.names

    def texts(self, *columns: str) -> list[str]:
        """The different texts of one or more columns, sorted."""
        return sorted({text for column in columns for text in self.values[column].texts})

    def _refuse(self, row: int, column: str, why: str) -> NoReturn:
        raise TableError(in_one_line(f"{self.path}: row {row + 1}, column {column}: {why}"))

    def _values(self, name: str, where: str = "") -> Values:
        found = self._asked(
            f"SELECT {self.file.text(name)} AS text, min(file_row_number) AS row "
            f"FROM {self.file.source} {where} GROUP BY text"
        )
        return Values(found["text"].to_numpy(dtype=object), found["row"].to_numpy())

    def _pairs(self) -> pd.DataFrame:
        names = [name for name in (*MODELS, "left_model") if self.has(name)]
        columns = ", ".join(f'{self.file.text(name)} AS "{name}"' for name in names)
        return self._asked(
            f"SELECT {columns}, min(file_row_number) AS row FROM {self.file.source} GROUP BY ALL"
        )

    def _check_trials(self) -> None:
        for name, key in _TRIALS.items():
            if not self.has(name):
                continue
            where = f"{self.file.text(name)} <> ''"
            if name == "pair_id" and self.has("kind"):
                where += f" AND {self.file.text('kind')} = 'main'"
            columns = ", ".join(self.file.text(column) for column in key)
            twice = self._asked(
                f"SELECT max(file_row_number) AS row, max({self.file.text(name)}) AS text "
                f"FROM {self.file.source} WHERE {where} GROUP BY {columns} "
                "HAVING count(*) > 1 ORDER BY row LIMIT 1"
            )
            if len(twice):
                who = "" if name == "trial_id" else " for one annotator and question"
                self._refuse(
                    int(twice["row"].iloc[0]),
                    name,
                    f'"{twice["text"].iloc[0]}" stands twice{who}; remove one of the rows',
                )

    def _asked(self, query: str) -> pd.DataFrame:
        return pd.DataFrame(self.file.ask(query))


def _doubtful(text: str) -> str:
    """A condition of SQL that holds for every text that `check_column` may refuse in a name."""
    return (
        f"WHERE {text} = '' OR {text} IN ({', '.join(map(quoted, MISSING))}) OR "
        f"regexp_matches({text}, '^[\\s\\pZ]|[\\s\\pZ]$|[\\pC\\p{{Zl}}\\p{{Zp}}]')"
    )
