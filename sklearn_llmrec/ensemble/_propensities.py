"""Compute the probabilities with which a bandit made its choices."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


def list_propensities(
    bandit: Any,
    pool: NDArray[np.int64],
    rates: tuple[NDArray[Any], NDArray[Any]],
    items: NDArray[np.int64],
    limits: tuple[sp.csr_array | None, sp.csr_array | None],
    n_draws: int,
) -> NDArray[np.float64]:
    """Return the probabilities that items of lists got their places; see `BanditReranker.propensities`.

    Parameters
    ----------
    bandit : BanditReranker
    pool : ndarray of shape (n, m)
        The candidates of every list, in the order of the base, -1 at the end.
    rates : tuple of two ndarrays of shape (n, m)
        Parameters of the beta distributions of the candidates.
    items : ndarray of shape (n, k)
    limits : tuple of two csr_array or None
        Items that were left out, and those that alone were allowed.
    n_draws : int
    """
    found = np.ones(items.shape)
    for row, listed in enumerate(items):
        allowed = _allowed(pool[row], row, *limits)
        candidates = pool[row][allowed]
        place_of = {int(item): place for place, item in enumerate(candidates)}
        chosen = [place_of.get(int(item), -1) for item in listed]
        won, lost = (rate[row][allowed] for rate in rates)
        if bandit.policy == "thompson":
            found[row] = _thompson(won, lost, chosen, n_draws, [bandit.seed_, bandit.n_updates_])
        elif bandit.policy == "epsilon_greedy":
            found[row] = _epsilon_greedy(won / (won + lost), chosen, bandit.epsilon)
    return found


def _allowed(
    pool: NDArray[np.int64],
    row: int,
    seen: sp.csr_array | None,
    candidates: sp.csr_array | None,
) -> NDArray[np.bool_]:
    """Return which candidates of a row may be in the list."""
    allowed = pool >= 0
    if seen is not None:
        allowed &= ~np.isin(pool, seen.indices[seen.indptr[row] : seen.indptr[row + 1]])
    if candidates is not None:
        entries = slice(candidates.indptr[row], candidates.indptr[row + 1])
        allowed &= np.isin(pool, candidates.indices[entries])
    return allowed


def _thompson(
    won: NDArray[Any], lost: NDArray[Any], chosen: list[int], n_draws: int, seed: list[int]
) -> NDArray[np.float64]:
    """Count how often a candidate has the place that it got among rankings by independent draws."""
    found = np.ones(len(chosen))
    places = [place for place, candidate in enumerate(chosen) if candidate >= 0]
    if not places:
        return found
    draws = np.random.default_rng(seed).beta(won, lost, size=(n_draws, len(won)))
    order = np.argsort(-draws, axis=1)
    for place in places:
        hits = np.count_nonzero(order[:, place] == chosen[place])
        found[place] = (hits + 1) / (n_draws + len(won))
    return found


def _epsilon_greedy(mean: NDArray[Any], chosen: list[int], epsilon: float) -> NDArray[np.float64]:
    """Return the probabilities of epsilon-greedy lists: a random candidate with epsilon, else the best one left."""
    found, open_ = np.ones(len(chosen)), np.ones(len(mean), dtype=bool)
    rounded = np.round(mean, 9)  # as the policy compares them
    for place, candidate in enumerate(chosen):
        if candidate < 0:
            continue
        best = int(np.argmax(np.where(open_, rounded, -np.inf)))
        found[place] = epsilon / open_.sum() + (1 - epsilon) * (candidate == best)
        open_[candidate] = False
    return found
