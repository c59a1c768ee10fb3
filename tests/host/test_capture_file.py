# SPDX-License-Identifier: Apache-2.0
"""Recordings: what is written is read, ids are replaced by a permutation, caps and samples hold whole batches."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import seeded

from embnic import BackendUnavailable, ConfigError
from embnic.bags import TableBags
from embnic.capture_file import METADATA_KEY, CapturedTable, Header, is_capture, read_capture
from embnic.capture_writer import CaptureOptions, CaptureWriter
from embnic.convert import write_trace
from embnic.salt import RowPermutation, siphash24
from embnic.traffic import read_trace

arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra capture)")
parquet = pytest.importorskip("pyarrow.parquet")

KEY = bytes(range(16))
ITEM = CapturedTable("item", rows=1000, dim=16, padding_idx=7)
USER = CapturedTable("user", rows=50, dim=8, pooling="mean")


def random_lookups(rng: np.random.Generator, batches: int) -> list[list[tuple[Any, TableBags]]]:
    """Return for each batch the lookups of two tables; those of `item` are weighted in every second batch."""
    made = []
    for number in range(batches):
        batch = []
        for table in (ITEM, USER):
            lengths = rng.integers(0, 6, 9)
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            ids = rng.integers(0, table.rows, offsets[-1])
            weights = rng.random(len(ids), np.float32) if table is ITEM and number % 2 else None
            batch.append((table, TableBags(ids, offsets, weights)))
        made.append(batch)
    return made


def write(path: Path, lookups: Any, **options: Any) -> Header:
    with CaptureWriter(path, CaptureOptions(**options)) as writer:
        for batch in lookups:
            number = writer.begin_batch()
            for table, bags in batch:
                writer.add(number, table, bags)
            writer.end_batch(number)
    return writer.header()


def same(got: TableBags, expected: TableBags) -> bool:
    if (got.weights is None) != (expected.weights is None):
        return False
    return (
        np.array_equal(got.values, expected.values)
        and np.array_equal(got.offsets, expected.offsets)
        and (got.weights is None or np.array_equal(got.weights, expected.weights))
    )


# --- the file ---


@pytest.mark.parametrize("group_bytes", [1, 1 << 20])
def test_what_was_written_is_read(tmp_path, monkeypatch, group_bytes):
    monkeypatch.setattr("embnic.capture_writer.GROUP_BYTES", group_bytes)
    lookups = random_lookups(seeded(), 12)
    written = write(tmp_path / "t.parquet", lookups, salt=False)
    capture = read_capture(tmp_path / "t.parquet")
    assert capture.header == written
    assert dict(capture.tables) == {"item": ITEM, "user": USER}
    assert (written.batches_seen, written.batches_kept, written.bags) == (12, 12, 12 * 18)
    compared = 0
    for (number, bags), batch in zip(capture.batches(), lookups, strict=True):
        assert list(bags) == ["item", "user"]
        for table, expected in batch:
            assert same(bags[table.name], expected), number
            compared += 1
    assert compared == 24
    users = capture.table("user")
    assert users.values.tolist() == np.concatenate([b[1][1].values for b in lookups]).tolist()
    assert capture.table("item").weights is None, "some of its lookups had no weights"


def test_the_file_is_the_owners_and_has_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "t.parquet"
    writer = CaptureWriter(path)
    assert not path.exists()
    assert stat.S_IMODE((tmp_path / "t.parquet.partial").stat().st_mode) == 0o600
    writer.close()
    writer.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]
    assert read_capture(path).header.bags == 0
    with pytest.raises(ConfigError, match="exists"):
        CaptureWriter(path)


def test_an_error_keeps_what_was_recorded_and_says_so(tmp_path):
    path = tmp_path / "t.parquet"
    writer = CaptureWriter(path)

    def record() -> None:
        with writer:
            number = writer.begin_batch()
            writer.add(number, USER, TableBags(np.array([1]), np.array([0, 1])))
            writer.end_batch(number)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record()
    header = read_capture(path).header
    assert (header.ended, header.bags) == ("error", 1)


def test_the_schema_is_that_of_the_documentation(tmp_path):
    write(tmp_path / "t.parquet", random_lookups(seeded(), 2))
    schema = parquet.read_schema(tmp_path / "t.parquet")
    text = (Path(__file__).parents[2] / "docs" / "capture.md").read_text(encoding="utf-8")
    for field in schema:
        assert f"| `{field.name}` |" in text, field.name
    fields = json.loads(parquet.read_metadata(tmp_path / "t.parquet").metadata[METADATA_KEY])
    for name in (*fields, *fields["tables"][0]):
        assert f"| `{name}` |" in text, name


def test_a_recording_bounds_its_size_by_whole_batches(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("embnic.capture_writer.GROUP_BYTES", 1 << 14)
    rng = seeded()
    lookups = [
        [(ITEM, TableBags(rng.integers(0, 1000, 500), np.arange(501, dtype=np.int64)))]
        for _ in range(100)
    ]
    path = tmp_path / "t.parquet"
    header = write(path, lookups, max_bytes=40_000)
    assert header.ended == "max_bytes"
    assert 5 < header.batches_kept < header.batches_seen == 100
    assert header.bags == 500 * header.batches_kept == len(read_capture(path).table("item"))
    footer = parquet.read_metadata(path).serialized_size
    assert path.stat().st_size <= 40_000 + footer + 12
    assert caplog.text.count("reached max_bytes") == 1


def test_a_sample_keeps_whole_batches_and_is_repeatable(tmp_path):
    lookups = random_lookups(seeded(), 200)
    kept = []
    for name in ("a", "b"):
        header = write(tmp_path / name, lookups, sample=0.25, seed=3, salt=False)
        capture = read_capture(tmp_path / name)
        kept.append([number for number, _ in capture.batches()])
        for number, bags in capture.batches():
            assert same(bags["user"], lookups[number][1][1])
        assert header.batches_kept == len(kept[-1])
    assert kept[0] == kept[1]
    assert 20 < len(kept[0]) < 90


def test_arrays_may_change_after_they_were_added(tmp_path):
    ids, offsets = np.array([4, 5]), np.array([0, 1, 2])
    with CaptureWriter(tmp_path / "t", CaptureOptions(salt=False)) as writer:
        number = writer.begin_batch()
        writer.add(number, USER, TableBags(ids, offsets))
        ids[:] = 0
        offsets[:] = 0
        writer.end_batch(number)
    assert read_capture(tmp_path / "t").table("user").values.tolist() == [4, 5]


def test_weights_can_be_left_out(tmp_path):
    bags = TableBags(np.array([4, 5]), np.array([0, 2]), np.array([1, 2], np.float32))
    for keep in (True, False):
        write(tmp_path / str(keep), [[(USER, bags)]], weights=keep)
        found = read_capture(tmp_path / str(keep)).table("user").weights
        assert (found is not None) == keep


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_text("0 1 2 3 4\n", encoding="ascii"), "magic"),
        (lambda p: p.write_bytes(b"PAR1" + bytes(100)), "does not read"),
        (lambda p: parquet.write_table(arrow.table({"batch": [1]}), p), "no header"),
        (lambda p: None, "No such file"),
        (
            lambda p: parquet.write_table(
                arrow.table({"batch": [1]}).replace_schema_metadata({METADATA_KEY: b"{}"}), p
            ),
            "column 'batch'|column 'table'",
        ),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path, make, message):
    make(tmp_path / "t")
    with pytest.raises(ConfigError, match=message):
        read_capture(tmp_path / "t")


def test_a_header_of_another_version_is_refused():
    header = Header(2, {}, True, 1.0, 0, True, None, 0, 0, 0, 0, "closed")
    with pytest.raises(ConfigError, match="version 2"):
        Header.from_json(header.to_json())
    for text in ("[]", "{}", "{", '{"tables": [{"size": 1}]}'):
        with pytest.raises(ConfigError, match="header"):
            Header.from_json(text)


def test_two_sizes_under_one_name_are_refused(tmp_path):
    with CaptureWriter(tmp_path / "t") as writer:
        number = writer.begin_batch()
        bags = TableBags(np.array([1]), np.array([0, 1]))
        writer.add(number, USER, bags)
        with pytest.raises(ConfigError, match="51 rows of 8, before 50"):
            writer.add(number, CapturedTable("user", rows=51, dim=8), bags)


@pytest.mark.parametrize(
    "options", [{"sample": 0.0}, {"sample": 1.5}, {"max_bytes": 0}, {"salt": b"short"}]
)
def test_options_that_cannot_be_right_are_refused(tmp_path, options):
    with pytest.raises(ConfigError):
        write(tmp_path / "t", random_lookups(seeded(), 1), **options)


def test_without_pyarrow_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BackendUnavailable, match=r"embnic\[capture\]"):
        CaptureWriter(tmp_path / "t")


# --- salt ---


def test_siphash_gives_the_published_vector():
    """Appendix A of the paper, and `vectors_sip64[8]` of its reference code."""
    word = np.array([int.from_bytes(bytes(range(8)), "little")], np.uint64)
    assert siphash24(KEY, [word]).astype("<u8").tobytes().hex() == "6224939a79f5f593"


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 64, 65, 1000, 12_973, 70_001])
def test_the_replacement_is_a_permutation(rows, monkeypatch):
    permute = RowPermutation(KEY, "item", rows=rows)
    found = permute(np.arange(rows))
    assert np.array_equal(np.sort(found), np.arange(rows))
    assert np.array_equal(permute(np.arange(rows)), found), "remembered as computed"
    monkeypatch.setattr("embnic.salt.MEMO_ROWS", 0)
    again = RowPermutation(KEY, "item", rows=rows)(np.arange(rows))
    assert np.array_equal(again, found), "the same without memory"


def test_secret_and_table_decide_the_replacement():
    rows = 4096
    found = [
        RowPermutation(secret, table, rows=rows)(np.arange(rows))
        for secret, table in ((KEY, "item"), (KEY, "user"), (KEY[::-1], "item"))
    ]
    found.append(np.arange(rows))
    for one in range(4):
        for other in range(one):
            assert (found[one] == found[other]).sum() < 20  # 1 is expected by chance


def test_ids_of_a_table_far_larger_than_memory():
    rows = 1 << 40
    ids = seeded().integers(0, rows, 1000)
    found = RowPermutation(KEY, "item", rows=rows)(np.concatenate([ids, ids]))
    assert np.array_equal(found[:1000], found[1000:])
    assert 0 <= found.min() <= found.max() < rows
    assert len(np.unique(found)) == len(np.unique(ids))


def test_a_salted_recording_keeps_the_pattern_and_hides_the_rows(tmp_path):
    lookups = random_lookups(seeded(), 30)
    raw = np.concatenate([batch[0][1].values for batch in lookups])
    write(tmp_path / "a", lookups)
    write(tmp_path / "b", lookups)
    write(tmp_path / "c", lookups, salt=KEY)
    write(tmp_path / "d", lookups, salt=KEY)
    a, b, c, d = (read_capture(tmp_path / name).table("item").values for name in "abcd")
    assert np.array_equal(c, d), "one secret, one replacement"
    assert not np.array_equal(a, b), "a new secret every time"
    for salted in (a, b, c):
        assert (salted == raw).mean() < 0.05
        pairs = set(zip(raw.tolist(), salted.tolist(), strict=True))
        assert len(pairs) == len(np.unique(raw)) == len(np.unique(salted))
    header = read_capture(tmp_path / "c").header
    assert header.salted
    assert KEY not in (tmp_path / "c").read_bytes()
    assert header.tables["item"].padding_idx == int(
        RowPermutation(KEY, "item", rows=1000)(np.array([7]))[0]
    )


# --- as a trace ---


def test_a_recording_is_a_trace_of_one_table(tmp_path):
    lookups = random_lookups(seeded(), 10)
    path = tmp_path / "t.parquet"
    write(path, lookups, salt=False)
    assert is_capture(path)
    for table, index in (("item", 0), ("user", 1)):
        trace = read_trace(path, table=table)
        assert len(trace) == 90
        assert (
            trace.values.tolist() == np.concatenate([b[index][1].values for b in lookups]).tolist()
        )
        assert f"table '{table}' of 2" in trace.description
    most = max((0, 1), key=lambda i: sum(len(b[i][1].values) for b in lookups))
    assert np.array_equal(
        read_trace(path).values, read_trace(path, table=("item", "user")[most]).values
    )
    with pytest.raises(ConfigError, match="'item', 'user'"):
        read_trace(path, table="other")
    with pytest.raises(ConfigError, match="is named for a trace"):
        read_trace(path, format="bags", table="item")


def test_a_trace_is_written_as_text_and_read_again(tmp_path):
    path = tmp_path / "t.parquet"
    write(path, random_lookups(seeded(), 10))
    trace = read_trace(path, table="user")
    write_trace(trace, tmp_path / "bags.txt", "bags")
    again = read_trace(tmp_path / "bags.txt")
    assert np.array_equal(again.values, trace.values)
    assert np.array_equal(again.offsets, trace.offsets)
    write_trace(trace, tmp_path / "rows.txt", "rows")
    assert np.array_equal(read_trace(tmp_path / "rows.txt", format="rows").values, trace.values)
    write_trace(trace, tmp_path / "trace.log", "dlrm")
    line = (tmp_path / "trace.log").read_text(encoding="ascii")
    assert [int(x) for x in line.split(", ")] == trace.values.tolist()
    with pytest.raises(ConfigError, match="does not exist yet"):
        write_trace(trace, tmp_path / "rows.txt", "rows")
    with pytest.raises(ConfigError, match="bags, rows, dlrm"):
        write_trace(trace, tmp_path / "other", "json")
