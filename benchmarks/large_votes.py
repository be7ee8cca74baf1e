"""`evalkit analyze` as a user runs it: seconds, processor and memory, up to votes beyond memory.

Each run is a process of its own, the start of Python included; its files are deleted after it.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

GOAL_SECONDS, GOAL_GB = 5, 1  # of 100,000 votes with two questions
GOAL_LARGE_GB = 4
MODELS, PROMPTS, ANNOTATORS = 8, 10_000, 2_000

# A small process that starts the command: a process counts as its own the most memory that the one
# which started it had by then, and the benchmark itself is large.
_WATCH = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
wall = time.perf_counter() - started
print(json.dumps([wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Run:
    """What one command took: wall and processor seconds, the most memory, the size of its file."""

    rows: int
    wall: float
    cpu: float
    gb: float
    file_gb: float


def whole_command(rounds: int) -> list[str]:
    """The command on 100,000 votes in a CSV, as lines of Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes.csv"
        _few_votes(100_000).to_csv(path, index=False)
        runs = [run(path, Path(folder) / "tables", 100_000) for _ in range(rounds)]
    wall, gb = float(np.median([one.wall for one in runs])), max(one.gb for one in runs)
    walls = f"{min(one.wall for one in runs):.2f} to {max(one.wall for one in runs):.2f}"
    return [
        "### The whole command",
        "",
        f"`evalkit analyze votes.csv` on 100,000 votes, two questions, {MODELS} models, start "
        f"included: {wall:.2f} s ({walls}, {rounds} runs), "
        f"{np.median([one.cpu for one in runs]):.2f} CPU s, {gb:.2f} GB.",
        "",
        f"Goals: under {GOAL_SECONDS} s: {_said(wall < GOAL_SECONDS)}; under {GOAL_GB} GB: "
        f"{_said(gb < GOAL_GB)}.",
    ]


def scaling(largest: int) -> list[str]:
    """The command on generated Parquet files of 1M votes, 10M, and so on up to `largest`."""
    sizes = [size for size in (10**6, 10**7, 10**8) if size <= largest]
    runs = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "votes.parquet"
            generate(path, size)
            runs.append(run(path, Path(folder) / "tables", size, "--out-of-core"))
            print(f"{size:,} votes: {runs[-1].wall:.1f} s, {runs[-1].gb:.2f} GB", flush=True)
    gb, each = runs[-1].gb, [1e6 * one.cpu / one.rows for one in runs]
    return [
        "### Votes beyond memory",
        "",
        "`evalkit analyze votes.parquet --out-of-core` on generated votes: two questions, "
        f"{MODELS} models, {PROMPTS:,} prompts, {ANNOTATORS:,} annotators, ties and sides; win "
        "rates, every rule for ties, sides, ratings.",
        "",
        "| votes | file, GB | wall, s | CPU, s | CPU, s per million votes | most memory, GB |",
        "|---|---|---|---|---|---|",
        *(
            f"| {one.rows:,} | {one.file_gb:.2f} | {one.wall:.1f} | {one.cpu:.1f} | {unit:.2f} | "
            f"{one.gb:.2f} |"
            for one, unit in zip(runs, each, strict=True)
        ),
        "",
        f"Goals: {sizes[-1]:,} votes under {GOAL_LARGE_GB} GB: {_said(gb < GOAL_LARGE_GB)}; cost "
        f"grows linearly or slower (CPU per vote, last against first: {each[-1] / each[0]:.2f}): "
        f"{_said(each[-1] <= 1.1 * each[0])}.",
    ]


def run(path: Path, out: Path, rows: int, *options: str) -> Run:
    """One run of the command on a file of votes."""
    command = [sys.executable, "-m", "evalkit.cli", "analyze", str(path), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-S", "-c", _WATCH, *command, *options], stdout=subprocess.PIPE, check=True
    )
    wall, cpu, kib = json.loads(done.stdout)
    return Run(rows, wall, cpu, gb=kib * 1024 / 1e9, file_gb=path.stat().st_size / 1e9)


def generate(path: Path, rows: int) -> None:
    """A Parquet file of so many votes, drawn by hashing the number of the row."""
    import duckdb

    model = "'model-' || {}"
    with duckdb.connect() as connection:
        connection.execute("SET memory_limit = '1GB'; SET preserve_insertion_order = false")
        connection.execute(
            "COPY (WITH drawn AS (SELECT hash(4 * i) AS who, hash(4 * i + 1) AS what, "
            f"hash(4 * i + 2) AS how, hash(4 * i + 3) AS rest FROM range({rows}) AS t(i)), "
            f"votes AS (SELECT who % {ANNOTATORS} AS annotator, "
            f"(who // {ANNOTATORS}) % {PROMPTS} AS prompt, what % 2 AS question, "
            f"((what // 2) % {MODELS})::INT AS a, "
            f"(((what // 2) % {MODELS} + 1 + (what // 64) % {MODELS - 1}) % {MODELS})::INT AS b, "
            "(how % 1000000) / 1e6 AS u, rest % 10 AS tie, rest // 10 % 2 AS side FROM drawn) "
            "SELECT 'annotator-' || annotator AS annotator_id, 'prompt-' || prompt AS prompt_id, "
            "CASE question WHEN 0 THEN 'quality' ELSE 'alignment' END AS question_id, "
            f"{model.format('a')} AS model_a, {model.format('b')} AS model_b, "
            "CASE WHEN tie = 0 THEN 'tie' WHEN tie = 1 AND u < 0.2 THEN 'both_bad' "
            "WHEN u < 1 / (1 + exp(-(a - b) * 0.15)) THEN 'model_a' ELSE 'model_b' END AS winner, "
            f"{model.format('CASE side WHEN 0 THEN a ELSE b END')} AS left_model FROM votes) "
            f"TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )


def _few_votes(n: int) -> pd.DataFrame:
    """Simulated votes with prompt and annotator effects, ties and two questions."""
    from evalkit.simulate import simulate_comparisons

    strengths = {f"model-{place}": 0.2 * place for place in range(MODELS)}
    votes = simulate_comparisons(
        strengths, n_prompts=450, votes_per_prompt=4, n_annotators=200, prompt_sd=0.5,
        annotator_sd=0.3, tie_weight=0.3, questions=("quality", "alignment"), seed=1,
    )  # fmt: skip
    return votes.sample(n, random_state=1)


def _said(reached: bool) -> str:
    return "reached" if reached else "missed"
