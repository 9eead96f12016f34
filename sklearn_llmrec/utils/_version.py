"""The version of the package for modules below its top level."""

from importlib import import_module


def package_version() -> str:
    """Return `sklearn_llmrec.__version__`; the top level is loaded already when anything below it runs."""
    return str(import_module("sklearn_llmrec").__version__)
