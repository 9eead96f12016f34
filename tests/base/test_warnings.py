"""Warnings point to the line of the caller, and no error is without words."""

import ast
import inspect
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _instances import instances
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import sklearn_llmrec
from sklearn_llmrec import (
    BM25Transformer,
    ContentItemKNN,
    Interactions,
    ItemKNN,
    LLMReranker,
    TextEmbeddingRecommender,
    VotingRecommender,
    recommend,
)
from sklearn_llmrec.base import BaseRecommender

PACKAGE = Path(sklearn_llmrec.__file__).parent
TREES = {path.relative_to(PACKAGE): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
X = (np.random.default_rng(0).random((12, 6)) < 0.5).astype(float) + np.eye(12, 6)
LOG = pd.DataFrame({"user": [1, 1, 2], "item": [5, 6, 5], "kind": ["purchases", "view", "view"]})


def _failing(messages):
    raise RuntimeError("no answer")


def reranker():
    return LLMReranker(ItemKNN(), model=_failing, item_texts=list("abcdef"))


WARNED = {
    "fit": lambda: TextEmbeddingRecommender().fit(X),
    "fit of another": lambda: ContentItemKNN().fit(X),
    "fit of a member": lambda: VotingRecommender([("a", TextEmbeddingRecommender())]).fit(X),
    "fit of a pipeline": lambda: make_pipeline(BM25Transformer(), ContentItemKNN()).fit(X),
    "fit of a search": lambda: GridSearchCV(TextEmbeddingRecommender(), {}, cv=2).fit(X),
    "recommend": lambda: reranker().fit(X).recommend(X, 2),
    "predict": lambda: reranker().fit(X).predict(X),
    "rerank": lambda: reranker().fit(X).rerank(X, 2),
    "recommend as a function": lambda: recommend(reranker().fit(X), X, 2),
    "score": lambda: reranker().fit(X).score(X),
    "from_frame": lambda: Interactions.from_frame(
        LOG, user="user", item="item", event="kind", event_weights={"purchase": 5, "view": 1}
    ),
}


@pytest.mark.parametrize("name", WARNED)
def test_a_warning_points_to_the_line_of_the_caller(name):
    use = WARNED[name]
    lines, first = inspect.getsourcelines(use)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        use()
    ours = [w for w in caught if issubclass(w.category, UserWarning)]
    assert ours
    for warning in ours:
        assert warning.filename == __file__
        assert first <= warning.lineno < first + len(lines)


def _calls(tree, module, name):
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=attribute)):
                if (owner, attribute) == (module, name):
                    yield node.lineno


def test_every_warning_is_given_by_the_one_function():
    found = [
        (str(path), line) for path in TREES for line in _calls(TREES[path], "warnings", "warn")
    ]
    assert [path for path, _ in found] == ["utils/_warnings.py"]


def _without_words(tree):
    """Lines that raise an exception of no message."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            words = isinstance(node.exc, ast.Call) and (node.exc.args or node.exc.keywords)
            is_class = isinstance(called, ast.Name) and called.id[:1].isupper()
            if is_class and not words and called.id not in ("NotImplementedError", "StopIteration"):
                yield node.lineno


def test_every_error_of_the_package_has_words():
    assert not [f"{path}:{line}" for path in TREES for line in _without_words(TREES[path])]


RECOMMENDERS = [model for model in instances() if isinstance(model, BaseRecommender)]
ASKED = ("predict", "recommend", "score", "similar_items", "explain", "similar_users", "transform")


@pytest.mark.parametrize("model", RECOMMENDERS, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("wrong", [None, object(), "shop.csv", 7, [1, "a"], np.empty((0, 6))])
def test_what_is_refused_is_refused_in_words(model, wrong):
    model = clone(model)
    methods = [name for name in (*ASKED, "fit", "partial_fit") if hasattr(model, name)]
    for name in methods:
        method = getattr(model, name)
        arguments = (X, wrong) if name == "explain" else (wrong,)
        with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
            method(*arguments)
        assert len(str(caught.value).split()) >= 4, name
