# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_req_decode: replies allocated, bags, closes, accumulators and updates of random frames.

The bench plays every neighbour: the key store, the reply buffer (it hands out contexts and addresses
when it likes), the user of the init RAM and embnic_update. What must come of a frame is worked out
when its reply is allocated, as context and reply address are known only then.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cocotb
import pytest
from row_formats import DTYPES, FIXED, row_units

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

PING, LOOKUP, REPLY, PARTIAL, ROWS, UPDATE, ACK, FILL = range(1, 9)
INVALIDATE, PREFETCH, MERGE, ERROR = 9, 10, 11, 15
INIT_BANKS = 4
COMPUTES = (12, 13, 14)  # ACCUMULATE, TOPK, INTERACT: all that embnic_compute executes
UPDATES = (UPDATE, FILL, INVALIDATE, PREFETCH)  # all that embnic_update executes
OK, BAD_REQUEST, TOO_LARGE, UNSUPPORTED, BUSY = 0, 1, 5, 6, 11
WEIGHTED, ACCUMULATOR, CONTINUES, FINAL, PARTIAL_WANTED, PRODUCT = 1, 4, 8, 16, 32, 64


@dataclass
class Frame:
    """A frame as the test thinks of it: its header, its payload, and what the header says of it."""

    hdr: dict[str, int]
    payload: bytes
    lasts: list[int] = field(default_factory=list)  # entry numbers (from 1) at which bags end
    count: int = 0  # of the count block
    accumulator: bytes = b""
    partials: list[tuple[int, bytes]] = field(default_factory=list)  # of a MERGE: count, vector
    word: int = 0  # key store word of the first entry
    fields: dict[str, Any] = field(default_factory=dict)  # frame_t

    @property
    def preamble(self) -> int:
        """Return the bytes before the keys."""
        vectors = [self.accumulator] if self.accumulator else []
        return sum(64 + len(vector) for vector in [*vectors, *(v for _, v in self.partials)])

    @property
    def held(self) -> bytes:
        """Return what is copied to the init RAM: the vectors that hold a key."""
        vectors = [(self.count, self.accumulator), *self.partials]
        return b"".join(vector for count, vector in vectors if count)


class ReplyBuffer:
    """Answers allocations; `stall` decides when there is room."""

    def __init__(self, bench: "DecodeBench") -> None:
        self.bench = bench
        self.stall: Callable[[], bool] = lambda: True
        self.ready = False
        self.ctx = self.addr = 0
        self.reset()

    def reset(self) -> None:
        """No room."""
        self.ready = False
        self.bench.drive(alloc_ready=0, alloc_ctx=0, alloc_rsp_addr=0)

    def tick(self) -> None:
        """One clock edge."""
        bench = self.bench
        if self.ready and bench.read("alloc_valid"):
            bench.allocated(bench.read("alloc_info"), self.ctx, self.addr)
        self.ready = self.stall()
        self.ctx = bench.random.randrange(64)
        self.addr = bench.random.randrange(int(bench.params["RSP_BEATS"]))
        bench.drive(alloc_ready=int(self.ready), alloc_ctx=self.ctx, alloc_rsp_addr=self.addr)


class InitUser:
    """Checks a bank of the init RAM when the bag that needs it comes, and again when it releases it."""

    def __init__(self, bench: "DecodeBench") -> None:
        self.bench = bench
        self.due: list[tuple[int, int, bytes]] = []  # cycle, address, what lies there
        self.used = self.most = 0
        self.reset()

    def reset(self) -> None:
        """Nothing waits."""
        self.due.clear()
        self.bench.drive(init_release=0)

    def tick(self) -> None:
        """One clock edge."""
        ready = [item for item in self.due if item[0] <= self.bench.cycle]
        self.bench.drive(init_release=int(bool(ready)))
        if ready:
            chosen = self.bench.random.choice(ready)
            self.due.remove(chosen)
            self.check(*chosen[1:])
            self.bench.drive(init_release_bank=chosen[1] // self.bench.bank_beats)

    def check(self, addr: int, held: bytes) -> None:
        """Compare what lies at an address."""
        size = int(self.bench.params["DATA_W"]) // 8
        for number in range(len(held) // size):
            seen = self.bench.init_ram.get(addr + number)
            wanted = int.from_bytes(held[number * size : (number + 1) * size], "little")
            assert seen == wanted, f"init RAM beat {addr + number} is {seen}, expected {wanted:#x}"

    def take(self, addr: int, held: bytes) -> None:
        """A bag with these vectors was dispatched."""
        self.check(addr, held)
        self.due.append((self.bench.cycle + self.bench.random.randrange(1, 160), addr, held))
        self.used += 1
        self.most = max(self.most, len(self.due))


class DecodeBench(Bench):
    """Frames in; replies, bags, closes and updates out."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        structs = load_structs()
        self.frame_t, self.reply_t, self.bag_t = (
            structs[n] for n in ("frame_t", "reply_t", "bag_t")
        )
        self.done_t, self.plan_t = structs["update_done_t"], structs["plan_t"]
        self.width = int(self.params["DATA_W"])
        self.bpw = 512 // self.width
        self.ks_beats, self.rsp_beats = int(self.params["KS_BEATS"]), int(self.params["RSP_BEATS"])
        self.max_vec64 = int(self.params["MAX_VEC64"])
        self.reply_max = self.rsp_beats // self.bpw // 2
        self.init_units = int(self.params["INIT_UNITS"])
        self.bank_beats = self.init_units * self.bpw
        self.bank = 0
        self.store: dict[int, int] = {}
        self.ks_addr = 0
        self.ks_used = 0
        self.init_ram: dict[int, int] = {}
        self.source = self.stream_source("s_axis_frame")
        self.buffer = self.add(ReplyBuffer(self))
        self.init = self.add(InitUser(self))
        self.replies = self.scoreboard("replies", struct=self.reply_t)
        self.bags = self.scoreboard("bags", struct=self.bag_t)
        self.closes = self.scoreboard("closes")
        self.sink = self.stream_sink("m_axis_bag", self.take_bag)
        self.upd_sink = self.stream_sink("m_axis_upd", self.take_update)
        self.upd_done = self.stream_source("s_axis_upd_done")
        self.compute_sink = self.stream_sink("m_axis_compute", self.take_compute)
        self.plans = self.stream_source("s_axis_plan")
        self.ram_read_port("ks_rd", self.store)
        self.ram_write_port("init_wr", self.init_ram)
        self.monitor("ks_rd_en", ["ks_rd_addr"], self.watch_read)
        self.monitor("close_valid", ["close_ctx", "close_bags", "close_status"], self.take_close)
        self.requests = self.count("evt_request")
        self.stalls = self.count("evt_stall_alloc")
        self.quiesced = False
        self.drive(cfg_quiesce=0, cfg_hold=0)
        # All tables are another card's, or none: which of them is seen to by the card's tests.
        self.remote = self.random.getrandbits(1)
        self.drive(tables_remote=((1 << int(self.params.get("TABLES", 8))) - 1) * self.remote)
        self.frames: deque[Frame] = deque()
        self.updating: deque[Frame] = deque()
        self.update_result: dict[str, int] | None = None
        self.plan: dict[str, int] | None = None
        self.accumulators: deque[tuple[int, bytes]] = deque()
        self.statuses: Counter[int] = Counter()
        self.expected_requests = 0
        self.bag_cycles: list[int] = []

    async def reset(self, cycles: int = 4) -> None:
        """Reset the DUT and forget what was under way."""
        await super().reset(cycles)
        for queue in (self.frames, self.updating, self.accumulators):
            queue.clear()
        self.update_result = self.plan = None
        self.expected_requests = self.requests.total
        self.ks_used = self.bank = 0
        self.bag_cycles.clear()

    # Frames

    def vec64(self, dim: int) -> int:
        """Return the 64-byte units of a vector."""
        return -(-dim // 16)

    def lookup(
        self, bag_lengths: list[int], *, dim: int = 16, flags: int = 0, count: int = 0, **hdr: int
    ) -> Frame:
        """Return a LOOKUP of bags of these lengths; `hdr` overrides header fields with wrong ones."""
        lasts = [sum(bag_lengths[: n + 1]) for n in range(len(bag_lengths))]
        keys = sum(bag_lengths)
        accumulator = self.random.randbytes(self.vec64(dim) * 64) if flags & ACCUMULATOR else b""
        payload = (
            count.to_bytes(4, "little") + self.random.randbytes(60) if flags & ACCUMULATOR else b""
        )
        payload += accumulator + self.entries(keys, lasts, flags)
        header = {
            "opcode": LOOKUP,
            "flags": flags,
            "bags": len(bag_lengths),
            "keys": keys,
            "dim": dim,
            "dtype": 0,
            **hdr,
        }
        return Frame(header, payload, lasts, count, accumulator)

    def merge(self, keys: int, counts: list[int], *, flags: int = 0, **more: int) -> Frame:
        """Return a MERGE of a bag of `keys` with partials that hold so many; `more` as in `lookup`."""
        frame = self.lookup([keys], flags=flags, **more)
        vec64 = self.vec64(frame.hdr["dim"])
        frame.partials = [(count, self.random.randbytes(vec64 * 64)) for count in counts]
        blocks = [
            count.to_bytes(4, "little") + self.random.randbytes(60) + vector
            for count, vector in frame.partials
        ]
        at = 64 + len(frame.accumulator) if frame.accumulator else 0
        frame.payload = frame.payload[:at] + b"".join(blocks) + frame.payload[at:]
        frame.hdr |= {"opcode": MERGE, "bags": more.get("bags", len(counts))}
        return frame

    def entries(self, keys: int, lasts: list[int], flags: int) -> bytes:
        """Return entries with last bits where bags end; weights carry random bits 63."""
        data = b""
        for number in range(1, keys + 1):
            key = self.random.getrandbits(63) | int(number in lasts) << 63
            data += key.to_bytes(8, "little")
            if flags & WEIGHTED:
                data += self.random.randbytes(8)
        return data

    def send(self, *frames: Frame) -> None:
        """Put payloads in the key store, followed by garbage up to the end of the beat, and send the frames."""
        for frame in frames:
            size = self.width // 8
            payload = frame.payload + self.random.randbytes(-len(frame.payload) % size)
            beats = len(payload) // size
            self.ks_used += beats
            assert self.ks_used <= self.ks_beats, "the test sends more than the key store holds"
            for number in range(beats):
                beat = int.from_bytes(payload[number * size : (number + 1) * size], "little")
                self.store[(self.ks_addr + number) % self.ks_beats] = beat
            words = self.ks_beats * size // 8
            frame.word = (self.ks_addr * size + frame.preamble) // 8 % words
            frame.fields = {
                **{name: self.random.getrandbits(48) for name in ("mac_dst", "mac_src")},
                **{name: self.random.getrandbits(32) for name in ("ip_src", "ip_dst")},
                **{name: self.random.getrandbits(16) for name in ("port_src", "port_dst")},
                "hdr": {
                    "magic": 0xEB1C,
                    "version": 1,
                    "tenant": self.random.getrandbits(16),
                    "request_id": self.random.getrandbits(32),
                    "first_bag": self.random.getrandbits(16),
                    **frame.hdr,
                },
                "payload_len": len(frame.payload),
                "ks_addr": self.ks_addr,
                "ks_beats": beats,
            }
            self.ks_addr = (self.ks_addr + beats) % self.ks_beats
            self.frames.append(frame)
            self.source.send(self.frame_t.pack(frame.fields))
            self.expected_requests += int(frame.hdr["opcode"] in (LOOKUP, MERGE))
            self.replies.expect(None)  # replaced when it comes
            if frame.hdr["opcode"] in UPDATES:
                self.updating.append(frame)

    # The rules

    def header_status(self, frame: Frame) -> int:
        """Return the status that the header of a LOOKUP or MERGE earns."""
        hdr = frame.hdr
        vec64 = self.vec64(hdr["dim"])
        merge = hdr["opcode"] == MERGE
        bags, units, most = hdr["bags"], hdr["bags"] * vec64, self.reply_max
        special = hdr["flags"] & (ACCUMULATOR | CONTINUES | PARTIAL_WANTED)
        length = hdr["keys"] * (16 if hdr["flags"] & WEIGHTED else 8)
        length += 64 + vec64 * 64 if hdr["flags"] & ACCUMULATOR else 0
        if merge:
            bags, most = 1, self.init_units
            units += vec64 if hdr["flags"] & ACCUMULATOR else 0
            length += hdr["bags"] * (vec64 + 1) * 64
        if hdr["dtype"] not in DTYPES:
            return UNSUPPORTED
        if hdr["dtype"] == FIXED and hdr["flags"] & (WEIGHTED | PRODUCT):
            return UNSUPPORTED
        product = hdr["flags"] & PRODUCT
        if product and (merge or not int(self.params["PRODUCTS"])):
            return UNSUPPORTED
        if hdr["dim"] == 0:
            return BAD_REQUEST
        if vec64 > self.max_vec64 // (4 if product else 1) or units > most:
            return TOO_LARGE
        if hdr["bags"] < 1 or hdr["keys"] < bags or length != len(frame.payload):
            return BAD_REQUEST
        return BAD_REQUEST if special and bags != 1 else OK

    def allocated(self, info: int, ctx: int, addr: int) -> None:
        """A reply was allocated: it must be that of the oldest frame; its bags and close must follow."""
        assert self.frames, "a reply was allocated without a frame"
        frame = self.frames.popleft()
        hdr = frame.hdr
        reply: dict[str, Any] = {"frame": frame.fields, "opcode": ERROR}
        opcode = hdr["opcode"]
        if opcode in (LOOKUP, MERGE):
            status = self.header_status(frame)
            if not status and self.quiesced:
                status = BUSY
            if not status:
                partial = hdr["flags"] & (CONTINUES | PARTIAL_WANTED)
                vec_beats = self.vec64(hdr["dim"]) * self.bpw
                reply |= {"opcode": PARTIAL if partial else REPLY, "vec_beats": vec_beats}
                reply |= {"bags": 1 if opcode == MERGE else hdr["bags"], "dispatching": 1}
                self.expect_bags(frame, ctx, addr)
        elif opcode == PING:
            status = BAD_REQUEST if frame.payload else OK
            reply["opcode"] = ERROR if status else REPLY
        elif opcode in UPDATES and self.quiesced:
            self.updating.popleft()
            status = BUSY
        elif opcode in UPDATES:
            assert self.update_result is not None, "an update was answered before it was done"
            status = self.update_result["status"]
            reply |= self.update_result | {"opcode": ERROR if status else ACK}
            self.update_result = None
        elif opcode in COMPUTES and int(self.params["COMPUTE"]):
            status = BUSY
            if not self.quiesced:
                assert self.plan is not None, (
                    "a frame of embnic_compute was answered before its plan"
                )
                status = self.plan["status"]
                if not status:
                    reply |= self.plan | {"opcode": REPLY, "dispatching": 1}
                reply["vec_beats"] = self.plan["vec_beats"]
                self.plan = None
        else:
            status = UNSUPPORTED
        self.statuses[status] += 1
        executed = (status == OK and opcode in (LOOKUP, MERGE)) or opcode in UPDATES
        executed |= opcode in COMPUTES and bool(int(self.params["COMPUTE"]))
        assert bool(self.read("alloc_work")) == (executed and not self.quiesced)
        self.replies.expected.popleft()
        self.replies.expected.appendleft(self.reply_t.pack({**reply, "status": status}))
        self.replies.check(info)

    def expect_bags(self, frame: Frame, ctx: int, addr: int) -> None:
        """Expect the bags of a LOOKUP or MERGE without fault in its header, and its close."""
        hdr = frame.hdr
        merge = hdr["opcode"] == MERGE
        bags = 1 if merge else hdr["bags"]
        vectors = merge or bool(hdr["flags"] & ACCUMULATOR)
        self.bank = (self.bank + vectors) % INIT_BANKS
        merges = sum(count > 0 for count, _ in frame.partials)
        init_addr = self.bank * self.bank_beats if vectors else 0
        step = 2 if hdr["flags"] & WEIGHTED else 1
        vec_beats = self.vec64(hdr["dim"]) * self.bpw
        words = self.ks_beats * self.width // 64
        start = sent = 0
        for last in frame.lasts[:bags]:
            fields = {
                "ctx": ctx,
                "first": int(sent == 0),
                "remote": self.remote,
                "word": (frame.word + start * step) % words,
                "keys": last - start,
                "weighted": step - 1,
                "partial": int(bool(hdr["flags"] & (CONTINUES | PARTIAL_WANTED))),
                "piece": int(bool(hdr["flags"] & (ACCUMULATOR | CONTINUES))),
                "merge": int(merge),
                "product": int(bool(hdr["flags"] & PRODUCT)),
                "init": int(frame.count > 0),
                "merges": merges,
                "init_addr": init_addr,
                "init_count": (frame.count + sum(count for count, _ in frame.partials)) % (1 << 32),
                "rsp_addr": (addr + sent * vec_beats) % self.rsp_beats,
                "vec_beats": vec_beats,
                "row_beats": row_units(hdr["dtype"], hdr["dim"]) * self.bpw,
                "dim": hdr["dim"],
                "dtype": hdr["dtype"],
            }
            if frame.held:
                self.accumulators.append((init_addr, frame.held))
            self.bags.expect(self.bag_t.pack(fields))
            start, sent = last, sent + 1
        good = len(frame.lasts) == bags and frame.lasts[-1] == hdr["keys"]
        self.closes.expect((ctx, sent, OK if good else BAD_REQUEST))

    # What comes out

    def take_bag(self, word: int) -> None:
        """Compare a bag; with an accumulator or partials look at the init RAM too."""
        self.bags.check(word)
        self.bag_cycles.append(self.cycle)
        bag = self.bag_t.unpack(word)
        if bag["init"] or bag["merges"]:
            self.init.take(*self.accumulators.popleft())

    def take_close(self, word: tuple[int, int, int]) -> None:
        """Compare a close."""
        self.statuses[word[2]] += 1
        self.closes.check(word)

    def take_update(self, word: int) -> None:
        """An update must be the oldest frame, unchanged; answer it after a while."""
        assert self.updating, "an update was handed on without a frame"
        frame = self.updating.popleft()
        assert frame is self.frames[0], "an update overtook a frame"
        assert word == self.frame_t.pack(frame.fields), "an update's frame changed"
        assert not self.bags.expected, "an update overtook bags"
        result = {
            "status": self.random.choice([0, 0, 2, 4, 7, 10]),
            "client": self.random.getrandbits(64),
            "seq": self.random.getrandbits(64),
        }
        self.update_result = result
        self.upd_done.send(self.done_t.pack(result))

    def take_compute(self, word: int) -> None:
        """A frame for embnic_compute must be the oldest one, unchanged; give its plan after a while."""
        frame = self.frames[0]
        assert frame.hdr["opcode"] in COMPUTES and int(self.params["COMPUTE"])
        assert word == self.frame_t.pack(frame.fields), "a frame changed"
        assert self.plan is None, "a second frame before the plan was taken"
        self.plan = {
            "status": self.random.choice([0, 0, 1, 5]),
            "vec_beats": self.random.randrange(1, 100),
            "bags": self.random.randrange(20),
        }
        self.plans.send(self.plan_t.pack(self.plan))

    def watch_read(self, addr: int) -> None:
        """While an update owns the key store, nothing may be read."""
        assert self.update_result is None, f"key store beat {addr} read during an update"

    async def settle(self) -> None:
        """Drain, and compare the events."""
        await self.drain()
        assert not self.frames and not self.updating and not self.accumulators
        assert self.requests.total == self.expected_requests
        self.ks_used = 0

    # Random frames

    def random_frame(self, trouble: float) -> Frame:
        """Return a frame of any kind, with some probability a wrong one."""
        rng = self.random
        kind = rng.random()
        if kind < 0.05:
            return Frame({"opcode": PING}, rng.randbytes(8 * rng.randrange(2)) if trouble else b"")
        if kind < 0.12:
            return Frame({"opcode": rng.choice(UPDATES)}, rng.randbytes(8 * rng.randrange(12)))
        if kind < 0.18:
            return Frame({"opcode": rng.choice(COMPUTES)}, rng.randbytes(8 * rng.randrange(12)))
        if kind < 0.21:
            return Frame(
                {"opcode": ROWS, "bags": 1, "keys": 1},
                rng.randbytes(8),
            )
        flags = rng.choice([0, 0, FINAL, WEIGHTED])
        flags |= rng.choice([0, 0, 0, PRODUCT])
        dim = rng.choice(
            [1, 16, 17, rng.randrange(1, 16 * self.max_vec64 + 1), 16 * self.max_vec64]
        )
        if flags & PRODUCT and rng.random() < 0.8:
            dim = min(dim, 4 * self.max_vec64)
        if rng.random() < 0.25:
            flags |= rng.choice([ACCUMULATOR, CONTINUES, PARTIAL_WANTED, ACCUMULATOR | CONTINUES])
        bags = 1 if flags & ~(WEIGHTED | FINAL | PRODUCT) else rng.randrange(1, 20)
        bags = max(1, min(bags, self.reply_max // self.vec64(dim)))
        lengths = [rng.choice([1, 1, 2, 3, rng.randrange(1, 12)]) for _ in range(bags)]
        count = rng.choice([0, 1, 2**32 - 1]) if flags & ACCUMULATOR else 0
        dtype = rng.choice([0, rng.choice(DTYPES)])
        if dtype == FIXED and flags & WEIGHTED:
            dtype = 0
        if rng.random() < 0.2:
            flags &= ~(FINAL | PRODUCT)
            room = self.init_units // self.vec64(dim) - bool(flags & ACCUMULATOR)
            number = min(rng.choice([1, 2, 3, 8]), room) or 1  # the one is too large
            counts = [rng.choice([0, 1, 2, 2**32 - 1]) for _ in range(number)]
            more = {"dim": dim, "count": count, "dtype": dtype}
            frame = self.merge(rng.choice([1, 2, 7]), counts, flags=flags, **more)
            return self.spoiled(frame) if rng.random() < trouble else frame
        frame = self.lookup(lengths, dim=dim, flags=flags, count=count, dtype=dtype)
        return self.spoiled(frame) if rng.random() < trouble else frame

    def spoiled(self, frame: Frame) -> Frame:
        """Return the frame with one thing wrong."""
        hdr, rng = frame.hdr, self.random
        wrong = rng.randrange(9)
        if wrong == 0:
            hdr["dtype"] = rng.choice([rng.randrange(8, 16), FIXED])
        elif wrong == 1:
            hdr["dim"] = rng.choice([0, 16 * self.max_vec64 + 1, 65535])
        elif wrong == 2:
            hdr["bags"] = rng.choice([0, hdr["keys"] + 1, 65535])
        elif wrong == 3:
            hdr["keys"] = rng.choice([0, hdr["keys"] + 1, hdr["keys"] - 1, 65535])
        elif wrong == 4:
            frame.payload = frame.payload[:-8] if rng.randrange(2) else frame.payload + bytes(8)
        elif wrong == 5 and hdr["bags"] > 1:
            hdr["flags"] |= rng.choice([ACCUMULATOR, CONTINUES, PARTIAL_WANTED])
        elif wrong == 6 and hdr["keys"] > hdr["bags"]:
            hdr["bags"] += 1  # fewer last bits than bags
        elif wrong == 7 and hdr["bags"] > 1:
            hdr["bags"] -= 1  # more last bits than bags
        elif wrong == 8 and hdr["keys"] > 1:
            return self.unfinished(frame)
        return frame

    def unfinished(self, frame: Frame) -> Frame:
        """Return the frame with the last bit of its last entry cleared."""
        frame.lasts.pop()
        size = 16 if frame.hdr["flags"] & WEIGHTED else 8
        data = bytearray(frame.payload)
        data[len(data) - size + 7] &= 0x7F
        frame.payload = bytes(data)
        return frame

    def random_batch(self, trouble: float = 0.25, most: int = 30) -> None:
        """Send frames until the key store is full or there are `most`."""
        for _ in range(most):
            frame = self.random_frame(trouble)
            if self.ks_used + len(frame.payload) * 8 // self.width + 1 > self.ks_beats:
                break
            self.send(frame)


@cocotb.test()
async def directed(dut: Any) -> None:
    """A PING, a LOOKUP of three bags, one with accumulator, an update, in order."""
    bench = DecodeBench(dut)
    await bench.reset()
    bench.send(
        Frame({"opcode": PING}, b""),
        bench.lookup([1, 3, 2], dim=min(20, 16 * bench.max_vec64)),
        bench.lookup([4], dim=16, flags=ACCUMULATOR | WEIGHTED, count=3),
        bench.lookup([2], dim=5, flags=ACCUMULATOR | CONTINUES, count=0),
        Frame({"opcode": UPDATE}, bytes(64)),
        bench.lookup([1], flags=PARTIAL_WANTED),
        Frame({"opcode": INVALIDATE}, bytes(64)),
        Frame({"opcode": ROWS}, b""),
    )
    await bench.settle()
    assert (bench.replies.compared, bench.bags.compared, bench.closes.compared) == (8, 6, 4)
    assert bench.init.used == 1
    more = {"flags": ACCUMULATOR | WEIGHTED, "count": 4}
    bench.send(
        bench.merge(3, [5]),
        bench.merge(1, [0], flags=CONTINUES),  # nothing is held: the bank is free again
        *([bench.merge(2, [7], **more)] if bench.init_units > 1 else []),
        *([bench.merge(2, [1, 0, 2], dim=17)] if bench.init_units >= 6 else []),
    )
    await bench.settle()
    assert bench.init.used >= 2


@cocotb.test()
async def every_refusal(dut: Any) -> None:
    """Each rule of a LOOKUP on its own."""
    bench = DecodeBench(dut)
    await bench.reset()
    most = 16 * bench.max_vec64
    fit = bench.reply_max // bench.max_vec64
    many = bench.lookup([1] * fit, dim=most)
    over = bench.lookup([1] * (fit + 1), dim=most)
    products = int(bench.params["PRODUCTS"])
    fits = OK if bench.max_vec64 >= 4 else TOO_LARGE
    cases: list[tuple[Frame, int]] = [
        (bench.lookup([2], dtype=8), UNSUPPORTED),
        (bench.lookup([2], dtype=FIXED), OK),
        (bench.lookup([2], dtype=FIXED, flags=WEIGHTED), UNSUPPORTED),
        *[(bench.lookup([2], dtype=dtype, dim=33 % (most + 1)), OK) for dtype in DTYPES],
        (bench.lookup([2], dtype=15), UNSUPPORTED),
        (bench.lookup([2], dim=0), BAD_REQUEST),
        (bench.lookup([2], dim=most + 1), TOO_LARGE),
        (bench.lookup([2], dim=65535), TOO_LARGE),
        (many, OK),
        (over, TOO_LARGE),
        (bench.lookup([2], bags=65535), TOO_LARGE),
        (bench.lookup([2], bags=0), BAD_REQUEST),
        (bench.lookup([2], bags=3), BAD_REQUEST),
        (bench.lookup([2], keys=3), BAD_REQUEST),
        (bench.lookup([2], keys=65535), BAD_REQUEST),
        (bench.lookup([2], keys=0, bags=0), BAD_REQUEST),
        (bench.lookup([1, 1], flags=ACCUMULATOR, count=1), BAD_REQUEST),
        (bench.lookup([1, 1], flags=CONTINUES), BAD_REQUEST),
        (bench.lookup([1, 1], flags=PARTIAL_WANTED), BAD_REQUEST),
        (bench.lookup([2, 2], bags=1), BAD_REQUEST),  # from here on found by the walk
        (bench.lookup([2, 2], bags=3), BAD_REQUEST),
        (bench.unfinished(bench.lookup([2, 2])), BAD_REQUEST),
        (bench.unfinished(bench.lookup([9, 9], bags=1)), BAD_REQUEST),
        (bench.unfinished(bench.lookup([20])), BAD_REQUEST),
        (bench.lookup([1, 1, 30], bags=1, flags=WEIGHTED), BAD_REQUEST),
        (bench.unfinished(bench.lookup([3], flags=ACCUMULATOR, count=1)), BAD_REQUEST),
        (bench.lookup([3], flags=ACCUMULATOR, count=1), OK),  # the init RAM is free again
        (bench.merge(2, [1]), OK),
        (bench.merge(2, [1] * bench.init_units), OK),
        (bench.merge(2, [1] * (bench.init_units + 1)), TOO_LARGE),
        (bench.merge(2, [1] * bench.init_units, flags=ACCUMULATOR, count=1), TOO_LARGE),
        (bench.merge(2, [1], bags=0), BAD_REQUEST),
        (bench.merge(2, []), BAD_REQUEST),
        (bench.merge(0, [1]), BAD_REQUEST),
        (bench.merge(2, [1], dtype=8), UNSUPPORTED),
        (bench.merge(2, [1], dtype=FIXED, flags=WEIGHTED), UNSUPPORTED),
        (bench.unfinished(bench.merge(3, [1])), BAD_REQUEST),
        (bench.unfinished(bench.merge(3, [0])), BAD_REQUEST),
        (bench.merge(3, [1]), OK),
        (bench.merge(2, [1], flags=PRODUCT), UNSUPPORTED),
        (bench.lookup([2], dtype=FIXED, flags=PRODUCT), UNSUPPORTED),
        *[
            (
                bench.lookup([2, 4], dim=dim, flags=PRODUCT | also),
                status if products else UNSUPPORTED,
            )
            for also in (0, WEIGHTED)
            for dim, status in ((16, fits), (most // 4 + 1, TOO_LARGE), (0, BAD_REQUEST))
        ],
        (
            bench.lookup([2], flags=PRODUCT | ACCUMULATOR, count=1),
            fits if products else UNSUPPORTED,
        ),
        (
            bench.lookup([2, 2], bags=1, flags=PRODUCT),
            (fits or BAD_REQUEST) if products else UNSUPPORTED,
        ),
        (Frame({"opcode": PING}, bytes(8)), BAD_REQUEST),
        (Frame({"opcode": ROWS}, bytes(8)), UNSUPPORTED),
        (bench.lookup([2, 1]), OK),
    ]
    bench.send(bench.lookup([1]))
    await bench.settle()
    for number, (frame, status) in enumerate(cases):
        bench.statuses.clear()
        bench.send(frame)
        await bench.settle()
        assert bench.statuses[status], f"case {number}: {dict(bench.statuses)}, expected {status}"
        assert not bench.statuses.keys() - {OK, status}, f"case {number}: {dict(bench.statuses)}"


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of the frames with every one of the bags; room for replies and updates come and go."""
    bench = DecodeBench(dut)
    for source_stall in STALLS:
        for sink_stall in STALLS:
            await bench.reset()
            bench.source.stall, bench.sink.stall = (
                bench.stall(source_stall),
                bench.stall(sink_stall),
            )
            bench.buffer.stall = bench.stall(bench.random.choice(list(STALLS)))
            bench.upd_sink.stall = bench.upd_done.stall = bench.stall("half")
            bench.random_batch(most=12)
            await bench.settle()
    assert bench.stalls.total, "no allocation ever waited"


@cocotb.test()
async def random_frames(dut: Any) -> None:
    """Many batches of right and wrong frames without a reset between them; until every bank was in use at a time."""
    bench = DecodeBench(dut)
    await bench.reset()
    for turn in range(600):
        if turn >= 60 and bench.init.most == INIT_BANKS:
            break
        bench.sink.stall = bench.stall(bench.random.choice(["never", "never", "half", "bursty"]))
        bench.buffer.stall = bench.stall(bench.random.choice(["never", "half", "mostly"]))
        bench.random_batch(bench.random.choice([0.0, 0.3, 0.8]))
        await bench.settle()
    assert bench.init.used > 3, "too few accumulators"
    assert bench.init.most == INIT_BANKS, "not every bank was in use at a time"


@cocotb.test()
async def quiesced(dut: Any) -> None:
    """What would be executed is answered BUSY; PING and faults in a header are answered as ever."""
    bench = DecodeBench(dut)
    await bench.reset()
    bench.send(bench.lookup([1]))  # a random frame alone may dispatch nothing, and a drain counts
    await bench.settle()
    for turn in range(6):
        bench.quiesced = turn % 2 == 1
        bench.drive(cfg_quiesce=int(bench.quiesced))
        bench.statuses.clear()
        bench.sink.stall = bench.stall("half")
        bench.buffer.stall = bench.stall("half")
        for number in range(12):
            bench.send(bench.lookup([2, 3]) if number % 3 else bench.random_frame(0.3))
            if number % 4 == 0:
                await bench.settle()
        await bench.settle()
        assert not bench.read("sts_work")
        assert (bench.statuses[BUSY] >= 8) == bench.quiesced
    bench.drive(cfg_quiesce=0)


@cocotb.test()
async def held(dut: Any) -> None:
    """Under hold nothing to be executed begins, what has begun ends, and what needs nothing is answered."""
    bench = DecodeBench(dut)
    await bench.reset()
    for _ in range(20):
        bench.buffer.stall = bench.stall("half")
        bench.sink.stall = bench.stall("half")
        for _ in range(3):
            bench.send(bench.lookup([2, 3]))
        await bench.cycles(bench.random.randrange(1, 60))
        bench.drive(cfg_hold=1)
        await bench.cycles(2)  # what begins in the cycle of the change shows a cycle later
        await bench.until(lambda: not bench.read("sts_work"), what="end of what has begun")
        seen = bench.replies.compared
        await bench.cycles(40)
        assert bench.replies.compared == seen and not bench.read("sts_work")
        await bench.reset()
        bench.send(Frame({"opcode": PING}, b""), bench.lookup([2]), Frame({"opcode": PING}, b""))
        await bench.cycles(80)
        assert bench.replies.compared == seen + 1 and not bench.read("sts_work")
        bench.drive(cfg_hold=0)
        await bench.settle()
        assert bench.replies.compared == seen + 3


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """Frames of one-key bags at one bag a cycle, one cycle between frames; bags of 20 at the pace of the key store."""
    bench = DecodeBench(dut)
    if bench.reply_max < 20:
        return  # frames too short for the cycle between them not to matter
    words = bench.width // 64
    for flags in (0, WEIGHTED):
        await bench.reset()
        each = min(bench.reply_max, bench.ks_beats * words // (2 if flags else 1) // 4)
        bench.send(*[bench.lookup([1] * each, flags=flags) for _ in range(4)])
        await bench.settle()
        cycles = bench.bag_cycles[-1] - bench.bag_cycles[0] + 1
        rate = 4 * each / cycles
        dut._log.info(
            "4 frames of %d one-key bags, flags %d: %.3f bags per cycle", each, flags, rate
        )
        assert rate >= 0.95, f"{rate:.3f} bags per cycle"
        await bench.reset()
        each = min(bench.reply_max, bench.ks_beats * words // (2 if flags else 1) // 20 // 4)
        bench.send(*[bench.lookup([20] * each, flags=flags) for _ in range(4)])
        await bench.settle()
        cycles = bench.bag_cycles[-1] - bench.bag_cycles[0] + 1
        rate = 20 * 4 * each / cycles
        dut._log.info("4 frames of %d bags of 20, flags %d: %.2f keys per cycle", each, flags, rate)
        assert rate >= 0.95, f"{rate:.3f} keys per cycle"


@cocotb.test()
async def latency(dut: Any) -> None:
    """The first bag follows its frame as soon as the header says."""
    bench = DecodeBench(dut)
    await bench.reset()
    start: list[int] = []
    bench.monitor(
        "s_axis_frame_tvalid", ["s_axis_frame_tvalid"], lambda _: start.append(bench.cycle)
    )
    bench.send(bench.lookup([1]))
    await bench.settle()
    took = bench.bag_cycles[0] - start[0]
    assert took == 10, f"{took} cycles, the header says 10"


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset at any moment nothing of the traffic before is left."""
    bench = DecodeBench(dut)
    bench.sink.stall = bench.stall("half")
    for _ in range(20):
        await bench.reset()
        bench.random_batch()
        await bench.cycles(bench.random.randrange(1, 120))
        await bench.reset(bench.random.randrange(1, 4))
        bench.random_batch()
        await bench.settle()


SETS = [
    {
        "DATA_W": 128,
        "KS_BEATS": 512,
        "MAX_VEC64": 8,
        "INIT_UNITS": 16,
        "RSP_BEATS": 512,
        "PRODUCTS": 1,
        "COMPUTE": 1,
    },
    {
        "DATA_W": 512,
        "KS_BEATS": 1024,
        "MAX_VEC64": 64,
        "INIT_UNITS": 128,
        "RSP_BEATS": 2048,
        "PRODUCTS": 1,
        "COMPUTE": 1,
    },
    {
        "DATA_W": 128,
        "KS_BEATS": 256,
        "MAX_VEC64": 1,
        "INIT_UNITS": 1,
        "RSP_BEATS": 64,
        "PRODUCTS": 0,
        "COMPUTE": 0,
    },
]


@pytest.mark.parametrize(
    "params",
    [*SETS[:2], pytest.param(SETS[2], marks=pytest.mark.slow)],
    ids=["tiny", "line100", "smallest"],
)
def test_req_decode(params: dict[str, int]) -> None:
    """All coroutines as in tiny, as in line100, and with vectors of one unit."""
    build_and_test("embnic_req_decode", "test_req_decode", params=params)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DATA_W", 256, "DATA_W must be 128 or 512"),
        ("KS_BEATS", 1000, "KS_BEATS must be a power of two up to 16,384"),
        ("KS_BEATS", 32768, "KS_BEATS must be a power of two up to 16,384"),
        ("MAX_VEC64", 0, "MAX_VEC64 must be 1 to 64"),
        ("MAX_VEC64", 65, "MAX_VEC64 must be 1 to 64"),
        ("INIT_UNITS", 4, "INIT_UNITS must be a power of two"),
        ("INIT_UNITS", 24, "INIT_UNITS must be a power of two"),
        ("INIT_UNITS", 64, "its banks fit BEAT_W"),
        ("RSP_BEATS", 500, "RSP_BEATS must be a power of two"),
        ("RSP_BEATS", 32, "for two of the longest vectors"),
    ],
)
def test_illegal_parameters_do_not_build(name: str, value: int, message: str) -> None:
    """Each illegal parameter is refused in its own words."""
    expect_build_failure("embnic_req_decode", {name: value}, message)
