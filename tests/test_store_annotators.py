"""Who takes part: links, cookies, places, consent, sittings; no name of a person or a model."""

import pytest

from evalkit.errors import StoreError
from evalkit.store import StudyFullError
from evalkit.study_sections import Entry
from tests.stores import lease, vote_on_all
from tests.study_factory import MODELS, NOW, admit

LATER = "2030-01-01T10:00:05.000+00:00"
AFTER_59_MINUTES = "2030-01-01T10:59:00.000+00:00"
AFTER_AN_HOUR = "2030-01-01T11:00:00.000+00:00"


def test_the_database_holds_no_model_name_no_token_and_no_secret(store, database):
    admit(store, "ann", token="a-very-secret-token")
    store.log_in("ann", "a-very-secret-cookie", NOW)
    store.set_open_code("a-very-secret-code")
    [trial] = lease(store, "ann", "t", n=1)
    store.record_vote(trial.trial_id, "ann", "left", 900, LATER)
    tables = (
        "meta", "annotators", "logins", "sessions", "questions", "pairs", "trials", "tallies",
        "matchup_tallies", "votes", "log",
    )  # fmt: skip
    content = repr([database.execute(f"SELECT * FROM {table}") for table in tables])
    assert "Which image looks better made?" in content
    for word in (*MODELS, "secret", "sdxl", "very"):
        assert word not in content


def test_a_token_leads_to_its_annotator(store):
    store.add_annotator("ann", "token-1", NOW)
    store.add_annotator("bot", "token-2", NOW, simulated=True)
    ann = store.annotator("token-1")
    assert (ann.annotator_id, ann.entry, ann.external_id) == ("ann", "personal", None)
    assert (ann.consented_at, ann.instructed_at, ann.finished_at) == (None, None, None)
    assert not ann.simulated
    assert store.annotator("token-2").simulated
    assert store.annotator("token-3") is None
    assert store.annotator("") is None


def test_people_and_simulated_annotators_take_part_in_different_studies(store):
    store.add_annotator("ann", "token-1", NOW)
    store.add_annotator("bot", None, NOW, simulated=True)
    store.consent("bot", NOW)
    assert store.has_simulated()
    assert not store.has_place("ann", NOW)
    with pytest.raises(StudyFullError, match="holds SIMULATED VOTES"):
        store.consent("ann", NOW)
    with pytest.raises(StudyFullError, match="holds SIMULATED VOTES"):
        store.add_annotator("eve", "token-2", NOW)
    store.add_annotator("bot-2", None, NOW, simulated=True)


def test_nobody_is_simulated_beside_people(store):
    store.add_annotator("ann", "token-1", NOW)
    store.consent("ann", NOW)
    with pytest.raises(StoreError, match="people take part"):
        store.add_annotator("bot", None, NOW, simulated=True)
    assert not store.has_simulated()
    assert store.has_place("ann", NOW)


@pytest.mark.parametrize(("annotator_id", "token"), [("ann", "other"), ("other", "token-1")])
def test_an_id_and_a_token_are_given_once(store, annotator_id, token):
    store.add_annotator("ann", "token-1", NOW)
    with pytest.raises(StoreError, match="is taken"):
        store.add_annotator(annotator_id, token, NOW)


def test_a_cookie_leads_to_its_annotator(store):
    store.add_annotator("ann", "token-1", NOW)
    store.log_in("ann", "cookie-1", LATER)
    store.log_in("ann", "cookie-1", LATER)
    store.log_in("ann", "cookie-2", LATER)
    assert store.logged_in("cookie-1") == store.logged_in("cookie-2")
    assert store.logged_in("cookie-1").annotator_id == "ann"
    assert store.logged_in("cookie-1").last_seen_at == LATER
    assert store.logged_in("token-1") is None


def test_the_first_consent_to_a_version_and_the_first_reading_count(store):
    store.add_annotator("ann", "token-1", NOW)
    store.consent("ann", NOW, "v1")
    store.consent("ann", LATER, "v1")
    ann = store.annotator("token-1")
    assert (ann.consented_at, ann.consent_version) == (NOW, "v1")
    store.consent("ann", LATER, "v2")
    ann = store.annotator("token-1")
    assert (ann.consented_at, ann.consent_version) == (LATER, "v2")
    store.instructed("ann", NOW)
    store.instructed("ann", LATER)
    assert store.annotator("token-1").instructed_at == NOW


def test_no_trial_before_consent_nor_in_a_session_of_somebody_else(store):
    store.add_annotator("ann", "token-1", NOW)
    store.start_session("session-of-ann", "ann", NOW)
    with pytest.raises(StoreError, match="not consented"):
        lease(store, "ann", "t")
    admit(store, "eve")
    store.consent("ann", NOW, "v1")
    with pytest.raises(StoreError, match="no session"):
        store.lease_trials("ann", "session-of-eve", ["t1"], NOW, seed=0)


def test_an_unknown_annotator_is_refused(store):
    for call in (
        lambda: store.consent("nobody", NOW, "v1"),
        lambda: store.instructed("nobody", NOW),
        lambda: store.log_in("nobody", "cookie", NOW),
        lambda: store.start_session("s1", "nobody", NOW),
        lambda: store.next_trial("nobody", "s1", "t1", NOW, seed=0),
        lambda: store.withdraw("nobody", NOW),
        lambda: store.block("nobody", "why", NOW),
    ):
        with pytest.raises(StoreError, match="annotator nobody: unknown"):
            call()
    assert store.log().empty


def test_the_window_is_recorded(store):
    store.add_annotator("ann", "token-1", NOW)
    store.start_session("s1", "ann", NOW, 1280, 720, 1.5, screen_width=1920, screen_height=1080)
    assert store.sessions().to_dict("records") == [
        {
            "session_id": "s1",
            "annotator_id": "ann",
            "started_at": NOW,
            "viewport_width": 1280,
            "viewport_height": 720,
            "screen_width": 1920,
            "screen_height": 1080,
            "pixel_ratio": 1.5,
        }
    ]


# ---- places


def prolific(limit):
    return Entry(kind="prolific", limit=limit, reclaim_minutes=60, completion_code="C0DE77")


def begin(store, annotator_id, now=NOW):
    store.consent(annotator_id, now, "v1")
    store.start_session(f"session-of-{annotator_id}", annotator_id, now)


def test_who_comes_again_from_prolific_is_the_same_annotator(store):
    store.set_entry(prolific(2))
    assert store.entry() == store.study().entry == prolific(2)
    first = store.admit("prolific", "P-1", "x1", NOW)
    assert (first.annotator_id, first.entry, first.external_id) == ("x1", "prolific", "P-1")
    assert store.admit("prolific", "P-1", "x2", LATER).annotator_id == "x1"
    assert store.admit("prolific", "P-2", "x3", LATER).annotator_id == "x3"
    assert store.annotators()["annotator_id"].tolist() == ["x1", "x3"]


def test_an_open_link_has_a_code_and_a_limit(store):
    assert not store.open_code_is("code-1")
    store.set_open_code("code-1")
    store.set_open_code("code-2")
    assert (store.open_code_is("code-1"), store.open_code_is("code-2")) == (False, True)
    store.set_entry(Entry(kind="open", limit=2))
    store.add_annotator("ann", "personal links take no place", NOW)
    assert [store.admit("open", None, i, NOW).annotator_id for i in ("x1", "x2")] == ["x1", "x2"]
    for name in ("x1", "x2"):
        begin(store, name)
    with pytest.raises(StudyFullError, match="all 2 places are taken"):
        store.admit("open", None, "x3", NOW)


def test_only_the_entry_of_the_study_is_open(store):
    for entry in ("prolific", "open", "personal"):
        with pytest.raises(StoreError, match=f'entry "{entry}": the study lets in.*"personal"'):
            store.admit(entry, "P-1", "x1", NOW)


def test_a_place_that_is_left_goes_to_somebody_else(database):
    """One place: it is kept for an hour after its holder was last heard of, and for good by who
    has finished; who comes back too late is told that all places are taken."""
    store = database.create(n_prompts=3, trials_per_annotator=4, votes_per_pair=9)
    store.set_entry(prolific(1))
    store.admit("prolific", "P-1", "x1", NOW)
    begin(store, "x1")
    lease(store, "x1", "t", n=1)
    with pytest.raises(StudyFullError):
        store.admit("prolific", "P-2", "x2", AFTER_59_MINUTES)
    store.admit("prolific", "P-2", "x2", AFTER_AN_HOUR)
    begin(store, "x2", AFTER_AN_HOUR)
    for late in (
        lambda: store.admit("prolific", "P-1", "x3", AFTER_AN_HOUR),
        lambda: lease(store, "x1", "t", now=AFTER_AN_HOUR),
    ):
        with pytest.raises(StudyFullError):
            late()
    assert len(vote_on_all(store, "x2", now=AFTER_AN_HOUR)) == 4
    assert store.annotators()["finished_at"].fillna("").tolist() == ["", AFTER_AN_HOUR]
    much_later = "2030-01-02T10:00:00.000+00:00"
    with pytest.raises(StudyFullError):
        store.admit("prolific", "P-1", "x4", much_later)
    assert store.admit("prolific", "P-2", "x5", much_later).annotator_id == "x2"


def test_who_comes_back_while_their_place_is_free_goes_on(store):
    store.set_entry(prolific(1))
    store.admit("prolific", "P-1", "x1", NOW)
    begin(store, "x1")
    first = lease(store, "x1", "t", n=1)
    assert store.admit("prolific", "P-1", "x2", AFTER_AN_HOUR).annotator_id == "x1"
    assert lease(store, "x1", "u", n=1, now=AFTER_AN_HOUR) == first


@pytest.mark.parametrize("leave", ["block", "withdraw"])
def test_who_is_blocked_or_withdraws_gives_their_place_back_and_gets_no_other(store, leave):
    store.set_entry(prolific(1))
    store.admit("prolific", "P-1", "x1", NOW, "sitting-1")
    begin(store, "x1")
    if leave == "block":
        store.block("x1", "three checks missed", NOW)
    else:
        store.withdraw("x1", NOW)
    assert store.admit("prolific", "P-2", "x2", NOW).annotator_id == "x2"
    begin(store, "x2")
    again = store.admit("prolific", "P-1", "x3", LATER, "sitting-2")  # though all places are taken
    assert again.annotator_id == "x1"
    assert (again.blocked_at, again.withdrawn_at) == {
        "block": (NOW, None), "withdraw": (None, NOW),
    }[leave]  # fmt: skip
    assert store.has_place("x1", LATER)  # or the page would say that the study is full
    assert "x3" not in set(store.annotators()["annotator_id"])


def test_who_is_blocked_and_withdraws_stays_blocked_and_known_by_a_hash_only(store, database):
    store.set_entry(prolific(2))
    store.admit("prolific", "P-secret", "x1", NOW, "sitting-secret")
    begin(store, "x1")
    store.block("x1", "three checks missed", NOW)
    store.withdraw("x1", LATER)
    again = store.admit("prolific", "P-secret", "x2", LATER, "sitting-secret")
    assert (again.annotator_id, again.blocked_at, again.withdrawn_at) == ("x1", NOW, LATER)
    assert "secret" not in repr(database.execute("SELECT * FROM annotators"))
    with pytest.raises(StoreError, match="x1: has withdrawn"):
        store.consent("x1", LATER, "v2")


def test_a_look_at_the_page_takes_no_place(store):
    """Two come by the address with one place left: the first to agree has it."""
    store.set_entry(prolific(1))
    for name in ("x1", "x2"):
        store.admit("prolific", f"P-{name}", name, NOW)
        store.start_session(f"session-of-{name}", name, NOW)
        store.log_in(name, f"cookie-{name}", NOW)
    assert store.has_place("x1", NOW)
    store.consent("x2", LATER, "v1")
    assert (store.has_place("x1", LATER), store.has_place("x2", LATER)) == (False, True)
    with pytest.raises(StudyFullError):
        store.consent("x1", LATER, "v1")
    assert store.annotators()["consented_at"].isna().tolist() == [True, False]


def test_a_lost_place_does_not_come_back_by_opening_the_page(store):
    store.set_entry(prolific(1))
    store.admit("prolific", "P-1", "x1", NOW)
    begin(store, "x1")
    lease(store, "x1", "t", n=1)
    store.admit("prolific", "P-2", "x2", AFTER_AN_HOUR)
    store.consent("x2", AFTER_AN_HOUR, "v1")
    store.log_in("x1", "cookie", AFTER_AN_HOUR)
    store.start_session("another", "x1", AFTER_AN_HOUR)
    assert not store.has_place("x1", AFTER_AN_HOUR)
    with pytest.raises(StudyFullError):
        store.lease_trials("x1", "another", ["u1"], AFTER_AN_HOUR, seed=0)


def test_a_pause_keeps_the_places_of_those_who_have_one(store):
    """Paused for a day; then an hour counts from the end of the pause on, without anybody's
    having been heard of."""
    store.set_entry(prolific(1))
    store.admit("prolific", "P-1", "x1", NOW)
    begin(store, "x1")
    store.pause("the server moves", AFTER_59_MINUTES)
    next_day = "2030-01-02T10:00:00.000+00:00"
    for when in (AFTER_AN_HOUR, next_day):
        with pytest.raises(StudyFullError):
            store.admit("prolific", "P-2", "x2", when)
    store.resume(next_day)
    assert store.annotators()["last_seen_at"].tolist() == [NOW]
    for minutes, is_kept in ((59, True), (60, False)):
        when = f"2030-01-02T{10 + minutes // 60}:{minutes % 60:02d}:00.000+00:00"
        if is_kept:
            with pytest.raises(StudyFullError):
                store.admit("prolific", "P-2", "x2", when)
        else:
            assert store.admit("prolific", "P-2", "x2", when).annotator_id == "x2"


def test_a_place_that_ended_before_a_pause_is_not_given_back_by_it(store):
    store.set_entry(prolific(1))
    store.admit("prolific", "P-1", "x1", NOW)
    begin(store, "x1")
    store.pause("the server moves", AFTER_AN_HOUR)
    store.resume("2030-01-01T12:00:00.000+00:00")
    assert store.admit("prolific", "P-2", "x2", "2030-01-01T12:00:00.000+00:00").entry == "prolific"


def test_what_is_paid_can_be_matched(store):
    store.set_entry(prolific(1))
    store.admit("prolific", "P-1", "x1", NOW, "sitting-1")
    store.admit("prolific", "P-1", "x2", LATER, "sitting-2")
    assert store.annotators()[["external_id", "external_session"]].values.tolist() == [
        ["P-1", "sitting-2"]
    ]
