"""Events of known users since the bundle was made."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from itertools import dropwhile
from typing import Any, NamedTuple

from sklearn_llmrec.serving._store import FeedbackStore


class LiveEvent(NamedTuple):
    """An event that counts: its number, item, value and time."""

    seq: int
    item: Any
    worth: float
    time: float


class LiveEvents:
    """The latest events of every user, read from the store in the order of their numbers.

    One thread reads at a time; any thread may look a user up meanwhile.

    Parameters
    ----------
    store : FeedbackStore
    worth : callable
        Returns what an event of a type and value is worth; events worth 0 or less are left out.
    max_history : int
        How many events of a user are kept, the latest.
    after : int
        Number of the last event that is not needed.
    """

    def __init__(
        self,
        store: FeedbackStore,
        *,
        worth: Callable[[str, float], float],
        max_history: int,
        after: int,
    ) -> None:
        self._store, self._worth, self._max_history = store, worth, max_history
        self._seq = after
        self._lock = threading.Lock()
        self._by_user: defaultdict[Any, list[LiveEvent]] = defaultdict(list)

    def catch_up(self) -> int:
        """Read the events that are new in the store; return the number of the last one.

        Raises
        ------
        StoreUnavailable
            If the store does not answer. What was read before stays.
        """
        with self._lock:
            for seq, event in self._store.events_after(self._seq):
                worth = self._worth(event.type, event.value)
                if worth > 0:
                    events = self._by_user[event.user]
                    events.append(LiveEvent(seq, event.item, worth, event.time))
                    if len(events) > 2 * self._max_history:
                        del events[: -self._max_history]
                self._seq = seq
            return self._seq

    def of_user(self, user: Any, after: int) -> list[LiveEvent]:
        """Return the events of a user with numbers above `after`, oldest number first."""
        events = self._by_user.get(user)
        if not events:
            return []
        return list(dropwhile(lambda event: event.seq <= after, events))[-self._max_history :]

    def forget(self, upto: int) -> None:
        """Drop the events up to a number, which the histories of a new bundle contain."""
        with self._lock:
            for user, events in list(self._by_user.items()):
                later = [event for event in events if event.seq > upto]
                if later:
                    self._by_user[user] = later
                else:
                    del self._by_user[user]

    @property
    def n_users(self) -> int:
        """Number of users with events."""
        return len(self._by_user)
