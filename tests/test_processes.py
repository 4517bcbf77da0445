"""Processes that share a job's work."""

from __future__ import annotations

import logging
import os

import pytest

from preprocess import notices
from preprocess.processes import processes
from preprocess.reading import seeking


@pytest.mark.usefixtures("_log_as_before")
def test_each_begins_with_what_this_one_remembers(tmp_path):
    notices.begin_log(tmp_path / "x.log")
    logging.info("said here")
    with seeking.remembered(tmp_path), processes(2) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()
        assert pool.submit(seeking.memory).result() == tmp_path
        pool.submit(logging.info, "said there").result()
    assert (tmp_path / "x.log").read_text().splitlines() == ["INFO: said here", "INFO: said there"]
    assert seeking.memory() is None


def test_one_worker_is_this_process():
    with processes(1) as pool:
        assert pool.submit(os.getpid).result() == os.getpid()
