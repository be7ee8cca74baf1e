"""Sufficient statistics of votes: all that win rates and ratings need of them, however many."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from evalkit.analysis.clusters import ClusterSums, ShareSums, share_sums
from evalkit.analysis.coding import BOTH_BAD, FIRST_WON, SECOND_WON, TIE, CodedVotes

OUTCOMES = 4
POINTS = np.array([1.0, 0.0, 0.5, 0.5])  # to the first model, by outcome
KEPT = {  # the outcomes that each rule for ties counts
    "half": (FIRST_WON, SECOND_WON, TIE, BOTH_BAD),
    "drop": (FIRST_WON, SECOND_WON),
    "both_bad_apart": (FIRST_WON, SECOND_WON, TIE),
}


@dataclass(frozen=True)
class Layout:
    """What codes of votes stand for: pair x 4 + outcome, the pairs named by indices of k models."""

    models: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray

    @property
    def size(self) -> int:
        """Number of codes."""
        return OUTCOMES * len(self.first)

    def kept(self, rule: str) -> np.ndarray:
        """1 for each code that the rule counts, else 0."""
        one = np.zeros(OUTCOMES)
        one[list(KEPT[rule])] = 1
        return np.tile(one, len(self.first))

    def groups(self, rule: str) -> csr_array:
        """Codes x (pairs, models, all): which votes that the rule counts belong to which."""
        codes = np.flatnonzero(self.kept(rule))
        pair, m = codes // OUTCOMES, len(self.first)
        columns = [pair, m + self.first[pair], m + self.second[pair]]
        columns.append(np.full(len(codes), m + len(self.models)))
        rows = np.concatenate([codes] * len(columns))
        shape = (self.size, m + len(self.models) + 1)
        return csr_array((np.ones(len(rows)), (rows, np.concatenate(columns))), shape=shape)


@dataclass(frozen=True)
class Clustered:
    """Votes summed over clusters of one kind.

    `gram` is the sum over clusters of c c', c a cluster's votes by code. `present` holds, by rule
    for ties, how many clusters have a vote that counts: per pair, per model, and of all.
    """

    gram: np.ndarray
    present: dict[str, np.ndarray]

    def __add__(self, other: "Clustered") -> "Clustered":
        """The sums of both; their clusters must be different ones."""
        present = {rule: n + other.present[rule] for rule, n in self.present.items()}
        return Clustered(self.gram + other.gram, present)

    def of_pair(self, pair: int, rule: str) -> ClusterSums:
        """The sums of the points that a pair's first model got, and of the votes that count."""
        codes = slice(OUTCOMES * pair, OUTCOMES * (pair + 1))
        block = self.gram[codes, codes]
        kept = np.isin(np.arange(OUTCOMES), KEPT[rule]).astype(float)
        points = kept * POINTS
        squares = (points @ block @ points, points @ block @ kept, kept @ block @ kept)
        return ClusterSums(*(float(value) for value in squares), int(self.present[rule][pair]))

    def of_pairs(self, layout: Layout, rule: str) -> np.ndarray:
        """The sum over clusters of c c' (m x m), c a cluster's votes that count by pair."""
        kept, m = layout.kept(rule), len(layout.first)
        counted = self.gram * kept[:, None] * kept[None, :]
        return counted.reshape(m, OUTCOMES, m, OUTCOMES).sum(axis=(1, 3))


@dataclass(frozen=True)
class PromptSums:
    """Sums that can be had prompt by prompt, as a cell (prompt and annotator) lies in one prompt.

    `counts` are the votes per pair and outcome; `ahead` and `behind` count, per pair, the prompts
    on which the first model got more, or less, than half of the points.
    """

    counts: np.ndarray
    prompts: Clustered
    cells: Clustered
    ahead: np.ndarray
    behind: np.ndarray

    def __add__(self, other: "PromptSums") -> "PromptSums":
        """The sums of both; their prompts must be different ones."""
        return PromptSums(
            self.counts + other.counts,
            self.prompts + other.prompts,
            self.cells + other.cells,
            self.ahead + other.ahead,
            self.behind + other.behind,
        )


@dataclass(frozen=True)
class VoteSums:
    """The votes on one question: what their codes mean, and their sums over all clusters.

    `heaviest` has, for pairs of which one side got no vote, `ShareSums.heaviest` by pair and rule
    for ties.
    """

    layout: Layout
    by_prompt: PromptSums
    annotators: Clustered
    heaviest: dict[tuple[int, str], tuple[int, int, int]]

    @property
    def counts(self) -> np.ndarray:
        """Votes per pair and outcome, m x 4."""
        return self.by_prompt.counts

    def share_sums(self, pair: int, rule: str = "half") -> ShareSums:
        """What a win rate of one pair needs, under a rule for ties."""
        own, kept = self.counts[pair], list(KEPT[rule])
        return ShareSums(
            n=int(own[kept].sum()),
            total=float(own[kept] @ POINTS[kept]),
            decided=int(own[FIRST_WON] + own[SECOND_WON]),
            prompts=self.by_prompt.prompts.of_pair(pair, rule),
            annotators=self.annotators.of_pair(pair, rule),
            cells=self.by_prompt.cells.of_pair(pair, rule),
            heaviest=self.heaviest.get((pair, rule), (0, 0, 0)),
        )


def layout_of(votes: CodedVotes) -> Layout:
    """The pairs that the votes are on, in order."""
    pairs = np.unique(votes.first.astype(np.int64) * len(votes.models) + votes.second)
    return Layout(votes.models, *np.divmod(pairs, max(1, len(votes.models))))


def codes_of(votes: CodedVotes, layout: Layout) -> np.ndarray:
    """The code of each vote."""
    pairs = layout.first.astype(np.int64) * len(layout.models) + layout.second
    place = np.searchsorted(pairs, votes.first.astype(np.int64) * len(votes.models) + votes.second)
    return OUTCOMES * place + votes.outcome


def votes_by_cluster(cluster: np.ndarray, code: np.ndarray, layout: Layout) -> csr_array:
    """How many votes of each code a cluster has, a row per different cluster."""
    _, row = np.unique(cluster, return_inverse=True)
    shape = (int(row.max()) + 1 if len(row) else 0, layout.size)
    counts = csr_array((np.ones(len(row)), (row, code)), shape=shape)
    counts.sum_duplicates()
    return counts


def clustered(counts: csr_array, layout: Layout) -> Clustered:
    """The sums over the clusters that are the rows of `counts`."""
    present = {
        rule: np.asarray(((counts @ layout.groups(rule)) > 0).sum(axis=0)).ravel().astype(np.int64)
        for rule in KEPT
    }
    return Clustered((counts.T @ counts).toarray(), present)


def sides_of_half(counts: csr_array, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Per pair, how many clusters gave its first model more, and less, than half of the points."""
    m = len(layout.first)
    pair = np.arange(m)
    lead = csr_array(
        (
            np.concatenate([np.ones(m), -np.ones(m)]),
            (np.concatenate([OUTCOMES * pair, OUTCOMES * pair + 1]), np.concatenate([pair, pair])),
        ),
        shape=(layout.size, m),
    )
    leads = counts @ lead
    ahead = np.asarray((leads > 0).sum(axis=0)).ravel()
    return ahead.astype(np.int64), np.asarray((leads < 0).sum(axis=0)).ravel().astype(np.int64)


def heaviest_dissent(
    prompt: np.ndarray, annotator: np.ndarray, outcome: np.ndarray
) -> dict[str, tuple[int, int, int]]:
    """For the votes on one pair, by rule for ties, `ShareSums.heaviest` of those that count."""
    found = {}
    for rule, outcomes in KEPT.items():
        kept = np.isin(outcome, outcomes)
        none = np.zeros(int(kept.sum()))
        found[rule] = share_sums(none, prompt[kept], annotator[kept]).heaviest
    return found


def prompt_sums(
    prompt: np.ndarray, annotator: np.ndarray, code: np.ndarray, layout: Layout
) -> PromptSums:
    """The sums of votes given by codes of prompt and annotator and by their own code."""
    prompt, annotator = prompt.astype(np.int64), annotator.astype(np.int64)
    by_prompt = votes_by_cluster(prompt, code, layout)
    cell = prompt * (int(annotator.max(initial=0)) + 1) + annotator
    ahead, behind = sides_of_half(by_prompt, layout)
    return PromptSums(
        counts=np.bincount(code, minlength=layout.size).reshape(-1, OUTCOMES),
        prompts=clustered(by_prompt, layout),
        cells=clustered(votes_by_cluster(cell, code, layout), layout),
        ahead=ahead,
        behind=behind,
    )


def vote_sums(votes: CodedVotes) -> VoteSums:
    """The sums of votes that fit in memory."""
    layout = layout_of(votes)
    code = codes_of(votes, layout)
    sums = prompt_sums(votes.prompt, votes.annotator, code, layout)
    heaviest = {}
    for pair in one_sided(sums.counts):
        rows = code // OUTCOMES == pair
        dissent = heaviest_dissent(votes.prompt[rows], votes.annotator[rows], votes.outcome[rows])
        heaviest |= {(pair, rule): weight for rule, weight in dissent.items()}
    annotators = clustered(votes_by_cluster(votes.annotator, code, layout), layout)
    return VoteSums(layout, sums, annotators, heaviest)


def one_sided(counts: np.ndarray) -> list[int]:
    """The pairs of which one side got no vote."""
    return [int(pair) for pair in np.flatnonzero((counts[:, :2] == 0).any(axis=1))]
