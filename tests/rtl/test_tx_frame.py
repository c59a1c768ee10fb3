# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_tx_frame: replies become the right bytes in frames without gaps."""

import struct
from collections import Counter as Tally
from collections import deque
from dataclasses import dataclass
from typing import Any

import cocotb
import pytest
from net_frames import (
    ACK,
    ERROR,
    FINAL,
    LOOKUP,
    PARTIAL,
    PING,
    REPLY,
    Frame,
    Gatherer,
    random_frame,
)
from row_formats import FIXED

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

CLASSES = {REPLY: 1, PARTIAL: 2, ERROR: 4, ACK: 8}


@dataclass
class Reply:
    """A complete reply as embnic_rsp_buffer passes it on."""

    request: Frame
    opcode: int = REPLY
    status: int = 0
    bags: int = 0
    vec64: int = 0
    count: int = 0
    rsp_addr: int = 0
    client: int = 0
    seq: int = 0

    @property
    def sent_opcode(self) -> int:
        """A status other than OK makes it an ERROR."""
        return ERROR if self.status else self.opcode


def expected_frames(reply: Reply, vectors: list[bytes], limit: int) -> list[Frame]:
    """Return the frames of a reply whose vectors are given; `limit` is cfg_reply_beats64."""
    request, opcode = reply.request, reply.sent_opcode
    base = Frame(
        opcode=opcode,
        status=reply.status,
        tenant=request.tenant,
        request_id=request.request_id,
        dim=request.dim,
        snapshot=request.snapshot,
        first_bag=request.first_bag,
        dtype=FIXED if opcode in (REPLY, PARTIAL) and request.dtype == FIXED else 0,
        bags=0,
        keys=0,
        mac_dst=request.mac_src,
        mac_src=request.mac_dst,
        ip_src=request.ip_dst,
        ip_dst=request.ip_src,
        port_src=request.port_dst,
        port_dst=request.port_src,
        ttl=64,
        ident=0,
        fragment=0x4000,
    )
    block = b""
    if opcode == ERROR:
        return [base.but(bags=request.bags, flags=FINAL)]
    if opcode == ACK:
        return [base.but(payload=struct.pack("<QQ48x", reply.client, reply.seq), flags=FINAL)]
    if opcode == PARTIAL:
        block = struct.pack("<I60x", reply.count)
    room = max(limit - len(block) // 64, 1)
    frames = []
    if reply.vec64 > room:
        for number, vector in enumerate(vectors):
            for unit in range(0, reply.vec64, room):
                piece = vector[64 * unit : 64 * (unit + room)]
                first_bag = (request.first_bag + number) & 0xFFFF
                frames.append(
                    base.but(first_bag=first_bag, bags=1, keys=unit, payload=block + piece)
                )
    else:
        whole = room // reply.vec64 if reply.vec64 else max(len(vectors), 1)
        for number in range(0, max(len(vectors), 1), whole):
            group = vectors[number : number + whole]
            first_bag = (request.first_bag + number) & 0xFFFF
            frames.append(
                base.but(first_bag=first_bag, bags=len(group), payload=block + b"".join(group))
            )
    frames[-1] = frames[-1].but(flags=FINAL)
    return frames


class Books:
    """Agent without pins: what was sent and what the events said; forgets both on reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing sent."""
        self.sent: deque[tuple[int, int]] = deque()  # (bytes, class of the reply it ends or 0)
        self.replies = 0
        self.done = 0

    def tick(self) -> None:
        """One clock edge."""


class TxBench(Bench):
    """Replies in, frames out; the reply RAM holds random words at every address."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.width = self.params["DATA_W"]
        self.step = self.width // 8
        self.per_unit = 512 // self.width
        self.structs = load_structs()
        self.ram = [self.random.getrandbits(self.width) for _ in range(2048)]
        self.ram_read_port("rsp_rd", lambda addr: self.ram[addr % len(self.ram)])
        self.board = self.scoreboard("frames")
        self.books = self.add(Books())
        self.gather = self.add(Collector(self))
        self.monitor("evt_tx_frame", ["evt_tx_bytes", "evt_tx_reply", "reply_done"], self._event)
        self.source = self.stream_source("s_axis_reply")
        self.sink = self.stream_sink("m_axis_tx", self._beat)
        self.tally: Tally[int] = Tally()
        self.limit = 22
        self.set_limit(22)

    def set_limit(self, limit: int) -> None:
        """Configure the payload units of a frame; only while idle."""
        self.limit = limit
        self.drive(cfg_reply_beats64=limit)

    # Stimulus

    def vectors(self, reply: Reply) -> list[bytes]:
        """Return what the RAM holds for the reply."""
        words = reply.vec64 * self.per_unit
        result = []
        for number in range(reply.bags):
            start = reply.rsp_addr + number * words
            part = [self.ram[addr % len(self.ram)] for addr in range(start, start + words)]
            result.append(b"".join(word.to_bytes(self.step, "little") for word in part))
        return result

    def send(self, reply: Reply) -> None:
        """Queue a reply and the frames that it must become."""
        request = reply.request
        names = ("magic", "version", "opcode", "flags", "dtype", "status", "tenant", "request_id")
        names += ("first_bag", "bags", "keys", "dim", "snapshot")
        info = {
            "frame": {
                **{
                    name: getattr(request, name)
                    for name in ("mac_dst", "mac_src", "ip_src", "ip_dst")
                },
                "port_src": request.port_src,
                "port_dst": request.port_dst,
                "hdr": {name: getattr(request, name) for name in names},
            },
            "opcode": reply.opcode,
            "status": self.random.choice((0, reply.status)),
            "vec_beats": reply.vec64 * self.per_unit,
            "bags": self.random.getrandbits(16),
            "client": reply.client,
            "seq": reply.seq,
        }
        self.source.send(
            self.structs["reply_send_t"].pack(
                reply=info,
                status=reply.status,
                bags=reply.bags,
                count=reply.count,
                rsp_addr=reply.rsp_addr,
            )
        )
        frames = expected_frames(reply, self.vectors(reply), self.limit)
        self.books.replies += 1
        for frame in frames:
            data = frame.build()
            self.board.expect(data)
            self.books.sent.append(
                (len(data), CLASSES[reply.sent_opcode] if frame is frames[-1] else 0)
            )

    def random_reply(self, largest_units: int = 40) -> Reply:
        """Return a reply of any kind."""
        rng = self.random
        request = random_frame(rng, 0).but(opcode=LOOKUP)
        kind = rng.random()
        common: dict[str, Any] = {"rsp_addr": rng.randrange(1 << 14), "count": rng.getrandbits(32)}
        common |= {"client": rng.getrandbits(64), "seq": rng.getrandbits(64)}
        if kind < 0.1:
            return Reply(request.but(opcode=PING), REPLY, **common)
        if kind < 0.2:
            return Reply(request, ACK, **common)
        if kind < 0.35:
            return Reply(
                request,
                rng.choice((REPLY, PARTIAL, ACK, ERROR)),
                status=rng.randrange(1, 12),
                bags=2,
                vec64=1,
            )
        if kind < 0.5:
            return Reply(
                request, PARTIAL, bags=1, vec64=rng.randint(1, min(largest_units, 64)), **common
            )
        vec64 = rng.choice((1, 1, 2, 3, 4, 5, 8, rng.randint(1, largest_units)))
        return Reply(
            request,
            REPLY,
            bags=rng.randint(1, max(1, largest_units // vec64)),
            vec64=vec64,
            **common,
        )

    # Checks

    def _event(self, fields: tuple[int, int, int]) -> None:
        size, classes, done = fields
        want_size, want_class = self.books.sent.popleft()
        assert (size, classes) == (want_size, want_class), (
            f"events say {(size, classes)}, sent {(want_size, want_class)}"
        )
        assert bool(done) == bool(classes), "reply_done comes with the reply's last frame"
        self.books.done += done
        self.tally[classes] += 1

    def _beat(self, beat: tuple[int, int, int]) -> None:
        frame = self.gather.take(beat)
        if frame is not None:
            self.board.check(frame)

    def idle(self) -> bool:
        """Every frame was counted and every reply reported as done."""
        return not self.books.sent and self.books.done == self.books.replies


class Collector(Gatherer):
    """Agent: the frames under way; a reset cuts them."""

    def __init__(self, bench: TxBench) -> None:
        super().__init__(bench.width)

    def tick(self) -> None:
        """One clock edge."""


REQUEST = Frame(opcode=LOOKUP, request_id=7, first_bag=5, bags=3, dim=16)


@cocotb.test()
async def directed(dut: Any) -> None:
    """One of each kind, first with every field spelled out."""
    bench = TxBench(dut)
    await bench.reset()
    bench.send(Reply(REQUEST, bags=1, vec64=1, rsp_addr=3))
    await bench.drain()
    frame = bench.gather.frames[0]
    assert len(frame) == 64 + 64 + 4
    assert frame[:14].hex() == "020000000002" + "020000000001" + "0800"
    assert frame[14:34].hex()[:20] == "4500" + "0076" + "0000" + "4000" + "4011"
    assert frame[26:34].hex() == "0a000001" + "0a000002"
    assert frame[34:42].hex() == "454e" + "9c40" + "0062" + "0000"
    assert frame[42:64].hex() == "1ceb0103100034120700000005000100000010000000"
    bench.send(Reply(REQUEST.but(opcode=PING, bags=0)))
    bench.send(Reply(REQUEST, ACK, client=0x1122334455667788, seq=9))
    bench.send(Reply(REQUEST, status=4, bags=3, vec64=1))
    bench.send(Reply(REQUEST, ERROR, status=6))
    bench.send(Reply(REQUEST, PARTIAL, bags=1, vec64=2, count=77, rsp_addr=100))
    await bench.drain()
    assert bench.tally == {1: 2, 8: 1, 4: 2, 2: 1}


@cocotb.test()
async def checksum_carries(dut: Any) -> None:
    """IP addresses for which folding the header's sum carries once more, and their neighbours."""
    bench = TxBench(dut)
    await bench.reset()
    length = 20 + 8 + 22 + 4
    words = 0x4500 + length + 0x4000 + 0x4011 + 0xFFFF + 0xFFFE + 0x0A00
    for low in range(-words - 6, -words + 3):
        request = REQUEST.but(opcode=PING, ip_src=0xFFFFFFFE, ip_dst=0x0A000000 | low & 0xFFFF)
        bench.send(Reply(request))
    await bench.drain()


@cocotb.test()
async def division(dut: Any) -> None:
    """Numbers and sizes of vectors around the payload limit, at several limits."""
    bench = TxBench(dut)
    for limit in (1, 2, 3, 5, 22, 139, 255, 0):
        await bench.reset()
        bench.set_limit(limit)
        limit = max(limit, 1)
        sizes = {1, 2, 3, limit - 1, limit, limit + 1, 2 * limit, 2 * limit + 1} - {0}
        for vec64 in sorted(size for size in sizes if size <= 127):
            for bags in sorted(
                {1, 2, 3, max(1, limit // vec64), limit // vec64 + 1, 2 * (limit // vec64) + 1}
            ):
                if bags * vec64 <= 300:
                    bench.send(
                        Reply(
                            REQUEST,
                            bags=bags,
                            vec64=vec64,
                            rsp_addr=bench.random.randrange(1 << 14),
                        )
                    )
            bench.send(Reply(REQUEST, PARTIAL, bags=1, vec64=vec64, count=vec64))
        await bench.drain(timeout=100_000)
    bench.set_limit(22)
    bench.send(Reply(REQUEST.but(first_bag=65530), bags=500, vec64=1, rsp_addr=(1 << 14) - 5))
    await bench.drain(timeout=100_000)


@cocotb.test()
async def back_pressure(dut: Any) -> None:
    """Every stall pattern of the source with every one of the sink."""
    bench = TxBench(dut)
    for source_stall in STALLS:
        for sink_stall in STALLS:
            await bench.reset()
            bench.source.stall, bench.sink.stall = (
                bench.stall(source_stall),
                bench.stall(sink_stall),
            )
            for _ in range(12):
                bench.send(bench.random_reply())
            await bench.drain(timeout=100_000)


@cocotb.test()
async def random_replies(dut: Any) -> None:
    """Random replies at random limits; every class of reply is counted."""
    bench = TxBench(dut)
    for _ in range(12):
        await bench.reset()
        bench.set_limit(bench.random.choice((1, 2, 4, 22, 22, 140, bench.random.randrange(256))))
        bench.sink.stall = bench.stall(bench.random.choice(list(STALLS)))
        for _ in range(25):
            bench.send(bench.random_reply(60))
        await bench.drain(timeout=100_000)
    assert set(bench.tally) == {0, 1, 2, 4, 8}, f"classes seen: {dict(bench.tally)}"


@cocotb.test()
async def no_bubbles(dut: Any) -> None:
    """With tready high there is a beat in every cycle, over frames and replies."""
    bench = TxBench(dut)
    await bench.reset()
    for name, replies, idle_allowed in (
        ("one vector a reply", [Reply(REQUEST, bags=1, vec64=1, rsp_addr=n) for n in range(60)], 0),
        (
            "ten vectors a reply",
            [Reply(REQUEST, bags=10, vec64=2, rsp_addr=n) for n in range(30)],
            0,
        ),
        ("split replies", [Reply(REQUEST, bags=50, vec64=2, rsp_addr=n) for n in range(8)], 0),
        ("cut vectors", [Reply(REQUEST, bags=2, vec64=60, rsp_addr=n) for n in range(8)], 0),
        ("partials", [Reply(REQUEST, PARTIAL, bags=1, vec64=4, count=n) for n in range(40)], 0),
        ("acknowledgements", [Reply(REQUEST, ACK, seq=n) for n in range(40)], 0),
        (
            "no payload",
            [Reply(REQUEST.but(opcode=PING)) for _ in range(40)],
            1 if bench.width == 512 else 0,
        ),
    ):
        seen: list[int] = []
        watch = bench.monitor(
            "m_axis_tx_tvalid",
            ["m_axis_tx_tlast"],
            lambda last, seen=seen: seen.append(bench.cycle),
        )
        start = len(bench.gather.frames)
        for reply in replies:
            bench.send(reply)
        await bench.drain()
        frames = len(bench.gather.frames) - start
        idle = seen[-1] - seen[0] + 1 - len(seen)
        dut._log.info("%s: %d frames, %d beats, %d idle cycles", name, frames, len(seen), idle)
        assert idle <= idle_allowed * (frames - 1), (
            f"{name}: {idle} idle cycles among {frames} frames"
        )
        bench._agents.remove(watch)


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset in a frame forgets it; all room is free again."""
    bench = TxBench(dut)
    bench.sink.stall = bench.stall("half")
    await bench.reset_in_traffic(
        lambda: [bench.send(bench.random_reply()) for _ in range(8)], times=20, within=150
    )


@pytest.mark.parametrize("data_w", [128, 512])
def test_tx_frame(data_w: int) -> None:
    """Both widths."""
    build_and_test("embnic_tx_frame", "test_tx_frame", params={"DATA_W": data_w})


@pytest.mark.parametrize("data_w", [64, 256])
def test_illegal_width_does_not_build(data_w: int) -> None:
    """Refused by our message."""
    expect_build_failure("embnic_tx_frame", {"DATA_W": data_w}, "DATA_W must be 128 or 512")
