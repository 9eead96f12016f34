"""Sequential models, which read a history in order. Importing this does not import torch."""

from sklearn_llmrec.sequence._bert4rec import BERT4Rec
from sklearn_llmrec.sequence._blend import make_sequence_blend
from sklearn_llmrec.sequence._hmm import HMMRecommender
from sklearn_llmrec.sequence._knn import SequenceKNN, SessionKNN
from sklearn_llmrec.sequence._lm_recommender import LMRecommender
from sklearn_llmrec.sequence._markov import MarkovRecommender
from sklearn_llmrec.sequence._recurrent import (
    SequenceGRURecommender,
    SequenceLSTMRecommender,
    SequenceRNNRecommender,
)
from sklearn_llmrec.sequence._repeat import RepeatRecommender
from sklearn_llmrec.sequence._sasrec import SASRec
from sklearn_llmrec.sequence._sequence_ease import SequenceEASE

__all__ = [
    "BERT4Rec",
    "HMMRecommender",
    "LMRecommender",
    "MarkovRecommender",
    "RepeatRecommender",
    "SASRec",
    "SequenceEASE",
    "SequenceGRURecommender",
    "SequenceKNN",
    "SequenceLSTMRecommender",
    "SequenceRNNRecommender",
    "SessionKNN",
    "make_sequence_blend",
]
