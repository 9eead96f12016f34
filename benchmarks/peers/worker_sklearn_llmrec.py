"""sklearn_llmrec at its defaults, two threads."""

import scipy.sparse as sp
from _run import THREADS, run

import sklearn_llmrec
from sklearn_llmrec.utils import all_recommenders

JOBS = {
    "popularity": ("PopularityRecommender", {}),
    "itemknn": ("ItemKNN", {}),
    "itemknn-cosine": ("ItemKNN", {"n_neighbors": 100, "weighting": None, "shrinkage": 0.0}),
    "userknn": ("UserKNN", {}),
    "rp3beta": ("RP3beta", {}),
    "ease": ("EASE", {}),
    "ease-500": (
        "EASE",
        {
            "regularization": 500.0,
            "dropout": 0,
            "max_self_weight": 0,
            "user_exponent": 0,
            "value_exponent": 1,
        },
    ),
    "slim": ("SLIM", {}),
    "als64": ("ALSRecommender", {"n_components": 64, "random_state": 0}),
    "bpr64": ("BPRRecommender", {"n_components": 64, "random_state": 0}),
}


def fit(job, X):
    name, params = JOBS[job]
    model = dict(all_recommenders())[name](**params)
    if "n_jobs" in model.get_params():
        model.set_params(n_jobs=THREADS)
    return model.fit(sp.csr_array(X))


def recommend(job, model, X):
    return model.recommend(sp.csr_array(X), k=10)[0]


if __name__ == "__main__":
    run("sklearn_llmrec", sklearn_llmrec.__version__, fit, recommend)
