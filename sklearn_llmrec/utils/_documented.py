"""Docstrings whose parameters and attributes are described once for several estimators."""

import inspect
import re
from collections.abc import Callable, Mapping
from textwrap import indent
from typing import TypeVar

_Kind = TypeVar("_Kind", bound=type)
_NAMES = re.compile(r"^ +\{([\w,\s]+)\}$", re.MULTILINE)

#: What is said of nearly every estimator.
COMMON_TEXTS = {
    "n_jobs": "int\nThreads. None means 1 unless in a joblib context, -1 all cores.",
    "item_popularity_": """ndarray of shape (n_items,), float64
Number of users who interacted with each item at `fit`.""",
    "n_features_in_": "int\nNumber of items.",
}


def documented(texts: Mapping[str, str]) -> Callable[[_Kind], _Kind]:
    """Fill lines such as ``{max_iter, verbose}`` of a class docstring with what `texts` say of these names.

    A text is the type and, on the lines after it, the description. Defaults are read from the signature.
    """

    def fill(kind: _Kind) -> _Kind:
        parameters = inspect.signature(kind).parameters

        def entry(name: str) -> str:
            what, _, text = texts[name].partition("\n")
            default = parameters[name].default if name in parameters else inspect.Parameter.empty
            if default is not inspect.Parameter.empty:
                what += (
                    f', default="{default}"' if isinstance(default, str) else f", default={default}"
                )
            return f"{name} : {what}\n{indent(text, '    ')}"

        def entries(match: re.Match[str]) -> str:
            names = re.findall(r"\w+", match[1])
            return indent("\n".join(entry(name) for name in names), "    ")

        kind.__doc__ = _NAMES.sub(entries, kind.__doc__ or "")
        return kind

    return fill
