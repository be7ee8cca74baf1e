"""Speed of the estimates, side by side with peers in one interleaved run; see README.md.

Prints the tables and adds them to RESULTS.md. Peers that are not installed are left out and named.
"""

import argparse
import gc
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import large_votes, peers
from benchmarks.results import RESULTS, add_section, processor

PARTS = ("peers", "elo", "intervals", "analyze", "large")
ROUNDS = 5
SETTLE = 0.5  # seconds in which threads of the call before, which spin for work, fall asleep
LARGEST = 10**8
MODELS, PROMPTS, ANNOTATORS = 8, 1_000, 200
ELO_ORDERS = 100
SLOW_ORDERS = 5  # of evalica, whose time is then taken times 20
GOALS = {"fit": 50, "faster": 20, "sandwich": 10, "bootstrap": 200}  # CPU ms; times a peer
_VERSIONS = ("evalkit", "numpy", "pandas", "scipy", "duckdb", "scikit-learn", "choix", "evalica",
             "arena-rank")  # fmt: skip


def main() -> None:
    """Run the parts that were asked for, and write down what they gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", type=int, default=LARGEST, help="votes of the largest file")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file it is added to")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    measured: dict[str, Callable[[], list[str]]] = {
        "peers": lambda: bradley_terry(given.rounds),
        "elo": lambda: elo(given.rounds),
        "intervals": lambda: intervals(given.rounds),
        "analyze": lambda: large_votes.whole_command(given.rounds),
        "large": lambda: large_votes.scaling(given.rows),
    }
    lines: list[str] = []
    for part in given.part or PARTS:
        lines += [*measured[part](), ""]
    add_section(_machine(load), lines[:-1], given.results)


def bradley_terry(rounds: int, n: int = 1_000_000) -> list[str]:
    """Bradley-Terry from the same frame of strings, every contender in turn."""
    votes, contenders = make_votes(n), peers.installed()
    milliseconds: dict[str, list[float]] = {name: [] for name in contenders}
    found: dict[str, np.ndarray] = {}
    for _ in range(rounds):
        for name, fit in contenders.items():
            spent, found[name] = cpu_ms(fit, votes)
            milliseconds[name].append(spent)
    ours, own = median(milliseconds["evalkit"]), found["evalkit"]
    apart = {name: np.abs(strengths - own).max() for name, strengths in found.items()}
    times = {name: median(spent) / ours for name, spent in milliseconds.items()}
    return [
        f"### Bradley-Terry, {n:,} votes on {MODELS} models",
        "",
        "CPU ms from one frame of strings, reading and counting them included; median of "
        f"{rounds} interleaved rounds (least to most). evalica is fed both ways: a row per vote, "
        "as its documentation has it, and counts made by pandas before (as are scikit-learn's and "
        "choix's), whose making is timed too. Furthest: the largest difference from evalkit's "
        "log-odds.",
        "",
        "| | CPU ms | times evalkit | furthest |",
        "|---|---|---|---|",
        *(
            f"| {name} | {_cell(spent)} | {times[name]:.1f} | {apart[name]:.1e} |"
            for name, spent in milliseconds.items()
        ),
        "",
        _verdict(ours, times) + _absent(set(peers.CONTENDERS) - set(contenders)),
    ]


def elo(rounds: int, n: int = 100_000) -> list[str]:
    """Elo of K = 1 over many orders of the votes."""
    from evalkit.analysis.elo import elo as evalkit_elo

    votes = make_votes(n, ties=False)
    ours, theirs = [], []
    is_there = "evalica, rows" in peers.installed()
    for _ in range(rounds):
        ours.append(cpu_ms(evalkit_elo, votes, orders=ELO_ORDERS)[0])
        if is_there:
            spent = cpu_ms(peers.evalica_elo, votes, SLOW_ORDERS, 0)[0]
            theirs.append(spent * ELO_ORDERS / SLOW_ORDERS)
    return [
        f"### Elo, {ELO_ORDERS} orders of {n:,} votes",
        "",
        "| | CPU ms |",
        "|---|---|",
        f"| evalkit | {_cell(ours)} |",
        *([f"| evalica ({SLOW_ORDERS} orders, times 20) | {_cell(theirs)} |"] if theirs else []),
    ]


def intervals(rounds: int, n: int = 100_000) -> list[str]:
    """What no peer offers: intervals clustered by prompt and annotator."""
    from evalkit.analysis.coding import encode
    from evalkit.analysis.intervals import share
    from evalkit.analysis.paired_models import fit

    codes = encode(make_votes(n))
    points = codes.points

    def one(interval: str) -> object:
        return share(points, codes.prompt, codes.annotator, interval, replicates=1000)

    calls: dict[str, Callable[[], object]] = {
        "fit and two-way intervals, from codes": lambda: fit(codes),
        "two-way Wilson interval of a win rate": lambda: one("two-way"),
        "two-way bootstrap, 1000 replicates": lambda: one("bootstrap"),
    }
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            spent[name].append(cpu_ms(call)[0])
    sandwich, _, bootstrap = (median(each) for each in spent.values())
    return [
        f"### Clustered intervals, {n:,} votes, {PROMPTS:,} prompts, {ANNOTATORS} annotators",
        "",
        f"No peer offers them. CPU ms, median of {rounds} rounds (least to most):",
        "",
        "| | CPU ms |",
        "|---|---|",
        *(f"| {name} | {_cell(each)} |" for name, each in spent.items()),
        "",
        f"Goals: the first at most {GOALS['sandwich']} ms: {_said(sandwich <= GOALS['sandwich'])}; "
        f"the bootstrap at most {GOALS['bootstrap']} ms: {_said(bootstrap <= GOALS['bootstrap'])}.",
    ]


def make_votes(n: int, seed: int = 0, ties: bool = True) -> pd.DataFrame:
    """Votes as strings, with one question and, unless told otherwise, a tenth of ties."""
    rng = np.random.default_rng(seed)
    first = rng.integers(MODELS, size=n)
    second = (first + 1 + rng.integers(MODELS - 1, size=n)) % MODELS
    lost = rng.random(n) > 1 / (1 + np.exp(-0.15 * (first - second)))
    winner = np.where(rng.random(n) < 0.1 * ties, 2, lost.astype(int))
    columns = {
        "annotator_id": _named("annotator", ANNOTATORS)[rng.integers(ANNOTATORS, size=n)],
        "prompt_id": _named("prompt", PROMPTS)[rng.integers(PROMPTS, size=n)],
        "model_a": _named("model", MODELS)[first],
        "model_b": _named("model", MODELS)[second],
        "winner": np.array(["model_a", "model_b", "tie"], dtype=object)[winner],
    }
    return pd.DataFrame(columns).assign(question_id="quality")


def cpu_ms(call: Callable[..., object], *given: object, **options: object) -> tuple[float, object]:
    """Milliseconds of processor that a call took, over all threads, and what it gave."""
    gc.collect()
    time.sleep(SETTLE)
    started = time.process_time()
    found = call(*given, **options)
    return 1000 * (time.process_time() - started), found


def _named(noun: str, n: int) -> np.ndarray:
    return np.array([f"{noun}-{place:04d}" for place in range(n)], dtype=object)


def _cell(spent: list[float]) -> str:
    return f"{median(spent):,.1f} ({min(spent):,.1f} to {max(spent):,.1f})"


def _verdict(ours: float, times: dict[str, float]) -> str:
    """What of the goals was reached, against the peers that are here."""
    goal = GOALS["faster"]
    rivals = [
        f"at least {goal} times faster than {name}: {_said(times[name] >= goal)} "
        f"({times[name]:.1f})"
        for name in ("evalica, rows", "arena-rank")
        if name in times
    ]
    fast = f"at most {GOALS['fit']} CPU ms: {_said(ours <= GOALS['fit'])} ({ours:.0f})"
    return f"Goals: {'; '.join([fast, *rivals])}."


def _absent(names: set[str]) -> str:
    return f" Not installed: {', '.join(sorted(names))}." if names else ""


def _said(reached: bool) -> str:
    return "reached" if reached else "missed"


def _machine(load: float) -> str:
    """Processor, cores, Python and what was measured; `load` is that of before."""
    used = []
    for name in _VERSIONS:
        try:
            used.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return (
        f"{processor()}; {os.cpu_count()} cores; Python {platform.python_version()}; "
        f"{', '.join(used)}; load before: {load:.1f}"
    )


if __name__ == "__main__":
    main()
