"""Write the table of capabilities from the tags, methods and parameters of the estimators.

`capabilities` needs no Sphinx, so that the tests can compare each cell with what the estimator does. The directive
``{capabilities}`` puts the table on a page.
"""

import ast
import inspect
import sys

from sklearn_llmrec.base import PartialFitMixin
from sklearn_llmrec.base._discovery import all_recommenders
from sklearn_llmrec.ensemble import BaseReranker

# Each column with what a "yes" means.
COLUMNS = {
    "order": "reads the order or the times of events",
    "ratings": "predicts ratings on the scale of X",
    "content": "reads texts, features or categories of items",
    "partial_fit": "learns from further users without the old ones",
    "new columns": "`partial_fit` takes up items that the fit did not know",
    "explain": "splits a score into parts of the history",
    "similar_items": "lists the items most similar to an item",
    "index": "works inside `IndexedRecommender`",
    "privacy": "fits with a privacy budget",
    "extra": "what has to be installed beside the core",
}
_CONTENT = {"item_texts", "item_features", "categories"}
_ORDER = {"order", "half_life"}
_DELEGATED = {"estimator": "as its base", "center": "with `center`"}


def _method(kind, name):
    """Return "yes" where the class has a method, and the condition where it depends on a parameter."""
    if not hasattr(kind, name):
        return ""
    is_conditional = hasattr(inspect.getattr_static(kind, name), "check")
    conditions = [
        _DELEGATED[word] for word in inspect.signature(kind).parameters if word in _DELEGATED
    ]
    return conditions[0] if is_conditional and conditions else "yes"


def _partial_fit(kind):
    """Return "yes" where further users are learned, and "feedback" where a reranker learns what was chosen."""
    cell = _method(kind, "partial_fit")
    return "feedback" if cell == "yes" and issubclass(kind, BaseReranker) else cell


def _takes_new_columns(kind):
    """Return whether a class that learns in parts implements what new columns need."""
    if not issubclass(kind, PartialFitMixin):
        return False
    return kind._extend_items is not PartialFitMixin._extend_items


def _extra(kind):
    """Return the extra that the module of a class, or of the nearest base class, calls for; empty for none."""
    for parent in kind.__mro__:
        module = sys.modules[parent.__module__]
        if not parent.__module__.startswith("sklearn_llmrec"):
            continue
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                words = [*node.args[1:], *(word.value for word in node.keywords)]
                return words[0].value
    return ""


def capabilities():
    """Return the cells of every public recommender, by its name and by the name of the column.

    Returns
    -------
    table : dict of str to dict of str to str
        A cell is "yes", empty for no, or a condition in words.
    """
    table = {}
    for name, kind in all_recommenders():
        parameters = set(inspect.signature(kind).parameters)
        table[name] = {
            "order": "yes" if _ORDER & parameters else "",
            "ratings": _method(kind, "predict_baseline"),
            "content": "yes" if _CONTENT & parameters else "",
            "partial_fit": _partial_fit(kind),
            "new columns": "yes" if _takes_new_columns(kind) else "",
            "explain": _method(kind, "explain"),
            "similar_items": _method(kind, "similar_items"),
            "index": "yes" if hasattr(kind, "_retrieval_vectors") else "",
            "privacy": "yes" if "privacy" in parameters else "",
            "extra": _extra(kind),
        }
    return table


def markdown():
    """Return the table as Markdown, one line per recommender."""
    titles = ["estimator", *COLUMNS]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for name, cells in capabilities().items():
        words = [cells[column] for column in COLUMNS]
        lines.append("| " + " | ".join([f"`{name}`", *words]) + " |")
    return "\n".join(lines)


def setup(app):
    """Register the directive ``capabilities``."""
    from docutils import nodes
    from docutils.parsers.rst import Directive
    from docutils.statemachine import StringList

    class CapabilityTable(Directive):
        """Put the generated table in the place of the directive."""

        def run(self):
            """Parse the table as Markdown."""
            box = nodes.container(classes=["capabilities"])
            self.state.nested_parse(StringList(markdown().splitlines()), self.content_offset, box)
            return [box]

    app.add_directive("capabilities", CapabilityTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
