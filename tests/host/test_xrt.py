# SPDX-License-Identifier: Apache-2.0
"""The XRT backend on a stand-in for pyxrt that checks every call: types, alignment, direction, offsets.

What is checked are the calls, as pyxrt's binding declares them (XRT, src/python/pybind11/src/pyxrt.cpp); what a card
does is not known here. Behind the stand-in lie the fake card and a model of the AXI DMA's registers.
"""

from __future__ import annotations

import os
import random
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeCard

import embnic
from embnic.backends.axi_dma import board_timing
from embnic.backends.reference import ReferenceBackend
from embnic.backends.xrt import DMA_OFFSET, KERNEL, UNIT, XrtPorts, open_xrt
from embnic.engine import Engine
from embnic.errors import BackendUnavailable, CapacityError, ConfigError, DeviceError, LinkError
from embnic.ports import Bus, Link, Memory
from embnic.wire import FrameBatch

SEED = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 30))
HBM = 0x40_0000_0000  # device address of the first buffer
WINDOW = 0x4_0000  # bytes of the kernel's registers


class FakeXrt:
    """One card, and the module `pyxrt` that reaches it."""

    def __init__(self) -> None:
        self.card = FakeCard("line100")
        self.calls: Counter[str] = Counter()
        self.memory = np.zeros(1 << 22, np.uint8)  # of the card, from HBM on
        self.card.memory = self.memory
        self.next = 0
        self.gone = self.hung = False
        self.full = False
        self.dma = {0x00: {"status": 1}, 0x30: {"status": 1}}
        self.module = self._module()

    def _use(self, call: str) -> None:
        self.calls[call] += 1
        if self.gone:
            raise RuntimeError("Device or resource busy")

    def _module(self) -> types.ModuleType:
        fake = self

        class SyncDirection:
            XCL_BO_SYNC_BO_TO_DEVICE = object()
            XCL_BO_SYNC_BO_FROM_DEVICE = object()

        class Uuid:
            pass

        class Device:
            def __init__(self, which: Any) -> None:
                assert isinstance(which, int | str) and not isinstance(which, bool)
                fake._use("device")
                if which not in (0, "0000:3b:00.1"):
                    raise RuntimeError(f"Could not open device with index '{which}'")

            def load_xclbin(self, file: Any) -> Uuid:
                assert isinstance(file, str) and Path(file).is_absolute() and Path(file).is_file()
                fake._use("load_xclbin")
                if Path(file).read_bytes() == b"other platform":
                    raise RuntimeError("xclbin does not match the platform")
                return Uuid()

        class Kernel:
            exclusive = object()

            def __init__(self, device: Any, uuid: Any, name: Any, mode: Any) -> None:
                assert isinstance(device, Device) and isinstance(uuid, Uuid)
                assert name == KERNEL and mode is Kernel.exclusive, (
                    "registers need exclusive access"
                )
                fake._use("kernel")

            def group_id(self, argument: Any) -> int:
                assert argument == 0
                return 3

            def read_register(self, offset: Any) -> int:
                fake._use("read_register")
                fake._check_register(offset)
                return fake._read(offset)

            def write_register(self, offset: Any, value: Any) -> None:
                fake._use("write_register")
                fake._check_register(offset)
                assert isinstance(value, int) and 0 <= value < 1 << 32, value
                fake._write(offset, value)

        class Bo:
            class flags:  # as pyxrt names it
                normal = object()

            def __init__(self, device: Any, size: Any, flags: Any, group: Any) -> None:
                assert isinstance(device, Device) and flags is Bo.flags.normal and group == 3
                assert isinstance(size, int) and size > 0 and size % UNIT == 0
                fake._use("bo")
                if fake.full or fake.next + size > fake.memory.size:
                    raise MemoryError("std::bad_alloc")
                self._base, self._host = fake.next, np.full(size, 0xA5, np.uint8)
                fake.next += -(-size // 4096) * 4096

            def address(self) -> int:
                return HBM + self._base

            def write(self, data: Any, seek: Any) -> None:
                view = memoryview(data)  # py::buffer
                assert view.c_contiguous and type(seek) is int
                assert seek >= 0 and seek + view.nbytes <= self._host.size, "outside of the buffer"
                fake._use("write")
                self._host[seek : seek + view.nbytes] = np.frombuffer(view.cast("B"), np.uint8)

            def read(self, size: Any, skip: Any) -> np.ndarray:
                assert type(size) is int and type(skip) is int
                assert skip >= 0 and skip + size <= self._host.size, "outside of the buffer"
                fake._use("read")
                return self._host[skip : skip + size].view(np.int8)  # py::array_t<char>

            def sync(self, direction: Any, size: Any, offset: Any) -> None:
                assert type(size) is int and type(offset) is int, "size before offset, both int"
                assert size > 0 and size % UNIT == 0 and offset % UNIT == 0, "whole units"
                assert offset + size <= self._host.size
                fake._use("sync")
                host, card = (
                    self._host[offset : offset + size],
                    fake.memory[self._base + offset : self._base + offset + size],
                )
                if direction is SyncDirection.XCL_BO_SYNC_BO_TO_DEVICE:
                    card[:] = host
                else:
                    assert direction is SyncDirection.XCL_BO_SYNC_BO_FROM_DEVICE
                    host[:] = card

        module = types.ModuleType("pyxrt")
        module.xclBOSyncDirection, module.device = SyncDirection, Device  # type: ignore[attr-defined]
        module.kernel, module.bo = Kernel, Bo  # type: ignore[attr-defined]
        return module

    # Registers of the kernel

    def _check_register(self, offset: Any) -> None:
        assert type(offset) is int and 0 <= offset < WINDOW and offset % 4 == 0, offset

    def _read(self, offset: int) -> int:
        if offset < 0x1000:
            return self.card.read32(offset)
        base, register = self._channel(offset)
        channel = self.dma[base]
        if base == 0x30 and register == 4 and channel.get("waiting") and not self.hung:
            frames = self.card.recv(1, 1e-5).to_list()
            if frames:
                at = channel["address"] - HBM
                self.memory[at : at + len(frames[0])] = np.frombuffer(frames[0], np.uint8)
                channel.update(length=len(frames[0]), waiting=0, status=channel["status"] | 2)
        return {
            0: channel.get("control", 0),
            4: channel["status"],
            0x28: channel.get("length", 0),
        }.get(register, 0)

    def _write(self, offset: int, value: int) -> None:
        if offset < 0x1000:
            self.card.write32(offset, value)
            return
        base, register = self._channel(offset)
        channel = self.dma[base]
        if register == 0 and value & 4:  # of either channel, it resets both
            for each in self.dma.values():
                each.update(control=0, status=1, waiting=0)
        elif register == 0:
            channel["control"] = value
            channel["status"] = channel["status"] & ~1 if value & 1 else 1
        elif register == 0x18:
            channel["address"] = channel.get("address", 0) >> 32 << 32 | value
        elif register == 0x1C:
            channel["address"] = channel["address"] & 0xFFFF_FFFF | value << 32
        elif register == 0x28:
            assert HBM <= channel["address"] < HBM + self.memory.size, (
                "the DMA is given a device address"
            )
            assert not channel["status"] & 1, "a transfer is begun while the channel is halted"
            channel.update(length=value, waiting=1, status=channel["status"] & ~2)
            if base == 0 and not self.hung:
                at = channel["address"] - HBM
                self.card.send(FrameBatch.from_list([self.memory[at : at + value].tobytes()]))
                channel.update(waiting=0, status=channel["status"] | 2)

    def _channel(self, offset: int) -> tuple[int, int]:
        assert DMA_OFFSET <= offset < DMA_OFFSET + 0x60, hex(offset)
        at = offset - DMA_OFFSET
        return (0x30, at - 0x30) if at >= 0x30 else (0, at)


@pytest.fixture
def xrt(monkeypatch: pytest.MonkeyPatch) -> FakeXrt:
    print(f"replay with EMBNIC_SEED={SEED}")
    fake = FakeXrt()
    monkeypatch.setitem(sys.modules, "pyxrt", fake.module)
    return fake


@pytest.fixture
def xclbin(tmp_path: Path) -> Path:
    file = tmp_path / "embnic_u55c.xclbin"
    file.write_bytes(b"this platform")
    return file


def tables() -> list[embnic.Table]:
    return [
        embnic.Table("s", rows=200, dim=64, pooling="sum"),
        embnic.Table("m", rows=90, dim=20, pooling="mean", padding_idx=2),
    ]


def patched(fake: FakeXrt) -> None:
    """Let the fake card find rows at device addresses."""
    read, write = fake.card.read, fake.card.write

    class Shifted(np.ndarray):
        def __getitem__(self, index: Any) -> Any:
            if (
                isinstance(index, slice)
                and isinstance(index.start, int | np.integer)
                and index.start >= HBM
            ):
                index = slice(int(index.start) - HBM, int(index.stop) - HBM)
            return super().__getitem__(index)

        def __setitem__(self, index: Any, value: Any) -> None:
            if (
                isinstance(index, slice)
                and isinstance(index.start, int | np.integer)
                and index.start >= HBM
            ):
                index = slice(int(index.start) - HBM, int(index.stop) - HBM)
            super().__setitem__(index, value)

    del read, write
    fake.card.memory = fake.memory.view(Shifted)


def test_memory_registers_and_every_call(xrt: FakeXrt, xclbin: Path) -> None:
    ports = XrtPorts(xclbin)
    assert all(isinstance(ports, port) for port in (Bus, Memory, Link))
    ports.write32(0x014, 0xDEAD_BEEF)
    assert ports.read32(0x014) == 0xDEAD_BEEF
    ports.write_window(DMA_OFFSET + 0x18, 0x1000)
    assert xrt.dma[0]["address"] & 0xFFFF_FFFF == 0x1000
    rng = np.random.default_rng(SEED)
    base = ports.alloc(5000)
    assert base % 4096 == 0
    whole = rng.integers(0, 256, 5000, dtype=np.uint8)
    ports.write(base, whole)
    for _ in range(60):
        at, size = int(rng.integers(0, 4800)), int(rng.integers(0, 200))
        part = rng.integers(0, 256, size, dtype=np.uint8)
        ports.write(base + at, part)
        whole[at : at + size] = part
        # The core changes memory, too: what surrounds a write must not be what the host had before.
        xrt.memory[base - HBM + 4990] ^= 1
        whole[4990] ^= 1
        at, size = int(rng.integers(0, 4800)), int(rng.integers(0, 200))
        assert np.array_equal(ports.read(base + at, size), whole[at : at + size])
    assert np.array_equal(ports.read(base, 5000), whole)
    for addr, size in ((base - 1, 1), (base + 4990, 200)):
        with pytest.raises(ConfigError, match="not all inside"):
            ports.read(addr, size)
    ports.close()
    ports.close()
    assert xrt.calls["sync"] > 100


def test_bags_and_updates(xrt: FakeXrt, xclbin: Path) -> None:
    patched(xrt)
    rng, reference = np.random.default_rng(SEED), ReferenceBackend(tables())
    with embnic.open(tables(), f"xrt:{xclbin}") as engine:
        assert engine.target == "xrt"
        for table in tables():
            rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
            engine.load(table.name, rows)
            reference.load(table.name, rows)
        compared = 0
        for _ in range(6):
            bags = embnic.Bags.from_lists(
                {
                    t.name: [rng.integers(0, t.rows, n).tolist() for n in rng.integers(0, 15, 30)]
                    for t in tables()
                }
            )
            found, expected = engine.lookup(bags), reference.lookup(bags)
            for name in found:
                assert np.array_equal(
                    found[name].view(np.uint32), expected[name].view(np.uint32)
                ), name
                compared += len(found[name])
            ids, rows = (
                rng.choice(200, 8, replace=False),
                rng.standard_normal((8, 64), dtype=np.float32),
            )
            engine.update("s", ids, rows)
            reference.update("s", ids, rows)
        assert compared == 360
        assert engine.stats().bags_by_card == 360


@pytest.mark.parametrize("fault", ["gone", "hung"])
def test_a_lost_card_costs_no_answer(fault: str, xrt: FakeXrt, xclbin: Path) -> None:
    patched(xrt)
    rows = np.random.default_rng(SEED).standard_normal((200, 64), dtype=np.float32)
    backend = open_xrt(tables()[:1], xclbin, deadline=2.0)
    with Engine(tables()[:1], backend) as engine:
        engine.load("s", rows)
        bags = embnic.Bags.from_lists({"s": [[1, 2], [3]]})
        before = engine.lookup(bags)["s"].copy()
        setattr(xrt, fault, True)
        assert np.array_equal(engine.lookup(bags)["s"], before)
        assert engine.stats().bags_by_cpu == 2
        setattr(xrt, fault, False)
        engine.reattach()
        assert np.array_equal(engine.lookup(bags)["s"], before)
        assert engine.stats().bags_by_card == 4
        setattr(xrt, fault, True)
        with pytest.raises((DeviceError, LinkError), match="Do:"):
            backend.lookup(bags)
        setattr(xrt, fault, False)


def test_every_refusal_says_what_to_do(
    xrt: FakeXrt, xclbin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        XrtPorts(xclbin.with_name("none.xclbin"))
    with pytest.raises(BackendUnavailable, match="no xclbin is named"):
        embnic.open(tables(), "xrt")
    with pytest.raises(BackendUnavailable, match="xbutil examine"):
        XrtPorts(xclbin, device="7")
    other = xclbin.with_name("other.xclbin")
    other.write_bytes(b"other platform")
    with pytest.raises(BackendUnavailable, match="does not match the platform"):
        XrtPorts(other)
    monkeypatch.setenv("EMBNIC_XRT_DEVICE", "0000:3b:00.1")
    patched(xrt)
    with embnic.open(tables(), f"xrt:{xclbin}") as engine:
        assert engine.target == "xrt"
    ports = XrtPorts(xclbin)
    xrt.full = True
    with pytest.raises(CapacityError, match=r"embnic_u55c\.cfg"):
        ports.alloc(1 << 20)
    monkeypatch.delattr(xrt.module.kernel, "read_register")  # type: ignore[attr-defined]
    with pytest.raises(BackendUnavailable, match=r"binds no kernel\.read_register"):
        XrtPorts(xclbin)
    monkeypatch.setitem(sys.modules, "pyxrt", None)
    with pytest.raises(BackendUnavailable, match=r"setup\.sh"):
        XrtPorts(xclbin)


def test_how_long_a_silent_card_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBNIC_PATIENCE", raising=False)
    assert (board_timing().retry, board_timing().patience) == (0.5, 5.0)
    assert board_timing(0.2).patience == board_timing(0.2).deadline == 0.2
    monkeypatch.setenv("EMBNIC_PATIENCE", "60")
    assert (board_timing().retry, board_timing().patience) == (6.0, 60.0)
    for wrong in ("0", "-1", "nan", "long"):
        monkeypatch.setenv("EMBNIC_PATIENCE", wrong)
        with pytest.raises(ConfigError, match="EMBNIC_PATIENCE"):
            board_timing()
