"""Votes that an adaptive choice of pairs and dropping decided ones save; see README.md.

Simulated studies of eight models. Prints the tables and adds them to RESULTS.md.
"""

import argparse
import os
import platform
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy import stats
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.chosen_votes import (
    AT_WORK,
    MATCHUPS,
    MODELS,
    PROMPTS,
    TRIALS,
    UNIFORM,
    Scale,
    Votes,
    cast,
    matchups_of,
)
from benchmarks.results import RESULTS, add_section, processor
from evalkit.analysis.clusters import share_sums
from evalkit.analysis.intervals import share_from
from evalkit.analysis.paired_models import fit, fit_counts
from evalkit.analysis.power import exact_votes
from evalkit.analysis.sequential import log_e
from evalkit.errors import EstimateError
from evalkit.simulate import Population, expected_share

SHARES = (UNIFORM, 0.4, 0.3, 0.2, 0.0)  # 0 is refused by a design
INDEPENDENT, CLUSTERED = Population(), Population(prompt_sd=1.0, annotator_sd=0.6)
LEVEL, POWER = 0.95, 0.9
_REDRAWS = 2000  # of studies, for the interval of a ratio


SCALES = (
    Scale("small gaps", (0.2,) * 7, horizon=20_000, first_look=300),
    Scale("wide gaps", (0.6,) * 7, horizon=4_000, first_look=100),
    Scale("mixed gaps", (0.8, 0.2, 0.8, 0.2, 0.8, 0.2, 0.8), horizon=20_000, first_look=200),
)


@dataclass(frozen=True)
class Size:
    """How many studies each part simulates, and the votes of one whose intervals are counted."""

    ranked: int = 100
    covered: int = 150
    dropped: int = 40
    votes: int = 2_800
    scales: tuple[Scale, ...] = SCALES


_SHORT = replace(SCALES[1], horizon=1_500)
QUICK = Size(ranked=12, covered=4, dropped=2, votes=840, scales=(_SHORT,))


def main() -> None:
    """Run all parts and write down what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few studies, printed only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file it is added to")
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    load, started = os.getloadavg()[0], perf_counter()
    lines = [*ranking(size, given.seed), "", *coverage(size, given.seed), ""]
    lines += dropping(size, given.seed)
    if given.quick:
        print("\n".join(lines))
        return
    lines += ["", f"Seed {given.seed}; {perf_counter() - started:.0f} s of one core."]
    where = f"{processor()}; Python {platform.python_version()}; load before: {load:.1f}"
    add_section(where, lines, given.results)


def votes_to_rank(
    scale: Scale, share: float, n_studies: int, seed: int, population: Population = INDEPENDENT
) -> np.ndarray:
    """Of each study: the first look from which on every look ranks the models rightly.

    The ranking is Bradley-Terry's; one that has no finite ratings is wrong. Infinite where the last
    look is wrong.
    """
    found = []
    for study in range(n_studies):
        votes = cast(scale, share, scale.horizon, population, np.random.default_rng([seed, study]))
        is_wrong = np.array([not _is_ranked(votes, look) for look in scale.looks])
        after = len(is_wrong) - is_wrong[::-1].argmax() if is_wrong.any() else 0
        found.append(scale.looks[after] if after < len(is_wrong) else np.inf)
    return np.array(found, dtype=float)


def _is_ranked(votes: Votes, look: int) -> bool:
    matchup = votes.matchup[:look]
    n = np.bincount(matchup, minlength=MATCHUPS)
    won = np.bincount(matchup, votes.won[:look], minlength=MATCHUPS)
    try:
        strengths = fit_counts(matchups_of(won, n)).strengths
    except EstimateError:
        return False
    return bool((np.diff(strengths) < 0).all())


def ranking(size: Size, seed: int) -> list[str]:
    """Votes to the right ranking under each policy, as lines of Markdown."""
    lines = [
        "### Votes to the right ranking of 8 models",
        "",
        f"Until Bradley-Terry ranks all 8 rightly and does so at every later look (every 6% more "
        f"votes, to the horizon): median and 90% quantile of {size.ranked} studies, independent "
        f"votes, {AT_WORK} annotators at work. Saving: the uniform median over this one, with its "
        "95% bootstrap interval. Uniform share 0 is refused by a design.",
        "",
        "| gaps | uniform share | median | 90% | saving | not by the horizon |",
        "|---|---|---|---|---|---|",
    ]
    for scale in size.scales:
        uniform = votes_to_rank(scale, UNIFORM, size.ranked, seed)
        for share in SHARES:
            found = (
                uniform if share == UNIFORM else votes_to_rank(scale, share, size.ranked, seed + 1)
            )
            low, high = np.quantile(
                _redrawn(uniform, seed) / _redrawn(found, seed + 1), [0.025, 0.975]
            )
            median, late = np.quantile(found, [0.5, 0.9], method="higher")
            ratio = _median(uniform) / _median(found)
            saving = "1" if share == UNIFORM else f"{ratio:.2f} ({low:.2f}-{high:.2f})"
            missed = f"{np.isinf(found).sum()} after {scale.horizon:,}"
            lines.append(
                f"| {_said(scale)} | {_policy(share)} | {_count(median)} | {_count(late)} | {saving} "
                f"| {missed} |"
            )
    return lines


def _median(found: np.ndarray) -> np.ndarray:
    """Along the last axis; of an even number the lower one, so that infinity is never averaged."""
    return np.quantile(found, 0.5, axis=-1, method="lower")


def _redrawn(found: np.ndarray, seed: int) -> np.ndarray:
    """Medians of studies drawn anew."""
    rng = np.random.default_rng(seed)
    return _median(found[rng.integers(len(found), size=(_REDRAWS, len(found)))])


def covered(
    scale: Scale, share: float, n_studies: int, votes: int, population: Population, seed: int
) -> Counter[str]:
    """How many intervals of `n_studies` studies hold the truth, by kind, and how many there were.

    Kinds: two-way and wilson (win rates), ratings; those under each name hold the truth, "of "
    counts all that exist, "no " those that could not be estimated.
    """
    truths = np.array([expected_share(gap, population) for gap in scale.matchup_gaps])
    strengths = fit_counts(matchups_of(1000 * truths, np.full(MATCHUPS, 1000.0))).strengths
    found: Counter[str] = Counter()
    for study in range(n_studies):
        cast_votes = cast(scale, share, votes, population, np.random.default_rng([seed, study]))
        for matchup, truth in enumerate(truths):
            rows = cast_votes.matchup == matchup
            sums = share_sums(
                cast_votes.won[rows], cast_votes.prompt[rows], cast_votes.annotator[rows]
            )
            for kind in ("two-way", "wilson"):
                result = share_from(sums, kind)
                _tally(found, kind, np.array([result.ci_low]), np.array([result.ci_high]), truth)
        _tally(found, "ratings", *_rating_bounds(cast_votes), strengths)
    return found


def _rating_bounds(votes: Votes) -> tuple[np.ndarray, np.ndarray]:
    """The bounds that `evalkit.analysis.ratings` gives."""
    size = len(MODELS)
    try:
        fitted = fit(votes.coded)
    except EstimateError:
        return np.full(size, np.nan), np.full(size, np.nan)
    errors = np.sqrt([fitted.variance(contrast) for contrast in np.eye(size) - 1 / size])
    freedom = min(fitted.n_prompts, fitted.n_annotators) - 1
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * errors
    return fitted.strengths - half, fitted.strengths + half


def _tally(
    found: Counter[str], kind: str, low: np.ndarray, high: np.ndarray, truth: np.ndarray | float
) -> None:
    exists = ~np.isnan(low)
    found[kind] += int(((low <= truth) & (truth <= high)).sum())
    found[f"of {kind}"] += int(exists.sum())
    found[f"no {kind}"] += int((~exists).sum())


def coverage(size: Size, seed: int) -> list[str]:
    """Coverage of the intervals at the end of a study under each policy, as lines of Markdown."""
    lines = [
        "### Coverage of the 95% intervals after an adaptive choice",
        "",
        f"At the end of {size.votes:,} votes on {MATCHUPS} matchups and {PROMPTS} prompts, by "
        f"annotators of {TRIALS} votes each; {size.covered} studies a line. Effects: sd "
        f"{CLUSTERED.prompt_sd:g} of prompts and {CLUSTERED.annotator_sd:g} of annotators "
        "(log-odds). Two-way is the default of a win rate; Wilson takes votes as independent. "
        "None: win rates without an interval (too few votes).",
        "",
        "| gaps | votes | uniform share | win rates, two-way | win rates, Wilson | ratings | none |",
        "|---|---|---|---|---|---|---|",
    ]
    for scale in size.scales[:2]:
        for name, population in (("independent", INDEPENDENT), ("with effects", CLUSTERED)):
            for share in SHARES:
                found = covered(scale, share, size.covered, size.votes, population, seed)
                rates = [
                    f"{found[kind] / found[f'of {kind}']:.1%}"
                    for kind in ("two-way", "wilson", "ratings")
                ]
                none = found["no two-way"] / (size.covered * MATCHUPS)
                lines.append(
                    f"| {_said(scale)} | {name} | {_policy(share)} | {' | '.join(rates)} "
                    f"| {none:.1%} |"
                )
    return lines


@dataclass(frozen=True)
class Dropping:
    """Votes of a study whose pairs are dropped once they are decided, against equal numbers.

    `fixed` votes per pair give the closest pairs the power; so do at most `cap` of a sequence.
    `total` is the mean over studies; `power` and `fixed_power` are those of all pairs.
    """

    fixed: int
    cap: int
    total: float
    closest: float
    power: float
    wrong: float

    @property
    def saving(self) -> float:
        """Votes of equal numbers over those of dropping."""
        return MATCHUPS * self.fixed / self.total


def dropped(scale: Scale, n_studies: int, seed: int) -> Dropping:
    """Every pair gets votes on new prompts until its e-process of 1/2 passes 28 / .05.

    The cap is where the closest pairs are decided rightly with the power of the fixed number.
    """
    alpha = (1 - LEVEL) / MATCHUPS
    shares = expit(scale.matchup_gaps)
    closest = np.isclose(shares, shares.min())
    fixed = exact_votes(float(shares.min()), POWER, alpha).stable
    longest = 3 * fixed
    stops, rightly = (np.empty((n_studies, MATCHUPS), dtype=kind) for kind in (float, bool))
    rng = np.random.default_rng(seed)
    for study in range(n_studies):
        for matchup, share in enumerate(shares):
            points = (rng.random(longest) < share).astype(float)
            is_over = log_e(points, 0.5) >= -np.log(alpha)
            stop = int(is_over.argmax()) + 1 if is_over.any() else longest + 1
            stops[study, matchup] = stop
            rightly[study, matchup] = is_over.any() and points[:stop].mean() > 0.5
    right_at = np.where(rightly, stops, np.inf)
    cap = int(min(longest, np.quantile(right_at[:, closest], POWER, method="higher")))
    in_time = stops <= cap
    return Dropping(
        fixed=fixed,
        cap=cap,
        total=float(np.minimum(stops, cap).sum(axis=1).mean()),
        closest=float(np.minimum(stops, cap)[:, closest].mean()),
        power=float((in_time & rightly).mean()),
        wrong=float((in_time & ~rightly).any(axis=1).mean()),
    )


def dropping(size: Size, seed: int) -> list[str]:
    """Votes on 28 pairs with decided ones dropped, as lines of Markdown."""
    lines = [
        f"### {MATCHUPS} pairs, decided ones dropped",
        "",
        f"Independent votes, one per prompt; level .05 / {MATCHUPS} for each pair. Fixed: the exact "
        f"binomial test's votes per pair that decide a closest pair with power {POWER:g}. Dropped: "
        "each pair until its anytime-valid interval leaves out 1/2, at most the cap that gives a "
        f"closest pair the same power; mean of {size.dropped} studies. Wrong: studies with any pair "
        "decided the wrong way.",
        "",
        "| gaps | fixed: each pair | in all | dropped: cap | a closest pair | in all | saving "
        "| pairs decided rightly | wrong |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for scale in size.scales:
        found = dropped(scale, size.dropped, seed)
        lines.append(
            f"| {_said(scale)} | {found.fixed:,} | {MATCHUPS * found.fixed:,} | {found.cap:,} "
            f"({found.cap / found.fixed:.2f} x) | {found.closest:,.0f} "
            f"({found.closest / found.fixed:.2f} x) | {found.total:,.0f} | {found.saving:.1f} "
            f"| {found.power:.1%} | {found.wrong:.1%} |"
        )
    return lines


def _said(scale: Scale) -> str:
    sizes = sorted(set(scale.gaps))
    return f"{scale.name} ({' and '.join(f'{size:g}' for size in sizes)})"


def _policy(share: float) -> str:
    return "uniform" if share == UNIFORM else f"{share:g}"


def _count(votes: float) -> str:
    return f"{votes:,.0f}" if np.isfinite(votes) else "over the horizon"


if __name__ == "__main__":
    main()
