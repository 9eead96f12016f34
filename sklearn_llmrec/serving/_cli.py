"""Parse the command line `sklearn-llmrec`."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from sklearn_llmrec.serving import _commands
from sklearn_llmrec.serving._keys import RIGHTS
from sklearn_llmrec.serving._log_files import add_log_options, weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 1 for an error, 2 for wrong arguments, 3 for a refused update."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ValueError, OSError, ImportError) as error:
        print(f"sklearn-llmrec: {error}", file=sys.stderr)
        return 1


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="sklearn-llmrec", description="Fit, measure, serve and update recommenders."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_fit(commands)
    _add_evaluate(commands)
    _add_recommend(commands)
    _add_serve(commands)
    _add_update(commands)
    add = commands.add_parser("key", help="make an API key")
    add.add_argument("name", help="name of the key, which logs show")
    add.add_argument("--rights", nargs="+", choices=RIGHTS, default=["read"])
    add.set_defaults(run=_commands.key)
    return parser


def _add_fit(commands: Any) -> None:
    add = commands.add_parser("fit", help="fit a pipeline on a log and save a bundle")
    add.add_argument("log", help="log of events, .csv or .parquet")
    add.add_argument("pipeline", help="Python file that defines `pipeline`")
    add.add_argument("-o", "--out", required=True, help="the bundle, a folder or .zip")
    add.add_argument("--no-histories", action="store_true", help="keep no histories of users")
    add.add_argument("--measure", action="store_true", help="measure on a part of the log first")
    _add_measuring(add)
    add_log_options(add)
    add.set_defaults(run=_commands.fit)


def _add_evaluate(commands: Any) -> None:
    add = commands.add_parser("evaluate", help="measure a pipeline, or a bundle on later events")
    add.add_argument("model", help="Python file that defines `pipeline`, or a bundle")
    add.add_argument("log", help="log of events, .csv or .parquet")
    _add_measuring(add)
    _add_trust(add)
    add_log_options(add)
    add.set_defaults(run=_commands.evaluate)


def _add_recommend(commands: Any) -> None:
    add = commands.add_parser("recommend", help="write lists of all users to a file")
    add.add_argument("bundle")
    add.add_argument("-o", "--out", required=True, help="the lists, .csv or .parquet")
    add.add_argument("-k", type=int, default=10, help="length of the lists (default: 10)")
    add.add_argument("--log", help="histories of other users, .csv or .parquet")
    add.add_argument("--include-seen", action="store_true", help="list items of the history too")
    add.add_argument("--columns", nargs="+", help="columns of the item table to write too")
    _add_trust(add)
    add_log_options(add)
    add.set_defaults(run=_commands.recommend_to_file)


def _add_serve(commands: Any) -> None:
    add = commands.add_parser("serve", help="answer over HTTP from a bundle")
    add.add_argument("bundle")
    add.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    add.add_argument("--port", type=int, default=8000)
    add.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    add.add_argument("--feedback", metavar="URL", help="database of feedback; a path is SQLite")
    add.add_argument("--no-keys", action="store_true", help="serve other machines without keys")
    add.add_argument("--event-weights", type=weights, metavar="TYPE=WEIGHT,...")
    add.add_argument("--log-requests", action="store_true", help="log every request")
    add.add_argument("--mmap", action="store_true", help="map arrays: workers share memory")
    for name, kind, text in (
        ("max-body", int, "bytes of a request"),
        ("max-history", int, "items of a history"),
        ("max-k", int, "length of a list"),
        ("max-requests", int, "requests or events of one call"),
        ("max-items", int, "candidates or excluded items"),
        ("max-queue", int, "waiting requests"),
        ("max-batch", int, "requests of one call of the model"),
        ("body-timeout", float, "seconds for a request to arrive"),
        ("timeout", float, "seconds for an answer"),
        ("watch", float, "seconds between looks at the bundle; 0 for none"),
    ):
        add.add_argument(f"--{name}", type=kind, help=text)
    _add_trust(add)
    add.set_defaults(run=_commands.serve)


def _add_update(commands: Any) -> None:
    add = commands.add_parser("update", help="make the next bundle from feedback")
    add.add_argument("bundle")
    add.add_argument("--feedback", metavar="URL", required=True)
    add.add_argument("-o", "--out", help="the new bundle (default: in the place of the old one)")
    add.add_argument("--method", choices=("auto", "refit", "partial_fit"), default="auto")
    add.add_argument("--no-measure", action="store_true", help="do not compare with the old model")
    add.add_argument(
        "--refuse-worse",
        type=float,
        nargs="?",
        const=0.0,
        metavar="TOLERANCE",
        help="publish nothing if nDCG@10 falls by more than this (default: 0)",
    )
    add.add_argument("--event-weights", type=weights, metavar="TYPE=WEIGHT,...")
    _add_trust(add)
    add.set_defaults(run=_commands.update_bundle)


def _add_measuring(add: ArgumentParser) -> None:
    add.add_argument("--metrics", nargs="+", default=["ndcg@10", "recall@10"])
    add.add_argument("--holdout", choices=("random", "latest", "time"), default="random")
    add.add_argument("--test-size", type=float, default=0.2)


def _add_trust(add: ArgumentParser) -> None:
    add.add_argument(
        "--trusted",
        nargs="*",
        default=False,
        metavar="TYPE",
        help="types that the bundle may contain",
    )
