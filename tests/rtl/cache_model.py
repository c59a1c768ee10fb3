# SPDX-License-Identifier: Apache-2.0
"""What the benches of the row cache share: the tag rules, stored formats and card memory that answers in any order."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from embnic_sim.bench import Bench
from embnic_sim.streams import Pin
from embnic_sim.structs import StructType

KEY_BITS = 71  # {table 15, row 48, seg 8}
ODD = random.Random(20).getrandbits(512) | 1


def key_of(table: int, row: int, seg: int) -> int:
    """Return the name of a line as the RTL concatenates it."""
    return table << 56 | row << 8 | seg


def set_of(key: int, sets: int) -> int:
    """Return the set of a key: XOR of its index-wide pieces."""
    width = sets.bit_length() - 1
    index = 0
    while key:
        index ^= key & (sets - 1)
        key >>= width
    return index


class Ticker:
    """Calls functions at every clock edge and at every reset."""

    def __init__(self, tick: Callable[[], None], reset: Callable[[], None]) -> None:
        self.tick, self.reset = tick, reset


DROP, LOOK, RELEASE, FETCH, LOCK, PIN = range(6)  # tag_cmd_e


def fold(key: int, width: int) -> int:
    """Return the XOR of a key's pieces of a width."""
    folded = 0
    while key:
        folded ^= key & ((1 << width) - 1)
        key >>= width
    return folded


class SketchModel:
    """Counts of lookups: two counters of a word each, halved every 8 lookups a word."""

    def __init__(self, words: int) -> None:
        self.words, self.width = words, words.bit_length() - 1
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.counts = [[0] * 8 for _ in range(self.words)]
        self.halved = [0] * self.words  # halvings that the word has seen
        self.lookups = 0

    def look(self, key: int, count: bool) -> int:
        """Return the estimate; `count` counts this lookup first."""
        word = fold(key, self.width)
        lanes = (fold(key, self.width + 1) % 4, 4 + fold(key, self.width + 2) % 4)
        halvings = self.lookups // (8 * self.words)
        age = (halvings - self.halved[word]) % 4
        counts = [value >> age for value in self.counts[word]]
        if count:
            self.lookups += 1
            for lane in lanes:
                counts[lane] = min(counts[lane] + 1, 15)
            self.counts[word], self.halved[word] = counts, halvings
        return min(counts[lane] for lane in lanes)


@dataclass
class Way:
    """A way of a set; its key means something when it is valid or pinned."""

    key: int = -1
    valid: bool = False
    pinned: bool = False
    locked: bool = False
    frequency: int = 0

    @property
    def used(self) -> bool:
        """Belongs to a key."""
        return self.valid or self.pinned

    @property
    def held(self) -> bool:
        """May not be replaced."""
        return self.pinned or self.locked


@dataclass
class Found:
    """What a lookup finds; `line` means something when hit or kept."""

    hit: bool = False
    evicted: bool = False
    kept: bool = False
    no_way: bool = False
    refused: bool = False
    pinned: bool = False
    held: bool = False
    line: int = 0


@dataclass
class TagModel:
    """Sets of ways and a PLRU tree each."""

    ways: int
    sets: int
    cached_ways: int = 1
    admission: bool = False

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop everything."""
        self.table = [[Way() for _ in range(self.ways)] for _ in range(self.sets)]
        self.trees = [[0] * max(1, self.ways - 1) for _ in range(self.sets)]

    def _touch(self, index: int, way: int) -> None:
        node, half = 0, self.ways // 2
        while half:
            right = int(bool(way & half))
            self.trees[index][node] = 1 - right
            node, half = 2 * node + 1 + right, half // 2

    def _victim(self, index: int) -> int:
        """Follow the tree, and turn round where all ways of the half are held."""
        node, way, half = 0, 0, self.ways // 2
        ways = self.table[index]
        while half:
            right = self.trees[index][node]
            chosen = ways[way + half * right : way + half * right + half]
            if all(found.held for found in chosen):
                right = 1 - right
            way += half * right
            node, half = 2 * node + 1 + right, half // 2
        return way

    def execute(self, key: int, command: int, estimate: int = 0) -> Found:
        """Execute a command of tag_cmd_e on a key that was looked up `estimate` times lately."""
        index = set_of(key, self.sets)
        ways = self.table[index]
        mine = next((n for n, way in enumerate(ways) if way.used and way.key == key), None)
        own = None if mine is None else ways[mine]
        found = Found(hit=own is not None and own.valid)
        found.pinned = found.hit and own is not None and own.pinned
        if command in (DROP, RELEASE):
            if own is not None:
                found.kept = command == RELEASE and own.held
                own.locked = False
                own.valid = own.valid and command == RELEASE
                own.pinned = own.pinned and command == DROP
            return found
        estimate = estimate if self.admission else 0
        if mine is None:
            if all(way.held for way in ways):
                found.no_way = True
                return found
            unused = [n for n, way in enumerate(ways) if not way.used]
            mine = unused[0] if unused else self._victim(index)
            victim = ways[mine]
            if not unused and self.admission and command == LOOK and estimate <= victim.frequency:
                victim.frequency = max(0, victim.frequency - 1)
                found.refused = True
                return found
            found.evicted = not unused
        self._keep(index, mine, command, found)
        way = ways[mine]
        way.key, way.valid, way.frequency = key, True, estimate
        found.kept, found.line = True, index * self.ways + mine
        self._touch(index, mine)
        return found

    def _keep(self, index: int, number: int, command: int, found: Found) -> None:
        """Hold a way as asked, or end its lock."""
        ways = self.table[index]
        way = ways[number]
        if command == LOOK:
            way.locked = False
        elif command in (LOCK, PIN):
            found.held = way.held or sum(not other.held for other in ways) > self.cached_ways
            if found.held and command == LOCK:
                way.locked = True
            elif found.held:
                way.pinned = True

    def lookup(self, key: int, alloc: bool) -> tuple[bool, int, bool]:
        """Look up a row, or drop its line; return (hit, line, evicted)."""
        found = self.execute(key, LOOK if alloc else DROP)
        return found.hit, found.line, found.evicted


@dataclass(frozen=True)
class Layout:
    """How a row of `vec_beats` vector beats is stored on a bus of `bytes` with chunks of `bytes >> expand`."""

    vec_beats: int
    expand: int
    bytes: int
    line_bytes: int

    @property
    def header_chunks(self) -> int:
        """Chunks that the header of a quantised row takes, 0 without."""
        return 16 // (self.bytes >> self.expand) if self.expand >= 2 else 0

    @property
    def stored_bytes(self) -> int:
        """Bytes of the stored row, a multiple of 64."""
        return -(-(self.header_chunks + self.vec_beats) * (self.bytes >> self.expand) // 64) * 64

    def lines(self) -> list[dict[str, int]]:
        """Return what op_t says of each line."""
        per_line = (self.line_bytes // self.bytes) << self.expand
        count = -(-self.stored_bytes // self.line_bytes)
        fields, base = [], 0
        for seg in range(count):
            chunk = self.header_chunks if seg == 0 else 0
            beats = min(per_line - chunk, self.vec_beats - base)
            rest = self.stored_bytes - seg * self.line_bytes
            fields.append(
                {
                    "seg": seg,
                    "first_seg": int(seg == 0),
                    "last_seg": int(seg == count - 1),
                    "fetch_beats": min(self.line_bytes, rest) // self.bytes,
                    "header": int(seg == 0 and self.expand >= 2),
                    "chunk": chunk,
                    "beats": beats,
                    "beat_base": base,
                }
            )
            base += beats
        return fields


@dataclass
class _Burst:
    due: int
    ident: int
    addr: int
    left: int
    miss: int  # number of the line among all lines asked for
    beat: int  # of the line


class LineMemory:
    """AXI4 read memory of unlimited size. Every line read has contents of its own.

    What a beat holds is a function of its address and of the number of the read: as if memory changed between
    any two reads. So data that came with an earlier or a later read than the right one is never right.
    Bursts of different IDs may overtake each other and interleave beat by beat; those of one ID stay in order.
    Lines in `muted` are not answered. `addresses[n]` is where the n-th line begins.
    Checked: INCR, full width, aligned, no burst leaves its window, AR stable, an ID is used again only when its
    line is complete, no more than `most` lines are outstanding.
    """

    def __init__(
        self,
        pins: Mapping[str, Pin],
        rng: random.Random,
        length_of: Callable[[int], int],
        params: Mapping[str, int],
    ) -> None:
        self._pins, self._rng, self._length_of = pins, rng, length_of
        self.bytes = pins["rdata"].width // 8
        self.mask = (1 << pins["rdata"].width) - 1
        self.window = min(4096, params.get("MAX_BURST", 256) * self.bytes)
        self.fetches = self.most = params["FETCHES"]
        self.muted: set[int] = set()
        self.latency, self.gap, self.ready_rate = (4, 20), 0.0, 1.0
        self.interleave, self.reorder, self.frozen = True, True, False
        self.error_rate = 0.0
        self.outstanding_sum = self.outstanding_max = self.cycles = self.bursts = self.splits = 0
        self.reset()

    def reset(self) -> None:
        """Forget what is outstanding."""
        self._cycle = 0
        self._queue: list[_Burst] = []
        self._busy: _Burst | None = None
        self._errors: dict[int, int] = {}
        self._lines = 0  # complete lines asked for
        self.addresses: list[int] = []
        self.muted.clear()
        self._asked = 0  # beats of the current line asked for
        self._held: tuple[int, ...] | None = None
        self._ready = self._offered = False
        self._pins["arready"].write(0)
        self._pins["rvalid"].write(0)

    @property
    def idle(self) -> bool:
        """Nothing outstanding."""
        return not self._queue

    @property
    def outstanding(self) -> int:
        """Lines asked for and not complete."""
        return len({burst.ident for burst in self._queue})

    def word(self, addr: int, miss: int) -> int:
        """Return the beat at an address as the n-th line read gets it."""
        return (addr // 16 + 1 + (miss + 1 << 40)) * ODD & self.mask

    def errors(self, miss: int) -> int:
        """Return which beats of the n-th line are answered with an error, one bit each."""
        if miss not in self._errors:
            mask = 1 << self._rng.randrange(self._length_of(miss)) | self._rng.getrandbits(256)
            self._errors[miss] = mask if self._rng.random() < self.error_rate else 0
        return self._errors[miss]

    def line(self, miss: int, addr: int) -> list[int | None]:
        """Return the beats of the n-th line read, None where it is answered with an error."""
        bad = self.errors(miss)
        return [
            None if bad >> beat & 1 else self.word(addr + beat * self.bytes, miss)
            for beat in range(self._length_of(miss))
        ]

    def tick(self) -> None:
        """One clock edge."""
        self._cycle += 1
        self.cycles += 1
        pins, rng = self._pins, self._rng
        if pins["arvalid"].read():
            now = tuple(
                pins[name].read() for name in ("arid", "araddr", "arlen", "arsize", "arburst")
            )
            assert self._held in (None, now), f"AR changed while waiting: {self._held} -> {now}"
            self._held = now
            if self._ready:
                self._held = None
                self._accept(*now)
        else:
            assert self._held is None, "arvalid fell before arready"
        self.outstanding_sum += self.outstanding
        self.outstanding_max = max(self.outstanding_max, self.outstanding)
        assert self.outstanding <= self.most, f"{self.outstanding} lines are outstanding"
        self._ready = rng.random() < self.ready_rate
        pins["arready"].write(int(self._ready))
        self._answer()

    def _accept(self, ident: int, addr: int, length: int, size: int, burst: int) -> None:
        beats = length + 1
        end = addr + beats * self.bytes
        assert 1 << size == self.bytes and burst == 1 and addr % self.bytes == 0, (
            "AR must be full-width aligned INCR"
        )
        assert addr // self.window == (end - 1) // self.window, (
            f"{beats} beats at {addr:#x} leave their window of {self.window} bytes"
        )
        if self._asked == 0:
            assert all(entry.ident != ident for entry in self._queue), (
                f"ID {ident} is used by another line"
            )
            self.addresses.append(addr)
        else:
            assert addr % self.window == 0, "a line is cut only where a window ends"
            self.splits += 1
        self.bursts += 1
        due = self._cycle + self._rng.randint(*self.latency) - 2  # AR to the first beat's cycle
        self._queue.append(_Burst(due, ident, addr, beats, self._lines, self._asked))
        self._asked += beats
        assert self._asked <= self._length_of(self._lines), (
            f"line {self._lines}: more beats than asked for"
        )
        if self._asked == self._length_of(self._lines):
            self._lines, self._asked = self._lines + 1, 0

    def _answer(self) -> None:
        pins, rng = self._pins, self._rng
        if self._offered and not pins["rready"].read():
            return
        self._offered = False
        pins["rvalid"].write(0)
        if not self._queue or self.frozen or (self.gap and rng.random() < self.gap):
            return
        if self._busy is None or self.interleave:
            oldest: dict[int, _Burst] = {}
            heard = [entry for entry in self._queue if entry.miss not in self.muted]
            for entry in heard if self.reorder else heard[:1]:
                oldest.setdefault(entry.ident, entry)
            due = [entry for entry in oldest.values() if entry.due <= self._cycle]
            if not due:
                return
            self._busy = rng.choice(due)
        burst = self._busy
        bad = self.errors(burst.miss) >> burst.beat & 1
        word = rng.getrandbits(self.bytes * 8) if bad else self.word(burst.addr, burst.miss)
        pins["rdata"].write(word)
        pins["rid"].write(burst.ident)
        pins["rresp"].write(2 + rng.getrandbits(1) if bad else 0)
        pins["rlast"].write(int(burst.left == 1))
        pins["rvalid"].write(1)
        self._offered = True
        burst.addr += self.bytes
        burst.beat += 1
        burst.left -= 1
        if burst.left == 0:
            self._queue.remove(burst)
            self._busy = None


@dataclass
class _Answer:
    """The answer to one request on its way: the next beat, and how many it has at all."""

    due: int
    tag: int
    addr: int
    number: int  # of the request
    beats: int
    beat: int = 0


class RemotePeer:
    """Other cards behind the port of remote rows. Every line asked for has contents of its own, as in LineMemory.

    What becomes of the n-th request is drawn once: answered, answered twice, lost, answered after `late` cycles, or
    with another number of beats (`broken`). Answers of different tags may overtake each other and interleave; those
    of one tag follow each other. `lines[n]` is what the n-th request asked for.
    """

    def __init__(
        self, bench: Bench, line_t: StructType, length_of: Callable[[int], int] | None = None
    ) -> None:
        names = ("tid", "tlast", "tvalid", "tready", "tdata", "tuser")
        self._out = {
            name: bench.pin(f"s_axis_remote_{name}")
            for name in names
            if bench.has(f"s_axis_remote_{name}")
        }
        self._in = {
            name: bench.pin(f"m_axis_remote_{name}") for name in ("tdata", "tvalid", "tready")
        }
        self._rng = random.Random(bench.random.getrandbits(64))
        self._line_t, self._length_of = line_t, length_of
        self.bytes = self._out["tdata"].width // 8 if "tdata" in self._out else 16
        self.mask = (1 << 8 * self.bytes) - 1
        self.latency, self.gap, self.ready_rate = (4, 40), 0.0, 1.0
        self.interleave, self.reorder, self.frozen = True, True, False
        self.rates = {"lost": 0.0, "late": 0.0, "twice": 0.0, "broken": 0.0}
        self.error_rate, self.late = 0.0, 0
        self.asked_sum = self.most = 0
        self.reset()

    def reset(self) -> None:
        """Forget what is outstanding; what is on the way is lost."""
        self._cycle = 0
        self._queue: list[_Answer] = []
        self._busy: _Answer | None = None
        self._valid = self._ready = False
        self._held: int | None = None
        self._fates: dict[int, tuple[str, int]] = {}
        self.lines: list[dict[str, int]] = []
        self._in["tready"].write(0)
        self._out["tvalid"].write(0)

    @property
    def idle(self) -> bool:
        """Nothing will come any more."""
        return not self._queue and not self._valid

    @property
    def waiting(self) -> int:
        """Requests with an answer to come."""
        return len({answer.number for answer in self._queue})

    def fate(self, number: int) -> str:
        """Return what becomes of the n-th request: "answered", or a name of `rates`."""
        return self._drawn(number)[0]

    def _drawn(self, number: int) -> tuple[str, int]:
        if number not in self._fates:
            dice, fate = self._rng.random(), "answered"
            for name, rate in self.rates.items():
                if 0 <= dice < rate:
                    fate = name
                dice -= rate
            bad = self._rng.getrandbits(64) if self._rng.random() < self.error_rate else 0
            self._fates[number] = (fate, bad)
        return self._fates[number]

    def word(self, addr: int, number: int) -> int:
        """Return the beat at an address as the n-th request gets it."""
        return (addr // 16 + 1 + (number + 1 << 44)) * ODD & self.mask

    def line(self, number: int, addr: int, beats: int) -> list[int | None]:
        """Return the beats that the n-th request gets, None where there is an error: all of those never answered."""
        fate, bad = self._drawn(number)
        if fate in ("lost", "late", "broken"):
            return [None] * beats
        return [
            None if bad >> beat & 1 else self.word(addr + beat * self.bytes, number)
            for beat in range(beats)
        ]

    def tick(self) -> None:
        """One clock edge."""
        self._cycle += 1
        self._take()
        self.asked_sum += self.waiting
        self.most = max(self.most, self.waiting)
        self._ready = not self.frozen and self._rng.random() < self.ready_rate
        self._in["tready"].write(int(self._ready))
        if self._valid and self._out["tready"].read():
            self._valid = False
        if not self._valid:
            self._answer()
        self._out["tvalid"].write(int(self._valid))

    def _take(self) -> None:
        if not self._in["tvalid"].read():
            assert self._held is None, "tvalid fell before tready"
            return
        word = self._in["tdata"].read()
        assert self._held in (None, word), "a request changed while it waited"
        self._held = None if self._ready else word
        if not self._ready:
            return
        line, number = self._line_t.unpack(word), len(self.lines)
        self.lines.append(line)
        fate = self.fate(number)
        beats = line["beats_m1"] + 1
        if fate == "lost":
            return
        due = self._cycle + (self.late if fate == "late" else 0) + self._rng.randint(*self.latency)
        if fate == "broken":
            beats = beats - 1 if beats > 1 and self._rng.random() < 0.5 else beats + 1
        for _ in range(2 if fate == "twice" else 1):
            self._queue.append(_Answer(due, line["tag"], line["addr"], number, beats))
            due += self._rng.randrange(2 * self.latency[1])

    def _answer(self) -> None:
        rng = self._rng
        if not self._queue or self.frozen or (self.gap and rng.random() < self.gap):
            return
        if self._busy is None or self.interleave:
            oldest: dict[int, _Answer] = {}
            for answer in sorted(self._queue, key=lambda answer: answer.due):
                oldest.setdefault(answer.tag, answer)
            due = [answer for answer in oldest.values() if answer.due <= self._cycle]
            due += [answer for answer in self._queue if answer.beat and answer not in due]
            started = {answer.tag: answer for answer in due if answer.beat}
            due = [started.get(answer.tag, answer) for answer in due]
            if not due:
                return
            self._busy = rng.choice(due) if self.reorder else due[0]
        answer = self._busy
        bad = self._drawn(answer.number)[1] >> answer.beat & 1
        values = {
            "tid": answer.tag,
            "tlast": int(answer.beat == answer.beats - 1),
            "tuser": int(bad),
            "tdata": rng.getrandbits(8 * self.bytes)
            if bad
            else self.word(answer.addr, answer.number),
        }
        for name, value in values.items():
            if name in self._out:
                self._out[name].write(value)
        self._valid = True
        answer.addr += self.bytes
        answer.beat += 1
        if answer.beat == answer.beats:
            self._queue.remove(answer)
            self._busy = None


def add_memory(bench: Bench, length_of: Callable[[int], int]) -> LineMemory:
    """Put a LineMemory behind `m_axi` of the DUT; `length_of(n)` says how many beats the n-th line has."""
    address = ("arvalid", "arready", "arid", "araddr", "arlen", "arsize", "arburst")
    data = ("rvalid", "rready", "rid", "rdata", "rresp", "rlast")
    pins = {name: bench.pin(f"m_axi_{name}") for name in (*address, *data)}
    rng = random.Random(bench.random.getrandbits(64))
    memory = LineMemory(pins, rng, length_of, bench.params)
    bench.add(memory)
    return memory
