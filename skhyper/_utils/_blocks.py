"""Run work on blocks of rows, in as many threads as BLAS may use here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

# glibc's malloc hands freed memory back to the system, page by page, unless it has once
# seen an array of this size go: then it keeps blocks up to that size for the next
# array. Blocks of rows make and drop arrays all the time, and fetching their pages
# anew took three times as long as the arithmetic on them.
KEPT_BYTES = 2**24


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def n_threads() -> int:
    """Return the number of threads BLAS may use at this moment.

    It already reflects the machine, ``OMP_NUM_THREADS``, `threadpool_limits` around
    the call and the share that a joblib worker was given.
    """
    return max((lib["num_threads"] for lib in _controller().info()), default=1)


def for_each_block(work: Callable[[slice], None], n_rows: int, rows: int) -> None:
    """Call ``work(slice)`` for every block of `rows` rows.

    Blocks run in threads, each with a single BLAS thread: the products of a block are
    too small to be worth splitting, and the steps between them would run alone.
    """
    np.empty(KEPT_BYTES, dtype=np.uint8)
    blocks = [slice(at, min(at + rows, n_rows)) for at in range(0, n_rows, rows)]
    threads = min(n_threads(), len(blocks)) if len(blocks) > 1 else 1
    if threads == 1:
        for block in blocks:
            work(block)
        return
    with _controller().limit(limits=1), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, blocks):
            pass
