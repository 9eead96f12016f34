"""List the types of this library that a bundle may contain."""

from __future__ import annotations

from functools import cache

from sklearn_llmrec.base import all_estimators

# Classes and functions, besides the public estimators, that fitted models contain. Every one only
# keeps data: making one from a bundle runs nothing else.
_PARTS = """
_kernels._row_systems.CommonPart
base._biases.Biases
base._tags.RecommenderTags
decomposition._als._Past
decomposition._known_rows.KnownRows
ensemble._item_data.FeatureCosine
ensemble._item_data.SparseCosine
graph._knowledge_graph.KnowledgeGraph
interactions._sequences.Sequences
metrics._measures.auc
metrics._measures.average_precision
metrics._measures.f1
metrics._measures.hit_rate
metrics._measures.mrr
metrics._measures.ndcg
metrics._measures.precision
metrics._measures.r_precision_of
metrics._measures.recall
metrics._rating._RatingScorer
metrics._registry.RequestedMetric
metrics._registry.Metric
metrics._scorer._RankingScorer
model_selection._split.SameRows
neighbors._similarity.RowIndex
neighbors._similarity.Scales
persistence._tree.ArrayRef
persistence._tree.FieldsRef
persistence._tree.SparseRef
persistence._tree.TableRef
privacy._gaussian.GaussianMechanism
privacy._ledger.PrivacyLedger
sequence._trie.Trie
text._content._LatentWords
text._space.Space
text._words.long_words
text._words.words
"""
# What skops does not know to be data: parts of fitted ensembles and searches.
_OTHERS = (
    "numpy.dtype",
    "scipy.sparse._csr.csr_array",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.RepeatedKFold",
    "sklearn.model_selection._split.ShuffleSplit",
    "sklearn.utils._bunch.Bunch",
    # Of scorers, in scikit-learn 1.6.
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)
# It sends what it reads, with the key in an environment variable of its choice, to an address of its choice. The
# bundle of a stranger could have it send any secret of the environment anywhere.
_SENDERS = ("LLMReranker",)


@cache
def _names() -> tuple[str, ...]:
    parts = [f"sklearn_llmrec.{name}" for name in _PARTS.split()]
    public = [
        f"{kind.__module__}.{kind.__qualname__}"
        for name, kind in all_estimators()
        if name not in _SENDERS
    ]
    return tuple(sorted({*parts, *_OTHERS, *public}))


def trusted_types() -> list[str]:
    """Return the names of the types of this library that `load` trusts, for ``skops.io.load(trusted=...)``.

    They are the public estimators and the parts that fitted ones contain. scikit-learn's estimators and numpy's types
    are trusted by skops itself. Not in the list are types of your own, and `LLMReranker`, which sends an environment
    variable that it names to an address that it names: list them in ``load(path, trusted=[...])``.

    Returns
    -------
    names : list of str
        Dotted names, sorted.

    Examples
    --------
    >>> from sklearn_llmrec.persistence import trusted_types
    >>> "sklearn_llmrec.neighbors._item_knn.ItemKNN" in trusted_types()
    True
    """
    return list(_names())
