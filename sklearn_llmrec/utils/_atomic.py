"""Change estimators completely or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_E = TypeVar("_E")


_ORIGINAL = "_snapshot_of"


def original(estimator: Any) -> Any:
    """Return the estimator that a snapshot of `on_one_state` was taken of; any other estimator itself."""
    return vars(estimator).get(_ORIGINAL, estimator)


@contextmanager
def restored_on_error(estimator: Any) -> Iterator[None]:
    """Restore the estimator if the block fails, whatever the block had already set."""
    before = dict(estimator.__dict__)
    try:
        yield
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise


def snapshot(estimator: _E) -> _E:
    """Return an object with the attributes that the estimator has now; the arrays are shared."""
    copied = object.__new__(type(estimator))
    # One step of the interpreter: no other thread sets an attribute in between.
    vars(copied).update(vars(estimator))
    return copied


@contextmanager
def built_aside(estimator: _E) -> Iterator[_E]:
    """Yield a snapshot to change, and move its state into the estimator in one step at the end.

    If the block fails, the estimator is as it was. Another thread that reads the estimator through methods of
    `on_one_state` sees the old state or the new one. The block must replace arrays, never change them in place.
    """
    changed = snapshot(estimator)
    yield changed
    estimator.__dict__ = vars(changed)


def on_one_state(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a method that reads a fitted estimator work on a snapshot, where `partial_fit` may change it meanwhile."""

    @wraps(method)
    def reading(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        self: Any = args[0]
        if not hasattr(type(self), "partial_fit"):
            return method(*args, **kwargs)
        taken = snapshot(self)
        vars(taken).setdefault(_ORIGINAL, self)  # a snapshot of a snapshot keeps the first
        return method(taken, *args[1:], **kwargs)  # type: ignore[arg-type]

    return reading
