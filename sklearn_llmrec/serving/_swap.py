"""The current model, and its replacement while requests run."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

from sklearn_llmrec.persistence import load
from sklearn_llmrec.serving._files import signature
from sklearn_llmrec.serving._logs import log
from sklearn_llmrec.serving._metrics import Metrics
from sklearn_llmrec.serving._served import ServedModel
from sklearn_llmrec.serving._settings import Settings


class CurrentModel:
    """Store the model of a bundle's path and replace it when the bundle changes.

    A request keeps the model that was current when it came in. The old model is freed with the last such request.

    Parameters
    ----------
    path : path-like
        A bundle, or a link to one.
    settings : Settings
    metrics : Metrics
    """

    def __init__(self, path: str | os.PathLike[str], settings: Settings, metrics: Metrics) -> None:
        self._path, self._settings, self._metrics = Path(path), settings, metrics
        self._lock = asyncio.Lock()
        self._signature = signature(self._path)
        self.served = self._load()
        metrics.loaded.set(time.time())

    def _load(self) -> ServedModel:
        bundle = load(self._path, mmap=self._settings.mmap, trusted=self._settings.trusted)
        served = ServedModel(bundle, max_history=self._settings.max_history)
        served.warm_up()
        return served

    async def reload(self) -> bool:
        """Load the bundle and use it from now on; return whether its version changed.

        Raises
        ------
        Exception
            What loading raises. The old model continues to answer.
        """
        async with self._lock:
            found = signature(self._path)
            served = await asyncio.to_thread(self._load)
            # A bundle that was replaced while it was read has another signature: the next look loads it again.
            self._signature = found
            old, swapped = self.served.version, served.version != self.served.version
            self.served = served
            self._metrics.swaps.labels("done").inc()
            self._metrics.loaded.set(time.time())
            log(logging.INFO, "model loaded", version=served.version, before=old)
            return swapped

    async def watch(self, on_swap: Any) -> None:
        """Check the path until the server stops, and load a new bundle.

        Parameters
        ----------
        on_swap : callable
            Called after every look with whether another model was loaded.
        """
        failed: Any = None
        while True:
            await asyncio.sleep(self._settings.watch)
            swapped = False
            found = await asyncio.to_thread(signature, self._path)
            if found is not None and found not in (self._signature, failed):
                try:
                    swapped = await self.reload()
                except Exception as error:
                    # Not tried again until the file changes; the old model continues to answer.
                    failed = found
                    self._metrics.swaps.labels("failed").inc()
                    log(logging.ERROR, "model not loaded", error=f"{type(error).__name__}: {error}")
            await on_swap(swapped)
