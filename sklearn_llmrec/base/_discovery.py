"""Find all estimators of the package, so that a new one joins the common checks by being exported."""

from importlib import import_module
from inspect import isabstract, isclass

_PLACES = (
    "decomposition",
    "dummy",
    "ensemble",
    "graph",
    "linear_model",
    "neighbors",
    "preprocessing",
    "sequence",
    "text",
)


def _public_classes() -> dict[str, type]:
    found: dict[str, type] = {}
    for place in _PLACES:
        module = import_module(f"sklearn_llmrec.{place}")
        for name in module.__all__:
            obj = getattr(module, name)
            if isclass(obj) and not isabstract(obj) and hasattr(obj, "get_params"):
                found[name] = obj
    return found


def all_estimators() -> list[tuple[str, type]]:
    """Return the name and class of every public estimator and transformer, sorted by name."""
    return sorted(_public_classes().items())


def all_recommenders() -> list[tuple[str, type]]:
    """Return the name and class of every public recommender, sorted by name.

    Returns
    -------
    recommenders : list of (str, type)

    Examples
    --------
    >>> from sklearn_llmrec.utils import all_recommenders
    >>> "ItemKNN" in dict(all_recommenders())
    True
    """
    from sklearn_llmrec.base._recommender import BaseRecommender

    return [(name, kind) for name, kind in all_estimators() if issubclass(kind, BaseRecommender)]
