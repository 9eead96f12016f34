"""Recommenders as scikit-learn estimators over sparse user-by-item matrices.

Every public estimator can be imported from here: ``from sklearn_llmrec import EASE, SASRec``. A name is imported on
first use, so that ``import sklearn_llmrec`` costs what scikit-learn costs and takes neither torch nor pandas nor
matplotlib.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Type checkers and editors read the names from the `__all__` of the subpackages.
    from sklearn_llmrec.base import (
        check_recommender as check_recommender,
        recommend as recommend,
        recommend_ids as recommend_ids,
        refit_on as refit_on,
        show as show,
    )
    from sklearn_llmrec.decomposition import *  # noqa: F403
    from sklearn_llmrec.dummy import *  # noqa: F403
    from sklearn_llmrec.ensemble import *  # noqa: F403
    from sklearn_llmrec.graph import (
        KnowledgeGraph as KnowledgeGraph,
        KnowledgeGraphEmbedding as KnowledgeGraphEmbedding,
        KnowledgeGraphEncoder as KnowledgeGraphEncoder,
        explain_paths as explain_paths,
    )
    from sklearn_llmrec.interactions import Interactions as Interactions
    from sklearn_llmrec.linear_model import *  # noqa: F403
    from sklearn_llmrec.neighbors import *  # noqa: F403
    from sklearn_llmrec.persistence import load as load, save as save
    from sklearn_llmrec.preprocessing import *  # noqa: F403
    from sklearn_llmrec.sequence import *  # noqa: F403
    from sklearn_llmrec.text import *  # noqa: F403

__version__ = "0.2.0"

# The names of every subpackage of estimators, by the module that contains them. A test compares them with `__all__` of
# the subpackages, which cannot be read here without importing them.
_NAMES_IN = {
    "base": "check_recommender recommend recommend_ids refit_on show",
    "decomposition": (
        "ALSRecommender BPRRecommender BiasedMF GloVeRecommender Item2Vec LightGCN "
        "MultVAERecommender NMFRecommender PureSVD SVDpp"
    ),
    "dummy": "PopularityRecommender RandomRecommender",
    "ensemble": (
        "BanditReranker BaseReranker CalibratedReranker DPPReranker FallbackRecommender "
        "MMRReranker RuleReranker StackingRecommender SwitchRecommender TrendReranker "
        "VotingRecommender boost cap_per_category reserve_slots"
    ),
    "graph": "KnowledgeGraph KnowledgeGraphEmbedding KnowledgeGraphEncoder explain_paths",
    "interactions": "Interactions",
    "linear_model": "EASE SLIM BaselineRecommender NaiveBayesRecommender SparseEASE",
    "neighbors": "IndexedRecommender ItemKNN P3alpha RP3beta UserKNN",
    "persistence": "load save",
    "preprocessing": (
        "BM25Transformer BinarizeTransformer Log1pTransformer RFMTransformer "
        "RecencyDecayTransformer TFIDFTransformer UserMinMaxScaler UserStandardScaler"
    ),
    "sequence": (
        "BERT4Rec HMMRecommender LMRecommender MarkovRecommender RepeatRecommender SASRec "
        "SequenceEASE SequenceGRURecommender SequenceKNN SequenceLSTMRecommender "
        "SequenceRNNRecommender SessionKNN make_sequence_blend"
    ),
    "text": (
        "L3AE AudioEncoder BilinearContentRecommender ContentColdStart ContentItemKNN ContentUserKNN "
        "FeatureALSRecommender ImageEncoder LLMReranker LikelihoodReranker SentenceEncoder SentimentWeighter "
        "TextCleaner TextEmbeddingRecommender WordVectorEncoder"
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES_IN.items() for name in names.split()}
_SUBPACKAGES = (
    "base",
    "datasets",
    "decomposition",
    "distributed",
    "dummy",
    "ensemble",
    "graph",
    "inspection",
    "interactions",
    "linear_model",
    "metrics",
    "model_selection",
    "neighbors",
    "persistence",
    "preprocessing",
    "privacy",
    "sequence",
    "serving",
    "text",
    "utils",
)

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return _import_module(f"{__name__}.{name}")
    if name in _MODULE_OF:
        return getattr(_import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    hint = "" if name.startswith("_") else _similar_name(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{hint}", name=name)


def _similar_name(name: str) -> str:
    """Return a hint to a similar name in any subpackage, or an empty text."""
    from difflib import get_close_matches

    places = dict.fromkeys(_SUBPACKAGES, __name__)
    for subpackage in _SUBPACKAGES:
        module = _import_module(f"{__name__}.{subpackage}")
        places |= dict.fromkeys(getattr(module, "__all__", ()), module.__name__)
    places |= dict.fromkeys(_MODULE_OF, __name__)
    folded = {public.lower(): public for public in places}
    near = [folded[match] for match in get_close_matches(name.lower(), folded, n=1)]
    return "".join(f" Did you mean {places[public]}.{public}?" for public in near)


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBPACKAGES])
