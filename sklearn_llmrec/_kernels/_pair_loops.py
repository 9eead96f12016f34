"""Loops that draw pairs of items and take gradient steps on the loss of their order.

Users and items are rows of two dense matrices; interactions are a matrix in csr form (`Xp`, `Xj`), with the rows in
random order, and the user of every entry. An epoch runs through windows of whole rows that fit in the cache, since
random reads of the memory would take most of the time:

    for every window:
        as often as it has entries:
            draw an entry (u, i) of the window and an entry (., j) of all
            if j is no item of u: one step for (u, i, j)

Random numbers are drawn inside the loop, so that one seed fixes every bit of the result.
"""

import numpy as np

from sklearn_llmrec._kernels._compile import kernel, part

_ONE, _HALF, _LOW = np.uint64(1), np.uint64(32), np.uint64(0xFFFFFFFF)


@part
def _next(state):
    """Return the next number of a splitmix64 generator, whose state is ``state[0]``."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@part
def _has(Xj, start, stop, column):
    """Return whether the sorted columns ``Xj[start:stop]`` include one."""
    end = stop
    while start < stop:
        middle = (start + stop) >> _ONE
        if Xj[middle] < column:
            start = middle + _ONE
        else:
            stop = middle
    return start < end and Xj[start] == column


@kernel(
    "r:uint64 r:uint64 r:uint32 r:uint32 r:uint32 ww:x ww:x w:x x x w:uint64",
    fastmath={"reassoc", "contract"},
)
def descend_pairs(windows, Xp, Xj, places, users, P, Q, b, rate, kept, state):
    """Run one epoch of gradient steps, each for an item that a user has and a drawn item that the user lacks.

    An item j is drawn as often as it has interactions. P, Q and b are factors of users, factors of items and biases of
    items, updated in place; a step multiplies them by `kept` and adds `rate` times the gradient. `windows` are bounds
    of entries; `places` is the row of every entry, and `users` the row of P of every row. `state` is the state of the
    random numbers.
    """
    n_entries, d = np.uint64(len(Xj)), np.uint64(P.shape[1])
    one = rate / rate
    for window in range(len(windows) - 1):
        first = windows[window]
        n_in_window = windows[window + 1] - first
        for _ in range(n_in_window):
            # Half a word times a number of entries below 2^32: a number below it, without a division.
            word = _next(state)
            entry = first + (((word >> _HALF) * n_in_window) >> _HALF)
            row, i = np.uint64(places[entry]), np.uint64(Xj[entry])
            j = np.uint64(Xj[((word & _LOW) * n_entries) >> _HALF])
            if _has(Xj, Xp[row], Xp[row + _ONE], j):
                continue
            p, q, r = P[users[row]], Q[i], Q[j]
            score = b[i] - b[j]
            for f in range(d):
                score += p[f] * (q[f] - r[f])
            step = rate / (one + np.exp(score))
            for f in range(d):
                x, y, z = p[f], q[f], r[f]
                p[f] = kept * x + step * (y - z)
                q[f] = kept * y + step * x
                r[f] = kept * z - step * x
            b[i] = kept * b[i] + step
            b[j] = kept * b[j] - step
