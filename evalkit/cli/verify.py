"""The command that holds a study against its lock: verify."""

from dataclasses import asdict
from typing import Annotated

import typer

from evalkit.cli.app import StudyPath, app, now
from evalkit.errors import EvalkitError

_STYLES = {"ok": "", "FAILED": "bold red", "not yet": "dim"}


@app.command(epilog="Example: evalkit verify results/my-study")
def verify(
    path: StudyPath,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Hold images, prompts, study, votes, analysis and report against the lock; 2 if one fails."""
    from evalkit.cli.terminal import show_json, show_lines
    from evalkit.lock import lock_hash
    from evalkit.study_folder import open_study
    from evalkit.verification import verify as verified

    folder = open_study(path)
    checks = verified(folder, now())
    failed = [check for check in checks if check.state == "FAILED"]
    if as_json:
        found = {"lock": lock_hash(folder), "passed": not failed}
        show_json(found | {"checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            show_lines([check.line], head=0, style=_STYLES[check.state])
    if failed:
        raise EvalkitError(
            f"verify: {len(failed)} of {len(checks)} checks of {path} failed; {failed[0].remedy}, "
            "then verify again"
        )
