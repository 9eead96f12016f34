"""Remove from a fitted model what only further training needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted


class CompactMixin(BaseEstimator):
    """Adds `compact` to an estimator that names in `_training_only` what only `partial_fit` reads."""

    _training_only: ClassVar[tuple[str, ...]] = ()

    def compact(self) -> Self:
        """Remove what only further training needs, such as a copy of the training rows.

        Scores and lists stay the same; the model takes less memory and disk, and may keep less of its users. Fitted
        models inside it are compacted too. `partial_fit` then raises an error where it needs what was dropped; `fit`
        starts anew.

        Returns
        -------
        self : object
            The estimator itself, changed in place.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.

        Notes
        -----
        Rows from which scores are computed stay, for example those of `UserKNN` and `SessionKNN`, and the rows of the
        fit whose factors `ALSRecommender` knows.
        """
        check_is_fitted(self)
        for part in {id(part): part for part in _fitted_parts(self)}.values():
            part.compact()
        for name in self._training_only:
            self.__dict__.pop(name, None)
        return self

    def _check_not_compacted(self) -> None:
        """Refuse further training after `compact`."""
        if any(name not in vars(self) for name in self._training_only):
            raise ValueError(
                f"partial_fit needs what compact() dropped from this {type(self).__name__}, or a fit from shards did "
                "not keep: update a copy that was not compacted, or fit a new one on all rows."
            )


def _fitted_parts(model: Any) -> Iterator[CompactMixin]:
    """Yield the fitted models in the attributes that a fit set."""
    for name, value in vars(model).items():
        if name.endswith("_"):
            values = value.values() if isinstance(value, dict) else value
            for part in values if isinstance(value, (list, tuple, dict)) else (value,):
                if isinstance(part, CompactMixin):
                    yield part
