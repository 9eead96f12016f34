"""Language models of a few kilobytes with random weights, made where they are needed: nothing is downloaded."""

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


def save_tiny_encoder(folder: Path, seed: int = 0) -> Path:
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


def tiny_tokenizer():
    """Tokens are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {"<s>": 256, "</s>": 257}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def tiny_causal_model(kind, n_positions=4096, seed=0):
    """A causal model over the tokens of `tiny_tokenizer`."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    special = {"bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 257, "vocab_size": 258}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "gpt2":
            sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": n_positions}
            return GPT2LMHeadModel(GPT2Config(**sizes, **special, initializer_range=0.5)).eval()
        config = LlamaConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=n_positions,
            **special,
        )
        return LlamaForCausalLM(config).eval()
