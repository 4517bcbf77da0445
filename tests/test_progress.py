"""What is said while a run goes on and when it has ended, for runs that are told step by step."""

from __future__ import annotations

import io
import json

import pytest

from preprocess.plan import closing
from preprocess.plan.progress import Pace, Progress


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when told so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


UNKNOWN = Pace({}, {}, 1)


@pytest.fixture
def clock():
    return Clock()


def progress(stream: io.StringIO, clock: Clock, pace: Pace = UNKNOWN) -> Progress:
    return Progress(pace, ["busi", "lidc_idri"], stream, clock)


#: two jobs of 100 CPU seconds and two of 1,000
PACE = Pace({"breastmnist": 100, "nodulemnist3d": 1000}, {"breastmnist": 2, "nodulemnist3d": 2}, 4)


def test_what_is_left_is_the_estimate_and_then_the_pace():
    assert PACE.left({}, 0) == 2200 / 4
    # less than a tenth is done: still the estimate
    assert PACE.left({"breastmnist": 2}, 5000) == 2000 / 4
    # 1,200 of 2,200 took 600 seconds, so the other 1,000 take 500
    assert PACE.left({"breastmnist": 2, "nodulemnist3d": 1}, 600) == 500
    assert PACE.left({"breastmnist": 2, "nodulemnist3d": 2}, 600) == 0
    assert Pace({}, {}, 4).left({}, 0) is None


def test_without_a_terminal_a_line_a_dataset_and_one_a_minute(clock):
    stream = io.StringIO()
    told = progress(stream, clock, PACE)
    told.begin(40)
    for number in range(4):
        told.started(number, "busi_index", "breastmnist")
        told.finished(number)
    assert stream.getvalue() == "40 steps to do\n"
    clock.now = 61
    told.started(4, "lidc_idri_render", "nodulemnist3d")
    told.finished(4)
    told.started(5, "busi_gate", "breastmnist")
    told.finished(5)
    assert stream.getvalue().splitlines()[1:] == [
        "nodulemnist3d: render done; 5 of 40 steps, about 1 minute left",
        "breastmnist: done; 6 of 40 steps, about 1 minute left",
    ]


def test_a_job_of_a_source_is_named_by_it_and_the_end_is_not_guessed(clock):
    stream = io.StringIO()
    told = progress(stream, clock, PACE)
    told.begin(40)
    for number in range(4):
        told.started(number, "busi_render", "breastmnist" if number < 2 else "nodulemnist3d")
        told.finished(number)
    clock.now = 61
    told.started(4, "busi_miniature", "")
    told.finished(4)
    clock.now = 122
    told.started(5, "checksums", "")
    told.finished(5)
    assert stream.getvalue().splitlines()[1:] == [
        "busi: miniature done; 5 of 40 steps",
        "checksums done; 6 of 40 steps",
    ]


def test_a_terminal_has_a_bar_that_is_gone_at_the_end(clock):
    stream = Screen()
    told = progress(stream, clock, PACE)
    told.begin(3)
    told.started(1, "busi_render", "breastmnist")
    told.finished(1)
    assert "breastmnist render, about 9 minutes left" in stream.getvalue()  # 2,200 s on 4 cores
    told.started(2, "busi_pack", "breastmnist")
    assert "1 of 3 steps" in stream.getvalue()
    told.end()
    assert stream.getvalue().rpartition("\r")[2] == ""


def test_a_single_step_speaks_for_itself(clock):
    stream = Screen()
    told = progress(stream, clock)
    told.begin(1)
    told.started(1, "fetch", "")
    told.finished(1)
    assert stream.getvalue() == ""


def log(folder, name, *lines):
    path = folder / name
    path.write_text("\n".join(lines))
    return str(path)


def test_the_first_error_comes_last(tmp_path, clock):
    told = progress(io.StringIO(), clock)
    told.begin(9)
    first = log(tmp_path, "first.log", "INFO: x", "ERROR: busi: broken", "INFO: cost")
    told.failed(1, "busi_index", [first])
    told.failed(2, "busi_split", [log(tmp_path, "second.log", "ERROR: later")])
    told.failed(3, "busi_pack", [str(tmp_path / "never-ran.log")])
    assert told.has_failed
    lines = told.stopped()
    assert lines[0] == "stopped after 0 of 9 steps; the same command goes on from there"
    assert lines[-2:] == ["ERROR: later", "ERROR: busi: broken"]
    assert f"log: {first}" in lines
    assert not [line for line in lines if "never-ran" in line]


def test_a_job_that_was_killed_is_named(tmp_path, clock):
    told = progress(io.StringIO(), clock)
    told.begin(9)
    told.failed(1, "busi_render", [log(tmp_path, "render.log", "INFO: 3 of 9")])
    assert told.stopped()[-1] == "ERROR: busi_render was stopped by Ctrl-C, a kill or want of memory"


def test_a_job_that_succeeds_at_another_try_has_not_failed(tmp_path, clock):
    told = progress(io.StringIO(), clock)
    told.begin(9)
    told.failed(1, "busi_render", [log(tmp_path, "render.log", "ERROR: out of memory")])
    told.finished(1)
    assert not told.has_failed
    assert told.stopped() == ["stopped after 1 of 9 steps; the same command goes on from there"]


def summary(folder, name, texts, **found):
    path = folder / f"{name}.json"
    content = {"dataset": name, "counts": {"train": 1000, "val": 200, "test": 34}, "errors": [], "warnings": []}
    verdict = {file: {"text": text} for file, text in texts.items()}
    path.write_text(json.dumps(content | found | {"verdict": verdict}))
    return str(path), f"audit/{name}.html"


def test_the_table_at_the_end(tmp_path):
    builds = [
        summary(tmp_path, "a", {"a.npz": "identical", "a_64.npz": "identical"}, errors=["x"], warnings=["y", "y"]),
        summary(tmp_path, "b", {"b.npz": "identical", "b_64.npz": "other rows"}),
        (str(tmp_path / "gone.json"), "gone.html"),
    ]
    first, *lines = closing.table(builds)
    assert first.startswith("dataset  rows   against the published files")
    assert [line.split() for line in lines] == [
        ["a", "1,234", "identical", "1", "2", "audit/a.html"],
        ["b", "1,234", "b.npz:", "identical;", "b_64.npz:", "other", "rows", "0", "0", "audit/b.html"],
    ]
    assert len({line.index("audit/") for line in lines} | {first.index("page")}) == 1
    assert closing.table([]) == []
