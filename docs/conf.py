"""Sphinx: the pages of this folder, and one page per public name. `make docs` builds them into docs/_build/html."""

import sys
from pathlib import Path

import sklearn_llmrec

sys.path.append(str(Path(__file__).with_name("_ext")))

project = "sklearn-llmrec"
author = "the sklearn_llmrec developers"
version = release = sklearn_llmrec.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "api_links",
    "mathml",
    "capabilities",
    "notebooks",
]
default_role = "literal"  # `fit` in a docstring is code; names of the package become links
nitpicky = True  # a reference that leads nowhere is an error
nitpick_ignore_regex = [("py:.*", r"(sklearn|scipy|numpy)\..*")]  # docstrings that others wrote
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "_ext",
    "_templates",
    "gallery/**/*.ipynb",
    "gallery/*.ipynb",
    "gallery/*.py",
]

html_theme = "pydata_sphinx_theme"
html_title = f"sklearn-llmrec {version}"
html_math_renderer = "mathml"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"*": ["globaltoc.html"], "index": []}  # a guide shows all guides beside it
html_favicon = "_static/favicon.svg"
html_search_scorer = str(Path(__file__).parent / "_ext" / "scorer.js")
html_context = {
    "default_mode": "auto",
    "site_versions": (Path(__file__).parent / "versions.txt").read_text().split(),
}
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 4,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_end": ["versions", "theme-switcher", "navbar-icon-links"],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

myst_heading_anchors = 3
autodoc_typehints = "none"  # numpydoc's Parameters say it in words
autosummary_ignore_module_all = False
numpydoc_show_class_members = (
    False  # the template of classes lists the methods, each with its parameters
)
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[\\/]plot_",
    "ignore_pattern": r"(^|[\\/])(?!plot_)\w+\.py$",
    "within_subsection_order": "gallery_order.InOrder",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("sklearn_llmrec",),
    "reference_url": {"sklearn_llmrec": None},
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "nested_sections": False,
    "download_all_examples": False,
    "write_computation_times": False,  # its page loads scripts from other sites
    "junit": "../gallery.xml",
}

nb_execution_mode = "cache"  # a notebook runs again only if it has changed
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_ipywidgets_js = {}  # no script from another site
