"""Vectors and scores of Mult-VAE from its weights, without torch."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sklearn_llmrec._kernels import normalize_rows


def output_vectors(
    weights: dict[str, NDArray[Any]], X: sp.csr_array
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the last hidden layer of every row, at the mean of its latent factors, and vectors and biases of items."""
    w = {name: array.astype(X.dtype, copy=False) for name, array in weights.items()}
    hidden = np.tanh(normalize_rows(X) @ w["item_vectors"] + w["item_bias"])
    latent = hidden @ w["mean.weight"].T + w["mean.bias"]
    hidden = np.tanh(latent @ w["decoder.weight"].T + w["decoder.bias"])
    return hidden, w["output.weight"], w["output.bias"]


def logits_of(weights: dict[str, NDArray[Any]], X: sp.csr_array) -> NDArray[Any]:
    """Return the logits of all items for every row."""
    hidden, vectors, bias = output_vectors(weights, X)
    logits: NDArray[Any] = hidden @ vectors.T + bias
    return logits
