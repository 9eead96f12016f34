"""What is damaged, changed, foreign or malicious is refused before anything in it runs, by name."""

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import zipfile

import numpy as np
import pytest

from sklearn_llmrec import EASE, Interactions, ItemKNN, load, save
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.ensemble import BaseReranker
from sklearn_llmrec.persistence import BundleError, _tree

KEY = "SKLEARN_LLMREC_BUNDLE_KEY"
RAN = []


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self):
        return _leave_a_trace, ()


def _leave_a_trace():
    RAN.append("a pickle ran")


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    monkeypatch.setattr(_tree, "SMALL_BYTES", 0)
    RAN.clear()
    yield
    assert RAN == []


@pytest.fixture(scope="module")
def X():
    return make_interactions(n_users=40, n_items=20, random_state=0).interactions


@pytest.fixture
def folder(X, tmp_path):
    X = Interactions(X, item_features=np.eye(20))
    return save(tmp_path / "bundle", ItemKNN().fit(X), X)


@pytest.fixture
def zipped(X, tmp_path):
    return save(tmp_path / "bundle.zip", ItemKNN().fit(X))


def _manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def _rewrite(folder, *, content=None, **changes):
    """Change the manifest and give every file a right hash again, as someone who knows the format would."""
    manifest = {**_manifest(folder), **changes}
    for name in manifest["files"]:
        if (folder / name).is_file():
            data = (folder / name).read_bytes()
            entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            manifest["files"][name] = entry
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _first_array(folder):
    return sorted((folder / "arrays").iterdir())[0]


# -- damage ------------------------------------------------------------------------------------------------------------


def test_any_flipped_byte_is_found(folder):
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        good = file.read_bytes()
        for place in {0, len(good) // 2, len(good) - 1}:
            file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
            if file.name == "manifest.json":
                # What the manifest says of itself, such as the time, is protected by a signature only.
                with pytest.raises(BundleError):
                    load(folder)
            else:
                with pytest.raises(BundleError, match=f"{file.name}' differs from the hash"):
                    load(folder)
        file.write_bytes(good)
    load(folder)


def test_a_truncated_file_is_found(folder):
    file = _first_array(folder)
    file.write_bytes(file.read_bytes()[:-1])
    for mmap in (False, True):
        with pytest.raises(BundleError, match=rf"{file.name}' has \d+ bytes and the manifest says"):
            load(folder, mmap=mmap)


def test_a_removed_renamed_or_added_file_is_found(folder):
    file = _first_array(folder)
    renamed = file.with_name("99999.npy")
    file.rename(renamed)
    with pytest.raises(
        BundleError, match=f"'arrays/{file.name}' of the manifest is not in the bundle"
    ):
        load(folder)
    shutil.copy(renamed, file)
    with pytest.raises(BundleError, match=r"a file 'arrays/99999.npy' that its manifest does not"):
        load(folder)
    renamed.unlink()
    (folder / "manifest.json").rename(folder / "manifest.txt")
    with pytest.raises(BundleError, match=r"contains no manifest.json"):
        load(folder)
    with pytest.raises(FileNotFoundError, match="no bundle at"):
        load(folder / "nothing")


def test_exchanged_files_are_found(folder):
    first, second = sorted((folder / "arrays").iterdir())[:2]
    shutil.move(first, folder / "arrays" / "x")
    shutil.move(second, first)
    shutil.move(folder / "arrays" / "x", second)
    with pytest.raises(BundleError, match=r"arrays/0000\d.npy"):
        load(folder)


def test_every_truncated_zip_is_found(zipped):
    good = zipped.read_bytes()
    for size in np.linspace(1, len(good) - 1, 40).astype(int):
        zipped.write_bytes(good[:size])
        with pytest.raises(BundleError, match="truncated"):
            load(zipped)
    zipped.write_bytes(b"")
    with pytest.raises(BundleError, match="truncated"):
        load(zipped)


def test_a_flipped_byte_of_a_zip_is_found_or_changes_nothing(zipped, X):
    good, expected = zipped.read_bytes(), load(zipped).estimator.predict(X)
    rng = np.random.default_rng(0)
    for place in rng.integers(len(good), size=200):
        zipped.write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        try:
            again = load(zipped)  # padding and times of the zip mean nothing
        except BundleError:
            continue
        np.testing.assert_array_equal(again.estimator.predict(X), expected)


# -- foreign and newer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "another"}, "not that of a bundle of this library"),
        (
            {"format_version": 2},
            "format version 2, and this version of the library reads 1: install",
        ),
        ({"format_version": "1"}, "format version '1'"),
        ({"versions": {"sklearn_llmrec": "7.0.0"}}, r"version '7\.0\.0' of sklearn_llmrec"),
        ({"versions": {}}, "version None of sklearn_llmrec"),
        ({"files": []}, "lists no files"),
        ({"arrays": [{"file": "arrays/77777.npy"}]}, "do not fit together"),
        ({"arrays": []}, "names array or table 0, and the bundle contains 0"),
        ({"tables": [{"library": "pandas"}]}, "do not fit together"),
        ({"estimator": {"storage": "pickle"}}, "do not fit together"),
    ],
)
def test_another_manifest_is_refused(changes, message, folder):
    _rewrite(folder, **changes)
    with pytest.raises(BundleError, match=message):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "null", '{"format": 1}'])
def test_what_is_no_manifest_is_refused(text, folder):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load(folder)


def test_other_files_are_no_bundles(tmp_path):
    (tmp_path / "notes").write_text("hello")
    with pytest.raises(BundleError, match="no zip that save wrote"):
        load(tmp_path / "notes")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"contains no manifest\.json"):
        load(tmp_path / "empty")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BundleError, match="no zip that save wrote"):
        load(tmp_path / "model.pkl", trusted=True)


# -- paths -------------------------------------------------------------------------------------------------------------

BAD_NAMES = ["../secret.npy", "/etc/passwd", "arrays/../../secret.npy", "a\\b.npy", "C:x.npy", ".."]


@pytest.mark.parametrize(
    "name", [*BAD_NAMES, "arrays/ä.npy", "arrays/.npy", "a/b/c.npy", "x\n.npy"]
)
def test_names_that_lead_elsewhere_are_refused(name, folder):
    (folder.parent / "secret.npy").write_bytes(b"secret")
    files = {
        **_manifest(folder)["files"],
        name: {"size": 6, "sha256": hashlib.sha256(b"secret").hexdigest()},
    }
    _rewrite(folder, files=files)
    with pytest.raises(BundleError, match="is no name that save writes"):
        load(folder)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_of_a_zip_that_lead_elsewhere_are_refused(name, zipped):
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(name, b"secret")
    with pytest.raises(BundleError, match="does not list"):
        load(zipped)


def test_links_are_refused(folder):
    file = _first_array(folder)
    outside = folder.parent / "outside.npy"
    file.rename(outside)
    file.symlink_to(outside)
    with pytest.raises(BundleError, match="is a link"):
        load(folder)
    file.unlink()
    outside.rename(file)
    os.mkfifo(folder / "pipe.npy")
    with pytest.raises(BundleError, match=r"pipe\.npy' in the bundle is a link, or no plain file"):
        load(folder)
    (folder / "pipe.npy").unlink()
    (folder / "arrays").rename(folder.parent / "arrays")
    (folder / "arrays").symlink_to(folder.parent / "arrays")
    with pytest.raises(BundleError, match="'arrays' in the bundle is a link"):
        load(folder)


def test_links_in_a_zip_are_refused(zipped):
    member = zipfile.ZipInfo("link.npy")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(BundleError, match=r"link\.npy' is compressed, encrypted or no plain file"):
        load(zipped)


def test_zip_bombs_are_refused(zipped):
    good = zipped.read_bytes()
    with zipfile.ZipFile(zipped, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arrays/bomb.npy", bytes(10**7))
    with pytest.raises(BundleError, match=r"bomb\.npy' is compressed"):
        load(zipped)
    # Members that claim a size that the file does not have.
    zipped.write_bytes(good)
    with zipfile.ZipFile(zipped) as archive:
        place, count = archive.start_dir, len(archive.namelist())
    changed = bytearray(good)
    for _ in range(count):
        name, extra, comment = struct.unpack_from("<HHH", changed, place + 28)
        struct.pack_into("<II", changed, place + 20, 2**31, 2**31)
        place += 46 + name + extra + comment
    zipped.write_bytes(changed)
    with pytest.raises(BundleError, match="ends beyond the file"):
        load(zipped)


def test_members_that_overlap_are_refused(zipped):
    """Many members may point at the same bytes, and together claim far more than there is."""
    with zipfile.ZipFile(zipped) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    with zipfile.ZipFile(zipped, "a") as archive:
        for number in range(100):
            copied = zipfile.ZipInfo(f"arrays/9{number:04d}.npy")
            copied.header_offset, copied.CRC = largest.header_offset, largest.CRC
            copied.file_size = copied.compress_size = largest.file_size
            archive.filelist.append(copied)
            archive.NameToInfo[copied.filename] = copied
        archive._didModify = True
    with pytest.raises(BundleError, match="claim more bytes than the file has"):
        load(zipped)


def test_a_member_twice_is_refused(zipped):
    with zipfile.ZipFile(zipped) as archive:
        name = archive.namelist()[0]
    with zipfile.ZipFile(zipped, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(name, b"other")
    with pytest.raises(BundleError, match="twice"):
        load(zipped)


# -- code --------------------------------------------------------------------------------------------------------------


def test_pickles_in_arrays_are_not_read(folder):
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], dtype=object), allow_pickle=True)
    _first_array(folder).write_bytes(buffer.getvalue())
    _rewrite(folder)
    for trusted in (False, True):
        with pytest.raises(BundleError, match="contains Python objects"):
            load(folder, trusted=trusted)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True, 'a')}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f8', 'fortran_order': False}",
        "__import__('os')",
        "(" * 3000,
    ],
)
def test_headers_of_arrays_that_lie_are_refused(header, folder):
    text = header.encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(16)
    _first_array(folder).write_bytes(content)
    _rewrite(folder)
    for mmap in (False, True):
        with pytest.raises(BundleError, match=r"arrays/0000\d\.npy"):
            load(folder, mmap=mmap)


def test_a_pickle_needs_trust(folder):
    (folder / "model.pickle").write_bytes(pickle.dumps(Bomb()))
    files = {**_manifest(folder)["files"], "model.pickle": {}}
    _rewrite(folder, files=files, estimator={"storage": "pickle"})
    for trusted in (False, ["builtins.list"], "tests"):
        with pytest.raises(BundleError, match=r"model\.pickle is a pickle, which can run any code"):
            load(folder, trusted=trusted)
    load(folder, trusted=True)
    assert RAN == ["a pickle ran"]  # the bomb works, so the refusals above mean something
    RAN.clear()


def _skops_of(schema, **members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_npy", ".npy"), content)
        archive.writestr("schema.json", json.dumps(schema))
    return buffer.getvalue()


def _schema_of(folder):
    with zipfile.ZipFile(folder / "model.skops") as archive:
        return json.loads(archive.read("schema.json"))


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen")]
)
def test_skops_types_that_are_not_ours_are_refused(module, name, folder):
    schema = _schema_of(folder)
    schema["content"]["estimator"] = {
        "__class__": name,
        "__module__": module,
        "__loader__": "FunctionNode",
        "__id__": 1,
    }
    (folder / "model.skops").write_bytes(_skops_of(schema))
    _rewrite(folder)
    with pytest.raises(BundleError, match=rf"types that are not trusted: \['{module}\.{name}'\]"):
        load(folder)


def test_a_schema_of_skops_that_nobody_wrote_is_refused(folder):
    good = _schema_of(folder)
    for schema in (
        [],
        {},
        {**good, "content": {}},
        {**good, "__loader__": "nothing"},
        {**good, "protocol": 99},
    ):
        (folder / "model.skops").write_bytes(_skops_of(schema))
        _rewrite(folder)
        with pytest.raises(BundleError):
            load(folder)
    deep = good
    for _ in range(400):
        deep = {
            "__class__": "list",
            "__module__": "builtins",
            "__loader__": "ListNode",
            "content": [deep],
        }
    for content in (b"", b"PK", _skops_of({**deep, "protocol": good["protocol"]})):
        (folder / "model.skops").write_bytes(content)
        _rewrite(folder)
        with pytest.raises(BundleError):
            load(folder)


def test_bombs_inside_the_file_of_skops_are_refused(folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps(_schema_of(folder)))
        archive.writestr("1.npy", bytes(10**7))
    objects = io.BytesIO()
    np.save(objects, np.array([Bomb()], dtype=object), allow_pickle=True)
    for content in (
        buffer.getvalue(),
        _skops_of(_schema_of(folder), a_npy=objects.getvalue()),
        _skops_of(_schema_of(folder), **{"a.npz": b""}),
    ):
        (folder / "model.skops").write_bytes(content)
        _rewrite(folder)
        with pytest.raises(BundleError, match=r"model\.skops"):
            load(folder)


def test_columns_out_of_range_are_refused(X, tmp_path):
    """Compiled loops would read outside of their arrays."""
    model = ItemKNN().fit(X)
    model.weights_.indices[3] = 10_000
    path = save(tmp_path / "b", model)
    with pytest.raises(BundleError, match="rows or columns out of range"):
        load(path)
    model = ItemKNN().fit(X)
    model.weights_.indptr[3] = -1
    with pytest.raises(BundleError, match="rows or columns out of range"):
        load(save(tmp_path / "b", model))


# -- signatures --------------------------------------------------------------------------------------------------------


class Mine(BaseReranker):
    """A reranker of a user."""

    def __init__(self, estimator=None, key=None, n_candidates=20, exclude_seen=True):
        self.estimator = estimator
        self.key = key
        self.n_candidates = n_candidates
        self.exclude_seen = exclude_seen

    def _rerank(self, X, items, values, depth):
        return items


def test_with_a_key_only_signed_bundles_load(X, tmp_path, monkeypatch):
    unsigned = save(tmp_path / "unsigned", EASE().fit(X))
    monkeypatch.setenv(KEY, "secret")
    for trusted in (False, True):
        with pytest.raises(BundleError, match="is not signed"):
            load(unsigned, trusted=trusted)
    for name in ("signed", "signed.zip"):
        path = save(tmp_path / name, EASE().fit(X), metrics={"ndcg": 0.1})
        load(path)
    monkeypatch.setenv(KEY, "other")
    with pytest.raises(BundleError, match="is signed with another key"):
        load(path)
    monkeypatch.delenv(KEY)
    load(path)
    assert "secret" not in json.dumps(load(path).manifest)


def test_a_signature_covers_everything(X, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY, "secret")
    path = save(tmp_path / "b", EASE().fit(X), metrics={"ndcg": 0.1})
    file = _first_array(path)
    array = np.load(file)
    np.save(file, array + 1)
    _rewrite(path)  # hashes are right again
    with pytest.raises(BundleError, match="was changed"):
        load(path)
    np.save(file, array)
    _rewrite(path, metrics={"ndcg": 0.9})
    with pytest.raises(BundleError, match="was changed"):
        load(path)


def test_types_of_users_load_when_they_are_trusted(X, tmp_path, monkeypatch):
    model = Mine(ItemKNN(), key=json.dumps).fit(X)
    path = save(tmp_path / "b", model)
    assert load(path, trusted=True).manifest["estimator"]["storage"] == "skops"
    with pytest.raises(BundleError, match=r"types that are not trusted: \[.*Mine"):
        load(path)
    types = load(path, trusted=True).manifest["estimator"]["types_to_trust"]
    again = load(path, trusted=types).estimator
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    monkeypatch.setenv(KEY, "secret")
    assert load(save(path, model)).estimator.key is not None


def test_what_skops_cannot_store_becomes_a_pickle(X, tmp_path, monkeypatch):
    model = Mine(ItemKNN(), key=str.upper).fit(X)
    with pytest.warns(UserWarning, match="the bundle contains a pickle"):
        path = save(tmp_path / "b", model)
    assert (path / "model.pickle").exists()
    with pytest.raises(BundleError, match=r"model\.pickle is a pickle"):
        load(path)
    for mmap in (False, True):
        again = load(path, trusted=True, mmap=mmap).estimator
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
    monkeypatch.setenv(KEY, "secret")
    with pytest.warns(UserWarning, match="the bundle contains a pickle"):
        save(path, model)
    np.testing.assert_array_equal(load(path).estimator.predict(X), model.predict(X))
    model.key = lambda: 1
    with pytest.raises(BundleError, match="must be importable: move them from a lambda"):
        save(path, model)
    load(path)  # the one that was there
