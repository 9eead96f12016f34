"""The base class of ensembles: members, their parameters, tags and scores."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import Bunch, Tags, get_tags
from sklearn.utils.parallel import Parallel, delayed

from sklearn_llmrec.base import BaseRecommender, needs_order
from sklearn_llmrec.ensemble._routing import RoutesFitMixin
from sklearn_llmrec.utils import BaseComposition, fit_single_estimator


def is_dropped(member: Any) -> bool:
    """Return whether a member was set to ``"drop"``."""
    return isinstance(member, str) and member == "drop"


def needs_nonnegative(estimator: Any) -> bool:
    """Return whether a member refuses negative values."""
    return hasattr(estimator, "__sklearn_tags__") and get_tags(estimator).input_tags.positive_only


def member_scores(member: Any, X: Any, *, validated: bool = False) -> NDArray[Any]:
    """Return `predict` of a fitted member: one finite score per item, in the dtype of X.

    With `validated`, the caller has checked all of X that the member would check, and a recommender does not repeat it.

    Raises
    ------
    ValueError
        If it returns another shape.
    """
    if validated and getattr(type(member), "predict", None) is BaseRecommender.predict:
        scores = np.asarray(member._predict(X))
    else:
        scores = np.asarray(member.predict(X))
    if scores.shape != X.shape:
        raise ValueError(
            f"{type(member).__name__}.predict returned shape {scores.shape} for X of shape "
            f"{X.shape}: every member must return one score per item of X."
        )
    return scores.astype(X.dtype, copy=False)


class BaseMembers(MetaEstimatorMixin, BaseComposition, RoutesFitMixin):
    """Base of recommenders that combine named recommenders, in the manner of `sklearn.ensemble.VotingClassifier`."""

    estimators: list[tuple[str, Any]]

    @property
    def named_estimators(self) -> Bunch:
        """Return the members by name, as given."""
        return Bunch(**dict(self.estimators))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, including those of the members.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the members and their parameters.

        Returns
        -------
        params : dict
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, replace members (``name=estimator`` or ``name="drop"``), or set their parameters.

        Parameters
        ----------
        **params : keyword arguments

        Returns
        -------
        self : object
        """
        self._set_params("estimators", **params)
        return self

    def _checked_members(self) -> tuple[list[str], list[Any]]:
        """Validate and return the names and members as given.

        Raises
        ------
        ValueError
            If there is none, or the names clash.
        TypeError
            If a member is no recommender.
        """
        if not self.estimators or not all(
            isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
            for entry in self.estimators
        ):
            raise ValueError(
                "estimators must be a non-empty list of (name, estimator) tuples, got "
                f"{self.estimators!r}."
            )
        names, members = (list(part) for part in zip(*self.estimators))
        self._validate_names(names)
        for name, member in zip(names, members):
            if isinstance(member, type) or not (
                is_dropped(member) or (hasattr(member, "fit") and hasattr(member, "predict"))
            ):
                raise TypeError(
                    f"Member {name!r} must be an instance of a recommender, a Pipeline that ends "
                    f"with one, or 'drop'; got {member!r}."
                )
        if all(is_dropped(member) for member in members):
            raise ValueError(
                "No member is left: all are 'drop'. At least one must be a recommender."
            )
        return names, members

    def _kept_members(self) -> tuple[list[str], list[Any]]:
        """Return the names and members as given, without dropped ones."""
        kept = [pair for pair in zip(*self._checked_members()) if not is_dropped(pair[1])]
        return [name for name, _ in kept], [member for _, member in kept]

    def _fit_members(
        self,
        X: Any,
        *,
        rows: list[Any] | None = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        """Fit clones of the members that are not dropped; `rows` restricts X member by member."""
        names, members = self._checked_members()
        kept = [i for i, member in enumerate(members) if not is_dropped(member)]
        self.estimators_ = Parallel(n_jobs=n_jobs)(
            delayed(fit_single_estimator)(
                clone(members[i]),
                X if rows is None else X[rows[n]],
                None,
                self._params_for(names[i], X, None if rows is None else rows[n]),
                message_clsname=type(self).__name__,
                message=f"({n + 1} of {len(kept)}) Processing {names[i]}" if verbose else None,
            )
            for n, i in enumerate(kept)
        )
        fitted = iter(self.estimators_)
        self.named_estimators_ = Bunch(
            **{
                name: member if is_dropped(member) else next(fitted)
                for name, member in zip(names, members)
            }
        )

    def _routed_members(self) -> dict[str, Any]:
        entries = self.estimators if isinstance(self.estimators, list) else []
        return {e[0]: e[1] for e in entries if isinstance(e, tuple) and len(e) == 2}

    def _voters(self) -> list[Any]:
        """Return the members that are estimators, from a list that is not validated yet."""
        members = self._routed_members().values()
        return [member for member in members if isinstance(member, BaseEstimator)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.recommender_tags.keeps_input = True
        # `score` hides the latest events if one member is a sequential model.
        tags.recommender_tags.needs_order = any(needs_order(member) for member in self._voters())
        # What one member refuses, the whole cannot take.
        tags.input_tags.positive_only = any(needs_nonnegative(member) for member in self._voters())
        return tags
