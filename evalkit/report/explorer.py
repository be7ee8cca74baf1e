"""The explorer of the page: every pair with its images, prompt, votes and scores, as JSON."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from evalkit import tables
from evalkit.report.copies import Copies
from evalkit.report.measures import (
    metric_labels,
    read_disagreements,
    read_judgements,
    read_scores,
)
from evalkit.report.results import Results

N_PLAIN = 24  # pairs listed where scripts do not run
Pair = dict[str, Any]
Answer = dict[str, Any]
Gaps = dict[str, dict[str, dict[str, Any]]]  # by pair, order and question


@dataclass(frozen=True)
class Explorer:
    """What the explorer shows.

    `pairs` are in the order of the prompts; see `explore`. `prompts` have id, text, category and
    challenge, `orders` the names of orders with their words, `images` addresses of large copies or,
    where `embedded`, small copies as data URIs.
    """

    questions: list[str]
    models: list[str]
    prompts: list[dict[str, str]]
    pairs: list[Pair]
    orders: dict[str, str]
    images: dict[str, str]
    embedded: bool

    @property
    def categories(self) -> list[str]:
        """The categories of the prompts, in order of name."""
        return sorted({prompt["category"] for prompt in self.prompts} - {""})

    @property
    def challenges(self) -> list[str]:
        """The challenges of the prompts, in order of name."""
        return sorted({prompt["challenge"] for prompt in self.prompts} - {""})

    @property
    def plain(self) -> list[Pair]:
        """The first pairs."""
        return self.pairs[:N_PLAIN]

    @property
    def json(self) -> Markup:
        """All of it for a `<script>`: no text in it can end that element."""
        content = {
            "questions": self.questions,
            "prompts": self.prompts,
            "pairs": self.pairs,
            "images": self.images,
            "embedded": self.embedded,
        }
        return htmlsafe_json_dumps(
            content, allow_nan=False, ensure_ascii=False, separators=(",", ":")
        )


def explore(results: Results, copies: Copies) -> Explorer:
    """Every pair of the study; none where the comparisons do not name their pairs.

    A pair has id, prompt (its place in `prompts`), seed, models a and b, their image ids, and

    - answers: per question [votes for a, for b, ties, both bad] that count, `split` (the chance
      that two votes drawn at random differ, in [0, 1]; None below two votes) and `upset` (whether
      the lower rated model has more votes); None without votes
    - scores: label, score of a, score of b
    - judged: question, label, probability that a is preferred
    - gaps: by order of `orders` and question, {label, place, share_a, expected_a}
    """
    pairs = _in_order(results)
    shown = {*pairs["image_a"], *pairs["image_b"]}
    compared = {*pairs["model_a"], *pairs["model_b"]}
    orders, gaps = _gaps(results)
    address = copies.data_uri if copies.embedded else copies.address
    return Explorer(
        questions=results.question_ids,
        models=[name for name in results.study.model_names if name in compared],
        prompts=_prompts(results.prompts),
        pairs=_pairs(results, pairs, gaps),
        orders=orders,
        images={image_id: address(image_id) for image_id in copies.files if image_id in shown},
        embedded=copies.embedded,
    )


def _pairs(results: Results, pairs: pd.DataFrame, gaps: Gaps) -> list[Pair]:
    answers, scores, judged = _answers(results), _scores(results), _judged(results)
    return [
        {
            "id": pair.pair_id,
            "prompt": int(pair.place),
            "seed": int(pair.seed),
            "a": pair.model_a,
            "b": pair.model_b,
            "image_a": pair.image_a,
            "image_b": pair.image_b,
            "answers": [answers.get((pair.pair_id, name)) for name in results.question_ids],
            "scores": [
                [label, of[pair.image_a], of[pair.image_b]]
                for label, of in scores.items()
                if pair.image_a in of and pair.image_b in of
            ],
            "judged": judged.get(pair.pair_id, []),
            "gaps": gaps.get(pair.pair_id, {}),
        }
        for pair in pairs.itertuples()
    ]


def _in_order(results: Results) -> pd.DataFrame:
    """The pairs, with the `place` of their prompts; none where the votes do not name them."""
    place = {prompt_id: n for n, prompt_id in enumerate(results.prompts["prompt_id"])}
    pairs = results.pairs if "pair_id" in results.comparisons.columns else results.pairs.iloc[:0]
    pairs = pairs.assign(place=pairs["prompt_id"].map(place))
    return pairs.sort_values(["place", "seed", "model_a", "model_b"], kind="stable")


def split(votes: list[int]) -> float | None:
    """The chance that two votes drawn at random, with replacement, differ; None below two votes."""
    n = sum(votes)
    return None if n < 2 else 1 - sum((count / n) ** 2 for count in votes)


def _answers(results: Results) -> dict[tuple[str, str], Answer]:
    """The main votes that count by pair and question; see `explore`."""
    votes = results.comparisons[results.comparisons["kind"] == "main"]
    if "pair_id" not in votes.columns:
        return {}
    names = ["pair_id", "question_id", "model_a", "model_b"]
    counts = votes.groupby([*names, "winner"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=list(tables.WINNERS), fill_value=0)
    rated = results.ratings.set_index(["question_id", "model"])["rating"].to_dict()
    return {
        (pair_id, question_id): _answer(
            [int(n) for n in row],
            rated.get((question_id, a), math.nan),
            rated.get((question_id, b), math.nan),
        )
        for (pair_id, question_id, a, b), *row in counts.itertuples()
    }


def _answer(votes: list[int], rating_a: float, rating_b: float) -> Answer:
    for_a, for_b = votes[:2]
    upset = (for_a > for_b and rating_a < rating_b) or (for_b > for_a and rating_b < rating_a)
    return {"votes": votes, "split": split(votes), "upset": upset}


def _scores(results: Results) -> dict[str, dict[str, float]]:
    """By the label of metric and weights: the score of each image."""
    table = read_scores(results.folder)
    labels = metric_labels(table)
    return {
        labels[key]: dict(zip(scored["image_id"], scored["score"].astype(float), strict=True))
        for key, scored in table.groupby(["metric", "weights"], sort=True)
    }


def _judged(results: Results) -> dict[str, list[list[Any]]]:
    """By pair: question, label and probability of each judgement."""
    table = read_judgements(results.folder)
    labels = metric_labels(table)
    judged = defaultdict(list)
    for row in table.itertuples():
        label = labels[row.metric, row.weights]
        judged[row.pair_id].append([row.question_id, label, float(row.score)])
    return judged


def _gaps(results: Results) -> tuple[dict[str, str], Gaps]:
    """The orders by how far people and metrics differ, with their words, and the gaps."""
    table = read_disagreements(results.folder)
    labels = metric_labels(table)
    orders = {f"against/{'/'.join(key)}": label for key, label in labels.items()}
    gaps: Gaps = defaultdict(lambda: defaultdict(dict))
    for row in table.itertuples():
        gap = {"label": labels[row.metric, row.weights], "place": int(row.place)}
        gap |= {"share_a": _known(row.share_a), "expected_a": _known(row.expected_a)}
        gaps[row.pair_id][f"against/{row.metric}/{row.weights}"][row.question_id] = gap
    return orders, gaps


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _prompts(prompts: pd.DataFrame) -> list[dict[str, str]]:
    named = prompts.rename(columns={"prompt_id": "id", "prompt": "text"})
    return named[["id", "text", "category", "challenge"]].to_dict("records")
