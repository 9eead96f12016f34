"""Scores of Mult-VAE from its weights, without torch."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import normalize_rows


def logits_of(weights: dict[str, NDArray[Any]], X: sp.csr_array) -> NDArray[Any]:
    """Logits of all items for every row, at the mean of its latent factors."""
    w = {name: array.astype(X.dtype, copy=False) for name, array in weights.items()}
    hidden = np.tanh(normalize_rows(X) @ w["item_vectors"] + w["item_bias"])
    latent = hidden @ w["mean.weight"].T + w["mean.bias"]
    hidden = np.tanh(latent @ w["decoder.weight"].T + w["decoder.bias"])
    logits: NDArray[Any] = hidden @ w["output.weight"].T + w["output.bias"]
    return logits
