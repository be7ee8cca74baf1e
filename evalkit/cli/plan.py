"""The command that says what a study's votes can show: plan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.app import StudyPath, app
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    import pandas as pd

WinRate = Annotated[float, typer.Option(help="The smallest one that should be seen.")]
Power = Annotated[float, typer.Option(help="The chance to see it.")]
Annotators = Annotated[
    int | None, typer.Option(min=2, max=100_000, help="None: as many as the trials need.")
]
Pilot = Annotated[
    Path | None, typer.Option(metavar="STUDY|FILE", help="Votes that say how alike votes are.")
]
PromptSd = Annotated[float | None, typer.Option(help="Stated instead, in log-odds; 1.")]
AnnotatorSd = Annotated[float | None, typer.Option(help="Stated instead, in log-odds; 0.6.")]
Seconds = Annotated[float, typer.Option(min=0.1, max=3600, help="Of a person, for one trial.")]


@app.command(epilog="Example: evalkit plan results/my-study --win-rate 0.6 --power 0.8")
def plan(
    path: StudyPath,
    win_rate: WinRate = 0.6,
    power: Power = 0.8,
    annotators: Annotators = None,
    pilot: Pilot = None,
    prompt_sd: PromptSd = None,
    annotator_sd: AnnotatorSd = None,
    seconds_per_vote: Seconds = 6.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say how many votes, prompts, annotators and hours a preference takes to be seen."""
    import json

    from evalkit.analysis.alikeness import stated
    from evalkit.study_folder import open_study
    from evalkit.vote_plan import Wish, plan_lines, plan_votes, read_pilot

    if pilot is not None and (prompt_sd, annotator_sd) != (None, None):
        raise EvalkitError(
            "plan: --pilot, and --prompt-sd or --annotator-sd, say the same thing; leave one out"
        )
    folder = open_study(path)
    wish = Wish(win_rate, power, annotators, seconds_per_vote)
    if pilot is None:
        by_prompt = 1.0 if prompt_sd is None else prompt_sd
        by_annotator = 0.6 if annotator_sd is None else annotator_sd
        alike, simulated = stated(win_rate, by_prompt, by_annotator), False
    else:
        alike, simulated = read_pilot(pilot)
    planned = plan_votes(folder, wish, alike, simulated)
    if as_json:
        print(json.dumps(planned.as_json(), indent=2, ensure_ascii=False))
        return
    print("\n".join(plan_lines(planned)))
    _print_table(planned.frame, planned.designed.power.n_prompts)


def _print_table(frame: "pd.DataFrame", n_prompts: int) -> None:
    from evalkit.cli.terminal import show, table

    names = ("annotators", "votes a prompt", "votes a pair", "worth", "power", "interval", "hours")
    shown = table((), names)
    for row in frame.itertuples():
        shown.add_row(
            f"{row.n_annotators:,}",
            f"{row.votes_per_prompt:,}",
            f"{row.n:,}",
            f"{row.n_effective:,.0f}",
            f"{row.power:.0%}",
            f"+-{row.half_width:.3f}",
            f"{row.hours:,.1f}",
        )
    print(f"More annotators or more votes, on {n_prompts:,} prompts:")
    show(shown)
