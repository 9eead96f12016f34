"""The language model over items: only real items, all of them, each its own; search equals brute force."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_llmrec import Interactions, check_recommender
from sklearn_llmrec.interactions._sequences import Sequences
from sklearn_llmrec.sequence import LMRecommender
from sklearn_llmrec.sequence._item_tokens import BEGIN, numbered, of_codes, of_titles, prefixes
from sklearn_llmrec.sequence._semantic_ids import residual_codes
from sklearn_llmrec.sequence._trie import Trie

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

N_ITEMS = 20
COLOURS, THINGS = ["red", "green", "blue", "old", "new"], ["cup", "cup of tea", "rake", "rake set"]
TITLES = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
# A title twice, and one that begins another.
TITLES[7] = TITLES[3] = "old cup"
SMALL = {"max_length": 8, "batch_size": 16, "learning_rate": 0.02, "n_layers": 1}
SMALL |= {"n_components": 16, "dropout": 0.0, "max_iter": 8, "random_state": 0, "device": "cpu"}
SMALL |= {"n_words": 12, "early_stopping": False}
LEARNING = {"n_components": 32, "learning_rate": 0.005, "max_iter": 50}


def chains(n_users=90, length=6, seed=0):
    """Users who walk i, i + 1, i + 2, ... from a random start; a last item that nobody had."""
    rng = np.random.default_rng(seed)
    walk = (rng.integers(N_ITEMS, size=n_users)[:, None] + np.arange(length)) % N_ITEMS
    return Interactions(
        (np.ones(walk.size), walk.ravel(), np.arange(0, walk.size + 1, length)),
        shape=(n_users, N_ITEMS + 1),
        timestamps=np.tile(np.arange(length), n_users),
    )


def pairs(length=2):
    history = np.zeros((N_ITEMS, N_ITEMS + 1))
    rows = np.arange(N_ITEMS)
    for step in range(length):
        history[rows, (rows + step) % N_ITEMS] = step + 1
    return history, (rows + length) % N_ITEMS


def model(**params):
    texts = [*TITLES, "blue spade"]
    return LMRecommender(**{**SMALL, "item_texts": texts, **params})


@pytest.fixture(scope="module")
def fitted():
    return model(**LEARNING).fit(chains())


def random_catalogue(rng, n_items):
    lines = {tuple(rng.integers(1, 4, size=rng.integers(1, 5)).tolist()) + (4,) for _ in range(400)}
    lines = sorted(lines, key=lambda line: rng.random())[:n_items]
    bounds = np.append(0, np.cumsum([len(line) for line in lines]))
    return Sequences(np.concatenate([np.array(line) for line in lines]), bounds, 5), lines


def test_a_tree_of_random_items():
    rng = np.random.default_rng(0)
    for n_items in (2, 3, 17, 60):
        catalogue, lines = random_catalogue(rng, n_items)
        trie = Trie.of(catalogue)
        paths, depths = trie.paths(trie.leaves)
        assert [tuple(p[:d]) for p, d in zip(paths.tolist(), depths)] == lines
        nodes = {line[:n] for line in lines for n in range(len(line) + 1)}
        assert len(trie.parent) == len(nodes)
        children = {
            node: [x for x in nodes if len(x) == len(node) + 1 and x[: len(node)] == node]
            for node in nodes
        }
        assert len(trie.forks) == sum(len(c) > 1 for c in children.values())
        assert len(trie.choices) == sum(len(c) for c in children.values() if len(c) > 1)
        # Any scores of tokens give chances that sum to one, each the product of the shares on its way.
        logits = rng.normal(size=len(trie.choices))
        chances = np.exp(trie.steps @ trie.log_shares(logits))
        assert_allclose(chances.sum(), 1)
        paths, depths = trie.paths(trie.choices)
        steps = [tuple(p[:d]) for p, d in zip(paths.tolist(), depths)]
        at = dict(zip(steps, np.exp(logits)))
        for item, line in enumerate(lines):
            expected = 1.0
            for n in range(1, len(line) + 1):
                siblings = children[line[: n - 1]]
                if len(siblings) > 1:
                    expected *= at[line[:n]] / sum(at[s] for s in siblings)
            assert_allclose(chances[item], expected)


def test_items_that_cannot_be_told_apart_are_refused():
    for lines in ([[1, 2], [1, 2]], [[1], [1, 2]]):
        bounds = np.append(0, np.cumsum([len(line) for line in lines]))
        with pytest.raises(ValueError, match="must not begin"):
            Trie.of(Sequences(np.concatenate(lines), bounds, 3))


def test_every_item_has_tokens_of_its_own():
    titles = ["a", "a b", "a", "a", "é", "漢字", "a b c " * 30, "a b c " * 31, "x"]
    for catalogue in (
        of_titles(titles, 10, 8),
        of_titles(["same"] * 5, 10, 8),
        of_codes(np.array([[0, 1], [0, 1], [1, 0], [0, 0], [0, 1]])),
        numbered(6),
    ):
        lines = [tuple(catalogue.take(np.array([i])).items) for i in range(len(catalogue))]
        assert len(set(lines)) == len(lines)
        assert set(catalogue.items) == set(range(1, catalogue.n_items))
        assert BEGIN not in catalogue.items
        Trie.of(catalogue)


def test_histories_are_the_tokens_of_their_items():
    catalogue = of_codes(np.array([[0, 1], [1, 0], [1, 1]]))
    histories = Sequences(np.array([2, 0, 1]), np.array([0, 2, 2, 3]), 3)
    lines = [catalogue.take(np.array([i])).items.tolist() for i in range(3)]
    found = prefixes(histories, catalogue)
    assert found.items.tolist() == [BEGIN, *lines[2], *lines[0], BEGIN, BEGIN, *lines[1]]
    assert found.bounds.tolist() == [0, 5, 6, 9]


def test_codes_explain_more_with_every_level():
    rng = np.random.default_rng(0)
    coarse, fine = rng.normal(size=(4, 6)) * 10, rng.normal(size=(3, 6))
    planted = np.stack(np.divmod(np.arange(24) % 12, 3), axis=1)
    vectors = coarse[planted[:, 0]] + fine[planted[:, 1]]
    codes = residual_codes(vectors, 4, 3, random_state=0)
    same = codes[:, None, 0] == codes[:, 0]
    assert_array_equal(same, planted[:, None, 0] == planted[:, 0])
    # What says the same has the same codes, and only that.
    assert_array_equal(
        (codes[:, None] == codes).all(axis=2), (planted[:, None] == planted).all(axis=2)
    )
    assert_array_equal(codes, residual_codes(vectors * 1e-3, 4, 3, random_state=0))
    assert not residual_codes(np.ones((3, 2)), 4, 2, random_state=0).any()

    left = vectors - vectors.mean(axis=0)
    for level in range(2):
        _, groups = np.unique(codes[:, : level + 1], axis=0, return_inverse=True)
        means = np.array([vectors[groups == g].mean(axis=0) for g in range(groups.max() + 1)])
        now = vectors - means[groups]
        assert (now**2).sum() < 0.5 * (left**2).sum()
        left = now


def test_codes_come_from_texts():
    X = chains()
    found = model(tokens="codes", n_codes=5, n_levels=2, max_iter=20).fit(X)
    history, following = pairs()
    items, _ = found.recommend(history, k=2)
    # Two titles are equal, and with them their codes: only a number tells these items apart.
    assert (items == following[:, None]).any(axis=1).mean() >= 0.8
    assert_allclose(np.exp(found.predict(history)).sum(axis=1), 1)


def test_an_item_that_nobody_had_is_written_where_those_of_its_codes_are():
    vectors = np.random.default_rng(0).normal(size=(N_ITEMS + 1, 6))
    vectors[-1] = vectors[5] + 1e-3
    cold = model(tokens="codes", encoder="passthrough", item_texts=vectors, n_codes=8, n_levels=2)
    history, following = pairs()
    scores = cold.fit(chains()).predict(history)[:, N_ITEMS]
    assert following[scores.argmax()] == 5
    assert scores.max() > np.median(scores) + 1


@pytest.mark.parametrize("tokens", ["items", "titles"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_walk_is_learned(tokens, architecture):
    params = LEARNING if tokens == "titles" else {"max_iter": 20}
    found = model(tokens=tokens, architecture=architecture, **params).fit(chains())
    history, following = pairs()
    items, scores = found.recommend(history, k=1)
    assert (items.ravel() == following).mean() >= 0.8
    assert np.exp(scores).mean() > 0.5
    assert found.loss_curve_[-1] < 0.5 * found.loss_curve_[0]


def whole_scores(fitted, history):
    """Log-probabilities of all items: every item's tokens read after the history, whole, nothing shared."""
    network = fitted._reading_network(np.float64)
    catalogue = fitted._catalogue_
    lines = [catalogue.take(np.array([i])).items.tolist() for i in range(len(catalogue))]
    before = [BEGIN, *(token for item in history for token in lines[item])]
    result = []
    for line in lines:
        with torch.no_grad():
            ids = torch.tensor([before + line])
            outputs = network(ids, torch.tensor([ids.shape[1]]))[0] @ network.item_vectors().T
        total = 0.0
        for n, token in enumerate(line):
            allowed = sorted(
                {other[n] for other in lines if other[:n] == line[:n] and len(other) > n}
            )
            logits = outputs[len(before) - 1 + n]
            total += float(logits[token] - logits[allowed].logsumexp(0))
        result.append(total)
    return np.array(result)


def test_scores_are_log_probabilities_of_whole_sequences(fitted):
    history, _ = pairs()
    scores = fitted.predict(history)
    assert_allclose(np.exp(scores).sum(axis=1), 1)
    for row in (0, 7):
        assert_allclose(scores[row], whole_scores(fitted, [row, row + 1]), atol=1e-9)


@pytest.mark.parametrize("beam_size", [None, 100])
def test_search_equals_brute_force(fitted, beam_size):
    wide = clone(fitted).set_params(beam_size=beam_size, max_iter=1).fit(chains())
    history = np.vstack([pairs()[0], pairs(5)[0]])
    for k in (1, 4, 12):
        for exclude_seen in (True, False):
            scores = wide.predict(history)
            if exclude_seen:
                scores[history > 0] = -np.inf
            items, values = wide.recommend(history, k, exclude_seen=exclude_seen)
            assert_array_equal(items, np.argsort(-scores, axis=1, kind="stable")[:, :k])
            assert_allclose(values, -np.sort(-scores, axis=1)[:, :k], rtol=1e-9)


def test_a_narrow_beam_writes_real_items_with_their_probabilities(fitted):
    narrow = pickle.loads(pickle.dumps(fitted)).set_params(beam_size=2)
    history, following = pairs()
    scores = narrow.predict(history)
    items, values = narrow.recommend(history, k=5)
    assert ((items >= 0) & (items <= N_ITEMS)).all()
    assert all(len(set(line)) == 5 for line in items.tolist())
    assert_allclose(values[:, 0], np.take_along_axis(scores, items[:, :1], axis=1)[:, 0], rtol=1e-9)
    # What is likely from its first word on is found by any beam.
    assert (items[:, 0] == np.where(history > 0, -np.inf, scores).argmax(axis=1)).mean() > 0.7


def test_a_search_among_candidates_goes_only_where_they_are(fitted, monkeypatch):
    from sklearn_llmrec.sequence import _token_network

    history = sp.csr_array(np.vstack([pairs()[0], pairs(5)[0]]))  # of two lengths
    among = np.array([2, 7, 11, 12, 19, 20])
    scores = fitted.predict(history)
    scores[history.nonzero()] = -np.inf
    best = np.argsort(-scores[:, among], axis=1, kind="stable")[:, :4]
    opened = []
    original = _token_network._opened

    def count(reader, trie, rows, forks):
        opened.extend(forks)
        return original(reader, trie, rows, forks)

    monkeypatch.setattr(_token_network, "_opened", count)
    items, values = fitted.recommend(history, 4, candidates=among)
    assert_array_equal(items, among[best])
    assert_allclose(values, np.take_along_axis(scores[:, among], best, axis=1), rtol=1e-9)
    trie = fitted._trie_
    on_way = {node for item in among for node in ancestors(trie, trie.leaves[item])}
    assert 0 < len(set(opened)) < len(trie.forks)
    assert set(opened) <= on_way
    # By rows, and fewer than the list is long, they go the way of all scores.
    chosen = np.zeros(history.shape, dtype=bool)
    chosen[:, among] = True
    by_rows, _ = fitted.recommend(history, 4, candidates=sp.csr_array(chosen))
    assert_array_equal(by_rows, items)
    few, _ = fitted.recommend(history, 4, candidates=among[-1:])
    assert_array_equal(few, [[20, -1, -1, -1]] * len(few))


def ancestors(trie, node):
    while node > 0:
        yield node
        node = trie.parent[node]
    yield 0


def test_an_exact_search_opens_a_part_of_the_tree(fitted, monkeypatch):
    from sklearn_llmrec.sequence import _token_network

    opened = []
    original = _token_network._opened

    def count(reader, trie, rows, forks):
        opened.append(len(forks))
        return original(reader, trie, rows, forks)

    monkeypatch.setattr(_token_network, "_opened", count)
    monkeypatch.setattr(_token_network, "_OPENED", 1)
    fitted.recommend(pairs()[0], k=1)
    assert sum(opened) < 0.7 * N_ITEMS * len(fitted._trie_.forks)


@pytest.mark.parametrize("tokens", ["items", "titles", "codes"])
def test_a_row_alone_in_a_batch_and_through_a_pickle(tokens):
    found = model(tokens=tokens, max_iter=2).fit(chains())
    history = sp.csr_array(np.vstack([pairs(n)[0] for n in (1, 3, 6)]))
    together = found.predict(history)
    alone = np.vstack([found.predict(history[[row]]) for row in range(0, 60, 7)])
    assert_allclose(alone, together[::7], rtol=1e-9)
    stored = pickle.dumps(found)
    assert b"torch" not in stored
    assert_array_equal(pickle.loads(stored).predict(history), together)
    single = found.predict(history.astype(np.float32))
    assert single.dtype == np.float32
    assert_allclose(single, together, atol=1e-3)


def test_a_seed_is_a_model_and_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    first, second = (model(max_iter=2).fit(chains()) for _ in range(2))
    other = model(max_iter=2, random_state=1).fit(chains())
    assert torch.equal(state, torch.get_rng_state())
    for name, array in first.weights_.items():
        assert_array_equal(array, second.weights_[name])
    assert any((array != other.weights_[name]).any() for name, array in first.weights_.items())


def test_a_checkpoint_gives_the_model_without_a_stop(tmp_path):
    X = chains()
    model(max_iter=2, dropout=0.2, checkpoint=tmp_path).fit(X)
    resumed = model(max_iter=4, dropout=0.2, checkpoint=tmp_path).fit(X)
    straight = model(max_iter=4, dropout=0.2).fit(X)
    assert resumed.loss_curve_ == straight.loss_curve_
    for name, array in straight.weights_.items():
        assert_array_equal(array, resumed.weights_[name])
    assert len(list(tmp_path.iterdir())) == 1


def test_long_histories_are_read_from_their_end(fitted):
    history, following = pairs(2)
    long, _ = pairs(15)
    last = np.zeros_like(long)
    rows = np.arange(N_ITEMS)
    for step in range(7, 15):
        last[rows, (rows + step) % N_ITEMS] = step + 1
    assert_allclose(fitted.predict(long), fitted.predict(last), rtol=1e-9)


def test_an_item_that_nobody_had_can_be_written(fitted):
    scores = fitted.predict(pairs()[0])
    assert np.isfinite(scores[:, -1]).all()
    # Its words are those of others; what it lacks is a history.
    assert_array_equal(
        np.sort(fitted.recommend(pairs()[0], k=N_ITEMS - 1)[0]),
        [np.setdiff1d(np.arange(N_ITEMS + 1), [row, (row + 1) % N_ITEMS]) for row in range(20)],
    )


def test_a_config_of_transformers_says_the_sizes():
    from transformers import GPT2Config

    config = GPT2Config(n_embd=8, n_layer=3, n_head=2, n_positions=4, vocab_size=7)
    found = model(architecture=config, max_iter=1).fit(chains())
    assert found.weights_["body.wte.weight"].shape == (found.n_tokens_, 8)
    assert config.vocab_size == 7
    assert np.isfinite(found.predict(pairs()[0])).all()


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="multiple of n_heads"):
        model(n_components=15).fit(chains())
    with pytest.raises(ValueError, match="one text per item, 21; got 20"):
        model(item_texts=TITLES).fit(chains())
    with pytest.raises(ValueError, match="tokens='codes' needs item_texts"):
        model(tokens="codes", item_texts=None).fit(chains())
    with pytest.raises(ValueError, match="one vector for each of 21 items"):
        model(tokens="codes", encoder="passthrough", item_texts=np.eye(4)).fit(chains())
    with pytest.raises(ValueError, match="No row of X has two events"):
        LMRecommender().fit(sp.csr_array(np.eye(4)))
    with pytest.raises(ValueError, match="'architecture' parameter"):
        model(architecture="bert").fit(chains())


@pytest.mark.slow
def test_the_contract_holds_with_titles():
    texts = [TITLES[n % 20] + " " * (n // 20) for n in range(30)]
    check_recommender(model(item_texts=texts, n_components=4, max_iter=1))
