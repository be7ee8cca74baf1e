"""The study file: presets read, mistakes answered in one sentence."""

import re
from pathlib import Path

import pytest

from evalkit.errors import StudyError
from evalkit.models import DiffusionModel
from evalkit.presets import PRESETS, init_study, preset_text
from evalkit.study import Study, parse_study, read_study
from evalkit.study_sections import (
    Design,
    Exclusions,
    ImageSettings,
    PromptSource,
    Question,
    SessionSettings,
)


def scenes(old="", new=""):
    text = preset_text("scenes").replace("{name}", "mine")
    assert old in text
    return text.replace(old, new, 1) if old else text


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.toml"


def test_the_sdxl_turbo_preset_is_the_study_of_the_paper(tmp_path):
    study = read_study(init_study(tmp_path / "paper", "sdxl-turbo"))
    assert {(m.name, m.catalogue, m.steps, m.guidance) for m in study.models} == {
        ("sdxl-turbo-1", "sdxl-turbo", 1, 0.0),
        ("sdxl-turbo-4", "sdxl-turbo", 4, 0.0),
        ("lcm-xl-4", "lcm-sdxl", 4, 8.0),
        ("sdxl-50", "sdxl", 50, 5.0),
    }
    assert (study.prompts.source, study.prompts.n) == ("partiprompts", 100)
    assert study.images.viewing_size == 512
    assert study.design.votes_per_pair == 4
    assert [(q.id, q.show_prompt) for q in study.questions] == [
        ("quality", False),
        ("alignment", True),
    ]


def test_every_preset_is_a_valid_study_named_by_its_folder(tmp_path):
    assert set(PRESETS) == {"scenes", "sdxl-turbo"}
    for preset in PRESETS:
        assert read_study(init_study(tmp_path / preset, preset)).name == preset


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("votes_per_pair = 4", "vote_per_pair = 4",
         'unknown key "design.vote_per_pair"; allowed are .*did you mean "votes_per_pair"'),
        ("votes_per_pair = 4", 'votes_per_pair = "four"',
         "design.votes_per_pair = 'four'; input should be a valid integer"),
        ("votes_per_pair = 4", "votes_per_pair = 0", "greater than or equal to 1"),
        ("[models.scenes-lcm]", "[models.scenes-lmc]",
         'models.scenes-lmc: unknown model "scenes-lmc".*did you mean "scenes-lcm"'),
        ("guidance = 4.0", "guidence = 4.0",
         'models.scenes-base: unknown key "guidence".*did you mean "guidance"'),
        ("guidance = 4.0", "guidance = -1", "models.scenes-base: guidance = -1"),
        ("seeds = [0, 1]", "seeds = [1, 1]", "images.seeds = .*a seed stands twice"),
        ("seeds = [0, 1]", "seeds = []", "images.seeds"),
        ("seeds = [0, 1]", "seeds = [0, 9007199254740992]",
         "images.seeds.1 = 9007199254740992; input should be less than 9007199254740992"),
        ("seeds = [0, 1]", "seeds = [true]", "images.seeds.0 = True; input should be a valid int"),
        ("seed = 20231128", "seed = 1e3", "seed = 1000.0; input should be a valid integer"),
        ("show_prompt = false", 'show_prompt = "no"',
         "questions.0.show_prompt = 'no'; input should be a valid boolean"),
        ("tie = true", "tie = 1", "questions.0.tie = 1; input should be a valid boolean"),
        ("votes_per_pair = 4", 'votes_per_pair = "4"',
         "design.votes_per_pair = '4'; input should be a valid integer"),
        ("guidance = 4.0", 'guidance = "4"', "scenes-base: guidance = '4'; input should be a val"),
        ('pairs = "all"', 'pairs = "some"',
         'design.pairs = \'some\'; allowed are "all" or a list of lists of two model names'),
        ('pairs = "all"', 'pairs = [["scenes-base", "scenes-lcm", "scenes-turbo"]]',
         'design.pairs = .*allowed are "all" or a list of lists of two'),
        ("trials_per_annotator = 60", "trials_per_annotator = 1",
         "design.trials_per_annotator = 1 leaves no trial for a pair.*raise it to 4 or more"),
        ("[models.scenes-base]", '[models.scenes-base]\ncatalogue = ["scenes-base"]',
         r"unknown model \"\['scenes-base'\]\"; the catalogue has"),
        ('draw = "first"', 'draw = "frist"',
         'prompts.draw = "frist"; allowed are first, random, stratified; did you mean "first"'),
        ('pairs = "all"', 'pairs = [["scenes-base", "scenes-tubro"]]',
         'unknown model "scenes-tubro".*did you mean "scenes-turbo"'),
        ('pairs = "all"', 'pairs = [["scenes-base", "scenes-base"]]', "paired with itself"),
        ('pairs = "all"', 'pairs = [["scenes-base", "scenes-lcm"], ["scenes-lcm", "scenes-base"]]',
         "stands twice"),
        ('id = "alignment"', 'id = "quality"', 'the id "quality" stands twice'),
        ('name = "mine"', 'name = "../mine"', 'name: "../mine"; a name has letters'),
        ('store = "votes.sqlite"', 'store = "../votes.sqlite"', "the name of a file in the study"),
        ('store = "votes.sqlite"', 'store = "a\\u0000.sqlite"',
         r'store = "a\\u0000.sqlite"; allowed'),
        ('store = "votes.sqlite"', 'store = "postgresql://"', "store: the address names no datab"),
        ('store = "votes.sqlite"', 'store = "postgresql://host"', "postgresql://user@host/database"),
        ('store = "votes.sqlite"', 'store = "postgresql:///votes"', r"database\?host=/var/run"),
        ('store = "votes.sqlite"', 'store = "postgresql://[host/votes"', "names no database"),
        ("[session]", '[session]\ntexts = "a\\u0000.toml"',
         r'session.texts = "a\\u0000.toml"; no file has such a name; write that'),
        ("seed = 2023", "seed = = 2023", "not valid TOML"),
        ("[prompts]", "[promts]", 'unknown key "promts".*did you mean "prompts"'),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_the_place(path, old, new, message):
    with pytest.raises(StudyError, match=message) as caught:
        parse_study(scenes(old, new), path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["consent", "instructions"])
@pytest.mark.parametrize("text", ['""', r'" \n"'])
def test_what_annotators_must_read_is_not_blank(path, key, text):
    blank = re.sub(rf'^{key} = """.*?"""', lambda _: f"{key} = {text}", scenes(), flags=re.M | re.S)
    with pytest.raises(StudyError, match=f"session.{key} = .*; nothing could be read there; write"):
        parse_study(blank, path)


def test_an_address_that_may_hold_a_password_is_not_repeated(path):
    with pytest.raises(StudyError) as caught:
        parse_study(scenes("votes.sqlite", "postgresql://ann:hidden@host"), path)
    assert "hidden" not in str(caught.value)
    for address in ("postgresql://ann:hidden@host/votes", "postgresql:///votes?host=/run/pg"):
        assert parse_study(scenes("votes.sqlite", address), path).store == address


def test_each_question_has_room_for_a_pair(path):
    """Half of two trials are checks, and half of one is one by rounding."""
    text = scenes("attention_share = 0.05", "attention_share = 0.5")
    for trials in (2, 3):
        with pytest.raises(StudyError, match="leaves no trial for a pair in each of 2 questions"):
            parse_study(text.replace("annotator = 60", f"annotator = {trials}"), path)
    parse_study(text.replace("annotator = 60", "annotator = 4"), path)
    parse_study(scenes("annotator = 60", "annotator = 2"), path)


def test_two_models_at_least(path):
    text = scenes().replace("[models.scenes-lcm]\nsteps = 4\n", "")
    text = text.replace("[models.scenes-turbo]\nsteps = 1\n", "")
    with pytest.raises(StudyError, match="at least 2"):
        parse_study(text, path)


def test_the_hash_changes_with_a_setting_and_not_with_a_comment(path):
    study = parse_study(scenes(), path)
    assert parse_study(scenes() + "\n# a comment\n", path).sha256 == study.sha256
    assert parse_study(scenes("steps = 25", "steps = 26"), path).sha256 != study.sha256


def test_the_hash_is_the_same_in_every_version():
    """What later comes to have a default, or is said about a model, must not change it."""
    study = Study(
        name="a",
        seed=1,
        prompts=PromptSource(source="own.csv"),
        images=ImageSettings(seeds=(0,)),
        models=tuple(
            DiffusionModel(
                name=name, catalogue="b", repository="r", steps=steps, guidance=1.5,
                width=64, height=32, licence="MIT", source="somebody",
            )
            for name, steps in (("x", 1), ("y", 2))
        ),
        questions=(Question(id="quality", text="Which?", show_prompt=False),),
        design=Design(),
        session=SessionSettings(),
        store="votes.sqlite",
    )  # fmt: skip
    # sha256sum of the canonical JSON, by hand:
    # {"design": {}, "images": {"seeds": [0]}, "models": {"x": {"guidance": 1.5, "height": 32,
    # "repository": "r", "steps": 1, "width": 64}, "y": {...}}, "name": "a", "prompts": {"source":
    # "own.csv"}, "questions": [{"id": "quality", "show_prompt": false, "text": "Which?"}],
    # "seed": 1, "session": {}}
    assert study.sha256 == "6761df2099f6c46f427db12335162358933e23d8897e421ea5b12bd37fa26bb9"


EXCLUSIONS = """
[exclusions]
attention_below = 0.75
median_ms_below = 1000
same_side_above = 0.9
longest_run_above = 25
repeat_consistency_below = 0.4
blocked = true
"""


def test_rules_of_exclusion_are_part_of_the_study(path):
    """And of its hash; a study without them has the hash that it had before there were any."""
    plain = parse_study(scenes(), path)
    assert plain.exclusions == Exclusions()
    assert parse_study(scenes() + "\n[exclusions]\n", path).sha256 == plain.sha256
    ruled = parse_study(scenes() + EXCLUSIONS, path)
    assert ruled.exclusions == Exclusions(
        attention_below=0.75,
        median_ms_below=1000,
        same_side_above=0.9,
        longest_run_above=25,
        repeat_consistency_below=0.4,
        blocked=True,
    )
    looser = parse_study(scenes() + EXCLUSIONS.replace("0.75", "0.5"), path)
    assert len({plain.sha256, ruled.sha256, looser.sha256}) == 3


def test_the_rules_in_the_presets_are_valid_as_they_stand():
    for preset in PRESETS:
        text = preset_text(preset).replace("{name}", "mine")
        start = text.index("# [exclusions]")
        block = text[start : text.index("\n\n", start)]
        study = parse_study(
            text.replace(block, block.replace("# [", "[").replace("\n# ", "\n")), Path()
        )
        given = study.exclusions.model_dump(exclude_defaults=True)
        assert list(given) == [
            "attention_below", "median_ms_below", "same_side_above", "longest_run_above",
            "repeat_consistency_below", "blocked",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("attention_below", "atention_below",
         'unknown key "exclusions.atention_below"; allowed are attention_below, .*'
         'did you mean "attention_below"'),
        ("0.75", "75", "exclusions.attention_below = 75; input should be less than or equal to 1"),
        ("0.75", '"75%"', "exclusions.attention_below = '75%'; input should be a valid number"),
        ("= 1000", "= 0.5", "exclusions.median_ms_below = 0.5; input should be a valid integer"),
        ("= 0.9", "= 0.5", "exclusions.same_side_above = 0.5; input should be greater than"),
        ("= 25", "= 1", "exclusions.longest_run_above = 1; input should be greater than or equal"),
        ("= 0.4", "= nan", "exclusions.repeat_consistency_below = nan; input should be"),
        ("= true", '= "yes"', "exclusions.blocked = 'yes'; input should be a valid boolean"),
        ("blocked = true", "min_checks = 5",
         "exclusions.attention_below: counts from min_checks = 5 attention checks on, and an "
         "annotator has at most 4; raise design.attention_share, or lower exclusions.min_checks"),
        ("blocked = true", "min_repeats = 5", "at most 4; raise design.repeat_share, or lower"),
        ("blocked = true", "min_votes = 61",
         "exclusions.median_ms_below: .*min_votes = 61 votes on, .* at most 60; raise design.tri"),
        ("longest_run_above = 25", "longest_run_above = 60",
         "exclusions.longest_run_above = 60: an annotator has at most 60 votes, so no run is"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_rules_is_one_sentence_with_the_place(path, old, new, message):
    assert old in EXCLUSIONS
    with pytest.raises(StudyError, match=message) as caught:
        parse_study(scenes() + EXCLUSIONS.replace(old, new, 1), path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_image_id_follows_settings_prompt_and_seed_and_not_the_name(path):
    base = parse_study(scenes(), path).models[0]
    renamed = base.model_copy(update={"name": "other"})
    assert renamed.image_id("a red circle", 0) == base.image_id("a red circle", 0)
    changed = [
        base.image_id("a red circle", 1),
        base.image_id("a blue circle", 0),
        base.model_copy(update={"steps": 26}).image_id("a red circle", 0),
        base.model_copy(update={"scheduler_settings": {"eta": 1}}).image_id("a red circle", 0),
    ]
    assert len({base.image_id("a red circle", 0), *changed}) == 5


def test_init_refuses_what_is_there_and_writes_nothing_on_a_mistake(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(StudyError, match="not empty"):
        init_study(tmp_path / "mine", "scenes")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    with pytest.raises(StudyError, match='unknown "scene".*did you mean "scenes"'):
        init_study(tmp_path / "new", "scene")
    with pytest.raises(StudyError, match="a name has letters"):
        init_study(tmp_path / "my study", "scenes")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]
