"""API keys: random, kept as hashes, each with its rights."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable

#: The environment variable that contains the keys of a server.
KEYS_VARIABLE = "SKLEARN_LLMREC_API_KEYS"

#: What a key may be allowed: lists and metrics, recording feedback, swapping the model.
RIGHTS = ("read", "feedback", "reload")

_DIGEST_LENGTH = hashlib.sha256().digest_size * 2


def new_key(name: str, rights: Iterable[str]) -> tuple[str, str]:
    """Return a new random key and the entry that allows it.

    Parameters
    ----------
    name : str
        Name of the key, which logs show.
    rights : iterable of {"read", "feedback", "reload"}

    Returns
    -------
    key : str
        The secret; give it to the client and store it nowhere else.
    entry : str
        ``name:rights:hash``, an entry of the environment variable SKLEARN_LLMREC_API_KEYS.
    """
    key = secrets.token_urlsafe(32)
    entry = f"{name}:{'+'.join(rights)}:{hashlib.sha256(key.encode()).hexdigest()}"
    Keys.parse(entry)
    return key, entry


class Keys:
    """The keys that a server accepts.

    A key has 256 random bits, so one round of SHA-256 is enough: nobody can guess a key from its hash.

    Parameters
    ----------
    entries : dict of bytes to (str, frozenset of str)
        Name and rights of every key, by the SHA-256 of the key.
    """

    def __init__(self, entries: dict[bytes, tuple[str, frozenset[str]]]) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    @classmethod
    def from_environment(cls) -> Keys:
        """Return the keys of the environment variable SKLEARN_LLMREC_API_KEYS; none if it is empty.

        Raises
        ------
        ValueError
            If an entry is no ``name:rights:hash``.
        """
        return cls.parse(os.environ.get(KEYS_VARIABLE, ""))

    @classmethod
    def parse(cls, text: str) -> Keys:
        """Return the keys of ``name:rights:hash`` entries, separated by commas or white space.

        Raises
        ------
        ValueError
            If an entry is no such triple. The message shows the name of the entry, never its hash.
        """
        entries: dict[bytes, tuple[str, frozenset[str]]] = {}
        for number, entry in enumerate(text.replace(",", " ").split()):
            name, _, rights_and_hash = entry.partition(":")
            rights_text, _, digest = rights_and_hash.partition(":")
            rights = frozenset(rights_text.split("+"))
            if not name or not rights <= set(RIGHTS):
                raise ValueError(
                    f"Entry {number} of {KEYS_VARIABLE} must be name:rights:hash, with rights among {RIGHTS} joined by "
                    "'+'. `sklearn-llmrec key NAME` makes one."
                )
            try:
                hashed = bytes.fromhex(digest)
            except ValueError:
                hashed = b""
            if len(digest) != _DIGEST_LENGTH or not hashed:
                raise ValueError(
                    f"Key {name!r} in {KEYS_VARIABLE} must end with the SHA-256 of the key in hexadecimal digits. "
                    "`sklearn-llmrec key NAME` makes one."
                )
            entries[hashed] = (name, rights)
        return cls(entries)

    def holder(self, key: bytes) -> tuple[str, frozenset[str]] | None:
        """Return name and rights of a key, or None for an unknown one.

        The time does not depend on which hash matches.
        """
        digest, found = hashlib.sha256(key).digest(), None
        for hashed, entry in self._entries.items():
            if hmac.compare_digest(hashed, digest):
                found = entry
        return found
