"""What all scorers share: hiding in the rows as given, and saying what they are."""

from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints

from sklearn_llmrec.metrics._hits import check_matrix
from sklearn_llmrec.utils._validation import check_targets

_HOLDOUTS = {"hash", "random", "latest"}


def _hidden(X: Any, holdout: str | None, random_state: int, exclude_seen: bool) -> tuple[Any, Any]:
    """Visible and hidden entries of the rows as given."""
    from sklearn_llmrec.model_selection._split import hide_by_hash, hide_latest, holdout_split

    if holdout == "latest":
        return hide_latest(X, exclude_seen=exclude_seen)
    if holdout == "random":
        return holdout_split(
            X, test_size=0.2, by="random", random_state=random_state, exclude_seen=exclude_seen
        )
    return hide_by_hash(X)


def as_rows(X: Any) -> Any:
    """`X` as what rows can be taken from; an `Interactions` stays one."""
    return X if sp.issparse(X) and X.format == "csr" else check_matrix(X, "X")


class Scorer:
    """What ranking and rating scorers share: hiding, and saying what they are."""

    _function: str
    _defaults: dict[str, Any]
    exclude_seen = True

    def __init__(self, metrics: Any, holdout: str | None, random_state: int) -> None:
        validate_parameter_constraints(
            {
                "holdout": [None, StrOptions(_HOLDOUTS)],
                "random_state": [Interval(Integral, 0, None, closed="left")],
            },
            {"holdout": holdout, "random_state": random_state},
            caller_name=self._function,
        )
        self.metrics, self.holdout, self.random_state = metrics, holdout, random_state

    def __repr__(self) -> str:
        options = [
            f", {name}={getattr(self, name)!r}"
            for name, default in self._defaults.items()
            if getattr(self, name) is not default and not _equal(getattr(self, name), default)
        ]
        return f"{self._function}({self.metrics!r}{''.join(options)})"

    def _visible_and_targets(self, X: Any, y: Any) -> tuple[Any, sp.csr_array]:
        y = check_targets(y, X.shape)
        if y is None:
            X, y = _hidden(X, self.holdout, self.random_state, self.exclude_seen)
        return X, check_matrix(y, "y")


def _equal(value: Any, default: Any) -> bool:
    return np.isscalar(value) and np.isscalar(default) and bool(value == default)
