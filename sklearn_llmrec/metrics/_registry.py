"""The metrics by name: their inputs, and whether larger is better."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_llmrec.metrics import _exposure, _measures
from sklearn_llmrec.metrics._hits import Ranking


@dataclass(frozen=True)
class Metric:
    """One metric as scorers and tables need it."""

    name: str
    compute: Callable[
        [Ranking, int], Any
    ]  # values of every row, NaN where undefined; or one number
    cutoff: bool = True  # whether its name takes @k
    per_user: bool = True
    greater_is_better: bool = True
    needs: tuple[str, ...] = ("targets",)  # attributes of Ranking


def _metrics() -> Iterable[Metric]:
    r, b = _measures, _exposure
    yield Metric("ndcg", r.ndcg)
    yield Metric("graded_ndcg", partial(r.ndcg, gains="graded"))
    yield Metric("exponential_ndcg", partial(r.ndcg, gains="exponential"))
    yield Metric("precision", r.precision)
    yield Metric("recall", r.recall)
    yield Metric("capped_recall", partial(r.recall, denominator="min(k,n)"))
    yield Metric("f1", r.f1)
    yield Metric("hit_rate", r.hit_rate)
    yield Metric("mrr", r.mrr)
    yield Metric("map", r.average_precision)
    yield Metric("uncapped_map", partial(r.average_precision, denominator="n"))
    yield Metric("r_precision", r.r_precision_of, cutoff=False)
    yield Metric("auc", r.auc, cutoff=False, needs=("targets", "scores"))
    yield Metric("item_coverage", b.covered_items, per_user=False, needs=())
    yield Metric("user_coverage", b.covered_users, per_user=False, needs=())
    yield Metric("gini", b.gini, per_user=False, greater_is_better=False, needs=())
    yield Metric("entropy", b.entropy, per_user=False, needs=())
    yield Metric("diversity", b.diversity, needs=("item_features",))
    yield Metric("novelty", b.novelty, needs=("popularity",))
    yield Metric("serendipity", b.serendipity, needs=("targets", "popularity"))
    yield Metric("popularity", b.mean_popularity, greater_is_better=False, needs=("popularity",))
    yield Metric(
        "miscalibration",
        b.miscalibration,
        greater_is_better=False,
        needs=("profile", "item_features"),
    )
    yield Metric("new_items", b.new_items, needs=("profile",))
    yield Metric("cold_items", b.cold_items, needs=("popularity",))


METRICS = {metric.name: metric for metric in _metrics()}


@dataclass(frozen=True)
class RequestedMetric:
    """A requested metric with its cut-off."""

    label: str
    metric: Metric
    k: int

    def values(self, ranking: Ranking) -> Any:
        """Return the metric of every row (NaN where it is not defined), or of the whole ranking."""
        for needed in self.metric.needs:
            if getattr(ranking, needed) is None:
                raise ValueError(f"{self.label!r} needs {_WORDS[needed]}.")
        return self.metric.compute(ranking, self.k)

    def value(self, ranking: Ranking) -> float:
        """Return the mean over the rows where the metric is defined, or the one number."""
        return mean(self.values(ranking)) if self.metric.per_user else float(self.values(ranking))


_WORDS = {
    "targets": "y_true with targets",
    "scores": "scores of all items (floating, one column per item); lists do not contain them",
    "popularity": "the popularity of the items: pass popularity=, or score a fitted recommender "
    "that has item_popularity_ (a Pipeline or search over one will do)",
    "item_features": "item_features=, a matrix of one row per item",
    "profile": "seen=, the interactions that the recommender was given",
}


def mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def metric_names() -> list[str]:
    """Return all names; those with a cut-off are written as ``name@k``."""
    return sorted(m.name + ("@k" if m.cutoff else "") for m in METRICS.values())


def unknown_name(given: object, known: list[str], what: str) -> ValueError:
    """Return the error message for an unknown name, with the nearest known name."""
    name, _, cut = str(given).partition("@")
    near = get_close_matches(name.lower(), [k.removesuffix("@k") for k in known], n=1, cutoff=0.5)
    if near and f"{near[0]}@k" in known:
        near = [f"{near[0]}@{cut if re.fullmatch('[1-9][0-9]*', cut) else 10}"]
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"Unknown {what} {given!r}.{hint} Known: {', '.join(known)}.")


def parse(label: Any) -> RequestedMetric:
    """Parse a metric name such as ``"ndcg@10"``.

    Raises
    ------
    ValueError
        If the metric is unknown, or the cut-off is missing, misplaced or no positive integer.
    """
    name, separator, cut = label.partition("@") if isinstance(label, str) else (label, "", "")
    if name not in METRICS:
        raise unknown_name(label, metric_names(), "metric")
    metric = METRICS[name]
    if not metric.cutoff:
        if separator:
            raise ValueError(f"{name!r} takes no cut-off, got {label!r}.")
        return RequestedMetric(label, metric, 0)
    if not separator:
        raise ValueError(f"{name!r} needs a cut-off: say {name + '@10'!r}.")
    if not re.fullmatch(r"[1-9][0-9]*", cut):
        raise ValueError(
            f"The cut-off of {label!r} must be a positive integer: say {name + '@10'!r}."
        )
    return RequestedMetric(label, metric, int(cut))


def parse_all(metrics: Any) -> list[RequestedMetric]:
    """Parse one name or several.

    Raises
    ------
    ValueError
        As `parse`, and for an empty or repeating list.
    TypeError
        If it is neither a string nor a collection of strings.
    """
    if isinstance(metrics, str):
        return [parse(metrics)]
    if not isinstance(metrics, Iterable):
        raise TypeError(f"metrics must be a name or a list of names, got {metrics!r}.")
    requested = [parse(label) for label in metrics]
    labels = [request.label for request in requested]
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"metrics must be a list of different names, got {labels}.")
    return requested
