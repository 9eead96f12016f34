"""What a training library costs: one network, one loss, the same batches, by our loop, by Lightning, by skorch.

    PYTHONPATH=. python benchmarks/training_loops.py        (needs pytorch_lightning and skorch beside torch)

CPU seconds of one epoch of SASRec (width 64, 2 blocks, length 50, batch 128) on made-up sequences, one thread.
"""

import logging
import time
import warnings

import numpy as np
import torch
from torch import nn

from sklearn_llmrec._networks._batches import next_item_batches
from sklearn_llmrec._networks._loop import Progress
from sklearn_llmrec._networks._losses import Loss
from sklearn_llmrec._networks._sequence_training import Trainer
from sklearn_llmrec.interactions._sequences import Sequences
from sklearn_llmrec.sequence import SASRec

N_ITEMS, N_USERS, LENGTH = 2000, 1500, 51


class Step(nn.Module):
    """The network with its loss, as a module that maps a batch to a number."""

    def __init__(self, sequences):
        super().__init__()
        torch.manual_seed(0)
        self.network = SASRec(64, max_length=50)._network(N_ITEMS)
        counts = np.bincount(sequences.items, minlength=N_ITEMS)
        self.loss, self.rng = Loss("sampled_softmax", counts, 512, "cpu"), np.random.default_rng(0)

    def forward(self, inputs, lengths, targets):
        outputs, wanted = self.network(inputs, lengths), targets >= 0
        vectors, intercepts = self.network.scoring()
        return self.loss(outputs[wanted], targets[wanted], vectors, intercepts, self.rng)


class Batches(torch.utils.data.IterableDataset):
    def __init__(self, sequences):
        self.sequences = sequences

    def __iter__(self):
        for batch in next_item_batches(self.sequences, 50, 128, np.random.default_rng(0)):
            yield tuple(torch.from_numpy(part) for part in batch)


def own(sequences):
    step = Step(sequences)
    trainer = Trainer(
        network=step.network,
        batches=lambda rng: next_item_batches(sequences, 50, 128, rng),
        loss=step.loss,
        learning_rate=1e-3,
        regularization=0.0,
        max_length=50,
        mask=False,
        holdout=None,
        patience=1,
        checkpoint=None,
        report=lambda progress: None,
        epochs=lambda n, **_: iter(range(n)),
    )
    return lambda: trainer.run(Progress(), 1)


def lightning(sequences):
    import pytorch_lightning as pl

    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.step = Step(sequences)

        def training_step(self, batch, _):
            return self.step(*batch)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3, fused=True)

    module = Module()

    def run():
        trainer = pl.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=1.0,
        )
        trainer.fit(module, torch.utils.data.DataLoader(Batches(sequences), batch_size=None))

    return run


def skorch(sequences):
    from skorch import NeuralNet
    from skorch.callbacks import GradientNormClipping

    class Net(NeuralNet):
        def get_dataset(self, X, y=None):
            return X

        def get_loss(self, y_pred, y_true, X=None, training=False):
            return y_pred

    net = Net(
        Step,
        module__sequences=sequences,
        criterion=nn.Identity,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        lr=1e-3,
        max_epochs=1,
        train_split=None,
        verbose=0,
        iterator_train__batch_size=None,
        callbacks=[("clip", GradientNormClipping(1.0))],
    )

    class Rows(Batches):
        def __iter__(self):
            for inputs, lengths, targets in super().__iter__():
                yield {"inputs": inputs, "lengths": lengths, "targets": targets}, torch.zeros(1)

    return lambda: net.partial_fit(Rows(sequences))


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    items = rng.integers(N_ITEMS, size=N_USERS * LENGTH)
    sequences = Sequences(items, np.arange(0, len(items) + 1, LENGTH), N_ITEMS)
    runs = {"own loop": own, "Lightning": lightning, "skorch": skorch}
    runs = {name: build(sequences) for name, build in runs.items()}
    seconds = {name: [] for name in runs}
    for repeat in range(6):
        for name, run in runs.items():
            begin = time.process_time()
            run()
            if repeat:  # the first prepares torch
                seconds[name].append(time.process_time() - begin)
    for name, found in seconds.items():
        print(
            f"{name}: {np.median(found):.2f} CPU s per epoch, {min(found):.2f} to {max(found):.2f}"
        )


if __name__ == "__main__":
    main()
