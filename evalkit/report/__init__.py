"""The report: result tables in, one self-contained page with its tables and figures out."""

from evalkit.report.page import write_report
from evalkit.report.results import analysed_votes

__all__ = ["analysed_votes", "write_report"]
