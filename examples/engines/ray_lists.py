"""Make the lists of all users by Ray: a shard of users per task, the model loaded once per worker process.

    python examples/engines/ray_lists.py

Needs Ray and the extras ``arrow`` and ``io``. On a cluster, the folder is on a disk that all workers see.
"""

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from _shop import shards_and_task

folder, shards, task = shards_and_task()
users = str(folder / "shards")


def lists(batch):
    """Return the lists of the shards whose numbers are in a batch."""
    from sklearn_llmrec.distributed import EventShards

    return pa.concat_tables([task(EventShards(users)[n]) for n in batch["id"].to_pylist()])


if not ray.is_initialized():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
numbers = ray.data.range(len(shards), override_num_blocks=len(shards))
numbers.map_batches(lists, batch_format="pyarrow", batch_size=1).write_parquet(
    str(folder / "lists")
)
ray.shutdown()
table = pq.read_table(folder / "lists").sort_by([("user", "ascending"), ("rank", "ascending")])
print(table.num_rows, "rows")
print(table.slice(0, 5).to_pandas())
