"""Imports between subpackages: public doors only, and no private name of scikit-learn outside `utils`."""

import ast
import re
from pathlib import Path

import pytest

import sklearn_llmrec

PACKAGE = Path(sklearn_llmrec.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# Subpackages that are private as a whole; what their `__init__` exports may be imported.
PRIVATE_PACKAGES = {"_kernels", "_networks"}


def _imports(tree):
    """Yield (dotted module, imported name) of every import statement, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def _crossings(source, own):
    """Return the imports of a module of subpackage `own` that go past another subpackage's `__init__`."""
    found = []
    for module, name in _imports(ast.parse(source)):
        parts = module.split(".")
        if parts[0] != "sklearn_llmrec" or (len(parts) > 1 and parts[1] == own):
            continue
        inside = [*parts[2:], name] if len(parts) > 1 else [name]
        if len(parts) == 1 and name in PRIVATE_PACKAGES:
            inside = []
        if len(parts) > 2 or any(part.startswith("_") for part in inside):
            found.append(f"{module}: {name}")
    return found


def _private_sklearn(source):
    return [
        f"{module}: {name}"
        for module, name in _imports(ast.parse(source))
        if module.split(".")[0] == "sklearn"
        and re.search(r"(^|\.)_[a-z]", f"{module}.{name}", re.I)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_subpackages_are_imported_through_their_init(path):
    own = path.relative_to(PACKAGE).parts[0]
    assert _crossings(path.read_text(), own) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_names_of_scikit_learn_are_imported_in_one_module(path):
    if path != PACKAGE / "utils" / "_sklearn.py":
        assert _private_sklearn(path.read_text()) == []


def test_the_checks_see_what_they_forbid():
    assert _crossings("from sklearn_llmrec.metrics._hits import Ranking", "ensemble")
    assert _crossings("def f():\n    from sklearn_llmrec.metrics import _hits", "ensemble")
    assert _crossings("import sklearn_llmrec._kernels._topk", "ensemble")
    assert not _crossings("from sklearn_llmrec._kernels import topk_dense", "ensemble")
    assert not _crossings("from sklearn_llmrec.metrics._hits import Ranking", "metrics")
    assert _private_sklearn("from sklearn.utils._param_validation import Interval")
    assert _private_sklearn("from sklearn.base import _fit_context")
    assert not _private_sklearn("from sklearn.base import clone")


def test_no_private_module_stands_at_the_top():
    assert {path.name for path in PACKAGE.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "warm_up.py",
    }
