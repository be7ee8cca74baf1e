"""Commands about the vote database: store upgrade."""

import typer

from evalkit.cli.app import StudyPath, app, now

store = typer.Typer(help="Look after the vote database.", no_args_is_help=True)
app.add_typer(store, name="store")


@store.command(epilog="Example: evalkit store upgrade results/my-study")
def upgrade(path: StudyPath) -> None:
    """Bring votes that an older evalkit collected to the form that this one reads."""
    from evalkit.collection import upgrade_votes
    from evalkit.study_folder import open_study

    done = upgrade_votes(open_study(path), now=now())
    if done.before == done.after:
        print(f"Schema {done.after} is this evalkit's own: nothing to do")
        return
    copied = f"; the file as it was: {done.backup}" if done.backup else ""
    print(f"Brought the votes from schema {done.before} to {done.after}{copied}")
