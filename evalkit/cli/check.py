"""The command of the leak check."""

from dataclasses import asdict
from typing import Annotated

import typer

from evalkit.cli.app import StudyPath, app, now
from evalkit.errors import EvalkitError


@app.command(epilog="Example: evalkit check results/my-study")
def check(
    path: StudyPath,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Try to tell from anything but the pictures which model made an image; exit code 2 if so."""
    from evalkit.cli.terminal import show_json
    from evalkit.leaks import check_study
    from evalkit.progress import progress_bar
    from evalkit.study_folder import open_study

    folder = open_study(path)
    with progress_bar("images", in_pipe=False) as progress:
        findings = check_study(folder, now=now(), progress=progress)
    leaks = [finding for finding in findings if not finding.passed]
    if as_json:
        show_json({"passed": not leaks, "findings": [asdict(finding) for finding in findings]})
    else:
        print("\n".join(finding.line for finding in findings))
    if leaks:
        raise EvalkitError(
            f"check: {len(leaks)} of {len(findings)} checks of {path} found a leak; mend each as "
            "its line says, then run the check again"
        )
    if not as_json:
        print(f"{len(findings)} checks, no leak.")
