"""Knowledge graphs: facts about items as features, with reasons in words."""

from sklearn_llmrec.graph._embedding import KnowledgeGraphEmbedding
from sklearn_llmrec.graph._encoder import KnowledgeGraphEncoder
from sklearn_llmrec.graph._knowledge_graph import Facts, KnowledgeGraph, LinkCheck
from sklearn_llmrec.graph._link_prediction import LinkRanks, link_prediction
from sklearn_llmrec.graph._paths import Path, explain_paths, in_words

__all__ = [
    "Facts",
    "KnowledgeGraph",
    "KnowledgeGraphEmbedding",
    "KnowledgeGraphEncoder",
    "LinkCheck",
    "LinkRanks",
    "Path",
    "explain_paths",
    "in_words",
    "link_prediction",
]
