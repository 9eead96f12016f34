"""Models by name."""

from collections.abc import Mapping
from typing import Any

from sklearn_llmrec.utils import last_step


def named(models: Any, what: str = "estimators") -> dict[str, Any]:
    """Return models by name, from a dict, a list of (name, model) pairs, a list of models or one model.

    Raises
    ------
    ValueError
        If there are none, or a name is not a string or occurs twice.
    """
    if isinstance(models, Mapping):
        pairs = list(models.items())
    elif isinstance(models, list | tuple):
        pairs = [
            model if isinstance(model, tuple) else (_class_name(model), model) for model in models
        ]
        if not any(isinstance(model, tuple) for model in models):
            pairs = _numbered(pairs)
    else:
        pairs = [(_class_name(models), models)]
    wrong = [pair for pair in pairs if len(pair) != 2 or not isinstance(pair[0], str)]
    if wrong or not pairs:
        raise ValueError(
            f"{what} must be a dict of name to model or a list of (name, model) pairs, at least one; got {models!r}."
        )
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"{what} must have different names, got {names}.")
    return dict(pairs)


def _class_name(estimator: Any) -> str:
    return type(last_step(estimator)).__name__


def _numbered(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Append a number to names that occur more than once."""
    names = [name for name, _ in pairs]
    return [
        (name if names.count(name) == 1 else f"{name}-{names[: i + 1].count(name)}", model)
        for i, (name, model) in enumerate(pairs)
    ]
