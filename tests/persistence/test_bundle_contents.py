"""The page on privacy lists what fitted models hold of single users, as a tool finds it."""

import numpy as np
import pytest

from sklearn_llmrec import ItemKNN, PopularityRecommender, UserKNN
from tools import bundle_contents as tool


def test_rows_that_are_kept_are_found():
    before = {name: tool.kept(*tool.fitted_twice(kind())) for name, kind in KINDS.items()}
    assert before["ItemKNN"] == {"_rows_"}
    assert before["PopularityRecommender"] == set()
    assert "_rows_" in before["UserKNN"]
    assert tool.kept(*(model.compact() for model in tool.fitted_twice(ItemKNN()))) == set()


KINDS = {"ItemKNN": ItemKNN, "PopularityRecommender": PopularityRecommender, "UserKNN": UserKNN}


def test_arrays_are_found_inside_objects_and_containers():
    class Holder:
        def __init__(self):
            self.inside_ = {"a": [np.zeros(3)], "b": (np.zeros(4),)}

    found = sorted(array.shape for name, array in tool.arrays(Holder()) if "inside_" in name)
    assert {(3,), (4,)} <= set(found)


@pytest.mark.slow
def test_the_page_lists_what_the_tool_finds():
    for module in ("torch", "faiss", "transformers"):
        pytest.importorskip(module)
    text = tool.PAGE.read_text()
    start, stop = text.index(tool.BEGIN) + len(tool.BEGIN), text.index(tool.END)
    assert text[start:stop].strip() == tool.table(tool.contents())
