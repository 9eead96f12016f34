"""A sentence model of a few kilobytes with random weights, made where it is needed: nothing is downloaded."""

from pathlib import Path

WORDS = [
    "tea",
    "cup",
    "pot",
    "garden",
    "spade",
    "rake",
    "red",
    "blue",
    "a",
    "the",
    "of",
    "for",
    "gift",
    "box",
    "lamp",
    "rose",
]


def save_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Save a BERT of one layer and 16 dimensions with a vocabulary of `WORDS` as a sentence-transformers model."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    try:
        from sentence_transformers.sentence_transformer import modules
    except ImportError:  # before 5.4
        from sentence_transformers import models as modules

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    bert = folder / "bert"
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(bert)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(bert)
    transformer = modules.Transformer(str(bert), max_seq_length=16)
    model = SentenceTransformer(modules=[transformer, modules.Pooling(16)], device="cpu")
    model.save(str(folder / "model"))
    return folder / "model"
