"""Answer requests in batches: lists that have the same settings come from one call of the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from sklearn_llmrec.serving._errors import Refused
from sklearn_llmrec.serving._live import LiveEvents
from sklearn_llmrec.serving._schemas import ExplainBody, Recommendation, SimilarBody
from sklearn_llmrec.serving._served import Lists, Row, ServedModel


class ListJob:
    """A request for a list, with the model that was current when it arrived.

    Parameters
    ----------
    served : ServedModel
    request : Recommendation
    request_id : str
    live : LiveEvents or None
    after : int
        The last event that the histories of the model contain.
    """

    __slots__ = ("after", "live", "request", "request_id", "served")

    def __init__(
        self,
        served: ServedModel,
        request: Recommendation,
        request_id: str,
        live: LiveEvents | None,
        after: int,
    ) -> None:
        self.served, self.request, self.request_id = served, request, request_id
        self.live, self.after = live, after

    @property
    def group(self) -> tuple[Any, ...]:
        """Return what jobs must share to be answered in one call."""
        asked = self.request
        return (
            id(self.served),
            asked.k,
            asked.exclude_seen,
            asked.exclude is None,
            asked.candidates is None,
        )

    def row(self) -> Row:
        """Return the history that the list is for."""
        return row_of(self.served, self.request, self.live, self.after)


class QuestionJob:
    """A request that is answered alone.

    Parameters
    ----------
    answer : callable
        Returns the answer.
    """

    __slots__ = ("answer",)

    def __init__(self, answer: Callable[[], dict[str, Any]]) -> None:
        self.answer = answer


def row_of(
    served: ServedModel,
    asked: Recommendation | ExplainBody,
    live: LiveEvents | None,
    after: int,
) -> Row:
    """Return the history of a request: that of its user, or the one in the request."""
    if asked.history is not None:
        return served.row_of_history(asked.history, asked.times)
    return served.row_of_user(asked.user, live, after)


#: Called with the jobs of a call and their lists.
OnLists = Callable[[list[ListJob], Lists], None]


def answer_jobs(
    jobs: list[ListJob | QuestionJob], on_lists: OnLists | None = None
) -> Sequence[Any]:
    """Answer jobs; a failed job gets its exception as answer."""
    results: list[Any] = [None] * len(jobs)
    groups: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, job in enumerate(jobs):
        if isinstance(job, ListJob):
            groups[job.group].append(place)
            continue
        try:
            results[place] = job.answer()
        except Exception as error:
            results[place] = error
    for places in groups.values():
        asked = [jobs[place] for place in places]
        for place, result in zip(places, _answer_group(asked, on_lists)):  # type: ignore[arg-type]
            results[place] = result
    return results


def _answer_group(jobs: list[ListJob], on_lists: OnLists | None) -> Sequence[Any]:
    """Answer jobs of one group; a job that fails does not affect the others."""
    try:
        return _lists(jobs, on_lists)
    except Exception as error:
        if len(jobs) == 1:
            # Values that the library refuses come from the request: everything else was checked before.
            refused = Refused(422, "refused", str(error)) if type(error) is ValueError else error
            return [refused]
        return [result for job in jobs for result in _answer_group([job], on_lists)]


def _lists(jobs: list[ListJob], on_lists: OnLists | None) -> list[dict[str, Any]]:
    served, first = jobs[0].served, jobs[0].request
    rows = [job.row() for job in jobs]
    among: dict[str, Any] = {}
    if first.exclude is not None:
        among["exclude"] = [served.columns_of(job.request.exclude or []) for job in jobs]
    if first.candidates is not None:
        among["candidates"] = [served.columns_of(job.request.candidates or []) for job in jobs]
    lists = served.lists(rows, first.k, exclude_seen=first.exclude_seen, **among)
    lengths = (lists.items >= 0).sum(axis=1).tolist()
    found = zip(jobs, rows, lists.items.tolist(), lists.scores.tolist(), lengths)
    answers = [_list_answer(*parts) for parts in found]
    if on_lists is not None and served.bandit is not None:
        on_lists(jobs, lists)
    return answers


def _list_answer(
    job: ListJob, row: Row, items: list[int], scores: list[float], length: int
) -> dict[str, Any]:
    served = job.served
    columns = items[:length]
    answer: dict[str, Any] = {
        "request_id": job.request_id,
        "items": [served.item_ids[column] for column in columns],
        "scores": scores[:length],
    }
    if row.known_user is not None:
        answer["known_user"] = row.known_user
    if row.n_unknown:
        answer["unknown_items"] = row.n_unknown
    if job.request.columns:
        answer["columns"] = {name: served.feature(name, columns) for name in job.request.columns}
    return answer


def similar_answer(served: ServedModel, asked: SimilarBody) -> dict[str, Any]:
    """Return the items most similar to each of some.

    Raises
    ------
    Refused
        If the model has no similarities, or does not know one of them.
    """
    if not hasattr(served.model, "similar_items"):
        raise _cannot(served, "similar items")
    _known(served, asked.items)
    results = []
    for item, columns, values in zip(asked.items, *map(list, served.similar(asked.items, asked.k))):
        kept = columns >= 0
        chosen = columns[kept].tolist()
        result: dict[str, Any] = {
            "item": item,
            "items": [served.item_ids[column] for column in chosen],
            "similarities": values[kept].tolist(),
        }
        if asked.columns:
            result["columns"] = {name: served.feature(name, chosen) for name in asked.columns}
        results.append(result)
    return {"results": results}


def explain_answer(
    served: ServedModel, asked: ExplainBody, live: LiveEvents | None, after: int
) -> dict[str, Any]:
    """Return the contribution of each item of a history to the score of an item.

    Raises
    ------
    Refused
        If the model has no explanations, or does not know the item.
    """
    if not hasattr(served.model, "explain"):
        raise _cannot(served, "explanations")
    _known(served, [asked.item])
    columns, values = served.contributions(row_of(served, asked, live, after), asked.item)
    return {
        "item": asked.item,
        "items": [served.item_ids[column] for column in columns.tolist()],
        "contributions": values.tolist(),
    }


def _cannot(served: ServedModel, what: str) -> Refused:
    return Refused(404, "not_offered", f"{type(served.model).__name__} gives no {what}.")


def _known(served: ServedModel, items: list[Any]) -> None:
    unknown = sum(item not in served.column_of for item in items)
    if unknown:
        raise Refused(404, "unknown_item", f"{unknown} of the items are not in the catalogue.")
