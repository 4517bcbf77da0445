"""Which sizes are rendered together: what is there is never rendered again, what is not always is."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from preprocess.plan import batches
from preprocess.plan.batches import Record

SIZES = (28, 64, 128, 224)


def record(size: int, batch: int = 0, together: tuple[int, ...] = (), tables: int = 0) -> Record:
    return Record(f"x_{size}.npz", size, "digest", batch, together or (size,), tables, "")


def never(batch: int) -> bool:
    return False


def test_the_first_build_renders_all_sizes_together():
    chosen = batches.choose([64, 28], [], never)
    assert chosen.of_size == {28: 0, 64: 0}
    assert chosen.together == {0: (28, 64)}
    assert (chosen.tables, chosen.lacking) == (0, (64, 28))


def test_a_new_size_is_rendered_alone_and_not_where_the_tables_are():
    there = [record(size, 0, (28, 64)) for size in (28, 64)]
    chosen = batches.choose([28, 64, 224], there, never)
    assert chosen.of_size == {28: 0, 64: 0, 224: 1}
    assert chosen.together == {0: (28, 64), 1: (224,)}
    assert (chosen.tables, chosen.lacking) == (0, (224,))


def test_a_lost_size_is_rendered_alone():
    chosen = batches.choose([28, 64], [record(64, 0, (28, 64))], never)
    assert (chosen.of_size, chosen.together[1], chosen.lacking) == ({64: 0, 28: 1}, (28,), (28,))
    # and again, when all that is left was rendered later than the tables
    chosen = batches.choose([28, 64], [record(28, 1, (28,))], never)
    assert (chosen.of_size, chosen.lacking) == ({28: 1, 64: 2}, (64,))
    assert chosen.tables == 0


def test_a_run_that_was_stopped_while_it_packed_goes_on_with_its_shards():
    chosen = batches.choose([28, 64], [record(28, 0, (28, 64))], lambda batch: batch == 0)
    assert chosen.of_size == {28: 0, 64: 0}
    assert chosen.together == {0: (28, 64)}


def test_sizes_no_longer_asked_for_keep_their_numbers():
    chosen = batches.choose([28, 96], [record(28, 0, (28, 64)), record(64, 0, (28, 64)), record(40, 1)], never)
    assert chosen.of_size == {28: 0, 96: 2}


def test_records_that_contradict_each_other_are_not_believed():
    """Two that claim one batch of different sizes, or other tables: the later is made again."""
    chosen = batches.choose([28, 64], [record(28, 0, (28,)), record(64, 0, (28, 64))], never)
    assert chosen.lacking == (64,)
    chosen = batches.choose([28, 64], [record(28), record(64, 1, (64,), tables=1)], never)
    assert chosen.lacking == (64,)


@given(
    st.lists(st.sampled_from(SIZES), unique=True, min_size=1),
    st.lists(
        st.builds(record, st.sampled_from(SIZES), st.integers(0, 3), st.sets(st.sampled_from(SIZES)).map(
            lambda sizes: tuple(sorted(sizes))), st.integers(0, 2)),
        unique_by=lambda one: one.size,
    ),
)  # fmt: skip
def test_whatever_lies_there_every_size_has_a_batch_that_holds_it(sizes, there):
    there = [replace(one, together=tuple(sorted({*one.together, one.size}))) for one in there]
    chosen = batches.choose(sizes, there, never)
    assert set(chosen.of_size) == set(sizes)
    for size, batch in chosen.of_size.items():
        assert size in chosen.together[batch]
    believed = {one.size: one for one in there if one.size not in chosen.lacking}
    for size in set(sizes) & believed.keys():
        assert chosen.of_size[size] == believed[size].batch
        assert chosen.together[chosen.of_size[size]] == believed[size].together
    new = {chosen.of_size[size] for size in chosen.lacking}
    assert len(new) <= 1
    if believed and new:
        assert new.isdisjoint({chosen.tables})


def test_what_cannot_be_read_is_no_record(tmp_path):
    record(28).write(tmp_path / "record.json")
    assert batches.read(tmp_path / "record.json") == record(28)
    for text in ("", "[]", '{"file": "x"}', "null", '{"together": 3}'):
        (tmp_path / "broken.json").write_text(text)
        assert batches.read(tmp_path / "broken.json") is None
    assert batches.read(tmp_path / "absent.json") is None
