"""The leak check of a study: files, tells and a scripted session; `serve` refuses on a leak."""

from collections.abc import Callable, Sequence

from evalkit.collection import open_collection
from evalkit.design import trial_plan
from evalkit.errors import StudyError
from evalkit.leaks.files import check_files, public_files, read_frames
from evalkit.leaks.finding import Finding
from evalkit.leaks.key import pair_models, public_key
from evalkit.leaks.pictures import Picture, check_pictures, compare_pictures
from evalkit.leaks.record import Record, read_record, state_of, write_record
from evalkit.leaks.rehearsal import rehearse
from evalkit.leaks.rehearsed_app import APP, rehearsed_app
from evalkit.leaks.session import record_session
from evalkit.leaks.shapes import check_shapes
from evalkit.leaks.tells import check_tells, find_tells
from evalkit.leaks.timing import check_timing
from evalkit.leaks.wire import SESSION_CHECKS, check_wire, image_exchanges
from evalkit.leaks.words import words_of
from evalkit.progress import Progress, no_progress
from evalkit.store import Store
from evalkit.study_folder import StudyFolder


def check_study(
    folder: StudyFolder, now: str, app: Sequence[str] = APP, progress: Progress = no_progress
) -> list[Finding]:
    """All findings; check.json keeps them.

    Where public files are missing there is no scripted session. `app` is the command that starts
    the app; `progress` gets (public images looked at, of them in all, what is at work). Raises
    StudyError where the study cannot be shown yet, EvalkitError where the app is not installed.
    """
    return _check(folder, now, app, True, progress)


def refuse_leaks(
    folder: StudyFolder,
    now: str,
    say: Callable[[str], None],
    progress: Progress = no_progress,
) -> None:
    """StudyError, one sentence, where the study fails the leak check; whoever shows it calls this.

    Files and tells are looked at always, the scripted session is gone through only where check.json
    holds none of this state (public images, plan, lock, app, version). `say` is told when the check
    is the first one, which takes seconds, and then what it warns of.
    """
    is_first = not read_record(folder.check_file).findings
    if is_first:
        say(f"First leak check of {folder.root}: every public image, and a scripted session ...")
    findings = _check(folder, now, APP, False, progress)
    for finding in findings:
        if is_first and finding.warning:
            say(finding.line)
    leaks = [finding for finding in findings if not finding.passed]
    if leaks:
        more = f" (and {len(leaks) - 1} more)" if len(leaks) > 1 else ""
        raise StudyError(
            f"{folder.root}: the leak check fails: {leaks[0].name}: {leaks[0].found}{more}; "
            f"annotators could learn which model made an image; see: evalkit check {folder.root}"
        )


def check_at_rest(
    folder: StudyFolder, store: Store, before: Record, progress: Progress = no_progress
) -> tuple[list[Finding], dict[str, Picture]]:
    """What is seen without an app: the public files and what could be read beside them.

    Also what each public file is; pictures that are as the record `before` has them are not
    compared again.
    """
    study, key, found = folder.study, public_key(folder, store), public_files(folder.blinded)
    size = study.images.viewing_size
    present = sorted(set(key["file"]) & set(found))
    frames = read_frames(folder.blinded, present)
    pictures = compare_pictures(folder.blinded, folder.images, key, size, before.pictures, progress)
    stored, blinded = store.pairs(), store.study()
    plan = trial_plan(stored, blinded.questions, blinded.design)
    matchups = pair_models(folder)
    tells = find_tells(
        key,
        {name: found[name].st_mtime_ns for name in present},
        stored,
        matchups,
        rehearse(plan, study.seed),
        store.trials(),
        adaptive=study.design.policy == "adaptive",
        seed=study.seed,
    )
    files = [*check_files(key, found, frames, size), *check_pictures(pictures)]
    shapes = check_shapes(key, stored, matchups, size)
    return [*files, *shapes, *check_tells(tells)], pictures


def _check(
    folder: StudyFolder, now: str, app: Sequence[str], always: bool, progress: Progress
) -> list[Finding]:
    before = read_record(folder.check_file)
    store = open_collection(folder, now, progress)
    try:
        at_rest, pictures = check_at_rest(folder, store, before, progress)
        state = state_of(pictures, store.study().plan_id, folder.lock_file)
        known = {finding.name: finding for finding in before.findings}
        if not always and state == before.state and known.keys() >= set(SESSION_CHECKS):
            findings = [*at_rest, *(known[name] for name in SESSION_CHECKS)]
        elif _is_hopeless(at_rest, always):
            return at_rest
        else:
            findings = [*at_rest, *_check_session(folder, store, pictures, now, app)]
    finally:
        store.close()
    record = Record(state, pictures, tuple(findings))
    if record != before:
        write_record(folder.check_file, record, now)
    return findings


def _is_hopeless(at_rest: list[Finding], always: bool) -> bool:
    """Whether no session need be gone through: images are missing, or `serve` refuses anyway."""
    failed = {finding.name for finding in at_rest if not finding.passed}
    return "public files" in failed or (bool(failed) and not always)


def _check_session(
    folder: StudyFolder, store: Store, pictures: dict[str, Picture], now: str, app: Sequence[str]
) -> list[Finding]:
    """What reaches a browser, from entry to the end."""
    study, key, stored = folder.study, public_key(folder, store), store.pairs()
    words = words_of(study, folder.read_prompts(), key, stored)
    with rehearsed_app(folder, stored, now, app) as (port, token):
        recording = record_session(port, token)
    names = {picture.sha256: name for name, picture in pictures.items()}
    model_of = dict(zip(key["file"], key["model"], strict=True))
    models = {sha256: model_of[name] for sha256, name in names.items()}
    showing = {question.id for question in study.questions if question.show_prompt}
    return [
        *check_wire(recording, words, names, showing),
        check_timing(image_exchanges(recording), models, study.seed),
    ]
