# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_csr_map and the generated embnic_csr: every register of the contract, over AXI-Lite.

What is compared comes from `embnic.gen.registers`, the host's side of the same contract.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb

from embnic.gen.registers import ADDRESS_BYTES, COUNTERS, REGISTERS, Register
from embnic_sim.bench import STALLS, Bench, Sink, Source, load_structs
from embnic_sim.runner import build_and_test

SLVERR = 2
MASK = 0xFFFFFFFF
CONFIG_ID, GIT_HASH = 7, 0xC0FFEE42
PORTS = {"aw": ("addr", "prot"), "w": ("data", "strb"), "ar": ("addr", "prot")}
# Shown registers by name: the ports behind their fields, from the least bit on.
SHOWN = {
    "STATUS": ("sts_idle", "sts_flush_busy", "sts_drained", "sts_commit_busy", "sts_reset_busy",
               "sts_memory_stuck", "sts_generating"),
    "ERROR_TOTAL": ("error_total",),
    "CHANNEL_READS": ("channel_reads",),
    "MEMORY_OWED": ("sts_memory_owed_reads", "sts_memory_owed_write"),
}  # fmt: skip
ARRAYS = {"LATENCY_COUNT": "latency_count", "ERROR_WORD": "error_words"}
# Where the ports of a register's fields have other names than cfg_<field>.
DRIVEN = {
    "CONTROL": {},
    "CACHE": {},
    "UDP_PORT": {"port": "cfg_udp_port"},
    "REPLY_BEATS64": {"units": "cfg_reply_beats64"},
    "MEMORY_TIMEOUT": {"kilocycles": "cfg_memory_kilocycles"},
    "GEN_TABLE": {"table_number": "gen_table"},
    "GEN_ROW_MASK": {"value": "gen_row_mask"},
    "GEN_SHAPE": {name: f"gen_{name}" for name in ("dim", "beats", "length_log2", "window")},
    "GEN_FRAMES": {"value": "gen_frames"},
    "CHANNEL_SEL": {"channel": "channel_sel"},
    "INJECT": {name: f"inject_{name}" for name in ("memory", "place", "arm")},
    "LATENCY_BUCKET": {"bucket": "latency_bucket"},
    "ERROR_SEL": {"entry": "error_sel"},
    "TABLE_SEL": {"table_number": "table_sel"},
    "TABLE_COMMIT": {"commit": "table_commit"},
}


class CsrBench(Bench):
    """The DUT and an AXI-Lite master; what a read must give is expected when it is sent."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.board = self.scoreboard("reads")
        self.channels = {
            name: self.add(self._source(name, fields)) for name, fields in PORTS.items()
        }
        self.add(self._sink("b", ("resp",), self._written))
        self.add(self._sink("r", ("resp", "data"), self.board.check))
        self.writes = 0
        self.counters_n = load_structs().consts["COUNTERS_N"]
        self.drive(**{name: 0 for names in SHOWN.values() for name in names})
        self.drive(counters=0, **dict.fromkeys(ARRAYS.values(), 0), **dict.fromkeys(self.caps(), 0))

    def _source(self, channel: str, fields: tuple[str, ...]) -> Source:
        name = f"s_axil_{channel}"
        pins = [self.pin(name + field) for field in fields]
        return Source(self.pin(f"{name}valid"), self.pin(f"{name}ready"), pins)

    def _sink(self, channel: str, fields: tuple[str, ...], callback: Any) -> Sink:
        name = f"s_axil_{channel}"
        pins = [self.pin(name + field) for field in fields]
        return Sink(self.pin(f"{name}valid"), self.pin(f"{name}ready"), pins, callback)

    def _written(self, response: Any) -> None:
        assert response == 0, "a write is refused"
        self.writes -= 1

    @staticmethod
    def caps() -> dict[str, str]:
        """Return the capability registers by port."""
        return {name.lower(): name for name in REGISTERS if name.startswith("CAP_")}

    def write(self, offset: int, word: int, strobes: int = 15) -> None:
        """Send a write; its two channels go their own ways."""
        self.writes += 1
        self.channels["aw"].send((offset, 0))
        self.channels["w"].send((word, strobes))

    def expect(self, offset: int, word: int, *, response: int = 0) -> None:
        """Send a read; it answers with this word."""
        self.channels["ar"].send((offset, 0))
        self.board.expect((response, word))

    def idle(self) -> bool:
        """`sts_idle` is an input here."""
        return self.writes == 0

    async def settle(self) -> None:
        """Wait until all is answered: reads and writes pass each other."""
        await self.until(
            lambda: self.writes == 0 and not self.board.expected, what="answers of the card"
        )


def kept_bits(register: Register) -> int:
    """Return the bits of a register that stay as they are written."""
    fields = register.fields.values()
    return sum((1 << field.width) - 1 << field.low for field in fields if not field.pulse)


def reset_word(register: Register) -> int:
    """Return what a register holds after reset."""
    return sum((field.reset or 0) << field.low for field in register.fields.values())


def written() -> dict[str, Register]:
    """Return the registers that can be written."""
    return {name: register for name, register in REGISTERS.items() if register.access == "rw"}


@cocotb.test()
async def values_after_reset(dut: Any) -> None:
    """Identity, capabilities, reset values, and zero where there is no register."""
    bench = CsrBench(dut)
    await bench.reset()
    held = {port: bench.random.getrandbits(32) for port in bench.caps()}
    bench.drive(**held)
    consts = load_structs().consts
    named = {"CONTRACT_HASH": consts["CONTRACT_HASH"], "CONFIG_ID": CONFIG_ID, "GIT_HASH": GIT_HASH}
    named |= {name: held[port] for port, name in bench.caps().items()}
    used = set()
    for name, register in REGISTERS.items():
        for at in range(register.count):
            used.add(register.offset + 4 * at)
            bench.expect(register.offset + 4 * at, named.get(name, reset_word(register)))
    used |= {counter.offset + half for counter in COUNTERS for half in (0, 4)}
    free = [offset for offset in range(0, ADDRESS_BYTES, 4) if offset not in used]
    for offset in free:
        bench.expect(offset, 0, response=SLVERR)
    await bench.drain()
    assert bench.board.compared > 800


@cocotb.test()
async def written_words_are_read_and_reach_their_ports(dut: Any) -> None:
    """Every bit of every register that can be written, by single bytes too; pulses read as 0."""
    bench = CsrBench(dut)
    await bench.reset()
    for name, register in written().items():
        for at in range(register.count):
            offset, word = register.offset + 4 * at, bench.random.getrandbits(32)
            bench.write(offset, word)
            await bench.settle()
            now = word & kept_bits(register)
            bench.expect(offset, now)
            await bench.settle()
            for field, port in port_names(name).items():
                place = register.fields[field]
                if not place.pulse:
                    assert bench.read(port) == now >> place.low & (1 << place.width) - 1, port
            if name == "TABLE_WORD":
                assert bench.read("table_words") >> 32 * at & MASK == now
            other, strobes = bench.random.getrandbits(32), bench.random.randrange(16)
            lanes = sum(0xFF << 8 * byte for byte in range(4) if strobes >> byte & 1)
            bench.write(offset, other, strobes)
            await bench.settle()
            bench.expect(offset, (now & ~lanes | other & lanes) & kept_bits(register))
            await bench.settle()


def port_names(name: str) -> dict[str, str]:
    """Return the ports of a register's fields."""
    if name not in DRIVEN:
        return {}
    register = REGISTERS[name]
    return {field: DRIVEN[name].get(field, f"cfg_{field}") for field in register.fields}


@cocotb.test()
async def pulses_last_one_cycle(dut: Any) -> None:
    """A written 1 acts once, a 0 not at all."""
    bench = CsrBench(dut)
    pulses = {
        port: bench.count(port)
        for name, register in written().items()
        for field, port in port_names(name).items()
        if register.fields[field].pulse
    }
    assert len(pulses) >= 7
    await bench.reset()
    wanted = dict.fromkeys(pulses, 0)
    for _ in range(30):
        for name, register in written().items():
            word = bench.random.getrandbits(32)
            bench.write(register.offset, word)
            for field, port in port_names(name).items():
                place = register.fields[field]
                if place.pulse:
                    wanted[port] += word >> place.low & 1
    await bench.settle()
    await bench.cycles(3)
    assert {port: counter.total for port, counter in pulses.items()} == wanted
    assert all(wanted.values())


@cocotb.test()
async def what_is_shown(dut: Any) -> None:
    """Counters in both halves, status and arrays: what stands at the ports; writes change nothing."""
    bench = CsrBench(dut)
    await bench.reset()
    assert bench.counters_n == len(COUNTERS)
    for _ in range(3):
        values = [bench.random.getrandbits(64) for _ in COUNTERS]
        bench.drive(counters=sum(value << 64 * at for at, value in enumerate(values)))
        for name, ports in SHOWN.items():
            places = list(REGISTERS[name].fields.values())
            word = 0
            for port, place in zip(ports, places, strict=True):
                value = bench.random.getrandbits(place.width)
                bench.drive(**{port: value})
                word |= value << place.low
            bench.write(REGISTERS[name].offset, bench.random.getrandbits(32))
            bench.expect(REGISTERS[name].offset, word)
        for name, port in ARRAYS.items():
            words = [bench.random.getrandbits(32) for _ in range(REGISTERS[name].count)]
            bench.drive(**{port: sum(word << 32 * at for at, word in enumerate(words))})
            for at, word in enumerate(words):
                bench.expect(REGISTERS[name].offset + 4 * at, word)
        for counter, value in zip(COUNTERS, values, strict=True):
            bench.write(counter.offset, bench.random.getrandbits(32))
            bench.expect(counter.offset, value & MASK)
            bench.expect(counter.offset + 4, value >> 32)
        await bench.settle()
    await bench.drain()


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every rate of requests with every rate of answers taken; reads give what was written last."""
    bench = CsrBench(dut)
    scratch = REGISTERS["SCRATCH"].offset
    sinks = [agent for agent in bench._agents if isinstance(agent, Sink)]
    for send in STALLS:
        for take in STALLS:
            await bench.reset()
            bench.writes = 0
            for source in bench.channels.values():
                source.stall = bench.stall(send)
            for sink in sinks:
                sink.stall = bench.stall(take)
            for _ in range(15):
                words = deque(bench.random.getrandbits(32) for _ in range(4))
                for word in words:
                    bench.write(scratch, word)
                await bench.settle()
                for _ in range(3):
                    bench.expect(scratch, words[-1])
                await bench.settle()
    await bench.drain()


def test_csr_map() -> None:
    """All coroutines."""
    build_and_test(
        "embnic_csr_map", "test_csr_map", params={"CONFIG_ID": CONFIG_ID, "GIT_HASH": GIT_HASH}
    )
