# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_axi_channels: every burst reaches the byte that its address names, and its answer comes back."""

from collections import Counter, deque
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.channels import place
from embnic_sim.runner import build_and_test, expect_build_failure

ADDRESS = 40
IDS = 16


class ChannelBench(Bench):
    """A master of random bursts, and memories that answer from what their address is."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.channels = int(self.params["CHANNELS"])
        self.bits = int(self.params["DATA_W"])
        self.board = self.scoreboard("beats")
        self.rate = 0.7
        self.spread: Counter[int] = Counter()
        self.most = 0

    def field(self, name: str, channel: int, width: int) -> int:
        """Return a channel's part of a port."""
        return self.read(f"m_axi_{name}") >> channel * width & ((1 << width) - 1)

    def join(self, name: str, values: list[int], width: int) -> None:
        """Drive a port from the parts of its channels."""
        self.drive(**{f"m_axi_{name}": sum(v << i * width for i, v in enumerate(values))})

    def word(self, channel: int, addr: int) -> int:
        """Return what a channel holds at an address."""
        return ((channel + 1) << 44 ^ addr * 0x9E3779B97F4A7C15 + channel) & ((1 << self.bits) - 1)

    def address(self) -> int:
        """Return an address of a random spread, aligned to a beat, and how many beats fit its page."""
        most = self.channels.bit_length() - 1
        spread = self.random.choice([*range(most + 1), most, 7])
        page = (
            self.random.getrandbits(25) if self.random.random() < 0.5 else self.random.randrange(64)
        )
        beat = self.random.randrange(4096 // (self.bits // 8))
        return spread << 37 | page << 12 | beat * (self.bits // 8)

    async def run(self, number: int, silent: int | None = None) -> None:
        """Send bursts, both ways, until all are answered; a `silent` channel takes and answers nothing."""
        rng, size = self.random, self.bits // 8
        n = self.channels
        asked: dict[int, list[int]] = {}  # by ID: the words to come
        queues: list[deque[list[int]]] = [deque() for _ in range(n)]
        expected: list[deque[tuple[int, int, int]]] = [deque() for _ in range(n)]
        offered: tuple[int, int, int] | None = None
        ar_ready, r_beat = [0] * n, [None] * n  # type: list[int], list[Any]
        writes = deque(self.address() for _ in range(number // 4))
        write: dict[str, Any] | None = None
        aw_ready, w_ready = [0] * n, [0] * n
        left = number
        quiet = 0
        while left or offered or asked or write or writes:
            await self.cycles(1)
            # What was taken at this edge.
            if offered and self.read("s_axi_arready"):
                ident, addr, length = offered
                channel, local = place(addr, n)
                expected[channel].append((ident, local, length))
                self.spread[channel] += 1
                offered = None
            for c in range(n):
                if ar_ready[c] and self.read("m_axi_arvalid") >> c & 1:
                    burst = (
                        self.field("arid", c, 4),
                        self.field("araddr", c, ADDRESS),
                        self.field("arlen", c, 8),
                    )
                    assert burst == expected[c].popleft(), f"channel {c}"
                    queues[c].append([*burst])
                if r_beat[c] is not None and self.read("m_axi_rready") >> c & 1:
                    r_beat[c] = None
            if self.read("s_axi_rvalid"):
                words = asked[self.read("s_axi_rid")]
                self.board.expect(words.pop(0))
                self.board.check(self.read("s_axi_rdata"))
                assert self.read("s_axi_rlast") == (not words)
                assert self.read("s_axi_rresp") == 2
                if not words:
                    del asked[self.read("s_axi_rid")]
            if write:
                self.step_write(write, aw_ready, w_ready)
                if write["done"]:
                    write = None
            # What is offered next.
            if not offered and left and rng.random() < self.rate:
                addr = self.address()
                channel, local = place(addr, n)
                free = [ident for ident in range(IDS) if ident not in asked]
                if free and channel != silent:
                    beats = rng.randrange(1, 1 + min(4, (4096 - addr % 4096) // size))
                    ident = rng.choice(free)
                    asked[ident] = [self.word(channel, local + at * size) for at in range(beats)]
                    offered = (ident, addr, beats - 1)
                    left -= 1
            self.drive(s_axi_arvalid=int(offered is not None))
            if offered:
                self.drive(s_axi_arid=offered[0], s_axi_araddr=offered[1], s_axi_arlen=offered[2])
            if not write and writes and rng.random() < self.rate:
                addr = writes.popleft()
                if place(addr, n)[0] != silent:
                    beats = rng.randrange(1, 1 + min(4, (4096 - addr % 4096) // size))
                    write = {
                        "addr": addr,
                        "beats": beats,
                        "aw": False,
                        "w": 0,
                        "b": 0,
                        "done": False,
                    }
            self.drive_write(write)
            ar_ready = [int(c != silent and rng.random() < self.rate) for c in range(n)]
            aw_ready = [int(c != silent and rng.random() < self.rate) for c in range(n)]
            w_ready = [int(c != silent and rng.random() < self.rate) for c in range(n)]
            for c in range(n):
                if r_beat[c] is None and queues[c] and rng.random() < self.rate:
                    queues[c].rotate(-rng.randrange(len({q[0] for q in queues[c]})))
                    ident, addr, length = queues[c][0]
                    r_beat[c] = (ident, self.word(c, addr), int(length == 0))
                    queues[c][0] = [ident, addr + size, length - 1]
                    if length == 0:
                        queues[c].popleft()
            self.join("arready", ar_ready, 1)
            self.join("awready", aw_ready, 1)
            self.join("wready", w_ready, 1)
            self.join("rvalid", [int(beat is not None) for beat in r_beat], 1)
            for at, (name, width) in enumerate((("rid", 4), ("rdata", self.bits), ("rlast", 1))):
                self.join(name, [beat[at] if beat else 0 for beat in r_beat], width)
            self.join("rresp", [2] * n, 2)
            quiet += 1
            assert quiet < 200 * number + 2000, "bursts are not answered"
        for c in set(range(n)) - {silent}:
            assert self.field("arvalid", c, 1) == 0 and not expected[c]

    def drive_write(self, write: dict[str, Any] | None) -> None:
        """Offer the address, then the beats, then take the response."""
        state = write or {"aw": True, "w": 0, "beats": 0, "addr": 0, "b": 0}
        sending = state["aw"] and state["w"] < state["beats"]
        self.drive(
            s_axi_awvalid=int(not state["aw"]),
            s_axi_awaddr=state["addr"],
            s_axi_awlen=max(state["beats"] - 1, 0),
            s_axi_wvalid=int(sending),
            s_axi_wdata=state["addr"] + state["w"],
            s_axi_wstrb=(1 << self.bits // 8) - 1,
            s_axi_wlast=int(state["w"] + 1 == state["beats"]),
            s_axi_bready=int(state["b"] > 0),
        )
        channel = place(state["addr"], self.channels)[0]
        self.drive(m_axi_bvalid=(state["b"] > 0) << channel, m_axi_bresp=2 << 2 * channel)

    def step_write(self, write: dict[str, Any], aw_ready: list[int], w_ready: list[int]) -> None:
        """See what was taken of a write at this edge."""
        channel, local = place(write["addr"], self.channels)
        valid = self.read("m_axi_awvalid")
        assert valid == (not write["aw"]) << channel
        if write["b"]:
            assert self.read("s_axi_bvalid") and self.read("s_axi_bresp") == 2
            assert self.read("m_axi_bready") == 1 << channel
            write["done"] = True
            self.spread[channel] += 1
        elif not write["aw"]:
            assert self.field("awaddr", channel, ADDRESS) == local
            assert self.field("awlen", channel, 8) == write["beats"] - 1
            write["aw"] = bool(aw_ready[channel])
        else:
            assert self.read("m_axi_wvalid") == 1 << channel
            assert self.field("wdata", channel, self.bits) == write["addr"] + write["w"]
            write["w"] += w_ready[channel]
            write["b"] = int(write["w"] == write["beats"])

    async def reset(self, cycles: int = 4) -> None:
        """Nothing is offered."""
        self.drive(s_axi_rready=1, s_axi_arvalid=0, s_axi_awvalid=0, s_axi_wvalid=0, s_axi_bready=0)
        self.drive(m_axi_rvalid=0, m_axi_bvalid=0, m_axi_arready=0, m_axi_awready=0, m_axi_wready=0)
        await super().reset(cycles)


@cocotb.test()
async def random_bursts(dut: Any) -> None:
    """Reads and writes of every spread under stalls; all channels are used."""
    bench = ChannelBench(dut)
    for rate in (1.0, 0.7, 0.3):
        bench.rate = rate
        await bench.reset()
        await bench.run(300)
    assert set(bench.spread) == set(range(bench.channels))
    await bench.cycles(2)
    assert bench.read("sts_reads") == 0
    await bench.drain()


@cocotb.test()
async def a_dead_channel(dut: Any) -> None:
    """A channel that takes nothing holds up no other, whatever waits for it."""
    bench = ChannelBench(dut)
    await bench.reset()
    if bench.channels > 1:
        dead = bench.random.randrange(bench.channels)
        linear = dead << 37 - (bench.channels.bit_length() - 1)
        assert place(linear, bench.channels) == (dead, 0)
        for ident in range(int(bench.params["DEPTH"])):
            bench.drive(s_axi_arvalid=1, s_axi_arid=ident % IDS, s_axi_araddr=linear, s_axi_arlen=0)
            await bench.cycles(1)
            assert bench.read("s_axi_arready"), f"{ident} addresses wait"
        bench.drive(s_axi_arvalid=0)
        bench.rate = 0.9
        await bench.run(200, silent=dead)
        assert bench.field("arvalid", dead, 1) == 1
        await bench.reset()
    await bench.run(50)
    await bench.drain()


@pytest.mark.parametrize(
    ("channels", "data_w"), [pytest.param(1, 128, marks=pytest.mark.slow), (2, 128), (4, 512)]
)
def test_axi_channels(channels: int, data_w: int) -> None:
    """One channel, two and four."""
    params = {"CHANNELS": channels, "DATA_W": data_w, "ID_W": 4, "DEPTH": 16}
    build_and_test("embnic_axi_channels", "test_axi_channels", params=params)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CHANNELS", 3, "CHANNELS must be a power of two, 1 to 32"),
        ("CHANNELS", 64, "CHANNELS must be a power of two, 1 to 32"),
        ("DEPTH", 12, "DEPTH must be a power of two, at least 2"),
    ],
)
def test_illegal_parameters_do_not_build(name: str, value: int, message: str) -> None:
    """Each illegal parameter is refused in its own words."""
    expect_build_failure("embnic_axi_channels", {name: value}, message)
