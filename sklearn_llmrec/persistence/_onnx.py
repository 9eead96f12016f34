"""Export a recommender to ONNX: a dense row goes in, the k best items come out.

The graph has the steps of `recommend`: scores of all items, popularity where nothing is known, no seen items, top k.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklearn_llmrec._kernels import EQUAL_SHARE
from sklearn_llmrec.base import BaseRecommender, ItemToItemRecommender
from sklearn_llmrec.decomposition import ALSRecommender, BPRRecommender, PureSVD
from sklearn_llmrec.linear_model import EASE
from sklearn_llmrec.utils import check_k, require

_OPSET = 18
# A protobuf message, which an ONNX file is, has at most 2 GiB.
_MOST_BYTES = 2**31 - 2**20


def to_onnx(model: Any, k: int = 10) -> Any:
    """Export a fitted recommender to ONNX, with the same k best items for dense rows.

    Parameters
    ----------
    model : object
        A fitted `EASE`, `PureSVD`, `ALSRecommender` or `BPRRecommender`, or an item-to-item model: `ItemKNN` without
        `center`, `P3alpha`, `RP3beta`, `SLIM`, `SparseEASE`, and models of your own that extend
        `ItemToItemRecommender` and score by its weights.
    k : int, default=10
        Length of the lists, at most the number of items.

    Returns
    -------
    graph : onnx.ModelProto
        Input ``X`` of shape (n_users, n_items), in the dtype of the model. Outputs ``items`` of shape (n_users, k),
        int64, and ``scores``. An item of -1, with the score -inf, is an empty place. ``graph.SerializeToString()`` is
        the content of an ``.onnx`` file.

    Raises
    ------
    ImportError
        If onnx is not installed.
    TypeError
        If the model is none of these.
    ValueError
        If k is above the number of items, or the weights exceed the 2 GiB of an ONNX file.

    See Also
    --------
    save : Write a bundle, which stores every model.

    Notes
    -----
    Weights are stored densely, n_items x n_items numbers of item-to-item models: ONNX has no sparse products. Items
    whose scores differ by rounding only may change places.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_llmrec import EASE
    >>> from sklearn_llmrec.persistence import to_onnx
    >>> graph = to_onnx(EASE(regularization=1.0).fit(np.tri(4)), k=2)
    >>> [output.name for output in graph.graph.output]
    ['items', 'scores']
    """
    onnx = require("onnx", None)
    if not isinstance(model, BaseRecommender):
        raise TypeError(
            f"to_onnx exports a single recommender and got {type(model).__name__}: pass the recommender, and put the "
            "other steps of a Pipeline before the graph."
        )
    check_is_fitted(model)
    k = check_k(k, model.n_features_in_)
    graph = _Graph(onnx, _dtype_of(model))
    scores = _scores(graph, model)
    items, values = _ranked(graph, model, scores, k)
    float_type = onnx.helper.np_dtype_to_tensor_dtype(graph.dtype)
    shape = ["n_users", model.n_features_in_]
    inputs = [onnx.helper.make_tensor_value_info("X", float_type, shape)]
    outputs = [
        onnx.helper.make_tensor_value_info(items, onnx.TensorProto.INT64, ["n_users", k]),
        onnx.helper.make_tensor_value_info(values, float_type, ["n_users", k]),
    ]
    made = onnx.helper.make_graph(
        graph.nodes, type(model).__name__, inputs, outputs, graph.initializers
    )
    opsets = [onnx.helper.make_opsetid("", _OPSET)]
    return onnx.helper.make_model(
        made, opset_imports=opsets, ir_version=9, producer_name="sklearn_llmrec"
    )


def _weights_of(model: Any) -> NDArray[Any]:
    """Return the weights between items, or the factors, from which a model computes its scores."""
    if isinstance(model, ItemToItemRecommender):
        is_item_to_item = type(model)._score_rows is ItemToItemRecommender._score_rows
        if is_item_to_item or (hasattr(model, "center") and model.center is None):
            _check_size(model.weights_.shape, model.weights_.dtype)
            return model.weights_.toarray()
    elif isinstance(model, EASE):
        return model.coef_
    elif isinstance(model, (PureSVD, ALSRecommender, BPRRecommender)):
        return model.components_
    raise TypeError(
        f"to_onnx cannot export {type(model).__name__}: it exports EASE, PureSVD, ALSRecommender, BPRRecommender and "
        "item-to-item models without center. save stores every model."
    )


def _check_size(shape: tuple[int, ...], dtype: Any) -> None:
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size > _MOST_BYTES:
        raise ValueError(
            f"The dense weights of shape {shape} take {size / 2**30:.1f} GiB, and an ONNX file has at most 2 GiB: "
            "export a factor model, or use save."
        )


def _dtype_of(model: Any) -> np.dtype[Any]:
    found = next(
        (
            getattr(model, name)
            for name in ("weights_", "coef_", "components_")
            if hasattr(model, name)
        ),
        None,
    )
    return np.dtype(np.float64) if found is None else found.dtype


class _Graph:
    """Nodes and constants of a graph that is being built; every method returns the name of a result."""

    def __init__(self, onnx: Any, dtype: np.dtype[Any], prefix: str = "") -> None:
        self.onnx, self.dtype, self.prefix = onnx, dtype, prefix
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.size = 0

    def constant(self, values: Any, dtype: Any = None) -> str:
        # Not ascontiguousarray, which makes arrays of scalars.
        array = np.array(values, dtype=self.dtype if dtype is None else dtype, order="C")
        _check_size((self.size + array.nbytes,), np.uint8)
        self.size += array.nbytes
        name = f"{self.prefix}constant_{len(self.initializers)}"
        self.initializers.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def node(
        self, kind: str, *inputs: str, outputs: tuple[str, ...] = (), **attributes: Any
    ) -> str:
        outputs = outputs or (f"{self.prefix}{kind}_{len(self.nodes)}",)
        self.nodes.append(
            self.onnx.helper.make_node(kind, list(inputs), list(outputs), **attributes)
        )
        return outputs[0]

    def row_sums(self, values: str) -> str:
        return self.node("ReduceSum", values, self.constant([1], np.int64), keepdims=1)

    def is_not_zero(self, values: str) -> str:
        return self.node("Not", self.node("Equal", values, self.constant(0)))


def _scores(graph: _Graph, model: Any) -> str:
    """Add the scores of all items."""
    weights = _weights_of(model)
    if isinstance(model, (ALSRecommender, BPRRecommender)):
        return _folded_in(graph, model)
    if isinstance(model, PureSVD):
        factors = graph.node("MatMul", "X", graph.constant(weights.T))
        return graph.node("MatMul", factors, graph.constant(weights))
    rows = _raised(graph, model.value_exponent) if isinstance(model, EASE) else "X"
    return graph.node("MatMul", rows, graph.constant(weights))


def _raised(graph: _Graph, exponent: float) -> str:
    """Add the values of X raised to a power, with their signs."""
    if exponent == 1:
        return "X"
    # Where a value is 0 the sign is 0 too, whatever its power.
    powers = graph.node("Pow", graph.node("Abs", "X"), graph.constant(exponent))
    return graph.node("Mul", graph.node("Sign", "X"), powers)


def _folded_in(graph: _Graph, model: Any) -> str:
    """Add the ridge regressions of the rows, in the basis where the part shared by all rows is the identity.

    Row x solves ``(I + D + sum_i w_i q_i q_i') y = sum_i v_i q_i`` by conjugate gradients, D the diagonal of the
    penalty beyond the least one; its scores are ``y q_i``. `RowSystems` does the same with sparse rows.
    """
    Q, common = model.components_.T, model._common_part_
    seen = graph.node(
        "Cast", graph.is_not_zero("X"), to=graph.onnx.helper.np_dtype_to_tensor_dtype(graph.dtype)
    )
    if isinstance(model, ALSRecommender):
        centred, weights = Q, graph.node("Mul", "X", graph.constant(model.confidence))
        right = graph.node(
            "Add", weights, graph.node("Mul", seen, graph.constant(model.unobserved_weight))
        )
        extra = _extra_penalty(graph, model, weights)
    else:
        centred, extra = Q - model._item_mean_, None
        n_seen = graph.node("Max", graph.row_sums(seen), graph.constant(1))
        weights = graph.node("Div", seen, n_seen)
        right = graph.node("Mul", weights, graph.constant(2))
    rotated = graph.constant(centred @ common.into)
    right = graph.node("MatMul", right, rotated)
    solution = _conjugate_gradients(graph, weights, rotated, right, extra, 4 * Q.shape[1])
    # From the basis of the regressions to that of the factors.
    factors = graph.node("MatMul", solution, graph.constant(common.into.T))
    scores = graph.node("MatMul", factors, graph.constant(Q.T))
    bias = model.item_bias_
    return scores if bias is None else graph.node("Add", scores, graph.constant(bias))


def _extra_penalty(graph: _Graph, model: ALSRecommender, weights: str) -> str | None:
    """Add the penalty of each row beyond the least one, as a diagonal in the basis of the regressions."""
    if not model.frequency_exponent:
        return None
    base = graph.constant(model.unobserved_weight * model.n_features_in_)
    frequency = graph.node("Add", graph.row_sums(weights), base)
    relative = graph.node("Div", frequency, graph.constant(model._mean_frequency_))
    power = graph.node("Pow", relative, graph.constant(model.frequency_exponent))
    penalty = graph.node("Mul", power, graph.constant(model.regularization_))
    common = model._common_part_
    above = graph.node("Sub", penalty, graph.constant(common.penalty))
    return graph.node("Mul", above, graph.constant(common.inverse[None, :]))


def _conjugate_gradients(
    graph: _Graph, weights: str, rotated: str, right: str, extra: str | None, n_steps: int
) -> str:
    """Add a loop that solves the systems of all rows together."""
    onnx, body = graph.onnx, _Graph(graph.onnx, graph.dtype, "step_")
    float_type = onnx.helper.np_dtype_to_tensor_dtype(graph.dtype)
    start = graph.node("Sub", right, right)
    square = graph.row_sums(graph.node("Mul", right, right))
    enough = graph.node("Mul", square, graph.constant(np.finfo(graph.dtype).eps ** 2))

    scores = body.node("Gemm", "direction", rotated, transB=1)
    pulled = body.node("MatMul", body.node("Mul", scores, weights), rotated)
    applied = body.node("Add", "direction", pulled)
    if extra is not None:
        applied = body.node("Add", applied, body.node("Mul", "direction", extra))
    curvature = body.row_sums(body.node("Mul", "direction", applied))
    tiny = body.constant(np.finfo(graph.dtype).tiny)
    step = body.node("Div", "square", body.node("Max", curvature, tiny))
    body.node("Add", "x", body.node("Mul", step, "direction"), outputs=("new_x",))
    body.node("Sub", "residual", body.node("Mul", step, applied), outputs=("new_residual",))
    new_square = body.row_sums(body.node("Mul", "new_residual", "new_residual"))
    body.node("Identity", new_square, outputs=("new_square",))
    share = body.node("Div", new_square, body.node("Max", "square", tiny))
    body.node(
        "Add", "new_residual", body.node("Mul", share, "direction"), outputs=("new_direction",)
    )
    unsolved = body.node(
        "Cast", body.node("Greater", new_square, enough), to=onnx.TensorProto.INT64
    )
    most = body.node("ReduceMax", unsolved, keepdims=0)
    body.node("Greater", most, body.constant(0, np.int64), outputs=("goes_on",))

    states = ("x", "residual", "direction", "square")
    info = onnx.helper.make_tensor_value_info
    loop = onnx.helper.make_graph(
        body.nodes,
        "step",
        [
            info("number", onnx.TensorProto.INT64, []),
            info("went_on", onnx.TensorProto.BOOL, []),
            *(info(name, float_type, None) for name in states),
        ],
        [
            info("goes_on", onnx.TensorProto.BOOL, []),
            *(info(f"new_{name}", float_type, None) for name in states),
        ],
        body.initializers,
    )
    outputs = tuple(f"solved_{name}" for name in states)
    limit, true = graph.constant(n_steps, np.int64), graph.constant(True, np.bool_)
    return graph.node("Loop", limit, true, start, right, right, square, outputs=outputs, body=loop)


def _ranked(graph: _Graph, model: Any, scores: str, k: int) -> tuple[str, str]:
    """Add popularity where nothing is known, leave out seen items, and take the k best."""
    axis = graph.constant([1], np.int64)
    popularity = model.item_popularity_
    highest = graph.node("ReduceMax", scores, axis, keepdims=1)
    lowest = graph.node("ReduceMin", scores, axis, keepdims=1)
    seen = graph.is_not_zero("X")
    no_history = graph.node(
        "Equal",
        graph.row_sums(graph.node("Cast", seen, to=graph.onnx.TensorProto.INT64)),
        graph.constant([[0]], np.int64),
    )
    # As `equal_but_for_rounding` decides it.
    size = graph.node("Max", graph.node("Abs", lowest), graph.node("Abs", highest))
    limit = graph.node("Mul", size, graph.constant(EQUAL_SHARE))
    near = graph.node("LessOrEqual", graph.node("Sub", highest, lowest), limit)
    flat = graph.node("Or", near, no_history)
    if model._tags_.zero_is_unknown:
        scores = _filled(graph, scores, popularity)
    fallback = graph.constant(model._fallback_scores()[None, :])
    scores = graph.node("Where", flat, fallback, scores)
    scores = graph.node("Where", seen, graph.constant(-np.inf), scores)
    values, places = "scores", "places"
    graph.node("TopK", scores, graph.constant([k], np.int64), outputs=(values, places), axis=1)
    empty = graph.node("Equal", values, graph.constant(-np.inf))
    items = graph.node("Where", empty, graph.constant(-1, np.int64), places, outputs=("items",))
    return items, values


def _filled(graph: _Graph, scores: str, popularity: NDArray[np.float64]) -> str:
    """Add popularity below the lowest score that is known, as the kernel `fill_unknown` does."""
    axis = graph.constant([1], np.int64)
    known = graph.is_not_zero(scores)
    least = graph.node(
        "ReduceMin", graph.node("Where", known, scores, graph.constant(np.inf)), axis, keepdims=1
    )
    largest = graph.node("ReduceMax", graph.node("Abs", scores), axis, keepdims=1)
    positive = graph.node("Greater", least, graph.constant(0))
    span = graph.node("Where", positive, least, graph.node("Max", largest, graph.constant(1e-30)))
    missing = graph.constant((1 - popularity / (popularity.max() + 1))[None, :])
    below = graph.node("Sub", least, graph.node("Mul", span, missing))
    return graph.node("Where", known, scores, below)
