"""The answer: two sentences per question, then one per pair, each with how firmly it stands."""

from dataclasses import dataclass

from evalkit.report.firmness import firmness
from evalkit.report.results import Results
from evalkit.study_sections import Question
from evalkit.wording import (
    anytime_headline,
    anytime_sentence,
    counted,
    exclusion_sentence,
    headline,
    is_before_the_end,
    votes_counted,
    win_rate_sentence,
)

_MOST_SENTENCES = 6  # that stand open: the pairs of four models


@dataclass(frozen=True)
class Answer:
    """One question with its two sentences, and a sentence per pair and how firmly it stands."""

    question: Question
    headline: tuple[str, str] | None
    sentences: list[tuple[str, str]]

    @property
    def folded(self) -> bool:
        """Whether the pairs are too many to stand open."""
        return len(self.sentences) > _MOST_SENTENCES


def answers(results: Results) -> list[Answer]:
    """An answer per question of the study; one without votes says so."""
    return [_answer(results, question) for question in results.study.questions]


def _answer(results: Results, question: Question) -> Answer:
    asked = results.asked("win_rates", question.id)
    if asked.empty:
        return Answer(question, None, [("There are no votes on this question yet.", "open")])
    votes = results.comparisons
    main = votes[(votes["kind"] == "main") & (votes["question_id"] == question.id)]
    counts = votes_counted(main)
    if is_before_the_end(results.summary) and not results.anytime.empty:
        rows = results.asked("anytime", question.id)
        said = anytime_headline(rows, counts)
        sentence = anytime_sentence
    else:
        rows, sentence = asked, win_rate_sentence
        said = headline(asked, results.asked("ratings", question.id), counts)
    records = rows.to_dict("records")
    return Answer(question, said, [(sentence(row), firmness(row)) for row in records])


def excluded(results: Results) -> str:
    """How many main votes do not count, by which rules, in words; empty where all do."""
    return exclusion_sentence(results.summary) if results.summary["votes_excluded"] else ""


def not_shown(results: Results) -> list[str]:
    """A sentence per model of which some images could not be shown."""
    sentences = []
    for model, statuses in results.images.groupby("model", sort=False)["status"]:
        counts = statuses.value_counts().drop("ok", errors="ignore").sort_index()
        if len(counts):
            what = " and ".join(f"{n:,} {status}" for status, n in counts.items())
            of = counted(len(statuses), "image")
            sentences.append(f"{model}: {what} of {of}; no pair with them was shown.")
    return sentences
