"""How loops are compiled: once per dtype, with a cache on disk where there can be one."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import sklearn_llmrec
from sklearn_llmrec import ItemKNN, warm_up

ROOT = Path(sklearn_llmrec.__file__).parents[1]


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )


FIT = """
    import numpy as np
    from sklearn_llmrec import ItemKNN
    X = np.eye(6)[:, [0, 1, 2, 0, 1, 2]] + np.eye(6)
    print(ItemKNN().fit(X).recommend(X, k=2)[0].tolist())
    ItemKNN().fit(X.astype("float32")).recommend(X, k=2)
"""


def test_loops_are_cached_on_disk(tmp_path):
    result = run(FIT, NUMBA_CACHE_DIR=str(tmp_path))
    assert "cached" not in result.stderr
    assert list(tmp_path.rglob("*product_topk*.nbc"))


def test_without_a_folder_to_write_loops_are_compiled_and_one_warning_says_so(tmp_path):
    # No folder can be made: neither the one named, nor beside the package, nor in the home of the user.
    read_only = """
        import numba.core.caching as caching
        def refuse(self):
            raise OSError(30, "Read-only file system")
        for locator in caching._CacheLocator.__subclasses__() + caching._SourceFileBackedLocatorMixin.__subclasses__():
            locator.ensure_cache_path = refuse
    """
    here = FIT.replace("\n    ", "\n        ")
    result = run(read_only + here, NUMBA_CACHE_DIR=str(tmp_path / "none"))
    assert result.stderr.count("cannot be cached on disk") == 1, result.stderr
    assert "NUMBA_CACHE_DIR" in result.stderr
    assert result.stdout == run(FIT).stdout


def test_a_cache_that_takes_no_file_is_done_without(tmp_path):
    full = """
        import numba.core.caching as caching
        def refuse(self, *args):
            raise OSError(28, "No space left on device")
        caching.IndexDataCacheFile.save = refuse
    """
    here = FIT.replace("\n    ", "\n        ")
    result = run(full + here, NUMBA_CACHE_DIR=str(tmp_path))
    assert result.stderr.count("cannot be cached on disk") == 1, result.stderr
    assert result.stdout == run(FIT).stdout


def test_a_dtype_is_compiled_once_whatever_the_arrays():
    from sklearn_llmrec._kernels._topk_loops import product_topk

    X = sp.csr_array((np.random.default_rng(0).random((50, 30)) < 0.2).astype(float))
    model = ItemKNN().fit(X)
    loop = product_topk.of(np.float64)
    before = len(loop.signatures)
    for part in (model.weights_.data, model.weights_.indices, model.weights_.indptr):
        part.flags.writeable = False
    model.recommend(X)
    model.recommend(X.astype(np.float32))
    wide = X.copy()
    wide.indices, wide.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    model.recommend(wide)
    assert product_topk.of(np.float64) is loop
    assert len(loop.signatures) == before == 1


def test_warm_up_compiles_all(capsys):
    warm_up.main()
    assert "product_topk" in capsys.readouterr().out
