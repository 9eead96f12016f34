"""Data sets: one that ships, one that is generated, and those that are fetched."""

from sklearn_llmrec.datasets._data_home import clear_data_home, get_data_home
from sklearn_llmrec.datasets._movielens import fetch_movielens
from sklearn_llmrec.datasets._online_retail import load_online_retail
from sklearn_llmrec.datasets._synthetic import make_interactions

__all__ = [
    "clear_data_home",
    "fetch_movielens",
    "get_data_home",
    "load_online_retail",
    "make_interactions",
]
