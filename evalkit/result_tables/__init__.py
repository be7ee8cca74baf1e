"""Studies and vote files -> result tables on disk."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.result_tables.files import analyze_file
    from evalkit.result_tables.options import Options
    from evalkit.result_tables.studies import analyze_study
    from evalkit.result_tables.writing import Analysis

__all__ = ["Analysis", "Options", "analyze_file", "analyze_study"]

# Loaded on first use: a vote file needs no vote database, and a study no reader of files.
_MODULES = {
    "Analysis": "writing",
    "Options": "options",
    "analyze_file": "files",
    "analyze_study": "studies",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'evalkit.result_tables' has no attribute {name!r}")
    return getattr(import_module(f"evalkit.result_tables.{_MODULES[name]}"), name)
