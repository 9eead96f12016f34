"""Train networks: the loop, checkpoints and early stopping. Imports torch, so it is imported late."""

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.swa_utils import AveragedModel

from sklearn_llmrec._networks._processes import OneProcess
from sklearn_llmrec.utils import original, tell, warn

# Gradients longer than this are shortened to it.
_MAX_GRADIENT = 1.0
# The mean of weights gives step n the weight (a + 1) / (n + a): about the last tenth of all steps counts.
_AVERAGING = 8

Weights = dict[str, NDArray[Any]]

# torch draws from one generator per process and device: two trainings in threads would mix their draws.
_GENERATOR = threading.RLock()


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's generators and keep other threads of this package from drawing until the block ends.

    The generators are as before when the block ends. Fits in several threads therefore take turns, and each gives the
    weights that it would give alone.
    """
    devices = [device] if device is not None and device.type == "cuda" else []
    with _GENERATOR, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def choose_device(device: str) -> torch.device:
    """Return the torch device of this name; "auto" is a GPU where there is one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


# Networks of fitted estimators: building one costs more than a request. They are kept here and not on the estimator,
# which contains arrays only, so that predictions change no fitted state and a pickle needs no GPU.
_KEPT: WeakKeyDictionary[Any, tuple[Weights, dict[Any, torch.nn.Module]]] = WeakKeyDictionary()
_KEEPING = threading.Lock()


def kept_network(estimator: Any, key: Any, build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Return the network of a fitted estimator, built once for its `weights_` and a key (dtype, device, ...)."""
    owner = original(estimator)
    with _KEEPING:
        weights, networks = _KEPT.get(owner, (None, {}))
        if weights is not estimator.weights_:  # the estimator was fitted again
            networks = {}
            _KEPT[owner] = (estimator.weights_, networks)
        if key not in networks:
            networks[key] = build()
        return networks[key]


def to_numpy(network: torch.nn.Module) -> Weights:
    """Return copies of all weights as arrays."""
    return {name: t.detach().cpu().numpy().copy() for name, t in network.state_dict().items()}


def from_numpy(network: torch.nn.Module, weights: Weights, *, copy: bool) -> None:
    """Load arrays as the weights of a network; without `copy` it shares memory with writable ones."""
    arrays = {name: np.require(array, requirements=["C", "W"]) for name, array in weights.items()}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    network.load_state_dict(tensors, assign=not copy)


@dataclass
class Progress:
    """The state of a training: all that is needed to resume it."""

    epoch: int = 0
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    weights: Weights = field(default_factory=dict)
    average: Weights = field(default_factory=dict)
    best: Weights = field(default_factory=dict)
    optimizer: Weights = field(default_factory=dict)
    seed: int = 0

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, of the best validation score; the last one without validation."""
        return int(np.argmax(self.scores)) + 1 if self.scores else self.epoch

    def save(self, path: Path) -> None:
        """Write to a file atomically, so that a kill leaves the old file or the new one."""
        facts = {
            "epoch": self.epoch,
            "losses": self.losses,
            "scores": self.scores,
            "seed": self.seed,
            "name": path.name,
        }
        arrays: dict[str, Any] = {"facts": np.array(json.dumps(facts))}
        for kind in ("weights", "average", "best", "optimizer"):
            arrays |= {f"{kind}/{name}": array for name, array in getattr(self, kind).items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.savez(file, **arrays)
        os.replace(file.name, path)

    @classmethod
    def load(cls, path: Path | None, seed: int) -> "Progress":
        """Read what `save` wrote; return a new state if there is none, or, with a warning, if it is something else."""
        if path is None or not path.exists():
            return cls(seed=seed)
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                facts = json.loads(str(file["facts"]))
                if facts.pop("name") != path.name:
                    raise ValueError("it was written under another name")
                progress = cls(**facts)
                for key in file.files:
                    kind, _, name = key.partition("/")
                    if name:
                        getattr(progress, kind)[name] = file[key]
        except (
            OSError,
            EOFError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            BadZipFile,
        ) as error:
            warn(
                f"The checkpoint {path} is damaged or was written by something else ({type(error).__name__}): the "
                "training begins anew and replaces it.",
            )
            return cls(seed=seed)
        return progress

    def goes_beyond(self, max_iter: int, patience: int) -> bool:
        """Return whether a training with these limits would have ended before this epoch."""
        stops = (
            n - 1 - int(np.argmax(self.scores[:n])) >= patience for n in range(1, len(self.scores))
        )
        return self.epoch > max_iter or any(stops)


def _running_mean(averaged: Any, current: Any, n_averaged: Any) -> None:
    """Update a mean of the weights by polynomial-decay averaging, whose horizon grows with the training."""
    share = (_AVERAGING + 1) / (float(n_averaged) + 1 + _AVERAGING)
    torch._foreach_lerp_(averaged, current, share)


def _optimizer_state(optimizer: torch.optim.Optimizer) -> Weights:
    return {
        f"{index}/{name}": value.cpu().numpy().copy()
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: Weights) -> None:
    whole = optimizer.state_dict()
    for key, array in state.items():
        index, _, name = key.partition("/")
        whole["state"].setdefault(int(index), {})[name] = torch.from_numpy(np.array(array))
    optimizer.load_state_dict(whole)


@dataclass(kw_only=True)
class Training:
    """One training: a network, its data, and when it stops. A subclass defines the loss.

    The outcome is the running mean of the weights over about the last tenth of the steps: sampled negatives and large
    steps leave noise in the weights that a mean takes out. Every epoch draws from generators seeded by the seed and
    its number, so resuming after an epoch gives the result of an uninterrupted training.
    """

    network: Any
    # One epoch of batches, given a generator.
    batches: Callable[[np.random.Generator], Iterator[Any]]
    learning_rate: float
    regularization: float
    patience: int
    report: Callable[[Progress], None]
    epochs: Callable[..., Iterator[int]]
    checkpoint: Path | None = None
    processes: OneProcess = field(default_factory=OneProcess)

    def __post_init__(self) -> None:
        # What a training pass calls; Accelerate may add a precision to it.
        self.forward = self.network

    def loss_of(self, batch: Any, rng: np.random.Generator) -> tuple[torch.Tensor, int]:
        """Return the loss of a batch and the number of targets that it averages."""
        raise NotImplementedError

    def validate(self, network: Any) -> float | None:
        """Return a validation score, higher is better; None trains for all epochs."""
        return None

    def run(self, progress: Progress, max_iter: int) -> Progress:
        """Train until `max_iter` epochs or until the score has not risen for `patience` epochs."""
        device = next(self.network.parameters()).device
        optimizer = torch.optim.Adam(
            [p for p in self.network.parameters() if p.requires_grad],
            lr=self.learning_rate,
            weight_decay=self.regularization,
            fused=True,
        )
        average = AveragedModel(self.network, multi_avg_fn=_running_mean)
        if progress.weights:
            from_numpy(self.network, progress.weights, copy=True)
            from_numpy(average, progress.average, copy=True)
            _restore_optimizer(optimizer, progress.optimizer)
        self.forward, optimizer = self.processes.prepare(self.network, optimizer)
        try:
            with seeded(progress.seed, device):
                n_epochs = 0 if self._stalled(progress) else max_iter - progress.epoch
                fitted, stop = (partial(f, progress) for f in (self._so_far, self._stalled))
                epochs = self.epochs(n_epochs, fitted=partial(fitted, average), stop=stop)
                for _ in self.processes.together(epochs):
                    self._epoch(progress, optimizer, average)
                    if self.processes.is_main:
                        self.report(progress)
        finally:
            self.processes.release()
        if progress.epoch:
            from_numpy(self.network, progress.best or to_numpy(average.module), copy=True)
        return progress

    def _so_far(self, progress: Progress, average: AveragedModel) -> dict[str, Any]:
        """Return the fitted attributes that an estimator has if training stops now."""
        return {
            "weights_": to_numpy(average.module),
            "loss_curve_": progress.losses,
            "validation_scores_": progress.scores,
            "best_epoch_": progress.epoch,
            "n_iter_": progress.epoch,
        }

    def _stalled(self, progress: Progress) -> bool:
        return bool(progress.scores) and progress.epoch - progress.best_epoch >= self.patience

    def _epoch(
        self, progress: Progress, optimizer: torch.optim.Optimizer, average: AveragedModel
    ) -> None:
        rng = np.random.default_rng([progress.seed, progress.epoch])
        # Each process drops other values: their rows differ too.
        torch.manual_seed(int(rng.integers(2**62)) + self.processes.index)
        self.network.train()
        total, count = 0.0, 0
        for batch in self.batches(rng):
            loss, n_targets = self._step(batch, optimizer, rng)
            average.update_parameters(self.network)
            total, count = total + loss, count + n_targets
        total, count = self.processes.sum(total), int(self.processes.sum(count))
        progress.epoch += 1
        progress.losses.append(total / max(1, count))
        if not np.isfinite(progress.losses[-1]):
            raise ValueError(
                f"The training loss of epoch {progress.epoch} is {progress.losses[-1]}: the weights became too large. "
                "Lower learning_rate, or set parameters of the loss nearer to their defaults."
            )
        score = self.validate(average.module) if self.processes.is_main else None
        score = self.processes.from_main(score)
        if score is not None:
            progress.scores.append(score)
            if progress.best_epoch == progress.epoch:
                progress.best = to_numpy(average.module)
        if self.checkpoint is not None and self.processes.is_main:
            progress.weights = to_numpy(self.network)
            progress.average = to_numpy(average)
            progress.optimizer = _optimizer_state(optimizer)
            progress.save(self.checkpoint)

    def _step(
        self, batch: Any, optimizer: torch.optim.Optimizer, rng: np.random.Generator
    ) -> tuple[float, int]:
        """Update the weights; return the sum of the losses of this process's targets and their number."""
        optimizer.zero_grad(set_to_none=True)
        found = []
        for part, share, draws in self.processes.parts(batch, rng):
            loss, n_targets = self.loss_of(part, draws)
            self.processes.backward(loss, share)
            found.append((loss.detach(), n_targets))
        self.processes.join_gradients(self.network, _MAX_GRADIENT)
        optimizer.step()
        # Read last: on a GPU this waits for the computation.
        return sum(float(loss) * n for loss, n in found), sum(n for _, n in found)


def print_epoch(estimator: Any, progress: Progress) -> None:
    """Print a line per epoch if the estimator is verbose."""
    score = f", validation score {progress.scores[-1]:.4f}" if progress.scores else ""
    tell(estimator, f"epoch {progress.epoch}: loss {progress.losses[-1]:.4f}{score}")


def keep_curves(estimator: Any, progress: Progress, continued: bool) -> None:
    """Set the curves of a training, appended to those of the training that it resumed."""
    estimator.loss_curve_ = [*(estimator.loss_curve_ if continued else []), *progress.losses]
    estimator.validation_scores_ = [
        *(estimator.validation_scores_ if continued else []),
        *progress.scores,
    ]
    estimator.n_iter_ = len(estimator.loss_curve_)
    # `progress` counts the epochs of this training only: those of earlier ones come before.
    estimator.best_epoch_ = estimator.n_iter_ - progress.epoch + progress.best_epoch
