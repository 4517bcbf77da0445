"""Processes that share a job's work."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from preprocess import notices
from preprocess.errors import ExcludeSample, PreprocessError
from preprocess.processes import processes
from preprocess.reading import seeking
from preprocess.steps import grids

ROOT = Path(__file__).parents[1]


@pytest.mark.usefixtures("_log_as_before")
def test_each_begins_with_what_this_one_remembers(tmp_path):
    notices.begin_log(tmp_path / "x.log")
    logging.info("said here")
    with seeking.remembered(tmp_path), processes(2) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()
        assert pool.submit(seeking.memory).result() == tmp_path
        pool.submit(logging.info, "said there").result()
        logging.info("here again")
    assert (tmp_path / "x.log").read_text().splitlines() == ["INFO: said here", "INFO: said there", "INFO: here again"]
    assert seeking.memory() is None


def test_one_that_is_killed_is_an_error_with_a_remedy():
    with pytest.raises(PreprocessError, match="killed, most likely for want of memory"), processes(2) as pool:
        pool.submit(os._exit, 9).result()


def test_what_leaves_a_sample_out_comes_from_another_process_as_it_is():
    with processes(2) as pool, pytest.raises(ExcludeSample, match=r"empty-grid: no cell") as caught:
        pool.submit(grids.cut_mask, grids.Mask(np.zeros((4, 4, 4), bool), (1.0, 1.0, 1.0)), 4).result()
    assert (caught.value.reason, caught.value.detail) == ("empty-grid", "no cell of the mask is set")


def test_one_worker_is_this_process():
    with processes(1) as pool:
        assert pool.submit(os.getpid).result() == os.getpid()


#: says which process works for it, and waits for work that takes an hour
HOLDER = """
import os, time
from preprocess.processes import processes

if __name__ == "__main__":
    with processes(2) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 3600).result()
"""


def test_none_outlives_the_process_it_works_for(tmp_path):
    """Killed, so that it can tell nobody."""
    (tmp_path / "holder.py").write_text(HOLDER)
    words = [sys.executable, str(tmp_path / "holder.py")]
    paths = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=paths) as holder:
        worker = psutil.Process(int(holder.stdout.readline()))
        assert worker.is_running()
        holder.kill()
    end = time.monotonic() + 120
    while is_at_work(worker):
        assert time.monotonic() < end
        time.sleep(0.1)


#: is told Ctrl-C at any moment, as are the processes that work for it
INTERRUPTED = """
import sys, time
from preprocess.processes import each, processes

if __name__ == "__main__":
    print("begins", flush=True)
    try:
        with each(2) as crew, processes(2) as pool:
            for work in [one.submit(time.sleep, 3600) for one in [*crew, pool, pool]]:
                work.result()
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("seconds", [0, 0.1, 0.2, 0.4, 0.8])
def test_ctrl_c_ends_all_without_a_word_from_those_that_start(seconds, tmp_path):
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    words = [sys.executable, str(tmp_path / "interrupted.py")]
    paths = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, **pipes, text=True, env=paths, start_new_session=True) as holder:
        assert holder.stdout.readline() == "begins\n"
        time.sleep(seconds)
        os.killpg(holder.pid, signal.SIGINT)
        assert holder.communicate(timeout=120)[1] == ""
        assert holder.returncode == 130


def is_at_work(process):
    """Whether it is there, and not merely unburied."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
