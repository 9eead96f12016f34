"""Make a vote of sequence models that needs no training."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from sklearn.pipeline import make_pipeline

from sklearn_llmrec.ensemble import VotingRecommender
from sklearn_llmrec.linear_model import SparseEASE
from sklearn_llmrec.preprocessing import BinarizeTransformer
from sklearn_llmrec.sequence._knn import SequenceKNN, SessionKNN


def make_sequence_blend(
    *estimators: Any, weights: ArrayLike | None = None, n_jobs: int | None = None
) -> VotingRecommender:
    """Make a vote of `SequenceKNN`, `SessionKNN` and `SparseEASE`, for what comes next on sparse data.

    The members err in different places: what followed an item, who had a session like this one, and what belongs to a
    history in whatever order. All are counts and closed forms, so a fit takes seconds. The scores of each are
    standardised within a user (z-scores) and averaged.

    Parameters
    ----------
    *estimators : estimators
        Further members, such as ``SASRec()``, each with the vote of one of the three. They are named by their class in
        lower case, a number behind it where a name repeats.
    weights : array-like of shape (3 + len(estimators),) or None, default=None
        Weights of the members, in the order above; None weights all alike.
    n_jobs : int or None, default=None
        Threads of each of the three. None means 1, -1 all processors.

    Returns
    -------
    blend : VotingRecommender
        Unfitted, with members "sequenceknn", "sessionknn" and "sparseease". Fit it on an `Interactions` with times, or
        on a matrix whose values are times: the first two read the order, the last one sees ones.

    See Also
    --------
    sklearn_llmrec.ensemble.VotingRecommender : The vote, with weights that are learned.

    Notes
    -----
    Cost: that of the members. `recommend` scores all items, so chunks of users with all items must fit in memory.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import make_sequence_blend
    >>> X = np.array(
    ...     [[1, 2, 3, 0, 0], [1, 2, 3, 0, 0], [0, 1, 2, 3, 0], [0, 0, 0, 1, 2], [0, 0, 0, 1, 2]]
    ... )  # values are times: 0, 1, 2 and 3, 4 follow each other
    >>> items, scores = make_sequence_blend().fit(X).recommend([[1, 0, 0, 0, 0]], k=2)
    >>> items
    array([[1, 2]])
    """
    members = [
        ("sequenceknn", SequenceKNN(n_jobs=n_jobs)),
        ("sessionknn", SessionKNN(n_jobs=n_jobs)),
        ("sparseease", make_pipeline(BinarizeTransformer(), SparseEASE(n_jobs=n_jobs))),
    ]
    taken = {name for name, _ in members}
    for estimator in estimators:
        name = base = type(estimator).__name__.lower()
        number = 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name)
        members.append((name, estimator))
    return VotingRecommender(members, weights=weights, normalize="zscore")
