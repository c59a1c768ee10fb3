# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_csr_map over AXI-Lite; run by test_csr.py."""

from typing import Any

import cocotb
from cocotb.triggers import RisingEdge, Timer

from embnic.gen.registers import ADDRESS_BYTES, COUNTERS, REGISTERS
from embnic.gen.wire import CONTRACT_HASH
from embnic_sim.bench import Bench

SLVERR = 2
CONFIG_ID, GIT_HASH = 7, 0x1234ABCD
IDENTITY = {
    "MAGIC": 0x454D424E,
    "CONTRACT_HASH": CONTRACT_HASH,
    "CONFIG_ID": CONFIG_ID,
    "VERSION": 0x000100,
    "GIT_HASH": GIT_HASH,
}
STATUS_PORTS = (  # in the order of the bits
    *("sts_idle", "sts_flush_busy", "sts_drained", "sts_commit_busy"),
    *("sts_reset_busy", "sts_memory_stuck", "sts_generating"),
)
PULSES = {  # and their bits in CONTROL
    "cfg_flush": 1,
    "cfg_snapshot": 2,
    "cfg_soft_reset": 4,
    "cfg_latency_clear": 6,
    "cfg_errors_clear": 7,
    "table_commit": None,
    "inject_arm": None,
}


class CsrBench(Bench):
    """Reads and writes registers; a random stall of the master before every channel."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.caps = [name for name in REGISTERS if name.startswith("CAP_")]
        self.pulses: dict[str, int] = {}

    async def start(self) -> None:
        """Reset with known inputs; count the pulses."""
        idle = ("awvalid", "wvalid", "bready", "arvalid", "rready", "awprot", "arprot")
        self.drive(**{f"s_axil_{name}": 0 for name in idle})
        self.drive(
            **{name.lower(): 0 for name in self.caps},
            **dict.fromkeys(STATUS_PORTS, 0),
            counters=0,
            latency_count=0,
            sts_memory_owed_reads=0,
            channel_reads=0,
            sts_memory_owed_write=0,
            error_total=0,
            error_words=0,
        )
        await self.reset()
        for name in PULSES:
            self.pulses[name] = 0
        cocotb.start_soon(self._count())

    async def _count(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            for name in self.pulses:
                self.pulses[name] += int(getattr(self.dut, name).value)

    async def _step(self) -> None:
        await RisingEdge(self.dut.clk)
        await Timer(1, "ps")

    async def _handshake(self, valid: str, ready: str, **payload: int) -> None:
        """Hold `valid` until `ready`, after a random wait."""
        for _ in range(self.random.randrange(3)):
            await self._step()
        self.drive(**payload, **{valid: 1})
        while True:
            taken = self.read(ready)
            await self._step()
            if taken:
                break
        self.drive(**{valid: 0})

    async def _response(self, valid: str, ready: str, fields: tuple[str, ...]) -> list[int]:
        for _ in range(self.random.randrange(4)):
            await self._step()
        self.drive(**{ready: 1})
        while True:
            seen, found = self.read(valid), [self.read(name) for name in fields]
            await self._step()
            if seen:
                break
        self.drive(**{ready: 0})
        return found

    async def write32(self, offset: int, value: int, strobe: int = 15, response: int = 0) -> None:
        """Write; address and data come in any order."""
        channels = [
            ("s_axil_awvalid", "s_axil_awready", {"s_axil_awaddr": offset}),
            ("s_axil_wvalid", "s_axil_wready", {"s_axil_wdata": value, "s_axil_wstrb": strobe}),
        ]
        self.random.shuffle(channels)
        for valid, ready, payload in channels:
            await self._handshake(valid, ready, **payload)
        found = await self._response("s_axil_bvalid", "s_axil_bready", ("s_axil_bresp",))
        assert found == [response]

    async def read32(self, offset: int, response: int = 0) -> int:
        """Read."""
        await self._handshake("s_axil_arvalid", "s_axil_arready", s_axil_araddr=offset)
        data, found = await self._response(
            "s_axil_rvalid", "s_axil_rready", ("s_axil_rdata", "s_axil_rresp")
        )
        assert found == response
        return data


async def ready(dut: Any) -> CsrBench:
    bench = CsrBench(dut)
    await bench.start()
    return bench


@cocotb.test()
async def identity_and_capabilities(dut: Any) -> None:
    """Constants of the build, read only."""
    bench = await ready(dut)
    caps = {name: bench.random.getrandbits(32) for name in bench.caps}
    bench.drive(**{name.lower(): value for name, value in caps.items()})
    for name, value in (IDENTITY | caps).items():
        offset = REGISTERS[name].offset
        assert await bench.read32(offset) == value, name
        await bench.write32(offset, value ^ 0xFFFFFFFF)
        assert await bench.read32(offset) == value, name
    assert len(caps) >= 18


@cocotb.test()
async def scratch_and_strobes(dut: Any) -> None:
    """Every byte strobe by itself."""
    bench = await ready(dut)
    offset, expected = REGISTERS["SCRATCH"].offset, 0
    assert await bench.read32(offset) == 0
    for strobe in range(16):
        value = bench.random.getrandbits(32)
        mask = sum(0xFF << 8 * lane for lane in range(4) if strobe >> lane & 1)
        expected = expected & ~mask | value & mask
        await bench.write32(offset, value, strobe)
        assert await bench.read32(offset) == expected, strobe


@cocotb.test()
async def control_and_status(dut: Any) -> None:
    """Reset values, levels, and pulses of exactly one cycle."""
    bench = await ready(dut)
    control, status = REGISTERS["CONTROL"].offset, REGISTERS["STATUS"].offset
    assert bench.read("cfg_enable") == 0
    assert bench.read("cfg_udp_port") == 0x454E
    assert bench.read("cfg_reply_beats64") == 22
    await bench.write32(control, 0b001)
    assert (bench.read("cfg_enable"), bench.pulses["cfg_flush"], bench.pulses["cfg_snapshot"]) == (
        1,
        0,
        0,
    )
    await bench.write32(control, 0b011)
    await bench.write32(control, 0b101)
    await bench.write32(control, 0b111)
    assert await bench.read32(control) == 0b001
    assert (bench.pulses["cfg_flush"], bench.pulses["cfg_snapshot"]) == (2, 2)
    for value in (0, 0x55, 0x2A, 0x7F, *(1 << bit for bit in range(7))):
        bench.drive(**{name: value >> bit & 1 for bit, name in enumerate(STATUS_PORTS)})
        assert await bench.read32(status) == value
    for name, bit in PULSES.items():
        if bit is None:
            continue
        before = dict(bench.pulses)
        await bench.write32(control, 1 << bit)
        await bench.cycles(2)
        assert bench.pulses == before | {name: before[name] + 1}
        assert await bench.read32(control) == 0
    await bench.write32(control, 1 << 3)
    assert (bench.read("cfg_quiesce"), bench.read("cfg_generator")) == (1, 0)
    await bench.write32(control, 1 << 5)
    assert (bench.read("cfg_quiesce"), bench.read("cfg_generator")) == (0, 1)
    await bench.write32(control, 0)
    await bench.write32(REGISTERS["UDP_PORT"].offset, 0xFFFF1234)
    await bench.write32(REGISTERS["REPLY_BEATS64"].offset, 0xFFFFFFFF)
    assert bench.read("cfg_udp_port") == await bench.read32(REGISTERS["UDP_PORT"].offset) == 0x1234
    assert bench.read("cfg_reply_beats64") == 255


@cocotb.test()
async def table_descriptors(dut: Any) -> None:
    """Word 0 is in the low bits; commit is a pulse."""
    bench = await ready(dut)
    words = [bench.random.getrandbits(32) for _ in range(8)]
    await bench.write32(REGISTERS["INJECT"].offset, 0x153)
    await bench.cycles(2)
    assert (bench.read("inject_memory"), bench.read("inject_place")) == (3, 5)
    assert bench.pulses["inject_arm"] == 1
    bench.drive(channel_reads=0xABCD)
    assert await bench.read32(REGISTERS["CHANNEL_READS"].offset) == 0xABCD
    bench.drive(sts_memory_owed_reads=0x1234, sts_memory_owed_write=1)
    assert await bench.read32(REGISTERS["MEMORY_OWED"].offset) == 0x11234
    layout = REGISTERS["TABLE_WORD"]
    assert layout.count == 8
    await bench.write32(REGISTERS["TABLE_SEL"].offset, 0x12345)
    for index, word in enumerate(words):
        await bench.write32(layout.offset + 4 * index, word)
    await bench.write32(REGISTERS["TABLE_COMMIT"].offset, 1)
    await bench.cycles(2)
    assert bench.pulses["table_commit"] == 1
    assert bench.read("table_sel") == 0x12345
    assert bench.read("table_words") == sum(word << 32 * index for index, word in enumerate(words))
    assert [await bench.read32(layout.offset + 4 * index) for index in range(8)] == words


@cocotb.test()
async def counters(dut: Any) -> None:
    """Every counter at its place, both halves."""
    bench = await ready(dut)
    values = [bench.random.getrandbits(64) for _ in COUNTERS]
    bench.drive(counters=sum(value << 64 * index for index, value in enumerate(values)))
    for counter, value in zip(COUNTERS, values, strict=True):
        low, high = [await bench.read32(counter.offset + at) for at in (0, 4)]
        assert (high << 32 | low) == value, counter.name


@cocotb.test()
async def generator_latency_and_errors(dut: Any) -> None:
    """What is generated, and the selectors with the words they show."""
    bench = await ready(dut)
    shape = {"dim": (0, 16), "beats": (16, 8), "length_log2": (24, 4), "window": (28, 4)}
    word = bench.random.getrandbits(32)
    await bench.write32(REGISTERS["GEN_SHAPE"].offset, word)
    for name, (low, width) in shape.items():
        assert bench.read(f"gen_{name}") == word >> low & ((1 << width) - 1), name
    for register, port, width in (
        ("GEN_TABLE", "gen_table", 15),
        ("GEN_ROW_MASK", "gen_row_mask", 32),
        ("GEN_FRAMES", "gen_frames", 32),
        ("CHANNEL_SEL", "channel_sel", 5),
        ("MEMORY_TIMEOUT", "cfg_memory_kilocycles", 16),
        ("LATENCY_BUCKET", "latency_bucket", 8),
        ("ERROR_SEL", "error_sel", 8),
    ):
        word = bench.random.getrandbits(32)
        await bench.write32(REGISTERS[register].offset, word)
        assert bench.read(port) == word & ((1 << width) - 1), register
    for register, port in (
        ("LATENCY_COUNT", "latency_count"),
        ("ERROR_WORD", "error_words"),
        ("ERROR_TOTAL", "error_total"),
    ):
        layout = REGISTERS[register]
        words = [bench.random.getrandbits(32) for _ in range(layout.count)]
        bench.drive(**{port: sum(word << 32 * at for at, word in enumerate(words))})
        assert [await bench.read32(layout.offset + 4 * at) for at in range(layout.count)] == words


@cocotb.test()
async def addresses_without_a_register(dut: Any) -> None:
    """They answer SLVERR to reads and writes; nothing else changes, nothing hangs."""
    bench = await ready(dut)
    used = {r.offset + 4 * index for r in REGISTERS.values() for index in range(r.count)}
    used |= {counter.offset + at for counter in COUNTERS for at in (0, 4)}
    free = [offset for offset in range(0, ADDRESS_BYTES, 4) if offset not in used]
    bench.drive(counters=(1 << 64 * len(COUNTERS)) - 1)
    await bench.write32(REGISTERS["SCRATCH"].offset, 0xA5A5A5A5)
    for offset in [*bench.random.sample(free, 60), free[-1]]:
        await bench.write32(offset, 0xFFFFFFFF, response=SLVERR)
        assert await bench.read32(offset, SLVERR) == 0, hex(offset)
    assert await bench.read32(REGISTERS["SCRATCH"].offset) == 0xA5A5A5A5
    assert (bench.read("cfg_enable"), sum(bench.pulses.values())) == (0, 0)
