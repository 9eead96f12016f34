"""Log-likelihoods by a local causal model of transformers. Imports torch: only imported where one is used."""

import copy
import inspect
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sklearn_llmrec._networks import choose_device
from sklearn_llmrec.text._llm_client import ChatFailed, Count
from sklearn_llmrec.text._models import file_stamps
from sklearn_llmrec.text._prompts import likelihood_prefix, likelihood_text
from sklearn_llmrec.utils import content_hash, require


@contextmanager
def reading(model: Any) -> Iterator[None]:
    """Switch the model to evaluation without gradients, and restore its mode afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def prefix_state(model: Any, tokens: Sequence[int]) -> tuple[Any, Any]:
    """Return the keys and values of a prefix, and the log-probabilities of the next token."""
    ids = torch.tensor([list(tokens)], device=model.device)
    fewer = "logits_to_keep" in inspect.signature(model.forward).parameters
    output = model(input_ids=ids, use_cache=True, **({"logits_to_keep": 1} if fewer else {}))
    return output.past_key_values, output.logits[0, -1].float().log_softmax(-1)


def continued(
    model: Any,
    state: tuple[Any, Any],
    tails: Sequence[Sequence[int]],
    batch_size: int,
    deadline: float = np.inf,
) -> NDArray[np.float64]:
    """Return the log-likelihood of every tail after a prefix, which is not read again.

    Tails of a batch are filled up on the right, where a causal model does not look.

    Raises
    ------
    ChatFailed
        If the deadline comes between two batches.
    """
    past, first = state
    result = np.empty(len(tails))
    for start in range(0, len(tails), batch_size):
        if time.monotonic() >= deadline:
            raise ChatFailed("out_of_budget", "the budget is spent")
        some = tails[start : start + batch_size]
        lengths = torch.tensor([len(tail) for tail in some], device=first.device)
        ids = torch.zeros((len(some), int(lengths.max())), dtype=torch.long, device=first.device)
        for row, tail in enumerate(some):
            ids[row, : len(tail)] = torch.tensor(list(tail), device=first.device)
        log_probabilities = first[ids[:, :1]]
        if ids.shape[1] > 1:
            shared = copy.deepcopy(past)
            shared.batch_repeat_interleave(len(some))
            n_read = shared.get_seq_length() + ids.shape[1] - 1
            logits = model(
                input_ids=ids[:, :-1],
                past_key_values=shared,
                attention_mask=torch.ones((len(some), n_read), device=first.device),
                use_cache=True,
            ).logits
            later = logits.float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
            log_probabilities = torch.cat([log_probabilities, later], dim=1)
        real = torch.arange(ids.shape[1], device=first.device) < lengths[:, None]
        total = torch.where(real, log_probabilities.double(), 0.0).sum(dim=1)
        result[start : start + len(some)] = total.cpu().numpy()
    return result


class CausalScorer:
    """Gains in log-likelihood of texts by a history, from a model and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.alone: dict[str, float] = {}

    @cached_property
    def content(self) -> str:
        """Return a hash of weights, configuration and tokenizer."""
        return content_hash(self.model, self.tokenizer)

    def _tokens(self, text: str, *, begins: bool) -> list[int]:
        # A title that spells a special token, such as "</s>", is a text like any other.
        read = self.tokenizer(text, add_special_tokens=begins, split_special_tokens=True)
        tokens: list[int] = read["input_ids"]
        return tokens

    def gains(
        self,
        history: list[str],
        texts: list[str],
        batch_size: int,
        *,
        deadline: float = np.inf,
        count: Count | None = None,
    ) -> NDArray[np.float64]:
        """Return the log-likelihood of every text after the history, minus that without a history.

        Raises
        ------
        ChatFailed
            If the model cannot read a text at all, runs out of memory, or the deadline comes.
        """
        tails = [self._tokens(likelihood_text(text), begins=False) for text in texts]
        if not all(tails):
            raise ChatFailed("failed", "the tokenizer finds no token in a text")
        prefix = self._fitting_prefix(history, max(map(len, tails)))
        if count is not None:
            count("prompt_tokens", len(prefix) + sum(map(len, tails)))
        try:
            with reading(self.model):
                state = prefix_state(self.model, prefix)
                given = continued(self.model, state, tails, batch_size, deadline)
                return given - self._without_history(texts, tails, deadline)
        except torch.OutOfMemoryError as error:
            raise ChatFailed("failed", "out of memory") from error

    def _fitting_prefix(self, history: list[str], n_tail: int) -> list[int]:
        """Return the tokens of the prompt with as many of the latest events as fit in the model's context."""
        limit = getattr(self.model.config, "max_position_embeddings", None) or np.inf
        for start in range(len(history) + 1):
            tokens = self._tokens(likelihood_prefix(history[start:]), begins=True)
            if len(tokens) + n_tail <= limit:
                return tokens
        raise ChatFailed("failed", "a text is longer than the model can read")

    def _without_history(
        self, texts: list[str], tails: list[list[int]], deadline: float
    ) -> NDArray[np.float64]:
        """Return log-likelihoods that do not depend on the row, found once each.

        One by one: in batches their last digits would depend on which rows came before.
        """
        new = [n for n, text in enumerate(texts) if text not in self.alone]
        if new:
            state = prefix_state(self.model, self._tokens(likelihood_prefix([]), begins=True))
            for n in new:
                self.alone[texts[n]] = float(
                    continued(self.model, state, [tails[n]], 1, deadline)[0]
                )
        return np.array([self.alone[text] for text in texts])


def load_scorer(name: str, device: str) -> CausalScorer:
    """Return the scorer of a model by name or folder, and cache it for the next call.

    Raises
    ------
    OSError
        If there is no such model.
    """
    folder = Path(name).expanduser()
    stamps: tuple[Any, ...] = ()
    if folder.is_dir():
        name = str(folder.resolve())
        stamps = file_stamps(p for p in folder.rglob("*") if p.is_file())
    return _loaded(name, device, stamps)


@lru_cache(maxsize=2)
def _loaded(name: str, device: str, stamps: tuple[Any, ...]) -> CausalScorer:
    library = require("transformers", extra="llm")
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(name)
        model = library.AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    except OSError as error:
        raise OSError(
            f"The model {name!r} is no folder with a causal model and its tokenizer, was not "
            f"downloaded before, and cannot be downloaded now: {error}"
        ) from error
    return CausalScorer(model.to(choose_device(device)), tokenizer)
