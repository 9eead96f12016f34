"""A strict reader of what language models answer: only real candidates come out."""

import json
import re
from collections import Counter
from typing import Any

import numpy as np

_FENCE = re.compile(r"^```(?:json)?\s*\n(.*?)\n?```$", re.DOTALL)


# What models that reason aloud write before their answer.
_THOUGHT = re.compile(r"^<think>.*?</think>", re.DOTALL)


class UnreadableAnswer(ValueError):
    """The answer is not the JSON object that was asked for."""


def json_object(answer: str) -> dict[str, Any]:
    """The one JSON object of an answer, a thought before it and a code fence around it allowed.

    Raises
    ------
    UnreadableAnswer
        If the answer is anything else.
    """
    text = _THOUGHT.sub("", answer.strip()).strip()
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced.group(1) if fenced else text)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswer("no JSON") from error
    if not isinstance(value, dict):
        raise UnreadableAnswer("no JSON object")
    return value


def read_ranking(answer: str, n: int) -> tuple[list[int], Counter[str]]:
    """Positions 0 to n - 1 in the order of an answer, each exactly once, and what was wrong with it.

    Numbers outside 1 to n (or no whole numbers) are invented and dropped, a second mention is
    dropped, what is missing follows in the order given.

    Raises
    ------
    UnreadableAnswer
        If there is no list of numbers to read.
    """
    ranking = json_object(answer).get("ranking")
    if not isinstance(ranking, list):
        raise UnreadableAnswer("no list 'ranking'")
    counts: Counter[str] = Counter()
    order: dict[int, None] = {}
    for number in ranking:
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= n:
            counts["invented"] += 1
        elif number - 1 in order:
            counts["repeated"] += 1
        else:
            order[number - 1] = None
    if not order:
        raise UnreadableAnswer("no candidate in the list")
    missing = [position for position in range(n) if position not in order]
    counts["omitted"] += len(missing)
    return [*order, *missing], counts


def read_reasons(answer: str, n: int) -> list[str | None]:
    """A reason for each of n items, None where the answer has none.

    Raises
    ------
    UnreadableAnswer
        If the answer holds no reasons.
    """
    reasons = json_object(answer).get("reasons")
    if not isinstance(reasons, dict):
        raise UnreadableAnswer("no object 'reasons'")
    texts = [reasons.get(str(number)) for number in range(1, n + 1)]
    return [
        " ".join(text.split()) if isinstance(text, str) and text.strip() else None for text in texts
    ]


def read_gains(answer: str, n: int) -> list[int]:
    """Positions 0 to n - 1 by falling gain, equal ones as they came.

    Raises
    ------
    UnreadableAnswer
        If there are not n finite numbers to read.
    """
    try:
        gains = np.asarray(json.loads(answer), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UnreadableAnswer("no list of numbers") from error
    if gains.shape != (n,) or not np.isfinite(gains).all():
        raise UnreadableAnswer("not one finite number per candidate")
    # A trace of rounding must not decide between texts that are equally likely.
    order: list[int] = np.argsort(-np.round(gains, 4), kind="stable").tolist()
    return order
