"""Studies with votes to export: of simulated annotators under rules, and of people by Prolific."""

from pathlib import Path

from evalkit.collection import open_collection
from evalkit.simulate import Population
from evalkit.simulated_sessions import simulate_sessions
from evalkit.study_folder import StudyFolder
from evalkit.study_sections import Entry
from tests.people import after
from tests.study_factory import NOW, make_study

STRENGTHS = {"secret-alpha": 1.0, "secret-beta": 0.0, "secret-gamma": -1.0}
RULES = "\n[exclusions]\nsame_side_above = 0.9\nmin_votes = 10\n"
REASON = "Anna says, it is sharper"
PIDS = [f"5f3a0000000000000000000{number}" for number in range(4)]


def simulated_study(root: Path) -> StudyFolder:
    """All planned votes by simulated annotators, half of whom press one side and are set aside."""
    make_study(root, n_prompts=6, trials_per_annotator=36, votes_per_pair=4, repeat_share=0.2)
    file = root / "study.toml"
    file.write_text(file.read_text() + RULES)
    folder = StudyFolder(root)
    store = open_collection(folder, NOW)
    images = folder.read_images()
    utilities = {
        (question.id, image_id): STRENGTHS[model]
        for question in folder.study.questions
        for image_id, model in zip(images["image_id"], images["model"], strict=True)
    }
    people = Population(straight_lining_share=0.4, tie_weight=0.5)
    simulate_sessions(folder, store, utilities, people, seed=2, now=NOW)
    store.close()
    return folder


def people_study(root: Path, n_people: int = 4, n_prompts: int = 4) -> StudyFolder:
    """People from Prolific vote, with reasons, until each has no more trials.

    Image a, then a tie, then image b, then both bad where that is offered, and again. Four give the
    planned votes.
    """
    folder = make_study(
        root, n_prompts=n_prompts, trials_per_annotator=40, votes_per_pair=4, repeat_share=0.1
    )
    store = open_collection(folder, NOW)
    store.set_entry(Entry(kind="prolific", limit=10, completion_code="C1"))
    for number, pid in enumerate(PIDS[:n_people]):
        annotator_id, session_id = f"hidden-{9 - number}", f"sitting-{9 - number}"
        store.admit("prolific", pid, annotator_id, NOW, f"external-session-{number}")
        store.consent(annotator_id, NOW)
        store.start_session(session_id, annotator_id, NOW)
        at = after(10 * number)
        for place in range(100):
            trial_id = f"trial-{annotator_id}-{place:03d}"
            trial = store.next_trial(annotator_id, session_id, trial_id, at, seed=place)
            if trial is None:
                break
            sides = {"a": trial.left == "a", "b": trial.left == "b"}
            wanted = ("a", "tie", "b", "both_bad")[place % 4]
            choice = ("left" if sides[wanted] else "right") if wanted in sides else wanted
            choice = "tie" if choice == "both_bad" and trial.question_id == "alignment" else choice
            at = after(0.1, at)
            store.record_vote(
                trial_id, annotator_id, choice, 2000 + place, at, reason=REASON,
                session_id=session_id,
            )  # fmt: skip
    store.close()
    return folder
