"""One run writes to a results folder, and what a former run's job finishes late gets no name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preprocess import environment
from preprocess.errors import PreprocessError
from preprocess.files import atomic_folder, write_text

ROOT = Path(__file__).parents[1]


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begin a run with an id in the results folder, as a process of its own would."""

    def with_id(name: str) -> None:
        monkeypatch.setenv(environment.RUN, name)
        while environment._held:
            environment._held.pop().close()  # the former run's process ends
        environment.hold(tmp_path)

    yield with_id
    while environment._held:
        environment._held.pop().close()


def test_a_job_of_a_former_run_can_finish_nothing(tmp_path, begin, monkeypatch):
    begin("first")
    write_text(tmp_path / "paper" / "x.tsv", "first")
    begin("second")
    write_text(tmp_path / "paper" / "x.tsv", "second")
    monkeypatch.setenv(environment.RUN, "first")  # a job that outlived its run
    with pytest.raises(PreprocessError, match="the run that wanted it is over"):
        write_text(tmp_path / "paper" / "x.tsv", "late")
    with pytest.raises(PreprocessError, match="another has begun"), atomic_folder(tmp_path / "paper" / "y") as part:
        (part / "z").touch()
    assert (tmp_path / "paper" / "x.tsv").read_text() == "second"
    assert sorted(path.name for path in (tmp_path / "paper").iterdir()) == ["x.tsv"]


def test_what_is_no_result_may_be_written_by_any_process(tmp_path, begin, monkeypatch):
    begin("first")
    monkeypatch.setenv(environment.RUN, "a download beside it")
    write_text(tmp_path / "cache" / "x.tsv", "remembered", of_run=False)
    monkeypatch.delenv(environment.RUN)
    write_text(tmp_path / "paper" / "by hand.tsv", "a command by hand")


def test_two_runs_at_once_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(environment.RUN, "ours")
    hold = "import sys; from pathlib import Path; from preprocess import environment; environment.prepare(); "
    hold += "environment.hold(Path(sys.argv[1])); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path], cwd=ROOT, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(PreprocessError, match="another run is writing there"):
            environment.hold(tmp_path)
        other.communicate("\n")
    environment.hold(tmp_path)
    environment._held.pop().close()
