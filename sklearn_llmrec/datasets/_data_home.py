"""Find the folder of downloaded data sets, inside scikit-learn's own data home."""

import os
from pathlib import Path

from sklearn.datasets import get_data_home as _sklearn_data_home

_FOLDER = "sklearn_llmrec"
# What the fetchers write, and so what clear_data_home may remove: nothing else is touched.
_OURS = ("ml-*.zip", "ml-*.zip.part")


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> str:
    """Return the path of the folder that downloaded data sets are kept in, and make it if needed.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder. None is the folder ``sklearn_llmrec`` inside :func:`sklearn.datasets.get_data_home`
        (``~/scikit_learn_data`` unless scikit-learn is configured otherwise).

    Returns
    -------
    data_home : str
        The path, made absolute.

    See Also
    --------
    clear_data_home : Remove the downloaded files.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn_llmrec.datasets import get_data_home
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     os.path.basename(get_data_home(os.path.join(folder, "sets")))
    'sets'
    """
    if data_home is None:
        path = Path(_sklearn_data_home()) / _FOLDER
    else:
        path = Path(data_home).expanduser().absolute()
    path.mkdir(parents=True, exist_ok=True)
    return str(path)


def clear_data_home(data_home: str | os.PathLike[str] | None = None) -> None:
    """Remove the files that the fetchers of this package downloaded.

    Archives, whole or half downloaded, are removed; whatever else lies in the folder stays, so a folder of
    your own can be given safely.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder, as in :func:`get_data_home`.

    See Also
    --------
    get_data_home : The folder.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn_llmrec.datasets import clear_data_home
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("ml-1m.zip.part", "notes.txt"):
    ...         open(os.path.join(folder, name), "w").close()
    ...     clear_data_home(folder)
    ...     os.listdir(folder)
    ['notes.txt']
    """
    home = Path(get_data_home(data_home))
    for pattern in _OURS:
        for path in home.glob(pattern):
            path.unlink()
