"""The Human Evaluation Datasheet (HEDS) of a study, filled in as far as its files know.

Its questions and their numbers are those of Shimorina & Belz (2022), The Human Evaluation
Datasheet: A Template for Recording Details of Human Evaluation Experiments in NLP, HumEval 2022,
pages 54-75; their titles are in our words. Questions 4.* are answered once per question asked.
"""

import pandas as pd

from evalkit import tables
from evalkit.report.datasheet import Part
from evalkit.report.results import Results
from evalkit.report.terms import CHOICES, MEASURES
from evalkit.study_sections import Question
from evalkit.wording import counted

OPEN = "To be filled in by the authors"
SCREEN = "evalkit screen STUDY"
_DRAWN = {
    "first": "other: the first {n} prompts of the source, in its order",
    "random": "by an automatic random process: {n} prompts of the source, seed {seed}",
    "stratified": (
        "by an automatic random process, stratified by {stratify}: {n} prompts of the source, "
        "seed {seed}"
    ),
}


def heds(results: Results) -> list[Part]:
    """The five sections, the fourth once per question of the study; every question has an answer.

    What the files do not know is `OPEN`, with what they do know before or after it.
    """
    answers = [
        ("1 Paper and resources", _paper()),
        ("2 Evaluated systems", _systems(results)),
        ("3.1 Sample of outputs", _sample(results)),
        ("3.2 Evaluators", _evaluators(results)),
        ("3.3 Experimental design", _design(results)),
        *(
            (f"4 Quality criterion {number}: {question.id}", _criterion(results, question))
            for number, question in enumerate(results.study.questions, start=1)
        ),
        ("5 Ethics", _ethics(results)),
    ]
    return [
        Part(title, [(label, [answer]) for label, answer in rows.items()])
        for title, rows in answers
    ]


def _paper() -> dict[str, str]:
    return {
        "1.1 Paper that reports the experiment": OPEN,
        "1.2 Where its resources are": OPEN,
        "1.3 Who filled this in, and whom to contact": OPEN,
    }


def _systems(results: Results) -> dict[str, str]:
    words = results.prompts["prompt"].str.split().str.len()
    with_image = [model.name for model in results.study.models if model.takes_image]
    beside = f"; visual: an input image beside it, for {', '.join(with_image)}"
    sizes = dict.fromkeys(f"{model.width} x {model.height}" for model in results.study.models)
    return {
        "2.1 Kind of input": f"text: prompts of {words.min()} to {words.max()} words"
        + (beside if with_image else ""),
        "2.2 Kind of output": f"visual: images of {', '.join(sizes)} px",
        "2.3 Task of the systems": "other: text-to-image generation"
        + (" and image-to-image generation" if with_image else ""),
        "2.4 Input languages": OPEN,
        "2.5 Output languages": "N/A: the outputs are images",
    }


def _sample(results: Results) -> dict[str, str]:
    source = results.study.prompts
    drawn = _DRAWN[source.draw] if source.n is not None else "other: all {n} prompts of the source"
    said = drawn.format(n=len(results.prompts), seed=results.study.seed, stratify=source.stratify)
    n_seeds = counted(len(results.study.images.seeds), "seed")
    return {
        "3.1.1 Outputs evaluated per system": _outputs(results),
        "3.1.2 How outputs were selected": (
            f"{said} ({source.source}); each system made one image per prompt and seed ({n_seeds})"
        ),
        "3.1.3 Statistical power": f"{OPEN}; evalkit plan says what the votes of a design can show",
    }


def _outputs(results: Results) -> str:
    """Images per model with at least one main vote that counts; one number where all have it."""
    votes = results.comparisons
    if "pair_id" not in votes.columns:
        return OPEN
    voted = votes.loc[votes["kind"] == "main", "pair_id"]
    pairs = results.pairs[results.pairs["pair_id"].isin(voted)]
    shown = pd.concat(
        pairs[[f"model_{side}", f"image_{side}"]].set_axis(["model", "image"], axis=1)
        for side in "ab"
    )
    counts = shown.groupby("model")["image"].nunique()
    if counts.nunique() == 1:
        return str(counts.iloc[0])
    return ", ".join(f"{model} {n}" for model, n in counts.items())


def _evaluators(results: Results) -> dict[str, str]:
    study = results.study
    main = results.comparisons[results.comparisons["kind"] == "main"]
    n = main["annotator_id"].nunique()
    practice = counted(study.design.practice_trials, "practice trial")
    trained = (
        f'instructions: "{_line(study.session.instructions)}"; {practice} before each question, '
        "with feedback, not counted"
    )
    if results.simulated:
        no_person = f"none: {tables.SIMULATED}, no person took part"
        return {
            "3.2.1 Number of evaluators": f"0 people; {n} simulated annotators",
            "3.2.2 Kind of evaluators": no_person,
            "3.2.3 How they were recruited": no_person,
            "3.2.4 Training and practice": no_person,
            "3.2.5 What else is known of them": no_person,
        }
    came = {
        "personal": "by personal links that the coordinator gave out",
        "prolific": f"through Prolific, at most {study.entry.limit} people",
        "open": f"by one open link, at most {study.entry.limit} people",
    }[study.entry.kind]
    return {
        "3.2.1 Number of evaluators": f"{n} (with main votes that count)",
        "3.2.2 Kind of evaluators": f"{OPEN} (experts, paid, known to the authors, authors)",
        "3.2.3 How they were recruited": f"They came {came}. {OPEN}: who was asked, and how",
        "3.2.4 Training and practice": trained,
        "3.2.5 What else is known of them": OPEN,
    }


def _design(results: Results) -> dict[str, str]:
    study, lock = results.study, results.lock
    locked = f"Locked before the votes, at {lock['locked_at']}. " if lock else ""
    program = f"by a program: {tables.SIMULATED}"
    page = "by the page of evalkit in a browser, one vote per trial, by keys or buttons"
    reasons = "A reason could be written beside each choice. " if study.session.reasons else ""
    is_online = study.entry.kind == "prolific" and not results.simulated
    own_place = "at a place of the evaluators' own choosing, online (through Prolific)"
    return {
        "3.3.1 Preregistration": f"{locked}{OPEN}: the registry, if any",
        "3.3.2 How responses were collected": program if results.simulated else page,
        "3.3.3 Quality assurance": _assurance(results),
        "3.3.4 What evaluators see": _screen(results),
        "3.3.5 How free evaluators are in time": (
            "neither a set time per judgement nor one sitting; an answer is taken after "
            f"{study.design.min_viewing_ms} ms at the soonest, and a pair left open for "
            f"{study.design.lease_minutes} minutes may go to somebody else"
        ),
        "3.3.6 Questions and feedback": f"{reasons}{OPEN}: whether evaluators could ask",
        "3.3.7 Conditions of evaluation": own_place if is_online else OPEN,
        "3.3.8 How conditions varied": "N/A: own choosing" if is_online else OPEN,
    }


def _assurance(results: Results) -> str:
    design, summary = results.study.design, results.summary
    checks = summary["attention"]
    return (
        f"automatic: {100 * design.attention_share:g}% attention checks ({checks['passed']} of "
        f"{checks['n']} passed), {100 * design.repeat_share:g}% hidden repeats; rules of exclusion "
        f"fixed before the votes: {summary['exclusion_rule']}; {summary['votes_excluded']} of "
        f"{summary['votes_main']} main votes excluded. {OPEN}: what was checked by hand"
    )


def _screen(results: Results) -> str:
    said = (
        "two images side by side on one neutral screen, the question above them, the prompt where "
        "the question shows it; no names of models"
    )
    file = results.folder.screen_file
    if file.is_file():
        return f"{said}; a picture of it: {file.name}"
    return (
        f"{said}. A picture of it is missing: make one with {SCREEN}, or save one of your own as "
        f"{file.name} in the study folder; then write the report again"
    )


def _criterion(results: Results, question: Question) -> dict[str, str]:
    relative = "quality of output relative to the input: the prompt is shown above the images"
    alone = "quality of output in its own right: the prompt is not shown"
    choices = question.choices
    voted = f"no person judged: {tables.SIMULATED}" if results.simulated else "subjective"
    return {
        "4.1.1 Type of quality": f"{OPEN} (correctness, goodness or feature)",
        "4.1.2 Aspect of the output": f"{OPEN} (form, content or both)",
        "4.1.3 Frame of reference": relative if question.show_prompt else alone,
        "4.2.1 Objective or subjective": voted,
        "4.2.2 Absolute or relative": "relative: two outputs at a time",
        "4.2.3 Intrinsic or extrinsic": "intrinsic",
        "4.3.1 Name given to evaluators": f"N/A: the screen has the question only ({question.id} "
        "in the files)",
        "4.3.2 Definition given to evaluators": "the question itself (4.3.7)",
        "4.3.3 Size of the scale": str(len(choices)),
        "4.3.4 Values of the scale": ", ".join(CHOICES[choice] for choice in choices),
        "4.3.5 How the scale is presented": "multiple-choice options: one, by key or button",
        "4.3.6 Task where there is no scale": "N/A",
        "4.3.7 Question, verbatim": _line(question.text),
        "4.3.8 Form of elicitation": "relative quality estimation",
        "4.3.9 How responses are aggregated": _methods(results, question.id),
        "4.3.10 Effect size and significance": (
            "win rates with 95% intervals; p-values corrected by Holm over the pairs of the "
            "question"
        ),
        "4.3.11 Agreement": _agreement(results, question.id),
    }


def _methods(results: Results, question_id: str) -> str:
    """How win rates and ratings of the question were estimated, as their tables say it."""
    found = {"win rates": results.win_rates, "ratings": results.ratings}
    said = []
    for name, frame in found.items():
        asked = frame.loc[frame["question_id"] == question_id, "method"]
        said.append(f"{name}: {'; '.join(sorted(set(asked))) or 'no votes'}")
    return ". ".join(said)


def _agreement(results: Results, question_id: str) -> str:
    """The measures of agreement as the analysis has them; undefined ones say why."""
    frame = results.agreement
    said = []
    for row in frame[frame["question_id"] == question_id].to_dict("records"):
        name = MEASURES[row["measure"]]
        if pd.isna(row["estimate"]):
            said.append(f"{name} not estimated ({row['method'].split(';')[0]})")
            continue
        known = pd.notna(row["ci_low"]) and pd.notna(row["ci_high"])
        bounds = f" ({row['ci_low']:.3f} to {row['ci_high']:.3f})" if known else ""
        said.append(f"{name} {row['estimate']:.3f}{bounds}, n = {row['n']}")
    return "; ".join(said) or "not in the analysis; run evalkit analyze again"


def _ethics(results: Results) -> dict[str, str]:
    kept = (
        "no name, address or e-mail is asked for. The vote database has, under a random id, "
        "choices, corrections and their times, when each person was invited, came, agreed, was "
        "last there and withdrew, the version of the consent, sizes of window and screen, what the "
        "page noted of them, reasons for blocking, and hashes of links and cookies"
        + (", and reasons as free text" if results.study.session.reasons else "")
        + (
            ", and the ids that Prolific gives (of the person's a hash as well)"
            if results.study.entry.kind == "prolific"
            else ""
        )
        + ". Choices and times are also in the study's analysis, and under labels in its report"
    )
    if results.simulated:
        kept = f"no person took part: {tables.SIMULATED}"
    return {
        "5.1 Approval by an ethics committee": OPEN,
        "5.2 Personal data": f"{kept}. {OPEN}: what the images and the authors' own records hold",
        "5.3 Special categories of data": OPEN,
        "5.4 Impact assessments": OPEN,
    }


def _line(text: str) -> str:
    return " ".join(text.split())
