"""Loops that choose the best entries of rows: of dense scores, of sparse products, of sparse rows.

All of them keep the best entries of a row in a heap inside the result: places ``base`` to ``base + k`` of the flat
arrays `values` and `items`, with the worst entry (lowest value, then highest column) on top.

    for every row:
        compute or read the scores of its columns
        offer every score that is at least the worst one kept
        sort the heap, best first

Counts and columns are unsigned, so that an index needs no check for a negative sign.
"""

import numpy as np

from sklearn_llmrec._kernels._compile import kernel, part

_ZERO, _ONE, _TWO = np.uint64(0), np.uint64(1), np.uint64(2)
# Columns that are passed over at once where none of them is good enough.
_STRIP = np.uint64(64)
# A row of a product is scanned as a whole from one product in so many columns on; below, its columns are listed.
_FULL_FROM = np.uint64(4)
# A row with fewer entries than one in so many columns is sorted.
_SORTED_BELOW = np.uint64(32)


@part
def _sink(values, items, base, size):
    """Move the top entry of a heap of `size` entries down to where it belongs."""
    value, item = values[base], items[base]
    place = _ZERO
    while True:
        child = _TWO * place + _ONE
        if child >= size:
            break
        c = base + child
        if child + _ONE < size and (
            values[c + _ONE] < values[c]
            or (values[c + _ONE] == values[c] and items[c + _ONE] > items[c])
        ):
            child += _ONE
            c += _ONE
        if values[c] > value or (values[c] == value and items[c] < item):
            break
        values[base + place], items[base + place] = values[c], items[c]
        place = child
    values[base + place], items[base + place] = value, item


@part
def _offer(values, items, base, k, found, value, item):
    """Put an entry on the heap if it belongs there; return how many entries the heap has."""
    if found < k:
        place = found
        while place > _ZERO:
            above = base + (place - _ONE) // _TWO
            if values[above] < value or (values[above] == value and items[above] > item):
                break
            values[base + place], items[base + place] = values[above], items[above]
            place = above - base
        values[base + place], items[base + place] = value, item
        return found + _ONE
    if value > values[base] or (value == values[base] and item < items[base]):
        values[base], items[base] = value, item
        _sink(values, items, base, k)
    return found


@part
def _sort(values, items, base, found):
    """Sort a heap, best first."""
    while found > _ONE:
        found -= _ONE
        last = base + found
        values[base], values[last] = values[last], values[base]
        items[base], items[last] = items[last], items[base]
        _sink(values, items, base, found)


@part
def _bound(scores, start, n, k, low, maxima):
    """Return a value that at least k entries of a row reach, near the highest such value; at least `low`.

    The maxima of groups of columns are entries, so it is enough that k of them reach it: halving finds where.
    """
    groups, end = np.uint64(len(maxima)), start + n
    for g in range(groups):
        maxima[g] = scores[start + g]
    first = start + groups
    while first + groups <= end:
        for strip in range(groups // _STRIP):
            # Loops of a fixed length become vector instructions.
            for c in range(_STRIP):
                g = strip * _STRIP + c
                value = scores[first + g]
                maxima[g] = value if value > maxima[g] else maxima[g]
        first += groups
    reached = beyond = maxima[0]
    for g in range(groups):
        reached, beyond = min(reached, maxima[g]), max(beyond, maxima[g])
    if reached < low:
        return low
    for _ in range(8):
        middle = reached + (beyond - reached) / np.float32(2)
        n_above = _ZERO
        for g in range(groups):
            if maxima[g] >= middle:
                n_above += _ONE
        if n_above >= k:
            reached = middle
        else:
            beyond = middle
    return reached


@part
def _scan(scores, start, n, shift, low, items, values, base, k, found):
    """Add entries that reach `low` of ``scores[start : start + n]`` to the heap; column c is called ``c + shift``."""
    first = start
    while first < start + n:
        end = min(first + _STRIP, start + n)
        above = np.int32(1)
        if end - first == _STRIP:
            # A loop of a fixed length becomes vector instructions.
            above = np.int32(0)
            for c in range(_STRIP):
                above |= np.int32(scores[first + c] >= low)
        if above:
            for c in range(first, end):
                if scores[c] >= low:
                    found = _offer(values, items, base, k, found, scores[c], c - start + shift)
                    if found == k:
                        low = values[base]
        first = end
    return found


@kernel(
    "n n n w:x r:uint64 r:uint64 r:uint64 r:uint64 r:uint64 flag flag x n w:x w:int64 "
    "w:x w:uint64 flag"
)
def dense_topk(
    n_rows,
    n_columns,
    shift,
    scores,
    Sp,
    Sj,
    Cp,
    Cq,
    Cj,
    restricted,
    skip_zeros,
    lowest,
    k,
    maxima,
    items,
    values,
    counts,
    last,
):
    """Add a block of dense scores, whose first column is `shift`, to the heaps of its rows.

    Scores below `lowest`, the lowest finite number, are left out. Those of seen columns (Sp, Sj) become ``-inf``, and
    so do scores of zero where `skip_zeros`. With `restricted`, only columns ``Cj[Cp[row] : Cq[row]]`` are offered. The
    block with `last` ends with sorted lists.
    """
    hidden = lowest * np.float32(2)
    for row in range(n_rows):
        start, base, found = row * n_columns, row * k, counts[row]
        for s in range(Sp[row], Sp[row + _ONE]):
            # Smaller columns than `shift` wrap around and are large.
            if Sj[s] - shift < n_columns:
                scores[start + Sj[s] - shift] = hidden
        if skip_zeros:
            for c in range(start, start + n_columns):
                if scores[c] == 0:
                    scores[c] = hidden
        low = values[base] if found == k else lowest
        if restricted:
            for t in range(Cp[row], Cq[row]):
                value = scores[start + Cj[t] - shift]
                if value >= lowest:
                    found = _offer(values, items, base, k, found, value, Cj[t])
        else:
            if found == _ZERO and n_columns >= np.uint64(4 * len(maxima)):
                low = _bound(scores, start, n_columns, k, low, maxima)
            found = _scan(scores, start, n_columns, shift, low, items, values, base, k, found)
        if last:
            _sort(values, items, base, found)
        counts[row] = found


@kernel(
    "n n r:uint64 r:uint32 r:x r:p r:p r:x r:uint64 r:uint32 r:uint64 r:uint64 r:uint64 flag "
    "r:uint32 rr:x flag r:x r:x x x x n n w:uint32 w:x w:int64 w:x"
)
def product_topk(
    start,
    stop,
    Ap,
    Aj,
    Ax,
    Bp,
    Bj,
    Bx,
    Sp,
    Sj,
    Cp,
    Cq,
    Cj,
    restricted,
    dense_place,
    dense_rows,
    scaled,
    row_norms,
    column_norms,
    product_weight,
    shrinkage,
    low_at_start,
    n_columns,
    k,
    touched,
    maxima,
    items,
    values,
):
    """Fill rows `start` to `stop` of `items` and `values` with the best of ``A @ B``.

    Entries are chosen that are not zero and at least `low_at_start`, outside the seen columns (Sp, Sj), and with
    `restricted` only among ``Cj[Cp[row] : Cq[row]]``. Sums of one row are kept for all columns. Row j of B is also
    ``dense_rows[dense_place[j] - 1]``, stored densely, where ``dense_place[j]`` is not 0.

    With `scaled`, a sum p of n terms becomes ``p / (row_norms[i] + column_norms[j] + product_weight p) * n / (n +
    shrinkage)``. The number of terms is then counted beside the sum, in the same line of the cache: sum and count of
    column c are ``sums[2 c]`` and ``sums[2 c + 1]``. In float32 the count stops at 2^24, where shrinkage does nothing.
    """
    zero = low_at_start - low_at_start
    has_dense_rows = dense_rows.shape[0] > 0
    one = zero + np.float32(1)
    stride = _TWO if scaled else _ONE
    # Made here, so that the compiler knows that nothing else is in this memory.
    sums = np.empty(np.int64(n_columns * stride), Bx.dtype)
    for c in range(len(sums)):
        sums[c] = zero
    for row in range(start, stop):
        work = _ZERO
        for a in range(Ap[row], Ap[row + _ONE]):
            j = np.uint64(Aj[a])
            work += np.uint64(Bp[j + _ONE]) - np.uint64(Bp[j])
        full = _FULL_FROM * work > n_columns
        n = _ZERO
        for a in range(Ap[row], Ap[row + _ONE]):
            j, x = np.uint64(Aj[a]), Ax[a]
            # Signed bounds of the innermost loops: numba counts them in fewer instructions.
            first, end = np.int64(Bp[j]), np.int64(Bp[j + _ONE])
            if scaled and full:
                for b in range(first, end):
                    c = _TWO * np.uint64(Bj[b])
                    sums[c] += x * Bx[b]
                    sums[c + _ONE] += one
            elif scaled:
                for b in range(first, end):
                    c = _TWO * np.uint64(Bj[b])
                    if sums[c + _ONE] == zero:
                        touched[n] = Bj[b]
                        n += _ONE
                    sums[c] += x * Bx[b]
                    sums[c + _ONE] += one
            elif full and has_dense_rows and dense_place[j] != 0:
                row_in_full = dense_rows[dense_place[j] - np.uint32(1)]
                c = _ZERO
                while c + _STRIP <= n_columns:
                    # A loop of a fixed length becomes vector instructions.
                    for d in range(_STRIP):
                        sums[c + d] += x * row_in_full[c + d]
                    c += _STRIP
                while c < n_columns:
                    sums[c] += x * row_in_full[c]
                    c += _ONE
            elif full:
                for b in range(first, end):
                    sums[np.uint64(Bj[b])] += x * Bx[b]
            else:
                for b in range(first, end):
                    c = np.uint64(Bj[b])
                    old = sums[c]
                    new = old + x * Bx[b]
                    sums[c] = new
                    if old == zero and new != zero:
                        touched[n] = c
                        n += _ONE
        for s in range(Sp[row], Sp[row + _ONE]):
            sums[np.uint64(Sj[s]) * stride] = zero
        base, found, low = row * k, _ZERO, low_at_start
        n_offered = Cq[row] - Cp[row] if restricted else (n_columns if full else n)
        if full and not restricted and not scaled and low > zero:
            # Columns without a product, or below what k others reach, are passed over at once.
            if n_columns >= np.uint64(4 * len(maxima)):
                low = _bound(sums, _ZERO, n_columns, k, low, maxima)
            found = _scan(sums, _ZERO, n_columns, _ZERO, low, items, values, base, k, found)
            n_offered = _ZERO
        for t in range(np.int64(n_offered)):
            c = np.uint64(t)
            if restricted:
                c = Cj[Cp[row] + np.uint64(t)]
            elif not full:
                c = np.uint64(touched[t])
            value = sums[c * stride]
            if scaled and value != zero:
                value = value / (row_norms[row] + column_norms[c] + product_weight * value)
                if shrinkage > zero:
                    shared = sums[c * stride + _ONE]
                    value = value * (shared / (shared + shrinkage))
            if value >= low and value != zero:
                found = _offer(values, items, base, k, found, value, c)
                if found == k:
                    low = values[base]
        if full:
            for c in range(len(sums)):
                sums[c] = zero
        else:
            for t in range(n):
                c = np.uint64(touched[t]) * stride
                sums[c] = zero
                if scaled:
                    sums[c + _ONE] = zero
        _sort(values, items, base, found)


@kernel("n n r:p r:p r:x n w:int64 w:x")
def sparse_topk(start, stop, Sp, Sj, Sx, k, items, values):
    """Fill rows `start` to `stop` of `items` and `values` with the largest stored entries of a sparse matrix."""
    for row in range(start, stop):
        base, found = row * k, _ZERO
        for s in range(np.uint64(Sp[row]), np.uint64(Sp[row + _ONE])):
            found = _offer(values, items, base, k, found, Sx[s], np.uint64(Sj[s]))
        _sort(values, items, base, found)


@kernel(
    "n n r:uint64 r:uint32 r:x r:uint64 r:uint32 r:x w:x w:uint32 w:uint32 r:uint64 w:uint32 ww:x w:uint64"
)
def product_entries(
    start, stop, Ap, Aj, Ax, Bp, Bj, Bx, sums, terms, touched, room, columns, values, filled
):
    """Write the entries of rows `start` to `stop` of ``A @ B`` and their numbers of terms, sorted by column.

    Rows are written one after the other from place ``room[start]`` on, and their lengths to `filled`. `sums` and
    `terms` have a zero per column, `touched` a place.
    """
    zero, n_columns, place = sums[0] - sums[0], np.uint64(len(sums)), room[start]
    for row in range(start, stop):
        n = _ZERO
        for e in range(Ap[row], Ap[row + _ONE]):
            j, x = Aj[e], Ax[e]
            for f in range(Bp[j], Bp[j + _ONE]):
                c = Bj[f]
                if terms[c] == np.uint32(0):
                    touched[n] = c
                    n += _ONE
                terms[c] += np.uint32(1)
                sums[c] += x * Bx[f]
        filled[row] = n
        if n * _SORTED_BELOW > n_columns:
            # Fuller rows are passed over in the order of their columns.
            for c in range(n_columns):
                if terms[c] > np.uint32(0):
                    columns[place], values[place, 0] = c, sums[c]
                    values[place, 1] = zero + np.float32(terms[c])
                    sums[c], terms[c] = zero, np.uint32(0)
                    place += _ONE
        else:
            touched[:n].sort()
            for t in range(n):
                c = touched[t]
                columns[place], values[place, 0] = c, sums[c]
                values[place, 1] = zero + np.float32(terms[c])
                sums[c], terms[c] = zero, np.uint32(0)
                place += _ONE
