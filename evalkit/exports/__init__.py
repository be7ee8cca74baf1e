"""A study's votes for others: pseudonymous tables, data sets with images, preference pairs."""

from evalkit.exports.study_export import FORMATS, Export, export_study

__all__ = ["FORMATS", "Export", "export_study"]
