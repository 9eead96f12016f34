"""Answers equal those of the library, and requests that are wrong are refused and have no effect."""

import json
import time

import numpy as np
import pytest
import scipy.sparse as sp
from _server import save_bundle, small_data
from starlette.testclient import TestClient

from sklearn_llmrec import Interactions, ItemKNN, load, recommend, save
from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.serving import create_app, new_key
from sklearn_llmrec.serving._store import FeedbackStore

LIMITS = {"max_body": 20_000, "max_history": 50, "max_k": 30, "max_requests": 8, "max_items": 60}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "model.zip"
    save_bundle(path)
    return path


@pytest.fixture(scope="module")
def loaded(bundle):
    return load(bundle)


@pytest.fixture(scope="module")
def client(bundle, tmp_path_factory):
    feedback = tmp_path_factory.mktemp("feedback") / "feedback.db"
    app = create_app(bundle, feedback=str(feedback), keys=[], **LIMITS)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def row_of(loaded, ids):
    columns = [loaded.item_ids.tolist().index(one) for one in ids]
    return sp.csr_array((np.ones(len(ids)), ([0] * len(ids), columns)), shape=(1, 40))


def expected(loaded, X, k=10, **options):
    items, scores = recommend(loaded.estimator, X, k, **options)
    kept = items[0] >= 0
    return loaded.item_ids[items[0][kept]].tolist(), scores[0][kept]


def assert_same(answer, wanted):
    assert answer["items"] == wanted[0]
    np.testing.assert_allclose(answer["scores"], wanted[1], rtol=1e-5)


def post(client, path, body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- answers -----------------------------------------------------------------------------------------


def test_lists_are_those_of_the_library(client, loaded):
    history = ["i03", "i17", "i21"]
    answer = post(client, "/v1/recommend", {"history": history, "k": 7})
    assert_same(answer, expected(loaded, row_of(loaded, history), 7))
    assert answer["version"] == loaded.version
    assert answer["request_id"]


def test_seen_candidates_and_exclusions(client, loaded):
    history, among = ["i03", "i17", "i21"], ["i01", "i03", "i05", "i09"]
    X, columns = row_of(loaded, history), [1, 3, 5, 9]
    body = {"history": history, "k": 4, "candidates": [*among, "nowhere"]}
    assert_same(post(client, "/v1/recommend", body), expected(loaded, X, 4, candidates=columns))
    body["exclude_seen"] = False
    wanted = expected(loaded, X, 4, candidates=columns, exclude_seen=False)
    assert_same(post(client, "/v1/recommend", body), wanted)
    first = expected(loaded, X, 1)[0][0]
    left_out = X + row_of(loaded, [first])
    body = {"history": history, "exclude": [first, "nowhere"]}
    assert_same(post(client, "/v1/recommend", body), expected(loaded, X, seen=left_out))
    body["exclude_seen"] = False
    wanted = expected(loaded, X, seen=row_of(loaded, [first]))
    assert_same(post(client, "/v1/recommend", body), wanted)


def test_a_batch_equals_its_requests(client):
    requests = [
        {"history": ["i01"], "k": 3},
        {"user": "u005"},
        {"user": "nobody", "k": 3},
        {"history": ["i01", "i02"], "exclude": ["i03"], "k": 3},
        {"history": [], "candidates": ["i04"]},
        {"history": ["i01"], "k": 3},
    ]
    results = post(client, "/v1/recommend", {"requests": requests})["results"]
    for request, result in zip(requests, results):
        alone = post(client, "/v1/recommend", request)
        assert_same(result, (alone["items"], alone["scores"]))
        assert result.get("known_user") == alone.get("known_user")


def test_unknown_items_are_counted_and_unknown_users_get_the_popular(client, loaded):
    answer = post(client, "/v1/recommend", {"history": ["i03", "x", 3], "k": 5})
    assert answer["unknown_items"] == 2
    assert_same(answer, expected(loaded, row_of(loaded, ["i03"]), 5))
    answer = post(client, "/v1/recommend", {"user": "nobody", "k": 5})
    assert answer["known_user"] is False
    assert_same(answer, expected(loaded, sp.csr_array((1, 40)), 5))


def test_a_list_is_as_long_as_the_catalogue_at_most(client, bundle):
    history = [f"i{n:02}" for n in range(38)]
    answer = post(client, "/v1/recommend", {"history": history, "k": 30})
    assert sorted(answer["items"]) == ["i38", "i39"]
    assert all(np.isfinite(answer["scores"]))


def test_columns_and_request_ids(client):
    body = {"user": "u001", "k": 2, "columns": ["title"], "request_id": "mine"}
    answer = post(client, "/v1/recommend", body)
    assert answer["request_id"] == "mine"
    wanted = [f"No. {int(item[1:])}" for item in answer["items"]]
    assert answer["columns"] == {"title": wanted}


def test_known_users_have_the_bundle_and_their_feedback(client, loaded):
    X = loaded.histories
    row = X.user_rows(["u007"])[0]
    answer = post(client, "/v1/recommend", {"user": "u007"})
    assert answer["known_user"] is True
    assert_same(answer, expected(loaded, sp.csr_array(X[[row]])))
    new = answer["items"][:2]
    events = [
        {"event_id": "known-1", "user": "u007", "item": new[0], "value": 2},
        {"event_id": "known-2", "user": "u007", "item": new[1], "type": "view"},
        {"event_id": "known-2", "user": "u007", "item": "i39", "type": "view"},
        {"event_id": "known-3", "user": "u007", "item": new[1], "value": -1},
        {"event_id": "known-4", "user": "u007", "item": "not in the catalogue"},
    ]
    counts = post(client, "/v1/feedback", {"events": events})
    assert (counts["accepted"], counts["duplicates"]) == (5, 1)
    later = sp.lil_array(sp.csr_array(X[[row]]))
    later[0, int(new[0][1:])] += 2
    later[0, int(new[1][1:])] += 1
    answer = post(client, "/v1/recommend", {"user": "u007"})
    assert_same(answer, expected(loaded, sp.csr_array(later)))
    assert not set(answer["items"]) & set(new)
    again = post(client, "/v1/feedback", {"events": events})
    assert (again["accepted"], again["duplicates"]) == (5, 5)
    assert post(client, "/v1/recommend", {"user": "u007"})["scores"] == answer["scores"]


def test_similar_and_explain_are_those_of_the_library(client, loaded):
    answer = post(client, "/v1/similar", {"items": ["i04", "i05"], "k": 3, "columns": ["title"]})
    similar, values = loaded.estimator.similar_items([4, 5], 3)
    for result, columns, numbers in zip(answer["results"], similar, values):
        kept = columns >= 0
        assert result["items"] == loaded.item_ids[columns[kept]].tolist()
        np.testing.assert_allclose(result["similarities"], numbers[kept], rtol=1e-5)
        assert len(result["columns"]["title"]) == kept.sum()
    history = ["i03", "i17", "i21"]
    item = expected(loaded, row_of(loaded, history), 1)[0][0]
    answer = post(client, "/v1/explain", {"history": history, "item": item})
    parts = loaded.estimator.explain(row_of(loaded, history), [int(item[1:])])
    found = dict(zip(answer["items"], answer["contributions"]))
    wanted = dict(zip(loaded.item_ids[parts.indices].tolist(), parts.data.tolist()))
    assert found == pytest.approx(wanted, rel=1e-5)
    assert answer["contributions"] == sorted(answer["contributions"], reverse=True)


def test_the_model_tells_about_itself(client, loaded):
    answer = client.get("/v1/model").json()
    assert answer["version"] == loaded.version
    assert (answer["model"], answer["n_items"], answer["n_known_users"]) == ("ItemKNN", 40, 120)
    assert answer["item_columns"] == ["title"]


def test_metrics_count_requests(client):
    before = requests_counted(client)
    post(client, "/v1/recommend", {"history": []})
    assert requests_counted(client) == before + 1


def requests_counted(client):
    lines = client.get("/metrics").text.splitlines()
    name = 'sklearn_llmrec_requests_total{endpoint="recommend",status="200"} '
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_a_model_that_cannot_tell_says_so(tmp_path):
    X = save_bundle(tmp_path / "model.zip", model=PopularityRecommender())
    with TestClient(create_app(tmp_path / "model.zip", keys=[])) as client:
        for path, body in (
            ("/v1/similar", {"items": ["i01"]}),
            ("/v1/explain", {"user": "u001", "item": "i01"}),
        ):
            answer = client.post(path, json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_offered")
        assert client.post("/v1/feedback", json={"events": []}).status_code == 404
        items = client.post("/v1/recommend", json={"user": "u001"}).json()["items"]
        assert len(items) == 10
        assert X.shape == (120, 40)


def test_models_of_sequences_get_times_in_order(tmp_path):
    from sklearn_llmrec.sequence import MarkovRecommender

    X = small_data()
    model = MarkovRecommender().fit(X)
    save_bundle(tmp_path / "model.zip", X, MarkovRecommender())
    with TestClient(create_app(tmp_path / "model.zip", keys=[])) as client:
        orders = ([1, 2, 3], [3, 2, 1])
        for times in orders:
            body = {"history": ["i01", "i02", "i03"], "times": times}
            answer = post(client, "/v1/recommend", body)
            row = Interactions(
                ([1.0, 1.0, 1.0], [1, 2, 3], [0, 3]), shape=(1, 40), timestamps=times
            )
            items, _ = model.recommend(row)
            assert answer["items"] == X.item_ids[items[0]].tolist()
        by_place = post(client, "/v1/recommend", {"history": ["i03", "i02", "i01"]})
        assert by_place["items"] == answer["items"]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float64"])
def test_ids_that_are_numbers(tmp_path, dtype):
    users, items = np.arange(120, dtype=dtype), np.arange(100, 140).astype(dtype)
    numbers = Interactions(sp.csr_array(small_data()), user_ids=users, item_ids=items)
    save_bundle(tmp_path / "model.zip", numbers)
    with TestClient(create_app(tmp_path / "model.zip", keys=[])) as client:
        known = post(client, "/v1/recommend", {"user": 7})
        assert known["known_user"] is True
        assert all(isinstance(item, int) for item in known["items"])
        assert post(client, "/v1/recommend", {"user": "7"})["known_user"] is False
        body = {"history": [103, "104", 2**63]}
        assert post(client, "/v1/recommend", body)["unknown_items"] == 2


# -- refusals ----------------------------------------------------------------------------------------

LONG = ["i01"] * 51
WRONG = [
    ("/v1/recommend", {}, 422),
    ("/v1/recommend", {"user": "u001", "history": []}, 422),
    ("/v1/recommend", {"user": None}, 422),
    ("/v1/recommend", {"user": True}, 422),
    ("/v1/recommend", {"user": ["u001"]}, 422),
    ("/v1/recommend", {"user": "u" * 257}, 422),
    ("/v1/recommend", {"user": 2**64}, 422),
    ("/v1/recommend", {"user": 1.5}, 422),
    ("/v1/recommend", {"history": "i01"}, 422),
    ("/v1/recommend", {"history": [None]}, 422),
    ("/v1/recommend", {"history": [["i01"]]}, 422),
    ("/v1/recommend", {"history": LONG}, 422),
    ("/v1/recommend", {"history": ["i01"], "times": [1, 2]}, 422),
    ("/v1/recommend", {"history": ["i01"], "times": ["now"]}, 422),
    ("/v1/recommend", {"history": [], "k": 0}, 422),
    ("/v1/recommend", {"history": [], "k": 31}, 422),
    ("/v1/recommend", {"history": [], "k": 2.5}, 422),
    ("/v1/recommend", {"history": [], "k": "10"}, 422),
    ("/v1/recommend", {"history": [], "exclude_seen": "yes"}, 422),
    ("/v1/recommend", {"history": [], "candidates": ["i01"] * 61}, 422),
    ("/v1/recommend", {"history": [], "columns": ["price"]}, 422),
    ("/v1/recommend", {"histry": []}, 422),
    ("/v1/recommend", {"requests": []}, 422),
    ("/v1/recommend", {"requests": [{"history": []}], "k": 3}, 422),
    ("/v1/recommend", {"requests": [{"history": []}] * 9}, 422),
    ("/v1/recommend", {"requests": [{"requests": []}]}, 422),
    ("/v1/recommend", [], 422),
    ("/v1/similar", {"items": []}, 422),
    ("/v1/similar", {"items": ["nowhere"]}, 404),
    ("/v1/explain", {"user": "u001", "item": "nowhere"}, 404),
    ("/v1/explain", {"item": "i01"}, 422),
    ("/v1/feedback", {"events": []}, 422),
    ("/v1/feedback", {"events": [{"user": "u001", "item": "i01"}]}, 422),
    ("/v1/feedback", {"events": [{"event_id": "", "user": "u001", "item": "i01"}]}, 422),
]


@pytest.mark.parametrize(("path", "body", "status"), WRONG)
def test_wrong_bodies_are_refused_with_a_reason(client, path, body, status):
    answer = client.post(path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert answer.json()["version"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"history": ["\xff\xfe"]}', 400),
        (b'{"history": ["\\ud800"]}', 400),
        (b'{"history": ' + b"[" * 9000 + b"]" * 9000 + b"}", 400),
        (b'{"user": ' + b'{"a":' * 3000 + b"1" + b"}" * 3001, 400),
        (b'{"history": [NaN]}', 422),
        (b'{"history": [1e999]}', 422),
        (b"null", 422),
        (b'{"k": ' + b"9" * 5000 + b', "history": []}', 400),
        (b'{"user": "' + b"x" * 20_000 + b'"}', 413),
    ],
    ids=[
        "empty",
        "cut",
        "not utf-8",
        "surrogate",
        "deep",
        "deep objects",
        "nan",
        "inf",
        "null",
        "digits",
        "large",
    ],
)
def test_wrong_texts_are_refused(client, content, status):
    answer = client.post("/v1/recommend", content=content)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


def test_a_call_with_one_wrong_event_records_none(client):
    good = {"event_id": "all-or-none", "user": "u050", "item": "i01"}
    bad = {"event_id": "bad", "user": "u050", "item": None}
    assert client.post("/v1/feedback", json={"events": [good, bad]}).status_code == 422
    assert post(client, "/v1/feedback", {"events": [good]})["duplicates"] == 0


# -- feedback that no update could use ---------------------------------------------------------------


@pytest.fixture
def feedback_client(tmp_path):
    """Return a function that posts one event to a server of a bundle and returns the error, or None."""

    def send(X, event, **options):
        save(tmp_path / "model.zip", ItemKNN(n_neighbors=20).fit(X), X, **options)
        app = create_app(tmp_path / "model.zip", feedback=str(tmp_path / "f.db"), keys=[])
        with TestClient(app) as client:
            events = [
                {"event_id": "good", "user": X.user_ids[0].item(), "item": X.item_ids[0].item()},
                {"event_id": "e", "user": X.user_ids[0].item(), "item": X.item_ids[0].item()},
            ]
            events[1].update(event)
            answer = client.post("/v1/feedback", json={"events": events})
        stored = FeedbackStore(str(tmp_path / "f.db"))
        n_stored = stored.last_seq()
        stored.close()
        assert n_stored == (2 if answer.status_code == 200 else 0)
        if answer.status_code == 200:
            return None
        assert answer.status_code == 422
        return answer.json()["error"]

    return send


def with_number_ids():
    return Interactions(
        sp.csr_array(small_data()), user_ids=np.arange(120), item_ids=np.arange(100, 140)
    )


@pytest.mark.parametrize(
    ("make", "event", "field", "message"),
    [
        (small_data, {"user": 7}, "user", "User ids of this model are texts, got a number."),
        (small_data, {"item": 7}, "item", "Item ids of this model are texts, got a number."),
        (with_number_ids, {"user": "7"}, "user", "User ids of this model are numbers, got a text."),
        (with_number_ids, {"item": "x"}, "item", "Item ids of this model are numbers, got a text."),
    ],
)
def test_feedback_ids_are_of_the_kind_of_the_log(feedback_client, make, event, field, message):
    error = feedback_client(make(), event, histories=True)
    assert error == {"code": "invalid", "message": message, "where": f"events.1.{field}"}


def test_new_ids_of_the_kind_of_the_log_are_recorded(feedback_client):
    assert feedback_client(small_data(), {"user": "new", "item": "also"}, histories=True) is None


def test_without_histories_users_are_of_any_kind(feedback_client):
    assert feedback_client(small_data(), {"user": 7}) is None


def test_without_histories_items_are_of_the_kind_of_the_catalogue(feedback_client):
    assert feedback_client(with_number_ids(), {"item": "7"})["where"] == "events.1.item"


@pytest.mark.parametrize("field", ["user", "item"])
def test_empty_feedback_ids_are_refused(feedback_client, field):
    error = feedback_client(small_data(), {field: ""}, histories=True)
    assert error["where"] == f"events.1.{field}"
    assert "text of 1 to 256 characters" in error["message"]


@pytest.mark.parametrize(
    ("latest", "ahead", "accepted"),
    [
        (1.7e9, 0.9, True),
        (1.7e9, 1.1, False),
        (None, 0.9, True),
        (None, 1.1, False),
        (1.7e12, 1.1, True),  # a log in milliseconds
        (5000, 1.1, True),  # a log of counts
    ],
)
@pytest.mark.parametrize("histories", [True, False])
def test_feedback_times_are_not_in_the_future(feedback_client, latest, ahead, accepted, histories):
    X = small_data()
    X.timestamps = None if latest is None else np.linspace(0, latest, X.nnz).astype(np.int64)
    error = feedback_client(X, {"time": time.time() + ahead * 86_400}, histories=histories)
    if accepted and (histories or ahead < 1):
        assert error is None
    else:
        assert error["where"] == "events.1.time"
        assert "unix seconds" in error["message"]


def test_a_time_as_text_is_refused_with_the_unit(client):
    event = {"event_id": "e", "user": "u001", "item": "i01", "time": "2024-05-01"}
    error = client.post("/v1/feedback", json={"events": [event]}).json()["error"]
    assert error["where"] == "events.0.time"
    assert "unix seconds" in error["message"]
    error = client.post("/v1/recommend", json={"history": ["i01"], "times": ["now"]}).json()
    assert "unix seconds" in error["error"]["message"]
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert "nix seconds" in schemas["FeedbackEvent"]["properties"]["time"]["description"]


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/recommend", {"history": ["i01"]}), ("/v1/similar", {"items": ["i01"]})],
)
def test_columns_without_an_item_table_are_refused_with_the_remedy(tmp_path, path, body):
    X = small_data()
    X.item_features = None
    save_bundle(tmp_path / "model.zip", X)
    with TestClient(create_app(tmp_path / "model.zip", keys=[])) as client:
        answer = client.post(path, json={**body, "columns": ["title"]})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["where"] == "columns"
    assert "without item features" in error["message"]
    assert "sklearn-llmrec fit --items" in error["message"]


def test_other_methods_and_paths(client):
    answer = client.get("/v1/recommend")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    for answer in (client.get("/nowhere"), client.delete("/v1/model")):
        assert answer.status_code in (404, 405)
        assert answer.json()["error"]["message"]


# -- keys --------------------------------------------------------------------------------------------

CALLS = [
    ("read", "POST", "/v1/recommend", {"history": []}),
    ("read", "POST", "/v1/similar", {"items": ["i01"]}),
    ("read", "POST", "/v1/explain", {"history": ["i01"], "item": "i02"}),
    ("read", "GET", "/v1/model", None),
    ("read", "GET", "/metrics", None),
    ("feedback", "POST", "/v1/feedback", {"events": [{"event_id": "k", "user": "a", "item": "b"}]}),
    ("reload", "POST", "/v1/reload", None),
]


def test_each_key_may_do_what_it_is_for(bundle, tmp_path):
    made = {right: new_key(right, [right]) for right in ("read", "feedback", "reload")}
    entries = [entry for _, entry in made.values()]
    app = create_app(bundle, feedback=str(tmp_path / "f.db"), keys=entries)
    with TestClient(app) as client:
        for right, method, path, body in CALLS:
            for name, (key, _) in made.items():
                headers = [{"Authorization": f"Bearer {key}"}, {"X-API-Key": key}]
                for header in headers:
                    answer = client.request(method, path, json=body, headers=header)
                    assert answer.status_code == (200 if name == right else 403), (path, name)
            for header in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Basic abc"}):
                answer = client.request(method, path, json=body, headers=header)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/health/live", "/health/ready"):
            assert client.get(path).status_code == 200


def test_pages_of_other_sites_are_refused_where_there_are_no_keys(client):
    for method, path, body in (call[1:] for call in CALLS):
        headers = {"Origin": "http://evil.example"}
        answer = client.request(method, path, json=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "other_site")
    answer = client.post(
        "/v1/recommend", json={"history": []}, headers={"Origin": "http://testserver"}
    )
    assert answer.status_code == 200


def test_refused_feedback_has_no_effect(bundle, tmp_path):
    key, entry = new_key("both", ["feedback"])
    with TestClient(create_app(bundle, feedback=str(tmp_path / "f.db"), keys=[entry])) as client:
        body = {"events": [{"event_id": "once", "user": "u001", "item": "i01"}]}
        assert client.post("/v1/feedback", json=body).status_code == 401
        answer = client.post("/v1/feedback", json=body, headers={"X-API-Key": key})
        assert answer.json()["duplicates"] == 0


# -- openapi -----------------------------------------------------------------------------------------


def test_openapi_describes_what_the_server_does(client):
    schema = client.get("/openapi.json").json()
    described = {(path, method) for path, item in schema["paths"].items() for method in item}
    assert {(path, method.lower()) for _, method, path, _ in CALLS} <= described
    text = json.dumps(schema)
    for reference in set(text.split('"$ref": "')[1:]):
        name = reference.split('"')[0].rpartition("/")[2]
        assert name in schema["components"]["schemas"]
    for path in ("recommend", "similar", "explain", "feedback"):
        operation = schema["paths"][f"/v1/{path}"]["post"]
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert schema["components"]["schemas"][name.rpartition("/")[2]]["examples"]


def test_examples_of_openapi_are_valid(client):
    schema = client.get("/openapi.json").json()
    for path in ("recommend", "similar", "explain", "feedback"):
        body = f"{path.capitalize()}Body"
        for example in schema["components"]["schemas"][body]["examples"]:
            status = client.post(f"/v1/{path}", json=example).status_code
            assert status in (200, 404, 422)  # its items are not in this catalogue
            if path in ("recommend", "feedback") and "columns" not in example:
                assert status == 200


def test_a_bundle_without_ids_is_refused(tmp_path):
    save(tmp_path / "model.zip", ItemKNN().fit(sp.csr_array(small_data())))
    with pytest.raises(ValueError, match="no item ids"):
        create_app(tmp_path / "model.zip", keys=[])
