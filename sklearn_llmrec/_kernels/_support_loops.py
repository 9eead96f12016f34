"""A loop that fills Gram matrices of a few columns each, from the sparse columns themselves.

For every target, its columns are met one after the other. Columns of the head (popular ones) have their products in a
matrix of all of these. Entries of the others are chained by user, so that a user's entries in several columns meet:

    for every column outside the head, for every entry of it:
        multiply it with the earlier entries of its user, and chain it to them
    multiply the entries of columns of the head with the chains of their users
"""

import numpy as np

from sklearn_llmrec._kernels._compile import kernel, part


@part
def _add_pair(S, g, n, a, b, product):
    """Add to the products of columns a and b of a support, of which place n is the target's."""
    if a == n:
        g[b] += product
    elif b == n:
        g[a] += product
    else:
        S[a, b] += product
        S[b, a] += product


@part
def _add_shared(S, g, n, a, user, x, last, chains):
    """Add the products of entry x of column a with all entries of its user that are chained."""
    earlier, owner, value = chains
    entry = last[user]
    while entry >= 0:
        _add_pair(S, g, n, a, owner[entry], x * value[entry])
        entry = earlier[entry]


# Users by the last bits of their number: most that are not chained are passed over without leaving the fastest cache.
_FILTER = np.uint32(2**18 - 1)
# A row that is reached at random costs as much as reading this many consecutive entries.
_JUMP = 150


@part
def _room(rank, Tp, places, items):
    """Return the most entries outside the head that a support shares with its target, at least one."""
    most = 1
    for row in range(len(items)):
        n = 0 if rank[items[row]] >= 0 else Tp[items[row] + 1] - Tp[items[row]]
        for item in places[row]:
            if item >= 0 and rank[item] < 0:
                n += Tp[item + 1] - Tp[item]
        most = max(most, n)
    return most


@kernel(
    "r:int64 r:uint32 r:x r:int64 r:uint32 r:x r:int32 rr:x rr:int32 r:int64 w:int32 www:x ww:x"
)
def support_grams(Hp, Hj, Hx, Tp, Tj, Tx, rank, head, places, items, last, S, g):
    """Fill S and g, which are zeros on entry; `last` is -1 for every user on entry."""
    room = _room(rank, Tp, places, items)
    # Entries of columns outside the head, those of one user chained from the last to the first.
    chains = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, Tx.dtype)
    earlier, owner, value = chains
    users, maybe = np.empty(room, np.uint32), np.zeros(_FILTER + 1, np.bool_)
    position = np.full(len(head), -1, np.int32)
    columns = np.empty(places.shape[1] + 1, np.int64)
    for row in range(len(items)):
        n = 0
        while n < places.shape[1] and places[row, n] >= 0:
            columns[n] = places[row, n]
            n += 1
        columns[n] = items[row]
        n_chained = n_users = by_columns = 0
        # The target first, so that it meets no chain.
        for step in range(n + 1):
            a = (n + step) % (n + 1)
            first, end = Tp[columns[a]], Tp[columns[a] + 1]
            if rank[columns[a]] >= 0:
                by_columns += end - first
                among = head[rank[columns[a]]]
                sums = S[row, a] if a < n else g[row]
                for b in range(n):
                    if rank[columns[b]] >= 0:
                        sums[b] = among[rank[columns[b]]]
                continue
            for e in range(first, end):
                user, x = Tj[e], Tx[e]
                before = last[user] if maybe[user & _FILTER] else -1
                if before < 0:
                    maybe[user & _FILTER] = True
                    users[n_users] = user
                    n_users += 1
                else:
                    _add_shared(S[row], g[row], n, a, user, x, last, chains)
                if a < n:
                    S[row, a, a] += x * x
                earlier[n_chained], owner[n_chained], value[n_chained] = before, a, x
                last[user] = n_chained
                n_chained += 1
        # Columns of the head meet the chains from their side, or from that of the users where it is shorter.
        if by_columns <= n_users * _JUMP:
            for a in range(n + 1):
                if rank[columns[a]] >= 0:
                    for e in range(Tp[columns[a]], Tp[columns[a] + 1]):
                        if maybe[Tj[e] & _FILTER]:
                            _add_shared(S[row], g[row], n, a, Tj[e], Tx[e], last, chains)
        else:
            for a in range(n + 1):
                if rank[columns[a]] >= 0:
                    position[rank[columns[a]]] = a
            for user in users[:n_users]:
                for e in range(Hp[user], Hp[user + 1]):
                    if position[Hj[e]] >= 0:
                        a = position[Hj[e]]
                        _add_shared(S[row], g[row], n, a, user, Hx[e], last, chains)
            for a in range(n + 1):
                if rank[columns[a]] >= 0:
                    position[rank[columns[a]]] = -1
        for user in users[:n_users]:
            last[user] = -1
            maybe[user & _FILTER] = False
