# SPDX-License-Identifier: Apache-2.0
"""What tables take, against what was measured; loads that do not fit change nothing."""

from __future__ import annotations

import doctest
import logging

import numpy as np
import pytest
from cases import FORMATS, difficult_rows, same_bits, seeded, table_of
from fakes import FakeCard, fake_engine

import embnic
import embnic.capacity as capacity
from embnic.backends.cpu import CpuBackend
from embnic.cli import main
from embnic.gen.configs import CONFIGS
from embnic.model import lines_of

ITEM = embnic.Table("item", rows=40, dim=20, pooling="sum")


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("dim", [1, 20, 64, 100])
def test_host_bytes_are_those_of_the_rows_that_are_held(dtype, dim):
    table = table_of(dtype, rows=30, dim=dim, pooling="sum")
    backend = CpuBackend([table])
    backend.load("t", difficult_rows(seeded(), table, "normal"))
    assert capacity.host_bytes(table) == backend.rows("t").nbytes


def test_card_bytes_are_those_that_the_card_gave():
    card = FakeCard()
    tables = [ITEM, embnic.Table("user", rows=77, dim=100, pooling="max")]
    before = card.allocated
    fake_engine(tables, card).close()
    found = embnic.estimate(tables, "rtl:tiny")
    assert found.card_bytes == card.allocated - before
    assert found.target == "rtl:tiny"
    assert found.fits


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("dim", [1, 60, 64, 128])
def test_cache_lines_are_those_that_the_core_cuts_a_row_into(dtype, dim):
    config = CONFIGS["line100"]
    table = table_of(dtype, rows=30, dim=dim, pooling="sum")
    cut = lines_of(table, line_bytes=config.line_bytes, bus_bytes=config.data_w // 8)
    found = embnic.estimate([table], "model:line100")
    assert found.cache_lines == 30 * len(cut)
    assert found.cache_lines_available == config.sets * config.ways


def test_a_target_on_the_host_takes_nothing_of_a_card():
    found = embnic.estimate([ITEM], "cpu")
    assert (found.card_bytes, found.cache_lines, found.card_available) == (0, 0, None)
    assert found.host_bytes == 40 * 20 * 4
    assert "card" not in str(found)
    with pytest.raises(embnic.ConfigError, match="'huge'"):
        embnic.estimate([ITEM], "rtl:huge")


def test_what_does_not_fit_says_how_much_is_missing(monkeypatch):
    large = embnic.Table("large", rows=1_000_000, dim=64, pooling="sum")
    monkeypatch.setattr(capacity, "host_available", lambda: 1000)
    found = embnic.estimate([large], "cpu")
    assert not found.fits
    assert "DOES NOT FIT" in str(found)
    with pytest.raises(
        embnic.CapacityError, match=r"256,000,000 bytes\. Allowed: 1,000 bytes"
    ) as e:
        found.check()
    assert (e.value.needed, e.value.available) == (256_000_000, 1000)
    monkeypatch.setattr(capacity, "host_available", lambda: None)
    unknown = embnic.estimate([large], "cpu")
    assert unknown.fits
    assert "an unknown number of" in str(unknown)
    unknown.check()


def meminfo(tmp_path, monkeypatch, available, limit=None, used="0"):
    info = tmp_path / "meminfo"
    info.write_text(f"MemTotal: 99 kB\nMemAvailable:   {available} kB\n", encoding="ascii")
    monkeypatch.setattr(capacity, "MEMINFO", info)
    group = tmp_path / "group"
    group.mkdir(exist_ok=True)
    monkeypatch.setattr(capacity, "CGROUP", group)
    if limit is not None:
        (group / "memory.max").write_text(limit, encoding="ascii")
        (group / "memory.current").write_text(used, encoding="ascii")


def test_available_memory_is_the_least_of_system_and_group(tmp_path, monkeypatch):
    meminfo(tmp_path, monkeypatch, 100)
    assert capacity.host_available() == 102_400
    meminfo(tmp_path, monkeypatch, 100, limit="max\n")
    assert capacity.host_available() == 102_400
    meminfo(tmp_path, monkeypatch, 100, limit="5000\n", used="3000\n")
    assert capacity.host_available() == 2000
    meminfo(tmp_path, monkeypatch, 100, limit="5000\n", used="6000\n")
    assert capacity.host_available() == 0
    stat = tmp_path / "group" / "memory.stat"
    stat.write_text("anon 9\ninactive_file 1500\nactive_file 300\n", encoding="ascii")
    assert capacity.host_available() == 800
    monkeypatch.setattr(capacity, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(capacity, "CGROUP", tmp_path / "none")
    assert capacity.host_available() is None


@pytest.mark.parametrize(
    "make", [lambda t: embnic.open(t, "cpu"), lambda t: fake_engine(t, FakeCard())]
)
@pytest.mark.parametrize("how", ["known", "met"])
def test_a_load_that_does_not_fit_keeps_the_old_rows(make, how, monkeypatch):
    """Either the memory is known not to be enough, or it ends in the middle."""
    rows = np.ones((40, 20), np.float32)
    bags = embnic.Bags.from_lists({"item": [[1, 2], [39]]})

    def end(*_, **__):
        raise MemoryError

    with make([ITEM]) as engine:
        engine.load("item", rows)
        before = engine.lookup(bags)["item"].copy()
        with monkeypatch.context() as patch:
            if how == "known":
                patch.setattr(capacity, "SMALL", 0)
                patch.setattr(capacity, "host_available", lambda: 100)
            else:
                patch.setattr("embnic.backends.base.to_storage", end)
            calls = {
                "item": lambda: engine.load("item", rows * 2),
                "other": lambda: engine.add_table(
                    embnic.Table("other", rows=40, dim=20, pooling="sum"), rows
                ),
                "'item' needs 4,000": lambda: engine.grow(
                    "item", 50, np.ones((10, 20), np.float32)
                ),
            }
            for says, call in calls.items():
                with pytest.raises(embnic.CapacityError, match=says):
                    call()
        assert list(engine.tables) == ["item"]
        assert engine.tables["item"].rows == 40
        assert same_bits(engine.lookup(bags)["item"], before)
        engine.load("item", rows * 2)
        assert same_bits(engine.lookup(bags)["item"], before * 2)


def test_the_estimate_is_logged_before_anything_is_allocated(caplog):
    with caplog.at_level(logging.INFO):
        embnic.open([ITEM], "cpu").close()
    (line,) = [r.message for r in caplog.records if r.name == "embnic.capacity"]
    assert line.startswith("target cpu: fits\n  item")


def test_the_command_line_says_it(capsys):
    assert main(["estimate", "item:1000000:64:int8", "user:10:4", "--target", "model"]) == 0
    said = capsys.readouterr().out
    assert "target model:line100: fits" in said
    assert "128,000,000 on the card" in said
    assert main(["estimate", f"item:{1 << 47}:64", "--target", "cpu"]) == 1
    assert "DOES NOT FIT" in capsys.readouterr().out
    for wrong in ("item", "item:x:4", "item:4:4:int9", "a:b:c:d:e"):
        with pytest.raises(SystemExit):
            main(["estimate", wrong])
        assert "item" in capsys.readouterr().err or wrong == "a:b:c:d:e"


def test_the_documentation_runs():
    failed, tried = doctest.testmod(capacity)
    assert tried > 0
    assert failed == 0
