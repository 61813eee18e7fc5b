"""One thread for linear algebra: its matrices are small here, and many processes share the cores.

OpenBLAS would wake all cores for a matrix of a hundred rows, and wait for the slowest.
"""

from __future__ import annotations

from threadpoolctl import threadpool_limits


def one_thread() -> None:
    """From now on, in this process; loaded libraries only, so call it after the imports."""
    threadpool_limits(limits=1, user_api="blas")
