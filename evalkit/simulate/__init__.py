"""Simulated annotators with stated strengths, effects, bias and carelessness. Pure and seeded."""

from evalkit.simulate.annotator import CHECK_GAP, SimulatedAnnotator, SimulatedVote
from evalkit.simulate.choices import Way
from evalkit.simulate.population import Population, choice_weights, expected_share, gap_of
from evalkit.simulate.strengths import Strengths, parse_strengths, plant
from evalkit.simulate.votes import SimulatedShares, simulate_comparisons, simulate_shares

__all__ = [
    "CHECK_GAP",
    "Population",
    "SimulatedAnnotator",
    "SimulatedShares",
    "SimulatedVote",
    "Strengths",
    "Way",
    "choice_weights",
    "expected_share",
    "gap_of",
    "parse_strengths",
    "plant",
    "simulate_comparisons",
    "simulate_shares",
]
