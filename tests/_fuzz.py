"""Random input for every recommender, and what must hold for all of it.

A case is a seed. `run_case(estimator, seed)` raises AssertionError where an answer differs from its oracle, and lets
any error through that is not a refusal in words. `run_log_case(seed)` does the same for `Interactions.from_frame`.
`run_backend_cases(estimator, seeds, backend)` compares the answers under a joblib backend with those of one process.
"""

import warnings
from collections import Counter
from fractions import Fraction

import joblib
import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import clone

from sklearn_llmrec import Interactions
from sklearn_llmrec.base import BaseRecommender, needs_order
from sklearn_llmrec.base._check_tools import assert_close, assert_lists_are_the_best
from sklearn_llmrec.decomposition._continued import ContinuedFitMixin

# Kinds of values: how they are drawn, and the dtypes that hold them exactly.
_ANY = [
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    ">f8",
    ">i4",
    "object",
]
_KINDS = {
    "ones": (lambda rng, n: np.ones(n), [*_ANY, "bool"]),
    "ratings": (lambda rng, n: rng.integers(1, 6, n), _ANY),
    "halves": (lambda rng, n: rng.integers(1, 11, n) / 2, ["float16", "float32", "float64", ">f4"]),
    "counts": (
        lambda rng, n: rng.geometric(0.02, n).clip(max=200),
        ["uint8", "int16", "int64", "float64"],
    ),
    "signed": (
        lambda rng, n: rng.choice([-3, -1, 1, 2, 5], n),
        ["int8", "int64", "float32", "float64"],
    ),
    "large": (lambda rng, n: rng.integers(1, 10**6, n), ["int32", "uint64", "float32", "float64"]),
    "small": (lambda rng, n: rng.uniform(1e-6, 1e-3, n), ["float64"]),
    "distinct": (lambda rng, n: 1 + rng.permutation(n), ["int16", "int64", "float64"]),
}


def exact_matrix(rng):
    """Draw a small matrix as float64, the dtype it shall be given in, and a description."""
    n_users, n_items = int(rng.integers(1, 13)), int(rng.integers(2, 12))
    density = rng.choice([0.05, 0.2, 0.4, 0.7, 1.0])
    present = rng.random((n_users, n_items)) < density
    if rng.random() < 0.3:  # equal users
        present[rng.integers(n_users)] = present[0]
    kind = str(rng.choice(list(_KINDS)))
    draw, dtypes = _KINDS[kind]
    D = np.zeros((n_users, n_items))
    D[present] = draw(rng, int(present.sum()))
    return D, str(rng.choice(dtypes)), f"{n_users} x {n_items}, {kind}, density {density}"


def _split_entries(D, rng):
    """Return rows, columns and values of the entries, each integer value split into two where it can be."""
    rows, columns = np.nonzero(D)
    values = D[rows, columns]
    parts = np.where((values == np.rint(values)) & (values > 1), np.floor(values / 2), 0)
    return np.tile(rows, 2), np.tile(columns, 2), np.concatenate([values - parts, parts])


def container(D, dtype, rng):
    """Give a matrix in a random container of the dtype; its sums, without zeros, are D."""
    names = ["dense", "fortran", "read-only", "csr_array", "csr_matrix", "csc", "wide", "zeros"]
    if dtype not in ("object", "float16", "bool") and not dtype.startswith(">"):
        names += ["coo twice", "csr twice", "lil", "Interactions"]
    name = str(rng.choice(names))
    A = D.astype(dtype)
    if (
        dtype in ("object", "float16")
        or dtype.startswith(">")
        or name in ("dense", "fortran", "read-only")
    ):
        A = np.asfortranarray(A) if name == "fortran" else A
        A.flags.writeable = name != "read-only"
        return A, f"dense {dtype}"
    S = sp.csr_array(A)
    if name == "csr_matrix":
        S = sp.csr_matrix(S)
    elif name == "csc":
        S = S.tocsc()
    elif name == "lil":
        S = S.tolil()
    elif name == "wide":
        S.indices, S.indptr = S.indices.astype(np.int64), S.indptr.astype(np.int64)
    elif name == "zeros":
        rows, columns = np.indices(A.shape).reshape(2, -1)
        S = sp.csr_array((A.ravel(), columns, np.arange(len(A) + 1) * A.shape[1]), shape=A.shape)
    elif name == "Interactions":
        S = Interactions(S)
    elif name.endswith("twice"):
        rows, columns, values = _split_entries(D, rng)
        coo = sp.coo_array((values.astype(dtype), (rows, columns)), shape=D.shape)
        order = np.lexsort((rng.random(len(rows)), rows))
        counts = np.bincount(rows, minlength=len(D))
        indptr = np.concatenate([[0], np.cumsum(counts)])
        S = coo
        if name == "csr twice":
            S = sp.csr_array((values.astype(dtype)[order], columns[order], indptr), shape=D.shape)
    return S, f"{name} {dtype}"


def _refusal(call):
    """Return the words in which a call is refused, None where it is not."""
    try:
        call()
    except ValueError as error:
        words = str(error)
    else:
        return None
    assert len(words.split()) >= 5, f"refused without a reason: {words}"
    return words


def _seeded(estimator):
    model = clone(estimator)
    if "random_state" in model.get_params(deep=False):
        model.set_params(random_state=0)
    return model


def run_case(estimator, seed):
    """Fit, score and rank one random matrix; compare with the plain matrix and with single rows."""
    rng = np.random.default_rng(seed)
    D, dtype, what = exact_matrix(rng)
    X, how = container(D, dtype, rng)
    what = f"{what}, {how}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        model = _seeded(estimator)
        before = _refusal(lambda: model.fit(X))
        plain = sp.csr_array(D)
        if before is not None:
            # What is refused in one container is refused in all, of one precision.
            plain = plain.astype("float32" if dtype in ("float32", ">f4", "float16") else "float64")
            assert _refusal(lambda: _seeded(estimator).fit(plain)) is not None, f"{what}: {before}"
            assert not hasattr(model, "n_features_in_"), f"{what}: a refused fit left a state"
            return "refused"
        scores = model.predict(X)
        tolerance = 1e-5 if scores.dtype == np.float32 else 1e-9
        plain = plain.astype(scores.dtype)
        expected = _seeded(estimator).fit(plain).predict(plain)
        assert_close(expected, scores, f"{what}: container", tolerance)
        assert_lists_are_the_best(model, plain, what, k=int(rng.integers(1, D.shape[1] + 1)))
        row = int(rng.integers(len(D)))
        assert_close(scores[[row]], model.predict(plain[[row]]), f"{what}: row {row} alone")
        if hasattr(model, "partial_fit") and isinstance(model, BaseRecommender):
            _run_update(estimator, D, rng, what)
    return "fitted"


def _run_update(estimator, D, rng, what):
    """Fit in parts, one of them perhaps empty or of another dtype; exact models equal one fit."""
    model = _seeded(estimator)
    cuts = np.sort(rng.integers(0, len(D) + 1, 2))
    parts = [part for part in np.split(D, cuts) if len(part)]
    dtypes = [str(rng.choice(["float32", "float64"])) for _ in parts]
    for part, dtype in zip(parts, dtypes, strict=True):
        given = sp.csr_array(part.astype(dtype))
        first = not hasattr(model, "n_users_fit_")
        refused = _refusal(lambda given=given: model.partial_fit(given))
        if refused is not None:
            # As a whole matrix may, a part may carry no order for a sequential model, or be too large for the precision
            # of the first part.
            allowed = needs_order(model) or "pass X in float64" in refused
            assert first or allowed, f"{what}: a later part was refused: {refused}"
            if not first:
                assert np.isfinite(model.predict(D)).all(), (
                    f"{what}: a refused part broke the model"
                )
            return
    scores = model.predict(D)
    assert np.isfinite(scores).all(), f"{what}: scores after parts are not finite"
    assert_lists_are_the_best(model, sp.csr_array(D), f"{what}: after parts", k=1)
    exact = not isinstance(model, ContinuedFitMixin) and not needs_order(model)
    if exact and type(model).__name__ != "BanditReranker":
        # In the precision of the first part, which the model keeps: a sum that cancels is zero in one precision and
        # rounding in another, so that its item has a score in one of them only.
        whole = _seeded(estimator).fit(sp.csr_array(D.astype(dtypes[0])))
        assert_close(whole.predict(D), scores, f"{what}: parts against one fit", 2e-4)


# -- backends ---------------------------------------------------------------------------------------------------------


def _answers(estimator, X, k):
    """Fit and return scores, lists and scores of the lists; the words of a refusal where X is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _seeded(estimator)
        words = _refusal(lambda: model.fit(X))
        return words if words is not None else (model.predict(X), *model.recommend(X, k=k))


def _assert_same_answers(got, want, what):
    if isinstance(want, str) or isinstance(got, str):
        assert got == want, f"{what}: refused with {got!r}, and in one process with {want!r}"
        return
    assert_close(want[0], got[0], what)
    assert (got[1] < 0).tolist() == (want[1] < 0).tolist(), f"{what}: lists of another length"
    # Items whose scores differ by rounding may change places: their scores are compared, not their numbers.
    size = np.maximum(np.abs(want[0]).max(axis=1, keepdims=True), 1e-12)
    of_items = np.take_along_axis(want[0], np.maximum(got[1], 0), axis=1)
    present, best = want[1] >= 0, np.where(want[1] >= 0, want[2], 0)
    for found, name in ((got[2], "scores"), (of_items, "items")):
        worst = (np.abs(np.where(present, found, 0) - best) / size).max(initial=0)
        assert worst <= 2e-5, f"{what}: the {name} of the lists differ by {worst:.2g}"


def run_backend_cases(estimator, seeds, backend):
    """Answer for random matrices under a joblib backend, in the caller and in workers; return counts.

    Half of the cases reach workers as read-only memory maps, where the backend has processes.
    """
    cases = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        D, dtype, what = exact_matrix(rng)
        X, how = container(D, dtype, rng)
        cases.append((X, int(rng.integers(1, D.shape[1] + 1)), f"{what}, {how}, {backend}"))
    expected = [_answers(estimator, X, k) for X, k, _ in cases]
    for part, max_bytes in ((slice(None, None, 2), "1M"), (slice(1, None, 2), 1)):
        options = {} if backend == "threading" else {"max_nbytes": max_bytes}
        with joblib.parallel_config(backend=backend, n_jobs=2, **options):
            in_caller = [_answers(estimator, X, k) for X, k, _ in cases[part]]
            tasks = (joblib.delayed(_answers)(estimator, X, k) for X, k, _ in cases[part])
            in_workers = joblib.Parallel()(tasks)
        for got, other, want, (_, _, what) in zip(
            in_caller, in_workers, expected[part], cases[part], strict=True
        ):
            _assert_same_answers(got, want, f"{what}, in the caller")
            _assert_same_answers(other, want, f"{what}, in a worker")
    return Counter("refused" if isinstance(want, str) else "fitted" for want in expected)


# -- event logs -------------------------------------------------------------------------------------------------------


def _random_ids(rng, n):
    """Draw a column of ids of a random type; None where a value is missing."""
    kind = str(
        rng.choice(
            ["int8", "uint8", "int64", "uint64", "beyond", "float", "str", "category", "Int64"]
        )
    )
    pool = int(rng.integers(1, 8))
    codes = rng.integers(0, pool, n)
    if kind in ("int8", "uint8", "int64", "uint64"):
        info = np.iinfo(kind)
        bases = [0, info.max - pool, info.min]
        if kind == "uint64":
            bases = [0, 2**53, 2**63, info.max - pool]
        base = bases[rng.integers(len(bases))]
        return np.array([base + int(c) for c in codes], dtype=kind)
    if kind == "beyond":
        return np.array([2**53 + 1 + int(c) for c in codes], dtype=np.int64)
    if kind == "float":
        ids = codes.astype(float)
        ids[rng.random(n) < 0.1] = np.nan
        return ids
    if kind == "str":
        return np.array([f"item {c}" for c in codes], dtype=object)
    if kind == "category":
        return pd.Categorical([int(c) * 10 for c in codes])
    values = pd.array([int(c) + 2**60 for c in codes], dtype="Int64")
    values[rng.random(n) < 0.1] = pd.NA
    return values


def _plain(value):
    if value is None or value is pd.NA or value != value:
        return None
    return value if isinstance(value, str) else int(value)


def run_log_case(seed):
    """Build a matrix from a random log and compare it with sums in a dict of exact numbers."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    log = pd.DataFrame({"u": pd.Series(_random_ids(rng, n)), "i": pd.Series(_random_ids(rng, n))})
    values = rng.integers(1, 100, n).astype(
        rng.choice(["int8", "uint8", "int16", "int64", "float32", "float64"])
    )
    log["v"] = values
    repeats = str(rng.choice(["sum", "count", "last"]))
    sums, last = Counter(), {}
    for user, item, value in zip(log["u"], log["i"], values.tolist(), strict=True):
        key = _plain(user), _plain(item)
        if None not in key:
            sums[key] += 1 if repeats == "count" else Fraction(value)
            last[key] = Fraction(value)
    expected = last if repeats == "last" else sums
    if not expected:
        assert _refusal(lambda: Interactions.from_frame(log, user="u", item="i")) is not None
        return "refused"
    X = Interactions.from_frame(log, user="u", item="i", value="v", repeats=repeats)
    users, items = ([_plain(label) for label in ids.tolist()] for ids in (X.user_ids, X.item_ids))
    assert len(set(users)) == len(users), "two rows have one id"
    assert len(set(items)) == len(items), "two columns have one id"
    C = sp.coo_array(X)
    found = {
        (users[row], items[column]): Fraction(float(value))
        for row, column, value in zip(*C.coords, C.data.tolist(), strict=True)
    }
    assert found == dict(expected), f"{found} is not {dict(expected)}"
    return "fitted"
