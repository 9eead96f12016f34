"""Measure the words per sentence of the guides in docs/ and of the README.

    python tools/sentence_length.py                 # every page, and the average over all
    python tools/sentence_length.py --longest 5     # and the longest sentences of every page
    python tools/sentence_length.py --limit 18      # exit with 1 if the average of a page is above the limit

Sentences are those of paragraphs and list entries. Code blocks, tables, headings, figures and formulas are left out;
code in backquotes and a link count as one word each. Pages under docs/benchmarks/ and the changelog are no guides.
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NO_GUIDES = {"changelog.md", "contributing.md"}
# Ends of sentences: a stop, question or exclamation mark before a blank; not "e.g.", "et al." or the stop of ".05".
END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!et al)(?<!vs)[.!?][\"')*_]*(?=\s|$)")


def pages():
    """Return the guides: the README and the pages directly in docs/."""
    guides = sorted((ROOT / "docs").glob("*.md"))
    return [ROOT / "README.md", *(page for page in guides if page.name not in NO_GUIDES)]


def paragraphs(text):
    """Yield the paragraphs and list entries of a page, each on one line."""
    text = re.sub(r"^(```|~~~|:::).*?^\1\s*$", "\n", text, flags=re.MULTILINE | re.DOTALL)
    lines = []
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        entry = re.match(r"([-*+]|\d+\.)\s+", stripped)
        skipped = not stripped or re.match(r"[#|<!]|\$\$|>>>|\(.*\)=$", stripped)
        if (skipped or entry) and lines:
            yield " ".join(lines)
            lines = []
        if not skipped:
            lines.append(stripped[entry.end() :] if entry else stripped)


def sentences(text):
    """Yield the sentences of a page as lists of words."""
    for paragraph in paragraphs(text):
        plain = re.sub(r"!\[[^]]*\]\([^)]*\)", "", paragraph)
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", "LINK", plain)
        plain = re.sub(r"`[^`]*`", "CODE", plain)
        for sentence in END.split(plain):
            words = [word for word in sentence.split() if re.search(r"\w", word)]
            if words:
                yield words


def main(arguments=None):
    """Print the words per sentence of every guide; return 1 if one is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=float("inf"))
    parser.add_argument("--longest", type=int, default=0)
    options = parser.parse_args(arguments)
    counts, above = [], []
    for page in pages():
        found = list(sentences(page.read_text(encoding="utf-8")))
        if not found:
            continue
        lengths = [len(words) for words in found]
        counts += lengths
        mean = sum(lengths) / len(lengths)
        above += [page.name] if mean > options.limit else []
        print(f"{mean:5.1f}  {len(lengths):4d} sentences  {page.relative_to(ROOT)}")
        for words in sorted(found, key=len, reverse=True)[: options.longest]:
            print(f"         {len(words):3d}: {' '.join(words)}")
    print(f"{sum(counts) / len(counts):5.1f}  {len(counts):4d} sentences  all guides")
    if above:
        print(f"above {options.limit:g} words: {', '.join(above)}")
    return int(bool(above))


if __name__ == "__main__":
    sys.exit(main())
