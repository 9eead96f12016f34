"""Read the answers of language models strictly: only real candidates are accepted."""

import json
import re
from collections import Counter
from typing import Any

import numpy as np

# What models that reason aloud write before their answer; some servers leave out the opening tag.
_THOUGHT = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"<think(?:ing)?>.*", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"\s*#?([0-9]{1,9})\.?\s*")
# Braces that are tried as the beginning of the answer: a bound for hostile texts.
_MAX_TRIES = 1000


class UnreadableAnswer(ValueError):
    """The answer is not the requested JSON object."""


def json_object(answer: str, key: str) -> dict[str, Any]:
    """Return the last JSON object with a key in an answer, whatever text surrounds it.

    Models put objects into prose and code fences, and reason aloud before. A thought that does not end is not followed
    by an answer.

    Raises
    ------
    UnreadableAnswer
        If there is no such object.
    """
    text = _OPEN_THOUGHT.sub("", _THOUGHT.sub("", answer))
    decoder, found, start = json.JSONDecoder(), None, text.find("{")
    for _ in range(_MAX_TRIES):
        if start < 0:
            break
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            found = value if key in value else found
        start = text.find("{", end)
    if found is None:
        raise UnreadableAnswer(f"the answer contains no JSON object with {key!r}")
    return found


def read_ranking(answer: str, n: int) -> tuple[list[int], Counter[str]]:
    """Return positions 0 to n - 1 in the order of an answer, each exactly once, and the faults of the answer.

    Numbers may be texts ("3", "#3", "3."). Numbers outside 1 to n (or no whole numbers) are invented and dropped, a
    second mention is dropped, what is missing follows in the order given.

    Raises
    ------
    UnreadableAnswer
        If there is no list of numbers to read.
    """
    ranking = json_object(answer, "ranking")["ranking"]
    if not isinstance(ranking, list):
        raise UnreadableAnswer("'ranking' is no list")
    counts: Counter[str] = Counter()
    order: dict[int, None] = {}
    for entry in ranking:
        number = _whole_number(entry)
        if number is None or not 1 <= number <= n:
            counts["invented"] += 1
        elif number - 1 in order:
            counts["repeated"] += 1
        else:
            order[number - 1] = None
    if not order:
        raise UnreadableAnswer("no candidate is in the list")
    missing = [position for position in range(n) if position not in order]
    counts["omitted"] += len(missing)
    return [*order, *missing], counts


def _whole_number(entry: Any) -> int | None:
    """Return the number that an entry of a list writes, in one of the ways that models write numbers."""
    if isinstance(entry, str):
        written = _NUMBER.fullmatch(entry)
        return int(written.group(1)) if written else None
    if isinstance(entry, float) and entry.is_integer():
        return int(entry)
    return entry if isinstance(entry, int) and not isinstance(entry, bool) else None


def read_reasons(answer: str, n: int) -> list[str | None]:
    """Return a reason for each of n items, None where the answer has none.

    Raises
    ------
    UnreadableAnswer
        If the answer contains no reasons.
    """
    reasons = json_object(answer, "reasons")["reasons"]
    if not isinstance(reasons, dict):
        raise UnreadableAnswer("'reasons' is no object")
    texts = [reasons.get(str(number)) for number in range(1, n + 1)]
    return [
        " ".join(text.split()) if isinstance(text, str) and text.strip() else None for text in texts
    ]


def read_gains(answer: str, n: int) -> list[int]:
    """Return positions 0 to n - 1 by falling gain, equal ones as they came.

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
