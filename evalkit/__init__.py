"""evalkit: matched images, blind votes and win rates with honest intervals."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public names and the module each lives in; loaded on first use, so `import evalkit` stays light.
_PUBLIC = {
    "EvalkitError": "evalkit.errors",
    "ModelSpec": "evalkit.models",
    "Study": "evalkit.study",
    "StudyFolder": "evalkit.study_folder",
    "agreement": "evalkit.analysis",
    "disagreements": "evalkit.analysis",
    "elo": "evalkit.analysis",
    "generate": "evalkit.generation",
    "left_share": "evalkit.analysis",
    "margins": "evalkit.analysis",
    "metric_agreement": "evalkit.analysis",
    "metric_bins": "evalkit.analysis",
    "metric_differences": "evalkit.analysis",
    "open_study": "evalkit.study_folder",
    "ratings": "evalkit.analysis",
    "read_study": "evalkit.study",
    "stability": "evalkit.analysis",
    "tie_rules": "evalkit.analysis",
    "win_rates": "evalkit.analysis",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
