"""Networks trained by Accelerate: two processes, accumulated gradients and mixed precision give one process's model."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_llmrec import Interactions
from sklearn_llmrec._networks import Batch, Trainer, next_item_batches
from sklearn_llmrec._networks._batches import every_nth_row
from sklearn_llmrec.interactions import event_sequences
from sklearn_llmrec.sequence import BERT4Rec, SASRec, SequenceGRURecommender

torch = pytest.importorskip("torch")
needs_accelerate = pytest.mark.skipif(
    find_spec("accelerate") is None, reason="needs accelerate (extra `accelerate`)"
)
ROOT = Path(__file__).parents[2]
KINDS = {"SASRec": SASRec, "BERT4Rec": BERT4Rec, "SequenceGRURecommender": SequenceGRURecommender}
# Without dropout, whose draws depend on which rows a process has. 37 rows leave batches of unequal parts.
SMALL = {
    "n_components": 8,
    "max_length": 6,
    "batch_size": 16,
    "max_iter": 3,
    "dropout": 0.0,
    "loss": "sampled_softmax",
    "n_negatives": 7,
    "validation_fraction": 0.3,
    "device": "cpu",
    "random_state": 0,
}


def histories(n_users=37, n_items=15, seed=0):
    """Walks i, i + 1, ... of two to nine events."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 10, size=n_users)
    starts = rng.integers(n_items, size=n_users)
    items = np.concatenate([(i + np.arange(n)) % n_items for i, n in zip(starts, lengths)])
    times = np.concatenate([np.arange(n) for n in lengths])
    bounds = np.concatenate([[0], lengths.cumsum()])
    return Interactions(
        (np.ones(len(items)), items, bounds), shape=(n_users, n_items), timestamps=times
    )


def recorded_fit(name, **options):
    """Fit a model; return it and the batches whose losses this process computed, as nested lists."""
    batches, loss_of = [], Trainer.loss_of

    def recording(self, batch, rng):
        batches.append([part.tolist() for part in batch])
        return loss_of(self, batch, rng)

    Trainer.loss_of = recording
    try:
        return KINDS[name](**{**SMALL, **options}).fit(histories()), batches
    finally:
        Trainer.loss_of = loss_of


def facts(model):
    """The curves and weights of a model, as JSON can have them."""
    return {
        "losses": model.loss_curve_,
        "scores": model.validation_scores_,
        "weights": {name: array.tobytes().hex() for name, array in model.weights_.items()},
    }


def rows_of(batch):
    """The rows of a batch without padding; a row without targets fills an empty part and is none of them."""
    inputs, lengths, targets = (np.asarray(part).tolist() for part in batch)
    rows = [(i[:n], t[:n]) for i, n, t in zip(inputs, lengths, targets)]
    return [row for row in rows if max(row[1]) >= 0]


def together(parts):
    """The rows of a batch from its parts, of which part p has the rows p, p + n, p + 2 n, ..."""
    lists = [rows_of(part) for part in parts]
    return [part[i] for i in range(len(lists[0])) for part in lists if i < len(part)]


def test_parts_are_the_rows_of_a_batch():
    rng = np.random.default_rng(0)
    sequences = event_sequences(histories(), "auto")
    for batch in next_item_batches(sequences, 6, 16, rng):
        for step in (1, 2, 3, 20):
            parts = [every_nth_row(batch, first, step) for first in range(step)]
            assert together(parts) == rows_of(batch)
            assert all(part.inputs.shape[1] == part.lengths.max() for part in parts)
    last = every_nth_row(Batch(*(part[:1] for part in batch)), 1, 2)
    assert len(last.inputs) == 1
    assert (last.targets == -1).all()


def _launched(folder, n_processes=2):
    """Fit all models in several processes on this machine; return what each wrote."""
    # `accelerate launch` starts processes for GPUs; on CPUs torchrun does, or MPI.
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(n_processes)]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    command += ["--local-addr", "127.0.0.1"]
    paths = [str(ROOT), str(ROOT / "tests" / "_networks")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "ACCELERATE_USE_CPU": "true",
    }
    found = subprocess.run(
        [*command, __file__, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    return [json.loads((folder / f"{i}.json").read_text()) for i in range(n_processes)]


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    return _launched(tmp_path_factory.mktemp("launched"))


@needs_accelerate
@pytest.mark.parametrize("name", KINDS)
def test_two_processes_train_the_model_of_one(name, launched):
    model, batches = recorded_fit(name)
    first, second = (each[name] for each in launched)
    assert first["model"] == second["model"]  # bit for bit
    np.testing.assert_allclose(first["model"]["losses"], model.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(first["model"]["scores"], model.validation_scores_, rtol=1e-5)
    assert len(first["batches"]) == len(second["batches"]) == len(batches)
    for batch, *parts in zip(batches, first["batches"], second["batches"]):
        assert together(parts) == rows_of(batch)


@needs_accelerate
def test_processes_agree_on_what_only_one_knows(launched):
    # Unseeded: the seed is that of the main process.
    assert launched[0]["unseeded"] == launched[1]["unseeded"]
    assert launched[0]["dropped"] == launched[1]["dropped"]
    assert launched[0]["files"] == launched[1]["files"] == 1
    assert launched[0]["resumed"] == launched[1]["resumed"]
    for each in launched:
        assert "different X, parameters or start weights" in each["error"]
    assert launched[0]["pid"] != launched[1]["pid"]
    for each in launched:
        with pytest.raises(ProcessLookupError):
            os.kill(each["pid"], 0)


@needs_accelerate
@pytest.mark.parametrize("name", KINDS)
def test_accumulated_gradients_are_those_of_the_whole_batch(name):
    from accelerate import Accelerator

    whole, batches = recorded_fit(name)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    halves, parts = recorded_fit(name, accelerator=accelerator)
    assert len(parts) == 2 * len(batches)
    for batch, first, second in zip(batches, parts[::2], parts[1::2]):
        assert together([first, second]) == rows_of(batch)
    np.testing.assert_allclose(halves.loss_curve_, whole.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(halves.item_vectors_, whole.item_vectors_, atol=1e-4)


@needs_accelerate
def test_one_process_with_accelerate_is_the_plain_one():
    plain = SASRec(**{**SMALL, "dropout": 0.2}).fit(histories())
    model = clone(plain).set_params(accelerator="auto").fit(histories())
    assert facts(model) == facts(plain)


@needs_accelerate
def test_mixed_precision_trains():
    script = """
import numpy as np
from accelerate import Accelerator
from test_processes import KINDS, SMALL, histories
accelerator = Accelerator(cpu=True, mixed_precision="bf16")
for name in ("SASRec", "SequenceGRURecommender"):
    options = {**SMALL, "max_iter": 8, "learning_rate": 0.02, "early_stopping": False}
    plain = KINDS[name](**options).fit(histories())
    model = KINDS[name](**options, accelerator=accelerator).fit(histories())
    assert all(a.dtype == np.float32 and np.isfinite(a).all() for a in model.weights_.values())
    assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]
    assert model.loss_curve_ != plain.loss_curve_  # it has an effect
    np.testing.assert_allclose(model.loss_curve_, plain.loss_curve_, rtol=0.1)
"""
    # A process has one precision for its life, so this one has its own.
    paths = [str(ROOT), str(ROOT / "tests" / "_networks")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr[-3000:]


def test_a_missing_accelerate_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"sklearn-llmrec\[accelerate\]"):
        SASRec(**SMALL, accelerator="auto").fit(histories())


def test_what_is_no_accelerator_is_refused():
    with pytest.raises(ValueError, match="accelerator"):
        SASRec(**SMALL, accelerator="cuda").fit(histories())


@needs_accelerate
def test_ways_to_distribute_that_divide_the_network_are_refused():
    class Divided:
        distributed_type = type("Kind", (), {"value": "FSDP"})
        prepare = backward = None

    Divided.prepare = Divided.backward = lambda self: None
    with pytest.raises(ValueError, match="without FSDP"):
        SASRec(**SMALL, accelerator=Divided()).fit(histories())


def main(folder):
    """Run in each process of the launcher: fit the models and write down what this process saw."""
    index = int(os.environ["RANK"])
    found = {"pid": os.getpid()}
    for name in KINDS:
        model, batches = recorded_fit(name, accelerator="auto")
        found[name] = {"model": facts(model), "batches": batches}
    options = {**SMALL, "accelerator": "auto", "max_iter": 2}
    found["unseeded"] = facts(SASRec(**{**options, "random_state": None}).fit(histories()))
    found["dropped"] = facts(SASRec(**{**options, "dropout": 0.3}).fit(histories()))
    stored = SASRec(**options, checkpoint=folder / "checkpoints").fit(histories())
    found["files"] = len(list((folder / "checkpoints").iterdir()))
    found["resumed"] = facts(clone(stored).set_params(max_iter=3).fit(histories()))
    assert found["resumed"] == found["SASRec"]["model"]
    try:
        SASRec(**options).fit(histories(seed=index))
    except ValueError as error:
        found["error"] = str(error)
    (folder / f"{index}.json").write_text(json.dumps(found))
    # A process that ends with the threads of its group may be aborted.
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
