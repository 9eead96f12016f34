"""Copy the notebooks of the examples into the source folder, where the build executes and renders them."""

from pathlib import Path


def copy_notebooks(app, config):
    """Write each notebook that differs into the folder ``notebooks``, so that unchanged ones are not read again."""
    target = Path(app.srcdir, "notebooks")
    target.mkdir(exist_ok=True)
    for notebook in sorted(Path(app.srcdir).parent.glob("examples/notebooks/*.ipynb")):
        copy, text = target / notebook.name, notebook.read_text()
        if not copy.exists() or copy.read_text() != text:
            copy.write_text(text)


def setup(app):
    """Copy before the source files are found."""
    app.connect("config-inited", copy_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
