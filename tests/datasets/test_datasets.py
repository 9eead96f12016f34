"""The loaders: what ships, what is generated, and what is fetched (from a server on this machine)."""

import csv
import hashlib
import http.server
import io
import os
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from sklearn_llmrec import Interactions
from sklearn_llmrec.datasets import (
    _download,
    _movielens,
    clear_data_home,
    fetch_movielens,
    get_data_home,
    load_online_retail,
    make_interactions,
)

# -- Online Retail ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def retail():
    return load_online_retail(as_frame=True)


def test_online_retail_has_the_published_size(retail):
    assert len(retail.frame) == 397_884
    assert retail.frame["invoice"].nunique() == 18_532
    assert retail.interactions.shape == (4338, 3665)
    assert retail.interactions.sum() == 397_884  # "count" counts every line once
    assert retail.frame["quantity"].min() > 0
    assert retail.frame["unit_price"].min() > 0
    assert retail.frame["time"].is_monotonic_increasing
    assert "CC BY 4.0" in retail.DESCR
    assert "CC BY 4.0" in load_online_retail.__doc__


@pytest.mark.parametrize("repeats", ["count", "sum", "keep"])
def test_online_retail_equals_from_frame(retail, repeats):
    X = load_online_retail(repeats=repeats).interactions
    Y = Interactions.from_frame(
        retail.frame,
        user="customer",
        item="stock_code",
        value="quantity",
        timestamp="time",
        repeats=repeats,
    )
    np.testing.assert_array_equal(X.data, Y.data)
    np.testing.assert_array_equal(X.indices, Y.indices)
    np.testing.assert_array_equal(X.indptr, Y.indptr)
    np.testing.assert_array_equal(X.timestamps, Y.timestamps)
    np.testing.assert_array_equal(X.user_ids, Y.user_ids)
    np.testing.assert_array_equal(X.item_ids, Y.item_ids)
    np.testing.assert_array_equal(X.event_order(), Y.event_order())


def test_online_retail_tables_fit_the_matrix(retail):
    plain = load_online_retail()
    assert plain.frame is None
    for name, ids in (("items", "stock_code"), ("users", "customer")):
        for column in plain[name].dtype.names:
            np.testing.assert_array_equal(plain[name][column], retail[name][column].to_numpy())
        known = plain.interactions.item_ids if name == "items" else plain.interactions.user_ids
        np.testing.assert_array_equal(plain[name][ids], known)
    prices = retail.frame.groupby("stock_code")["unit_price"].median()
    np.testing.assert_allclose(retail["items"]["unit_price"], prices, atol=1e-3)
    countries = retail.frame.groupby("customer")["country"].last()
    np.testing.assert_array_equal(retail.users["country"], countries)
    text = plain["items"]["description"]
    assert not any("  " in words or words != words.strip() or not words for words in text)
    assert set(plain["items"]["stock_code"][~plain["items"]["is_product"]]) == {
        *("BANK CHARGES", "C2", "DOT", "M", "POST")
    }


def test_online_retail_revenue(retail):
    X = load_online_retail(repeats="sum", value="revenue").interactions
    paid = (retail.frame["quantity"] * retail.frame["unit_price"]).groupby(retail.frame["customer"])
    np.testing.assert_allclose(X.sum(axis=1), paid.sum())


def test_online_retail_needs_no_more_than_two_megabytes():
    path = Path(_movielens.__file__).parent / "data" / "online_retail.npz"
    assert path.stat().st_size <= 2_000_000


def test_online_retail_is_what_its_source_holds(retail):
    source = Path(__file__).parents[3] / "shared/data/online-retail/online_retail.parquet"
    if not source.exists():
        pytest.skip("the source of the data set is not here")
    raw = pd.read_parquet(source)
    raw = raw[raw["CustomerID"].notna() & (raw["Quantity"] > 0) & (raw["UnitPrice"] > 0)]
    for theirs, ours in {
        "InvoiceNo": "invoice",
        "StockCode": "stock_code",
        "Quantity": "quantity",
        "InvoiceDate": "time",
        "UnitPrice": "unit_price",
        "CustomerID": "customer",
        "Country": "country",
    }.items():
        np.testing.assert_array_equal(
            raw[theirs].astype(str).to_numpy(), retail.frame[ours].astype(str).to_numpy()
        )


def test_loaders_refuse_unknown_options():
    with pytest.raises(ValueError, match="'repeats' parameter of load_online_retail must be a str"):
        load_online_retail(repeats="mean")
    with pytest.raises(ValueError, match="'name' parameter of fetch_movielens must be a str"):
        fetch_movielens("10m")
    with pytest.raises(ValueError, match="'n_users' parameter of make_interactions must be an int"):
        make_interactions(0)


# -- generated ----------------------------------------------------------------------------------------


def test_make_interactions_shapes_and_ids():
    data = make_interactions(200, 120, n_topics=5, n_cold_items=10, random_state=0)
    X = data.interactions
    assert X.shape == (200, 120)
    assert X.has_canonical_format
    assert set(X.data) == {1.0}
    assert np.diff(X.indptr).min() >= 1
    assert X.indices.max() < 110
    assert X.nnz == pytest.approx(2400, rel=0.1)
    assert X.item_features is data["items"]
    np.testing.assert_allclose(data.user_topics.sum(axis=1), 1)
    topics = data["items"]["topic"]
    np.testing.assert_allclose(np.bincount(topics[:110], data.item_weights[:110]), 1)
    assert all(0 <= topic < 5 for topic in topics[110:])
    # No two events of a user share a time.
    for row in range(5):
        times = X[[row]].timestamps
        assert len(np.unique(times)) == len(times)


def test_make_interactions_is_reproducible():
    first, second = (make_interactions(50, 40, random_state=3, ratings=True) for _ in range(2))
    other = make_interactions(50, 40, random_state=4, ratings=True)
    np.testing.assert_array_equal(first.interactions.data, second.interactions.data)
    np.testing.assert_array_equal(first.interactions.indices, second.interactions.indices)
    np.testing.assert_array_equal(first.interactions.timestamps, second.interactions.timestamps)
    np.testing.assert_array_equal(first["items"], second["items"])
    assert not np.array_equal(first.interactions.indices, other.interactions.indices)


def test_make_interactions_chunks_are_seamless(monkeypatch):
    from sklearn_llmrec.datasets import _synthetic

    monkeypatch.setattr(_synthetic, "_EVENTS_PER_CHUNK", 100)
    data = make_interactions(120, 60, random_state=0)
    X = data.interactions
    assert X.shape == (120, 60)
    assert X.has_canonical_format
    assert X.nnz == pytest.approx(720, rel=0.1)


def test_make_interactions_frame_and_ratings():
    data = make_interactions(50, 40, ratings=True, as_frame=True, random_state=0)
    assert list(data.frame.columns) == ["user", "item", "value", "time"]
    again = Interactions.from_frame(
        data.frame, user="user", item="item", value="value", timestamp="time", items=np.arange(40)
    )
    np.testing.assert_array_equal(again.toarray(), data.interactions.toarray())
    np.testing.assert_array_equal(again.timestamps, data.interactions.timestamps)
    assert set(np.unique(data.interactions.data)) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert list(data["items"].columns) == ["item", "text", "topic"]


def test_generated_tastes_can_be_learned():
    X = make_interactions(600, 300, random_state=0).interactions
    hidden = np.random.default_rng(0).random(X.nnz) < 0.2
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    visible, wanted = (
        sp.csr_array((X.data[m], (rows[m], X.indices[m])), shape=X.shape).toarray()
        for m in (~hidden, hidden)
    )

    def found(scores):
        top = np.argsort(np.where(visible > 0, np.inf, -scores), axis=1)[:, :10]
        return np.take_along_axis(wanted, top, axis=1).sum()

    popularity = visible.sum(axis=0)
    norms = np.sqrt(popularity) + 1e-9
    similar = visible.T @ visible / np.outer(norms, norms)
    np.fill_diagonal(similar, 0)
    assert found(visible @ similar) > 2 * found(np.broadcast_to(popularity, visible.shape))


def test_generated_order_can_be_learned():
    def explained(order):
        """Share of all steps that go to the item's most frequent successor."""
        X = make_interactions(600, 100, order=order, random_state=0).interactions
        rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        items, same = X.indices[X.event_order()], rows[1:] == rows[:-1]
        follows = np.zeros((100, 100))
        np.add.at(follows, (items[:-1][same], items[1:][same]), 1)
        return follows.max(axis=1).sum() / follows.sum()

    assert explained(0.5) > 2 * explained(0.0)


def test_texts_tell_the_topic_of_cold_items():
    data = make_interactions(50, 300, n_cold_items=30, random_state=0)
    # The first word of a text is one that any item may have.
    words = [set(text.split()[1:]) for text in data["items"]["text"]]
    topics = data["items"]["topic"]
    for cold in range(270, 300):
        shared = [len(words[cold] & words[warm]) for warm in range(270)]
        assert set(topics[:270][np.array(shared) > 0]) == {topics[cold]}


def test_order_and_skew_can_be_turned_off():
    flat = make_interactions(400, 100, order=0.0, popularity_exponent=0.0, random_state=0)
    skewed = make_interactions(400, 100, order=0.0, popularity_exponent=1.5, random_state=0)
    most = [np.bincount(d.interactions.indices).max() for d in (flat, skewed)]
    assert most[1] > 1.5 * most[0]


def test_more_topics_than_items_are_refused():
    with pytest.raises(ValueError, match="10 items, 4 of them cold, can't fill 8 topics"):
        make_interactions(5, 10, n_cold_items=4)


@pytest.mark.slow
def test_make_interactions_at_size():
    data = make_interactions(100_000, 50_000, n_interactions=2_000_000, random_state=0)
    assert data.interactions.nnz == pytest.approx(2_000_000, rel=0.02)


# -- fetched ------------------------------------------------------------------------------------------


def _small_archive(folder="ml-latest-small", n_ratings=300, filler=300_000):
    """A zip of the layout of ml-latest-small, of invented ratings; the filler makes it several blocks long."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation(30 * 20)[:n_ratings]
    ratings, movies = io.StringIO(), io.StringIO()
    ratings.write("userId,movieId,rating,timestamp\n")
    for n, pair in enumerate(pairs):
        ratings.write(f"{pair // 20 + 1},{10 * (pair % 20) + 3},{0.5 * (n % 10 + 1)},{10**9 + n}\n")
    writer = csv.writer(movies)
    writer.writerow(["movieId", "title", "genres"])
    writer.writerows([10 * i + 3, f'Film, "the {i}th" (1999)', "Comedy|Drama"] for i in range(25))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{folder}/ratings.csv", ratings.getvalue())
        archive.writestr(f"{folder}/movies.csv", movies.getvalue())
        archive.writestr(f"{folder}/filler", rng.bytes(filler))
    return out.getvalue()


class _Publisher:
    """A server of one archive and its checksum, with the faults a network has."""

    def __init__(self, body, name="ml-latest-small.zip"):
        self.files = {name: body, f"{name}.md5": self.checksum(name, body)}
        self.cut_after = None  # bytes of an archive after which the connection ends
        self.ranges = True
        self.requests = []
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.answer(self)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @staticmethod
    def checksum(name, body):
        return f"MD5 ({name}) = {hashlib.md5(body).hexdigest()}\n".encode()

    def answer(self, request):
        name = request.path[1:]
        wanted = request.headers.get("Range")
        self.requests.append((name, wanted))
        body = self.files.get(name)
        if body is None:
            request.send_error(404)
            return
        start = int(wanted[len("bytes=") : -1]) if wanted and self.ranges else 0
        if start >= len(body):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(body)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        end = None
        if self.cut_after is not None and name.endswith(".zip"):
            end = start + self.cut_after
        request.wfile.write(body[start:end])

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def publisher(monkeypatch):
    served = _Publisher(_small_archive())
    monkeypatch.setattr(_movielens, "_PUBLISHER", served.url)
    monkeypatch.setattr(_download.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield served
    served.close()


def test_download_verifies_and_is_read_again_without_the_network(publisher, tmp_path, capsys):
    data = fetch_movielens(data_home=tmp_path)
    assert data.interactions.shape == (30, 20)
    assert data.interactions.nnz == 300
    assert [path.name for path in tmp_path.iterdir()] == ["ml-latest-small.zip"]
    assert "ml-latest-small.zip: 0.3 of 0.3 MB (100%)" in capsys.readouterr().err
    asked = len(publisher.requests)
    again = fetch_movielens(data_home=tmp_path, verbose=False)
    assert len(publisher.requests) == asked
    np.testing.assert_array_equal(again.interactions.data, data.interactions.data)


def test_download_is_silent_when_asked(publisher, tmp_path, capsys):
    fetch_movielens(data_home=tmp_path, verbose=False)
    assert capsys.readouterr().err == ""


def test_broken_transfer_is_resumed_in_one_call(publisher, tmp_path):
    publisher.cut_after = 100_000
    fetch_movielens(data_home=tmp_path, verbose=False)
    ranges = [wanted for name, wanted in publisher.requests if name.endswith(".zip")]
    assert ranges == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]


def test_broken_transfer_is_resumed_by_the_next_call(publisher, tmp_path):
    publisher.cut_after = 10_000
    with pytest.raises(OSError, match=r"ended after .* bytes.*resumes there") as caught:
        fetch_movielens(data_home=tmp_path, verbose=False)
    part = tmp_path / "ml-latest-small.zip.part"
    assert str(part) in str(caught.value)
    assert part.stat().st_size == 40_000  # four tries
    publisher.cut_after, publisher.requests = None, []
    assert fetch_movielens(data_home=tmp_path, verbose=False).interactions.nnz == 300
    assert publisher.requests[-1] == ("ml-latest-small.zip", "bytes=40000-")
    assert not part.exists()


def test_a_server_without_ranges_sends_the_whole_file_again(publisher, tmp_path):
    (tmp_path / "ml-latest-small.zip.part").write_bytes(b"x" * 5000)
    publisher.ranges = False
    assert fetch_movielens(data_home=tmp_path, verbose=False).interactions.nnz == 300


@pytest.mark.parametrize("extra", [0, 10])
def test_a_part_that_needs_nothing_more(publisher, tmp_path, extra):
    body = publisher.files["ml-latest-small.zip"]
    (tmp_path / "ml-latest-small.zip.part").write_bytes(body + b"x" * extra)
    assert fetch_movielens(data_home=tmp_path, verbose=False).interactions.nnz == 300


def test_checksum_mismatch_is_refused(publisher, tmp_path):
    publisher.files["ml-latest-small.zip.md5"] = publisher.checksum("ml-latest-small.zip", b"other")
    with pytest.raises(OSError, match="does not match its publisher's checksum: md5 "):
        fetch_movielens(data_home=tmp_path, verbose=False)
    assert list(tmp_path.iterdir()) == []


def test_wrong_beginning_of_a_part_is_refused_and_mended_by_the_next_call(publisher, tmp_path):
    (tmp_path / "ml-latest-small.zip.part").write_bytes(b"x" * 5000)
    with pytest.raises(OSError, match="The file was removed; try again"):
        fetch_movielens(data_home=tmp_path, verbose=False)
    assert fetch_movielens(data_home=tmp_path, verbose=False).interactions.nnz == 300


def test_checksum_file_of_the_other_notation(publisher, tmp_path):
    digest = hashlib.md5(publisher.files["ml-latest-small.zip"]).hexdigest()
    publisher.files["ml-latest-small.zip.md5"] = f"{digest}  ml-latest-small.zip\n".encode()
    assert fetch_movielens(data_home=tmp_path, verbose=False).interactions.nnz == 300


def test_no_checksum_no_data(publisher, tmp_path):
    publisher.files["ml-latest-small.zip.md5"] = b"<html>gone</html>"
    with pytest.raises(OSError, match="no md5 checksum in"):
        fetch_movielens(data_home=tmp_path, verbose=False)
    del publisher.files["ml-latest-small.zip.md5"]
    with pytest.raises(OSError, match=r"md5 could not be downloaded: 404"):
        fetch_movielens(data_home=tmp_path, verbose=False)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_error_says_what_to_do(publisher, tmp_path, monkeypatch):
    monkeypatch.setattr(_movielens, "_PUBLISHER", "http://127.0.0.1:9/")
    with pytest.raises(OSError, match=r"could not be downloaded.*Without a network, put the file"):
        fetch_movielens(data_home=tmp_path, verbose=False)
    with pytest.raises(OSError, match=r"MovieLens latest-small is not in .*looked for ratings.csv"):
        fetch_movielens(data_home=tmp_path / "none", download_if_missing=False)
    assert not (tmp_path / "none").exists()


def test_folders_are_read_as_they_are(tmp_path):
    with zipfile.ZipFile(io.BytesIO(_small_archive())) as archive:
        archive.extractall(tmp_path)
    inside = fetch_movielens(data_home=tmp_path / "ml-latest-small", download_if_missing=False)
    above = fetch_movielens(data_home=tmp_path, download_if_missing=False, as_frame=True)
    np.testing.assert_array_equal(inside.interactions.data, above.interactions.data)
    X = above.interactions
    assert list(above.frame.columns) == ["user", "item", "rating", "timestamp"]
    line = above.frame.iloc[7]
    row, column = X.user_rows([line["user"]])[0], X.item_columns([line["item"]])[0]
    assert X[row, column] == line["rating"]
    assert X.timestamps[np.flatnonzero(X[[row]].indices == column) + X.indptr[row]] == 10**9 + 7
    assert inside["items"]["title"][0] == 'Film, "the 0th" (1999)'
    assert above["items"]["genres"][0] == "Comedy|Drama"


def _layout_of(name, monkeypatch, n_ratings):
    layout = replace(_movielens._LAYOUTS[name], n_ratings=n_ratings)
    monkeypatch.setitem(_movielens._LAYOUTS, name, layout)


def test_layout_of_1m(tmp_path, monkeypatch):
    (tmp_path / "ratings.dat").write_text("1::20::5::978300760\n2::20::3::978300761\n2::7::1::9\n")
    (tmp_path / "movies.dat").write_bytes(
        "7::Misérables, Les (1995)::Drama|Musical\n20::B (1)::Comedy\n".encode("latin-1")
    )
    with pytest.raises(ValueError, match=r"contains 3 ratings and ml-1m has 1,000,209: it is cut"):
        fetch_movielens("1m", data_home=tmp_path)
    _layout_of("1m", monkeypatch, 3)
    data = fetch_movielens("1m", data_home=tmp_path)
    np.testing.assert_array_equal(data.interactions.toarray(), [[0, 5], [1, 3]])
    np.testing.assert_array_equal(data.interactions.timestamps, [978300760, 9, 978300761])
    assert data["items"]["title"].tolist() == ["Misérables, Les (1995)", "B (1)"]


def test_layout_of_100k(tmp_path, monkeypatch):
    (tmp_path / "u.data").write_text("196\t242\t3\t881250949\n186\t302\t4\t891717742\n")
    flags = ["0"] * 19
    flags[5] = flags[14] = "1"
    (tmp_path / "u.item").write_text(
        f"242|Kolya (1996)|24-Jan-1997||http://x|{'|'.join(flags)}\n", encoding="latin-1"
    )
    _layout_of("100k", monkeypatch, 2)
    data = fetch_movielens("100k", data_home=tmp_path)
    np.testing.assert_array_equal(data.interactions.toarray(), [[0, 4], [3, 0]])
    assert data["items"]["genres"].tolist() == ["Comedy|Romance", ""]


def test_what_is_no_ratings_file_is_refused(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\nann,3,4.0,5\n")
    with pytest.raises(ValueError, match="is not the ratings file of ml-latest-small"):
        fetch_movielens(data_home=tmp_path)
    (tmp_path / "ratings.csv").unlink()
    (tmp_path / "ml-latest-small.zip").write_bytes(b"PK half")
    with pytest.raises(ValueError, match="is no whole archive"):
        fetch_movielens(data_home=tmp_path)


def test_the_real_latest_small():
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not (folder / "ml-latest-small" / "ratings.csv").exists():
        pytest.skip("the data set is not here")
    data = fetch_movielens("latest-small", data_home=folder, download_if_missing=False)
    assert data.interactions.shape == (610, 9724)
    assert data.interactions.nnz == 100_836
    assert data["items"]["title"][0] == "Toy Story (1995)"


# -- data home ----------------------------------------------------------------------------------------


def test_data_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sk"))
    assert get_data_home() == str(tmp_path / "sk" / "sklearn_llmrec")
    assert os.path.isdir(get_data_home())
    home = tmp_path / "mine"
    assert get_data_home(home) == str(home)
    for name in ("ml-1m.zip", "ml-20m.zip.part", "ratings.csv"):
        (home / name).touch()
    clear_data_home(home)
    assert [path.name for path in home.iterdir()] == ["ratings.csv"]
