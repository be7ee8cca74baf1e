"""Votes that lie on the disk -> the result tables that their sums can give."""

import pandas as pd

from evalkit.analysis.from_sums import left_share_of, ratings_of, tie_rules_of, win_rates_of
from evalkit.result_tables.options import Options
from evalkit.vote_files.out_of_core import LargeVotes

_SINGLE_VOTES = "not computed out of core: it needs single votes"
NOT_COMPUTED = dict.fromkeys(
    ("stability", "elo", "agreement", "annotators", "exclusions", "sensitivity"), _SINGLE_VOTES
)


def large_estimates(votes: LargeVotes, options: Options) -> dict[str, pd.DataFrame]:
    """Win rates, rules for ties, sides and ratings, with the same numbers as in memory."""
    sure = {"interval": options.interval, "level": options.level}
    return {
        "win_rates": win_rates_of(votes.pairs, ties=options.share_rule, **sure),
        "tie_rules": tie_rules_of(votes.pairs, **sure),
        "sides": left_share_of(votes.pairs, votes.sides, **sure),
        "ratings": ratings_of(votes.pairs, ties=options.ties, level=options.level),
    }
