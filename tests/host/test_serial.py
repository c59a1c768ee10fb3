# SPDX-License-Identifier: Apache-2.0
"""The serial backend on a pseudo-terminal, with a whole fake card at its other end and a line that may lose bytes."""

from __future__ import annotations

import os
import pty
import random
import select
import struct
import threading
import tty
from collections.abc import Iterator

import numpy as np
import pytest
from fakes import FakeCard

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.backends.serial import (
    FRAME,
    INFO,
    MEMORY_READ,
    MEMORY_WRITE,
    MTU_BYTES,
    REFUSED,
    REGISTER_READ,
    REGISTER_WRITE,
    TO_HOST,
    UNIT,
    SerialPorts,
    decode_slip,
    encode_packet,
    open_serial,
    serial_timing,
)
from embnic.engine import Engine
from embnic.errors import (
    BackendUnavailable,
    CapacityError,
    ConfigError,
    DeviceFault,
    DeviceTimeout,
    LinkError,
)
from embnic.ports import Bus, Link, Memory
from embnic.wire import FrameBatch

SEED = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 30))
MEMORY = 1 << 18


class SerialCard:
    """A fake card behind a terminal; `flip` is the probability that a byte on its way changes, in either direction."""

    def __init__(self) -> None:
        print(f"replay with EMBNIC_SEED={SEED}")
        self.card = FakeCard("mini")
        self.card.memory = np.zeros(MEMORY, np.uint8)
        self.random = random.Random(SEED)
        self.flip = 0.0
        self.silent = False
        self.dropped = 0
        self.kinds: list[int] = []
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.close(self._stopped)
        self._thread.join(10)
        for fd in (self._master, self._slave, self._stop):
            os.close(fd)

    def _run(self) -> None:
        buffer = b""
        while True:
            ready, _, _ = select.select([self._master, self._stop], [], [], 0.005)
            if self._stop in ready:
                return
            if self._master in ready:
                *bodies, buffer = (buffer + self._noisy(os.read(self._master, 4096))).split(b"\xc0")
                for body in filter(None, bodies):
                    packet = decode_slip(body)
                    if packet is None:
                        self.dropped += 1
                    elif not self.silent:
                        self._serve(packet)
            for frame in self.card.recv(256, 1e-5).to_list():
                self._answer(FRAME | TO_HOST, 0, 0, 0, frame)

    def _noisy(self, data: bytes) -> bytes:
        if not self.flip:
            return data
        return bytes(
            b ^ (1 << self.random.randrange(8)) if self.random.random() < self.flip else b
            for b in data
        )

    def _answer(self, kind: int, tag: int, length: int, address: int, data: bytes = b"") -> None:
        if not self.silent:
            os.write(self._master, self._noisy(encode_packet(kind, tag, length, address, data)))

    def _serve(self, packet: bytes) -> None:
        kind, tag, length, address = struct.unpack_from("<BBHI", packet)
        data, card = packet[8:], self.card
        self.kinds.append(kind)
        if kind == FRAME:
            assert length == len(data)
            card.send(FrameBatch.from_list([data]))
            return
        answer = b""
        if kind == REGISTER_READ:
            if address == 0xFFC:
                kind |= REFUSED
            else:
                answer = card.read32(address).to_bytes(4, "little")
        elif kind == REGISTER_WRITE:
            card.write32(address, int.from_bytes(data, "little"))
        elif kind == MEMORY_READ:
            answer = card.memory[address : address + length].tobytes()
        elif kind == MEMORY_WRITE:
            assert length == len(data) and length % UNIT == 0 and address % UNIT == 0
            card.memory[address : address + length] = np.frombuffer(data, np.uint8)
        elif kind == INFO:
            length, address = self.dropped, MEMORY
        self._answer(kind | TO_HOST, tag, length, address, answer)


@pytest.fixture
def card() -> Iterator[SerialCard]:
    made = SerialCard()
    yield made
    made.close()


def test_registers_and_memory(card: SerialCard) -> None:
    ports = SerialPorts(card.path)
    assert all(isinstance(ports, port) for port in (Bus, Memory, Link))
    assert ports.memory_bytes == MEMORY
    ports.write32(0x014, 0xC0DB_DCDD)
    assert ports.read32(0x014) == 0xC0DB_DCDD
    rng = np.random.default_rng(SEED)
    base = ports.alloc(8192)
    whole = rng.integers(0, 256, 8192, dtype=np.uint8)
    whole[:4] = (0xC0, 0xDB, 0xDC, 0xDD)
    ports.write(base, whole)
    for _ in range(30):  # any place, any length, not only whole units
        at, size = int(rng.integers(0, 8000)), int(rng.integers(0, 190))
        part = rng.integers(0, 256, size, dtype=np.uint8)
        ports.write(base + at, part)
        whole[at : at + size] = part
        at, size = int(rng.integers(0, 8000)), int(rng.integers(0, 190))
        assert np.array_equal(ports.read(base + at, size), whole[at : at + size])
    assert np.array_equal(ports.read(base, 8192), whole)
    ports.close()
    ports.close()


def tables() -> list[embnic.Table]:
    return [
        embnic.Table("s", rows=100, dim=24, pooling="sum"),
        embnic.Table("m", rows=60, dim=16, pooling="mean", padding_idx=3),
    ]


@pytest.mark.parametrize("flip", [0.0, 2e-4])
def test_bags_and_updates_over_the_line(flip: float, card: SerialCard) -> None:
    """Bytes that change on the line cost time, never an answer."""
    rng, reference = np.random.default_rng(SEED), ReferenceBackend(tables())
    with Engine(tables(), open_serial(tables(), card.path), fallback=False) as engine:
        for table in tables():
            rows = rng.standard_normal((table.rows, table.dim), dtype=np.float32)
            engine.load(table.name, rows)
            reference.load(table.name, rows)
        card.flip = flip
        compared = 0
        for _ in range(4):
            bags = embnic.Bags.from_lists(
                {
                    t.name: [rng.integers(0, t.rows, n).tolist() for n in rng.integers(0, 12, 20)]
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
                rng.choice(100, 5, replace=False),
                rng.standard_normal((5, 24), dtype=np.float32),
            )
            engine.update("s", ids, rows)
            reference.update("s", ids, rows)
        assert compared == 160
        card.flip = 0.0
    assert card.kinds.count(FRAME) >= 8


def test_a_silent_card_is_given_up_and_comes_back(card: SerialCard) -> None:
    rows = np.ones((100, 24), np.float32)
    backend = open_serial(tables(), card.path, deadline=0.4)
    with Engine(tables(), backend) as engine:
        engine.load("s", rows)
        engine.load("m", np.ones((60, 16), np.float32))
        bags = embnic.Bags.from_lists({"s": [[1, 2]], "m": [[4]]})
        card.silent = True
        assert engine.lookup(bags)["s"][0, 0] == 2.0
        assert engine.stats().bags_by_cpu == 2
        card.silent = False
        engine.reattach()
        assert engine.lookup(bags)["s"][0, 0] == 2.0
        assert engine.stats().bags_by_card == 2


def test_every_failure_says_what_to_do(card: SerialCard, tmp_path) -> None:
    ports = SerialPorts(card.path)
    with pytest.raises(DeviceFault, match="register map"):
        ports.read32(0xFFC)
    with pytest.raises(CapacityError, match="memory on the chip"):
        ports.alloc(MEMORY)
    with pytest.raises(ConfigError, match="align"):
        ports.alloc(64, align=32)
    with pytest.raises(ConfigError, match="not all inside"):
        ports.read(MEMORY - 10, 11)
    with pytest.raises(ConfigError, match=f"mtu={MTU_BYTES}"):
        ports.send(FrameBatch.from_list([bytes(2049)]))
    card.silent = True
    with pytest.raises(DeviceTimeout, match="check the cable"):
        ports.read32(0)
    ports.close()
    with pytest.raises(LinkError, match="reattach"):
        ports.read32(0)
    for device, reason in ((str(tmp_path / "none"), "cannot be opened"), ("", "no serial port")):
        with pytest.raises(BackendUnavailable, match=reason):
            open_serial(tables(), device)
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendUnavailable, match="no terminal"):
        open_serial(tables(), str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="termios"):
        SerialPorts(card.path, baud=1234)
    with pytest.raises(ConfigError, match="at most"):
        open_serial(tables(), card.path, mtu=9000)


def test_the_environment_names_the_speed(card: SerialCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBNIC_BAUD", "115200")
    with embnic.open(tables(), f"serial:{card.path}") as engine:
        assert engine.target == "serial"
    monkeypatch.setenv("EMBNIC_BAUD", "fast")
    with pytest.raises(ConfigError, match="EMBNIC_BAUD is 'fast'"):
        embnic.open(tables(), f"serial:{card.path}")


def test_waits_follow_the_speed() -> None:
    assert serial_timing(2_000_000).retry == 0.5
    assert serial_timing(57_600).retry > 10
    assert serial_timing(deadline=1.0).patience == 1.0
