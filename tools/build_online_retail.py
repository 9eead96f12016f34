"""Build the file that load_online_retail reads, from the data set's parquet copy.

    python tools/build_online_retail.py online_retail.parquet [sklearn_llmrec/datasets/data/online_retail.npz]

Rows with a customer, a positive quantity and a positive price are kept, in log order. Every column is
dictionary- or delta-encoded so that the file stays below 2 MB; needs pandas and pyarrow, reading it needs
numpy only. `sklearn_llmrec/datasets/_online_retail.py` holds the decoder.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

OUT = Path(__file__).parent.parent / "sklearn_llmrec" / "datasets" / "data" / "online_retail.npz"
MAX_BYTES = 2_000_000


def texts(values):
    """Strings as one array of UTF-8 bytes, a line each: npz without pickle, and small."""
    lines = [str(value) for value in values]
    if any("\n" in line for line in lines):
        raise ValueError("a text contains a line break")
    return np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)


def smallest(values):
    """The same integers in the narrowest unsigned type."""
    values = np.asarray(values)
    if values.min() < 0:
        raise ValueError("only non-negative integers")
    return values.astype(np.min_scalar_type(int(values.max())))


def planes(values):
    """Integers as bytes, all low bytes first: deflate sees the regular high bytes in one run."""
    values = smallest(values)
    return values.view(np.uint8).reshape(len(values), -1).T.copy()


def read(path):
    frame = pd.read_parquet(path)
    keep = frame["CustomerID"].notna() & (frame["Quantity"] > 0) & (frame["UnitPrice"] > 0)
    frame = frame[keep].reset_index(drop=True)
    frame["StockCode"] = frame["StockCode"].str.strip().str.upper()
    frame["Description"] = frame["Description"].str.split().str.join(" ")
    return frame


def descriptions(frame):
    """The most frequent description of every stock code; the first in the alphabet on a tie."""
    counts = frame.groupby(["StockCode", "Description"]).size().reset_index(name="n")
    counts = counts.sort_values(["StockCode", "n", "Description"], ascending=[True, False, True])
    return counts.drop_duplicates("StockCode").set_index("StockCode")["Description"]


def encode(frame):
    # A run of rows with one invoice number shares customer and country; the time may differ by a minute.
    number = frame["InvoiceNo"].to_numpy(dtype=str).astype(np.int64)
    new = np.diff(number, prepend=-1) != 0
    heads = frame[new]
    codes, item = np.unique(frame["StockCode"].to_numpy(dtype=str), return_inverse=True)
    customers, customer = np.unique(heads["CustomerID"].to_numpy(np.int64), return_inverse=True)
    countries, country = np.unique(heads["Country"].to_numpy(dtype=str), return_inverse=True)
    minutes = frame["InvoiceDate"].to_numpy().astype("datetime64[m]").astype(np.int64)
    mills = np.rint(frame["UnitPrice"].to_numpy() * 1000).astype(np.int64)
    # An item has few prices: its p-th most frequent one is a smaller number than a price.
    table = pd.DataFrame({"item": item, "mills": mills})
    prices = table.value_counts().reset_index(name="n")
    prices = prices.sort_values(["item", "n", "mills"], ascending=[True, False, True])
    prices["rank"] = prices.groupby("item").cumcount()
    rank = table.merge(prices, on=["item", "mills"], how="left")["rank"].to_numpy()
    step = np.diff(number[new], prepend=0)
    return {
        "stock_codes": texts(codes),
        "descriptions": texts(descriptions(frame).loc[codes]),
        "customers": smallest(np.diff(customers, prepend=0)),
        "countries": texts(countries),
        "invoice_rows": smallest(np.diff(np.flatnonzero(new), append=len(frame))),
        "invoice_step": smallest(2 * np.abs(step) - (step < 0)),
        "invoice_customer": smallest(customer),
        "invoice_country": smallest(country),
        "minute_step": smallest(np.diff(minutes, prepend=0)),
        "item": planes(item),
        "quantity": planes(frame["Quantity"].to_numpy(np.int64)),
        "price_rank": smallest(rank),
        "prices_of_item": smallest(prices.groupby("item").size().to_numpy()),
        "price_mills": planes(prices["mills"].to_numpy()),
    }


def main(source, out=OUT):
    frame = read(source)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    columns = encode(frame)
    np.savez_compressed(out, **columns)
    size = out.stat().st_size
    print(f"{len(frame):,} rows, {size:,} bytes in {out}")
    if size > MAX_BYTES:
        raise SystemExit(f"more than {MAX_BYTES:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
