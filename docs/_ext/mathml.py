"""Render formulas as MathML, which browsers draw without a script or a font from another site."""

import re

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _mathml(node, display):
    """Return the formula of a math node as MathML text."""
    formula = node.astext()
    if display and "\\\\" in formula and r"\begin" not in formula:
        formula = rf"\begin{{aligned}} {formula} \end{{aligned}}"
    formula = re.sub(r"\\[bB]ig(?=\W)", "", formula)  # sizes that docutils does not know
    try:
        return latex2mathml.tex2mathml(formula, as_block=display)
    except MathError as error:
        logger.warning("A formula cannot be drawn: %s: %s", error, formula, location=node)
        return f"<code>{formula}</code>"


def visit_math(translator, node):
    """Write an inline formula."""
    translator.body.append(_mathml(node, display=False))
    raise nodes.SkipNode


def visit_displaymath(translator, node):
    """Write a formula in a paragraph of its own."""
    translator.body.append(f'<div class="math">{_mathml(node, display=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Register the renderer; `html_math_renderer = "mathml"` chooses it."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
