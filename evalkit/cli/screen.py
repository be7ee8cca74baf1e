"""The command that takes a picture of what annotators see: screen."""

from evalkit.cli.app import StudyPath, app, now


@app.command(epilog="Example: evalkit screen results/my-study")
def screen(path: StudyPath) -> None:
    """Take a picture of the annotator's screen, for the report; needs Playwright and a browser."""
    from evalkit.annotator_screen import photograph
    from evalkit.study_folder import open_study

    print(f"Wrote {photograph(open_study(path), now=now())}")
