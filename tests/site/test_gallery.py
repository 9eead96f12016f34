"""The examples of the gallery and the notebooks, as the build of the site has run them."""

import ast
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.site

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
each_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def test_there_are_enough():
    assert len(EXAMPLES) >= 16
    assert len(NOTEBOOKS) == 3


@each_example
def test_an_example_answers_a_question_with_one_figure(path, pages):
    title = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
    assert title.endswith("?")
    page = pages[f"gallery/{path.stem}.html"]
    assert title in page.text
    assert len(set(re.findall(rf"sphx_glr_{path.stem}_\d+\.png", page.text))) == 1
    # An image of one colour is no figure.
    (image,) = (ROOT / "docs" / "gallery" / "images").glob(f"sphx_glr_{path.stem}_[0-9]*.png")
    pixels = pytest.importorskip("matplotlib.image").imread(image)
    assert pixels.std() > 0.02


@each_example
def test_an_example_takes_less_than_a_minute(path, pages):
    cases = ElementTree.parse(pages.folder.parent / "gallery.xml").iter("testcase")
    seconds = {Path(case.get("file")).stem: float(case.get("time")) for case in cases}
    assert 0 < seconds[path.stem] < 60


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_rendered_with_them(path, pages):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    page = pages[f"notebooks/{path.stem}.html"]
    assert page.text.count("cell_output") >= len(cells) // 2
    assert "Traceback" not in page.text
