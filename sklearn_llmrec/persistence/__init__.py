"""Save fitted models as bundles that recommend by ids, and load them without executing their content."""

from sklearn_llmrec.persistence._bundle import Bundle, load, save
from sklearn_llmrec.persistence._errors import BundleError
from sklearn_llmrec.persistence._mlflow import log_model
from sklearn_llmrec.persistence._onnx import to_onnx
from sklearn_llmrec.persistence._trusted import trusted_types

__all__ = ["Bundle", "BundleError", "load", "log_model", "save", "to_onnx", "trusted_types"]
