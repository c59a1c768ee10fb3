# SPDX-License-Identifier: Apache-2.0
"""The simulated card by itself: registers, frames made of hand-written bytes, memory, faults, time.

Nothing of the host's codec or driver is used here, so that an error in it cannot hide one in the
card. The checked build runs: assertions of the RTL are on and every register starts at a random
value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from embnic.errors import ClosedError, ConfigError, DeviceTimeout
from embnic.gen.configs import CONFIGS
from embnic.gen.registers import COUNTERS, REGISTERS
from embnic.gen.wire import CONTRACT_HASH
from embnic.health import broken_identities
from embnic.wire import FrameBatch
from embnic_sim.card import SimCard
from embnic_sim.card_library import Phase
from embnic_sim.card_models import DramModel

PING, LOOKUP, REPLY, UPDATE, ACK, ERROR = 1, 2, 3, 6, 7, 15
TAG, FINAL = 1 << 1, 1 << 4
MEMORY_ERROR, OUT_OF_RANGE = 7, 4
DIM = 20  # elements: two 64-byte units, the second one partly padding
ROWS = 40
STRIDE = 128
TABLE = 5
CARD_MAC, HOST_MAC = bytes.fromhex("020000000002"), bytes.fromhex("020000000001")
TIMEOUT = 100e-6


def crc32c(data: bytes) -> int:
    """Bit by bit, from the definition."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def ip_checksum(header: bytes) -> int:
    """The ones' complement sum of RFC 791."""
    total = sum(struct.unpack(">10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def frame(opcode: int, payload: bytes = b"", **fields: int) -> bytes:
    """A whole Ethernet frame; `fields` are those of our header, and version, crc (added to the
    right one), port.
    """
    head = struct.pack(
        "<HBBBBHIHHHHH",
        0xEB1C,
        fields.get("version", 1),
        opcode,
        fields.get("flags", 0),
        fields.get("dtype", 0),
        fields.get("tenant", 3),
        fields.get("request_id", 0xA1B2C3D4),
        fields.get("first_bag", 0),
        fields.get("bags", 0),
        fields.get("keys", 0),
        fields.get("dim", 0),
        0,
    )
    body = head + payload
    if fields.get("flags", 0) & TAG:
        body += bytes(8)  # an 8-byte tag stands where the CRC would
    else:
        body += struct.pack("<I", crc32c(body) ^ fields.get("crc", 0))
    udp = struct.pack(">HHHH", 40000, fields.get("port", 17742), 8 + len(body), 0)
    ip = struct.pack(
        ">BBHHHBBH4s4s",
        0x45,
        0,
        20 + 8 + len(body),
        7,
        0x4000,
        64,
        17,
        0,
        b"\x0a\0\0\1",
        b"\x0a\0\0\2",
    )
    ip = ip[:10] + struct.pack(">H", ip_checksum(ip) ^ fields.get("ip_checksum", 0)) + ip[12:]
    return CARD_MAC + HOST_MAC + b"\x08\x00" + ip + udp + body


def key(row: int, last: bool = False, table: int = TABLE) -> bytes:
    """One key of a LOOKUP."""
    return struct.pack("<Q", int(last) << 63 | table << 48 | row)


def lookup(bags: list[list[int]], **fields: int) -> bytes:
    """A LOOKUP of bags of rows."""
    keys = b"".join(
        key(row, place == len(bag) - 1) for bag in bags for place, row in enumerate(bag)
    )
    return frame(LOOKUP, keys, bags=len(bags), keys=len(keys) // 8, dim=DIM, **fields)


def header(reply: bytes) -> dict[str, int]:
    """The fields of a reply's header, after checking its checksum."""
    assert struct.unpack("<I", reply[-4:])[0] == crc32c(reply[42:-4]), "CRC32C of the reply"
    names = (
        "magic version opcode flags dtype_status tenant request_id first_bag bags keys dim snapshot"
    )
    return dict(zip(names.split(), struct.unpack("<HBBBBHIHHHHH", reply[42:64]), strict=True))


def counters(card: SimCard) -> dict[str, int]:
    """A snapshot of the card's counters."""
    card.write32(REGISTERS["CONTROL"].offset, 1 | 1 << 2)
    return {c.name: card.read32(c.offset) | card.read32(c.offset + 4) << 32 for c in COUNTERS}


def exchange(card: SimCard, frames: list[bytes], replies: int | None = None) -> list[bytes]:
    """Send frames; return this many replies (default: one each)."""
    card.send(FrameBatch.from_list(frames))
    wanted = len(frames) if replies is None else replies
    found: list[bytes] = []
    while len(found) < wanted:
        batch = card.recv(64, TIMEOUT)
        assert len(batch), f"{len(found)} of {wanted} replies came"
        found += batch.to_list()
    return found


def weights(seed: int = 7) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The table's rows."""
    return np.random.default_rng(seed).standard_normal((ROWS, DIM), dtype=np.float32)


def prepare(card: SimCard) -> int:
    """Load the table, program its descriptor, open the port; return the table's address."""
    base = card.alloc(ROWS * STRIDE, 64)
    stored = np.zeros((ROWS, STRIDE // 4), dtype=np.float32)
    stored[:, :DIM] = weights()
    card.write(base, stored.view(np.uint8).reshape(-1))
    card.sync()
    words = [1 | DIM << 16, 0, base & 0xFFFFFFFF, base >> 32, ROWS, 0, 0, 0]
    card.write32(REGISTERS["TABLE_SEL"].offset, TABLE)
    for place, word in enumerate(words):
        card.write32(REGISTERS["TABLE_WORD"].offset + 4 * place, word)
    card.write32(REGISTERS["TABLE_COMMIT"].offset, 1)
    for _ in range(200):
        if not card.read32(REGISTERS["STATUS"].offset) & 0b1010:  # flush_busy, commit_busy
            break
    card.write32(REGISTERS["CONTROL"].offset, 1)
    return base


def pooled(bag: list[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Left-to-right fp32 sum from +0."""
    total = np.zeros(DIM, dtype=np.float32)
    for row in bag:
        total = total + weights()[row]
    return total


@pytest.fixture
def card() -> Iterator[SimCard]:
    """A fresh checked card with a table."""
    with SimCard("tiny", build="checked") as made:
        prepare(made)
        yield made
        if not made.stopped:
            for _ in range(1000):
                if made.read32(REGISTERS["STATUS"].offset) & 1:
                    break
                made.step(100)
            assert not broken_identities(counters(made))


def test_identity_registers() -> None:
    with SimCard("tiny", build="checked") as card:
        assert card.read32(REGISTERS["MAGIC"].offset) == 0x454D424E
        assert card.read32(REGISTERS["CONTRACT_HASH"].offset) == CONTRACT_HASH
        assert card.read32(REGISTERS["CONFIG_ID"].offset) == CONFIGS["tiny"].config_id
        assert card.read32(REGISTERS["CAP_DATA_W"].offset) == 128
        for value in (0, 0xFFFFFFFF, 0x12345678):
            card.write32(REGISTERS["SCRATCH"].offset, value)
            assert card.read32(REGISTERS["SCRATCH"].offset) == value
        assert "checked" in card.build_name


def test_ping(card: SimCard) -> None:
    (reply,) = exchange(card, [frame(PING, request_id=77)])
    assert reply[:12] == HOST_MAC + CARD_MAC
    assert reply[26:34] == b"\x0a\0\0\2\x0a\0\0\1"
    assert struct.unpack(">HH", reply[34:38]) == (17742, 40000)
    assert ip_checksum(reply[14:34]) == 0
    fields = header(reply)
    assert (fields["opcode"], fields["request_id"], fields["tenant"], fields["bags"]) == (
        REPLY,
        77,
        3,
        0,
    )
    assert fields["flags"] == FINAL
    assert len(reply) == 68


def test_lookup_is_the_ordered_sum_of_the_rows(card: SimCard) -> None:
    bags = [[3, 8, 8], [0], [39, 1, 17, 3, 5]]
    (reply,) = exchange(card, [lookup(bags)])
    fields = header(reply)
    assert (fields["opcode"], fields["bags"], fields["dim"], fields["dtype_status"]) == (
        REPLY,
        3,
        DIM,
        0,
    )
    vectors = np.frombuffer(reply[64:-4], dtype="<f4").reshape(3, STRIDE // 4)
    for vector, bag in zip(vectors, bags, strict=True):
        np.testing.assert_array_equal(vector[:DIM].view(np.uint32), pooled(bag).view(np.uint32))
        assert not vector[DIM:].any()
    seen = counters(card)
    assert (seen["requests"], seen["bags"], seen["keys"], seen["replies"]) == (1, 3, 9, 1)


def test_many_lookups_with_every_stall(card: SimCard) -> None:
    seed = 11
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    card.configure(tx_stall=0.4, memory_stall=0.3, rx_gap=5)
    for round_number in range(12):
        bags = [rng.integers(0, ROWS, size=rng.integers(1, 9)).tolist() for _ in range(4)]
        replies = exchange(
            card, [lookup([bag], request_id=round_number * 10 + n) for n, bag in enumerate(bags)]
        )
        found = {header(reply)["request_id"] - round_number * 10: reply for reply in replies}
        for number, bag in enumerate(bags):
            vector = np.frombuffer(found[number][64:-4], dtype="<f4")[:DIM]
            np.testing.assert_array_equal(vector.view(np.uint32), pooled(bag).view(np.uint32))
    seen = counters(card)
    assert seen["row_hits"] + seen["row_misses"] == seen["keys"]
    assert seen["row_hits"] > 0
    assert seen["row_misses"] > 0


def test_row_out_of_range_is_refused(card: SimCard) -> None:
    reads = card.stats().memory_reads
    (reply,) = exchange(card, [lookup([[ROWS]])])
    fields = header(reply)
    assert (fields["opcode"], fields["dtype_status"] >> 4) == (ERROR, OUT_OF_RANGE)
    assert card.stats().memory_reads == reads, "an out-of-range row must not be read"


def test_memory_error_is_reported(card: SimCard) -> None:
    card.fail_memory(0, card.dram.size)
    (reply,) = exchange(card, [lookup([[1, 2]])])
    assert header(reply)["dtype_status"] >> 4 == MEMORY_ERROR
    card.fail_memory(0, 0)
    (reply,) = exchange(card, [lookup([[1, 2]])])
    assert header(reply)["dtype_status"] >> 4 == 0, "an error must not stay in the cache"
    vector = np.frombuffer(reply[64:-4], dtype="<f4")[:DIM]
    np.testing.assert_array_equal(vector.view(np.uint32), pooled([1, 2]).view(np.uint32))


def test_every_frame_is_answered_or_counted_once(card: SimCard) -> None:
    good = lookup([[4]])
    bad = {
        "drop_not_ours": frame(PING, port=53),
        "drop_length": good[:-20],
        "drop_ip_checksum": frame(PING, ip_checksum=0x0100),
        "drop_version": frame(PING, version=2),
        "drop_header": frame(REPLY),
        "drop_crc": frame(PING, crc=1),
        "drop_tag": frame(PING, flags=TAG),
    }
    before = counters(card)
    replies = exchange(card, [good, *bad.values(), good], replies=2)
    card.send(FrameBatch.from_list([good]), bad=np.array([True]))
    assert len(card.recv(8, TIMEOUT)) == 0, "a frame that the MAC found bad was answered"
    assert len(replies) == 2
    after = counters(card)
    change = {name: after[name] - before[name] for name in after if name.startswith("drop_")}
    assert change == {**dict.fromkeys(change, 0), **dict.fromkeys(bad, 1), "drop_mac_error": 1}
    answered = sum(after[name] - before[name] for name in ("replies", "partials", "errors", "acks"))
    assert after["rx_frames"] - before["rx_frames"] == answered + sum(change.values()) == 10


def test_update_writes_the_row_and_is_acknowledged(card: SimCard) -> None:
    new = np.zeros(STRIDE // 4, dtype=np.float32)
    new[:DIM] = np.arange(DIM, dtype=np.float32)
    exchange(card, [lookup([[6]])])  # the old row is in the cache now
    payload = struct.pack("<QQ", 99, 1) + key(6)
    payload = payload.ljust(64, b"\0") + new.tobytes()
    (reply,) = exchange(card, [frame(UPDATE, payload, keys=1, dim=DIM)])
    assert header(reply)["opcode"] == ACK
    assert struct.unpack("<QQ", reply[64:80]) == (99, 1)
    (reply,) = exchange(card, [lookup([[6]])])
    np.testing.assert_array_equal(np.frombuffer(reply[64:-4], dtype="<f4"), new)


def update(row: int, sequence: int) -> bytes:
    """An UPDATE of one row with ones."""
    payload = (struct.pack("<QQ", 5, sequence) + key(row)).ljust(64, b"\0")
    ones = np.zeros(STRIDE // 4, dtype=np.float32)
    ones[:DIM] = 1.0
    return frame(UPDATE, payload + ones.tobytes(), keys=1, dim=DIM)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_stopped_card_is_dead(card: SimCard, phase: Phase) -> None:
    frames = [lookup([[row, row + 1]], request_id=row) for row in range(8)] + [update(3, 1)]
    card.stop_on(phase, 1 if phase == Phase.UPDATE else 3)
    card.send(FrameBatch.from_list(frames))
    replies = []
    while len(batch := card.recv(64, TIMEOUT)):
        replies += batch.to_list()
    assert card.stopped, f"phase {phase.name} was never reached"
    for reply in replies:
        fields = header(reply)
        assert fields["opcode"] == REPLY, "the update must not be acknowledged"
        row = fields["request_id"]
        vector = np.frombuffer(reply[64:-4], dtype="<f4")[:DIM]
        np.testing.assert_array_equal(
            vector.view(np.uint32), pooled([row, row + 1]).view(np.uint32)
        )
    assert len(replies) < len(frames)
    with pytest.raises(DeviceTimeout):
        card.read32(0)
    with pytest.raises(DeviceTimeout):
        card.write32(REGISTERS["SCRATCH"].offset, 1)
    with pytest.raises(DeviceTimeout):
        card.read(4096, 64)
    with pytest.raises(DeviceTimeout):
        card.write(4096, np.zeros(64, dtype=np.uint8))
    before = card.cycle
    card.send(FrameBatch.from_list(frames))
    assert len(card.recv(64, TIMEOUT)) == 0
    assert card.cycle - before == round(TIMEOUT * card.clock_hz), "a dead card's time goes on"


def test_stop_after_a_number_of_cycles(card: SimCard) -> None:
    card.stop_after(500)
    evaluated = card.stats().evaluated
    card.step(2000)
    assert card.stopped
    assert card.stats().evaluated - evaluated == 500


def test_receive_times_out_on_the_cards_clock(card: SimCard) -> None:
    card.recv(1, 0.0)
    before = card.cycle
    assert len(card.recv(1, 0.0)) == 0
    assert card.cycle == before, "a timeout of 0 takes no time"
    assert len(card.recv(1, 1e-12)) == 0
    assert card.cycle == before + 1, "any other timeout takes time"
    before = card.cycle
    assert len(card.recv(1, 4e-3)) == 0
    assert card.cycle - before == round(4e-3 * card.clock_hz)
    assert card.stats().skipped > 0, "a core at rest is not simulated"
    assert len(exchange(card, [frame(PING)])) == 1


def test_memory_round_trip(card: SimCard) -> None:
    data = np.random.default_rng(3).integers(0, 256, 200_001, dtype=np.uint8)
    addr = card.alloc(data.size, 64) + 13
    card.write(addr, data)
    np.testing.assert_array_equal(card.read(addr, data.size), data)
    fresh = card.read(card.alloc(4096), 4096)
    assert not fresh.any(), "memory never written reads as zeros"
    assert card.alloc(1, 1 << 20) % (1 << 20) == 0
    with pytest.raises(ConfigError, match="not all inside"):
        card.read(card.dram.size // card.config.channels - 1, 2)
    with pytest.raises(ConfigError, match="card memory needs"):
        card.alloc(card.dram.size)
    with pytest.raises(ConfigError, match="uint8"):
        card.write(addr, np.zeros(4, dtype=np.float32))  # type: ignore[arg-type]


def test_same_seed_same_cycles() -> None:
    def run() -> list[list[int]]:
        with SimCard("tiny", build="checked", seed=5, dram=DramModel(jitter=9, seed=2)) as card:
            prepare(card)
            card.configure(tx_stall=0.3, memory_stall=0.2)
            card.record_frames(True)
            exchange(card, [lookup([[row, 39 - row]], request_id=row) for row in range(6)])
            received, sent, answers = card.frame_stamps()
            assert (sent[answers >= 0] > received[answers[answers >= 0]]).all()
            return [received.tolist(), sent.tolist(), answers.tolist()]

    first = run()
    assert first == run()
    assert first[2] == list(range(6))


def test_line_rate_spaces_the_frames(card: SimCard) -> None:
    card.set_line_rate(10.0)  # 5 bytes a cycle at 250 MHz
    card.record_frames(True)
    frames = [frame(PING, request_id=number) for number in range(20)]
    exchange(card, frames)
    received, sent, _ = card.frame_stamps()
    per_frame = (68 + 24) / 5
    assert abs((received[-1] - received[0]) / 19 - per_frame) < 1.0
    assert (sent[-1] - sent[0]) / 19 >= per_frame - 1.0


def test_memory_timing_follows_the_knobs() -> None:
    def cycles(dram: DramModel) -> int:
        with SimCard("tiny", build="checked", dram=dram) as card:
            prepare(card)
            card.record_frames(True)
            exchange(card, [lookup([[1]])])
            received, sent, _ = card.frame_stamps()
            return int(sent[0] - received[0])

    quick = DramModel(base_latency=10, hit_latency=5, miss_latency=5, jitter=0, refresh_period=0)
    slow = DramModel(base_latency=410, hit_latency=5, miss_latency=5, jitter=0, refresh_period=0)
    assert cycles(slow) - cycles(quick) == 400


def test_a_reset_takes_what_memory_owes_with_it() -> None:
    """Reads asked for before a reset are not answered after it, when their IDs are of other lines."""
    bags = [[row, row + 1, row + 2] for row in range(0, 30, 3)]
    with SimCard("tiny", build="checked", dram=DramModel(base_latency=400)) as card:
        for cycles in range(60, 900, 120):
            prepare(card)
            card.send(FrameBatch.from_list([lookup(bags)]))
            card.step(cycles)
            card.reset()
            prepare(card)
            (reply,) = exchange(card, [lookup(bags)])
            vectors = np.frombuffer(reply[64:-4], dtype="<f4").reshape(len(bags), STRIDE // 4)
            for vector, bag in zip(vectors, bags, strict=True):
                np.testing.assert_array_equal(vector[:DIM], pooled(bag))
            assert counters(card)["memory_late"] == 0
            card.reset()


def test_probe_window(card: SimCard) -> None:
    card.record_probe(100, skip=10)
    start, words = card.probe()
    assert len(words) == 0
    before = card.probe_counts()
    at = card.cycle
    card.step(200)
    start, words = card.probe()
    assert (start, len(words), words.dtype) == (at + 10, 100, np.uint32)
    change = card.probe_counts() - before
    assert change[8:12].sum() == 200, "the pool says one of four things in every cycle"


def test_use_after_close() -> None:
    card = SimCard("tiny", build="checked")
    card.close()
    card.close()
    with pytest.raises(ClosedError):
        card.read32(0)


def test_bad_arguments(card: SimCard) -> None:
    with pytest.raises(ConfigError, match="tiny"):
        SimCard("huge")
    with pytest.raises(ConfigError, match="offset"):
        card.read32(2)
    with pytest.raises(ConfigError, match="refresh"):
        DramModel(refresh_period=10, refresh_cycles=10)
    with pytest.raises(ConfigError, match="probability"):
        card.configure(tx_stall=1.0)


@pytest.mark.parametrize("config", ["mini", pytest.param("tiny", marks=pytest.mark.slow)])
def test_waveforms(config: str, tmp_path: Any) -> None:
    file = tmp_path / "run.vcd"
    with SimCard(config, trace=file) as card:
        card.step(50)
    assert file.stat().st_size > 10_000
