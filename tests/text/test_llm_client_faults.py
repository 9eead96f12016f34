"""What servers, keys and functions do wrong: no list is lost, nothing secret is shown, and all of it is counted."""

import json
import logging
import subprocess
import sys
import textwrap
import time
import traceback
import warnings
from email.utils import formatdate

import numpy as np
import pytest
from _fake_server import FakeServer, chat, send
from numpy.testing import assert_array_equal

from sklearn_llmrec.dummy import PopularityRecommender
from sklearn_llmrec.text import LikelihoodReranker, LLMReranker, _llm_client
from sklearn_llmrec.text._http import chat_url, is_loopback, post
from sklearn_llmrec.text._llm_answers import UnreadableAnswer, read_ranking, read_reasons
from sklearn_llmrec.text._llm_client import ChatEndpoint, ChatFailed, retry_after
from sklearn_llmrec.text._prompts import rank_messages

# Item j is had by 6 - j users: popularity ranks the items in the order of their columns.
X = np.triu(np.ones((6, 6)))[:, ::-1]
ROWS = np.eye(6)
BACKWARDS = json.dumps({"ranking": [5, 4, 3, 2, 1]})


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def reranker(url="http://127.0.0.1:9/v1", **params):
    defaults = {"model": "m", "blend": 1.0, "backoff": 0.01, "timeout": 5.0, "max_retries": 0}
    return LLMReranker(PopularityRecommender(), base_url=url, **(defaults | params)).fit(X)


def base_lists(rows=ROWS):
    return PopularityRecommender().fit(X).recommend(rows, 5)[0]


def reranked(model, rows=ROWS):
    """Lists and warnings of a call, none of which may be an exception."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = model.rerank(rows, 5)
    return result, " ".join(str(warning.message) for warning in caught)


def asked_of(behave, *, budget=np.inf, **params):
    """What an endpoint answers or raises."""
    with FakeServer(behave) as server:
        defaults = {"model": "m", "api_key_env": "", "timeout": 5.0, "max_retries": 0}
        defaults |= {"base_url": server.url, "backoff": 0.01, "max_tokens": 9}
        endpoint = ChatEndpoint(**(defaults | params))
        deadline = time.monotonic() + budget
        return endpoint.ask(rank_messages(["a"], ["b"]), deadline, lambda name, n=1: None)


# -- failures are counted, and stand alone ----------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["ffo", "of", "ofof"])
def test_a_success_forgets_the_failures_before_it(pattern):
    """Never three failures in a row: the endpoint lives, however many there are in all."""
    n_rows = 24
    rows = np.array([[bits >> i & 1 for i in range(6)] for bits in range(1, 32)][:n_rows], float)
    good = [pattern[i % len(pattern)] == "o" for i in range(n_rows)]

    def behave(handler, number):
        if good[number - 1]:
            send(handler, chat(json.dumps({"ranking": [2, 1]})))
        else:
            send(handler, "", status=500)

    with FakeServer(behave) as server:
        model = reranker(server.url, n_candidates=2)
        result, _ = reranked(model, rows)
        assert len(server.requests) == n_rows
    base = base_lists(rows)
    expected = np.where(np.array(good)[:, None], base[:, [1, 0, 2, 3, 4]], base)
    # A row that has seen four items or more has fewer than two candidates left, or fewer than five items.
    assert_array_equal(result.items, np.where(base < 0, -1, expected))
    assert result.counts["answered"] == sum(good)
    assert result.counts["failed"] == n_rows - sum(good)


def test_three_failures_in_a_row_are_a_dead_endpoint():
    with FakeServer(lambda handler, number: send(handler, "", status=500)) as server:
        result, warning = reranked(reranker(server.url))
        assert len(server.requests) == 3
    assert_array_equal(result.items, base_lists())
    assert result.counts["failed"] == 6
    assert "6 of 6 rows (6 failed)" in warning


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 501, 502, 503, 504, 520, 529, 599])
def test_statuses_that_may_pass_are_asked_again(status):
    def behave(handler, number):
        send(handler, chat("yes"), status=status if number < 3 else 200)

    assert asked_of(behave, max_retries=2) == "yes"
    with pytest.raises(ChatFailed, match=f"HTTP status {status}"):
        asked_of(behave, max_retries=1)


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 418, 422])
def test_statuses_that_will_not_pass_are_not_asked_again(status):
    numbers = []

    def behave(handler, number):
        numbers.append(number)
        send(handler, "", status=status, headers=[("Location", "http://127.0.0.1:9/")])

    with pytest.raises(ChatFailed, match=f"HTTP status {status}") as failed:
        asked_of(behave, max_retries=3)
    assert numbers == [1]
    assert failed.value.fatal == (status in (401, 403, 404))


def test_retry_after_is_read_as_seconds_or_as_a_date_and_capped(monkeypatch):
    now = 1_700_000_000.25
    monkeypatch.setattr(_llm_client.time, "time", lambda: now)
    for text, seconds in {
        "7": 7.0,
        " 2.5 ": 2.5,
        "0": 0.0,
        "99999999999": 30.0,
        "9" * 400: 30.0,
        formatdate(now + 12, usegmt=True): 11.75,
        formatdate(now + 10**6, usegmt=True): 30.0,
        formatdate(now - 50, usegmt=True): 0.0,
        "Fri, 31 Dec 9999 23:59:59 GMT": 30.0,
        "\xb2": 0.0,
        "-5": 0.0,
        "soon": 0.0,
        "inf": 0.0,
        "nan": 0.0,
        "1e5": 0.0,
        "": 0.0,
    }.items():
        assert retry_after(text) == pytest.approx(seconds), text
    assert retry_after(None) == 0.0


def test_the_wait_that_a_server_asks_for_is_kept(monkeypatch):
    slept = []
    monkeypatch.setattr(_llm_client.time, "sleep", slept.append)

    def behave(handler, number):
        send(handler, chat("yes"), 429 if number == 1 else 200, [("Retry-After", "99999999999")])

    assert asked_of(behave, max_retries=1) == "yes"
    assert slept == [30.0]
    # A wait beyond the budget is not begun.
    with pytest.raises(ChatFailed, match="HTTP status 429"):
        asked_of(behave, max_retries=1, budget=5.0)
    assert slept == [30.0]


@pytest.mark.parametrize("part", ["status", "header", "body", "continue"])
def test_the_deadline_holds_while_bytes_drip(part):
    """Every byte comes in time, the answer does not."""

    def drip(handler, number):
        def write(text):
            handler.wfile.write(text.encode())
            handler.wfile.flush()

        write({"status": "HTTP/1.", "continue": ""}.get(part, "HTTP/1.1 200 OK\r\nX: "))
        if part == "body":
            write("\r\n\r\n")
        for _ in range(100):
            write("HTTP/1.1 100 Continue\r\n\r\n" if part == "continue" else "1")
            time.sleep(0.03)

    start = time.monotonic()
    with pytest.raises(ChatFailed, match="TimeoutError"):
        asked_of(drip, timeout=0.4)
    assert time.monotonic() - start < 1.5
    start = time.monotonic()
    with pytest.raises(ChatFailed) as failed:
        asked_of(drip, timeout=60.0, budget=0.4)
    assert failed.value.kind == "out_of_budget"
    assert time.monotonic() - start < 1.5


@pytest.mark.parametrize(
    "work", ["model=lambda messages: time.sleep(20)", "model='m', base_url=url, timeout=20"]
)
def test_nothing_keeps_the_process_alive_after_its_budget(work):
    code = textwrap.dedent(f"""
        import socket, time, warnings
        import numpy as np
        from sklearn_llmrec.dummy import PopularityRecommender
        from sklearn_llmrec.text import LLMReranker
        silent = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{{silent.getsockname()[1]}}/v1"
        X = np.array([[1, 1, 1, 0], [1, 1, 0, 0.0]])
        model = LLMReranker(PopularityRecommender(), {work}, budget=0.3, n_jobs=2).fit(X)
        warnings.simplefilter("ignore")
        start = time.monotonic()
        result = model.rerank(X, k=1)
        assert result.counts["out_of_budget"] == 1, result.counts
        print(time.monotonic() - start, time.time(), flush=True)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    ended = time.time()
    seconds, returned = map(float, done.stdout.split())
    assert seconds < 3
    assert ended - returned < 8


class Odd:
    def __str__(self):
        raise RuntimeError("sk-FUNCTION-KEY")


def odd(messages):
    return Odd()


def broken(messages):
    raise RuntimeError("the key sk-FUNCTION-KEY or hunter2 is wrong")


def silent(messages):
    return None


FAULTS = {
    "garbage": lambda handler, number: handler.wfile.write(b"\x00\xff\r\n\r\n"),
    "closed": lambda handler, number: handler.connection.close(),
    "no length": lambda handler, number: handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n{"),
    "bad length": lambda handler, number: handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"
    ),
    "bad chunks": lambda handler, number: handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n"
    ),
    "long header": lambda handler, number: send(handler, "", headers=[("X", "y" * 100_000)]),
    "many headers": lambda handler, number: send(handler, "", headers=[("X", "y")] * 300),
    "too long": lambda handler, number: send(handler, chat("x" * 2**21)),
    "html": lambda handler, number: send(handler, "<html>"),
    "a list": lambda handler, number: send(handler, "[]"),
    "no choices": lambda handler, number: send(handler, '{"choices": []}'),
    "deep": lambda handler, number: send(handler, "[" * 200_000),
    "not text": lambda handler, number: send(handler, b'{"choices": "\xff\xfe"}'),
    "numbers for text": lambda handler, number: send(handler, chat([1, {"type": "image"}])),
    "usage of a liar": lambda handler, number: send(handler, chat("no", usage=[3])),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_every_fault_of_a_server_keeps_the_base_order_and_is_counted(fault):
    with FakeServer(FAULTS[fault]) as server:
        model = reranker(server.url)
        result, warning = reranked(model)
    assert_array_equal(result.items, base_lists())
    assert result.counts["base_order"] == result.counts["rows"] == 6
    assert result.counts["failed"] + result.counts["unreadable"] == 6
    assert sum(model.report_.fallen_back.values()) == model.report_.lists == 6
    assert "6 of 6 rows" in warning


@pytest.mark.parametrize("function", [odd, broken, silent])
def test_every_fault_of_a_function_keeps_the_base_order_and_is_counted(function):
    result, warning = reranked(reranker(model=function))
    assert_array_equal(result.items, base_lists())
    assert result.counts["base_order"] == 6
    assert "KEY" not in warning


@pytest.mark.parametrize("found", [3.0, "no", None, [["a"], ["b"]], {}, object()])
def test_a_function_that_returns_no_likelihoods_keeps_the_base_order(found):
    model = LikelihoodReranker(PopularityRecommender(), model=lambda prompt, texts: found).fit(X)
    result, _ = reranked(model)
    assert_array_equal(result.items, base_lists())
    assert result.counts["base_order"] == 6


# -- nothing secret is shown --------------------------------------------------------------------------------

KEYS = {
    "plain": "sk-SECRET1",
    "file with a line break": "sk-SECRET1\n",
    "windows file": "sk-SECRET1\r\n",
    "typographic quotes": "\u201csk-SECRET1\u201d",
    "two lines": "sk-SECRET1\nsk-SECRET2",
    "header injection": "sk-SECRET1\r\nX-Evil: 1",
    "space": "sk SECRET1",
    "null": "sk-\x01SECRET1",
    "unicode": "\u0441k-SECRET1\u20ac",
    "huge": "sk-SECRET1" + "x" * 100_000,
}


def shouting(handler, number):
    """A server that repeats what it was sent wherever it can."""
    secret = handler.headers.get("Authorization", "none").replace("\r", "").replace("\n", "")
    handler.wfile.write(f"HTTP/1.1 418 bad key {secret}\r\nX-Key: {secret}\r\n".encode())
    handler.wfile.write(f"Retry-After: {secret}\r\nContent-Length: 3\r\n\r\nsk-".encode())
    handler.close_connection = True


@pytest.mark.parametrize("behave", [shouting, FAULTS["garbage"], FAULTS["bad length"]])
@pytest.mark.parametrize("key", list(KEYS))
def test_no_key_is_shown_whatever_the_key(key, behave, monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", KEYS[key])
    caplog.set_level(logging.DEBUG)
    with FakeServer(behave) as server:
        model = reranker(server.url)
        result, warning = reranked(model)
        sent = [headers.get("Authorization") for _, headers, _ in server.requests]
    assert_array_equal(result.items, base_lists())
    assert result.counts["base_order"] == 6
    assert "SECRET" not in warning + caplog.text + repr(result) + repr(model) + repr(model.report_)
    if key in ("plain", "file with a line break", "windows file"):
        assert set(sent) == {"Bearer sk-SECRET1"}
    elif key != "huge":
        assert sent == []
        assert "characters that no request can carry" in warning


def test_a_wrong_variable_name_that_is_the_key_is_not_repeated(monkeypatch, caplog):
    monkeypatch.setenv("sk-SECRET1", "\u2026")
    caplog.set_level(logging.DEBUG)
    _, warning = reranked(reranker(api_key_env="sk-SECRET1"))
    assert "SECRET" not in warning + caplog.text


@pytest.mark.parametrize("behave", [shouting, FAULTS["garbage"], FAULTS["closed"]])
def test_no_chain_of_an_exception_leads_to_the_key(behave, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-SECRET1")
    with pytest.raises(ChatFailed) as failed:
        asked_of(behave, api_key_env="OPENAI_API_KEY")
    assert failed.value.__cause__ is None
    assert failed.value.__context__ is None
    assert "SECRET" not in "".join(traceback.format_exception(failed.value))


BAD_URLS = [
    "http://user:SECRET@host/v1",
    "http://SECRET@host/v1",
    "http://host:SECRET/v1",
    "SECRET",
    "ftp://host/SECRET",
    "http://",
    "http://host/v1 SECRET",
    "http://host/\nSECRET",
    "http://h\u00f6st/SECRET",
    "http://[SECRET/v1",
    "http://" + "x" * 70 + ".de/SECRET",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_address_is_refused_at_fit_and_not_repeated(url):
    with pytest.raises(ValueError, match="base_url must") as refused:
        reranker(url)
    assert (
        "SECRET" not in "".join(traceback.format_exception(refused.value)).split("base_url must")[1]
    )
    # Set after the fit it is a failure like any other.
    result, warning = reranked(reranker().set_params(base_url=url))
    assert result.counts["failed"] == 6
    assert "base_url must" in warning
    assert "SECRET" not in warning


def test_a_query_of_the_address_is_kept():
    assert chat_url("https://h/v1/") == "https://h/v1/chat/completions"
    assert chat_url("http://h:1/a?api-version=2") == "http://h:1/a/chat/completions?api-version=2"


def test_the_text_of_a_function_s_exception_is_logged_at_debug_level_only(monkeypatch, caplog):
    monkeypatch.setenv("MY_PASSWORD", "hunter2")
    model = reranker(model=broken)
    caplog.set_level(logging.INFO)
    _, warning = reranked(model)
    assert not caplog.records
    assert "Last failure: RuntimeError." in warning
    caplog.set_level(logging.DEBUG)
    reranked(model)
    assert "the key sk-*** or *** is wrong" in caplog.text
    assert "hunter2" not in caplog.text
    with pytest.raises(ChatFailed) as failed:
        _llm_client.asked(broken, [])
    assert failed.value.__context__ is None


# -- addresses --------------------------------------------------------------------------------


def test_loopback_goes_past_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9/")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with FakeServer(lambda handler, number: send(handler, chat(BACKWARDS))) as server:
        result, _ = reranked(reranker(server.url))
        assert result.counts["answered"] == 6
        # Others do not.
        monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
        reply = post("http://elsewhere.invalid/v1", b"{}", "k", time.monotonic() + 5)
        assert reply.status == 200
        assert server.requests[-1][0] == "http://elsewhere.invalid/v1"
    for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "a.localhost"):
        assert is_loopback(host)
    for host in ("10.0.0.1", "example.org", "localhost.org", "128.0.0.1", "::2", ""):
        assert not is_loopback(host)


# -- answers --------------------------------------------------------------------------------

READ = {
    "plain": '{"ranking": [3, 1, 2]}',
    "prose": 'Sure! Here it is: {"ranking": [3, 1, 2]}. Enjoy {them}!',
    "fence": '```json\n{"ranking": [3, 1, 2]}\n```',
    "fence in capitals": 'Here:\n```JSON\n{"ranking": [3, 1, 2]}\n```\nDone.',
    "fence of another language": '~~~Json5\n{"ranking": [3, 1, 2]}\n~~~',
    "fence on one line": '```{"ranking": [3, 1, 2]}```',
    "texts": '{"ranking": ["3", " 1 ", "#2"]}',
    "numbers with points": '{"ranking": ["3.", 1.0, 2]}',
    "thought": '<think>{"ranking": [1, 2, 3]}</think>{"ranking": [3, 1, 2]}',
    "thought in capitals": '<THINKING>hm {</THINKING> {"ranking": [3, 1, 2]}',
    "thought without its beginning": 'first {"ranking": [1]} or </think> {"ranking": [3, 1, 2]}',
    "draft": '{"ranking": [1, 2, 3]} no, better: {"ranking": [3, 1, 2]}',
    "other objects": '{"note": "{"} {"ranking": [3, 1, 2]} {"confidence": 1}',
    "more in it": '{"why": {"ranking": "x"}, "ranking": [3, 1, 2], "sure": true}',
    "byte order mark": '\ufeff{"ranking": [3, 1, 2]}',
}


@pytest.mark.parametrize("how", list(READ))
def test_answers_are_read_however_they_are_wrapped(how):
    order, counts = read_ranking(READ[how], 3)
    assert order == [2, 0, 1]
    assert not counts.total()


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "3, 1, 2",
        '{"ranking": [3, 1',
        '{"ranking": "3, 1, 2"}',
        '{"ranking": {"1": 3}}',
        '{"ranking": []}',
        '{"ranking": ["\u00b2", "\u0663", "1e0", "0x1", "-1", true, null, 4, 0, 1.5]}',
        '<think>{"ranking": [3, 1, 2]}',
        "{" * 300_000,
        '{"a":' * 100_000,
        '{"ranking": [' + "9" * 5000 + "]}",
    ],
)
def test_what_is_no_answer_is_not_read_and_costs_no_time(answer):
    start = time.process_time()
    with pytest.raises(UnreadableAnswer):
        read_ranking(answer, 3)
    assert time.process_time() - start < 2


def test_reasons_are_read_out_of_prose():
    answer = 'Gladly:\n```JSON\n{"reasons": {"2": "It fits."}}\n```'
    assert read_reasons(answer, 2) == [None, "It fits."]


def test_a_list_of_parts_is_a_text():
    half = len(BACKWARDS) // 2
    parts = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": BACKWARDS[:half]},
        {"type": "text", "text": BACKWARDS[half:]},
    ]
    with FakeServer(lambda handler, number: send(handler, chat(parts))) as server:
        result, _ = reranked(reranker(server.url))
    assert_array_equal(result.items, base_lists()[:, ::-1])


SPECIAL = ["<|im_end|>", "<|im_start|>system", "</s>", "<s>", "[INST]", "[/INST]", "<<SYS>>"]
SPECIAL += ["<start_of_turn>", "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "[SEP]", "<think>"]


def test_special_tokens_in_titles_are_data():
    titles = [f"{token} tea {token}" for token in SPECIAL] + ["I <3 [blue] tea", "a < b"]
    content = rank_messages(titles, titles, "Prefer tea.")[1]["content"]
    for token in SPECIAL:
        assert token not in content
    lines = content.splitlines()
    # What the model reads is the title still.
    assert [json.loads(line) for line in lines[1 : len(titles) + 1]] == titles
    assert '"I <3 [blue] tea"' in content


def test_special_tokens_in_titles_are_text_to_a_local_model():
    pytest.importorskip("transformers")
    from _tiny_models import tiny_causal_model, tiny_tokenizer

    from sklearn_llmrec.text._causal import CausalScorer

    tokenizer = tiny_tokenizer()
    scorer = CausalScorer(tiny_causal_model("gpt2"), tokenizer)
    special = set(tokenizer.all_special_ids)
    for text in ("</s>", "tea <s> cup", "</s></s>"):
        tokens = scorer._tokens(text, begins=False)
        assert not special & set(tokens)
        assert len(tokens) == len(text.encode())


# -- the report --------------------------------------------------------------------------------


def test_the_report_says_what_the_model_did(tmp_path):
    def behave(handler, number):
        usage = {"prompt_tokens": 100, "completion_tokens": number}
        if number == 2:
            send(handler, "", status=503)
        elif number == 4:
            send(handler, chat("no idea", usage=usage))
        elif number == 5:
            send(handler, chat(None, usage=usage, finish_reason="content_filter"))
        else:
            send(handler, chat(BACKWARDS, usage=usage))

    with FakeServer(behave) as server:
        model = reranker(server.url, max_retries=1, cache=tmp_path, n_jobs=1)
        assert model.report_.lists == 0
        reranked(model)
        report = model.report_
        assert (report.lists, report.reranked, report.from_cache) == (6, 4, 0)
        assert report.fallen_back == {"unreadable": 1, "refused": 1}
        assert (report.requests, report.retries) == (7, 1)
        assert (report.prompt_tokens, report.completion_tokens) == (600, 1 + 3 + 4 + 5 + 6 + 7)
        assert 0 < report.seconds < 10
        # The second call finds what was answered, and asks again about the rest.
        reranked(model)
        report = model.report_
        assert (report.lists, report.reranked, report.from_cache) == (12, 10, 4)
        assert report.requests == 9
        # Equal rows are asked about once, and each is a list.
        reranked(model, np.vstack([ROWS[0]] * 3))
        assert (model.report_.lists, model.report_.from_cache) == (15, 7)
        # Rows without a history are none.
        reranked(model, np.zeros((2, 6)))
        assert model.report_.lists == 15
        model.fit(X)
        assert model.report_.lists == 0


def test_calls_change_no_estimator_and_no_other_s_report():
    model = reranker(model=lambda messages: BACKWARDS)
    other = reranker(model=lambda messages: BACKWARDS)
    before = dict(vars(model))
    reranked(model)
    assert vars(model) == before
    assert model.report_.reranked == 6
    assert other.report_.lists == 0


def test_without_a_model_the_report_says_so():
    model = reranker(model=None)
    reranked(model)
    assert model.report_.fallen_back == {"no_model": 6}


def test_a_likelihood_reranker_reports_too():
    pytest.importorskip("transformers")
    from _tiny_models import tiny_causal_model, tiny_tokenizer

    pair = {"model": tiny_causal_model("gpt2"), "tokenizer": tiny_tokenizer()}
    model = LikelihoodReranker(PopularityRecommender(), **pair).fit(X)
    reranked(model)
    assert (model.report_.lists, model.report_.reranked, model.report_.requests) == (6, 6, 6)
    # Tokens are bytes: every question has the five candidates and the prompt.
    assert model.report_.prompt_tokens > 6 * len("item 0\n" * 5)
    assert model.report_.seconds > 0
