"""Small instances of every public estimator for the common checks.

An estimator needs an entry only where its defaults are too slow for tiny data or it has required
parameters.
"""

import json
from importlib.util import find_spec
from typing import Any

from sklearn_llmrec.base._discovery import all_estimators
from sklearn_llmrec.decomposition import LightGCN, MultVAERecommender, PureSVD
from sklearn_llmrec.graph import KnowledgeGraph, KnowledgeGraphEmbedding
from sklearn_llmrec.neighbors import IndexedRecommender
from sklearn_llmrec.sequence import LMRecommender
from sklearn_llmrec.sequence._neural import SequenceNetworkRecommender

TRAINED_BY_TORCH = (
    KnowledgeGraphEmbedding,
    LightGCN,
    MultVAERecommender,
    SequenceNetworkRecommender,
)
TEST_PARAMS: dict[str, dict[str, Any]] = {
    **{
        name: {"n_components": 4, "n_layers": 1, "max_length": 8, "max_iter": 2, "device": "cpu"}
        for name in (
            "BERT4Rec",
            "SASRec",
            "SequenceGRURecommender",
            "SequenceLSTMRecommender",
            "SequenceRNNRecommender",
        )
    },
    "LMRecommender": {
        "n_components": 4,
        "n_layers": 1,
        "n_heads": 1,
        "max_length": 8,
        "max_iter": 1,
    },
    "BPRRecommender": {"n_components": 4},
    "KnowledgeGraphEmbedding": {"n_components": 4, "max_iter": 2, "device": "cpu"},
    "LightGCN": {"n_components": 4, "max_iter": 2, "device": "cpu"},
    "MultVAERecommender": {"n_components": 3, "n_hidden": 5, "max_iter": 2, "device": "cpu"},
    "BiasedMF": {"n_components": 2, "max_iter": 3},
    "NMFRecommender": {"n_components": 3, "tol": 0.0, "max_iter": 20},
    "PureSVD": {"n_components": 5},
    "SVDpp": {"n_components": 2, "max_iter": 3},
    "ALSRecommender": {"n_components": 4, "max_iter": 3},
    "FeatureALSRecommender": {"n_components": 2, "max_iter": 1},
    "GloVeRecommender": {"n_components": 2, "max_iter": 3},
    "Item2Vec": {"n_components": 2},
    "RecencyDecayTransformer": {"order": "values"},
}


class Backwards:
    """A language model that answers with the last candidates first; its name is the same in every process."""

    def __call__(self, messages: list[dict[str, str]]) -> str:
        n = int(messages[1]["content"].rsplit("every number from 1 to ", 1)[1].split()[0])
        return json.dumps({"ranking": list(range(n, 0, -1))})

    def __repr__(self) -> str:
        return "Backwards()"


class SharedLetters:
    """In the place of a model that gives likelihoods: how much of a text stands in the prompt."""

    def __call__(self, prompt: str, texts: list[str]) -> list[float]:
        return [len({*prompt} & {*text}) - len(text) for text in texts]

    def __repr__(self) -> str:
        return "SharedLetters()"


class MeanAndMaximum:
    """In the place of a model of images or sound: two numbers of every array."""

    def __call__(self, arrays: list[Any]) -> list[list[float]]:
        return [[array.mean(), array.max()] for array in arrays]

    def __repr__(self) -> str:
        return "MeanAndMaximum()"


def _required(name: str) -> dict[str, Any]:
    """Parameters of meta-estimators, built late so that a missing member fails only its own checks."""
    from sklearn.linear_model import LogisticRegression

    from sklearn_llmrec.dummy import PopularityRecommender
    from sklearn_llmrec.linear_model import EASE
    from sklearn_llmrec.neighbors import ItemKNN

    if name == "ContentColdStart":
        return {"estimator": ItemKNN()}
    if name in ("KnowledgeGraphEmbedding", "KnowledgeGraphEncoder"):
        return {"graph": KnowledgeGraph([("a", "by", "x"), ("b", "by", "x"), ("b", "in", "y")])}
    if name in ("AudioEncoder", "ImageEncoder"):
        return {"model": MeanAndMaximum(), "cache": False}
    if name == "IndexedRecommender":
        return {"estimator": PureSVD(5, random_state=0), "index": "ivf", "min_items": 0}
    if name == "FallbackRecommender":
        return {"estimators": [("knn", ItemKNN()), ("pop", PopularityRecommender())]}
    if name in ("SwitchRecommender", "VotingRecommender"):
        return {
            "estimators": [("knn", ItemKNN()), ("ease", EASE()), ("pop", PopularityRecommender())]
        }
    if name == "StackingRecommender":
        return {
            "estimators": [("knn", ItemKNN()), ("pop", PopularityRecommender())],
            "final_estimator": LogisticRegression(),
        }
    if name == "LLMReranker":
        return {"estimator": ItemKNN(), "n_candidates": 6, "model": Backwards()}
    if name == "LikelihoodReranker":
        return {"estimator": ItemKNN(), "n_candidates": 6, "model": SharedLetters()}
    if name == "TrendReranker":
        return {"estimator": ItemKNN(), "half_life": 1.0, "n_candidates": 12, "order": "values"}
    if name.endswith("Reranker"):
        return {"estimator": ItemKNN(), "n_candidates": 12}
    return {}


def instances() -> list[Any]:
    """One unfitted instance of every public estimator and transformer that can be fitted here."""
    without_torch = find_spec("torch") is None
    without_faiss = find_spec("faiss") is None
    without_transformers = without_torch or find_spec("transformers") is None
    return [
        kind(**{**_required(name), **TEST_PARAMS.get(name, {})})
        for name, kind in all_estimators()
        if not (without_torch and issubclass(kind, TRAINED_BY_TORCH))
        and not (without_faiss and issubclass(kind, IndexedRecommender))
        and not (without_transformers and issubclass(kind, LMRecommender))
    ]
