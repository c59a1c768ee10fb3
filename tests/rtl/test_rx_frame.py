# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_rx_frame: frames are accepted whole or dropped for the right reason."""

import struct
from collections import Counter as Tally
from collections import deque
from typing import Any

import cocotb
import pytest
from net_frames import (
    ERROR,
    HEADER,
    LOOKUP,
    MAGIC,
    PING,
    PORT,
    REPLY,
    REQUESTS,
    TAG,
    UPDATE,
    Frame,
    beats,
    crc32c,
    ip_checksum,
    random_frame,
)

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

NOT_OURS, MAC_ERROR, LENGTH, IP_CHECKSUM, VERSION, HEADER_BAD, CRC, OVERLOAD, TAGGED = range(9)
NAMES = (
    "not ours",
    "mac error",
    "length",
    "ip checksum",
    "version",
    "header",
    "crc",
    "overload",
    "tag",
)
OK = -1
MAX_BYTES = 16384


def classify(data: bytes, mac_error: bool, port: int) -> int:
    """Return the reason for which a card with room drops these bytes, or OK."""
    shown = data + bytes(max(0, 64 - len(data)))
    magic, version, opcode, flags = struct.unpack_from("<HBBB", shown, 42)
    ip_length, fragment, udp_port, udp_length = (
        int.from_bytes(shown[at : at + 2], "big") for at in (16, 20, 36, 38)
    )
    trailer = 8 if flags & TAG else 4
    payload = udp_length - 8 - HEADER.size - trailer
    if mac_error:
        return MAC_ERROR
    if (
        shown[12:15] != b"\x08\x00\x45"
        or shown[23] != 17
        or fragment & 0x3FFF
        or udp_port != port
        or magic != MAGIC
    ):
        return NOT_OURS
    if ip_length != udp_length + 20 or payload < 0 or payload % 8 or len(data) < 34 + udp_length:
        return LENGTH
    if 34 + udp_length > MAX_BYTES or len(data) > MAX_BYTES:
        return LENGTH
    if ip_checksum(shown[14:34]) != int.from_bytes(shown[24:26], "big"):
        return IP_CHECKSUM
    if version != 1:
        return VERSION
    if flags & 0x80 or opcode not in REQUESTS:
        return HEADER_BAD
    if flags & TAG:
        return TAGGED
    message = data[42 : 34 + udp_length - 4]
    return (
        OK
        if crc32c(message) == int.from_bytes(data[34 + udp_length - 4 : 34 + udp_length], "little")
        else CRC
    )


class KeyStore:
    """Agent: gives the space of taken frames back, in order, when the test says."""

    def __init__(self, bench: "RxBench") -> None:
        self.bench = bench
        self.go = lambda: True
        self.reset()

    def reset(self) -> None:
        """All space is free."""
        self.held: deque[int] = deque()
        self.bench.drive(ks_free_valid=0, ks_free_beats=0)

    def tick(self) -> None:
        """One clock edge."""
        if self.held and self.go():
            self.bench.drive(ks_free_valid=1, ks_free_beats=self.held.popleft())
        else:
            self.bench.drive(ks_free_valid=0)


class Expected:
    """Agent without pins: what was sent and where the key store's pointer must be."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing sent."""
        self.sent: deque[tuple[bytes, int, Frame | None]] = deque()
        self.pointer = 0

    def tick(self) -> None:
        """One clock edge."""


class RxBench(Bench):
    """Frames in; verdicts, frames and the key store's contents are compared."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.structs = load_structs()
        self.width, self.ks_beats, self.frames = (
            self.params[key] for key in ("DATA_W", "KS_BEATS", "FRAMES")
        )
        self.step = self.width // 8
        self.port = PORT
        self.enabled = True
        self.drive(cfg_enable=1, cfg_udp_port=PORT)
        self.expected = self.add(Expected())
        self.verdicts = self.scoreboard("verdicts")
        self.taken = self.scoreboard("frames", struct=self.structs["frame_t"])
        self.payloads = self.scoreboard("payloads")
        self.store: dict[int, int] = {}
        self.ram_write_port("ks_wr", self.store)
        self.monitor(
            "evt_rx_frame", ["evt_rx_bytes", "evt_rx_drop", "evt_rx_accept"], self._verdict
        )
        self.source = self.stream_source("s_axis_rx")
        self.sink = self.stream_sink("m_axis_frame", self._frame)
        self.key_store = self.add(KeyStore(self))
        self.tally: Tally[int] = Tally()
        self.received = self.count("evt_rx_frame")
        self.frames_sent = 0
        self.strict = True  # OVERLOAD is a failure

    # Stimulus

    def send(
        self,
        frame: Frame | bytes,
        *,
        mac_error: bool = False,
        reason: int | None = None,
        rubbish: bytes = b"",
    ) -> None:
        """Queue a frame and what must become of it; `reason` states what the model must find."""
        data = frame if isinstance(frame, bytes) else frame.build()
        verdict = classify(data, mac_error, self.port) if self.enabled else OVERLOAD
        assert reason is None or verdict == reason, f"the model says {verdict}, the test {reason}"
        self.expected.sent.append((data, verdict, frame if isinstance(frame, Frame) else None))
        self.frames_sent += 1
        for data_word, keep, last in beats(data, self.width, rubbish):
            # In the middle of a frame tuser means nothing.
            self.source.send(
                (data_word, keep, last, int(mac_error) if last else self.random.getrandbits(1))
            )

    # Checks

    def _verdict(self, fields: tuple[int, int, int]) -> None:
        size, drop, accept = fields
        data, verdict, frame = self.expected.sent.popleft()
        overload = verdict == OK and drop == 1 << OVERLOAD
        assert not (overload and self.strict), f"frame of {len(data)} bytes dropped: overload"
        want = verdict if not overload else OVERLOAD
        self.verdicts.expect(
            (min(len(data), 65535), 0 if want == OK else 1 << want, int(want == OK))
        )
        self.verdicts.check((size, drop, accept))
        self.tally[want] += 1
        if want == OK:
            self._expect_frame(data, frame)

    def _expect_frame(self, data: bytes, frame: Frame | None) -> None:
        udp_length = int.from_bytes(data[38:40], "big")
        payload = data[64 : 34 + udp_length - 4]
        count = -(-len(payload) // self.step)
        names = ["magic", "version", "opcode", "flags", "kind", "tenant", "request_id"]
        names += ["first_bag", "bags", "keys", "dim", "snapshot"]
        hdr: dict[str, int] = dict(zip(names, HEADER.unpack_from(data, 42), strict=True))
        kind = hdr.pop("kind")
        hdr |= {"dtype": kind & 15, "status": kind >> 4}
        if frame is not None:  # the builder's own values, not what was read back
            assert payload == frame.payload
            hdr = {name: getattr(frame, name) for name in hdr}
        word = self.structs["frame_t"].pack(
            mac_dst=int.from_bytes(data[0:6], "big"),
            mac_src=int.from_bytes(data[6:12], "big"),
            ip_src=int.from_bytes(data[26:30], "big"),
            ip_dst=int.from_bytes(data[30:34], "big"),
            port_src=int.from_bytes(data[34:36], "big"),
            port_dst=int.from_bytes(data[36:38], "big"),
            hdr=hdr,
            payload_len=len(payload),
            ks_addr=self.expected.pointer,
            ks_beats=count,
        )
        self.taken.expect(word)
        self.payloads.expect(payload)
        self.expected.pointer = (self.expected.pointer + count) % self.ks_beats

    def _frame(self, word: int) -> None:
        self.taken.check(word)
        seen = self.structs["frame_t"].unpack(word)
        addresses = [(seen["ks_addr"] + index) % self.ks_beats for index in range(seen["ks_beats"])]
        data = b"".join(self.store[addr].to_bytes(self.step, "little") for addr in addresses)
        self.payloads.check(data[: seen["payload_len"]])
        self.key_store.held.append(seen["ks_beats"])

    def idle(self) -> bool:
        """Every frame got a verdict and all space is back."""
        return not self.expected.sent and not self.key_store.held

    def conserved(self) -> None:
        """Received = accepted + dropped by reason."""
        assert self.received.total == self.frames_sent == sum(self.tally.values()), (
            f"sent {self.frames_sent}, received {self.received.total}, verdicts {dict(self.tally)}"
        )

    async def settle(self) -> None:
        """Drain, then check that nothing was lost from the books."""
        await self.drain()
        self.conserved()


@cocotb.test()
async def directed(dut: Any) -> None:
    """A LOOKUP of three keys, byte by byte, and the latency that the header names."""
    bench = RxBench(dut)
    await bench.reset()
    last: list[int] = []
    out: list[int] = []
    bench.source.on_sent = lambda word: last.append(bench.cycle) if word[2] else None
    bench.monitor(
        "m_axis_frame_tvalid", ["m_axis_frame_tdata"], lambda word: out.append(bench.cycle)
    )
    payload = b"".join(struct.pack("<Q", key) for key in (1, 2, 3 | 1 << 63))
    bench.send(Frame(payload=payload, keys=3, bags=1), reason=OK)
    await bench.settle()
    seen = b"".join(
        bench.store[index].to_bytes(bench.step, "little") for index in range(-(-24 // bench.step))
    )
    assert seen[:24] == payload
    assert out[0] - last[0] == (11 if bench.width == 128 else 13), f"latency {out[0] - last[0]}"


@cocotb.test()
async def every_reason(dut: Any) -> None:
    """Each fault by itself between good frames, and what is no fault."""
    bench = RxBench(dut)
    await bench.reset()
    good = Frame(payload=bench.random.randbytes(48))
    empty = Frame(opcode=PING)
    cases = [
        (good, OK),
        (empty, OK),
        (empty.but(padding=bytes(3)), OK),
        (good.but(padding=bench.random.randbytes(300)), OK),
        (good.but(fragment=0), OK),
        (good.but(ttl=1, ident=0xBEEF), OK),
        (good.but(ether_type=0x86DD), NOT_OURS),
        (good.but(ether_type=0x8100), NOT_OURS),
        (good.but(version_ihl=0x46), NOT_OURS),
        (good.but(version_ihl=0x65), NOT_OURS),
        (good.but(fragment=0x2000), NOT_OURS),
        (good.but(fragment=0x0001), NOT_OURS),
        (good.but(protocol=6), NOT_OURS),
        (good.but(port_dst=PORT + 1), NOT_OURS),
        (good.but(magic=0x1CEB), NOT_OURS),
        (b"\x00", NOT_OURS),
        (good.build()[:43], NOT_OURS),
        (good.build()[:44], LENGTH),
        (good.build()[:63], LENGTH),
        (good.build()[:64], LENGTH),
        (good.but(cut=1), LENGTH),
        (good.but(cut=20), LENGTH),
        (empty.but(cut=4), LENGTH),
        (good.but(ip_length_error=8, padding=bytes(8)), LENGTH),
        (good.but(ip_length_error=-8), LENGTH),
        (good.but(udp_length_error=4, padding=bytes(8)), LENGTH),
        (empty.but(udp_length_error=-1), LENGTH),
        (empty.but(udp_length_error=-8), LENGTH),
        (good.but(payload=bytes(12)), LENGTH),
        (good.but(checksum_error=1), IP_CHECKSUM),
        (good.but(checksum_error=0x8000), IP_CHECKSUM),
        (good.but(version=2), VERSION),
        (good.but(version=0), VERSION),
        (good.but(flags=0x80), HEADER_BAD),
        (good.but(flags=0xC0), HEADER_BAD),
        (good.but(opcode=0), HEADER_BAD),
        (good.but(opcode=REPLY), HEADER_BAD),
        (good.but(opcode=ERROR), HEADER_BAD),
        (good.but(opcode=0x42), HEADER_BAD),
        (good.but(flags=TAG, tag_bytes=8), TAGGED),
        (good.but(flags=TAG), LENGTH),
        (good.but(crc_error=1), CRC),
        (empty.but(crc_error=1 << 31), CRC),
    ]
    for frame, reason in cases:
        bench.send(good)
        bench.send(frame, reason=reason)
        bench.send(empty, mac_error=True, reason=MAC_ERROR)
    bench.send(good)
    await bench.settle()
    reached = {reason for reason in bench.tally if reason != OK}
    assert reached == {
        NOT_OURS,
        MAC_ERROR,
        LENGTH,
        IP_CHECKSUM,
        VERSION,
        HEADER_BAD,
        CRC,
        TAGGED,
    }, reached


@cocotb.test()
async def short_frames(dut: Any) -> None:
    """A good frame cut anywhere in its headers; what it lacks is on the bus, or was in the frame before."""
    bench = RxBench(dut)
    await bench.reset()
    data = Frame(payload=bench.random.randbytes(40)).build()
    for size in range(1, 68):
        bench.send(data, reason=OK)
        bench.send(data[:size], reason=LENGTH if size >= 44 else NOT_OURS, rubbish=data[size:])
    await bench.settle()


@cocotb.test()
async def first_reason_wins(dut: Any) -> None:
    """Of two faults the earlier in the documented order is counted."""
    bench = RxBench(dut)
    await bench.reset()
    good = Frame(payload=bytes(40))
    order: list[tuple[int, dict[str, Any]]] = [
        (NOT_OURS, {"protocol": 6}),
        (LENGTH, {"ip_length_error": 8}),
        (IP_CHECKSUM, {"checksum_error": 4}),
        (VERSION, {"version": 9}),
        (HEADER_BAD, {"opcode": REPLY}),
        (TAGGED, {"flags": TAG, "tag_bytes": 8}),
    ]
    for index, (reason, fault) in enumerate(order):
        for _, other in order[index + 1 :]:
            bench.send(good.but(**(fault | other)), reason=reason)
        bench.send(good.but(**(fault | {"crc_error": 1})), reason=reason)
        bench.send(good.but(**fault), mac_error=True, reason=MAC_ERROR)
    bench.send(good)
    await bench.settle()


@cocotb.test()
async def every_bit_counts(dut: Any) -> None:
    """One flipped bit anywhere in what the CRC or the IP checksum covers: the frame is dropped."""
    bench = RxBench(dut)
    await bench.reset()
    data = Frame(opcode=UPDATE, payload=bench.random.randbytes(72)).build()
    for bit in [*range(8 * 14, 8 * 40), *range(8 * 42, 8 * len(data))]:
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 1 << bit % 8
        bench.send(bytes(spoilt))
    bench.send(data, reason=OK)
    await bench.settle()
    assert bench.tally[OK] == 1 + 16  # the frame, and 16 source port bits that nothing covers


@cocotb.test()
async def lengths(dut: Any) -> None:
    """Every payload of up to three beats; then jumbo, the largest that fits, and longer ones."""
    bench = RxBench(dut)
    bench.strict = False
    for pattern in STALLS:
        await bench.reset()
        bench.source.stall = bench.stall(pattern)
        for words in range(3 * bench.step // 8 + 1):
            bench.send(Frame(payload=bench.random.randbytes(8 * words)), reason=OK)
        await bench.settle()
    bench.source.stall = lambda: True
    room = bench.ks_beats * bench.step
    longest = (MAX_BYTES - 68) // 8 * 8
    jumbo = (9000 - 20 - 8 - 22 - 4) // 8 * 8
    for size in (1424, jumbo, room - 8, room, room + 8, longest, longest + 8):
        for _ in range(3):
            before = bench.tally[OK]
            bench.send(Frame(payload=bench.random.randbytes(size)))
            await bench.settle()
            fits = size <= min(room, longest)
            assert bench.tally[OK] == before + fits, (
                f"payload {size}, room {room}: accepted {bench.tally[OK] - before}"
            )
    # Longer than any frame may be: dropped, never a hang.
    bench.send(Frame(payload=bytes(MAX_BYTES - 64)), reason=LENGTH)
    bench.send(Frame(payload=bytes(64), padding=bytes(MAX_BYTES)), reason=LENGTH)
    bench.send(Frame(payload=bytes(65528 - 34)), reason=LENGTH)
    bench.send(bytes(70000), reason=NOT_OURS)
    bench.send(Frame(payload=bytes(64), padding=bytes(70000)), reason=LENGTH)
    bench.send(Frame(payload=bytes(16)), reason=OK)
    await bench.settle()


@cocotb.test()
async def random_frames(dut: Any) -> None:
    """Good, spoilt and foreign frames in any order; source, reader and space slow or fast."""
    bench = RxBench(dut)
    bench.strict = False
    rng = bench.random
    spoil: list[dict[str, Any]] = [
        {"crc_error": 0x10000},
        {"checksum_error": 3},
        {"version": 7},
        {"opcode": REPLY},
        {"flags": 0x81},
        {"cut": 5},
        {"udp_length_error": 8},
        {"ip_length_error": -4},
        {"protocol": 1},
        {"flags": TAG, "tag_bytes": 8},
        {"port_dst": 80},
        {"magic": 0},
    ]
    for pattern in STALLS:
        for reader in ("never", "mostly", "bursty"):
            await bench.reset()
            bench.source.stall = bench.stall(pattern)
            bench.sink.stall = bench.stall(reader)
            bench.key_store.go = bench.stall(rng.choice(("never", "mostly")))
            for _ in range(60):
                kind = rng.random()
                if kind < 0.6:
                    bench.send(random_frame(rng))
                elif kind < 0.85:
                    bench.send(random_frame(rng).but(**rng.choice(spoil)))
                elif kind < 0.92:
                    bench.send(random_frame(rng), mac_error=True)
                else:
                    bench.send(rng.randbytes(rng.randrange(1, 400)))
            await bench.settle()
    dut._log.info(
        "verdicts: %s",
        {NAMES[key] if key >= 0 else "accepted": value for key, value in bench.tally.items()},
    )
    missing = set(range(OK, TAGGED + 1)) - set(bench.tally) - {OVERLOAD}
    assert not missing, f"not reached: {[NAMES[reason] for reason in missing]}"


@cocotb.test()
async def overload(dut: Any) -> None:
    """Nobody reads: frames are dropped whole, and all of the accepted come out right."""
    bench = RxBench(dut)
    bench.strict = False
    for payload in (0, 8 * bench.step, bench.ks_beats * bench.step // 3 // 8 * 8):
        if payload + 68 > MAX_BYTES:
            continue
        await bench.reset()
        before = bench.tally.copy()
        bench.sink.stall = lambda: False
        sent = max(bench.frames + 10, bench.ks_beats // 8 + 4 if payload else 0)
        for index in range(min(sent, 150)):
            bench.send(
                Frame(opcode=LOOKUP, payload=bench.random.randbytes(payload), request_id=index),
                reason=OK,
            )
        await bench.until(lambda: not bench.expected.sent, timeout=200_000)
        assert bench.tally[OVERLOAD] > before[OVERLOAD]
        assert bench.tally[OK] > before[OK]
        bench.sink.stall = lambda: True
        await bench.settle()
        accepted = bench.tally[OK]
        bench.send(Frame(payload=bench.random.randbytes(payload)), reason=OK)
        await bench.settle()
        assert bench.tally[OK] == accepted + 1, "no room after everything was given back"


@cocotb.test()
async def wrap_around(dut: Any) -> None:
    """Three times around the key store, a bad frame behind each good one: no holes."""
    bench = RxBench(dut)
    await bench.reset()
    size = min(bench.ks_beats * bench.step // 4, 1400) // 8 * 8
    rounds = 3 * bench.ks_beats * bench.step // size + 4
    for _ in range(rounds):
        bench.send(
            Frame(payload=bench.random.randbytes(size - 8 * bench.random.randrange(4))), reason=OK
        )
        bench.send(
            Frame(payload=bench.random.randbytes(size // 2 // 8 * 8), crc_error=1), reason=CRC
        )
        if len(bench.expected.sent) > 4:
            await bench.until(lambda: len(bench.expected.sent) < 2)
    await bench.settle()


@cocotb.test()
async def configuration(dut: Any) -> None:
    """Another UDP port; a disabled card drops everything as OVERLOAD and counts it."""
    bench = RxBench(dut)
    await bench.reset()
    bench.port = 9
    bench.drive(cfg_udp_port=9)
    bench.send(Frame(port_dst=9, payload=bytes(8)), reason=OK)
    bench.send(Frame(payload=bytes(8)), reason=NOT_OURS)
    await bench.settle()
    bench.enabled = False
    bench.drive(cfg_enable=0)
    bench.send(Frame(port_dst=9, payload=bytes(8)), reason=OVERLOAD)
    bench.send(Frame(port_dst=9), mac_error=True, reason=OVERLOAD)
    bench.send(bytes(100), reason=OVERLOAD)
    await bench.settle()
    bench.enabled = True
    bench.drive(cfg_enable=1)
    bench.send(Frame(port_dst=9, payload=bytes(24)), reason=OK)
    await bench.settle()


@cocotb.test()
async def line_rate(dut: Any) -> None:
    """A thousand beats of short frames without a gap; tready never falls."""
    bench = RxBench(dut)
    bench.strict = False
    await bench.reset()
    low: list[int] = []
    bench.monitor(
        "s_axis_rx_tvalid",
        ["s_axis_rx_tready"],
        lambda ready: low.append(ready) if not ready else None,
    )
    count = 0
    while len(bench.source.queue) < 1000:
        bench.send(bytes(40) if count % 3 == 0 else Frame(payload=bytes(8 * (count % 9))))
        count += 1
    start, total = bench.cycle, len(bench.source.queue)
    await bench.until(lambda: bench.source.empty)
    assert bench.cycle - start <= total + 4, f"{total} beats in {bench.cycle - start} cycles"
    await bench.settle()
    assert not low


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset in the middle of a frame the next one is received like the first."""
    bench = RxBench(dut)
    bench.strict = False
    bench.sink.stall = bench.stall("half")

    def start() -> None:
        for _ in range(6):
            bench.send(random_frame(bench.random))
            bench.send(random_frame(bench.random).but(crc_error=bench.random.getrandbits(1)))

    await bench.reset_in_traffic(start, times=20, within=120)
    assert bench.tally[OK] > 100


@pytest.mark.parametrize(
    ("data_w", "ks_beats", "frames"),
    [(128, 1024, 16), (512, 1024, 32), pytest.param(128, 16, 2, marks=pytest.mark.slow)],
    ids=["edge", "line100", "least"],
)
def test_rx_frame(data_w: int, ks_beats: int, frames: int) -> None:
    """Both widths as configured, and a key store that a single frame fills."""
    params = {"DATA_W": data_w, "KS_BEATS": ks_beats, "FRAMES": frames}
    build_and_test("embnic_rx_frame", "test_rx_frame", params=params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 256}, "DATA_W must be 128 or 512"),
        ({"KS_BEATS": 500}, "KS_BEATS must be"),
        ({"KS_BEATS": 16384}, "KS_BEATS must be"),
        ({"FRAMES": 12}, "FRAMES must be"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by our message."""
    expect_build_failure("embnic_rx_frame", params, message)
