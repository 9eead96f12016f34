"""Log fitted models with MLflow: stored by skops, served by pyfunc with the scores of `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn_llmrec.persistence._estimator import skops_io
from sklearn_llmrec.persistence._manifest import library_versions
from sklearn_llmrec.persistence._trusted import trusted_types
from sklearn_llmrec.utils import require


def log_model(model: Any, *, trusted: Sequence[str] = (), **options: Any) -> Any:
    """Save a fitted model to MLflow in the format of skops, with the types of this library trusted.

    ``mlflow.pyfunc.load_model(uri).predict(X)`` then gives what ``model.predict(X)`` gives, for a csr matrix, a dense
    array or a DataFrame with one column per item. MLflow stores the estimator alone; use `save` for ids, titles, memory
    maps and signatures.

    Parameters
    ----------
    model : object
        A fitted recommender, Pipeline or search.
    trusted : sequence of str, default=()
        Types of your own that the model contains.
    **options : dict
        Further arguments of ``mlflow.sklearn.log_model``, such as ``name`` or ``registered_model_name``. The
        requirements are this library, scikit-learn and skops in the versions installed, if none are given.

    Returns
    -------
    info : mlflow.models.model.ModelInfo

    Raises
    ------
    ImportError
        If mlflow or skops is not installed.
    mlflow.exceptions.MlflowException
        If the model contains types that are not trusted.

    See Also
    --------
    save : Write a bundle.

    Notes
    -----
    MLflow loads no model unless ``MLFLOW_ALLOW_PICKLE_DESERIALIZATION=true`` is set where it trusts the store: the list
    of trusted types lies beside the model, so it protects from mistakes and not from whoever can write there.
    """
    skops_io()
    versions = library_versions()
    packages = ("scikit-learn", "numpy", "scipy", "skops")
    defaults = {
        "serialization_format": "skops",
        "skops_trusted_types": [*trusted_types(), *trusted],
        "pip_requirements": [
            f"sklearn-llmrec=={versions['sklearn_llmrec']}",
            *(f"{name}=={versions[name]}" for name in packages),
        ],
    }
    return require("mlflow.sklearn", None).log_model(model, **{**defaults, **options})
