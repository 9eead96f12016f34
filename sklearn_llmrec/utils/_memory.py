"""Refuse large allocations in time, with their size, before the system ends the process."""

import os


def available_memory() -> int | None:
    """Return the bytes that can be allocated now without swapping, or None if the system does not report it."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def require_memory(nbytes: int, what: str, remedy: str) -> None:
    """Refuse an allocation that would not fit.

    Parameters
    ----------
    nbytes : int
        Bytes about to be allocated.
    what : str
        What they are for, as the subject of a sentence.
    remedy : str
        What to do instead.

    Raises
    ------
    MemoryError
        If `nbytes` is more than the memory available.
    """
    available = available_memory()
    if available is not None and nbytes > available:
        raise MemoryError(
            f"{what} takes {nbytes / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB are available. {remedy}"
        )
