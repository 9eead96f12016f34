"""Name the remedy if a call does not fit a signature."""

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Arguments of other libraries, by what does their work here.
_ELSEWHERE = {
    "k": "N n K topk top_k top_n n_items num_items n_recommendations num_recommendations howmany",
    "exclude_seen": (
        "filter_already_liked_items filter_viewed filter_seen remove_seen remove_known_pos "
        "filter_previously_rated exclude_known"
    ),
    "candidates": "items_to_recommend item_whitelist filter_items item_subset items_whitelist",
    "X": "user users userid user_id user_ids uid user_items user_row interactions dataset",
    "items": "item itemid item_id item_ids iid",
    "n_components": "factors no_components n_factors embedding_dim embedding_size hidden_size",
    "max_iter": "iterations epochs n_epochs num_epochs n_iterations",
    "n_neighbors": "k K n_neighbours neighbors neighbours topK",
    "regularization": "reg lambda_ lambda_reg l2 l2_reg weight_decay alpha_reg",
    "learning_rate": "lr lr_all",
    "metric": "similarity sim sim_options",
    "random_state": "seed random_seed",
    "n_jobs": "num_threads n_threads num_workers workers",
    "verbose": "show_progress progress verbose_level",
    "device": "use_gpu gpu cuda",
    "max_length": "max_len maxlen max_seq_length seq_len",
    "n_layers": "num_layers num_blocks num_hidden_layers",
    "n_heads": "num_heads num_attention_heads",
}
# What a parameter expects, where another library expects something else.
_NOTES = {
    "X": " A user is given as a row of interactions: X[X.user_rows(ids)] are the rows of user ids.",
    "exclude_seen": " True leaves out what the row contains.",
    "candidates": " It contains what may be recommended.",
}
# What a method returns, for calls in the style of other libraries.
_RETURNS = {
    "predict": " predict(X) scores every item for every row: predict(X)[row, column] is the score of one pair.",
    "recommend": " recommend takes rows of interactions, X[X.user_rows(ids)] for user ids, and no user ids.",
}


def _hint(unknown: str, parameters: Iterable[str]) -> str:
    """Return a hint: the parameter that an unknown one was meant to be, or all parameters."""
    known = list(parameters)
    for ours, theirs in _ELSEWHERE.items():
        if ours in known and unknown in theirs.split():
            return f" {unknown!r} of other libraries is called {ours!r} here.{_NOTES.get(ours, '')}"
    folded = {name.lower(): name for name in known}
    near = get_close_matches(unknown.lower(), folded, n=1)
    return f" Did you mean {folded[near[0]]!r}?" if near else ""


def _refusal(name: str, signature: inspect.Signature, error: TypeError, given: Any) -> TypeError:
    """Return the error for a call that does not fit: cause, remedy and the valid parameters."""
    known = {p: value for p, value in signature.parameters.items() if p != "self"}
    hints = "".join(_hint(argument, known) for argument in given if argument not in known)
    shown = ", ".join(str(value.replace(annotation=inspect._empty)) for value in known.values())
    keywords = [p for p, value in known.items() if value.kind is value.KEYWORD_ONLY]
    if "too many positional" in str(error) and keywords:
        hints += f" Pass the others by name: {keywords[0]}=..."
    if "too many positional" in str(error):
        hints += _RETURNS.get(name.rpartition(".")[2], "")
    return TypeError(f"{name}: {error}.{hints} Its parameters are: {shown}.")


def check_arguments(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a public function or method name the remedy if a call does not fit its signature.

    The signature that `help`, editors and type checkers see stays that of the function.
    """
    signature = inspect.signature(function)
    is_method = next(iter(signature.parameters), "") == "self"

    @wraps(function)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            # Without a further frame the call itself did not fit; binding all arguments first would slow every call.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            name = function.__name__
            if is_method and args:
                owner = type(args[0]).__name__
                name = owner if name == "__init__" else f"{owner}.{name}"
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise _refusal(name, signature, error, kwargs) from None
        raise AssertionError(f"{name} refused arguments that fit its signature.")

    return checked
