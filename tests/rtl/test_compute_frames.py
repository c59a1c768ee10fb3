# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_compute: jobs of one frame and of several, right and wrong ones, against the kernels' meaning.

The bench plays every neighbour: the decoder that hands frames over and takes their plans, the key store, the reply
buffer. What must come of a frame is worked out when it is sent, as the frames are executed in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
import pytest

from embnic.compute import ReferenceKernels
from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

ACCUMULATE, TOPK, INTERACT = 12, 13, 14
OK, BAD_REQUEST, TOO_LARGE, UNSUPPORTED, MEMORY_ERROR, SEQUENCE_WINDOW, BUSY, JOB_GONE = (
    0,
    1,
    5,
    6,
    7,
    10,
    11,
    13,
)
CONTINUES = 8
TWIN = ReferenceKernels()
STALE_LOG2 = 9


@dataclass
class Job:
    """The job under way, as the card should see it."""

    client: int
    number: int
    kind: tuple[int, int, int]  # opcode, dim, vectors
    pieces: int
    keys: list[int]
    rows: list[np.ndarray]


class Plans:
    """Takes plans, and says which context and address a reply has."""

    def __init__(self, bench: ComputeBench) -> None:
        self.bench = bench
        self.stall: Callable[[], bool] = lambda: True
        self.reset()

    def reset(self) -> None:
        """Not ready."""
        self.ready = False
        self.bench.drive(m_axis_plan_tready=0, plan_ctx=0, plan_rsp_addr=0)

    def tick(self) -> None:
        """One clock edge."""
        bench = self.bench
        if self.ready and bench.read("m_axis_plan_tvalid"):
            bench.planned(bench.read("m_axis_plan_tdata"), self.ctx, self.addr)
        self.ready = self.stall()
        self.ctx = bench.random.randrange(64)
        self.addr = bench.random.randrange(int(bench.params["RSP_BEATS"]))
        bench.drive(m_axis_plan_tready=int(self.ready), plan_ctx=self.ctx, plan_rsp_addr=self.addr)


class Taker:
    """Takes what comes with valid and ready beside each other, without the names of a stream."""

    def __init__(self, bench: ComputeBench, name: str, fields: list[str], take: Any) -> None:
        self.bench, self.name, self.fields, self.take = bench, name, fields, take
        self.stall: Callable[[], bool] = lambda: True
        self.reset()

    def reset(self) -> None:
        """Not ready."""
        self.ready = False
        self.bench.drive(**{f"{self.name}_ready": 0})

    def tick(self) -> None:
        """One clock edge."""
        if self.ready and self.bench.read(f"{self.name}_valid"):
            self.take(*(self.bench.read(f"{self.name}_{field}") for field in self.fields))
        self.ready = self.stall()
        self.bench.drive(**{f"{self.name}_ready": int(self.ready)})


class BadBeats:
    """Says of one beat of the key store that it is not as it was written."""

    def __init__(self, bench: ComputeBench) -> None:
        self.bench = bench
        self.reset()

    def reset(self) -> None:
        """All are right."""
        self.left, self.next = 0, False
        self.bench.drive(ks_rd_bad=0)

    def tick(self) -> None:
        """One clock edge: the data of a read in the cycle before comes in the next one."""
        self.bench.drive(ks_rd_bad=int(self.next))
        read = bool(self.bench.read("ks_rd_en"))
        self.next = read and self.left == 1
        self.left -= bool(read and self.left)


class ComputeBench(Bench):
    """Frames in; plans, vectors, closes out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        structs = load_structs()
        self.frame_t, self.plan_t = structs["frame_t"], structs["plan_t"]
        self.width = int(self.params["DATA_W"])
        self.bpw, self.size = 512 // self.width, self.width // 8
        self.ks_beats, self.rsp_beats = int(self.params["KS_BEATS"]), int(self.params["RSP_BEATS"])
        self.reply_max = self.rsp_beats // self.bpw // 2
        self.vec64 = min(8, int(self.params["MAX_VEC64"]))
        self.store: dict[int, int] = {}
        self.source = self.stream_source("s_axis_frame")
        self.plans = self.add(Plans(self))
        self.plan_board = self.scoreboard("plans", struct=self.plan_t)
        self.closes = self.scoreboard("closes")
        self.ram_read_port("ks_rd", self.store)
        self.writes = self.add(Taker(self, "rsp_wr", ["addr", "data"], self.written))
        self.dones = self.add(Taker(self, "bag_done", ["ctx"], self.bag_done))
        self.closer = self.add(
            Taker(self, "close", ["ctx", "bags", "status"], lambda *word: self.closed(word))
        )
        self.events = {
            name: self.count(f"evt_{name}") for name in ("frame", "job", "abandoned", "beat")
        }
        self.monitor("evt_beat", [], lambda *_: self.beats.append(self.cycle))
        self.wrong = self.add(BadBeats(self))
        self.beats: list[int] = []
        self.numpy = np.random.default_rng(self.seed)
        self.forget()

    def forget(self) -> None:
        """Begin anew, as after a reset."""
        self.job: Job | None = None
        self.last = (0, 0)  # client and number of the last job
        self.ks_addr = 0
        self.expected: list[tuple[int, list[np.ndarray] | None, int]] = []  # status, vectors, units
        self.open: list[tuple[int, int, tuple[int, list[np.ndarray] | None, int]]] = []
        self.memory: dict[int, int] = {}
        self.done: dict[int, int] = {}
        self.wanted = {"frame": 0, "job": 0, "abandoned": 0}
        self.seen: dict[int, int] = {}
        if hasattr(self, "events"):
            for counter in self.events.values():
                counter.total = 0

    async def reset(self, cycles: int = 4) -> None:
        """Reset the DUT and forget what was under way."""
        await super().reset(cycles)
        self.forget()

    def idle(self) -> bool:
        """Whether every frame was closed."""
        return not self.expected and not self.open

    # Frames

    def send(
        self,
        opcode: int,
        body: bytes,
        *,
        block: tuple[int, int, int] = (1, 1, 0),
        plan: int = OK,
        status: int = OK,
        vectors: list[np.ndarray] | None = None,
        units: int = 0,
        **header: int,
    ) -> None:
        """Put a payload into the key store and offer its frame; say what has to come of it."""
        client, number, piece = block
        payload = client.to_bytes(8, "little") + number.to_bytes(8, "little")
        payload += piece.to_bytes(4, "little") + bytes(44) + body
        padded = payload + self.random.randbytes(-len(payload) % self.size)
        beats = len(padded) // self.size
        for at in range(beats):
            word = int.from_bytes(padded[at * self.size : (at + 1) * self.size], "little")
            self.store[(self.ks_addr + at) % self.ks_beats] = word
        fields = {
            "hdr": {"magic": 0xEB1C, "version": 1, "opcode": opcode, **header},
            "payload_len": len(payload),
            "ks_addr": self.ks_addr,
            "ks_beats": beats,
        }
        self.ks_addr = (self.ks_addr + beats) % self.ks_beats
        self.source.send(self.frame_t.pack(fields))
        wanted = {"status": plan}
        if plan == OK:
            wanted |= {"vec_beats": units * self.bpw, "bags": header["bags"]}
            self.expected.append((status, vectors, units))
        self.plan_board.expect(self.plan_t.pack(wanted))
        self.seen[plan or status] = self.seen.get(plan or status, 0) + 1

    def judged(
        self, block: tuple[int, int, int], kind: tuple[int, int, int], last: bool, whole: bool
    ) -> tuple[int, bool]:
        """Return the status of a piece, and whether it is taken, by the rules of the wire; keep the job."""
        client, number, piece = block
        job = self.job
        if whole and piece:
            return BAD_REQUEST, False
        if job is not None and (job.client, job.number) == (client, number):
            if job.kind != kind or (piece < job.pieces and last):
                self.job = None
                self.wanted["abandoned"] += 1
                return BAD_REQUEST, False
            if piece != job.pieces:
                return (OK, False) if piece < job.pieces else (SEQUENCE_WINDOW, False)
        elif piece:
            return JOB_GONE, False
        else:
            if job is not None and job.client != client:
                return BUSY, False
            if job is not None and number < job.number:
                return JOB_GONE, False
            if job is None and not last and client == self.last[0] and number <= self.last[1]:
                return JOB_GONE, False
            self.wanted["abandoned"] += job is not None
            self.job = Job(client, number, kind, 0, [], [])
        assert self.job is not None
        self.last = (client, number)
        self.job.pieces += 1
        self.wanted["frame"] += 1
        return OK, True

    def piece(
        self,
        opcode: int,
        keys: list[int],
        rows: np.ndarray,
        *,
        last: bool,
        block: tuple[int, int, int],
        bags: int | None = None,
        k: int = 3,
        vectors: int = 2,
    ) -> None:
        """Send a piece of a job with a right header, and expect what the rules say."""
        dim = 2 * k if opcode == TOPK else rows.shape[1]
        body = b""
        if opcode == ACCUMULATE:
            body = np.array(keys, "<u8").tobytes() + bytes(-8 * len(keys) % 64)
        if opcode == TOPK:
            body = rows.astype("<f4").tobytes() + bytes(-4 * len(rows) % 8)
        else:
            whole = np.zeros((len(rows), -(-dim // 16) * 16), "<f4")
            whole[:, :dim] = rows
            body += whole.tobytes()
        first = vectors if opcode == INTERACT else 0
        pairs = vectors * (vectors - 1) // 2
        units = {ACCUMULATE: -(-dim // 16), TOPK: -(-2 * k // 16), INTERACT: -(-pairs // 16)}[
            opcode
        ]
        bags = 1 if bags is None else bags
        status, taken = self.judged(
            block, (opcode, dim, first), last, opcode == INTERACT and bags > 1 and last
        )
        answer: list[np.ndarray] | None = None if status else []
        if taken:
            job = self.job
            assert job is not None
            job.keys += keys
            job.rows += list(rows)
            if last:
                status, answer = self.result(job, bags, k, vectors)
                self.wanted["job"] += 1
                self.job = None
        self.send(
            opcode,
            body,
            block=block,
            status=status,
            vectors=answer,
            units=units,
            flags=0 if last else CONTINUES,
            keys=len(rows),
            dim=dim,
            bags=bags if last else 0,
            first_bag=first,
        )

    def result(
        self, job: Job, bags: int, k: int, vectors: int
    ) -> tuple[int, list[np.ndarray] | None]:
        """Return what a job is answered with."""
        rows = np.array(job.rows, np.float32)
        if job.kind[0] == TOPK:
            best = TWIN.topk(rows, k)
            words = np.zeros((k, 2), np.uint32)
            words[:, 0] = best.ids.astype(np.uint64).astype(np.uint32)
            words[:, 1] = best.scores.view(np.uint32)
            return OK, [words.reshape(-1)]
        if job.kind[0] == INTERACT:
            if len(rows) != bags * vectors:
                return BAD_REQUEST, None
            dots = TWIN.interact(rows.reshape(bags, vectors, -1))
            return OK, [dot.view(np.uint32) for dot in dots]
        found = TWIN.accumulate(np.array(job.keys, np.int64), rows)
        sets: dict[int, int] = {}
        bits = (self.reply_max // 8).bit_length() - 1
        for key in found.rows.tolist():
            fold, rest = 0, key
            while rest:
                fold, rest = fold ^ rest & (1 << bits) - 1, rest >> bits
            sets[fold] = sets.get(fold, 0) + 1
        if max(sets.values()) > 8:
            return TOO_LARGE, None
        if len(found.rows) > bags:
            return BAD_REQUEST, None
        return OK, [row.view(np.uint32) for row in found.sums]

    # What comes out

    def planned(self, word: int, ctx: int, addr: int) -> None:
        """A plan: right, and then the frame is under way."""
        status = self.plan_t.unpack(word)["status"]
        self.plan_board.check(self.plan_t.pack({"status": status}) if status else word)
        if not status:
            self.open.append((ctx, addr, self.expected.pop(0)))

    def written(self, addr: int, data: int) -> None:
        """A beat of the reply."""
        self.memory[addr % self.rsp_beats] = data

    def bag_done(self, ctx: int) -> None:
        """A vector of the reply is complete."""
        assert ctx == self.open[0][0], "a vector of another frame"
        self.done[ctx] = self.done.get(ctx, 0) + 1

    def closed(self, word: tuple[int, ...]) -> None:
        """The oldest frame is done: compare status and vectors."""
        ctx, addr, (status, vectors, units) = self.open.pop(0)
        bags = self.done.pop(ctx, 0)
        self.closes.expect((ctx, len(vectors) if vectors is not None else bags, status))
        self.closes.check(word)
        assert bags == word[1], "closed with another number of vectors than were given"
        for number, vector in enumerate(vectors or []):
            want = np.zeros(units * 16, np.uint32)
            want[: len(vector)] = vector
            whole = want.astype("<u4").tobytes()
            for beat in range(units * self.bpw):
                at = (addr + number * units * self.bpw + beat) % self.rsp_beats
                piece = whole[beat * self.size : (beat + 1) * self.size]
                assert self.memory.pop(at) == int.from_bytes(piece, "little"), (number, beat)
        if vectors is not None:
            assert not self.memory, "more was written than belongs to the frame"
        self.memory.clear()

    async def settle(self) -> None:
        """Drain, and compare the events."""
        await self.drain()
        assert {name: self.events[name].total for name in self.wanted} == self.wanted

    # Random jobs

    def random_job(self, client: int, number: int) -> list[Callable[[], None]]:
        """Return the pieces of a random job as calls that send them."""
        rng, many = self.random, self.numpy
        opcode = rng.choice((ACCUMULATE, TOPK, INTERACT))
        pieces = rng.choice((1, 1, 2, 3))
        k, dim = rng.randint(1, 16), rng.choice((1, 15, 16, 17, 16 * self.vec64))
        vectors = rng.randint(2, 6)
        calls, names = [], rng.randint(1, 12)
        left, total = vectors, 0
        for at in range(pieces):
            last = at == pieces - 1
            if opcode == INTERACT:
                bags = rng.randint(1, 3) if pieces == 1 else 1
                count = bags * vectors if pieces == 1 else left if last else min(left - 1, 1)
                if not count:
                    continue
                left -= count
                rows = many.standard_normal((count, dim)).astype(np.float32)
                keys = []
            else:
                bags, count = 1, rng.randint(1, 9) * (1 if last or opcode == ACCUMULATE else 2)
                rows = many.standard_normal((count, dim)).astype(np.float32)
                keys = [rng.randrange(names) for _ in range(count)]
                bags = names if opcode == ACCUMULATE else 1
                if opcode == TOPK:
                    rows = np.round(rows[:, 0], 1)
                    rows[many.random(count) < 0.1] = np.nan
                    keys = []
            bags = min(bags, self.reply_max // (-(-dim // 16))) if opcode == ACCUMULATE else bags
            block = (client, number, total)
            total += 1
            calls.append(
                lambda o=opcode, ke=keys, r=rows, la=last, bl=block, b=bags: self.piece(
                    o, ke, r, last=la, block=bl, bags=b, k=k, vectors=vectors
                )
            )
        return calls


async def play(bench: ComputeBench, jobs: int, trouble: float) -> None:
    """Send random jobs of a client, with some probability pieces twice, left out, or of another client between."""
    number = 0
    for _ in range(jobs):
        number += 1
        for call in bench.random_job(1, number):
            luck = bench.random.random()
            if luck < trouble / 3:
                continue
            call()
            if luck < 2 * trouble / 3:
                call()
            elif luck < trouble:
                for other in bench.random_job(2, number):
                    other()
            if bench.random.random() < 0.3:
                await bench.until(bench.idle, timeout=100_000, what="frames closed")
        await bench.until(bench.idle, timeout=100_000, what="frames closed")


@cocotb.test()
async def directed(dut: Any) -> None:
    """The sentences of the header, one by one."""
    bench = ComputeBench(dut)
    await bench.reset()
    ones = np.ones((3, 16), np.float32)
    bench.piece(ACCUMULATE, [5, 9, 5], ones, last=True, block=(1, 1, 0), bags=2)
    bench.piece(TOPK, [], np.float32([1, 3, 2]), last=True, block=(1, 2, 0), k=2)
    bench.piece(INTERACT, [], ones, last=True, block=(1, 3, 0), vectors=3)
    bench.piece(ACCUMULATE, [5, 9, 5], ones, last=True, block=(1, 4, 0), bags=1)  # too few
    bench.piece(INTERACT, [], ones, last=True, block=(1, 5, 0), vectors=4)  # one is missing
    bits = (bench.reply_max // 8).bit_length() - 1
    names = [at << 2 * bits for at in range(9)]  # of one set but for the lowest bits
    names = [name | (name >> 2 * bits) % (1 << bits) ^ at >> bits for at, name in enumerate(names)]
    nine = np.ones((9, 16), np.float32)
    bench.piece(ACCUMULATE, names, nine, last=True, block=(1, 6, 0), bags=9)
    bench.piece(ACCUMULATE, names[:8], nine[:8], last=True, block=(1, 7, 0), bags=9)
    await bench.settle()
    assert bench.seen == {OK: 4, BAD_REQUEST: 2, TOO_LARGE: 1}


@cocotb.test()
async def refusals(dut: Any) -> None:
    """Each rule of a header on its own; a job under way does not mind."""
    bench = ComputeBench(dut)
    await bench.reset()
    bench.piece(TOPK, [], np.float32([7, 1]), last=False, block=(1, 1, 0), k=1)
    long = 16 * bench.vec64 + 1
    score = {"keys": 2, "bags": 1, "dim": 4}
    grad = {"keys": 1, "bags": 1, "dim": 16}
    pair = {"keys": 2, "bags": 1, "dim": 16, "first_bag": 2}
    cases = [
        (UNSUPPORTED, TOPK, 8, score | {"dtype": 1}),
        (UNSUPPORTED, TOPK, 8, score | {"flags": 1}),
        (UNSUPPORTED, TOPK, 8, score | {"flags": CONTINUES | 64, "bags": 0}),
        (BAD_REQUEST, TOPK, 8, score | {"dim": 0}),
        (BAD_REQUEST, TOPK, 8, score | {"dim": 3}),
        (BAD_REQUEST, TOPK, 8, score | {"dim": 34}),
        (BAD_REQUEST, TOPK, 8, score | {"bags": 0}),
        (BAD_REQUEST, TOPK, 8, score | {"bags": 2}),
        (BAD_REQUEST, TOPK, 8, score | {"keys": 0}),
        (BAD_REQUEST, TOPK, 8, score | {"keys": 3}),
        (BAD_REQUEST, TOPK, 16, score),
        (BAD_REQUEST, TOPK, 8, score | {"flags": CONTINUES}),
        (BAD_REQUEST, TOPK, 8, score | {"flags": CONTINUES, "bags": 0, "keys": 1}),
        (BAD_REQUEST, ACCUMULATE, 128, grad | {"dim": 0}),
        (BAD_REQUEST, ACCUMULATE, 128, grad | {"keys": 2}),
        (BAD_REQUEST, ACCUMULATE, 64, grad),
        (BAD_REQUEST, ACCUMULATE, 128, grad | {"bags": 0}),
        (TOO_LARGE, ACCUMULATE, 128, grad | {"dim": long}),
        (TOO_LARGE, ACCUMULATE, 128, grad | {"dim": 65535}),
        (TOO_LARGE, ACCUMULATE, 128, grad | {"bags": bench.reply_max + 1}),
        (TOO_LARGE, ACCUMULATE, 128, grad | {"keys": 257}),
        (BAD_REQUEST, INTERACT, 128, pair | {"first_bag": 1}),
        (BAD_REQUEST, INTERACT, 128, pair | {"first_bag": 33}),
        (BAD_REQUEST, INTERACT, 128, pair | {"first_bag": 65}),
        (BAD_REQUEST, INTERACT, 64, pair),
        (BAD_REQUEST, INTERACT, 128, pair | {"bags": 2}),
        (TOO_LARGE, INTERACT, 128, pair | {"dim": long}),
        (TOO_LARGE, INTERACT, 128, pair | {"bags": bench.reply_max + 1}),
    ]
    for status, opcode, size, header in cases:
        bench.send(opcode, bytes(size), plan=status, **header)
        await bench.settle()
    bench.piece(TOPK, [], np.float32([9]), last=True, block=(1, 1, 1), k=1)
    await bench.settle()


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of the frames with every one of the reply buffer."""
    bench = ComputeBench(dut)
    for source_stall in STALLS:
        for sink_stall in STALLS:
            await bench.reset()
            bench.source.stall = bench.stall(source_stall)
            for taker in (bench.writes, bench.dones, bench.closer, bench.plans):
                taker.stall = bench.stall(sink_stall)
            await play(bench, 3, 0.0)
            await bench.settle()


@cocotb.test()
async def random_jobs(dut: Any) -> None:
    """Jobs with pieces that come twice, are lost, or have those of another client between them."""
    bench = ComputeBench(dut)
    await bench.reset()
    seen: dict[int, int] = {}
    for _ in range(12):
        await bench.reset()
        for taker in (bench.writes, bench.dones, bench.closer, bench.plans):
            taker.stall = bench.stall(bench.random.choice(["never", "half", "bursty"]))
        await play(bench, 12, 0.5)
        await bench.settle()
        for status, count in bench.seen.items():
            seen[status] = seen.get(status, 0) + count
    assert all(seen.get(status) for status in (OK, SEQUENCE_WINDOW, BUSY, JOB_GONE)), seen


@cocotb.test()
async def stale(dut: Any) -> None:
    """A job that waits too long gives way to another client's."""
    bench = ComputeBench(dut)
    await bench.reset()
    two = np.float32([1, 2])
    bench.piece(TOPK, [], two, last=False, block=(1, 1, 0))
    bench.piece(TOPK, [], two, last=True, block=(2, 1, 0))
    await bench.settle()
    assert bench.seen == {OK: 1, BUSY: 1}
    await bench.cycles(1 << STALE_LOG2)
    bench.job = None
    bench.wanted["abandoned"] += 1
    bench.piece(TOPK, [], two, last=True, block=(2, 1, 0))
    bench.piece(TOPK, [], two, last=True, block=(1, 1, 1))
    await bench.settle()
    assert bench.seen == {OK: 2, BUSY: 1, JOB_GONE: 1}


@cocotb.test()
async def wrong_beats(dut: Any) -> None:
    """A beat that is not as it was written is an error, and nothing of its job is left."""
    bench = ComputeBench(dut)
    await bench.reset()
    rows = np.ones((4, 16), np.float32)
    for turn in range(30):
        bench.piece(ACCUMULATE, [1, 2, 1, 2], rows, last=False, block=(1, 2 * turn + 1, 0))
        await bench.settle()
        # Block, names and four gradients are six units.
        bench.wrong.left = wrong = bench.random.randint(1, min(8, 6 * bench.bpw))
        bench.piece(ACCUMULATE, [1, 2, 1, 2], rows, last=True, block=(1, 2 * turn + 1, 1), bags=2)
        _, _, units = bench.expected[-1]
        bench.expected[-1] = (MEMORY_ERROR, None, units)
        bench.wanted["job"] -= 1
        bench.wanted["abandoned"] += 1
        if wrong <= bench.bpw:  # of the block: the piece is not taken, the job waits for it
            bench.wanted["frame"] -= 1
            bench.wanted["abandoned"] -= 1
            bench.job = Job(1, 2 * turn + 1, (ACCUMULATE, 16, 0), 1, [1, 2, 1, 2], list(rows))
        await bench.settle()
        bench.piece(ACCUMULATE, [7], rows[:1], last=True, block=(1, 2 * turn + 2, 0))
        await bench.settle()


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """Gradients at a beat a cycle; between the frames of a job a few cycles."""
    bench = ComputeBench(dut)
    await bench.reset()
    frames, each = 4, 8
    rows = np.ones((each, 16 * min(4, bench.vec64)), np.float32)
    for at in range(frames):
        bench.piece(
            ACCUMULATE, list(range(each)), rows, last=at == frames - 1, block=(1, 1, at), bags=each
        )
    await bench.settle()
    beats = each * min(4, bench.vec64) * bench.bpw
    assert len(bench.beats) == frames * beats
    inside = [bench.beats[(at + 1) * beats - 1] - bench.beats[at * beats] for at in range(frames)]
    gaps = [bench.beats[at * beats] - bench.beats[at * beats - 1] - 1 for at in range(1, frames)]
    dut._log.info("beats %d in %s cycles, %s cycles between frames", beats, inside, gaps)
    assert all(span == beats - 1 for span in inside)
    # Block and names are beats, too, and 5 cycles more.
    assert all(gap <= bench.bpw + -(-each // 8) * bench.bpw + 6 for gap in gaps), gaps


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """A reset at any moment leaves nothing behind."""
    bench = ComputeBench(dut)

    def start() -> None:
        bench.job = None
        for number in range(1, 4):
            for call in bench.random_job(1, number):
                call()

    await bench.reset_in_traffic(start, times=12, within=300)


SETS = [
    {"DATA_W": 128, "KS_BEATS": 2048, "RSP_BEATS": 512, "MAX_VEC64": 8, "UNITS": 1},
    {"DATA_W": 512, "KS_BEATS": 1024, "RSP_BEATS": 256, "MAX_VEC64": 64, "UNITS": 2},
    {"DATA_W": 128, "KS_BEATS": 1024, "RSP_BEATS": 256, "MAX_VEC64": 2, "UNITS": 1},
]


@pytest.mark.parametrize(
    "params",
    [*SETS[:2], pytest.param(SETS[2], marks=pytest.mark.slow)],
    ids=["tiny", "wide", "smallest"],
)
def test_compute(params: dict[str, int]) -> None:
    """All coroutines as in tiny, with a beat of 64 bytes, and with short vectors."""
    build_and_test(
        "embnic_compute", "test_compute_frames", params=params | {"STALE_LOG2": STALE_LOG2}
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 256}, "DATA_W must be 128 or 512"),
        ({"MAX_VEC64": 1}, "MAX_VEC64 must be 2, 4, or 8 and more"),
        ({"MAX_VEC64": 6}, "MAX_VEC64 must be 2, 4, or 8 and more"),
        ({"RSP_BEATS": 128}, "RSP_BEATS must give a reply of 32 units"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """By name."""
    expect_build_failure("embnic_compute", params, message)
