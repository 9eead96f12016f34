"""Pages of the built site: links, what they load, and what they describe."""

import inspect
import posixpath
import re
from importlib import import_module
from urllib.parse import unquote, urlsplit

import pytest

import sklearn_llmrec

pytestmark = pytest.mark.site


def test_links_and_anchors_lead_somewhere(pages):
    broken = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or (link.startswith("#") and len(link) == 1):
                continue
            target = posixpath.normpath(
                posixpath.join(posixpath.dirname(name), unquote(parts.path)) if parts.path else name
            )
            target = "index.html" if target == "." else target
            if target.startswith("../"):  # the site of another version
                continue
            if target in pages:
                anchor = unquote(parts.fragment)
                if anchor and anchor not in pages[target].ids:
                    broken.append(f"{name}: {link}")
            elif not (pages.folder / target).exists():
                broken.append(f"{name}: {link}")
    assert not broken


def test_nothing_is_loaded_from_another_site(pages):
    foreign = [
        f"{name}: {source}"
        for name, page in pages.items()
        for source in page.loaded
        if urlsplit(source).netloc
    ]
    assert not foreign


def test_every_public_method_has_a_section(pages):
    ids = set().union(*(page.ids for page in pages.values()))
    missing = []
    n_methods = 0
    for subpackage in sklearn_llmrec._SUBPACKAGES:
        module = import_module(f"sklearn_llmrec.{subpackage}")
        for name in module.__all__:
            thing = getattr(module, name)
            if not inspect.isclass(thing):
                continue
            home = ".".join(thing.__module__.split(".")[:2])
            if f"{home}.{name}" not in ids:  # a page of its own under another subpackage
                home = f"sklearn_llmrec.{subpackage}"
            if not thing.__module__.startswith("sklearn_llmrec"):
                continue
            for method, _ in inspect.getmembers(thing, inspect.isfunction):
                owner = next(kind for kind in thing.__mro__ if method in vars(kind))
                if re.fullmatch(
                    r"_\w+|set_\w+_request|get_metadata_routing", method
                ) or not owner.__module__.startswith("sklearn_llmrec"):
                    continue
                n_methods += 1
                if f"{home}.{name}.{method}" not in ids:
                    missing.append(f"{name}.{method}")
    assert n_methods > 300
    assert not missing


def test_every_public_name_has_a_page(pages):
    ids = set().union(*(page.ids for page in pages.values()))
    names = [
        (subpackage, name)
        for subpackage in sklearn_llmrec._SUBPACKAGES
        for name in import_module(f"sklearn_llmrec.{subpackage}").__all__
    ]
    missing = [name for _, name in names if not any(each.endswith(f".{name}") for each in ids)]
    assert not missing


def test_formulas_and_figures_with_at_signs_are_text(pages):
    for name, page in pages.items():
        assert "mailto:" not in page.text, name
        assert not re.search(r"\\\(|\\begin\{", page.text.split("<script")[0]), name
