"""Records as plain JSON and back: what is written is read as what it was."""

from __future__ import annotations

import json

import pytest

from preprocess.audit import provenance, summary
from preprocess.audit.plain import plain, typed


def test_records_are_read_as_what_they_were_written(drawn):
    done, *_ = drawn
    for kind, path in ((provenance.Provenance, "provenance.json"), (summary.DatasetSummary, "audit.json")):
        written = json.loads((done.folder / path).read_text())
        record = typed(kind, written)
        assert isinstance(record.findings[0].check, str)
        assert isinstance(record.findings, tuple)
        assert json.loads(json.dumps(plain(record))) == written
        with pytest.raises(TypeError):
            typed(kind, written | {"unheard": 1})
