# SPDX-License-Identifier: Apache-2.0
"""embnic.wire: round trips, twins, limits, and everything that can be wrong with a frame.

Every test runs with both codecs. The seed of the random tests is printed; EMBNIC_SEED sets it.
"""

from __future__ import annotations

import importlib
import os
import random

import numpy as np
import pytest

from embnic import wire, wire_numpy
from embnic.errors import ConfigError
from embnic.gen.wire import (
    CRC_CHECK,
    FRAME_OVERHEAD,
    HEADER_VALUES,
    MAX_FRAME_BYTES,
    NULL_ROW,
    DropReason,
    DType,
    Flag,
    Opcode,
    Status,
)

ROUTE = wire.Route(
    wire.Endpoint("02:00:00:00:00:01", "10.0.0.1", 40000),
    wire.Endpoint("02:00:00:00:00:02", "10.0.0.2"),
)
EVERY_OPCODE = frozenset(Opcode)
LARGEST = MAX_FRAME_BYTES - FRAME_OVERHEAD
LAST = 1 << 63


@pytest.fixture
def rng() -> np.random.Generator:
    seed = int(os.environ.get("EMBNIC_SEED") or random.SystemRandom().randrange(1 << 31))
    print(f"EMBNIC_SEED={seed}")
    return np.random.default_rng(seed)


@pytest.fixture(params=["numpy", "native"], autouse=True)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make `wire` work with one of its two codecs."""
    module = wire_numpy
    if request.param == "native":
        module = pytest.importorskip("embnic._native", reason="the native extension is not built")
    monkeypatch.setattr(wire, "_codec", module)
    assert wire.codec_name() == request.param
    return request.param


def random_headers(rng: np.random.Generator, count: int) -> np.ndarray:
    headers = np.zeros(count, HEADER_VALUES)
    for name in HEADER_VALUES.names or ():
        top = np.iinfo(HEADER_VALUES[name]).max
        edges = rng.choice([0, top], count)
        headers[name] = np.where(
            rng.random(count) < 0.2, edges, rng.integers(0, top, count, endpoint=True)
        )
    plain = wire.new_headers(count, Opcode.PING)
    for name in ("magic", "version"):
        headers[name] = plain[name]
    headers["opcode"] = rng.choice([int(opcode) for opcode in Opcode], count)
    headers["flags"] &= 0x7D  # no reserved bit, no tag
    headers["dtype"] = rng.choice([int(dtype) for dtype in DType], count)
    headers["status"] = rng.choice([int(status) for status in Status], count)
    return headers


def random_frames(rng: np.random.Generator, count: int, largest: int = 1440) -> wire.FrameBatch:
    sizes = rng.integers(0, largest // 8, count, endpoint=True) * 8
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    payload = rng.integers(0, 256, int(offsets[-1]), np.uint8)
    return wire.encode(ROUTE, random_headers(rng, count), payload, offsets)


# --- round trips ---------------------------------------------------------------------------------
def test_what_is_encoded_is_decoded(rng: np.random.Generator) -> None:
    for count in (0, 1, 2, 300):
        headers = random_headers(rng, count)
        sizes = rng.integers(0, 180, count) * 8
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        payload = rng.integers(0, 256, int(offsets[-1]), np.uint8)
        frames = wire.encode(ROUTE, headers, payload, offsets)
        found = wire.decode(frames, port=17742, opcodes=EVERY_OPCODE)
        assert found.reasons.tolist() == [-1] * count
        assert found.headers.tolist() == headers.tolist()
        assert found.bad == 0
        assert found.drops() == {}
        for index in range(count):
            expected = payload[offsets[index] : offsets[index + 1]]
            assert found.payload(index).tobytes() == expected.tobytes()
            assert np.shares_memory(found.payload(index), frames.data) or not len(expected)


def test_iteration_gives_the_accepted_frames_in_order(rng: np.random.Generator) -> None:
    headers = wire.new_headers(5, Opcode.REPLY)
    headers["request_id"] = [10, 11, 12, 13, 14]
    headers["dim"], headers["status"] = 64, Status.BUSY
    frames = wire.encode(ROUTE, headers, np.zeros(320, np.uint8), np.arange(6) * 64)
    broken = frames.data.copy()
    broken[frames.offsets[2] + 50] ^= 1
    found = wire.decode(wire.FrameBatch(broken, frames.offsets))
    assert [request_id for request_id, _, _ in found] == [10, 11, 13, 14]
    assert next(iter(found))[1] == (int(Opcode.REPLY), int(Status.BUSY), 0, 0, 0, 64)
    assert found.drops() == {DropReason.CRC: 1}
    assert found.bad == 1
    assert found.headers[2].tolist() == (0,) * len(HEADER_VALUES)


def test_both_codecs_agree_on_anything(rng: np.random.Generator) -> None:
    """Frames, damaged frames and noise: the same verdict, header and payload from both."""
    native = pytest.importorskip("embnic._native", reason="the native extension is not built")
    frames = []
    for frame in random_frames(rng, 400, 200).to_list():
        damaged = bytearray(frame)
        kind = rng.integers(4)
        if kind == 1:
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            damaged = damaged[: rng.integers(len(damaged))]
        elif kind == 3:
            damaged += bytes(int(rng.integers(20)))
        frames.append(bytes(damaged))
    frames += [rng.integers(0, 256, int(rng.integers(120)), np.uint8).tobytes() for _ in range(50)]
    batch = wire.FrameBatch.from_list(frames)
    results = []
    for module in (native, wire_numpy):
        wire._codec = module
        found = wire.decode(batch, port=17742, opcodes=wire.REQUESTS)
        results.append((found.reasons.tolist(), found.headers.tolist(), found.payloads.tolist()))
    assert results[0] == results[1]
    assert len(set(results[0][0])) >= 5, "the test must see several reasons"


def test_crc32c(rng: np.random.Generator) -> None:
    assert wire.crc32c(b"123456789") == CRC_CHECK
    assert wire.crc32c(b"") == 0
    for length in range(40):
        data = rng.integers(0, 256, length, np.uint8).tobytes()
        remainder = 0xFFFFFFFF
        for bit in (byte >> position & 1 for byte in data for position in range(8)):
            remainder = (remainder >> 1) ^ (0x82F63B78 if (remainder ^ bit) & 1 else 0)
        assert wire.crc32c(data) == remainder ^ 0xFFFFFFFF, data.hex()


def test_the_codecs_crc_agree_on_every_length(rng: np.random.Generator) -> None:
    """Ranges of one array, mixed lengths; the native one in its generic form too."""
    native = pytest.importorskip("embnic._native", reason="the native extension is not built")
    data = rng.integers(0, 256, 50_000, np.uint8)
    lengths = np.concatenate([np.arange(4, 200), rng.integers(4, 16_384, 40)])
    starts = (rng.random(len(lengths)) * (len(data) - lengths)).astype(np.int64)
    found = []
    for module in (native, wire_numpy):
        out = np.zeros(len(lengths), np.uint32)
        module.crc32c_batch(data, starts, lengths, out)
        found.append(out.tolist())
    spans = zip(starts.tolist(), lengths.tolist(), strict=True)
    generic = [native.crc32c_generic(data[start : start + length]) for start, length in spans]
    assert found[0] == found[1] == generic


# --- what must not be accepted -------------------------------------------------------------------
def test_a_frame_cut_at_any_byte_is_not_accepted(rng: np.random.Generator) -> None:
    (whole,) = random_frames(rng, 1, 64).to_list()
    cut = wire.FrameBatch.from_list([whole[:length] for length in range(len(whole))])
    found = wire.decode(cut, opcodes=EVERY_OPCODE)
    # Up to our magic there is nothing of ours; from there on the length is wrong.
    expected = [DropReason.NOT_OURS] * 44 + [DropReason.LENGTH] * (len(whole) - 44)
    assert found.reasons.tolist() == expected


def test_no_single_bit_flip_behind_the_addresses_is_accepted(rng: np.random.Generator) -> None:
    """Every bit from the EtherType on but UDP source port and checksum, which nothing covers."""
    headers = random_headers(rng, 1)
    payload = rng.integers(0, 256, 40, np.uint8)
    frame = wire.encode(ROUTE, headers, payload, np.array([0, 40])).data
    uncovered = {*range(34, 36), *range(40, 42)}  # UDP source port and checksum
    bits = [bit for bit in range(8 * 12, 8 * len(frame)) if bit // 8 not in uncovered]
    flipped = np.repeat(frame[None], len(bits), axis=0)
    flipped[np.arange(len(bits)), np.array(bits) // 8] ^= (1 << (np.array(bits) % 8)).astype(
        np.uint8
    )
    batch = wire.FrameBatch(flipped.reshape(-1), np.arange(len(bits) + 1) * len(frame))
    found = wire.decode(batch, port=17742, opcodes=EVERY_OPCODE)
    accepted = [bits[index] for index in np.flatnonzero(found.valid)]
    assert accepted == []
    behind_header = [index for index, bit in enumerate(bits) if bit >= 8 * 48]
    assert {DropReason(reason) for reason in found.reasons[behind_header]} == {DropReason.CRC}


def test_noise_is_not_accepted(rng: np.random.Generator) -> None:
    frames = [
        rng.integers(0, 256, int(size), np.uint8).tobytes() for size in rng.integers(0, 2000, 200)
    ]
    found = wire.decode(wire.FrameBatch.from_list([*frames, b""]), opcodes=EVERY_OPCODE)
    assert found.reasons.tolist() == [DropReason.NOT_OURS] * 201


def test_a_noisy_payload_behind_good_headers_is_not_accepted(rng: np.random.Generator) -> None:
    batch = random_frames(rng, 200)
    data = batch.data.copy()
    for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
        data[start + 64 : stop] = rng.integers(0, 256, stop - start - 64, np.uint8)
    found = wire.decode(wire.FrameBatch(data, batch.offsets), opcodes=EVERY_OPCODE)
    assert found.drops() == {DropReason.CRC: 200}


def test_the_first_reason_counts() -> None:
    """Start with everything wrong and repair it in the order of the reasons."""
    frame = bytearray(wire.encode_ping(ROUTE, np.array([5], np.uint32)).to_list()[0])
    good = bytes(frame)
    frame[42] ^= 1  # magic
    frame[39] ^= 8  # UDP length
    frame[24] ^= 1  # IPv4 checksum
    frame[44] ^= 1  # version
    frame[46] ^= 0x80  # reserved flag
    frame[60] ^= 1  # dim: the CRC
    repairs = [
        (DropReason.NOT_OURS, 42),
        (DropReason.LENGTH, 39),
        (DropReason.IP_CHECKSUM, 24),
        (DropReason.VERSION, 44),
    ]
    for reason, byte in repairs:
        assert reasons_of(bytes(frame)) == [reason]
        frame[byte] = good[byte]
    assert reasons_of(bytes(frame)) == [DropReason.HEADER]
    frame[46] = good[46]
    assert reasons_of(bytes(frame)) == [DropReason.CRC]
    frame[60] = good[60]
    assert reasons_of(bytes(frame)) == [-1]


def reasons_of(frame: bytes) -> list[int]:
    frames = wire.FrameBatch.from_list([frame])
    return wire.decode(frames, port=17742, opcodes=wire.REQUESTS).reasons.tolist()


def test_bytes_behind_the_udp_length_are_ignored() -> None:
    frame = wire.encode_ping(ROUTE, np.array([5], np.uint32)).to_list()[0]
    for extra in (1, 7, 100):
        assert reasons_of(frame + bytes(extra)) == [-1]


@pytest.mark.parametrize(
    ("byte", "value"),
    [(12, 0x86), (14, 0x46), (14, 0x65), (20, 0x60), (21, 0x01), (23, 6), (36, 0x46), (43, 0xEA)],
    ids=["ethertype", "options", "version 6", "more fragments", "fragment", "tcp", "port", "magic"],
)
def test_what_is_not_plain_udp_to_us_is_not_ours(byte: int, value: int) -> None:
    frame = bytearray(wire.encode_ping(ROUTE, np.array([5], np.uint32)).to_list()[0])
    assert frame[byte] != value
    frame[byte] = value
    assert reasons_of(bytes(frame)) == [DropReason.NOT_OURS]


# --- limits --------------------------------------------------------------------------------------
def test_the_longest_frame(rng: np.random.Generator) -> None:
    payload = rng.integers(0, 256, LARGEST // 8 * 8, np.uint8)
    frames = wire.encode(
        ROUTE, wire.new_headers(1, Opcode.REPLY), payload, np.array([0, len(payload)])
    )
    assert wire.decode(frames).payload(0).tobytes() == payload.tobytes()


def test_a_frame_longer_than_any_is_not_accepted() -> None:
    frame = wire.encode_ping(ROUTE, np.array([5], np.uint32)).to_list()[0]
    assert reasons_of(frame.ljust(MAX_FRAME_BYTES, b"\0")) == [-1]
    assert reasons_of(frame.ljust(MAX_FRAME_BYTES + 1, b"\0")) == [DropReason.LENGTH]


@pytest.mark.parametrize("size", [LARGEST // 8 * 8 + 8, 4, 12])
def test_a_payload_of_a_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match="multiples of 8"):
        wire.encode(
            ROUTE, wire.new_headers(1, Opcode.REPLY), np.zeros(size, np.uint8), np.array([0, size])
        )


def test_headers_and_payloads_must_match() -> None:
    with pytest.raises(ConfigError, match="2 headers and 1 payloads"):
        wire.encode(
            ROUTE, wire.new_headers(2, Opcode.PING), np.zeros(0, np.uint8), np.zeros(2, np.int64)
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("02:00:00:00:00", "10.0.0.1", 1), "mac"),
        (("02:00:00:00:00:0g", "10.0.0.1", 1), "mac"),
        (("02:00:00:00:00:01", "10.0.0", 1), "ip"),
        (("02:00:00:00:00:01", "::1", 1), "ip"),
        (("02:00:00:00:00:01", "10.0.0.1", 0), "port"),
        (("02:00:00:00:00:01", "10.0.0.1", 65536), "port"),
    ],
)
def test_an_endpoint_that_cannot_be(arguments: tuple[str, str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        wire.Endpoint(*arguments)


# --- keys and entries ----------------------------------------------------------------------------
def test_make_keys_against_plain_loops(rng: np.random.Generator) -> None:
    for _ in range(30):
        lengths = rng.integers(0, 4, int(rng.integers(0, 12)))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        rows = rng.choice([0, 1, 77, NULL_ROW - 1], int(offsets[-1]))
        table = int(rng.choice([0, 5, (1 << 15) - 1]))
        expected, edges, where = [], [0], []
        for first, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            for row in rows[first:stop].tolist():
                where.append(len(expected))
                expected.append(table << 48 | row)
            if first == stop:
                expected.append(table << 48 | NULL_ROW)
            expected[-1] |= LAST
            edges.append(len(expected))
        found = wire.make_keys(table, rows, offsets)
        assert found.keys.tolist() == expected
        assert found.offsets.tolist() == edges
        assert found.positions.tolist() == where


@pytest.mark.parametrize(
    ("table", "rows", "offsets", "words"),
    [
        (1 << 15, [1], [0, 1], "table is 32768"),
        (-1, [1], [0, 1], "table is -1"),
        (0, [-1], [0, 1], "rows are -1"),
        (0, [NULL_ROW], [0, 1], "rows are"),
        (0, [1, 2], [0, 1], "offsets"),
        (0, [1, 2], [1, 2], "offsets"),
        (0, [1, 2], [0, 2, 1, 2], "offsets"),
        (0, [1], [], "offsets"),
    ],
)
def test_make_keys_refuses(table: int, rows: list[int], offsets: list[int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        wire.make_keys(table, np.array(rows), np.array(offsets, np.int64))


def test_a_lookup_carries_counts_weights_and_accumulators(rng: np.random.Generator) -> None:
    keys = wire.make_keys(3, np.arange(6), np.array([0, 2, 2, 5, 6]))
    weights = rng.random(len(keys.keys), np.float32)
    splits = np.array([0, 3, 7])
    held = rng.integers(0, 256, (2, 192), np.uint8)
    headers = wire.new_headers(2, Opcode.PING)
    headers["flags"] = Flag.CONTINUES
    frames = wire.encode_lookup(
        ROUTE, headers, wire.Entries(keys.keys, splits, weights), accumulators=held
    )
    found = wire.decode(frames, opcodes=wire.REQUESTS)
    assert found.headers["opcode"].tolist() == [Opcode.LOOKUP] * 2
    assert found.headers["bags"].tolist() == [2, 2]
    assert found.headers["keys"].tolist() == [3, 4]
    assert (
        found.headers["flags"].tolist() == [Flag.CONTINUES | Flag.WEIGHTED | Flag.ACCUMULATOR] * 2
    )
    assert headers["flags"].tolist() == [Flag.CONTINUES] * 2, "the caller's headers are not touched"
    for index, (first, stop) in enumerate([(0, 3), (3, 7)]):
        payload = found.payload(index)
        assert payload[:192].tobytes() == held[index].tobytes()
        entries = payload[192:].tobytes()
        for at, entry in enumerate(range(first, stop)):
            assert entries[16 * at : 16 * at + 8] == int(keys.keys[entry]).to_bytes(8, "little")
            assert entries[16 * at + 8 : 16 * at + 12] == weights[entry].tobytes()
            assert entries[16 * at + 12 : 16 * at + 16] == bytes(4)


def test_bags_are_counted_by_last_bits() -> None:
    """Also of the smallest keys and the largest."""
    keys = np.array([0, LAST, LAST - 1, LAST + 1, 2 * LAST - 1, LAST, 5], np.uint64)
    entries = wire.Entries(keys, np.array([0, 0, 2, 3, 6, 7]))
    assert entries.bags().tolist() == [0, 1, 0, 3, 0]


def test_an_update_is_padded_before_its_rows(rng: np.random.Generator) -> None:
    """Every number of keys from 1 to 9: stamp and keys fill up to 64 bytes, then the rows."""
    counts = np.arange(1, 10)
    splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    keys = rng.integers(0, 1 << 63, int(splits[-1]), np.uint64)
    rows = rng.integers(0, 256, (len(keys), 128), np.uint8)
    stamps = rng.integers(0, 1 << 63, (9, 2), np.uint64)
    headers, entries = wire.new_headers(9, Opcode.UPDATE), wire.Entries(keys, splits)
    updates = wire.decode(
        wire.encode_update(ROUTE, headers, entries, stamps=stamps, rows=rows), opcodes=wire.REQUESTS
    )
    drops = wire.decode(
        wire.encode_invalidate(ROUTE, headers, entries, stamps=stamps), opcodes=wire.REQUESTS
    )
    assert updates.headers["bags"].tolist() == [0] * 9
    for index, count in enumerate(counts.tolist()):
        own = slice(splits[index], splits[index + 1])
        head = stamps[index].tobytes() + keys[own].tobytes()
        head += bytes(-len(head) % 64)
        assert drops.payload(index).tobytes() == head
        assert updates.payload(index).tobytes() == head + rows[own].tobytes()
        assert updates.headers["keys"][index] == count


def test_entries_that_cannot_be() -> None:
    keys = np.zeros(3, np.uint64)
    for splits in ([0, 2], [1, 3], [0, 3, 2, 3], []):
        with pytest.raises(ConfigError, match="splits"):
            wire.Entries(keys, np.array(splits, np.int64))
    with pytest.raises(ConfigError, match="keys are int64"):
        wire.Entries(keys.astype(np.int64), np.array([0, 3]))  # type: ignore[arg-type]
    for weights in (np.zeros(2, np.float32), np.zeros(3, np.float64)):
        with pytest.raises(ConfigError, match="weights"):
            wire.Entries(keys, np.array([0, 3]), weights)


def test_requests_that_cannot_be() -> None:
    one = wire.Entries(np.zeros(1, np.uint64), np.array([0, 1]))
    header, stamp = wire.new_headers(1, Opcode.UPDATE), np.zeros((1, 2), np.uint64)
    with pytest.raises(ConfigError, match="2 headers"):
        wire.encode_lookup(ROUTE, wire.new_headers(2, Opcode.LOOKUP), one)
    with pytest.raises(ConfigError, match="rows are"):
        wire.encode_update(ROUTE, header, one, stamps=stamp, rows=np.zeros((1, 60), np.uint8))
    with pytest.raises(ConfigError, match="stamps are"):
        wire.encode_invalidate(ROUTE, header, one, stamps=np.zeros((2, 2), np.uint64))
    with pytest.raises(ConfigError, match="accumulators are"):
        wire.encode_lookup(ROUTE, header, one, accumulators=np.zeros((1, 60), np.uint8))
    weighted = wire.Entries(one.keys, one.splits, np.ones(1, np.float32))
    with pytest.raises(ConfigError, match="weights"):
        wire.encode_invalidate(ROUTE, header, weighted, stamps=stamp)
    many = wire.Entries(np.zeros(65_536, np.uint64), np.array([0, 65_536]))
    with pytest.raises(ConfigError, match="65536 keys"):
        wire.encode_lookup(ROUTE, header, many)


# --- batches -------------------------------------------------------------------------------------
def test_batches_are_cut_and_joined(rng: np.random.Generator) -> None:
    frames = [
        rng.integers(0, 256, int(size), np.uint8).tobytes() for size in rng.integers(0, 50, 9)
    ]
    batch = wire.FrameBatch.from_list(frames)
    assert batch.to_list() == frames
    assert (len(batch), batch.nbytes) == (9, sum(map(len, frames)))
    assert wire.concat([batch[:4], batch[4:4], batch[4:]]).to_list() == frames
    assert np.shares_memory(batch[2:5].data, batch.data) or not batch[2:5].nbytes
    assert [batch.frame(index).tobytes() for index in range(9)] == frames
    assert len(batch[7:3]) == 0
    assert wire.concat([]).to_list() == wire.FrameBatch.empty().to_list() == []
    assert len(wire.decode(wire.FrameBatch.empty())) == 0
    with pytest.raises(ConfigError, match="step"):
        batch[::2]


def test_the_native_codec_refuses_arrays_that_do_not_fit() -> None:
    """A wrong call from Python must not write out of bounds."""
    native = pytest.importorskip("embnic._native", reason="the native extension is not built")
    data, prefix = np.zeros(100, np.uint8), np.zeros(42, np.uint8)
    out = np.zeros(1, np.uint32)
    for start, length in ((0, 101), (-1, 5), (90, 11), (5, -1)):
        with pytest.raises(ValueError, match="range"):
            native.crc32c_batch(data, np.array([start]), np.array([length]), out)
    headers = np.zeros((1, 22), np.uint8)
    for offsets, size in (([0, 8], 75), ([0, 104], 172), ([8, 0], 60), ([-8, 0], 76)):
        with pytest.raises(ValueError, match=r"out|offsets"):
            native.encode_frames(prefix, headers, data, np.array(offsets), np.zeros(size, np.uint8))
    with pytest.raises(ValueError, match="headers"):
        native.encode_frames(prefix, headers[:0], data, np.array([0, 8]), np.zeros(76, np.uint8))
    reasons, payloads = np.zeros(1, np.int8), np.zeros((1, 2), np.int64)
    with pytest.raises(ValueError, match="offsets"):
        native.decode_frames(
            data, np.array([0, 101]), -1, np.zeros(256, np.uint8), headers, payloads, reasons
        )


def test_without_the_extension_numpy_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def missing(name: str, package: str | None = None) -> object:
        if name == "embnic._native":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(wire.importlib, "import_module", missing)
    assert wire._load_codec() is wire_numpy
