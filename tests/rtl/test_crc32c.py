# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_crc32c: every end of a message, gaps, back to back, the bus's delay."""

import math
from collections import deque
from typing import Any

import cocotb
import pytest
from net_frames import crc32c

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.toolchain import config_parameters

USER_W = 5


class Driver:
    """Agent: beats from a queue, rubbish between them; checks what comes out."""

    def __init__(self, bench: "CrcBench") -> None:
        self.bench = bench
        self.stall = lambda: True
        self.rubbish = True
        self.queue: deque[tuple[dict[str, int], int | None]] = deque()
        self.reset()

    def reset(self) -> None:
        """Nothing in flight."""
        self.queue.clear()
        self.now: tuple[dict[str, int], int | None] = ({"in_data": 0, "in_user": 0}, None)
        self.flight: deque[tuple[dict[str, int], int | None]] = deque()
        self.bench.drive(in_valid=0, in_first=0, in_last=0, in_words=0, in_data=0, in_user=0)

    def _rubbish(self) -> dict[str, int]:
        rng, bench = self.bench.random, self.bench
        return {
            "in_valid": 0,
            "in_first": rng.getrandbits(1),
            "in_last": rng.getrandbits(1),
            "in_words": rng.randrange(bench.words + 1),
            "in_data": rng.getrandbits(bench.width),
            "in_user": rng.getrandbits(USER_W),
        }

    def tick(self) -> None:
        """One clock edge: check what left, then drive what follows."""
        bench = self.bench
        if len(self.flight) == bench.latency:
            pins, crc = self.flight.popleft()
            got = {"data": bench.read("out_data"), "user": bench.read("out_user"), "crc": None}
            if bench.read("out_crc_valid"):
                got["crc"] = bench.read("out_crc")
            bench.board.expect({"data": pins["in_data"], "user": pins["in_user"], "crc": crc})
            bench.board.check(got)
            bench.checked += crc is not None
        self.flight.append(self.now)
        if self.queue and self.stall():
            self.now = self.queue.popleft()
        else:
            self.now = (self._rubbish(), None)
        bench.drive(**self.now[0])


class CrcBench(Bench):
    """Messages in; their CRC with their last beat, LATENCY cycles later."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.width, self.first_byte = self.params["DATA_W"], self.params["FIRST_BYTE"]
        self.words = self.width // 32
        self.latency = 4 + int(math.log2(self.words))
        self.board = self.scoreboard("bus")
        self.driver = self.add(Driver(self))
        self.checked = 0

    def send(self, message: bytes, *, finish: bool = True) -> None:
        """Queue a message; its length must end on a word of the bus."""
        step = self.width // 8
        padded = self.random.randbytes(self.first_byte) + message
        assert len(padded) % 4 == 0
        assert len(message) >= 4
        count = -(-len(padded) // step)
        for index in range(count):
            piece = padded[index * step : (index + 1) * step]
            last = index == count - 1
            data = int.from_bytes(piece + self.random.randbytes(step - len(piece)), "little")
            pins = {
                "in_valid": 1,
                "in_first": int(index == 0),
                "in_last": int(last and finish),
                "in_words": len(piece) // 4
                if last and finish
                else self.random.randrange(self.words + 1),
                "in_data": data,
                "in_user": self.random.getrandbits(USER_W),
            }
            self.driver.queue.append((pins, crc32c(message) if last and finish else None))

    def random_message(self, longest: int = 40) -> bytes:
        """Return a message that ends on a word of the bus."""
        head = 4 + -self.first_byte % 4
        return self.random.randbytes(head + 4 * self.random.randrange(longest))

    def _finished(self) -> bool:
        quiet = not self.driver.queue and not self.driver.now[0].get("in_valid")
        return quiet and not any(pins.get("in_valid") for pins, _ in self.driver.flight)


@cocotb.test()
async def known_values(dut: Any) -> None:
    """The check value of the catalogue, on a bus where it fits, and 22 bytes of zeros and ones."""
    bench = CrcBench(dut)
    await bench.reset()
    head = -bench.first_byte % 4
    for body in (
        b"\x00" * (20 + head),
        b"\xff" * (20 + head),
        b"123456789" + bytes(-(9 - head) % 4),
    ):
        bench.send(body)
    await bench.drain()
    assert bench.checked == 3


@cocotb.test()
async def residue(dut: Any) -> None:
    """A message followed by its CRC gives the constant that a receiver compares with."""
    bench = CrcBench(dut)
    await bench.reset()
    seen: list[int] = []
    bench.monitor("out_crc_valid", ["out_crc"], seen.append)
    for _ in range(20):
        message = bench.random_message()
        bench.send(message + crc32c(message).to_bytes(4, "little"))
    await bench.drain()
    assert seen == [0x48674BC7] * 20


@cocotb.test()
async def every_length(dut: Any) -> None:
    """Every end within a beat, over one, two, three and more beats, back to back and with gaps."""
    bench = CrcBench(dut)
    for pattern in STALLS:
        await bench.reset()
        bench.driver.stall = bench.stall(pattern)
        for words in range(4 * bench.words):
            bench.send(bench.random.randbytes((4 + -bench.first_byte % 4) + 4 * words))
        await bench.drain()


@cocotb.test()
async def random_messages(dut: Any) -> None:
    """Random lengths; some messages never end, which must not touch the next."""
    bench = CrcBench(dut)
    await bench.reset()
    bench.driver.stall = bench.stall("bursty")
    for _ in range(300):
        bench.send(bench.random_message(), finish=bench.random.random() < 0.8)
    bench.send(bench.random_message())
    await bench.drain()
    assert bench.checked > 200


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset in a message leaves no trace in the next."""
    bench = CrcBench(dut)
    await bench.reset_in_traffic(
        lambda: [bench.send(bench.random_message()) for _ in range(20)], times=20, within=40
    )


def sim_parameters(config: str) -> dict[str, int]:
    """Return what a configuration does not name: where our header begins in its beat (for `make sim`)."""
    return {"FIRST_BYTE": 42 % (config_parameters(config)["DATA_W"] // 8), "USER_W": USER_W}


@pytest.mark.parametrize(("data_w", "first_byte"), [(64, 2), (128, 10), (512, 42)])
def test_crc32c(data_w: int, first_byte: int) -> None:
    """The narrowest bus, and the two of the configurations with the place of our header."""
    build_and_test(
        "embnic_crc32c",
        "test_crc32c",
        params={"DATA_W": data_w, "FIRST_BYTE": first_byte, "USER_W": USER_W},
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 96}, "DATA_W must be"),
        ({"DATA_W": 128, "FIRST_BYTE": 13}, "FIRST_BYTE must be even"),
        ({"DATA_W": 128, "FIRST_BYTE": 14}, "FIRST_BYTE must be even"),
        ({"USER_W": 0}, "USER_W must be"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by our message."""
    expect_build_failure("embnic_crc32c", params, message)
