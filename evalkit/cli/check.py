"""The command of the leak check."""

from evalkit.cli.app import StudyPath, app, now
from evalkit.errors import EvalkitError


@app.command()
def check(path: StudyPath) -> None:
    """Try to tell from anything but the pictures which model made an image; exit code 2 if so."""
    from evalkit.leaks import check_study
    from evalkit.study_folder import open_study

    findings = check_study(open_study(path), now=now())
    print("\n".join(finding.line for finding in findings))
    leaks = [finding for finding in findings if not finding.passed]
    if leaks:
        raise EvalkitError(
            f"check: {len(leaks)} of {len(findings)} checks of {path} found a leak; mend each as "
            "its line says, then run the check again"
        )
    print(f"{len(findings)} checks, no leak.")
