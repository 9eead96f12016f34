"""Render formulas as MathML, which browsers draw without a script or a font from another site."""

from docutils import nodes
from docutils.utils.math import latex2mathml


def _mathml(node, display):
    """Return the formula of a math node as MathML text."""
    formula = node.astext()
    if display and "\\\\" in formula:
        formula = rf"\begin{{align}} {formula} \end{{align}}"
    return latex2mathml.tex2mathml(formula, as_block=display)


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
