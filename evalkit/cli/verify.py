"""The command that holds a study against its lock: verify."""

from dataclasses import asdict
from typing import Annotated

import typer

from evalkit.cli.app import StudyPath, app, now
from evalkit.errors import EvalkitError


@app.command(epilog="Example: evalkit verify results/my-study")
def verify(
    path: StudyPath,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Hold images, prompts, study, votes, analysis and report against the lock; 2 if one fails."""
    import json

    from evalkit.lock import lock_hash
    from evalkit.study_folder import open_study
    from evalkit.verification import verify as verified

    folder = open_study(path)
    checks = verified(folder, now())
    failed = sum(check.state == "FAILED" for check in checks)
    if as_json:
        found = {"lock": lock_hash(folder), "passed": not failed}
        print(json.dumps(found | {"checks": [asdict(check) for check in checks]}, indent=2))
    else:
        print("\n".join(check.line for check in checks))
    if failed:
        raise EvalkitError(
            f"verify: {failed} of {len(checks)} checks of {path} failed; put back what was changed "
            "from a copy, then verify again"
        )
