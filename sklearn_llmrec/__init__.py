"""Recommenders as scikit-learn estimators over sparse user-by-item matrices.

Every public name is imported on first use, so that ``import sklearn_llmrec`` costs what
scikit-learn costs and takes neither torch nor pandas nor matplotlib.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn_llmrec.base import check_recommender, recommend
    from sklearn_llmrec.decomposition import ALSRecommender
    from sklearn_llmrec.ensemble import VotingRecommender
    from sklearn_llmrec.interactions import Interactions
    from sklearn_llmrec.neighbors import ItemKNN, UserKNN
    from sklearn_llmrec.sequence import SequenceLSTMRecommender
    from sklearn_llmrec.text import TextEmbeddingRecommender

__version__ = "0.1.0"

_WHERE = {
    "ALSRecommender": "decomposition",
    "Interactions": "interactions",
    "ItemKNN": "neighbors",
    "SequenceLSTMRecommender": "sequence",
    "TextEmbeddingRecommender": "text",
    "UserKNN": "neighbors",
    "VotingRecommender": "ensemble",
    "check_recommender": "base",
    "recommend": "base",
}
_SUBPACKAGES = (
    "base",
    "datasets",
    "decomposition",
    "dummy",
    "ensemble",
    "inspection",
    "interactions",
    "linear_model",
    "metrics",
    "model_selection",
    "neighbors",
    "preprocessing",
    "sequence",
    "text",
    "utils",
)

__all__ = [
    "ALSRecommender",
    "Interactions",
    "ItemKNN",
    "SequenceLSTMRecommender",
    "TextEmbeddingRecommender",
    "UserKNN",
    "VotingRecommender",
    "__version__",
    "check_recommender",
    "recommend",
]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return _import_module(f"{__name__}.{name}")
    if name in _WHERE:
        return getattr(_import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBPACKAGES])
