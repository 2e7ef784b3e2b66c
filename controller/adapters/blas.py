"""Keeps the linear algebra library to one thread: searches bring threads of their own."""

from threadpoolctl import threadpool_limits


def one_thread_each() -> None:
    """Let every call of BLAS run in its caller's thread, for the life of this process.

    A search turns small matrices in one thread per core. BLAS' own threads under each of those
    would wait for one another in busy loops: twice the CPU time of a whole search, measured.
    """
    threadpool_limits(limits=1, user_api="blas")
