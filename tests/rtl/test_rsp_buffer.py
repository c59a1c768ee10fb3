# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_rsp_buffer: replies in request order, complete, with their first error."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import cocotb
import pytest

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.structs import load_structs

OK = 0
LOOKUP, REPLY, PARTIAL, ACK = 2, 3, 4, 7


@dataclass
class Request:
    """What one request asks for, and what has happened to it."""

    info: dict[str, Any]
    bags: int  # that will be dispatched
    errors: list[tuple[str, int]] = field(default_factory=list)  # that will be reported
    close_status: int = OK
    ctx: int = -1
    rsp_addr: int = -1
    closed: bool = False
    done: int = 0
    count: int | None = None
    status: int = OK

    @property
    def complete(self) -> bool:
        """Nothing more will come."""
        return self.ctx >= 0 and (
            not self.info["dispatching"] or (self.closed and self.done == self.bags)
        )


class Life:
    """Agent: drives close, bag_done and errors in any order that the contract allows."""

    def __init__(self, bench: "RspBench") -> None:
        self.bench = bench
        self.rate = 0.5
        self.reset()

    def reset(self) -> None:
        """Nothing in flight."""
        self.flight: deque[Request] = deque()  # in order of allocation, until the reply is taken
        self.sent: deque[Request] = deque()  # taken, not reported as left
        self.bench.drive(
            close_valid=0, bag_done_valid=0, err_a_valid=0, err_b_valid=0, reply_done=0
        )

    def tick(self) -> None:
        """One clock edge."""
        bench, rng = self.bench, self.bench.random
        pins = {
            "close_valid": 0,
            "bag_done_valid": 0,
            "err_a_valid": 0,
            "err_b_valid": 0,
            "reply_done": 0,
        }
        waiting = [request for request in self.flight if not request.complete]
        if bench.one_ctx and waiting:
            waiting = [rng.choice(waiting)]
        reports: dict[int, dict[str, int]] = {}
        for port in ("err_a", "err_b"):
            able = [
                request
                for request in waiting
                if any(source == port for source, _ in request.errors)
            ]
            if able and rng.random() < self.rate:
                request = rng.choice(able)
                entry = next(entry for entry in request.errors if entry[0] == port)
                request.errors.remove(entry)
                pins |= {f"{port}_valid": 1, f"{port}_ctx": request.ctx, f"{port}_status": entry[1]}
                reports.setdefault(id(request), {})[port] = entry[1]
        able = [
            request
            for request in waiting
            if not request.closed and self._may_end(request, closing=True)
        ]
        if able and rng.random() < self.rate:
            request = rng.choice(able)
            request.closed = True
            pins |= {"close_valid": 1, "close_ctx": request.ctx, "close_bags": request.bags}
            pins |= {"close_status": request.close_status}
            reports.setdefault(id(request), {})["close"] = request.close_status
        able = [
            request
            for request in waiting
            if request.done < request.bags and self._may_end(request, closing=False)
        ]
        if able and rng.random() < self.rate:
            request = rng.choice(able)
            request.done += 1
            request.count = rng.getrandbits(32)
            pins |= {
                "bag_done_valid": 1,
                "bag_done_ctx": request.ctx,
                "bag_done_count": request.count,
            }
        for request in waiting:
            for port in ("err_a", "err_b", "close"):
                if request.status == OK:
                    request.status = reports.get(id(request), {}).get(port, OK)
            if request.complete:
                bench.completed(request)
        if self.sent and rng.random() < bench.leave_rate:
            pins["reply_done"] = 1
            bench.left(self.sent.popleft())
        bench.drive(**pins)

    @staticmethod
    def _may_end(request: Request, *, closing: bool) -> bool:
        """An event that completes the request has to wait for its errors."""
        ends = (
            request.done == request.bags
            if closing
            else request.closed and request.done == request.bags - 1
        )
        return not (ends and request.errors)


class RspBench(Bench):
    """Requests in, replies out in order, everything given back."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        self.structs = load_structs()
        self.rsp_beats, self.ctxs = self.params["RSP_BEATS"], self.params["CTXS"]
        self.replies = self.scoreboard("replies")
        self.freed = self.scoreboard("key store beats")
        self.one_ctx = False
        self.leave_rate = 0.5
        self.requests: deque[Request] = deque()
        self.next_ctx = self.next_addr = 0
        self.most_ctxs = self.most_space = 0
        self.monitor("ks_free_valid", ["ks_free_beats"], self.freed.check)
        self.life = self.add(Life(self))
        self.sink = self.stream_sink("m_axis_reply", self._reply)
        self.monitor(
            "alloc_valid", ["alloc_ctx", "alloc_rsp_addr"], self._admitted, ready="alloc_ready"
        )
        self.source = self.pulse_source("alloc", ["alloc_info"])

    async def reset(self, cycles: int = 4) -> None:
        """Reset the model with the DUT."""
        self.requests.clear()
        self.next_ctx = self.next_addr = 0
        await super().reset(cycles)

    # Stimulus

    def send(self, request: Request) -> Request:
        """Queue a request."""
        self.requests.append(request)
        self.source.send(self.structs["reply_t"].pack(request.info))
        return request

    def random_request(self, largest: int | None = None) -> Request:
        """Return a LOOKUP, or something that is answered at once."""
        rng = self.random
        frame = {
            "mac_src": rng.getrandbits(48),
            "payload_len": rng.getrandbits(14),
            "ks_beats": rng.getrandbits(9),
        }
        frame["hdr"] = {"request_id": rng.getrandbits(32), "bags": rng.getrandbits(16)}
        info: dict[str, Any] = {
            "frame": frame,
            "client": rng.getrandbits(64),
            "seq": rng.getrandbits(64),
        }
        if rng.random() < 0.25:
            status = rng.choice((OK, OK, 5))
            info |= {"opcode": ACK, "status": status, "bags": rng.choice((0, 3)), "dispatching": 0}
            return Request(info, 0, status=status)
        vec_beats = rng.choice((1, 1, 2, 4, 8))
        bags = rng.randint(1, max(1, (largest or self.rsp_beats // 2) // vec_beats))
        info |= {"opcode": REPLY, "vec_beats": vec_beats, "bags": bags, "dispatching": 1}
        request = Request(info, bags if rng.random() < 0.8 else rng.randrange(bags + 1))
        if rng.random() < 0.3:
            request.errors = [
                (rng.choice(("err_a", "err_b")), rng.randrange(1, 12))
                for _ in range(rng.randint(1, 3))
            ]
        if rng.random() < 0.2:
            request.close_status = rng.randrange(1, 12)
        return request

    # Checks

    def _admitted(self, fields: tuple[int, int]) -> None:
        request = self.requests.popleft()
        assert fields == (self.next_ctx, self.next_addr), (
            f"admitted as {fields}, not {(self.next_ctx, self.next_addr)}"
        )
        request.ctx, request.rsp_addr = fields
        self.next_ctx = (self.next_ctx + 1) % self.ctxs
        self.next_addr = (self.next_addr + self._space(request)) % self.rsp_beats
        self.life.flight.append(request)
        held = [*self.life.flight, *self.life.sent]
        self.most_ctxs = max(self.most_ctxs, len(held))
        space = sum(self._space(other) for other in held)
        self.most_space = max(self.most_space, space)
        assert len(held) <= self.ctxs, "more requests than contexts"
        assert space <= self.rsp_beats, f"{space} beats reserved of {self.rsp_beats}"

    @staticmethod
    def _space(request: Request) -> int:
        return int(request.info["bags"]) * int(request.info.get("vec_beats", 0))

    def completed(self, request: Request) -> None:
        """Called in the cycle in which the last event is driven."""

    def left(self, request: Request) -> None:
        """Called when reply_done is driven for this request."""
        self.freed.expect(request.info["frame"]["ks_beats"])

    def _reply(self, word: int) -> None:
        assert self.life.flight, "a reply without a request"
        request = self.life.flight.popleft()
        assert request.complete, f"the reply of context {request.ctx} came before it was complete"
        seen = self.structs["reply_send_t"].unpack(word)
        want = {
            "reply": self.structs["reply_t"].unpack(self.structs["reply_t"].pack(request.info)),
            "status": request.status,
            "bags": request.bags if request.info["dispatching"] else request.info["bags"],
            "count": seen["count"] if request.count is None else request.count,
            "rsp_addr": request.rsp_addr,
        }
        self.replies.expect(want)
        self.replies.check(seen)
        self.life.sent.append(request)

    def idle(self) -> bool:
        """The DUT says so and the model has nothing left."""
        return bool(self.read("sts_idle")) and not self.life.flight and not self.life.sent


def lookup(bags: int, vec_beats: int = 1, ks_beats: int = 1) -> Request:
    """Return a plain LOOKUP."""
    info = {
        "opcode": REPLY,
        "bags": bags,
        "vec_beats": vec_beats,
        "dispatching": 1,
        "frame": {"ks_beats": ks_beats},
    }
    return Request(info, bags)


@cocotb.test()
async def directed(dut: Any) -> None:
    """Two bags: complete when closed and both done; the space comes back."""
    bench = RspBench(dut)
    bench.life.rate = 0.0
    await bench.reset()
    assert bench.read("sts_idle") == 1
    request = bench.send(lookup(2, 4, ks_beats=7))
    await bench.until(lambda: request.ctx == 0)
    assert bench.read("sts_idle") == 0
    bench.life.rate = 1.0
    await bench.drain()
    assert bench.sink.taken == 1
    assert bench.freed.compared == 1


@cocotb.test()
async def order(dut: Any) -> None:
    """The second request is complete first; its reply waits for the first one's."""
    bench = RspBench(dut)
    await bench.reset()
    first, second = bench.send(lookup(3)), bench.send(lookup(1))
    bench.life.rate = 0.0
    await bench.until(lambda: second.ctx == 1)
    bench.life.flight.remove(first)
    bench.life.rate = 1.0
    await bench.until(lambda: second.complete)
    await bench.cycles(20)
    assert bench.sink.taken == 0
    bench.life.flight.appendleft(first)
    await bench.drain()
    assert bench.sink.taken == 2


@cocotb.test()
async def first_error(dut: Any) -> None:
    """Several ports report for one context in a cycle: the documented one stays."""
    bench = RspBench(dut)
    bench.life.rate = 1.0
    for errors, close_status, want in (
        ([("err_a", 4), ("err_b", 7)], 1, 4),
        ([("err_b", 7)], 1, 7),
        ([], 1, 1),
        ([("err_a", 3), ("err_a", 4)], OK, 3),
        ([("err_b", 2), ("err_b", 7), ("err_a", 5)], OK, 5),
    ):
        await bench.reset()
        request = lookup(2)
        request.errors, request.close_status = list(errors), close_status
        bench.send(request)
        await bench.drain()
        assert request.status == want


@cocotb.test()
async def waits_for_room(dut: Any) -> None:
    """Contexts and space run out; nothing is admitted beyond either."""
    bench = RspBench(dut)
    bench.life.rate = 0.0
    await bench.reset()
    for _ in range(bench.ctxs + 2):
        bench.send(lookup(1))
    await bench.cycles(8 * bench.ctxs)
    assert len(bench.life.flight) == min(bench.ctxs, bench.rsp_beats)
    assert not bench.read("alloc_ready")
    bench.life.rate = 1.0
    await bench.drain()
    for size in (bench.rsp_beats, bench.rsp_beats // 2, bench.rsp_beats // 2, bench.rsp_beats, 1):
        bench.send(lookup(size))
    await bench.drain(timeout=100_000)
    assert bench.most_ctxs == bench.ctxs
    assert bench.most_space == bench.rsp_beats


@cocotb.test()
async def random_lives(dut: Any) -> None:
    """Random requests and events at several rates, with readers fast and slow."""
    bench = RspBench(dut)
    for bench.one_ctx in (False, True):
        for bench.life.rate, bench.leave_rate, reader in (
            (1.0, 1.0, "never"),
            (0.5, 0.1, "half"),
            (1.0, 0.05, "bursty"),
            (0.1, 1.0, "mostly"),
        ):
            await bench.reset()
            bench.sink.stall = bench.stall(reader)
            bench.source.stall = bench.stall(bench.random.choice(("never", "bursty")))
            for _ in range(120):
                bench.send(bench.random_request(largest=min(24, bench.rsp_beats)))
            await bench.drain(timeout=100_000)
    assert bench.replies.compared == 8 * 120


@cocotb.test()
async def throughput(dut: Any) -> None:
    """Requests that are complete at once: one every two cycles."""
    bench = RspBench(dut)
    bench.leave_rate = 1.0
    await bench.reset()
    start = bench.cycle
    for _ in range(100):
        bench.send(
            Request({"opcode": ACK, "bags": 0, "dispatching": 0, "frame": {"ks_beats": 3}}, 0)
        )
    await bench.drain(quiet=1)
    # A request takes some 10 cycles from end to end; with few contexts that is what limits.
    limit = 100 * max(2, 16 // bench.ctxs) + 20
    assert bench.cycle - start < limit, (
        f"{bench.cycle - start} cycles for 100 requests, {limit} allowed"
    )


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset every context and all space is free."""
    bench = RspBench(dut)
    bench.sink.stall = bench.stall("half")

    def start() -> None:
        for _ in range(2 * bench.ctxs):
            bench.send(bench.random_request(largest=min(24, bench.rsp_beats)))

    await bench.reset_in_traffic(start, times=15, within=80)


@pytest.mark.parametrize(
    ("data_w", "rsp_beats", "ctxs"),
    [(128, 512, 4), (512, 2048, 32), pytest.param(128, 16, 2, marks=pytest.mark.slow)],
    ids=["tiny", "line100", "least"],
)
def test_rsp_buffer(data_w: int, rsp_beats: int, ctxs: int) -> None:
    """Both widths as configured, and two contexts with 16 beats."""
    params = {"DATA_W": data_w, "RSP_BEATS": rsp_beats, "CTXS": ctxs}
    build_and_test("embnic_rsp_buffer", "test_rsp_buffer", params=params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"DATA_W": 64}, "DATA_W must be 128 or 512"),
        ({"RSP_BEATS": 500}, "RSP_BEATS must be"),
        ({"RSP_BEATS": 32768}, "RSP_BEATS must be"),
        ({"CTXS": 1}, "CTXS must be"),
        ({"CTXS": 128}, "CTXS must be"),
    ],
)
def test_illegal_parameters_do_not_build(params: dict[str, int], message: str) -> None:
    """Each is refused by our message."""
    expect_build_failure("embnic_rsp_buffer", params, message)
