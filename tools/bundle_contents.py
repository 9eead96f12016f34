"""Write into docs/privacy.md which data of single users a fitted model of each kind still holds.

    python tools/bundle_contents.py

Every public recommender is fitted on 48 users, and on the same users twice. An array that is longer in the second fit,
or that has an axis as long as there are users or interactions, is kept for single users. Before and after `compact()`.
"""

import copy
import sys
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from _instances import instances  # noqa: E402

from sklearn_llmrec.base import BaseRecommender  # noqa: E402
from sklearn_llmrec.base._check_tools import fitted, taste_matrix  # noqa: E402

PAGE = ROOT / "docs" / "privacy.md"
BEGIN, END = "<!-- contents of bundles: begin -->", "<!-- contents of bundles: end -->"


def arrays(thing, name="", seen=None):
    """Yield (name, array) of all arrays in a model, inside matrices, containers and objects too."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, type(None), type)):
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield name, thing
    elif sp.issparse(thing) and hasattr(thing, "indptr"):
        for part in ("data", "indices", "indptr"):
            yield name, getattr(thing, part)
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield from arrays(value, f"{name}.{key}" if name else str(key), seen)
    elif isinstance(thing, (list, tuple, set)):
        yield name, np.empty(len(thing))
        for value in thing:
            yield from arrays(value, name, seen)
    elif hasattr(thing, "__dict__") and not callable(thing):
        public = vars(thing)
        for key, value in public.items():
            yield from arrays(value, f"{name}.{key}" if name else key, seen)


def sizes(model):
    found = {}
    for name, array in arrays(model):
        found.setdefault(name, []).append(array.shape)
    return found


def kept(model, doubled):
    """Return the attributes that hold something of single users."""
    X = taste_matrix()
    active = int(np.count_nonzero(np.diff(X.indptr)))
    lengths = {X.shape[0], X.shape[0] + 1, active, active + 1, X.nnz}
    larger = sizes(doubled)
    names = set()
    for name, shapes in sizes(model).items():
        grows = sum(map(np.prod, larger.get(name, []))) > sum(map(np.prod, shapes))
        if grows or any(lengths & set(shape) for shape in shapes):
            names.add(name)
    return names


def fitted_twice(estimator):
    model, X = fitted(estimator)
    doubled = copy.deepcopy(estimator)
    if "random_state" in doubled.get_params():
        doubled.set_params(random_state=0)
    return model, doubled.fit(sp.csr_array(sp.vstack([X, X], format="csr")))


def contents():
    """Return rows of (model, attributes before `compact`, attributes after it)."""
    models = [(type(model).__name__, model) for model in instances()]
    rows = []
    for name, estimator in models:
        if not isinstance(estimator, BaseRecommender):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pair = fitted_twice(estimator)
            before = kept(*pair)
            after = kept(*(model.compact() for model in pair))
        rows.append((name, before, after))
    return rows


def table(rows):
    def cell(names):
        return ", ".join(f"`{name}`" for name in sorted(names)) or "nothing"

    lines = ["| model | of single users, as fitted | after `compact()` |", "|---|---|---|"]
    lines += [f"| {name} | {cell(before)} | {cell(after)} |" for name, before, after in rows]
    return "\n".join(lines)


def main():
    text = PAGE.read_text()
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    PAGE.write_text(f"{text[:start]}\n{table(contents())}\n{text[stop:]}")


if __name__ == "__main__":
    main()
