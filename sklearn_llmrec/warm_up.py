"""Compile all loops ahead of their first use: ``python -m sklearn_llmrec.warm_up``.

Compiled loops are cached on disk, so a container image that runs this when it is built serves without compiling. The
cache is beside the package where that can be written, else in the user's cache folder, or in ``NUMBA_CACHE_DIR``.
"""

import time

from sklearn_llmrec._kernels import compile_all


def main() -> None:
    """Compile every loop for float32 and float64, and print how long it took."""
    start = time.perf_counter()
    names = compile_all()
    print(f"{len(names)} loops ready in {time.perf_counter() - start:.1f} s: {', '.join(names)}")


if __name__ == "__main__":
    main()
