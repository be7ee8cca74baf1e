"""Votes collected elsewhere: read and checked, in memory or, where they are many, by DuckDB."""

from evalkit.vote_files.cells import READERS
from evalkit.vote_files.reading import VoteFile, read_vote_file, read_votes

ENDINGS = tuple(READERS)

__all__ = ["ENDINGS", "VoteFile", "read_vote_file", "read_votes"]
