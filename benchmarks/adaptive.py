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
from time import process_time

import numpy as np
from scipy import stats
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.chosen_votes import (
    AT_WORK,
    FIRST,
    MATCHUPS,
    MODELS,
    PROMPTS,
    SECOND,
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
KINDS = ("two-way", "two-way next", "wilson", "wilson next", "ratings")
LEVEL, POWER = 0.95, 0.9
_REDRAWS = 2000  # of studies, for the interval of a ratio
SCALES = (
    Scale("small gaps", (0.2,) * 7, horizon=20_000, first_look=300),
    Scale("wide gaps", (0.6,) * 7, horizon=10_000, first_look=100),
    Scale("mixed gaps", (0.8, 0.2, 0.8, 0.2, 0.8, 0.2, 0.8), horizon=20_000, first_look=200),
)


@dataclass(frozen=True)
class Size:
    """How many studies each part simulates, and how many votes those have that are `covered`."""

    ranked: int = 80
    covered: int = 120
    dropped: int = 30
    scales: tuple[Scale, ...] = SCALES
    ends: tuple[tuple[Scale, int], ...] = ((SCALES[0], 560), (SCALES[0], 2_800), (SCALES[1], 2_800))


_SHORT = replace(SCALES[1], horizon=3_000)
QUICK = Size(ranked=12, covered=4, dropped=2, scales=(_SHORT,), ends=((_SHORT, 560),))


def main() -> None:
    """Run all parts and write down what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few studies, printed only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file it is added to")
    given = parser.parse_args()
    size = QUICK if given.quick else Size()
    load, started = os.getloadavg()[0], process_time()
    lines = [*ranking(size, given.seed), "", *coverage(size, given.seed), ""]
    lines += dropping(size, given.seed)
    if given.quick:
        print("\n".join(lines))
        return
    lines += ["", f"Seed {given.seed}; {process_time() - started:.0f} s of CPU time."]
    where = f"{processor()}; Python {platform.python_version()}; load before: {load:.1f}"
    add_section(where, lines, given.results)


def votes_to_rank(scale: Scale, share: float, n_studies: int, seed: int) -> dict[str, np.ndarray]:
    """By way of ranking, of each study: the first look from which on every look ranks rightly.

    Infinite where the last look is wrong. Votes are independent.
    """
    found: dict[str, list[float]] = {name: [] for name in RANKINGS}
    for study in range(n_studies):
        votes = cast(scale, share, scale.horizon, INDEPENDENT, np.random.default_rng([seed, study]))
        for name, is_right in RANKINGS.items():
            wrong = (look for look in scale.looks[::-1] if not is_right(votes, look))
            last_wrong = next(wrong, 0)
            later = scale.looks[scale.looks > last_wrong]
            found[name].append(float(later[0]) if len(later) else np.inf)
    return {name: np.array(studies) for name, studies in found.items()}


def by_ratings(votes: Votes, look: int) -> bool:
    """Whether Bradley-Terry ranks all models rightly; without finite ratings it does not."""
    try:
        strengths = fit_counts(matchups_of(*_counted(votes, look))).strengths
    except EstimateError:
        return False
    return bool((np.diff(strengths) < 0).all())


def by_pairs(votes: Votes, look: int) -> bool:
    """Whether the better model of each of the pairs has the majority of the pair's votes."""
    won, n = _counted(votes, look)
    return bool((won > n / 2).all())


RANKINGS = {"ratings": by_ratings, "pairs": by_pairs}


def _counted(votes: Votes, look: int) -> tuple[np.ndarray, np.ndarray]:
    """Votes won by the first model and all votes, by matchup, up to the look."""
    matchup = votes.matchup[:look]
    n = np.bincount(matchup, minlength=MATCHUPS)
    return np.bincount(matchup, votes.won[:look], minlength=MATCHUPS), n


def ranking(size: Size, seed: int) -> list[str]:
    """Votes to the right ranking under each policy, as lines of Markdown."""
    lines = [
        "### Votes to the right ranking of 8 models",
        "",
        "Until all 8 are ranked rightly and are so at every later look (every 6% more votes, to "
        f"the horizon): mean (90% quantile) of {size.ranked} studies, independent votes, {AT_WORK} "
        "annotators at work. Ranked by Bradley-Terry's ratings, or by pairs: in each of the "
        f"{MATCHUPS} the better model has the majority of the pair's own votes. Saving: the "
        "uniform mean over this one, with its 95% bootstrap interval. Late: rankings that were "
        "not right at the horizon, whose votes are counted as if they were. Uniform share 0 is "
        "refused by a design.",
        "",
        "| gaps | uniform share | by ratings | saving | by pairs | saving | late |",
        "|---|---|---|---|---|---|---|",
    ]
    for scale in size.scales:
        uniform = votes_to_rank(scale, UNIFORM, size.ranked, seed)
        for share in SHARES:
            is_uniform = share == UNIFORM
            found = uniform if is_uniform else votes_to_rank(scale, share, size.ranked, seed + 1)
            cells = [_said(scale), _policy(share)]
            for name in RANKINGS:
                votes, most = (np.minimum(of[name], scale.horizon) for of in (found, uniform))
                cells.append(f"{votes.mean():,.0f} ({np.quantile(votes, 0.9):,.0f})")
                cells.append("1" if is_uniform else _ratio(most, votes, seed))
            late = sum(int(np.isinf(studies).sum()) for studies in found.values())
            lines.append(f"| {' | '.join(cells)} | {late} |")
    return lines


def _ratio(most: np.ndarray, votes: np.ndarray, seed: int) -> str:
    """The ratio of means, and its interval from studies drawn anew."""
    rng = np.random.default_rng(seed)
    drawn = [
        of[rng.integers(len(of), size=(_REDRAWS, len(of)))].mean(axis=1) for of in (most, votes)
    ]
    low, high = np.quantile(drawn[0] / drawn[1], [0.025, 0.975])
    return f"{most.mean() / votes.mean():.2f} ({low:.2f}-{high:.2f})"


def covered(
    scale: Scale, share: float, n_studies: int, votes: int, population: Population, seed: int
) -> Counter[str]:
    """How many intervals of `n_studies` studies hold the truth, by kind, and how many there were.

    Kinds: the intervals of win rates ("two-way" and "wilson"; with " next" of neighbours alone, the
    matchups that doubt is about), and "ratings". What stands under a kind's name holds the truth;
    "of " counts all that exist, "no " those that could not be estimated.
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
                bounds = np.array([result.ci_low]), np.array([result.ci_high])
                _tally(found, kind, *bounds, truth)
                if SECOND[matchup] - FIRST[matchup] == 1:
                    _tally(found, f"{kind} next", *bounds, truth)
        _tally(found, "ratings", *_rating_bounds(cast_votes), strengths)
    return found


def _rating_bounds(votes: Votes) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of `evalkit.analysis.ratings`, but for t: the freedom here is that of all votes.

    There it is that of each model's own, which is one or two less where an annotator never met it.
    """
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
        f"At the end of so many votes on {MATCHUPS} matchups and {PROMPTS} prompts, by annotators "
        f"of {TRIALS} votes each; {size.covered} studies a line. Effects: sd "
        f"{CLUSTERED.prompt_sd:g} of prompts and {CLUSTERED.annotator_sd:g} of annotators "
        "(log-odds). Win rates: two-way is the default; Wilson takes votes as independent; next: "
        "of the 7 pairs of neighbours alone. None: win rates without an interval (too few votes).",
        "",
        "| gaps | votes | uniform share | two-way | next | Wilson | next | ratings | none |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for scale, votes in size.ends:
        for name, population in (("independent", INDEPENDENT), ("with effects", CLUSTERED)):
            for share in SHARES:
                found = covered(scale, share, size.covered, votes, population, seed)
                rates = [f"{found[kind] / found[f'of {kind}']:.1%}" for kind in KINDS]
                none = found["no two-way"] / (size.covered * MATCHUPS)
                lines.append(
                    f"| {_said(scale)} | {votes:,} {name} | {_policy(share)} | {' | '.join(rates)} "
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
    longest = 2 * fixed
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
        f"Independent votes, one per prompt; level .05 / {MATCHUPS} for each pair. Fixed: votes "
        "per pair with which the exact binomial test decides a closest pair with power "
        f"{POWER:g}. Dropped: each pair until its anytime-valid interval leaves out 1/2, at most "
        f"the cap that gives a closest pair the same power; mean of {size.dropped} studies. Wrong: "
        "studies with any pair decided the wrong way.",
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


if __name__ == "__main__":
    main()
