"""The systems under test: the catalogue and the settings that make a model's images."""

from evalkit.models.catalogue import CATALOGUE, resolve
from evalkit.models.spec import ModelSpec

__all__ = ["CATALOGUE", "ModelSpec", "resolve"]
