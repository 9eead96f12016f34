"""scikit-learn's metadata routing for ensembles."""

from typing import Any, Self

from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from sklearn_llmrec.base import BaseRecommender
from sklearn_llmrec.utils import check_method_params, raise_for_params


class RoutesFitMixin(BaseRecommender):
    """Mixin whose `fit` passes metadata, one value per user, to the members that request it.

    A subclass says by `_routed_members` who they are, and reads `_params_for` while it fits.
    """

    def _routed_members(self) -> dict[str, Any]:
        """Return the members by name, not validated yet."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Fit the members, and what is learned from their scores.

        Parameters
        ----------
        X : {array-like, sparse} of shape (n_users, n_items)
            The interactions: one row per user, one column per item, a value per interaction.
        y : array-like or sparse, default=None
            Ignored; a two-dimensional `y` must have the shape of `X`. Nothing is ever learned from it.
        **fit_params : dict
            Metadata with one value per user, such as `sample_weight`, for the `fit` of members that
            request it by ``set_fit_request``. Needs
            ``sklearn.set_config(enable_metadata_routing=True)``.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If X is no finite matrix of at least two columns and one interaction, a parameter is out
            of range, or metadata are given where routing is not enabled. The estimator then is as
            it was before.
        TypeError
            If no member requests a metadatum.
        """
        raise_for_params(fit_params, self, "fit")
        routed = process_routing(self, "fit", **fit_params) if fit_params else Bunch()
        self._routed_params = routed
        try:
            return super().fit(X, y)
        finally:
            del self._routed_params

    def _params_for(self, name: str, X: Any, rows: Any = None) -> dict[str, Any]:
        """Return the parameters of `fit` routed to member `name`, for some `rows` only where given."""
        params = self._routed_params.get(name, {}).get("fit", {})
        checked: dict[str, Any] = check_method_params(X, params, indices=rows)
        return checked

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which metadata every member requests.

        Returns
        -------
        routing : MetadataRouter
        """
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        for name, member in self._routed_members().items():
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(method_mapping=mapping, **{name: member})
        return router
