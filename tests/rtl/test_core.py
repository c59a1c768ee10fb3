# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_core: the host's own driver on the whole core, bit-equal to the reference.

There is one driver: CocotbCard gives it the ports of the core, and it runs here as it does on a
card. Every test ends with the identities of the counters: each received frame is accepted or
dropped for one reason, each accepted one is answered once.
"""

import random
import struct
from collections import Counter as Tally
from collections.abc import Callable
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.task import bridge
from net_frames import LOOKUP, REPLY, TAG, Frame, random_frame

import embnic
from embnic.backends.reference import ReferenceBackend
from embnic.backends.rtl import attach_rtl
from embnic.errors import ClosedError, ConfigError, DeviceFault, DeviceTimeout
from embnic.exchange import Timing
from embnic.gen.configs import CONFIGS
from embnic.health import broken_identities
from embnic.ports import Bus, Link, Memory
from embnic.registers import Registers
from embnic.wire import FrameBatch
from embnic_sim.bench import Bench
from embnic_sim.cocotb_card import REGISTER_TIMEOUT_CYCLES, CocotbCard
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS

CONFIG = CONFIGS["tiny"]
# The bench's memory has one channel; tests/system/test_channels.py and test_axi_channels.py have more.
# For the kernels see test_core.
PARAMETERS = CONFIG.parameters() | {"CHANNELS": 1, "COMPUTE": 0}
CYCLE = 1e-6 / CONFIG.clock_mhz
WIDEST = CONFIG.max_vec64 * 16
QUIET_CYCLES = 300  # nothing came for so long, with idle set: nothing will
RESETS = 4
HEADER_AT = 42  # our header in a frame
VERSION_AT, OPCODE_AT, FLAGS_AT = HEADER_AT + 2, HEADER_AT + 3, HEADER_AT + 4
REQUEST_ID = slice(HEADER_AT + 8, HEADER_AT + 12)

TABLES = (
    embnic.Table("sum", rows=60, dim=64, pooling="sum"),
    embnic.Table("mean", rows=40, dim=20, pooling="mean", padding_idx=3),
    embnic.Table("max", rows=30, dim=WIDEST, pooling="max", padding_idx=0),
    embnic.Table("odd", rows=20, dim=33, pooling="sum", padding_idx=1),
    embnic.Table("one", rows=4, dim=1, pooling="max"),
)


class RecordingCard(CocotbCard):
    """Keeps the frames of both directions while `sent` and `came` are lists."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.sent: list[bytes] | None = None
        self.came: list[bytes] | None = None

    def send(self, frames: FrameBatch, **further: Any) -> None:
        """Queue frames."""
        if self.sent is not None:
            self.sent += frames.to_list()
        super().send(frames, **further)

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        """Return frames."""
        frames = super().recv(max_frames, timeout)
        if self.came is not None:
            self.came += frames.to_list()
        return frames


class CoreBench(Bench):
    """The core, its card, and an engine beside the reference. `host` methods run under `bridge`."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.card = RecordingCard(self)
        self.registers = Registers(self.card)
        self.numbers = np.random.default_rng(self.seed)
        self.reference = ReferenceBackend(TABLES)
        self.compared = 0
        self.rows: dict[str, Any] = {}

    def shake(self) -> None:
        """Draw new stalls for the transmit stream, card memory and the register channels."""
        rng, memory = self.random, self.card.memory
        shortest = rng.randrange(1, 60)
        memory.latency = (shortest, shortest + rng.randrange(1, 80))
        memory.reorder = rng.random() < 0.8
        memory.gap = rng.choice((0.0, 0.3))
        memory.ready_rate = rng.choice((1.0, 0.4))
        self.card.tx.stall = self.stall(rng.choice(list(STALLS)))
        self.card.rx.stall = self.stall(rng.choice(["never", "half", "bursty"]))
        self.card.stall(lambda: self.stall(rng.choice(["never", "half", "bursty"])))

    def open(self, *, retry: int = 50_000, patience: int = 200_000) -> embnic.Engine:
        """Attach (host); times in cycles."""
        timing = Timing(retry=retry * CYCLE, patience=patience * CYCLE)
        backend = attach_rtl(TABLES, self.card, config=CONFIG.name, timing=timing)
        engine = embnic.Engine(TABLES, backend)
        for table in TABLES:
            self.load(engine, table.name)
        return engine

    def load(self, engine: embnic.Engine, name: str) -> None:
        """Give a table new rows (host)."""
        table = self.reference._host.table(name)
        self.rows[name] = self.values(table.rows, table.dim)
        engine.load(name, self.rows[name])
        self.reference.load(name, self.rows[name])

    def ask(self, ident: int) -> list[list[int]]:
        """Send a LOOKUP of bags of table 0 as another client, and do not wait; return its keys (host)."""
        bags = [self.numbers.integers(0, TABLES[0].rows, 4).tolist() for _ in range(3)]
        words = [row | (at == 3) << 63 for bag in bags for at, row in enumerate(bag)]
        frame = Frame(
            opcode=LOOKUP,
            payload=struct.pack(f"<{len(words)}Q", *words),
            request_id=ident,
            bags=len(bags),
            keys=len(words),
            dim=TABLES[0].dim,
            port_dst=self.registers.UDP_PORT.read(),
        )
        self.card.send(FrameBatch.from_list([frame.build()]))
        return bags

    def answer(self, ident: int) -> Any:
        """Return the bits of the vectors that answered `ident`, or None."""
        assert self.card.came is not None
        found = [frame for frame in self.card.came if frame[REQUEST_ID] == struct.pack("<I", ident)]
        if not found:
            return None
        assert all(frame[OPCODE_AT] == REPLY for frame in found)
        return np.frombuffer(b"".join(frame[64:-4] for frame in found), np.uint32)

    @staticmethod
    def sums(rows: Any, bags: list[list[int]]) -> Any:
        """Return the bits of the sums of the bags: left to right from +0."""
        sums = np.zeros((len(bags), rows.shape[1]), np.float32)
        for at in range(len(bags[0])):
            sums += rows[[bag[at] for bag in bags]]
        return sums.reshape(-1).view(np.uint32)

    def values(self, *shape: int) -> Any:
        """Return random rows or weights, of all magnitudes."""
        normal = self.numbers.standard_normal(shape, dtype=np.float32)
        return np.ldexp(normal, self.numbers.integers(-140, 120, shape)).astype(np.float32)

    def bags(self, most: int = 10, longest: int = 7) -> embnic.Bags:
        """Return bags for every table: repeated ids, padding, empty ones, with and without weights."""
        parts: dict[str, Any] = {}
        for table in TABLES:
            lengths = self.numbers.integers(0, longest + 1, int(self.numbers.integers(3, most + 1)))
            lengths[self.numbers.integers(len(lengths))] = 0
            ids = self.numbers.integers(0, table.rows, int(lengths.sum()))
            if table.padding_idx is not None:
                ids[self.numbers.random(len(ids)) < 0.2] = table.padding_idx
            weighted = table.pooling.name == "SUM" and self.numbers.random() < 0.6
            weights = self.values(len(ids)) if weighted else None
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            parts[table.name] = (ids, offsets, weights)
        return embnic.Bags.from_torch(parts, include_last_offset=True)

    def lookup(self, engine: embnic.Engine, bags: embnic.Bags | None = None) -> None:
        """Look up and compare every bit (host)."""
        given = self.bags() if bags is None else bags
        pooled, expected = engine.lookup(given), self.reference.lookup(given)
        for name in given:
            got, want = pooled[name].view(np.uint32), expected[name].view(np.uint32)
            assert got.shape == want.shape and want.size
            differ = np.flatnonzero((got != want).any(axis=1)).tolist()
            assert not differ, f"{name}: bags {differ} differ"
            self.compared += len(want)

    def update(self, engine: embnic.Engine) -> None:
        """Overwrite rows of a random table (host)."""
        table = TABLES[int(self.numbers.integers(len(TABLES)))]
        ids = self.numbers.integers(0, table.rows, 9)
        rows = self.values(9, table.dim)
        engine.update(table.name, ids, rows)
        self.reference.update(table.name, ids, rows)

    def settle(self) -> list[bytes]:
        """Wait until nothing is under way and nothing comes; return what came (host)."""
        came: list[bytes] = []
        rested = False
        for _ in range(400):
            frames = self.card.recv(64, QUIET_CYCLES * CYCLE)
            came += frames.to_list()
            resting = self.card.rx.empty and bool(self.registers.STATUS.field("idle"))
            if rested and resting and not len(frames):
                return came
            rested = resting
        raise AssertionError(f"the core does not come to rest; seed {self.seed}")

    def counters(self) -> Tally[str]:
        """Return the card's counters, which must add up; the core is at rest (host)."""
        counts = Tally(self.registers.counters())
        assert not broken_identities(counts)
        return counts


async def on_host(function: Callable[..., Any], *given: Any) -> Any:
    """Run blocking code of the host beside the simulation."""
    return await bridge(function)(*given)


@cocotb.test()
async def driver(dut: Any) -> None:
    """Lookups of every pooling and updates by the host's engine, under random stalls."""
    bench = CoreBench(dut)
    await bench.reset()

    def host() -> None:
        with bench.open() as engine:
            assert engine.stats().card["updates"] == 0
            for number in range(8):
                bench.shake()
                bench.lookup(engine)
                if number % 2:
                    bench.update(engine)
                    bench.lookup(engine, bench.bags(most=4))
            bench.settle()
            stats, counts = engine.stats(), bench.counters()
            assert stats.bags == stats.bags_by_card == bench.compared > 100
            assert counts["updates"] >= 4 and counts["update_rows"] > 4
            assert counts["rx_frames"] == counts["rx_accepted"] == stats.link["frames_sent"]
            assert counts["tx_frames"] == stats.link["frames_received"] == bench.card.received
            assert counts["errors"] == counts["memory_errors"] == 0
            assert stats.link["retries"] == stats.link["late"] == stats.link["bad_frames"] == 0
            assert counts["row_hits"] and counts["row_misses"] and counts["evictions"]
            assert counts["keys_null"] + counts["keys_padding"] > 0
            assert bench.card.memory.max_outstanding > 1

    await on_host(host)
    bench.dut._log.info("%d bags compared in %d cycles", bench.compared, bench.cycle)


def spoil(rng: random.Random, good: bytes) -> tuple[str, bytes, bool]:
    """Return a frame with one defect: the counter it belongs to, its bytes, the MAC's verdict."""
    frame = bytearray(good)
    reason = rng.choice(
        ["not_ours", "mac_error", "length", "ip_checksum", "version", "header", "crc", "tag"]
    )
    if reason == "not_ours":
        frame[rng.choice((12, 13, 14, 23, 36, 37, 42, 43))] ^= 1 << rng.randrange(8)
    elif reason == "length":
        del frame[len(frame) - rng.randrange(1, 20) :]
    elif reason == "ip_checksum":
        frame[rng.choice((24, 25, 26, 30))] ^= 1 << rng.randrange(8)
    elif reason == "version":
        frame[VERSION_AT] ^= 1 << rng.randrange(8)
    elif reason == "header":
        frame[FLAGS_AT] |= rng.choice((0x80, 0xC0))
    elif reason == "crc":
        frame[rng.choice((FLAGS_AT + 3, len(frame) - 1, rng.randrange(50, len(frame))))] ^= (
            1 << rng.randrange(8)
        )
    elif reason == "tag":
        frame = bytearray(Frame(flags=TAG, tag_bytes=8, payload=rng.randbytes(24)).build())
    return f"drop_{reason}", bytes(frame), reason == "mac_error"


class Storm:
    """Good requests of the driver, random requests and spoiled frames, mixed (host)."""

    def __init__(self, bench: CoreBench, engine: embnic.Engine) -> None:
        self.bench = bench
        bench.card.sent, bench.card.came = [], []
        for _ in range(2):
            bench.lookup(engine)
        self.good = [frame for frame in bench.card.sent if len(frame) > 64]
        self.answers: dict[bytes, set[bytes]] = {}
        for frame in bench.card.came:
            self.answers.setdefault(frame[REQUEST_ID], set()).add(frame)
        bench.card.sent = bench.card.came = None
        assert len(self.good) >= 5

    def send(self, number: int) -> tuple[Tally[str], list[bytes]]:
        """Send `number` frames at once; return what they are, and the good ones among them."""
        rng, bench = self.bench.random, self.bench
        kinds: Tally[str] = Tally()
        frames, bad, asked = [], [], []
        for _ in range(number):
            good = rng.choice(self.good)
            kind = rng.random()
            if kind < 0.5:
                frames.append(good)
                bad.append(False)
                asked.append(good)
                kinds["good"] += 1
            elif kind < 0.65:
                frames.append(random_frame(rng, max_words=12).build())
                bad.append(False)
                kinds["random"] += 1
            else:
                reason, frame, mac_error = spoil(rng, good)
                frames.append(frame)
                bad.append(mac_error)
                kinds[reason] += 1
        bench.card.send(FrameBatch.from_list(frames), bad=np.array(bad))
        return kinds, asked

    def check(self, came: list[bytes], asked: list[bytes], *, all_of_them: bool) -> int:
        """Compare replies to the driver's requests with those it got; return how many there are."""
        seen: Tally[bytes] = Tally()
        for frame in came:
            ident = frame[REQUEST_ID]
            if ident in self.answers:
                assert frame in self.answers[ident], f"another answer to {ident.hex()}"
                assert frame[OPCODE_AT] == REPLY
                seen[ident] += 1
        want: Tally[bytes] = Tally()
        for frame in asked:
            want[frame[REQUEST_ID]] += len(self.answers[frame[REQUEST_ID]])
        assert not seen - want, "more answers than requests"
        if all_of_them:
            assert seen == want
        return sum(seen.values())


@cocotb.test()
async def good_and_bad_frames(dut: Any) -> None:
    """Frames with one defect are counted under it, all others answered; also under overload."""
    bench = CoreBench(dut)
    await bench.reset()

    def host() -> None:
        # random_frame comes from any port and host; the core listens to its own port only.
        bench.registers.UDP_PORT.write(Frame().port_dst)
        engine = bench.open()
        storm = Storm(bench, engine)
        bench.settle()
        before = bench.counters()
        sent: Tally[str] = Tally()
        compared = 0
        for _ in range(20):  # paced: few enough for the core's buffers
            bench.shake()
            bench.card.tx.stall = bench.stall("half")
            kinds, asked = storm.send(4)
            sent += kinds
            compared += storm.check(bench.settle(), asked, all_of_them=True)
        counts = bench.counters()
        counts.subtract(before)
        assert counts["drop_overload"] == 0
        for name in (name for name in counts if name.startswith("drop_")):
            assert counts[name] == sent[name], f"{name}: {counts[name]}, sent {sent[name]}"
        assert counts["rx_accepted"] == sent["good"] + sent["random"] > 0
        assert counts["rx_frames"] == sum(sent.values())
        assert compared > 20

        before, sent = bench.counters(), Tally()
        for _ in range(3):  # at line rate into a slow transmit side: some find no room
            bench.shake()
            bench.card.rx.stall = bench.stall("never")
            bench.card.tx.stall = bench.stall("mostly")
            kinds, asked = storm.send(40)
            sent += kinds
            compared += storm.check(bench.settle(), asked, all_of_them=False)
        counts = bench.counters()
        counts.subtract(before)
        assert counts["drop_overload"] > 0
        for name in (name for name in counts if name.startswith("drop_")):
            assert name == "drop_overload" or counts[name] == sent[name]
        assert counts["rx_frames"] == sum(sent.values())

        bench.shake()
        bench.lookup(engine)
        engine.close()
        bench.dut._log.info("%d frames compared in %d cycles", compared, bench.cycle)

    await on_host(host)


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset under a lookup: the host notices, answers itself, attaches again, all bit-equal."""
    bench = CoreBench(dut)
    await bench.reset()
    lost = 0
    engine = await on_host(lambda: bench.open(retry=12_000, patience=20_000))
    for _ in range(RESETS):
        bench.shake()
        bench.card.tx.stall = bench.stall("half")
        lookup = cocotb.start_soon(on_host(bench.lookup, engine))
        await bench.cycles(bench.random.randrange(1, 1500))
        await bench.reset(bench.random.randrange(1, 4))
        await lookup

        def host() -> int:
            # Whether the lookup had ended before the reset or not, the card knows no table now.
            bench.lookup(engine)
            was_lost = engine.state == "fallback"
            engine.reattach()
            by_card = engine.stats().bags_by_card
            bench.lookup(engine)
            bench.update(engine)
            bench.lookup(engine)
            assert engine.state == "open"
            assert engine.stats().bags_by_card > by_card
            bench.settle()
            counts = bench.counters()
            assert counts["rx_frames"] == counts["rx_accepted"] + counts["drop_overload"]
            assert counts["errors"] == counts["memory_errors"] == 0
            return int(was_lost)

        lost += await on_host(host)
    assert lost == RESETS
    await on_host(engine.close)


@cocotb.test()
async def ports(dut: Any) -> None:
    """The card's own rules: Protocols, simulated time, timeouts, refusals."""
    bench = CoreBench(dut)
    card = bench.card
    assert isinstance(card, Bus) and isinstance(card, Memory) and isinstance(card, Link)

    def dead() -> None:
        # In reset nothing answers.
        start = card.clock()
        with pytest.raises(DeviceTimeout, match=r"reading register 0x014"):
            card.read32(0x014)
        assert card.clock() - start == pytest.approx(REGISTER_TIMEOUT_CYCLES * CYCLE, rel=0.01)
        with pytest.raises(DeviceTimeout, match=r"writing register 0x014"):
            card.write32(0x014, 1)

    await on_host(dead)
    await bench.reset()

    def alive() -> None:
        bench.shake()
        card.write32(0x014, 0x12345678)
        assert card.read32(0x014) == 0x12345678
        answered = card._read
        card._sinks["r"]._callback = lambda word: answered((2, word[1]))  # SLVERR
        with pytest.raises(DeviceFault, match="reading register 0x014"):
            card.read32(0x014)
        card._sinks["r"]._callback = answered
        for offset, value in ((0x015, 0), (4096, 0), (0x014, 1 << 32)):
            with pytest.raises(ConfigError):
                card.write32(offset, value)
        start = card.clock()
        assert len(card.recv(1, 0)) == 0 and card.clock() == start
        assert len(card.recv(1, 100 * CYCLE)) == 0
        assert card.clock() - start == pytest.approx(100 * CYCLE, abs=1.5 * CYCLE)
        addr = card.alloc(100, 4096)
        data = bench.numbers.integers(0, 256, 100, dtype=np.uint8)
        card.write(addr, data)
        card.sync()
        assert addr and addr % 4096 == 0 and card.alloc(1, 64) >= addr + 100
        assert np.array_equal(card.read(addr, 100), data)
        with pytest.raises(ConfigError, match="card memory needs"):
            card.alloc(1 << 21)
        with pytest.raises(ConfigError, match="not all inside"):
            card.read((1 << 20) - 1, 2)

    await on_host(alive)

    # The simulation ends under the host's wait: the wait ends, and no other begins.
    async def end(number: int = 1) -> None:
        raise RuntimeError(f"no {number} cycles any more")

    def abandoned() -> None:
        bench.cycles = end  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="any more"):
            card.recv(1, 1.0)
        for call in (lambda: card.read32(0x014), lambda: card.recv(1, 1.0), card.sync):
            with pytest.raises(ClosedError):
                call()

    await on_host(abandoned)


@pytest.mark.parametrize("compute", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_core(compute: int) -> None:
    """Without the kernels, which tests/system/test_compute_rtl.py drives, and with them."""
    build_and_test("embnic_core", "test_core", params=PARAMETERS | {"COMPUTE": compute})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"DATA_W": 256}, "DATA_W must be 128 or 512"),
        ({"KS_BEATS": 32768}, "KS_BEATS must not exceed 16,384"),
        ({"RSP_BEATS": 32768}, "RSP_BEATS must not exceed 16,384"),
        ({"SLOTS": 128}, "SLOTS and CTXS must not exceed 64"),
        ({"CTXS": 128}, "SLOTS and CTXS must not exceed 64"),
        ({"ECC": 2}, "ECC must be 0 or 1"),
        ({"PRODUCTS": 2}, "PRODUCTS must be 0 or 1"),
        ({"COMPUTE": 2}, "COMPUTE must be 0 or 1"),
        ({"CHANNELS": 3}, "CHANNELS must be a power of two, 1 to 32"),
    ],
)
def test_illegal_parameters(wrong: dict[str, int], message: str) -> None:
    expect_build_failure("embnic_core", PARAMETERS | wrong, message)
