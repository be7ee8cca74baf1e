"""Studies to vote on under load: drawn images, two questions, enough pairs for everybody."""

from pathlib import Path

from evalkit.study_folder import StudyFolder
from tests.postgres import postgres_server
from tests.study_factory import make_study

STORES = ("sqlite", "postgresql")
_SEEDS = (0, 1, 2)
_MAIN_TRIALS = 3 * 2 * len(_SEEDS)  # of a prompt: pairs of three models, two questions, each seed


def voting_study(root: Path, store: str, trials: int, viewing_size: int) -> StudyFolder:
    """A study in which each annotator can answer `trials` trials, on images of so many pixels.

    `store` is one of STORES; for "postgresql" a server is started, with a new database.
    """
    folder = make_study(
        root,
        n_prompts=max(8, -(-trials // _MAIN_TRIALS)),
        seeds=_SEEDS,
        viewing_size=viewing_size,
        votes_per_pair=1000,
        trials_per_annotator=trials,
        attention_share=0.05,
        repeat_share=0.05,
    )
    if store == "postgresql":
        text = (root / "study.toml").read_text("utf-8")
        address = postgres_server().make_database()
        (root / "study.toml").write_text(f'store = "{address}"\n{text}', "utf-8")
        folder = StudyFolder(root)
    return folder
