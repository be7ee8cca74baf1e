"""Bradley-Terry by evalkit and by its peers, each from the same frame of votes in strings.

A contender takes the columns model_a, model_b, winner and gives log-odds with mean zero, in the
order of the models' names, so that all can be held against each other. Ties count half.
"""

from collections.abc import Callable
from importlib import import_module

import numpy as np
import pandas as pd

Contender = Callable[[pd.DataFrame], np.ndarray]

_POINTS = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5}
_LOG_ODDS_PER_POINT = np.log(10) / 400


def evalkit_fit(votes: pd.DataFrame) -> np.ndarray:
    """Codes, counts, Newton."""
    from evalkit.analysis.coding import encode
    from evalkit.analysis.matchups import count
    from evalkit.analysis.paired_models import fit_counts

    return fit_counts(count(encode(votes, pairs_only=True))).strengths


def sklearn_counts(votes: pd.DataFrame) -> np.ndarray:
    """Logistic regression on pairs counted by pandas, a row per pair and side, weighted."""
    from sklearn.linear_model import LogisticRegression

    models, first, second, points, n = _counted(votes)
    design = np.eye(len(models))[first] - np.eye(len(models))[second]
    design, won = np.vstack([design, design]), np.repeat([1, 0], len(n))
    weights = np.concatenate([n * points, n * (1 - points)])
    regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8, max_iter=1000)
    fitted = regression.fit(design, won, sample_weight=weights).coef_[0]
    return fitted - fitted.mean()


def choix_counts(votes: pd.DataFrame) -> np.ndarray:
    """choix's iterated spectral ranking on a matrix of points counted by pandas."""
    import choix

    models, first, second, points, n = _counted(votes)
    wins = np.zeros((len(models), len(models)))
    np.add.at(wins, (first, second), n * points)
    np.add.at(wins, (second, first), n * (1 - points))
    return choix.ilsr_pairwise_dense(wins)


def evalica_rows(votes: pd.DataFrame) -> np.ndarray:
    """evalica as its documentation has it: one row per vote."""
    import evalica

    winners = votes["winner"].map(_evalica_winners())
    found = evalica.bradley_terry(votes["model_a"], votes["model_b"], winners, tolerance=1e-10)
    return _log_strengths(found.scores)


def evalica_counts(votes: pd.DataFrame) -> np.ndarray:
    """evalica on votes counted by pandas beforehand, the counts as weights."""
    import evalica

    counted = votes.groupby(["model_a", "model_b", "winner"], observed=True).size().reset_index()
    found = evalica.bradley_terry(
        counted["model_a"],
        counted["model_b"],
        counted["winner"].map(_evalica_winners()),
        weights=counted[0].astype(float).tolist(),
        tolerance=1e-10,
    )
    return _log_strengths(found.scores)


def arena_rank(votes: pd.DataFrame) -> np.ndarray:
    """arena-rank, without its intervals; it counts the votes itself."""
    from arena_rank.models.bradley_terry import BradleyTerry
    from arena_rank.utils.data_utils import PairDataset

    dataset = PairDataset.from_pandas(votes)
    model = BradleyTerry(n_competitors=len(dataset.competitors))
    model.fit(dataset)
    found = np.asarray(model.params["ratings"])[np.argsort(dataset.competitors)]
    return found - found.mean()


CONTENDERS: dict[str, tuple[str, Contender]] = {  # by name: the module it needs, and the call
    "evalkit": ("evalkit", evalkit_fit),
    "scikit-learn, counts": ("sklearn", sklearn_counts),
    "choix, counts": ("choix", choix_counts),
    "evalica, rows": ("evalica", evalica_rows),
    "evalica, counts": ("evalica", evalica_counts),
    "arena-rank": ("arena_rank", arena_rank),
}


def installed() -> dict[str, Contender]:
    """The contenders that are here."""
    return {name: call for name, (module, call) in CONTENDERS.items() if _is_here(module)}


def evalica_elo(votes: pd.DataFrame, orders: int, seed: int) -> None:
    """evalica's Elo, once per order of the votes."""
    import evalica

    winners = votes["winner"].map(_evalica_winners())
    rng = np.random.default_rng(seed)
    for _ in range(orders):
        order = rng.permutation(len(votes))
        evalica.elo(
            votes["model_a"].iloc[order],
            votes["model_b"].iloc[order],
            winners.iloc[order],
            initial=1000,
            k=1,
        )


def _counted(
    votes: pd.DataFrame,
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Models by name; per counted row their places, the first one's points, and the count."""
    counted = votes.groupby(["model_a", "model_b", "winner"], observed=True).size().reset_index()
    models = sorted({*counted["model_a"], *counted["model_b"]})
    first, second = (
        counted[column].map({name: place for place, name in enumerate(models)}).to_numpy()
        for column in ("model_a", "model_b")
    )
    points = counted["winner"].map(_POINTS).to_numpy(dtype=float)
    return models, first, second, points, counted[0].to_numpy(dtype=float)


def _evalica_winners() -> dict[str, object]:
    from evalica import Winner

    return {"model_a": Winner.X, "model_b": Winner.Y, "tie": Winner.Draw}


def _log_strengths(scores: pd.Series) -> np.ndarray:
    logs = np.log(scores.sort_index().to_numpy())
    return logs - logs.mean()


def _is_here(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True
