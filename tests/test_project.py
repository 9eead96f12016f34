"""The project itself: one version, extras that agree, an import that takes nothing heavy."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import sklearn_llmrec
from sklearn_llmrec.base._discovery import all_estimators, all_recommenders

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch",
    "pandas",
    "polars",
    "pyarrow",
    "matplotlib",
    "numba",
    "faiss",
    "sentence_transformers",
    "transformers",
)


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


# Modules whose package has another name.
IN_PACKAGE = {"faiss": "faiss-cpu", "PIL": "pillow", "tqdm": "sentence-transformers"}


def _bounds(project):
    """The lower bound of every requirement, those of all extras included."""
    lines = [*project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        lines += extra
    bounds = {}
    for requirement in map(Requirement, lines):
        for specifier in requirement.specifier:
            bounds.setdefault(_name(requirement.name), set()).add(specifier.version)
    return bounds


def _name(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(path):
    pins = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[_name(name)] = version
    return pins


def _release(version, length=3):
    return [int(part) for part in (version.split(".") + ["0"] * length)[:length]]


def test_one_version(project):
    version = sklearn_llmrec.__version__
    assert "version" not in project["project"]  # the build reads it from the package
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert version in (ROOT / "docs" / "versions.txt").read_text().split()


def test_extras_are_those_promised(project):
    extras = project["project"]["optional-dependencies"]
    assert set(extras) == {
        *("text", "train", "onnx", "deep", "llm", "plot", "io", "ann", "graph", "privacy"),
        *("serve", "postgres", "fast", "arrow", "distributed", "accelerate"),
        *("all", "test", "docs"),
    }
    assert Requirement(extras["all"][0]).extras == {
        *("text", "deep", "accelerate", "llm", "plot", "io", "ann", "graph", "privacy"),
    }
    assert extras["fast"] == []


def test_hints_name_extras_that_exist(project):
    extras = project["project"]["optional-dependencies"]
    for path in (ROOT / "sklearn_llmrec").rglob("*.py"):
        for package, extra in re.findall(
            r"require\(\s*\"([\w.]+)\",\s*(?:extra=)?\"(\w+)\"", path.read_text()
        ):
            names = {_name(Requirement(line).name) for line in extras[extra]}
            module = package.partition(".")[0]
            assert _name(IN_PACKAGE.get(module, module)) in names, f"{path.name}: {package}"


def test_minimum_versions_are_the_lower_bounds(project):
    pins = _pins(ROOT / "constraints-min.txt")
    bounds = _bounds(project)
    for name, version in pins.items():
        assert len(bounds[name]) == 1, f"two bounds of {name}"
        assert _release(version) == _release(*bounds[name]), name
    core = {_name(Requirement(line).name) for line in project["project"]["dependencies"]}
    assert core <= set(pins)


def test_development_versions_satisfy_the_project(project):
    pins = _pins(ROOT / "constraints.txt")
    assert pins["torch"] == "2.13.0"
    for extra in (
        "text",
        "deep",
        "llm",
        "plot",
        "io",
        "ann",
        "serve",
        "postgres",
        "fast",
        "all",
        "test",
    ):
        lines = project["project"]["optional-dependencies"][extra]
        for requirement in map(Requirement, [*project["project"]["dependencies"], *lines]):
            if requirement.name != "sklearn-llmrec":
                assert requirement.specifier.contains(pins[_name(requirement.name)]), requirement


def _heavy_after(*statements):
    """Which heavy packages are there after each statement, in one fresh interpreter."""
    code = "import sys\n" + "".join(
        f"{line}\nprint(*[m for m in {HEAVY} if m in sys.modules], sep=',')\n"
        for line in statements
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return [set(line.split(",")) - {""} for line in done.stdout.splitlines()]


def test_import_takes_nothing_heavy():
    assert _heavy_after("import sklearn_llmrec") == [set()]


def test_subpackages_take_no_more_than_scikit_learn():
    # scikit-learn itself takes pandas where it is installed.
    subpackages = ", ".join(f"sklearn_llmrec.{name}" for name in sklearn_llmrec._SUBPACKAGES)
    theirs, ours = _heavy_after(
        "import sklearn.datasets, sklearn.model_selection", f"import {subpackages}"
    )
    assert ours == theirs


def test_every_public_name_can_be_imported():
    for name in sklearn_llmrec.__all__:
        assert getattr(sklearn_llmrec, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sklearn_llmrec.nothing  # noqa: B018


def test_the_top_exports_all_names_of_the_subpackages_of_estimators():
    for name, names in sklearn_llmrec._NAMES_IN.items():
        exported = set(import_module(f"sklearn_llmrec.{name}").__all__) | {"check_recommender"}
        if name in (
            "base",
            "graph",
            "interactions",
            "persistence",
        ):  # the top has the names most used
            assert set(names.split()) <= exported
        else:
            assert set(names.split()) == exported - {"check_recommender"}, name
    for name, kind in all_estimators():
        assert getattr(sklearn_llmrec, name) is kind
        assert name in dir(sklearn_llmrec)


def test_type_checkers_find_the_names_of_the_top():
    tree = ast.parse(Path(sklearn_llmrec.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    starred = {node.module for node in imports if node.names[0].name == "*"}
    named = {alias.name for node in imports for alias in node.names}
    for module, names in sklearn_llmrec._NAMES_IN.items():
        assert f"sklearn_llmrec.{module}" in starred or set(names.split()) <= named, module


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("ease", "sklearn_llmrec.EASE"),
        ("SasRec", "sklearn_llmrec.SASRec"),
        ("ndcg_at_k", "sklearn_llmrec.metrics.ndcg_at_k"),
        ("metric", "sklearn_llmrec.metrics"),
    ],
)
def test_an_unknown_name_leads_to_a_similar_one(wrong, right):
    with pytest.raises(AttributeError, match=rf"'{wrong}'\. Did you mean {re.escape(right)}\?"):
        getattr(sklearn_llmrec, wrong)


def test_signatures_can_be_read():
    """`ArrayLike` stands as such in `help`, not spelt out over many lines."""
    modules = [import_module(f"sklearn_llmrec.{name}") for name in sklearn_llmrec._SUBPACKAGES]
    things = [getattr(module, name) for module in modules for name in module.__all__]
    for thing in (sklearn_llmrec.Interactions, sklearn_llmrec.recommend, *things):
        methods = inspect.getmembers(thing, inspect.isroutine) if inspect.isclass(thing) else []
        ours = [part for _, part in methods if getattr(part, "__module__", "") == thing.__module__]
        for part in (thing, *ours):
            # An exception without an `__init__` of its own has the signature of the built-in one: none in Python 3.11.
            if callable(part) and not (inspect.isclass(part) and issubclass(part, Exception)):
                assert "numpy._typing" not in str(inspect.signature(part)), part


def test_index_leads_to_every_page():
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        if page.stem != "index":
            assert f"({page.name})" in index, page.name
            assert f"\n{page.stem}\n" in index, f"{page.stem} is not in the toctree"


def test_readme_names_every_recommender():
    text = (ROOT / "README.md").read_text()
    missing = [name for name, _ in all_recommenders() if f"`{name}`" not in text]
    assert not missing


def test_package_is_typed_and_ships_its_data():
    package = Path(sklearn_llmrec.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "datasets" / "data" / "online_retail.npz").exists()


def test_the_page_of_measurements_leads_to_every_page_of_figures():
    overview = (ROOT / "docs" / "benchmarks.md").read_text()
    pages = sorted((ROOT / "docs" / "benchmarks").glob("*.md"))
    assert pages
    for page in pages:
        assert f"(benchmarks/{page.name})" in overview, page.name
        assert f"\nbenchmarks/{page.stem}\n" in overview, f"{page.stem} is not in the toctree"


def test_links_lead_somewhere():
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "benchmarks").glob("*.md")]
    for page in [*ROOT.glob("*.md"), *pages]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
