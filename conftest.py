"""Doctests of estimators whose extra is not installed are left out."""

from importlib.util import find_spec

NEEDS_TORCH = (
    *("decomposition/_lightgcn", "decomposition/_mult_vae", "sequence/_bert4rec"),
    *("sequence/_lm_recommender", "sequence/_recurrent", "sequence/_sasrec"),
)
collect_ignore = [] if find_spec("torch") else [f"sklearn_llmrec/{name}.py" for name in NEEDS_TORCH]
