"""MovieLens: ratings of films, fetched from their publisher and never shipped."""

import csv
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sklearn_llmrec.datasets._data_home import get_data_home
from sklearn_llmrec.datasets._download import download
from sklearn_llmrec.datasets._frames import codes_of, frame, table
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.utils import StrOptions, validate_params

_PUBLISHER = "https://files.grouplens.org/datasets/movielens/"

_DESCR = """\
{title}
{underline}
{n_ratings:,} ratings of {n_items:,} films by {n_users:,} users, read from {where}.

Collected by GroupLens Research, University of Minnesota, https://grouplens.org/datasets/movielens/ . The data may be
used for research; their README, which comes with them, says under which conditions. Publications should cite:

F. M. Harper, J. A. Konstan, "The MovieLens Datasets: History and Context", ACM Transactions on Interactive Intelligent
Systems 5(4), 2015, https://doi.org/10.1145/2827872 .
"""


@validate_params(
    {
        "name": [StrOptions({"latest-small", "100k", "1m", "20m", "32m"})],
        "data_home": [str, os.PathLike, None],
        "download_if_missing": ["boolean"],
        "as_frame": ["boolean"],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=True,
)
def fetch_movielens(
    name: str = "latest-small",
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    as_frame: bool = False,
    verbose: bool | int = True,
) -> Bunch:
    """Load a MovieLens data set, and download it from its publisher if it is not there.

    Parameters
    ----------
    name : {"latest-small", "100k", "1m", "20m", "32m"}, default="latest-small"
        Which data set. "latest-small" changes now and then; the others are fixed.
    data_home : str or path-like, default=None
        Folder that contains the data, or that the archive is downloaded to. The ratings file may lie in it, in a
        subfolder (``ml-1m``), or in the archive (``ml-1m.zip``), and is then read without a network. None is the
        folder of :func:`get_data_home`.
    download_if_missing : bool, default=True
        Whether to download what is not there; if not, an `OSError` is raised.
    as_frame : bool, default=False
        Whether `items` and `frame` are pandas frames.
    verbose : bool or int, default=True
        Whether to show the progress of a download on the standard error stream.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following entries, which are attributes too, but for `items`: write
        ``data["items"]``, because a dictionary has a method of that name.

        interactions : Interactions of shape (n_users, n_items)
            The ratings, with timestamps (unix seconds), the publisher's ids of users and films, and `items` as item
            features. Films that nobody rated have no column.
        items : structured array or DataFrame of shape (n_items,)
            Columns `item`, `title` and `genres` ("Comedy|Drama"), one row per column of `interactions`.
        frame : DataFrame of shape (n_ratings, 4) or None
            The ratings in the order of the file, with ``as_frame=True`` only: columns `user`, `item`, `rating` and
            `timestamp`.
        DESCR : str
            The data set in words.

    Raises
    ------
    OSError
        If the data are neither there nor to be had, or do not match the publisher's checksum.
    ValueError
        If the files found do not contain this data set.

    See Also
    --------
    load_online_retail : Purchases with item descriptions, shipped with the package.
    get_data_home : Where downloads go.

    Notes
    -----
    A download is compared with the checksum file that the publisher offers beside the archive. One that breaks off is
    resumed by the next call. The archive is read as it is, without unpacking.

    References
    ----------
    .. [1] F. M. Harper, J. A. Konstan (2015). "The MovieLens Datasets: History and Context". ACM Transactions on
       Interactive Intelligent Systems 5(4). https://doi.org/10.1145/2827872

    Examples
    --------
    >>> from sklearn_llmrec.datasets import fetch_movielens
    >>> data = fetch_movielens("1m")  # doctest: +SKIP
    >>> data.interactions.shape  # doctest: +SKIP
    (6040, 3706)
    """
    layout = _LAYOUTS[name]
    home = Path(get_data_home() if data_home is None else data_home).expanduser().absolute()
    archive = home / f"{layout.folder}.zip"
    place = _find(layout, home, archive)
    if place is None:
        if not download_if_missing:
            raise OSError(
                f"MovieLens {name} is not in {home}: looked for {layout.ratings}, {layout.folder}/{layout.ratings} "
                f"and {archive.name}. Pass the folder that has it as data_home, or download_if_missing=True."
            )
        home.mkdir(parents=True, exist_ok=True)
        download(f"{_PUBLISHER}{archive.name}", archive, verbose=bool(verbose))
        place = _Place(archive)
    ratings = _read_ratings(layout, place)
    return _bunch(name, layout, place, ratings, as_frame)


@dataclass(frozen=True)
class _Place:
    """A folder or an archive that contains the files of one data set."""

    path: Path

    @contextmanager
    def open(self, filename: str) -> Iterator[IO[bytes]]:
        if self.path.is_dir():
            with (self.path / filename).open("rb") as file:
                yield file
            return
        try:
            archive = zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            raise ValueError(
                f"{self.path} is no whole archive: remove it and try again."
            ) from error
        with archive:
            members = [m for m in archive.namelist() if m.rpartition("/")[2] == filename]
            if not members:
                raise ValueError(f"{self.path} contains no {filename}.")
            with archive.open(members[0]) as file:
                yield file


@dataclass(frozen=True)
class _Layout:
    """Names and format of the files of one data set."""

    folder: str
    ratings: str
    items: str
    read_ratings: Callable[[IO[bytes]], NDArray[Any]]
    read_items: Callable[[IO[bytes]], Iterator[tuple[int, str, str]]]
    n_ratings: int | None  # as published; None where the data set changes


def _find(layout: _Layout, home: Path, archive: Path) -> _Place | None:
    """Find the data set in the folder itself, in its subfolder or in its archive; None if it is in none."""
    for folder in (home, home / layout.folder):
        if (folder / layout.ratings).is_file():
            return _Place(folder)
    return _Place(archive) if archive.is_file() else None


_RATING = np.dtype([("user", "i4"), ("item", "i4"), ("rating", "f4"), ("timestamp", "i8")])


def _read_ratings(layout: _Layout, place: _Place) -> NDArray[Any]:
    with place.open(layout.ratings) as file:
        try:
            ratings = layout.read_ratings(file)
        except (ValueError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{layout.ratings} in {place.path} is not the ratings file of {layout.folder}: {error}"
            ) from error
    if len(ratings) == 0 or layout.n_ratings not in (None, len(ratings)):
        expected = "some" if layout.n_ratings is None else f"{layout.n_ratings:,}"
        raise ValueError(
            f"{layout.ratings} in {place.path} contains {len(ratings):,} ratings and {layout.folder} has {expected}: "
            "it is cut short, or another data set. Remove it, or pass another data_home."
        )
    return ratings


def _bunch(
    name: str, layout: _Layout, place: _Place, ratings: NDArray[Any], as_frame: bool
) -> Bunch:
    title = f"MovieLens {name}"
    users, rows = codes_of(ratings["user"])
    items, columns = codes_of(ratings["item"])
    with place.open(layout.items) as file:
        known = {item: texts for item, *texts in layout.read_items(file)}
    texts = [known.get(int(item), ("", "")) for item in items]
    items_table = table(
        {
            "item": items,
            "title": np.array([words for words, _ in texts]),
            "genres": np.array([genres for _, genres in texts]),
        },
        as_frame,
    )
    X = Interactions(
        (ratings["rating"].astype(np.float64), (rows, columns)),
        shape=(len(users), len(items)),
        timestamps=ratings["timestamp"],
        user_ids=users,
        item_ids=items,
        item_features=items_table,
    )
    return Bunch(
        interactions=X,
        items=items_table,
        frame=frame({field: ratings[field] for field in _RATING.names or ()}) if as_frame else None,
        DESCR=_DESCR.format(
            title=title,
            underline="-" * len(title),
            n_ratings=len(ratings),
            n_users=len(users),
            n_items=len(items),
            where=place.path,
        ),
    )


def _ratings_csv(file: IO[bytes]) -> NDArray[Any]:
    return np.loadtxt(file, dtype=_RATING, delimiter=",", skiprows=1, encoding="ascii", ndmin=1)


def _ratings_tabs(file: IO[bytes]) -> NDArray[Any]:
    return np.loadtxt(file, dtype=_RATING, delimiter="\t", encoding="ascii", ndmin=1)


def _ratings_colons(file: IO[bytes]) -> NDArray[Any]:
    # A delimiter of two characters is more than loadtxt knows.
    return _ratings_tabs(io.BytesIO(file.read().replace(b"::", b"\t")))


def _items_csv(file: IO[bytes]) -> Iterator[tuple[int, str, str]]:
    rows = csv.reader(line.decode("utf-8") for line in file)
    next(rows)
    for item, title, genres in rows:
        yield int(item), title, genres


def _items_colons(file: IO[bytes]) -> Iterator[tuple[int, str, str]]:
    for line in file:
        item, title, genres = line.decode("latin-1").rstrip("\r\n").split("::")
        yield int(item), title, genres


# The nineteen flags that end a line of u.item, in their order in u.genre.
_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def _items_flags(file: IO[bytes]) -> Iterator[tuple[int, str, str]]:
    for line in file:
        fields = line.decode("latin-1").rstrip("\r\n").split("|")
        if len(fields) > len(_GENRES):
            flags = fields[-len(_GENRES) :]
            genres = "|".join(
                genre for genre, flag in zip(_GENRES, flags, strict=True) if flag == "1"
            )
            yield int(fields[0]), fields[1], genres


def _csv_layout(name: str, n_ratings: int | None) -> _Layout:
    return _Layout(f"ml-{name}", "ratings.csv", "movies.csv", _ratings_csv, _items_csv, n_ratings)


_LAYOUTS = {
    "latest-small": _csv_layout("latest-small", None),
    "100k": _Layout("ml-100k", "u.data", "u.item", _ratings_tabs, _items_flags, 100_000),
    "1m": _Layout("ml-1m", "ratings.dat", "movies.dat", _ratings_colons, _items_colons, 1_000_209),
    "20m": _csv_layout("20m", 20_000_263),
    "32m": _csv_layout("32m", 32_000_204),
}
