"""The words of docstrings, comments, messages and pages: verbs first, standard terms, one text per shared parameter."""

import ast
import inspect
import io
import re
import runpy
import tokenize
from pathlib import Path
from statistics import mean

import pytest

import sklearn_llmrec
from sklearn_llmrec.base._discovery import all_estimators, all_recommenders

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "sklearn_llmrec").rglob("*.py"))
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not {"_build", "api"} & set(page.parts)
)
CLASSES = dict(all_estimators())

# The first word of the docstring of a function. Add a verb here if none of these says what a new function does.
FIRST_WORDS = """
    Add Allocate Analyse Answer Append Apply Arrange Assert Assign Attend Build Calibrate Call Cast Change Check Clean
    Clip Close Collect Combine Compare Compile Compute Concatenate Continue Convert Copy Correct Count Create Decode
    Delete Derive Describe Divide Do Download Draw Drop Embed Encode End Ensure Estimate Exclude Export Extend
    Factorize Fetch Fill Filter Find Finish Fit Generate Give Group Hide Import Improve Index Initialise Invert Join
    Keep Learn Limit List Load Make Map Mark Match Measure Merge Mix Move Multiply Normalise Open Pack Parse Place Plot
    Predict Prepare Print Put Queue Raise Rank Read Rebuild Recommend Record Reduce Refit Refuse Release Remove Replace
    Replay Report Request Restore Return Run Sample Save Scale Score Search Seed Select Send Set Show Solve Sort Split
    Stack Start Stop Store Submit Subtract Sum Summarise Switch Test Train Transform Treat Update Validate Verify Wait
    Walk Warn Weigh Wrap Write Yield
"""
VERBS = frozenset(FIRST_WORDS.split())

# Words that the package once used in senses of its own, and the standard ones. "held-out" and "hold-out" are terms.
NOT_TERMS = {
    "model of order (write: sequential model)": r"\bmodels?\s+of\s+order\b",
    "tells (write: shows, predicts, distinguishes)": r"\b(tells?|told|telling)\b",
    "asks (write: requests, calls, needs)": r"\b(asks?|asked|asking)\b",
    "holds (write: contains, has, limits)": r"\b(holds?|held|holding)\b(?![-\s]?out)",
    "goes on (write: continues)": r"\b(goes?|going|went|gone)\s+on\b",
    "stands (write: is, occurs, means)": r"\b(stands?|stood|standing)\b",
    "lets (write: allows, makes)": r"\b(lets?|letting)\b",
    "makes of (write: computes from)": r"\bmakes?\s+of\b",
}

# Parameters (and attributes) that mean the same in all classes of a family, and so are described by one text.
NETWORKS = [
    "BERT4Rec",
    "SASRec",
    *(f"Sequence{cell}Recommender" for cell in ("GRU", "LSTM", "RNN")),
]
TRAINED_ON_SEQUENCES = [*NETWORKS, "LMRecommender"]
ROW_NETWORKS = ["LightGCN", "MultVAERecommender"]
TRAINED = [*TRAINED_ON_SEQUENCES, *ROW_NETWORKS]
ORDERED = [
    *TRAINED_ON_SEQUENCES,
    "HMMRecommender",
    "MarkovRecommender",
    "RepeatRecommender",
    "SequenceKNN",
    "SessionKNN",
]
RERANKERS = [
    "BanditReranker",
    "CalibratedReranker",
    "DPPReranker",
    "LLMReranker",
    "LikelihoodReranker",
    "MMRReranker",
    "RuleReranker",
]
TEXT_MODELS = [
    "BilinearContentRecommender",
    "ContentItemKNN",
    "ContentUserKNN",
    "L3AE",
]
SAME = [
    (
        [name for name, _ in all_recommenders() if name != "PopularityRecommender"],
        ["item_popularity_", "n_features_in_"],
    ),
    (
        TRAINED,
        ["learning_rate", "max_iter", "n_iter_no_change", "verbose", "random_state"],
    ),
    (TRAINED, ["n_iter_", "best_epoch_"]),
    (
        TRAINED_ON_SEQUENCES,
        ["batch_size", "regularization", "validation_fraction", "checkpoint", "device", "weights_"],
    ),
    (
        TRAINED_ON_SEQUENCES,
        ["accelerator"],
    ),
    (
        NETWORKS,
        ["loss", "n_negatives", "early_stopping", "item_embeddings", "embedding_training"],
    ),
    (NETWORKS, ["warm_start", "item_vectors_", "loss_curve_", "validation_scores_"]),
    (ROW_NETWORKS, ["device", "early_stopping", "validation_fraction", "validation_scores_"]),
    (ORDERED, ["order"]),
    (RERANKERS, ["estimator", "n_candidates", "exclude_seen", "estimator_"]),
    (["DPPReranker", "MMRReranker"], ["item_features"]),
    (["StackingRecommender", "VotingRecommender"], ["test_size", "max_hidden", "n_hidings"]),
    (["ItemKNN", "UserKNN"], ["metric_params", "center", "regularization"]),
    (["ItemKNN", "P3alpha", "RP3beta", "ContentItemKNN"], ["n_neighbors"]),
    (["SLIM", "SparseEASE", "ItemKNN", "UserKNN", "P3alpha", "RP3beta"], ["n_jobs"]),
    (["LLMReranker", "LikelihoodReranker"], ["blend", "item_texts", "item_texts_"]),
    (TEXT_MODELS, ["encoder", "encoder_", "center"]),
    (["ALSRecommender", "BPRRecommender", "NMFRecommender"], ["n_components", "components_"]),
    (["BiasedMF", "SVDpp"], ["n_components", "components_", "random_state", "mean_", "item_bias_"]),
    (["EASE", "SequenceEASE"], ["popularity_exponent", "coef_", "regularization_"]),
]


def described(kind):
    """The type (without default) and the text of every parameter and attribute of a class, by name."""
    texts = {}
    parts = re.split(r"\n([A-Z][A-Za-z ]+)\n-+\n", inspect.cleandoc(kind.__doc__))
    for title, part in zip(parts[1::2], parts[2::2], strict=True):
        if title in ("Parameters", "Attributes"):
            for entry in re.split(r"\n(?=\S)", part):
                head, _, text = entry.partition("\n")
                names, _, what = head.partition(" : ")
                what = re.sub(r", default=.*", "", what)
                texts.update(dict.fromkeys(names.split(", "), (what, " ".join(text.split()))))
    return texts


@pytest.mark.parametrize(
    ("classes", "name"), [(classes, name) for classes, names in SAME for name in names]
)
def test_shared_parameters_have_one_text(classes, name):
    texts = {each: described(CLASSES[each])[name] for each in classes}
    by_text = {}
    for each, text in texts.items():
        by_text.setdefault(text, []).append(each)
    assert len(by_text) == 1, by_text


def _functions(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            if not any("property" in decorator for decorator in decorators):
                yield node


def test_docstrings_of_functions_begin_with_a_verb():
    others = [
        f"{path.relative_to(ROOT)}: {node.name}: {ast.get_docstring(node).splitlines()[0]}"
        for path in MODULES
        for node in _functions(ast.parse(path.read_text()))
        if ast.get_docstring(node).split()[0].strip(".,:;") not in VERBS
    ]
    assert not others


def test_docstrings_are_written_out():
    template = re.compile(r"^\s+\{[\w, ]+\}$", re.MULTILINE)
    filled = [str(path) for path in MODULES if template.search(path.read_text())]
    assert not filled
    assert not hasattr(sklearn_llmrec.utils, "documented")


def _prose(path):
    """Comments, docstrings and messages of a module, or the lines of a page, with their line numbers."""
    text = path.read_text()
    if path.suffix == ".md":
        return [(1, text)]
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "COMMENT" or (kind in ("STRING", "FSTRING_MIDDLE") and " " in token.string):
            # Code in backquotes may have names of this kind.
            found.append((token.start[0], re.sub(r"``.*?``", "", token.string)))
    return found


@pytest.fixture(scope="module")
def prose():
    return {path.relative_to(ROOT): _prose(path) for path in [*MODULES, *PAGES]}


@pytest.mark.parametrize("term", NOT_TERMS)
def test_terms_are_the_standard_ones(term, prose):
    found = [
        f"{path}:{line + part[: match.start()].count(chr(10))}: {match[0]}"
        for path, parts in prose.items()
        for line, part in parts
        for match in re.finditer(NOT_TERMS[term], part, re.IGNORECASE)
    ]
    assert not found


def test_guides_have_short_sentences():
    script = runpy.run_path(str(ROOT / "tools" / "sentence_length.py"))
    guides = [page for page in script["pages"]() if page.parent.name == "docs"]
    means = {
        page.name: mean(map(len, found))
        for page in guides
        if (found := list(script["sentences"](page.read_text())))
    }
    assert len(means) > 10
    assert not {name: words for name, words in means.items() if words > 18}


def test_the_patterns_find_what_they_are_for():
    words = "a model of order; it tells; we asked; X holds; it goes on; it stands; lets; what it makes of it"
    for pattern in NOT_TERMS.values():
        assert re.search(pattern, words)
    assert not re.search(
        NOT_TERMS["holds (write: contains, has, limits)"], "held-out, hold-out, held out"
    )
