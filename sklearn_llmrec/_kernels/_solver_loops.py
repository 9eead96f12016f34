"""Loops that multiply and solve: dense products, Gram matrices, regressions of rows, elastic nets, votes.

Matrices in csr form are three arrays, named after the matrix: `Xp` (row bounds), `Xj` (columns) and `Xx` (values).
"""

import numpy as np

from sklearn_llmrec._kernels._compile import kernel

_ONE, _FOUR = np.uint64(1), np.uint64(4)


@kernel("n n r:uint64 r:uint32 r:x rr:x ww:x")
def times_dense(start, stop, Xp, Xj, Xx, W, out):
    """Add rows `start` to `stop` of ``X @ W`` to `out`."""
    width = np.uint64(out.shape[1])
    for row in range(start, stop):
        e, end = Xp[row], Xp[row + _ONE]
        # Four rows of W for each pass over the sums, which are added to in the same order as one by one.
        while e + _FOUR <= end:
            e1, e2, e3 = e + _ONE, e + np.uint64(2), e + np.uint64(3)
            a, b, c, d = Xj[e], Xj[e1], Xj[e2], Xj[e3]
            p, q, r, s = Xx[e], Xx[e1], Xx[e2], Xx[e3]
            for column in range(width):
                first = out[row, column] + p * W[a, column]
                out[row, column] = ((first + q * W[b, column]) + r * W[c, column]) + s * W[
                    d, column
                ]
            e += _FOUR
        while e < end:
            a, p = Xj[e], Xx[e]
            for column in range(width):
                out[row, column] += p * W[a, column]
            e += _ONE


@kernel("n n r:uint64 r:uint32 r:x r:uint64 r:uint32 r:uint64 ww:x")
def add_gram(start, stop, Xp, Xj, Xx, Tp, Tj, entries, G):
    """Add rows `start` to `stop` of the upper triangle of ``X.T @ X`` to G.

    Row i of the transpose T names the rows of X that have column i, and `entries` their places in X.
    """
    for i in range(start, stop):
        for a in range(Tp[i], Tp[i + _ONE]):
            # Columns are sorted: those from i on end the row.
            entry = entries[a]
            x = Xx[entry]
            for b in range(entry, Xp[Tj[a] + _ONE]):
                G[i, Xj[b]] += x * Xx[b]


@kernel(
    "n n r:uint64 r:uint32 r:x r:x rr:x r:x r:x ww:x n x x w:x", fastmath={"reassoc", "contract"}
)
def solve_rows(start, stop, Xp, Xj, w, v, Q, above, inverse, x, max_iter, tol, tiny, scratch):
    """Improve rows `start` to `stop` of x by conjugate gradients.

    for every row: the matrix is ``A = D + sum_e w[e] q_e q_e'`` with ``D = I + above[row] diag(inverse)``
        r = sum_e v[e] q_e - A x;  p = r
        at most `max_iter` times:
            x += length p;  r -= length A p;  p = r + turn p

    A product with A costs one pass over the rows q_e of Q that the row has; A itself is never formed.
    """
    d = np.uint64(Q.shape[1])
    zero = tiny - tiny
    D, R, P, Y = np.uint64(0), d, np.uint64(2) * d, np.uint64(3) * d  # places in `scratch`
    for row in range(start, stop):
        if Xp[row] == Xp[row + _ONE]:
            continue
        for c in range(d):
            scratch[D + c] = zero + np.float32(1) + above[row] * inverse[c]
            scratch[R + c] = -scratch[D + c] * x[row, c]
        for e in range(Xp[row], Xp[row + _ONE]):
            j, dot = Xj[e], zero
            for c in range(d):
                dot += Q[j, c] * x[row, c]
            residual = v[e] - w[e] * dot
            for c in range(d):
                scratch[R + c] += residual * Q[j, c]
        squares = zero
        for c in range(d):
            scratch[P + c] = scratch[R + c]
            squares += scratch[R + c] * scratch[R + c]
        for _ in range(max_iter):
            if tol > zero:
                size = zero
                for c in range(d):
                    size += x[row, c] * x[row, c]
                # A is at least the identity, so the residual bounds the error.
                if squares <= tol * tol * size:
                    break
            for c in range(d):
                scratch[Y + c] = scratch[D + c] * scratch[P + c]
            for e in range(Xp[row], Xp[row + _ONE]):
                j, dot = Xj[e], zero
                for c in range(d):
                    dot += Q[j, c] * scratch[P + c]
                dot *= w[e]
                for c in range(d):
                    scratch[Y + c] += dot * Q[j, c]
            curvature = zero
            for c in range(d):
                curvature += scratch[P + c] * scratch[Y + c]
            length = squares / max(curvature, tiny)
            now = zero
            for c in range(d):
                x[row, c] += length * scratch[P + c]
                scratch[R + c] -= length * scratch[Y + c]
                now += scratch[R + c] * scratch[R + c]
            turn = now / max(squares, tiny)
            for c in range(d):
                scratch[P + c] = scratch[R + c] + turn * scratch[P + c]
            squares = now


@kernel("n n r:uint64 r:uint32 r:x r:x rr:x rr:x ww:x")
def add_residuals(start, stop, Xp, Xj, w, v, P, Z, out):
    """Add to row j of `out` the sum of ``(v[e] - w[e] p_u z_j) p_u`` over the entries e of column j, of rows u."""
    d = np.uint64(P.shape[1])
    for row in range(start, stop):
        for e in range(Xp[row], Xp[row + _ONE]):
            j, dot = Xj[e], P[row, 0] - P[row, 0]
            for c in range(d):
                dot += P[row, c] * Z[j, c]
            rest = v[e] - w[e] * dot
            for c in range(d):
                out[j, c] += rest * P[row, c]


@kernel("n n rrr:x n r:int64 ww:x ww:x x x flag n r:x")
def elastic_nets(
    start, stop, S, n_matrices, excluded, w, residuals, l1, l2, positive, max_iter, tol
):
    """Solve problems `start` to `stop` by coordinate descent from zero.

    On entry, row r of `residuals` contains the products with the target and row r of w is zero. On return, the row of
    `residuals` is what the coefficients do not explain. Coefficient ``excluded[r]`` of row r stays zero.
    """
    k, zero = np.uint64(w.shape[1]), l1 - l1
    for row in range(start, stop):
        m = row if n_matrices > _ONE else np.uint64(0)
        for _ in range(max_iter):
            largest = zero
            for c in range(k):
                if excluded[row] >= 0 and c == np.uint64(excluded[row]):
                    continue
                target = residuals[row, c] + S[m, c, c] * w[row, c]
                new = max((target if positive else abs(target)) - l1, zero)
                if target < zero:
                    new = -new
                curvature = S[m, c, c] + l2
                if curvature > zero:
                    new /= curvature
                change = new - w[row, c]
                if change != zero:
                    w[row, c] += change
                    for b in range(k):
                        residuals[row, b] -= change * S[m, c, b]
                    largest = max(largest, abs(change))
            if largest <= tol[row]:
                break


@kernel("n n r:uint64 r:uint64 r:x r:uint64 r:uint64 r:float64 n y w:float64 w:int64 ww:float64")
def means_of_nearest(start, stop, Sp, Sj, Sx, Vp, Vj, Vx, most, regularization, mass, n_left, out):
    """Fill rows `start` to `stop` of `out`, which are zero on entry, with the means of the first `most` votes.

    On entry and on return, `mass` is zero and `n_left` is `most` in every column: both are restored after each row.
    """
    n_columns = np.uint64(out.shape[1])
    for row in range(start, stop):
        for a in range(Sp[row], Sp[row + _ONE]):
            t, similarity = Sj[a], np.float64(Sx[a])
            for b in range(Vp[t], Vp[t + _ONE]):
                column = Vj[b]
                if n_left[column] > 0:
                    n_left[column] -= 1
                    out[row, column] += similarity * Vx[b]
                    mass[column] += abs(similarity)
        for column in range(n_columns):
            if mass[column] > 0:
                out[row, column] /= mass[column] + regularization
            mass[column], n_left[column] = 0, most
