"""Write one page per public name, and link every name in the pages to its page.

The list of pages is what the package exports, so no second list is kept. A name in code font, such as `EASE` or
`VotingRecommender(...)`, becomes a link wherever it is read.
"""

import re
from importlib import import_module
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

import sklearn_llmrec

PACKAGE = "sklearn_llmrec"
NAME = re.compile(r"(?:sklearn_llmrec\.)?(?:\w+\.)?(\w+)(?:\(.*\))?", re.DOTALL)


def _is_defined_elsewhere(thing, subpackage):
    """Return whether another subpackage, which defines a class or function, lists it as public too."""
    parts = getattr(thing, "__module__", "").split(".")
    if parts[0] != PACKAGE or len(parts) < 2 or parts[1] == subpackage:
        return False
    home = import_module(".".join(parts[:2]))
    return thing.__name__ in getattr(home, "__all__", ())


def public_names():
    """Yield each subpackage with its public names; a name is listed once, where it is defined."""
    for subpackage in sklearn_llmrec._SUBPACKAGES:
        module = import_module(f"{PACKAGE}.{subpackage}")
        names = [
            name
            for name in getattr(module, "__all__", [])
            if not _is_defined_elsewhere(getattr(module, name), subpackage)
        ]
        if names:
            yield module, names


def _write_if_changed(path, text):
    """Write a generated page only if it differs, so that Sphinx does not read it again."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)


def write_api_pages(app, config):
    """Write the index of the API and a page with a table per subpackage."""
    folder = Path(app.srcdir) / "api"
    index = ["API", "===", "", ".. toctree::", "   :hidden:", ""]
    groups = []
    for module, names in public_names():
        short = module.__name__.removeprefix(f"{PACKAGE}.")
        summary = (module.__doc__ or "").splitlines()[0]
        table = [
            "",
            f".. currentmodule:: {module.__name__}",
            "",
            ".. autosummary::",
            "   :nosignatures:",
        ]
        page = [short, "=" * len(short), "", summary, *table, "   :toctree: generated", ""]
        rows = [f"   {name}" for name in names]
        _write_if_changed(folder / f"{short}.rst", "\n".join([*page, *rows, ""]))
        index.append(f"   {short}")
        groups += ["", f":doc:`{short}`", "-" * (len(short) + 8), "", summary, *table, "", *rows]
    _write_if_changed(folder / "index.rst", "\n".join([*index, *groups, ""]))


def _targets():
    """Return the full name of every public name."""
    return {name: f"{module.__name__}.{name}" for module, names in public_names() for name in names}


class LinkNames(SphinxPostTransform):
    """Link names of the package that stand in code font."""

    default_priority = 5  # before references are resolved

    def run(self, **kwargs):
        """Replace each literal that names something public by a reference to it."""
        targets = self.config.api_targets
        for literal in [*self.document.findall(nodes.literal)]:
            match = NAME.fullmatch(literal.astext())
            target = match and targets.get(match[1])
            page = self.env.docname.rpartition("/")[2]
            if (
                not target
                or page == target
                or _is_inside(literal, (nodes.reference, pending_xref, nodes.title))
            ):
                continue
            reference = pending_xref(
                "",
                refdomain="py",
                reftype="obj",
                reftarget=target,
                refdoc=self.env.docname,
                refexplicit=True,
                refwarn=True,
            )
            literal.replace_self(reference)
            reference += literal


def _is_inside(node, kinds):
    """Return whether a node stands inside one of these kinds of nodes."""
    parent = node.parent
    while parent is not None:
        if isinstance(parent, kinds):
            return True
        parent = parent.parent
    return False


def resolve_by_name(app, env, node, contnode):
    """Find the page of a name that a docstring gives without its module, or with another module that exports it."""
    parts = node.get("reftarget", "").split(".")
    for n_last in (1, 2):  # a public name, or one of its methods
        target = env.config.api_targets.get(parts[-n_last]) if len(parts) >= n_last else None
        if target:
            full = ".".join([target, *parts[len(parts) - n_last + 1 :]])
            return env.domains["py"].resolve_xref(
                env, node["refdoc"], app.builder, "obj", full, node, contnode
            )
    return None


class NoMailAddresses(SphinxTransform):
    """Turn what docutils takes for a mail address, such as nDCG@10, back into text."""

    default_priority = 500

    def apply(self, **kwargs):
        """Replace every mailto reference by its text."""
        for reference in [*self.document.findall(nodes.reference)]:
            if reference.get("refuri", "").startswith("mailto:"):
                reference.replace_self(nodes.Text(reference.astext()))


def setup(app):
    """Register the pages and the two transforms."""
    app.add_config_value("api_targets", _targets(), "env")
    app.connect("config-inited", write_api_pages)
    app.connect("missing-reference", resolve_by_name)
    app.add_post_transform(LinkNames)
    app.add_transform(NoMailAddresses)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
