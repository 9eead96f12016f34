"""Contrastive training of a sentence model on items that are consumed together."""

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec.text import _models
from sklearn_llmrec.utils import canonical, require

# Pairs of one user: heavy users would be all that is learned from.
_MOST_PAIRS = 20


def checked_groups(y: Any, n_texts: int) -> sp.csr_array:
    """Check and return the matrix of users by texts.

    Raises
    ------
    ValueError
        If there is nothing to learn from.
    """
    if y is None:
        raise ValueError(
            "fine_tune learns from what is consumed together: pass y, a matrix of shape (n_texts, n_users) "
            "whose non-zero entries say who had which text (X.T for interactions X), or give the encoder to a "
            "recommender, which does that."
        )
    M = sp.csr_array(y)
    if M.ndim != 2 or M.shape[0] != n_texts:
        raise ValueError(
            f"y has shape {M.shape} and there are {n_texts} texts: fine_tune needs one row of y per text."
        )
    return canonical(M.T.tocsr())


def pairs(groups: sp.csr_array, texts: list[str], random_state: int) -> list[tuple[str, str]]:
    """Return pairs of different texts of one user, each text with a random other one of the same user."""
    rng = np.random.default_rng(random_state)
    found = []
    for row in range(groups.shape[0]):
        user_items = groups.indices[groups.indptr[row] : groups.indptr[row + 1]]
        user_items = rng.permutation(user_items)[: _MOST_PAIRS + 1]
        found += [(texts[a], texts[b]) for a, b in pairwise(user_items)]
    found = [(a, b) for a, b in found if a and b and a != b]
    order: NDArray[np.intp] = rng.permutation(len(found))
    return [found[i] for i in order]


def tune(
    folder: Path,
    target: Path,
    rows: list[tuple[str, str]],
    options: dict[str, Any],
    seed: int,
    verbose: bool,
) -> None:
    """Train the model of `folder` on pairs with the trainer of sentence-transformers; save it as `target`."""
    library = require("sentence_transformers", extra="text")
    datasets = require("datasets", extra="train")
    require("accelerate", extra="train")
    from transformers import PrinterCallback

    training = _part("training_args")
    losses = _part("losses")
    with _own_randomness(seed), TemporaryDirectory() as scratch, warnings.catch_warnings():
        # The trainer's own words about machines without accelerators.
        warnings.filterwarnings("ignore", module="torch|transformers|accelerate")
        model = library.SentenceTransformer(
            str(folder), device="cpu" if options["use_cpu"] else None, local_files_only=True
        )
        settings = library.SentenceTransformerTrainingArguments(
            output_dir=scratch,
            seed=seed,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=not verbose,
            # An equal text in the batch would count as wrong.
            batch_sampler=training.BatchSamplers.NO_DUPLICATES,
            **options,
        )
        first, second = zip(*rows)
        trainer = library.SentenceTransformerTrainer(
            model=model,
            args=settings,
            train_dataset=datasets.Dataset.from_dict({"anchor": first, "positive": second}),
            loss=losses.MultipleNegativesRankingLoss(model),
        )
        # It prints the settings and the seconds of the run.
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        _models.keep(target, lambda place: model.save(str(place), create_model_card=False))


def _part(name: str) -> Any:
    """Return a module of sentence-transformers, which has different places in different versions."""
    try:
        return require(f"sentence_transformers.sentence_transformer.{name}", extra="text")
    except ModuleNotFoundError:
        return require(f"sentence_transformers.{name}", extra="text")


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Seed the random generators for a training, and restore the generators of the process afterwards."""
    from sklearn_llmrec._networks import choose_device, seeded

    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with seeded(seed, choose_device("auto")):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
