"""Make the lists of all users by Spark: a shard of users per task, the model loaded once per worker process.

    python examples/engines/spark_lists.py

Needs PySpark, Java, and the extras ``arrow`` and ``io``. On a cluster, the folder is on a disk that all workers see.
"""

import os
import sys

from _shop import shards_and_task
from pyspark.sql import SparkSession

os.environ["PYSPARK_PYTHON"] = sys.executable  # the workers run this Python
folder, shards, task = shards_and_task()
users = str(folder / "shards")


def lists(frames):
    """Yield the lists of the shards whose numbers are in the frames of a partition."""
    from sklearn_llmrec.distributed import EventShards

    for frame in frames:
        for number in frame["id"]:
            yield task(EventShards(users)[int(number)]).to_pandas()


spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
numbers = spark.range(len(shards), numPartitions=len(shards))
made = numbers.mapInPandas(lists, "user long, rank int, item string, score double")
made.write.parquet(str(folder / "lists"))
table = spark.read.parquet(str(folder / "lists")).orderBy("user", "rank")
print(table.count(), "rows")
table.show(5)
spark.stop()
