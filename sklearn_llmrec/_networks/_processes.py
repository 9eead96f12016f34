"""Run the training loop in one process, or in several by Accelerate. Imports torch, so it is imported late.

Every process draws the batches of one process and computes on its own rows of each. Gradients are then summed, so that
all processes take the same step:

    batch: rows 0 1 2 3 4 5 6 7          the same in every process, from the same generator
      process 0, part 0: 0 4             a part is one forward and backward pass; a process
      process 0, part 1: 1 5             has `gradient_accumulation_steps` of them for each step
      process 1, part 0: 2 6
      process 1, part 1: 3 7
    step: sum over all parts of the mean loss of a part x its targets / targets of the batch
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from sklearn_llmrec._networks._batches import Batch, every_nth_row
from sklearn_llmrec.utils import content_hash, require


class OneProcess:
    """One process that computes whole batches. `SeveralProcesses` has the same methods.

    Attributes
    ----------
    device : torch.device or None
        Where this process trains; None for the device that the estimator chooses.
    index : int
        The number of this process.
    is_main : bool
        Whether this process validates, prints and writes checkpoints.
    """

    device: torch.device | None = None
    index = 0
    is_main = True

    def prepare(self, network: Any, optimizer: Any) -> tuple[Any, Any]:
        """Return the network whose forward pass trains, and the optimizer."""
        return network, optimizer

    def parts(
        self, batch: Any, rng: np.random.Generator
    ) -> Iterator[tuple[Any, float, np.random.Generator]]:
        """Yield the parts of a batch for this process, each with its share of the targets and a generator."""
        yield batch, 1.0, rng

    def backward(self, loss: torch.Tensor, share: float) -> None:
        """Add the gradients of a part with this share of the targets of its batch."""
        loss.backward()

    def join_gradients(self, network: Any, largest: float) -> None:
        """Sum the gradients over the processes and limit their norm."""
        torch.nn.utils.clip_grad_norm_(network.parameters(), largest)

    def sum(self, value: float) -> float:
        """Sum a number over the processes."""
        return value

    def from_main(self, value: Any) -> Any:
        """Return the value that the main process has."""
        return value

    def together(self, iterations: Iterable[int]) -> Iterator[int]:
        """Yield iterations until the main process ends."""
        yield from iterations

    def require_same(self, *data: Any) -> None:
        """Raise a ValueError if data differ between the processes."""

    def release(self) -> None:
        """Drop the references to what `prepare` returned."""


class SeveralProcesses(OneProcess):
    """A process of several that train one network, started by ``accelerate launch`` or alone.

    Parameters
    ----------
    accelerator : "auto" or accelerate.Accelerator
        "auto" makes one with the settings of the launcher.
    """

    def __init__(self, accelerator: Any) -> None:
        accelerate = require("accelerate", extra="accelerate")
        if isinstance(accelerator, str):  # "auto"
            accelerator = accelerate.Accelerator()
        kind = str(accelerator.distributed_type.value)
        if kind != "NO" and not kind.startswith("MULTI_"):
            raise ValueError(
                f"accelerator distributes by {kind}, and these networks are trained as a copy per process: choose "
                "multi-CPU or multi-GPU in `accelerate config`, without FSDP, DeepSpeed or Megatron-LM."
            )
        self._accelerator, self._broadcast = accelerator, accelerate.utils.broadcast_object_list
        self._gather = accelerate.utils.gather_object
        self.device = accelerator.device
        self.index, self.is_main = accelerator.process_index, accelerator.is_main_process
        self._n_processes = accelerator.num_processes
        self._n_parts = accelerator.gradient_accumulation_steps

    def prepare(self, network: Any, optimizer: Any) -> tuple[Any, Any]:
        network = self._accelerator.prepare_model(network, evaluation_mode=True)  # not wrapped
        return network, self._accelerator.prepare_optimizer(optimizer)

    def parts(
        self, batch: Batch, rng: np.random.Generator
    ) -> Iterator[tuple[Batch, float, np.random.Generator]]:
        n_targets = max(1, int((batch.targets >= 0).sum()))
        for number in range(self._n_parts):
            first = self.index * self._n_parts + number
            part = every_nth_row(batch, first, self._n_processes * self._n_parts)
            share = int((part.targets >= 0).sum()) / n_targets
            # All parts draw the same negatives, so the earlier ones draw from copies of the generator.
            yield part, share, rng if number == self._n_parts - 1 else copy.deepcopy(rng)

    def backward(self, loss: torch.Tensor, share: float) -> None:
        # Accelerate divides by the number of parts, and the parts are to be summed.
        self._accelerator.backward(loss * (share * self._n_parts))

    def join_gradients(self, network: Any, largest: float) -> None:
        # One exchange of all gradients. Torch's wrapper for distributed training refuses parameters without one, and
        # does not see those that only the loss uses. Which have none is the same in all processes.
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        if self._n_processes > 1:
            flat = torch.cat([gradient.ravel() for gradient in gradients])
            flat = self._accelerator.reduce(flat, reduction="sum")
            parts = flat.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts):
                gradient.copy_(part.view_as(gradient))
        self._accelerator.clip_grad_norm_(network.parameters(), largest)

    def sum(self, value: float) -> float:
        # Objects and not tensors: some devices have no float64.
        return float(sum(self._gather([value])))

    def from_main(self, value: Any) -> Any:
        return self._broadcast([value], from_process=0)[0]

    def together(self, iterations: Iterable[int]) -> Iterator[int]:
        # A callback may end a fit by the clock: the main process decides, or the others would wait for it forever.
        mine = iter(iterations)
        number = 0
        while self.from_main(next(mine, None) is not None):
            yield number
            number += 1

    def require_same(self, *data: Any) -> None:
        if self._n_processes > 1 and len(set(self._gather([content_hash(*data)]))) > 1:
            raise ValueError(
                "The processes that train this network have different X, parameters or start weights: call fit with "
                "the same ones in each process. It selects its rows of every batch itself."
            )

    def release(self) -> None:
        self._accelerator.free_memory()
