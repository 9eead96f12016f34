"""Knowledge graphs against brute force, planted links, and scores that their explanations must add up to."""

import warnings
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_llmrec import (
    EASE,
    L3AE,
    BilinearContentRecommender,
    ContentColdStart,
    ContentItemKNN,
    Interactions,
    load,
    save,
)
from sklearn_llmrec.graph import (
    KnowledgeGraph,
    KnowledgeGraphEncoder,
    explain_paths,
    in_words,
)
from sklearn_llmrec.text import ContentUserKNN


def random_triples(rng, n=60, n_entities=12, relations=("by", "in", "of")):
    """Draw triples between entities e0, e1, ..., with repeats and loops."""
    heads, tails = rng.integers(n_entities, size=(2, n))
    return [
        (f"e{h}", str(rng.choice(relations)), f"e{t}") for h, t in zip(heads, tails, strict=True)
    ]


def brute_facts(triples, item, direction, n_hops, relations=None):
    """Follow every path with dicts and sets; return {(relation path, entity): number of ways}."""
    steps = set()
    for head, relation, tail in set(triples):
        if head == tail or (relations is not None and relation not in relations):
            continue
        if direction in ("out", "both"):
            steps.add((head, relation, tail))
        if direction in ("in", "both"):
            steps.add((tail, f"is {relation} of", head))
    found, ends = {}, [("", item)]
    for _ in range(n_hops):
        ends = [
            (f"{path} / {relation}" if path else relation, tail)
            for path, end in ends
            for head, relation, tail in sorted(steps)
            if head == end and tail != item
        ]
        for end in ends:
            found[end] = found.get(end, 0) + 1
    return found


@pytest.mark.parametrize("direction", ["out", "in", "both"])
@pytest.mark.parametrize("n_hops", [1, 2, 3])
@pytest.mark.parametrize("relations", [None, ["by", "of"]])
def test_facts_are_those_of_brute_force(direction, n_hops, relations):
    rng = np.random.default_rng(0)
    for _ in range(5):
        triples = random_triples(rng)
        graph = KnowledgeGraph(triples)
        items = sorted({head for head, _, _ in triples} | {tail for _, _, tail in triples})
        facts = graph.facts(items, relations=relations, direction=direction, n_hops=n_hops)
        for row, item in enumerate(items):
            own = facts.matrix[[row]].tocoo()
            got = {
                (facts.relations[column], facts.entities[column]): value
                for column, value in zip(own.coords[1], own.data, strict=True)
            }
            assert got == brute_facts(triples, item, direction, n_hops, relations)


def test_report_counts_what_is_there_and_what_was_dropped():
    triples = [
        ("a", "by", "x"),
        ("a", "by", "x"),
        ("x", "made", "a"),
        ("b", "by", "x"),
        ("b", "by", "b"),
        ("c", "by", None),
        ("d", "by", "y"),
    ]
    report = KnowledgeGraph(triples, links={1: "a", 2: "b", 3: "c", 4: "d"}).report_
    assert report == {
        "triples": 4,
        "relations": 2,
        "entities": 5,
        "linked_items": 3,
        "items_sharing_a_fact": 2,
        "inverses": 2,
        "duplicates": 1,
        "loops": 1,
        "literals": 0,
        "missing": 1,
    }


def test_every_container_gives_the_same_graph():
    rows = [("a", "by", "Ann"), ("b", "by", "Ann"), ("a", "in", 'Rome, "old"')]
    frame = pd.DataFrame(rows, columns=["h", "r", "t"])
    named = frame[["t", "h", "r"]]
    polars = pytest.importorskip("polars")
    expected = KnowledgeGraph(rows).facts(["a", "b"])
    for graph in (
        KnowledgeGraph(np.array(rows, dtype=object)),
        KnowledgeGraph(iter(rows)),
        KnowledgeGraph(frame),
        KnowledgeGraph(named, head="h", relation="r", tail="t"),
        KnowledgeGraph(polars.from_pandas(frame)),
    ):
        facts = graph.facts(["a", "b"])
        assert facts.names == expected.names
        assert_array_equal(facts.matrix.toarray(), expected.matrix.toarray())


def test_links_compare_ids_exactly():
    triples = [(1, "by", "Ann"), (2**60, "by", "Ann"), (2**60 + 1, "by", "Bob")]
    graph = KnowledgeGraph(triples)
    assert_array_equal(
        graph.facts(np.array([2**60 + 1, 1], dtype=np.uint64)).matrix.toarray(), [[0, 1], [1, 0]]
    )
    with pytest.raises(ValueError, match="two kinds"):
        graph.facts(["1"])
    texts = KnowledgeGraph([("1", "by", "Ann")], links={1: "1"})
    assert texts.facts([1]).matrix.nnz == 1
    with pytest.raises(ValueError, match="two kinds"):
        texts.facts(["1"])
    with pytest.raises(ValueError, match="two kinds"):
        KnowledgeGraph([("1", "by", "Ann")], links={1: 1})


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: KnowledgeGraph("triples.tsv"), TypeError, "read the file first"),
        (lambda: KnowledgeGraph(7), TypeError, "table, an array or an iterable"),
        (lambda: KnowledgeGraph([("a", "b")]), ValueError, "Triple 0"),
        (lambda: KnowledgeGraph(pd.DataFrame({"a": [1], "b": [2]})), ValueError, "three columns"),
        (
            lambda: KnowledgeGraph(pd.DataFrame({"a": [1], "b": [2], "c": [3]}), head="h"),
            ValueError,
            "no column 'h'",
        ),
        (
            lambda: KnowledgeGraph([("a", "r", "b")], links=[(1, "a"), (1, "b")]),
            ValueError,
            "linked to 'a' and to 'b'",
        ),
        (lambda: KnowledgeGraph([("a", "r", "b")], links=["ab1"]), TypeError, "mapping"),
        (lambda: KnowledgeGraph([("a", "r", "b")]).facts(relations=["s"]), ValueError, "'s'"),
        (lambda: KnowledgeGraph([("a", "r", "b")]).facts(direction="up"), ValueError, "direction"),
        (lambda: KnowledgeGraph([("a", "r", "b")]).facts(n_hops=0), ValueError, "n_hops"),
        (
            lambda: KnowledgeGraph.from_table(
                pd.DataFrame({"id": [1, 1], "g": ["x", "y"]}), item="id"
            ),
            ValueError,
            "twice",
        ),
    ],
)
def test_broken_input_is_refused_in_words(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_an_empty_graph_and_unlinked_items_have_no_facts():
    empty = KnowledgeGraph([])
    assert empty.report_["triples"] == 0
    assert empty.facts(["a"]).matrix.shape == (1, 0)
    graph = KnowledgeGraph([("a", "by", "x"), ("b", "by", "x")], links={1: "a", 2: "b", 3: "gone"})
    features = KnowledgeGraphEncoder(graph).fit_transform([1, 2, 3, 4])
    assert_array_equal(features.toarray(), [[1], [1], [0], [0]])


def test_a_table_of_items_is_a_graph_and_values_are_no_items():
    table = pd.DataFrame(
        {"id": ["Drama", "Up"], "genre": ["Drama|War", None], "year": [1999, 1999]}
    )
    graph = KnowledgeGraph.from_table(table, item="id", sep="|")
    facts = graph.facts(["Drama", "Up"], direction="both", n_hops=1)
    assert facts.names == ["genre: Drama", "genre: War", "year: 1999"]
    assert_array_equal(facts.matrix.toarray(), [[1, 1, 1], [0, 0, 1]])


def test_rdf_is_read_and_literals_are_dropped(tmp_path):
    pytest.importorskip("rdflib", reason="the extra graph is not installed")
    path = tmp_path / "films.ttl"
    path.write_text(
        '@prefix : <http://x/> . :a :by :Ann ; :title "A \\"quoted\\" name" . :b :by :Ann .'
    )
    graph = KnowledgeGraph.from_rdf(path, links={1: "http://x/a", 2: "http://x/b"})
    assert graph.report_["literals"] == 1
    assert graph.facts([1, 2]).names == ["http://x/by: http://x/Ann"]


def test_shuffled_tails_keep_the_number_of_facts_and_their_frequency():
    rng = np.random.default_rng(1)
    graph = KnowledgeGraph(random_triples(rng, 200, 30))
    other = graph.shuffled(0)
    for relation in graph.relations_:
        own, control = (
            g.facts(relations=[relation], direction="out").matrix for g in (graph, other)
        )
        # Loops that the permutation makes, and triples that it makes equal, are the only difference.
        assert abs(own.sum() - control.sum()) <= 0.3 * own.sum()
    assert (graph._tail != other._tail).any()
    for code in range(len(graph.relations_)):
        some = graph._relation == code
        assert_array_equal(np.sort(graph._tail[some]), np.sort(other._tail[some]))


# -- the check of links ------------------------------------------------------------------------------------------------


def planted(rng, n_users=400, n_items=120, n_groups=20):
    """Draw users who like the items of some groups, and a graph that names every item's group."""
    groups = rng.permutation(np.arange(n_items) % n_groups)
    likes = rng.random((n_users, n_groups)) < 0.15
    chances = np.where(likes[:, groups], 0.5, 0.02)
    X = Interactions(
        (rng.random((n_users, n_items)) < chances).astype(float), item_ids=np.arange(n_items)
    )
    triples = [(f"film {i}", "group", f"group {g}") for i, g in enumerate(groups)]
    return X, triples, {i: f"film {i}" for i in range(n_items)}


def test_right_links_pass_and_wrong_links_are_flagged():
    rng = np.random.default_rng(0)
    X, triples, links = planted(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check = KnowledgeGraph(triples, links=links).check_links(X)
    assert check.z > 10
    assert check.better_shift == 0
    by_one = {item + 1: entity for item, entity in links.items()}
    with pytest.warns(UserWarning, match="off by one"):
        assert KnowledgeGraph(triples, links=by_one).check_links(X).better_shift == 1
    mixed = dict(zip(links, rng.permutation(list(links.values())), strict=True))
    with pytest.warns(UserWarning, match="may be wrong|off by one"):
        assert KnowledgeGraph(triples, links=mixed).check_links(X).z < 3


def test_permuted_links_pass_the_check_rarely():
    rng = np.random.default_rng(2)
    X, triples, links = planted(rng, 200, 60, 12)
    names = X.item_ids.astype(str)  # no neighbouring numbers: the statistic alone
    passed = 0
    for _ in range(200):
        mixed = dict(zip(names, rng.permutation(list(links.values())), strict=True))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            passed += KnowledgeGraph(triples, links=mixed).check_links(X, item_ids=names).z >= 3
    assert passed <= 4


def test_links_cannot_be_checked_without_shared_facts_or_ids():
    X, triples, links = planted(np.random.default_rng(0), 20, 10, 5)
    with pytest.raises(ValueError, match="no item ids"):
        KnowledgeGraph(triples, links=links).check_links(X.toarray())
    with pytest.raises(ValueError, match="share a fact"):
        KnowledgeGraph([("a", "by", "b")], links={0: "a"}).check_links(X)
    with pytest.raises(ValueError, match="one id per column"):
        KnowledgeGraph(triples, links=links).check_links(X, item_ids=[1, 2])


# -- the encoder -------------------------------------------------------------------------------------------------------


def test_features_are_weighted_facts_of_unit_length():
    rng = np.random.default_rng(0)
    graph = KnowledgeGraph(random_triples(rng, 80, 20))
    items = [f"e{i}" for i in range(20)] + ["unknown"]
    facts = graph.facts(items, direction="both")
    encoder = KnowledgeGraphEncoder(graph, direction="both", min_items=3)
    features = encoder.fit_transform(items)
    assert sp.issparse(features)
    matrix = (facts.matrix.toarray() > 0).astype(float)
    n_with = matrix.sum(axis=0)
    expected = matrix[:, n_with >= 3] * np.log(len(items) / n_with[n_with >= 3])
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    assert_allclose(features.toarray(), expected / np.where(lengths > 0, lengths, 1))
    assert_allclose(encoder.transform(items[5:9]).toarray(), features[5:9].toarray())
    assert len(encoder.get_feature_names_out()) == features.shape[1]
    assert_allclose(
        clone(encoder).fit(pd.DataFrame({"id": items})).transform(items).toarray(),
        features.toarray(),
    )


def test_counts_and_components_are_options():
    rng = np.random.default_rng(0)
    graph = KnowledgeGraph(random_triples(rng, 80, 20))
    items = [f"e{i}" for i in range(20)]
    counted = KnowledgeGraphEncoder(graph, counts=True).fit(items)
    names = counted.get_feature_names_out()
    assert [name for name in names if name.startswith("number of")] == [
        f"number of {relation}" for relation in graph.relations_
    ]
    assert counted.transform(items).shape == (20, len(names))
    dense = KnowledgeGraphEncoder(graph, n_components=4).fit_transform(items)
    assert dense.shape == (20, 4)
    lengths = np.linalg.norm(dense, axis=1)
    assert_allclose(lengths[lengths > 0], 1)
    with pytest.raises(ValueError, match="n_components"):
        KnowledgeGraphEncoder(graph, n_components=20).fit(items)


# -- in recommenders ---------------------------------------------------------------------------------------------------


def cold_data(integer_ids=True):
    """Return interactions whose last ten items are new, and the graph of their groups."""
    rng = np.random.default_rng(3)
    X, triples, links = planted(rng, 150, 40, 8)
    triples += [(f"film {i}", "studio", f"studio {rng.integers(12)}") for i in range(40)]
    dense = X.toarray()
    dense[:, 30:] = 0
    ids = np.arange(40) if integer_ids else np.array([f"id {i}" for i in range(40)])
    graph = KnowledgeGraph(triples, links=dict(zip(ids, links.values(), strict=True)))
    return Interactions(dense, item_ids=ids), graph, X.toarray()


@pytest.mark.parametrize("integer_ids", [True, False])
def test_recommenders_pass_item_ids_to_the_encoder(integer_ids):
    X, graph, full = cold_data(integer_ids)
    model = ContentColdStart(EASE(10.0), encoder=KnowledgeGraphEncoder(graph)).fit(X)
    by_hand = ContentColdStart(
        EASE(10.0),
        KnowledgeGraphEncoder(graph).fit_transform(X.item_ids).toarray(),
        encoder="passthrough",
    ).fit(X)
    assert_allclose(model.predict(X), by_hand.predict(X), rtol=1e-8)
    # New items of groups that a user likes come first.
    items, _ = model.recommend(X, k=3, candidates=np.arange(30, 40))
    assert full[np.arange(150)[:, None], items].mean() > 1.8 * full[:, 30:].mean()
    for other in (
        L3AE(encoder=KnowledgeGraphEncoder(graph)),
        ContentItemKNN(encoder=KnowledgeGraphEncoder(graph)),
        ContentUserKNN(encoder=KnowledgeGraphEncoder(graph)),
        BilinearContentRecommender(encoder=KnowledgeGraphEncoder(graph, n_components=6)),
        ContentColdStart(
            EASE(10.0), encoder=make_pipeline(KnowledgeGraphEncoder(graph), FunctionTransformer())
        ),
    ):
        assert np.isfinite(other.fit(X).predict(X)).all()


def test_an_encoder_of_ids_needs_ids():
    X, graph, _ = cold_data()
    model = ContentColdStart(EASE(10.0), encoder=KnowledgeGraphEncoder(graph))
    with pytest.raises(ValueError, match="reads item ids, and X has none"):
        model.fit(sp.csr_array(X))
    given = clone(model).set_params(item_texts=X.item_ids).fit(sp.csr_array(X))
    assert_allclose(given.predict(sp.csr_array(X)), model.fit(X).predict(X))


def test_sparse_features_beside_others_in_a_column_transformer():
    X, graph, _ = cold_data()
    table = pd.DataFrame({"id": X.item_ids, "price": np.linspace(0, 1, 40)})
    encoder = ColumnTransformer(
        [("facts", KnowledgeGraphEncoder(graph), "id"), ("price", "passthrough", ["price"])],
        transformer_weights={"facts": 1.0, "price": 0.1},
        sparse_threshold=1.0,
    )
    model = ContentColdStart(EASE(10.0), table, encoder=encoder).fit(X)
    assert np.isfinite(model.predict(X)).all()
    paths = explain_paths(model, X[:5], model.recommend(X[:5], k=2, candidates=[30, 31, 32])[0])
    assert {path.relation for path in paths} >= {"group", "other features", "base"}


def test_the_dual_ridge_is_the_ridge():
    from sklearn_llmrec.text import ridge_maps, ridge_maps_dual

    rng = np.random.default_rng(0)
    for n, d, m in ((30, 8, 5), (12, 50, 7), (20, 20, 3)):
        F, new, weights = rng.random((n, d)), rng.random((m, d)), rng.random(n) + 0.1
        a, b = ridge_maps(F, new, weights, 2.0)
        for form in (np.asarray, sp.csr_array):
            c, e = ridge_maps_dual(form(F), form(new), weights, 2.0)
            assert_allclose(c @ e, a @ b, atol=1e-10)
        # Some columns are full and others nearly empty, as texts beside facts are.
        F[:, ::2] *= rng.random(F[:, ::2].shape) < 0.1
        new[:, 1::2] *= rng.random(new[:, 1::2].shape) < 0.1
        a, b = ridge_maps(F, new, weights, 2.0)
        c, e = ridge_maps_dual(sp.csr_array(F), sp.csr_array(new), weights, 2.0)
        assert_allclose(c @ e, a @ b, atol=1e-10)


@pytest.mark.parametrize("n_features", [3, 200])
def test_scores_of_new_items_are_a_ridge_regression(n_features):
    """Written out with scikit-learn's ridge, for fewer features than items and for more."""
    rng = np.random.default_rng(0)
    X = (rng.random((60, 40)) < 0.2) * 1.0
    X[:, 30:] = 0
    features = rng.normal(size=(40, n_features))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    model = ContentColdStart(EASE(10.0), features, encoder="passthrough", popularity_exponent=0)
    model.fit(X)
    targets = model.estimator_.predict(X)[:, :30].T
    expected = Ridge(2.0).fit(features[:30], targets).predict(features[30:]).T
    assert_allclose(model.predict(X)[:, 30:], expected, atol=1e-10)


@pytest.mark.parametrize(
    "model",
    [
        ContentColdStart(EASE(10.0)),
        ContentItemKNN(n_neighbors=15, center=False),
        ContentItemKNN(n_neighbors=15),
        BilinearContentRecommender(center=False),
        BilinearContentRecommender(),
    ],
)
def test_contributions_of_paths_add_up_to_the_score(model):
    X, graph, _ = cold_data()
    model = clone(model).set_params(encoder=KnowledgeGraphEncoder(graph)).fit(X)
    items, scores = model.recommend(X[:20], k=3, candidates=np.arange(30, 40))
    for n_paths in (1, None):
        paths = explain_paths(model, X[:20], items, n_paths=n_paths)
        totals = {}
        for path in paths:
            key = (path.user, path.item)
            totals[key] = totals.get(key, 0.0) + path.contribution
        for user, item in np.ndindex(items.shape):
            assert_allclose(totals[user, items[user, item]], scores[user, item], atol=1e-6)
        for path in paths:
            if path.entity is not None:
                facts = graph.facts(X.item_ids)
                column = facts.names.index(f"{path.relation}: {path.entity}")
                with_fact = set(facts.matrix[:, [column]].tocoo().coords[0])
                assert path.item in with_fact
                assert set(path.because) == with_fact & set(X[[path.user]].indices)


def test_paths_in_ids_and_words():
    X, graph, _ = cold_data(integer_ids=False)
    model = ContentColdStart(EASE(10.0), encoder=KnowledgeGraphEncoder(graph)).fit(X)
    columns, _ = model.recommend(X[:4], k=1, candidates=np.arange(30, 40))
    paths = explain_paths(model, X[:4], X.item_ids[columns[:, 0]], ids=True)
    assert {path.item for path in paths} <= set(X.item_ids)
    words = in_words(next(path for path in paths if path.because))
    assert ", as in id " in words
    with pytest.raises(TypeError, match="KnowledgeGraphEncoder"):
        explain_paths(ContentItemKNN([str(i) for i in range(40)]).fit(X), X[:1], [3])
    with pytest.raises(ValueError, match="new_items_"):
        explain_paths(model, X[:1], [3])


def test_a_bundle_keeps_the_graph(tmp_path):
    X, graph, _ = cold_data()
    model = ContentColdStart(EASE(10.0), encoder=KnowledgeGraphEncoder(graph)).fit(X)
    bundle = load(save(tmp_path / "bundle", model, X))
    assert_allclose(bundle.estimator.predict(X), model.predict(X))
    facts = bundle.estimator.encoder_.graph.facts(X.item_ids)
    assert facts.names == graph.facts(X.item_ids).names


def test_the_order_of_triples_does_not_matter():
    triples = [("a", "by", "x"), ("b", "by", "x"), ("b", "in", "y"), ("c", "in", "y")]
    expected = KnowledgeGraph(triples).facts(list("abc"))
    for order in permutations(triples):
        facts = KnowledgeGraph(order).facts(list("abc"))
        wanted = [facts.names.index(name) for name in expected.names]
        assert_array_equal(facts.matrix[:, wanted].toarray(), expected.matrix.toarray())


def test_items_without_any_fact_are_reported():
    """Links by other ids would give every item the same score in silence."""
    graph = KnowledgeGraph([("a", "by", "x"), ("b", "by", "x")], links={"S1": "a", "S2": "b"})
    with pytest.warns(UserWarning, match=r"None of the 2 items has a fact.*links"):
        features = KnowledgeGraphEncoder(graph).fit_transform(np.array(["s1", "s2"]))
    assert features.nnz == 0
