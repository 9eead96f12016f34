"""Doctests of estimators whose extra is not installed are left out."""

from importlib.util import find_spec

collect_ignore = (
    []
    if find_spec("torch")
    else [f"sklearn_llmrec/sequence/{name}.py" for name in ("_bert4rec", "_recurrent", "_sasrec")]
)
