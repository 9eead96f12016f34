"""Updates equal a fresh fit, count every event once, and publish nothing worse where asked."""

import numpy as np
import pytest
import scipy.sparse as sp
from _server import ServerProcess, save_bundle, small_data
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import EASE, ALSRecommender, ItemKNN, load, save
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.ensemble import BanditReranker
from sklearn_llmrec.metrics import ndcg_at_k, snips_value
from sklearn_llmrec.preprocessing import BM25Transformer
from sklearn_llmrec.serving import create_app, logged_choices, main, update
from sklearn_llmrec.serving._store import Event, FeedbackStore
from sklearn_llmrec.serving._update import held_out

# The data of these tests are small.
pytestmark = pytest.mark.filterwarnings("ignore:The metrics of this update:UserWarning")


def entries(X):
    """Return (user, item) -> (value, time)."""
    coo, times = X.tocoo(), X.timestamps
    rows, columns = coo.coords
    times = [None] * X.nnz if times is None else times
    return {
        (X.user_ids[row], X.item_ids[column]): (value, time)
        for row, column, value, time in zip(rows, columns, X.data, times)
    }


def random_events(rng, n, day, users=140, items=46):
    """Events of users and items, some of them new: the small data have 120 and 40."""
    return [
        Event(
            f"{day}-{number}",
            f"u{rng.integers(users):03}",
            f"i{rng.integers(items):02}",
            str(rng.choice(["view", "buy", "hide"])),
            float(rng.integers(1, 4)),
            float(10_000 * (day + 1) + number),
        )
        for number in range(n)
    ]


WEIGHTS = {"view": 1.0, "buy": 3.0, "hide": -1.0}


def write(url, events):
    store = FeedbackStore(url)
    store.append(events)
    store.close()


def as_dict(expected, events):
    """Add events to entries, slowly and obviously."""
    for event in events:
        worth = WEIGHTS[event.type] * event.value
        if worth > 0:
            value, time = expected.get((event.user, event.item), (0.0, -np.inf))
            expected[event.user, event.item] = (value + worth, max(time, event.time))
    return expected


@pytest.mark.parametrize(
    "model", [ItemKNN(n_neighbors=20), make_pipeline(BM25Transformer(), EASE())]
)
def test_an_update_is_a_fit_on_all_events(tmp_path, model):
    path, url = tmp_path / "model.zip", str(tmp_path / "f.db")
    X = save_bundle(path, model=model)
    expected, rng = entries(X), np.random.default_rng(0)
    for day in range(2):
        events = random_events(rng, 60, day)
        write(url, events)
        as_dict(expected, events)
        before = load(path)
        done = update(path, url, event_weights=WEIGHTS)
        after = load(path)
        assert (done.version_before, done.version) == (before.version, after.version)
        assert done.method == "refit"
        assert done.n_events == 60
        assert done.n_left_out == sum(event.type == "hide" for event in events)
        found = entries(after.histories)
        assert found.keys() == expected.keys()
        for pair, (value, time) in expected.items():
            assert found[pair] == (pytest.approx(value), time), pair
        assert set(done.metrics) == {"new", "old"}
        n_items = after.histories.shape[1]
        assert len(after.item_features) == n_items
    fresh = type(model)(**model.get_params(deep=False)).fit(after.histories)
    assert_allclose(after.estimator.predict(X_of(after)), fresh.predict(X_of(after)), rtol=1e-5)
    again = update(path, url, event_weights=WEIGHTS)
    assert (again.method, again.version, again.path) == ("none", after.version, None)


def X_of(bundle):
    return bundle.histories[:20]


def test_events_of_new_users_only_need_no_refit(tmp_path):
    path, url = tmp_path / "model.zip", str(tmp_path / "f.db")
    save_bundle(path)
    events = [Event(f"e{n}", f"new{n % 5}", f"i{n:02}", "view", 1.0, n) for n in range(40)]
    write(url, events)
    done = update(path, url)
    assert (done.method, done.n_new_users, done.n_new_items) == ("partial_fit", 5, 0)
    after = load(path)
    fresh = ItemKNN(n_neighbors=20).fit(after.histories)
    assert_allclose(after.estimator.predict(X_of(after)), fresh.predict(X_of(after)), rtol=1e-5)


def test_ids_of_another_kind_do_not_stop_an_update(tmp_path):
    path, url = tmp_path / "model.zip", str(tmp_path / "f.db")
    X = save_bundle(path)
    good = Event("good", "u001", "i01", "view", 1.0, 99_999.0)
    write(url, [good, good._replace(event_id="a", item=1), good._replace(event_id="b", user=1)])
    done = update(path, url)
    assert (done.n_events, done.n_left_out) == (3, 2)
    assert done.left_out == {
        "user ids are numbers, those of the bundle texts": 1,
        "item ids are numbers, those of the bundle texts": 1,
    }
    assert load(path).histories.shape == X.shape


def test_causes_of_left_out_events_are_counted(tmp_path):
    path, url = tmp_path / "model.zip", str(tmp_path / "f.db")
    save_bundle(path)
    version = load(path).version
    hidden = Event("0", "u001", "i01", "hide", 1.0, 99_999.0)
    write(
        url,
        [hidden, hidden._replace(event_id="1"), hidden._replace(event_id="2", type="buy", user=1)],
    )
    done = update(path, url, event_weights=WEIGHTS)
    assert done.left_out == {
        "worth nothing": 2,
        "user ids are numbers, those of the bundle texts": 1,
    }
    assert (done.n_events, done.n_left_out, done.version) == (3, 3, version)
    assert done.reason == "All new events were left out."


@pytest.mark.filterwarnings("default:The metrics of this update")
@pytest.mark.parametrize("n_users", [1, 29, 30])
def test_metrics_of_few_users_are_warned_about(tmp_path, recwarn, n_users):
    path, url = tmp_path / "model.zip", str(tmp_path / "f.db")
    save_bundle(path)
    events = [Event(f"e{n}", f"u{n:03}", "new", "buy", 1.0, 99_999.0) for n in range(n_users)]
    write(url, events)
    done = update(path, url)
    assert done.n_measured_users == n_users == done.metrics["new"]["n_users"]
    messages = [str(each.message) for each in recwarn]
    assert [f"those of {n_users} users" in each for each in messages] == [True] * (n_users < 30)


def test_without_measuring_no_users_are_counted(tmp_path):
    path, url = tmp_path / "model.zip", str(tmp_path / "f.db")
    save_bundle(path)
    write(url, [Event("e", "u001", "new", "buy", 1.0, 99_999.0)])
    done = update(path, url, measure=False)
    assert (done.n_measured_users, done.metrics) == (0, {})


def test_targets_are_new_and_hidden_from_both(tmp_path):
    X = small_data()
    rng = np.random.default_rng(1)
    known = X.copy()
    known.data[rng.random(X.nnz) < 0.3] = 0
    known.eliminate_zeros()
    visible, y = held_out(X, known)
    old, new, hidden = (set(zip(*M.tocoo().coords)) for M in (known, visible, y))
    everything = set(zip(*X.tocoo().coords))
    assert hidden
    assert not hidden & old
    assert not hidden & new
    assert hidden | new == everything
    assert (np.diff(visible.indptr) >= 1).all()
    times = dict(zip(zip(*X.tocoo().coords), X.timestamps))
    for row in range(X.shape[0]):
        fresh = [pair for pair in everything - old if pair[0] == row]
        chosen = [pair for pair in hidden if pair[0] == row]
        n_items = sum(pair[0] == row for pair in everything)
        assert len(chosen) == min(max(1, round(0.2 * len(fresh))), n_items - 1) * bool(fresh)
        left = [times[pair] for pair in fresh if pair not in hidden]
        assert not chosen or not left or min(times[pair] for pair in chosen) >= max(left)


class BecomesWorse(PopularityRecommender):
    """Ranks by popularity after its first fit; a fit on more data ranks the other way round."""

    def _fit(self, X):
        super()._fit(X)
        if X.sum() > small_data().sum():
            self.item_scores_ = -self.item_scores_


def test_a_worse_model_is_refused_where_asked(tmp_path, capsys):
    path, url = tmp_path / "model.zip", str(tmp_path / "f.db")
    X = small_data()
    model = BecomesWorse().fit(X)
    save(path, model, X, histories=True)
    # Everybody buys what the old model recommends, so much that the new model notices.
    items, _ = model.recommend(X, 3)
    events = [
        Event(f"{user}-{rank}", user, str(X.item_ids[column]), "buy", 1000.0, 99_999.0 + rank)
        for user, row in zip(X.user_ids.tolist(), items)
        for rank, column in enumerate(row)
    ]
    write(url, events)
    trusted = [f"{BecomesWorse.__module__}.BecomesWorse"]
    version = load(path, trusted=trusted).version
    done = update(path, url, tolerance=0.0, trusted=trusted, method="refit")
    assert done.path is None
    assert "lower" in done.reason
    assert done.metrics["new"]["ndcg@10"] < done.metrics["old"]["ndcg@10"]
    assert load(path, trusted=trusted).version == version
    arguments = ["update", str(path), "--feedback", url, "--refuse-worse", "--trusted", *trusted]
    assert main(arguments) == 3
    assert '"reason": "nDCG@10' in capsys.readouterr().out
    assert update(path, url, tolerance=1.0, trusted=trusted).path == path
    assert load(path, trusted=trusted).version != version


def test_a_link_is_turned_and_the_old_bundle_stays(tmp_path):
    old, link, url = tmp_path / "first.zip", tmp_path / "model.zip", str(tmp_path / "f.db")
    save_bundle(old)
    link.symlink_to(old)
    version = load(old).version
    write(url, [Event("e", "u001", "i01", "view", 1.0, 99_999.0)])
    done = update(link, url)
    assert link.is_symlink()
    assert load(old).version == version
    assert load(link).version == done.version != version


def test_wrong_uses_are_refused(tmp_path):
    path, url = tmp_path / "model.zip", str(tmp_path / "f.db")
    X = small_data()
    save(path, ItemKNN().fit(X), X)
    with pytest.raises(ValueError, match="histories=True"):
        update(path, url)
    save(path, make_pipeline(ItemKNN()).fit(X), X, histories=True)
    write(url, [Event("e", "u001", "i01", "view", 1.0, 99_999.0)])
    with pytest.raises(ValueError, match="method='refit'"):
        update(path, url, method="partial_fit")
    with pytest.raises(ValueError, match="'auto', 'refit' or 'partial_fit'"):
        update(path, url, method="magic")


# -- bandits -----------------------------------------------------------------------------------------


def test_what_a_bandit_showed_is_kept_with_propensities(tmp_path):
    import time

    from starlette.testclient import TestClient

    X, path, url = small_data(), tmp_path / "model.zip", str(tmp_path / "f.db")
    bandit = BanditReranker(
        ItemKNN(), policy="epsilon_greedy", epsilon=0.3, n_candidates=10, random_state=0
    )
    save(path, bandit.fit(X), X, histories=True)
    wanted = {}
    with TestClient(create_app(path, feedback=url, keys=[])) as client:
        for user in ("u003", "u010", None):
            body = {"user": user, "k": 4} if user else {"history": ["i01"], "k": 4}
            answer = client.post("/v1/recommend", json=body).json()
            row = (
                X[X.user_rows([user])] if user else sp.csr_array(([1.0], ([0], [1])), shape=(1, 40))
            )
            items, _ = bandit.recommend(row, 4)
            assert answer["items"] == X.item_ids[items[0]].tolist()
            chances = bandit.propensities(row, items)[0]
            wanted[answer["request_id"]] = (user, answer["items"], chances)
            event = {"event_id": f"click-{user}", "user": user or "?", "item": answer["items"][1]}
            client.post(
                "/v1/feedback", json={"events": [{**event, "request_id": answer["request_id"]}]}
            )
        deadline = time.monotonic() + 60
        while len(logged_choices(url)["rewards"]) < 12:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    log = logged_choices(url)
    for request, (user, items, chances) in wanted.items():
        mine = log["request_ids"] == request
        assert log["items"][mine].tolist() == items
        assert log["ranks"][mine].tolist() == [1, 2, 3, 4]
        assert set(log["users"][mine]) == {user}
        assert_allclose(log["propensities"][mine], chances)
        assert log["rewards"][mine].tolist() == [0, 1, 0, 0]
    assert snips_value(log["rewards"], log["propensities"], log["propensities"]).value == 0.25
    # The next bundle has learned from it.
    done = update(path, url)
    assert done.method == "refit"
    bandit = load(path).estimator
    assert (bandit.n_shown_.sum(), bandit.n_rewards_.sum()) == (12, 3)


# -- a week ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "n_events", [80, pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
@pytest.mark.parametrize("model", [ItemKNN(n_neighbors=20), ALSRecommender(8, random_state=0)])
def test_a_week_of_updates_while_clients_run(tmp_path, model, n_events):
    """Lists of the last day are those of a fresh fit; for ALS, as good ones."""
    import threading

    path, url = tmp_path / "model.zip", str(tmp_path / "f.db")
    save_bundle(path, model=model)
    rng, stop, failed, versions = np.random.default_rng(0), threading.Event(), [], set()

    def ask():
        client = server.client()
        while not stop.is_set():
            status, answer = client.post("/v1/recommend", {"user": f"u{len(versions):03}"})
            versions.add(answer.get("version"))
            if status != 200:
                failed.append(answer)

    with ServerProcess(path, "--feedback", url, "--watch", "0.1") as server:
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        client = server.client()
        try:
            for day in range(7):
                events = random_events(rng, n_events, day, 120 + 5 * (day + 1), 40 + day)
                for start in range(0, n_events, 40):
                    batch = [event._asdict() for event in events[start : start + 40]]
                    for event in batch:
                        del event["request_id"]
                    assert client.post("/v1/feedback", {"events": batch})[0] == 200
                done = update(path, url, event_weights=WEIGHTS, measure=day == 6)
                while client("GET", "/v1/model")[1]["version"] != done.version:
                    pass
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        last = client.post("/v1/recommend", {"user": events[-1].user, "k": 10})[1]
    assert not failed
    after = load(path)
    X = after.histories
    assert X.shape[0] > 120
    assert X.shape[1] > 40
    fresh = type(model)(**model.get_params()).fit(X)
    ours, theirs = (M.recommend(X, 10) for M in (after.estimator, fresh))
    if isinstance(model, ItemKNN):
        assert_array_equal(ours[0], theirs[0])
        row = X.user_rows([events[-1].user])
        columns = theirs[0][row[0]]
        # A user who has nearly everything gets a shorter list.
        assert last["items"] == X.item_ids[columns[columns >= 0]].tolist()
    else:
        figures = [ndcg_at_k(X, lists, k=10) for lists in (ours[0], theirs[0])]
        assert abs(figures[0] - figures[1]) < 0.002
