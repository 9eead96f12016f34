"""Every wrong use is answered by a message that names its cause and its remedy, or by the right result."""

import re
import sys
import warnings
from pathlib import Path

import pytest
from _wrong_uses import BY_OTHERS, FINE, NEEDS, REFUSED, S

ERRORS_PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_use_is_refused_with_cause_and_remedy(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    use, error, cause, remedy = REFUSED[name]
    with pytest.raises(error) as caught:
        use()
    message = str(caught.value)
    assert re.search(cause, message), message
    assert re.search(remedy, message, re.DOTALL), message


@pytest.mark.parametrize("name", BY_OTHERS)
def test_what_others_refuse_is_answered_by_the_page_of_errors(name):
    use, error, words = BY_OTHERS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # of np.matrix itself
        with pytest.raises(error) as caught:
            use()
    assert words in str(caught.value)
    row = next((line for line in ERRORS_PAGE.splitlines() if words in line), "")
    assert row, f"docs/errors.md does not answer {words!r}"
    assert "`" in row.split("|")[2], "the answer names no code to write"


@pytest.mark.parametrize("name", FINE)
def test_what_only_looks_wrong_has_the_right_result(name):
    use, is_right = FINE[name]
    assert is_right(use())


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_a_missing_table_library_is_named_with_its_installation(library, monkeypatch):
    lists, _ = S.model.recommend(S.X, k=2)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"{library} .* not installed: pip install {library}"):
        S.X.to_frame(lists, library=library)
