"""The Python code of a page: its blocks, and all of them in order as one module."""

import ast
import doctest
import importlib.util
import re
import sys
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILT = {"_build", "_ext", "_templates", "api", "gallery", "notebooks"}
FENCE = re.compile(r"^ *(`{3,}|~{3,})([^\n`]*)$")
INCLUDE = re.compile(r"^```\{include\} (\S+)$", re.MULTILINE)
PYTHON = {"python", "python3", "py", "py3", "pycon", "ipython", "ipython3"}


@dataclass(frozen=True)
class Block:
    """A fenced block of Python."""

    page: Path
    line: int  # of the first line inside, from 1
    code: str

    @property
    def has_prompts(self):
        """Whether the block is an example of doctest."""
        return re.search(r"^\s*>>>", self.code, re.MULTILINE) is not None

    def __str__(self):
        return f"{self.page.name}:{self.line}"


def pages():
    """README.md, every page of the site, and what pages include."""
    found = [ROOT / "README.md"]
    for page in sorted((ROOT / "docs").rglob("*.md")):
        if not BUILT & set(page.relative_to(ROOT).parts):
            found.append(page)
            found += [(page.parent / name).resolve() for name in INCLUDE.findall(page.read_text())]
    return found


def fenced(text):
    """Yield the language, the first line (from 1) and the content of every fenced block."""
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if opening := FENCE.match(line):
            fence, inside = opening[1], []
            for _, line in lines:
                if line.strip() == fence:
                    break
                inside.append(line)
            else:
                raise ValueError(f"the block that begins in line {number} does not end")
            yield opening[2].strip(), number + 1, "\n".join(inside) + "\n"


def is_python(language):
    """Whether a block is marked as Python, also by a directive such as `{code-block} python`."""
    words = language.replace("{", " ").replace("}", " ").lower().split()
    return bool(PYTHON & set(words))


def python_blocks(page, text=None):
    """Return the Python blocks of a page in their order."""
    found = fenced(page.read_text() if text is None else text)
    return [Block(page, line, code) for language, line, code in found if is_python(language)]


def as_module(page, scripts=True):
    """Return the code of a page as one module, every statement in the line that it has on the page.

    An expression that the doctest skips, because its output differs from run to run, is shown all the same.
    """
    text = page.read_text()
    lines = [""] * (len(text.splitlines()) + 1)
    parts = []
    for example in doctest.DocTestParser().get_examples(text):
        code = example.source
        if is_skipped(example) and isinstance(ast.parse(code).body[0], ast.Expr):
            code = f"repr({ast.unparse(ast.parse(code))})"
        parts.append((example.lineno, code))
    if scripts:
        blocks = [block for block in python_blocks(page) if not block.has_prompts]
        parts += [(block.line - 1, textwrap.dedent(block.code)) for block in blocks]
    for start, code in parts:
        for offset, line in enumerate(code.splitlines()):
            lines[start + offset] = line
    return "\n".join(lines) + "\n"


def is_skipped(example):
    """Whether doctest leaves an example out."""
    return example.options.get(doctest.SKIP, False)


def needs_a_run(page):
    """Whether a page has Python that its doctest does not run: scripts, or examples whose output is not compared."""
    scripts = any(not block.has_prompts for block in python_blocks(page))
    return scripts or any(map(is_skipped, doctest.DocTestParser().get_examples(page.read_text())))


@contextmanager
def page_module(page, folder, *, scripts=True, replace=()):
    """Run the code of a page as a module, so that what it defines can be pickled, and yield the module.

    Outputs are not compared: the doctests do that. `replace` has pairs of a text of the page and what is written here.
    """
    code = as_module(page, scripts)
    for there, here in replace:
        assert there in code, f"{page.name} has no {there!r} any more"
        code = code.replace(there, here)
    name = f"page_{page.stem}"
    path = folder / f"{name}.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]
