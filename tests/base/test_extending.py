"""The estimators of docs/extending.md keep the contract; the page itself runs as a doctest."""

import pytest
from _pages import ROOT, page_module
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_llmrec import ItemKNN
from sklearn_llmrec.utils import EXPECTED_FAILED_CHECKS, check_recommender

PAGE = ROOT / "docs" / "extending.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The examples of the page as a module."""
    with page_module(PAGE, tmp_path_factory.mktemp("page"), scripts=False) as module:
        yield module


def test_the_recommender_keeps_the_contract(page):
    check_recommender(page.CommonUsers())


def test_the_reranker_keeps_the_contract(page):
    check_recommender(page.CheapestFirst(ItemKNN(), prices=range(100, 0, -1)))


def test_the_recommender_passes_the_checks_of_scikit_learn(page):
    mark = parametrize_with_checks(
        [page.CommonUsers()], expected_failed_checks=lambda _: EXPECTED_FAILED_CHECKS
    )
    for case in mark.args[1]:
        estimator, check = getattr(case, "values", case)
        if not getattr(case, "marks", ()):
            check(estimator)


def test_the_transformer_learns_which_items_are_popular(page):
    pipeline = make_pipeline(page.DropBlockbusters(share=0.1), ItemKNN()).fit(page.data)
    kept = pipeline[0].kept_
    popularity = (page.data != 0).sum(axis=0)
    assert 0 < (~kept).sum() <= 0.1 * len(kept) + 1
    assert popularity[~kept].min() >= popularity[kept].max()
    assert pipeline[1].item_popularity_[~kept].sum() == 0
