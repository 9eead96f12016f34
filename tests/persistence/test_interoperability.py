"""MLflow and onnxruntime give what the models give."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.pipeline import make_pipeline

from sklearn_llmrec import (
    EASE,
    SLIM,
    ALSRecommender,
    BPRRecommender,
    ItemKNN,
    P3alpha,
    PureSVD,
    RP3beta,
    SparseEASE,
    TFIDFTransformer,
    UserKNN,
    VotingRecommender,
)
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.persistence import log_model, to_onnx


@pytest.fixture(scope="module")
def X():
    return sp.csr_array(make_interactions(n_users=150, n_items=60, random_state=0).interactions)


# -- ONNX --------------------------------------------------------------------------------------------------------------

EXPORTED = [
    EASE(regularization=10.0),
    ItemKNN(),
    ItemKNN(n_neighbors=3),
    P3alpha(),
    RP3beta(),
    SLIM(),
    SparseEASE(regularization=10.0),
    PureSVD(8, random_state=0),
    ALSRecommender(8, random_state=0),
    ALSRecommender(8, frequency_exponent=0.7, confidence=5.0, random_state=0),
    BPRRecommender(8, max_iter=20, random_state=0),
]


def _onnx_lists(model, X, k):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    graph = to_onnx(model, k)
    onnx.checker.check_model(graph, full_check=True)
    session = runtime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"X": X})


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("model", EXPORTED, ids=repr)
def test_the_same_top_ten(model, dtype, X):
    given = X.astype(dtype)
    model.fit(given)
    rng = np.random.default_rng(0)
    new = rng.choice([0, 0, 0, 0, 1, 2], size=(40, X.shape[1]))
    crowded = np.ones((2, X.shape[1]))  # hardly anything is left to recommend
    crowded[0, :4] = 0
    rows = np.vstack([given.toarray(), new, np.zeros((1, X.shape[1])), crowded]).astype(dtype)
    items, scores = _onnx_lists(model, rows, 10)
    expected, values = model.recommend(rows, k=10)
    tol = 1e-9 if dtype == np.float64 else 2e-4
    shown = expected >= 0
    assert np.array_equal(items < 0, ~shown)
    size = np.abs(np.where(shown, values, 0)).max(axis=1, keepdims=True)
    errors = np.abs(np.where(shown, scores, 0) - np.where(shown, values, 0))
    assert (errors <= tol * size + 1e-12).all()
    # Items may only change places with others of the same score but for rounding.
    differs = (items != expected) & shown
    all_scores = model.predict(rows)
    at = np.nonzero(differs)
    gaps = np.abs(all_scores[at[0], items[at]] - all_scores[at[0], expected[at]])
    assert (gaps <= tol * size[at[0], 0]).all()
    assert differs.mean() < (0.001 if dtype == np.float64 else 0.01)


def test_what_cannot_be_exported_is_named(X):
    pytest.importorskip("onnx")
    for model in (UserKNN(), ItemKNN(center="user"), VotingRecommender([("a", ItemKNN())])):
        with pytest.raises(TypeError, match=f"cannot export {type(model).__name__}"):
            to_onnx(model.fit(X))
    with pytest.raises(TypeError, match="got Pipeline"):
        to_onnx(make_pipeline(TFIDFTransformer(), ItemKNN()).fit(X))
    with pytest.raises(ValueError, match="k"):
        to_onnx(EASE().fit(X), k=61)


# -- MLflow ------------------------------------------------------------------------------------------------------------


# MLflow's own warnings: of type hints in its modules, and of the store that it keeps for compatibility.
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
)
@pytest.mark.parametrize(
    "model",
    [
        ItemKNN(),
        ALSRecommender(4, random_state=0),
        make_pipeline(TFIDFTransformer(), VotingRecommender([("a", EASE()), ("b", UserKNN())])),
    ],
    ids=lambda model: type(model).__name__,
)
def test_pyfunc_gives_the_scores(model, X, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the store in a folder needs no database
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    mlflow.set_experiment("recommenders")
    model.fit(X)
    with mlflow.start_run():
        info = log_model(model, name="model")
    served = mlflow.pyfunc.load_model(info.model_uri)
    expected = model.predict(X)
    for given in (sp.csr_matrix(X), X.toarray(), pd.DataFrame(X.toarray())):
        np.testing.assert_allclose(served.predict(given), expected, rtol=1e-12)
    flavor = mlflow.models.get_model_info(info.model_uri).flavors["sklearn"]
    assert flavor["serialization_format"] == "skops"
