# SPDX-License-Identifier: Apache-2.0
"""Registers by name, over a bus that lists every access."""

import pytest
from fakes import ListedBus

from embnic.errors import ConfigError
from embnic.gen.registers import COUNTERS, REGISTERS
from embnic.registers import COUNTER_NAMES, Registers


def test_a_register_is_read_and_written_by_name():
    with ListedBus(("write", "SCRATCH", 0xDEADBEEF), ("read", "SCRATCH", 0xDEADBEEF)) as bus:
        regs = Registers(bus)
        regs.SCRATCH.write(0xDEADBEEF)
        assert regs.SCRATCH.read() == 0xDEADBEEF


def test_a_field_is_cut_out_of_one_read():
    with ListedBus(("read", "STATUS", 0b10), ("read", "VERSION", 0x00040302)) as bus:
        regs = Registers(bus)
        assert regs.STATUS.field("flush_busy") == 1
        assert regs.VERSION.fields() == {"patch": 2, "minor": 3, "major": 4}


def test_write_fields_keeps_the_others_and_never_repeats_a_pulse():
    with ListedBus(("read", "CONTROL", 0b111), ("write", "CONTROL", 0b001)) as bus:
        Registers(bus).CONTROL.write_fields()
    with ListedBus(("read", "CONTROL", 0b001), ("write", "CONTROL", 0b011)) as bus:
        Registers(bus).CONTROL.write_fields(flush=1)
    with ListedBus(("read", "CONTROL", 0b001), ("write", "CONTROL", 0b000)) as bus:
        Registers(bus).CONTROL.write_fields(enable=0)


def test_an_array_register_is_indexed():
    with ListedBus(("write", "TABLE_WORD[0]", 5), ("write", "TABLE_WORD[7]", 6)) as bus:
        regs = Registers(bus)
        regs.TABLE_WORD.write(5)
        regs.TABLE_WORD[7].write(6)
        with pytest.raises(ConfigError, match=r"TABLE_WORD\[8\].*0 to 7"):
            regs.TABLE_WORD[8]


def test_counters_are_64_bits_of_one_snapshot():
    reads = []
    for n, name in enumerate(COUNTER_NAMES):
        reads += [("read", f"{name}.lo", n), ("read", f"{name}.hi", n + 1)]
    with ListedBus(("read", "CONTROL", 1), ("write", "CONTROL", 0b101), *reads) as bus:
        counters = Registers(bus).counters()
    assert counters == {name: n + (n + 1 << 32) for n, name in enumerate(COUNTER_NAMES)}
    assert len(counters) == len(COUNTERS) > 30


def test_wrong_names_and_values_are_refused_before_the_bus():
    with ListedBus(("read", "CONTROL", 0), ("read", "CONTROL", 0), ("read", "CONTROL", 0)) as bus:
        regs = Registers(bus)
        with pytest.raises(AttributeError, match="no register 'CONTROLL'"):
            regs.CONTROLL  # noqa: B018
        with pytest.raises(ConfigError, match="register 'X'"):
            regs["X"]
        with pytest.raises(ConfigError, match="CONTROL has no field speed"):
            regs.CONTROL.write_fields(speed=1)
        with pytest.raises(ConfigError, match=r"CONTROL\.enable gets 2"):
            regs.CONTROL.write_fields(enable=2)
        with pytest.raises(ConfigError, match="no field speed"):
            regs.CONTROL.field("speed")
        with pytest.raises(ConfigError, match=r"0 to 2\*\*32"):
            regs.SCRATCH.write(1 << 32)


def test_a_read_only_register_is_not_written():
    for name, layout in REGISTERS.items():
        if "w" not in layout.access:
            with ListedBus() as bus, pytest.raises(ConfigError, match=f"{name} is written"):
                Registers(bus)[name].write(0)


def test_the_listed_bus_complains():
    with pytest.raises(AssertionError, match="1 accesses left"), ListedBus(("read", "SCRATCH", 0)):
        pass
    with pytest.raises(AssertionError, match="expected read of SCRATCH"):
        ListedBus(("read", "SCRATCH", 0)).read32(0)
    with pytest.raises(AssertionError, match="nothing more"):
        ListedBus().write32(0, 0)
