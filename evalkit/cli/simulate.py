"""The command that lets simulated annotators vote: simulate."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.app import StudyPath, app, now

_SD = "of a gap between two models, in log-odds"

Strength = Annotated[
    list[str] | None,
    typer.Option(metavar="MODEL=LOG-ODDS", help="One per model; 0 where none is given."),
]
StrengthsFile = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="The same in a file, also by question.")
]
Annotators = Annotated[int | None, typer.Option(help="At most; None: as many as it takes.")]
PromptSd = Annotated[float, typer.Option(help=f"Sd over prompts {_SD}.")]
AnnotatorSd = Annotated[float, typer.Option(help=f"Sd over annotators {_SD}.")]
TieWeight = Annotated[float, typer.Option(help="Davidson's nu; 0: nobody presses tie.")]
LeftBias = Annotated[float, typer.Option(help="For the left side, in log-odds.")]
Careless = Annotated[float, typer.Option(help="Of votes: cast without looking.")]
StraightLining = Annotated[float, typer.Option(help="Of annotators: press one side throughout.")]
Speeding = Annotated[float, typer.Option(help="Of annotators: press anything at once.")]
Seconds = Annotated[float, typer.Option(help="On average, of who looks.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed, the same votes.")]


@app.command(
    epilog="Example: evalkit simulate results/rehearsal --strength sdxl-turbo=0.5 --tie-weight 0.35"
)
def simulate(
    path: StudyPath,
    strength: Strength = None,
    strengths: StrengthsFile = None,
    annotators: Annotators = None,
    prompt_sd: PromptSd = 0.0,
    annotator_sd: AnnotatorSd = 0.0,
    tie_weight: TieWeight = 0.0,
    left_bias: LeftBias = 0.0,
    careless_share: Careless = 0.0,
    straight_lining_share: StraightLining = 0.0,
    speeding_share: Speeding = 0.0,
    seconds_per_vote: Seconds = 6.0,
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Let simulated annotators vote, from stated strengths: a rehearsal before anybody is paid.

    Not in a study in which people vote or are invited; what they gave is called SIMULATED VOTES
    wherever it is seen.
    """
    import json

    from evalkit.progress import progress_bar
    from evalkit.simulate import Population
    from evalkit.simulated_study import Planted, simulate_study, simulation_lines, state_strengths
    from evalkit.study_folder import open_study

    folder = open_study(path)
    population = Population(
        prompt_sd, annotator_sd, tie_weight, left_bias, careless_share, straight_lining_share,
        speeding_share, seconds_per_vote,
    )  # fmt: skip
    planted = Planted(state_strengths(strength or [], strengths, folder.study), population, seed)
    with progress_bar("votes") as progress:
        done = simulate_study(
            folder, planted, now(), annotators,
            on_votes=lambda votes: progress(votes, votes, "votes"),
        )  # fmt: skip
    if as_json:
        print(json.dumps(done.as_json(), indent=2, ensure_ascii=False))
        return
    print("\n".join(simulation_lines(done)))
    waits = folder.study.stopping.rule == "planned" and not done.is_complete
    print(f"Next: evalkit analyze {path}" + (" --early" if waits else ""))
