"""Show a comparison in a notebook."""

from typing import Any

import numpy as np

from sklearn_llmrec.utils import html_table


def number_text(value: float) -> str:
    """Return a number with four decimals, or one if it is large; "-" if it is not defined."""
    if np.isnan(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"


def pair_text(low: float, high: float) -> str:
    """Return the ends of an interval as text."""
    return f"[{number_text(low)}, {number_text(high)}]"


def p_text(value: float) -> str:
    """Return a p-value as text."""
    if np.isnan(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def seconds_text(value: float) -> str:
    """Return seconds as text; "-" if nothing was timed."""
    return "-" if np.isnan(value) else f"{value:.2f}"


def comparison_html(comparison: Any) -> str:
    """Return HTML of a `Comparison`: one table per metric and one of the seconds."""
    parts = [_metric_html(comparison, metric) for metric in comparison.metrics]
    seconds = zip(comparison.names, comparison.fit_seconds, comparison.rank_seconds)
    rows = [(name, seconds_text(fit), seconds_text(rank)) for name, fit, rank in seconds]
    left_out = f", {comparison.n_left_out} left out" if comparison.n_left_out else ""
    caption = f"seconds; {comparison.n_users} users{left_out}"
    return "".join([*parts, html_table(("model", "fit", "rank"), rows, caption)])


def _metric_html(comparison: Any, metric: str) -> str:
    found = comparison._summaries[metric]
    if metric not in comparison.per_user:
        figures = [(name, number_text(value)) for name, value in zip(comparison.names, found.mean)]
        return html_table(("model", "value"), figures, metric)
    apart = bool(comparison.n_with_history and comparison.n_without_history)
    rivals = len(comparison.names) > 1
    head = ["model", "mean", f"{100 * comparison.confidence:g} % interval"]
    head += ["with history", "without"] if apart else []
    head += [f"difference to {comparison.reference[metric]}", "p"] if rivals else []
    rows = []
    for i, name in enumerate(comparison.names):
        row = [name, number_text(found.mean[i]), pair_text(found.low[i], found.high[i])]
        if apart:
            row += [number_text(found.with_history[i]), number_text(found.without_history[i])]
        if rivals and name == comparison.reference[metric]:
            row += ["", ""]
        elif rivals:
            ends = pair_text(found.difference_low[i], found.difference_high[i])
            row += [f"{number_text(found.difference[i])} {ends}", p_text(found.p_value[i])]
        rows.append(row)
    return html_table(head, rows, metric)
