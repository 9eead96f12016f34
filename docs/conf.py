"""Sphinx: the pages of this folder, and one page per public name. `make docs` builds them into docs/_build/html."""

from importlib import import_module
from pathlib import Path

import sklearn_llmrec

project = "sklearn-llmrec"
author = "the sklearn_llmrec developers"
version = release = sklearn_llmrec.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
html_theme = "pydata_sphinx_theme"
html_title = f"sklearn-llmrec {version}"
exclude_patterns = ["_build/html", "_build/doctrees"]
suppress_warnings = ["myst.xref_missing"]  # links out of docs/ are for readers of the repository
autodoc_typehints = "none"  # numpydoc's Parameters say it in words
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False

API = Path(__file__).with_name("api.rst")


def _stands_elsewhere(thing, subpackage):
    """Return whether another subpackage, which defines a class or function, lists it as public too."""
    parts = getattr(thing, "__module__", "").split(".")
    if parts[0] != "sklearn_llmrec" or len(parts) < 2 or parts[1] == subpackage:
        return False
    home = import_module(".".join(parts[:2]))
    return thing.__name__ in getattr(home, "__all__", ())


def _public():
    """Yield module and public names; a name stands where it is defined, not again where it is re-exported."""
    for subpackage in sklearn_llmrec._SUBPACKAGES:
        name = f"sklearn_llmrec.{subpackage}"
        module = import_module(name)
        names = getattr(module, "__all__", [])
        yield name, [n for n in names if not _stands_elsewhere(getattr(module, n), subpackage)]


def _write_api(app, config):
    """What the package exports is the list of pages: no second list to keep."""
    lines = ["API", "===", ""]
    for module, names in _public():
        if names:
            first = (import_module(module).__doc__ or "").splitlines()[0]
            lines += [module, "-" * len(module), "", first, ""]
            lines += [".. autosummary::", "   :toctree: _build/api", ""]
            lines += [*(f"   {module}.{name}" for name in names), ""]
    text = "\n".join(lines)
    if not API.exists() or API.read_text() != text:
        API.write_text(text)


def setup(app):
    """Write the list before Sphinx looks for pages."""
    app.connect("config-inited", _write_api)
