"""Three pairs to begin with: the closest, the clearest and an upset, by the votes on them."""

from dataclasses import dataclass

from evalkit.report.copies import Copies
from evalkit.report.explorer import Explorer, Pair

CHOSEN = (
    "The closest (votes for the two models nearest to even within each question), the clearest "
    "(the largest share of votes on one side) and the clearest upset (the model rated lower has "
    "more votes); of equals, the one with more votes. They are picked to be looked at and stand "
    "for nothing but themselves: every pair is below."
)


@dataclass(frozen=True)
class Example:
    """A pair of the explorer, why it is shown, its prompt and category, its images as data URIs."""

    why: str
    pair: Pair
    prompt: dict[str, str]
    image_a: str
    image_b: str


def choose_examples(explorer: Explorer, copies: Copies) -> list[Example]:
    """The examples, each pair at most once; fewer where no votes make one."""
    return [
        Example(
            why,
            pair,
            explorer.prompts[pair["prompt"]],
            copies.data_uri(pair["image_a"]),
            copies.data_uri(pair["image_b"]),
        )
        for why, pair in choose_pairs(explorer.pairs)
    ]


def choose_pairs(pairs: list[Pair]) -> list[tuple[str, Pair]]:
    """Why, and which of the pairs (see `explore`); of equals the first."""
    decided = [pair for pair in pairs if _decided(pair)]
    choices = [
        ("closest", decided, lambda pair: (-_margin(pair), _decided(pair))),
        ("clearest", decided, lambda pair: (_margin(pair), _decided(pair))),
        ("upset", [pair for pair in decided if _upset_by(pair)], _upset_by),
    ]
    chosen: list[tuple[str, Pair]] = []
    for why, among, rank in choices:
        taken = {pair["id"] for _, pair in chosen}
        left = [pair for pair in among if pair["id"] not in taken]
        if left:
            chosen.append((why, max(left, key=rank)))
    return chosen


def _decided(pair: Pair) -> int:
    """Votes for one of the two models, over the questions."""
    return sum(answer["votes"][0] + answer["votes"][1] for answer in pair["answers"] if answer)


def _margin(pair: Pair) -> float:
    """How far apart the two models are within each question, in [0, 1]."""
    leads = [abs(answer["votes"][0] - answer["votes"][1]) for answer in pair["answers"] if answer]
    return sum(leads) / _decided(pair)


def _upset_by(pair: Pair) -> int:
    """By how many votes the lower rated model is ahead, where that is most."""
    upsets = [answer["votes"] for answer in pair["answers"] if answer and answer["upset"]]
    return max((abs(for_a - for_b) for for_a, for_b, *_ in upsets), default=0)
