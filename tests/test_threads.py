"""Threads that share a job's work."""

from __future__ import annotations

import threading

import pytest

from preprocess.threads import threads


def test_one_worker_does_the_work_itself():
    with threads(1) as pool:
        assert pool.submit(threading.get_ident).result() == threading.get_ident()


def test_several_work_at_once():
    """Each waits for all the others: with fewer threads the barrier breaks."""
    together = threading.Barrier(3, timeout=60)
    with threads(3) as pool:
        assert sorted(future.result() for future in [pool.submit(together.wait) for _ in range(3)]) == [0, 1, 2]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_work_raises_is_raised(workers):
    with threads(workers) as pool, pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result()
