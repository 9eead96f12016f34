"""What all trained networks share as estimators: constraints of their parameters, and what docstrings say of them."""

from numbers import Integral, Real
from typing import Any

from sklearn_llmrec.utils import COMMON_TEXTS, Interval, warn

NETWORK_CONSTRAINTS: dict[str, Any] = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "regularization": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
STOPPING_CONSTRAINTS: dict[str, Any] = {
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
}

#: For `documented`.
NETWORK_TEXTS = {
    **COMMON_TEXTS,
    "learning_rate": "float\nStep size of Adam.",
    "regularization": "float\nThe L2 penalty on all weights.",
    "max_iter": "int\nThe most epochs.",
    "n_iter_no_change": "int\nHow many epochs the validation score may go without a new best.",
    "device": """str
Where to compute: "cpu", "cuda", "cuda:1", ...; "auto" is a GPU where there is one.""",
    "random_state": """int, RandomState instance or None
Start and all draws. Equal seeds give equal models on a CPU with equally many threads.""",
    "verbose": "bool\nWhether to print a line per epoch.",
    "weights_": "dict of str to ndarray\nAll weights of the network.",
    "loss_curve_": "list of float\nMean training loss of every epoch.",
    "best_epoch_": "int\nThe epoch, from 1, whose weights were kept.",
    "n_iter_": "int\nEpochs trained.",
}


def warn_without_validation(estimator: Any, n_users: int, needed: int) -> None:
    """Warn that early stopping is off because no user is left to validate with."""
    warn(
        f"{type(estimator).__name__} trains for all of max_iter={estimator.max_iter} epochs, without early stopping: "
        f"{n_users} users have at least {needed} events, and validation_fraction={estimator.validation_fraction:g} of "
        "them is no user. Fit on more users, raise validation_fraction, or choose max_iter with early_stopping=False."
    )
