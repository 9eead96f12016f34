"""Tests ask no model hub, and doctests of estimators whose extra is not installed are left out."""

import os
from importlib.util import find_spec

# Read when huggingface_hub is imported: a wrong model name is refused at once, without tries over the network.
os.environ["HF_HUB_OFFLINE"] = "1"

NEEDS = {
    "torch": (
        *("decomposition/_lightgcn", "decomposition/_mult_vae", "sequence/_bert4rec"),
        *("sequence/_lm_recommender", "sequence/_recurrent", "sequence/_sasrec"),
        *("graph/_embedding", "graph/_link_prediction"),
    ),
    "faiss": ("neighbors/_indexed",),
    "onnx": ("persistence/_onnx",),
}
collect_ignore = [
    f"sklearn_llmrec/{name}.py"
    for package, names in NEEDS.items()
    for name in names
    if not find_spec(package)
]
NEEDS_SERVER = ("fastapi", "httptools", "prometheus_client", "sqlalchemy", "uvicorn")
if not all(map(find_spec, NEEDS_SERVER)):
    collect_ignore.append("sklearn_llmrec/serving")
