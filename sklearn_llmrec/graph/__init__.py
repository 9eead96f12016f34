"""Knowledge graphs: facts about items as features, with reasons in words."""

from sklearn_llmrec.graph._encoder import KnowledgeGraphEncoder
from sklearn_llmrec.graph._knowledge_graph import Facts, KnowledgeGraph, LinkCheck
from sklearn_llmrec.graph._paths import Path, explain_paths, in_words

__all__ = [
    "Facts",
    "KnowledgeGraph",
    "KnowledgeGraphEncoder",
    "LinkCheck",
    "Path",
    "explain_paths",
    "in_words",
]
