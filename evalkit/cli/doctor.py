"""The command that says what is installed here and which command lacks what: doctor."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.app import app

if TYPE_CHECKING:
    from evalkit.installation import Installation
    from evalkit.study import Study


@app.command(epilog="Example: evalkit doctor --for score")
def doctor(
    path: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="Say what this study needs too.")
    ] = None,
    command: Annotated[
        str | None, typer.Option("--for", metavar="COMMAND", help="Exit code 2 if it cannot run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say what is installed here, and which command lacks what."""
    from evalkit.cli.terminal import show_json
    from evalkit.installation import look, require_command, require_known
    from evalkit.study_folder import open_study

    if command is not None:
        known = [info.name or info.callback.__name__ for info in app.registered_commands]
        require_known(command, sorted(known))
    study = None if path is None else open_study(path).study
    found = look(path or Path(), study)
    if as_json:
        show_json(found.as_json())
    else:
        _show(found, study)
    if command is not None:
        require_command(found, command)


def _show(found: "Installation", study: "Study | None") -> None:
    from evalkit.cli.terminal import ALARM, show, show_lines, table
    from evalkit.installation import gib, needs

    rows = table(("extra", "package", "version"))
    for extra, packages in found.packages.items():
        for name, version in packages.items():
            rows.add_row(extra, name, version or "-", style="" if version else "yellow")
    show_lines([f"evalkit {found.evalkit}, Python {found.python}"])
    show(rows)
    for device in found.devices:
        free = f", {gib(device.free_bytes)} of {gib(device.total_bytes)} free"
        show_lines([f"device: {device.name}{free if device.total_bytes else ''}"])
    programs = ", ".join(found.programs.values()) or "no Chromium, no nginx"
    show_lines([f"disk: {gib(found.free_disk_bytes)} free", f"programs: {programs}"])
    for command, missing in found.lacking.items():
        line = f"{command} needs {', '.join(missing)}: {needs(study)[command].install}"
        show_lines([line], head=0, style=ALARM)
    if not found.lacking:
        show_lines(["Every command can run."])
