"""The systems under test: the catalogue and the settings that make a model's images."""

from evalkit.models.catalogue import CATALOGUE, resolve
from evalkit.models.kinds import (
    KINDS,
    CascadeModel,
    CommandModel,
    DiffusionModel,
    FunctionModel,
    ImportedModel,
)
from evalkit.models.spec import ModelSpec

__all__ = [
    "CATALOGUE",
    "KINDS",
    "CascadeModel",
    "CommandModel",
    "DiffusionModel",
    "FunctionModel",
    "ImportedModel",
    "ModelSpec",
    "resolve",
]
