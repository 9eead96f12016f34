"""Embeddings of knowledge graphs against scores and filtered ranks computed triple by triple."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_llmrec import ContentColdStart, Interactions
from sklearn_llmrec.graph import KnowledgeGraph, KnowledgeGraphEmbedding, link_prediction
from sklearn_llmrec.neighbors import ItemKNN

torch = pytest.importorskip("torch")
MODELS = ["transe", "rotate", "complex"]


def planted(n=60, n_groups=4):
    """Items of groups, of which every group has a maker, a place and a style; one fact of some items is held out."""
    triples = [
        (f"item {i}", relation, f"{relation} {i % n_groups}")
        for i in range(n)
        for relation in ("maker", "place", "style")
    ]
    held_out = triples[::17]
    return [triple for triple in triples if triple not in held_out], held_out


def small(model, **options):
    settings = {"n_components": 16, "device": "cpu", "random_state": 0, **options}
    return KnowledgeGraphEmbedding(KnowledgeGraph(planted()[0]), model=model, **settings)


def score_of(model, h, r, t):
    """Score one triple by the published formula, in complex numbers where the model has them."""
    if model == "transe":
        return -np.sqrt(np.sum((h + r - t) ** 2))
    half = len(h) // 2
    h, t = h[:half] + 1j * h[half:], t[:half] + 1j * t[half:]
    if model == "rotate":
        return -np.sqrt(np.sum(np.abs(h * np.exp(1j * r) - t) ** 2))
    return np.real(np.sum(h * (r[:half] + 1j * r[half:]) * np.conj(t)))


def brute_ranks(embedding, triples):
    """Rank head and tail of every triple among all entities that form no known triple."""
    graph = embedding.graph
    known = {
        (graph.entities_[h], graph.relations_[r], graph.entities_[t])
        for h, r, t in zip(graph._head, graph._relation, graph._tail, strict=True)
    } | set(triples)
    vectors = {
        label: row.astype(float)
        for label, row in zip(graph.entities_, embedding.entity_vectors_, strict=True)
    }
    relations = {
        label: row.astype(float)
        for label, row in zip(graph.relations_, embedding.relation_vectors_, strict=True)
    }
    ranks = []
    for h, r, t in triples:
        own = score_of(embedding.model, vectors[h], relations[r], vectors[t])
        row = []
        for replaced in (
            [(other, r, t) for other in vectors],
            [(h, r, other) for other in vectors],
        ):
            others = [
                score_of(embedding.model, vectors[a], relations[b], vectors[c])
                for a, b, c in replaced
                if (a, b, c) not in known
            ]
            row.append(1 + sum(other > own for other in others))
        ranks.append(row)
    return np.array(ranks, dtype=float)


@pytest.mark.parametrize("model", MODELS)
def test_filtered_ranks_equal_those_computed_triple_by_triple(model):
    embedding = small(model, max_iter=2).fit(["item 0"])
    triples = planted()[1]
    found = link_prediction(embedding, triples)
    assert_allclose(found.ranks, brute_ranks(embedding, triples))
    assert found.mrr == pytest.approx(np.mean(1 / found.ranks))
    assert found.hits(3) == np.mean(found.ranks <= 3)
    assert embedding.score(pd.DataFrame(triples)) == found.mrr


@pytest.mark.parametrize("model", MODELS)
def test_planted_facts_are_predicted(model):
    _, held_out = planted()
    embedding = small(model, max_iter=150).fit(["item 0"])
    found = link_prediction(embedding, held_out)
    assert (found.ranks[:, 1] == 1).mean() > 0.8, found.ranks
    untrained = small(model, max_iter=1, learning_rate=1e-9).fit(["item 0"])
    assert link_prediction(untrained, held_out).mrr < 0.5 * found.mrr
    assert embedding.loss_curve_[-1] < 0.5 * embedding.loss_curve_[0]


def test_items_of_one_group_are_near_each_other():
    embedding = small("complex", max_iter=100)
    ids = [f"item {i}" for i in range(60)]
    vectors = embedding.fit_transform(ids)
    assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    group = np.arange(60) % 4
    cosines = vectors @ vectors.T
    same = (group[:, None] == group) & ~np.eye(60, dtype=bool)
    assert cosines[same].mean() > cosines[group[:, None] != group].mean() + 0.4
    assert_array_equal(embedding.transform(["item 3", "no item"])[1], np.zeros(16))
    assert_array_equal(pickle.loads(pickle.dumps(embedding)).transform(ids), vectors)
    assert_array_equal(small("complex", max_iter=100).fit_transform(ids), vectors)


def test_content_models_read_the_vectors():
    ids = [f"item {i}" for i in range(60)]
    rng = np.random.default_rng(0)
    group = np.arange(60) % 4
    X = (rng.random((80, 60)) < np.where(group == np.arange(80)[:, None] % 4, 0.5, 0.02)) * 1.0
    X[:, :4] = 0  # new items, one per group
    model = ContentColdStart(ItemKNN(), encoder=small("complex", max_iter=100))
    X = Interactions(X, item_ids=ids)
    items, _ = model.fit(X).recommend(X, k=1, candidates=range(4))
    assert (items[:, 0] == np.arange(80) % 4).mean() > 0.9


def test_bad_input_is_refused_in_words():
    with pytest.raises(ValueError, match="must be even"):
        small("rotate", n_components=5).fit(["item 0"])
    with pytest.raises(ValueError, match="no triple to learn from"):
        KnowledgeGraphEmbedding(KnowledgeGraph([])).fit(["a"])
    with pytest.raises(ValueError, match=r"item ids are|heads are"):
        small("complex").fit([1, 2])
    embedding = small("complex", max_iter=1).fit(["item 0"])
    with pytest.raises(ValueError, match="no relation 'colour'"):
        embedding.score([("item 0", "colour", "red")])
    with pytest.raises(ValueError, match="no tail 'red'"):
        embedding.score([("item 0", "maker", "red")])
    with pytest.raises(ValueError, match="no triple to rank"):
        embedding.score([])


def test_values_and_items_of_a_table_stay_apart():
    films = pd.DataFrame({"id": list("abcdef"), "genre": list("aabbcc")})
    graph = KnowledgeGraph.from_table(films, item="id")
    embedding = KnowledgeGraphEmbedding(graph, n_components=8, max_iter=200, random_state=0)
    found = link_prediction(embedding.fit(list("abcdef")), [("b", "genre", "a")])
    assert found.ranks[0, 1] == 1
