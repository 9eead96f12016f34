"""Online Retail: a year of a gift shop's invoices, shipped with the package."""

from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from sklearn_llmrec.datasets._frames import frame, table
from sklearn_llmrec.interactions import Interactions
from sklearn_llmrec.utils import StrOptions, validate_params

_DESCR = """\
Online Retail
-------------
Invoices of a British shop that sells gifts over the network, many of them to wholesalers, from 2010-12-01 to
2011-12-09. Kept are the rows with a known customer, a positive quantity and a positive price; cancellations are left
out.

=================   ==========================================
Rows                397,884
Customers           4,338, in 37 countries
Items               3,665, with a description
Invoices            18,532
Time                to the minute, local time
=================   ==========================================

An item's description is the most frequent one of its stock code, with runs of blanks made one; its price is the median
over its rows, in pounds. A few stock codes are postage, bank charges and corrections; `is_product` is False for
them.

Source: D. Chen, S. L. Sain, K. Guo, "Data mining for the online retail industry: A case study of RFM model-based
customer segmentation using data mining", Journal of Database Marketing and Customer Strategy Management 19(3), 2012.
UCI Machine Learning Repository, "Online Retail", https://doi.org/10.24432/C5BW33, licence CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/). Changed here: rows selected as above, descriptions unified, columns
renamed.
"""
# Stock codes of what is charged but not bought; "PADS" is a product.
_SERVICES = ("BANK CHARGES", "C2", "DOT", "M", "POST")


@validate_params(
    {
        "repeats": [StrOptions({"count", "sum", "keep"})],
        "value": [StrOptions({"quantity", "revenue"})],
        "as_frame": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_online_retail(
    *, repeats: str = "count", value: str = "quantity", as_frame: bool = False
) -> Bunch:
    """Load the Online Retail data set: invoices of a gift shop with customers, products, texts and times.

    The file ships with the package, so nothing is downloaded.

    Parameters
    ----------
    repeats : {"count", "sum", "keep"}, default="count"
        What an entry of the matrix is where a customer bought an item more than once. "count" is the number of invoice
        lines, the default, because summed quantities reach 80,995 and are those of wholesalers. "sum" is the sum of
        `value`. Either has the time of the latest purchase. "keep" keeps every line as an entry of its own, in the
        order of time, with its `value`.
    value : {"quantity", "revenue"}, default="quantity"
        What a line is worth for "sum" and "keep": the pieces bought, or their price in pounds.
    as_frame : bool, default=False
        Whether `items`, `users` and `frame` are pandas frames.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following entries, which are attributes too, but for `items`: write
        ``data["items"]``, because a dictionary has a method of that name.

        interactions : Interactions of shape (4338, 3665)
            Customers by items, with timestamps (unix seconds of the local time), ids, and `items` and `users` as its
            item and user features. Its rows and columns are in the order of the ids.
        items : structured array or DataFrame of shape (3665,)
            Columns `stock_code`, `description`, `unit_price` and `is_product`, one row per column of `interactions`.
        users : structured array or DataFrame of shape (4338,)
            Columns `customer` and `country` (that of the latest invoice), one row per row of `interactions`.
        frame : DataFrame of shape (397884, 8) or None
            The invoice lines in log order, with ``as_frame=True`` only: columns `invoice`, `stock_code`,
            `description`, `quantity`, `time`, `unit_price`, `customer` and `country`.
        DESCR : str
            The data set in words.

    See Also
    --------
    make_interactions : Data of any size whose truth is known.
    fetch_movielens : Ratings of films.

    Notes
    -----
    The data set is by D. Chen, S. L. Sain and K. Guo [1]_, from the UCI Machine Learning Repository [2]_, under the
    licence CC BY 4.0; rows were selected, descriptions unified and columns renamed.

    References
    ----------
    .. [1] D. Chen, S. L. Sain, K. Guo (2012). "Data mining for the online retail industry: A case study of RFM
       model-based customer segmentation using data mining". Journal of Database Marketing and Customer Strategy
       Management 19(3).
    .. [2] `Online Retail <https://doi.org/10.24432/C5BW33>`_, UCI Machine Learning Repository.

    Examples
    --------
    >>> from sklearn_llmrec.datasets import load_online_retail
    >>> data = load_online_retail()
    >>> data.interactions.shape
    (4338, 3665)
    >>> bought = data.interactions[[0]].indices
    >>> print(data["items"]["description"][bought])
    ['MEDIUM CERAMIC TOP STORAGE JAR']
    """
    lines = _lines()
    worth = {
        "quantity": lines["quantity"],
        "revenue": lines["quantity"] * lines["unit_price"],
    }[value]
    if repeats == "count":
        worth = np.ones(len(worth))
    rows, columns = lines["user"], lines["item"]
    seconds = lines["time"].astype(np.int64)
    items = table(_items(lines), as_frame)
    users = table(_users(lines), as_frame)
    shape = (len(users), len(items))
    known = {
        "user_ids": lines["customers"],
        "item_ids": lines["stock_codes"],
        "user_features": users,
        "item_features": items,
    }
    if repeats == "keep":
        order = np.argsort(rows, kind="stable")
        indptr = np.append(0, np.cumsum(np.bincount(rows, minlength=shape[0])))
        entries: Any = (worth[order].astype(np.float64), columns[order], indptr)
        seconds = seconds[order]
    else:
        entries = (worth.astype(np.float64), (rows, columns))
    X = Interactions(entries, shape=shape, timestamps=seconds, **known)
    return Bunch(
        interactions=X,
        items=items,
        users=users,
        frame=_frame(lines) if as_frame else None,
        DESCR=_DESCR,
    )


def _items(lines: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    codes = lines["stock_codes"]
    order = np.lexsort((lines["unit_price"], lines["item"]))
    counts = np.bincount(lines["item"], minlength=len(codes))
    ends = np.cumsum(counts)
    # The median of each item's run of sorted prices: the mean of its two middle ones.
    lower, upper = (ends - counts) + (counts - 1) // 2, (ends - counts) + counts // 2
    prices = lines["unit_price"][order]
    return {
        "stock_code": codes,
        "description": lines["descriptions"],
        "unit_price": np.round((prices[lower] + prices[upper]) / 2, 4),
        "is_product": ~np.isin(codes, _SERVICES),
    }


def _users(lines: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    country = np.zeros(len(lines["customers"]), dtype=np.int64)
    country[lines["user"]] = lines["country"]  # the last assignment, so the latest line, stays
    return {"customer": lines["customers"], "country": lines["countries"][country]}


def _frame(lines: dict[str, NDArray[Any]]) -> Any:
    return frame(
        {
            "invoice": lines["invoice"],
            "stock_code": (lines["stock_codes"], lines["item"]),
            "description": (lines["descriptions"], lines["item"]),
            "quantity": lines["quantity"],
            "time": lines["time"],
            "unit_price": lines["unit_price"],
            "customer": (lines["customers"], lines["user"]),
            "country": (lines["countries"], lines["country"]),
        }
    )


def _lines() -> dict[str, NDArray[Any]]:
    """Decode the invoice lines, in log order, from the files that tools/build_online_retail.py writes."""
    path = files("sklearn_llmrec.datasets") / "data" / "online_retail.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        packed = {name: stored[name] for name in stored.files}
    n_lines = packed["invoice_rows"]
    item = _from_planes(packed["item"])
    # Signed steps between invoice numbers are stored as 2 n, or 2 n - 1 where they are negative.
    step = packed["invoice_step"].astype(np.int64)
    step = np.where(step % 2 == 0, step // 2, -(step + 1) // 2)
    # The prices of all items lie one after the other, the most frequent price of an item first.
    first_price = np.cumsum(packed["prices_of_item"], dtype=np.int64) - packed["prices_of_item"]
    mills = _from_planes(packed["price_mills"])[first_price[item] + packed["price_rank"]]
    minutes = np.cumsum(packed["minute_step"], dtype=np.int64)
    return {
        "customers": np.cumsum(packed["customers"], dtype=np.int64),
        "stock_codes": _texts(packed["stock_codes"]),
        "descriptions": _texts(packed["descriptions"]),
        "countries": _texts(packed["countries"]),
        "invoice": np.repeat(np.cumsum(step), n_lines),
        "user": np.repeat(packed["invoice_customer"].astype(np.int64), n_lines),
        "country": np.repeat(packed["invoice_country"].astype(np.int64), n_lines),
        "item": item,
        "quantity": _from_planes(packed["quantity"]),
        "unit_price": mills / 1000,
        "time": (minutes * 60).astype("datetime64[s]"),
    }


def _texts(packed: NDArray[np.uint8]) -> NDArray[Any]:
    """Decode strings from UTF-8 bytes with one string per line."""
    return np.array(packed.tobytes().decode().split("\n"))


def _from_planes(planes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Decode integers whose bytes are stored in planes: all low bytes first."""
    powers = 256 ** np.arange(len(planes), dtype=np.int64)
    return powers @ planes.astype(np.int64)
