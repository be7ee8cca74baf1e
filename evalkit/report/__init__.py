"""The report: result tables in, one self-contained page with its tables and figures out."""

from evalkit.report.page import write_report

__all__ = ["write_report"]
