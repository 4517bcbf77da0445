"""Remarks on rows: said to the terminal when a row is made, and to the log whenever it is rendered."""

from __future__ import annotations

import logging

import pytest

from preprocess import notices

log = logging.getLogger("preprocess.sources.lits")


@pytest.mark.usefixtures("_log_as_before")
def test_what_was_said_when_a_row_was_made_is_not_said_again(tmp_path, capsys):
    notices.begin_log(tmp_path / "x.log")
    log.warning("lies as LAS")
    with notices.repeated():
        log.warning("lies as LAS, once more")
    log.warning("a finding")
    assert capsys.readouterr().err.splitlines() == ["WARNING: lies as LAS", "WARNING: a finding"]
    assert "once more" in (tmp_path / "x.log").read_text()


def test_a_remark_on_a_sample_is_made_once():
    with notices.collected() as said:
        notices.say("consists of 3 pieces")
        notices.say("consists of 3 pieces")
    assert said == ["consists of 3 pieces"]
