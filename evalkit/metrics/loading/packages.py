"""Packages that a metric needs, or one sentence on how to get them."""

from importlib import import_module
from types import ModuleType

from evalkit.errors import ModelError


def require_package(package: str, metric: str) -> ModuleType:
    """The imported package; ModelError where it is not installed."""
    try:
        return import_module(package)
    except ImportError:
        raise ModelError(
            f"score: {metric} needs the package {package}, which is not installed; "
            'run: pip install "evalkit[metrics]"'
        ) from None
