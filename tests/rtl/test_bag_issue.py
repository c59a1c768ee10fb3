# SPDX-License-Identifier: Apache-2.0
"""Bench of embnic_bag_issue: the operations of every bag against a plain model of the rules.

Bags take turns, so operations are compared bag by bag (a bag is known by its context and reply
address); that the lines of a row stay together and that a slot holds one bag is checked on the way.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import cocotb
import pytest
from row_formats import DTYPES, FIXED, expand_log2, lines_of, row_units

from embnic_sim.bench import Bench
from embnic_sim.runner import build_and_test, expect_build_failure
from embnic_sim.streams import STALLS
from embnic_sim.structs import load_structs

NULL_ROW = (1 << 48) - 1
FLOATS = DTYPES[:3]  # fp32, fp16, bf16
ONE = 0x3F800000
OP_ROW, OP_FLUSH, OP_INIT = 0, 1, 2
BEAT_W = 9  # of an address in the init RAM
SUM, MEAN, MAX, NONE = range(4)
SEQUENTIAL, TREE, SPLIT, MEMO = range(4)
BAD_REQUEST, UNKNOWN_TABLE, TABLE_MISMATCH, OUT_OF_RANGE = 1, 2, 3, 4
UNSUPPORTED = 6

# Fields of an operation that mean something only for a row.
ROW_FIELDS = ("tbl", "row", "addr", "weight", "mul_then_add")


@dataclass
class Entry:
    """A key and its weight."""

    table: int
    row: int
    weight: int = ONE


@dataclass
class Bag:
    """A bag as the test thinks of it; `fields` are those of bag_t."""

    entries: list[Entry]
    fields: dict[str, int]
    ops: list[dict[str, int]] = field(default_factory=list)


class Places:
    """Stands for the cache: holds each operation for a while, then gives its slot a place back.

    `held` are slots, and whether it is an operation of a bag of a remote table; with `owners_silent` these stay.
    """

    def __init__(self, bench: "IssueBench") -> None:
        self.bench, self.held = bench, deque[tuple[int, bool]]()
        self.stall: Any = lambda: True
        self.owners_silent = False
        self.most = 0

    def reset(self) -> None:
        """Empty."""
        self.held.clear()
        self.bench.drive(op_credit_valid=0)

    def take(self, slot: int, remote: bool) -> None:
        """An operation came."""
        self.held.append((slot, remote))
        number = sum(held == slot for held, _ in self.held)
        self.most = max(self.most, number)
        places = int(self.bench.params["PLACES"])
        assert number <= places, f"slot {slot} has {number} operations in the cache"

    def tick(self) -> None:
        """One clock edge."""
        ready = [at for at, (_, far) in enumerate(self.held) if not (far and self.owners_silent)]
        go = bool(ready) and self.stall()
        self.bench.drive(op_credit_valid=int(go))
        if go:
            at = self.bench.random.choice(ready[:4])
            self.bench.drive(op_credit_slot=self.held[at][0])
            del self.held[at]


class IssueBench(Bench):
    """A key store and a table RAM around the DUT, and the model of what it must issue."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut)
        structs = load_structs()
        self.bag_t, self.op_t = structs["bag_t"], structs["op_t"]
        self.descriptor_t = structs["descriptor_t"]
        width = int(self.params["DATA_W"])
        self.beat_words, self.bpw = width // 64, 512 // width
        self.tables = int(self.params["TABLES"])
        self.words = [self.random.getrandbits(64)] * (int(self.params["KS_BEATS"]) * width // 64)
        self.next_word = 0
        self.descriptors: dict[int, dict[str, int]] = {}
        self.places = self.add(Places(self))
        self.source = self.stream_source("s_axis_bag")
        self.sink = self.stream_sink("m_axis_op", self.take_op)
        self.board = self.scoreboard("ops")
        self.ram_read_port("ks_rd", self.beat)
        self.ram_read_port("desc_rd", lambda addr: self.descriptor_t.pack(self.desc(addr)))
        self.monitor("err_valid", ["err_ctx", "err_status"], self.take_error)
        self.counts = {
            name: self.count(name)
            for name in (
                "evt_key",
                "evt_key_null",
                "evt_key_padding",
                "evt_key_refused",
                "evt_bag",
            )
        }
        self.expected_counts: Counter[str] = Counter()
        self.open: dict[tuple[int, int], deque[dict[str, int]]] = {}
        self.bag_of_slot: dict[int, tuple[int, int]] = {}
        self.remote_bags: set[tuple[int, int]] = set()  # names of those that are open
        self.remote_slots = int(self.params["REMOTE_SLOTS"])
        self.in_row: tuple[int, int] | None = None
        self.errors: Counter[tuple[int, int]] = Counter()
        self.expected_errors: Counter[tuple[int, int]] = Counter()
        self.poolings: dict[int, int] = {}
        self.seen_slots: list[int] = []
        self.reply_addr = 0
        self.last_op_cycle = self.first_op_cycle = 0

    def forget(self) -> None:
        """What a reset forgets."""
        self.open.clear()
        self.bag_of_slot.clear()
        self.remote_bags.clear()
        self.in_row = None
        self.errors.clear()
        self.expected_errors.clear()
        self.expected_counts = Counter({name: count.total for name, count in self.counts.items()})
        self.seen_slots.clear()
        self.first_op_cycle = 0

    async def reset(self, cycles: int = 4) -> None:
        """Reset DUT and model."""
        await super().reset(cycles)
        self.forget()

    # Surroundings

    def beat(self, addr: int) -> int:
        """Return a beat of the key store."""
        assert addr < int(self.params["KS_BEATS"]), f"key store address {addr} is outside"
        first = addr * self.beat_words
        words = self.words[first : first + self.beat_words]
        return sum(word << 64 * lane for lane, word in enumerate(words))

    def desc(self, table: int) -> dict[str, int]:
        """Return the descriptor of a table; a table that was never written holds garbage, not valid."""
        if table not in self.descriptors:
            garbage = self.descriptor_t.unpack(self.random.getrandbits(self.descriptor_t.width))
            return {**garbage, "valid": 0}
        return self.descriptors[table]

    def add_table(self, table: int, **fields: int) -> None:
        """Write a descriptor; padding only when `padding_row` is given."""
        base = self.random.getrandbits(33) << 6
        given = {"valid": 1, "rows": 1 << 20, "dim": 16, "base": base, **fields}
        given.setdefault("has_padding", int("padding_row" in fields))
        self.descriptors[table] = given

    # Model

    def send(self, entries: list[Entry], **fields: int) -> Bag:
        """Put a bag's keys in the key store, expect its operations and send it."""
        bag = self.make_bag(entries, **fields)
        self.model(bag)
        self.put(bag)
        return bag

    def make_bag(self, entries: list[Entry], **fields: int) -> Bag:
        """Return a bag of these keys with a reply address of its own."""
        dim = fields.pop("dim", 16)
        self.reply_addr = (self.reply_addr + 37) % (1 << 14)
        given = {
            "ctx": 0,
            "first": 1,
            "rsp_addr": self.reply_addr,
            "dim": dim,
            "dtype": 0,
            **fields,
        }
        given["vec_beats"] = (dim + 15) // 16 * self.bpw
        given["row_beats"] = row_units(given["dtype"], dim) * self.bpw
        given["remote"] = self.descriptors.get(entries[-1].table, {}).get("remote", 0)
        return Bag(entries, {**given, "keys": len(entries)})

    def put(self, bag: Bag) -> None:
        """Write the keys and send the bag."""
        step = 2 if bag.fields.get("weighted") else 1
        self.next_word += -self.next_word % step
        bag.fields["word"] = self.next_word % len(self.words)
        for number, entry in enumerate(bag.entries):
            last = number == len(bag.entries) - 1
            key = int(last) << 63 | entry.table << 48 | entry.row
            self.words[self.next_word % len(self.words)] = key
            if step == 2:
                self.words[(self.next_word + 1) % len(self.words)] = entry.weight
            self.next_word += step
        name = bag.fields["ctx"], bag.fields["rsp_addr"]
        self.open[name] = deque(bag.ops)
        if self.remote_slots and bag.fields["remote"]:
            self.remote_bags.add(name)
        self.board.expect(*[0] * len(bag.ops))
        self.source.send(self.bag_t.pack(bag.fields))

    def key_status(self, entry: Entry, bag: Bag, table: int, *, half: bool = False) -> int:
        """Return the status of a key that does not depend on other bags; `half`: it lacks its partner."""
        known = entry.table < self.tables and entry.table in self.descriptors
        desc = self.descriptors[entry.table] if known else {}
        if not known or not desc["valid"]:
            return UNKNOWN_TABLE
        pooling = desc.get("pooling", SUM)
        request_pooling = self.poolings.setdefault(bag.fields["ctx"], pooling)
        if desc.get("order", 0) == MEMO or desc.get("memo"):
            return UNSUPPORTED
        if desc.get("remote") and (not self.remote_slots or bag.fields.get("product")):
            return UNSUPPORTED
        if desc.get("order", 0) == TREE and not self.tree_fits(desc, bag):
            return UNSUPPORTED
        if bag.fields.get("merge") and desc.get("order", 0) != SPLIT:
            return UNSUPPORTED
        if bag.fields.get("product") and (desc.get("order", 0) != SEQUENTIAL or pooling != SUM):
            return UNSUPPORTED
        mismatch = (desc["dim"], desc.get("dtype", 0)) != (bag.fields["dim"], bag.fields["dtype"])
        if mismatch or (bag.fields.get("weighted") and pooling != SUM):
            return TABLE_MISMATCH
        more = bag.fields.get("init") or bag.fields.get("merges")
        if (pooling == NONE and (len(bag.entries) > 1 or more)) or half:
            return BAD_REQUEST
        if entry.row != NULL_ROW and entry.row >= desc["rows"]:
            return OUT_OF_RANGE
        return TABLE_MISMATCH if entry.table != table or pooling != request_pooling else 0

    def tree_fits(self, desc: dict[str, int], bag: Bag) -> bool:
        """Whether the card has so many running sums, and room for them; and the bag is whole."""
        k = 1 << desc.get("tree_k_log2", 0)
        room = int(self.params["MAX_VEC64"]) * self.bpw // k
        fits = 2 <= k <= int(self.params["TREE_K"]) and bag.fields["vec_beats"] <= room
        return fits and not bag.fields.get("piece")

    def model_pairs(self, bag: Bag) -> None:
        """Work out the operations, errors and events of a bag of pairs."""
        fields = bag.fields
        something, count = bool(fields.get("init")), fields.get("init_count", 0)
        short = not fields.get("weighted") and fields["dtype"] in FLOATS
        unpooled = {"weight": ONE, "pooling": NONE}
        if fields["first"]:
            self.poolings.pop(fields["ctx"], None)
        if something:
            where = 1 << BEAT_W | fields.get("init_addr", 0) % (1 << BEAT_W)
            self.lines(bag, OP_INIT, {"row": where}, count=count, first=1, last=0)
        half = False
        for number, entry in enumerate(bag.entries):
            second, last = number % 2, int(number == len(bag.entries) - 1)
            half_a_pair = bool(last and not second)
            status = self.key_status(entry, bag, bag.entries[second].table, half=half_a_pair)
            desc = self.descriptors.get(entry.table, {}) if entry.table < self.tables else {}
            null = entry.row == NULL_ROW
            padding = (
                not status
                and not null
                and bool(desc.get("has_padding"))
                and entry.row == desc["padding_row"]
            )
            there = not (status or null or padding)
            if status:
                self.expected_errors[fields["ctx"], status] += 1
            self.expected_counts.update(
                {
                    "evt_key": 1,
                    "evt_key_null": int(null or (second and there and not half)),
                    "evt_key_padding": int(padding),
                    "evt_key_refused": int(bool(status) and not null),
                    "evt_bag": last,
                }
            )
            row = {
                "tbl": entry.table,
                "row": entry.row,
                "addr": desc.get("base", 0)
                + entry.row * row_units(fields["dtype"], fields["dim"]) * 64,
                "mul_then_add": desc.get("mul_then_add", 0),
            }
            if not second and there:
                # A first row reads nothing, so that it keeps no distance.
                place = {"bank": 1, "first": 1, "spaced": 0, "last": 0}
                self.lines(bag, OP_ROW, {**row, **unpooled}, count=count, **place)
            half, there = there and not second, there and half
            if second and there:
                self.second_row(bag, row, entry, short, something, count + 1, last)
                something, count = True, count + 1
            elif last:
                place = {"first": int(not something), "spaced": 1, "last": 1}
                self.lines(bag, OP_FLUSH, {"pooling": SUM}, count=count, **place)

    def second_row(
        self,
        bag: Bag,
        row: dict[str, int],
        entry: Entry,
        short: bool,
        something: bool,
        count: int,
        last: int,
    ) -> None:
        """Append the operations that end a pair."""
        sums = {"first": int(not something), "spaced": 1, "last": last}
        if short:
            given = {**row, "weight": ONE, "pooling": SUM}
            self.lines(bag, OP_ROW, given, count=count, product=1, **sums)
            return
        place = {"bank": 2, "first": 1, "spaced": 0, "last": 0}
        unpooled = {**row, "weight": ONE, "pooling": NONE}
        self.lines(bag, OP_ROW, unpooled, count=count - 1, **place)
        place = {"bank": 1, "first": 0, "spaced": 1, "last": 0}
        one = {"row": 2, "weight": ONE, "pooling": SUM, "mul_then_add": row["mul_then_add"]}
        self.lines(bag, OP_FLUSH, one, count=count - 1, combine=1, product=1, **place)
        weight = entry.weight if bag.fields.get("weighted") else ONE
        added = {**one, "row": 1, "weight": weight}
        self.lines(bag, OP_FLUSH, added, count=count, combine=1, **sums)

    def model(self, bag: Bag) -> None:
        """Work out the operations, errors and events of a bag."""
        if bag.fields.get("product"):
            self.model_pairs(bag)
            return
        fields = bag.fields
        init = bool(fields.get("init"))
        merges, vector = fields.get("merges", 0), fields.get("init_addr", 0)
        count, something = fields.get("init_count", 0), init
        merged_as = {"pooling": 0, "mul_then_add": 0}
        first_table = bag.entries[0].table
        of_first = self.descriptors.get(first_table, {}) if first_table < self.tables else {}
        k = 0  # running sums of a TREE whose tail follows
        if of_first.get("valid") and of_first.get("order") == TREE and len(bag.entries) > 1:
            k = 1 << of_first["tree_k_log2"] if self.tree_fits(of_first, bag) else 0
            k = 0 if init or fields.get("merge") else k
        added = 0  # rows
        if fields["first"]:
            self.poolings.pop(fields["ctx"], None)
        if init:
            where = int(not merges) << BEAT_W | vector % (1 << BEAT_W)
            self.lines(bag, OP_INIT, {"row": where}, count=count, first=1, last=0)
            vector += fields["vec_beats"]
        for number, entry in enumerate(bag.entries):
            last = int(number == len(bag.entries) - 1 and not merges and not k)
            status = self.key_status(entry, bag, bag.entries[0].table)
            desc = self.descriptors.get(entry.table, {}) if entry.table < self.tables else {}
            null = entry.row == NULL_ROW
            if number == 0:
                merged_as = {
                    "pooling": desc.get("pooling", SUM),
                    "mul_then_add": desc.get("mul_then_add", 0),
                }
            padding = (
                not status
                and not null
                and desc.get("has_padding")
                and entry.row == desc["padding_row"]
            )
            if status:
                self.expected_errors[fields["ctx"], status] += 1
            self.expected_counts.update(
                {
                    "evt_key": 1,
                    "evt_key_null": int(null),
                    "evt_key_padding": int(bool(padding)),
                    "evt_key_refused": int(bool(status) and not null),
                    "evt_bag": last,
                }
            )
            if status or null or padding:
                if last:
                    pooling = 0 if status else desc.get("pooling", SUM)
                    self.lines(
                        bag,
                        OP_FLUSH,
                        {"pooling": pooling},
                        count=count,
                        first=int(not something),
                        last=1,
                    )
                continue
            count += 1
            row = {
                "tbl": entry.table,
                "row": entry.row,
                "addr": desc["base"] + entry.row * row_units(fields["dtype"], fields["dim"]) * 64,
                "weight": entry.weight if fields.get("weighted") else ONE,
                "mul_then_add": desc.get("mul_then_add", 0),
                "pooling": desc.get("pooling", SUM),
                "remote": desc.get("remote", 0),
                "owner": desc.get("owner", 0),
                "generation": desc.get("generation", 0),
            }
            where = {"first": int(not something), "last": last}
            if desc.get("order") == TREE:
                sums = 1 << desc["tree_k_log2"]
                where |= {"bank": added % sums, "first": int(added < sums)}
                where["spaced"] = int(added >= sums and added % sums == 0)
            self.lines(bag, OP_ROW, row, count=count, **where)
            something, added = True, added + 1
        for source in range(k - 1, 0, -1):
            last = int(source == 1)
            if source < added:
                to = source - (1 << source.bit_length() - 1)
                held = min(added, k)
                spaced = int(source & source + 1 == 0 or source == held - 1)
                sums_added = {"row": source, "weight": ONE, **merged_as}
                place = {"bank": to, "combine": 1, "first": 0, "spaced": spaced, "last": last}
                self.lines(bag, OP_FLUSH, sums_added, count=count, **place)
            elif last:
                flush = {"pooling": merged_as["pooling"]}
                self.lines(bag, OP_FLUSH, flush, count=count, first=int(not added), last=1)
            self.expected_counts["evt_bag"] += last
        for left in range(merges, 0, -1):
            last = int(left == 1)
            partial = {
                "row": last << BEAT_W | vector % (1 << BEAT_W),
                "weight": ONE,
                **merged_as,
            }
            self.lines(bag, OP_INIT, partial, count=count, first=int(not something), last=last)
            self.expected_counts["evt_bag"] += last
            vector, something = vector + fields["vec_beats"], True

    def lines(self, bag: Bag, kind: int, row: dict[str, int], **fields: int) -> None:
        """Append the operations of one row."""
        dtype, line_bytes = bag.fields["dtype"], int(self.params["LINE_BYTES"])
        found = list(
            lines_of(dtype, bag.fields["dim"], line_bytes=line_bytes, bus_bytes=self.beat_words * 8)
        )
        for seg, line in enumerate(found):
            addr = row.get("addr", 0) + seg * int(self.params["LINE_BYTES"])
            bag.ops.append(
                {
                    **row,
                    **fields,
                    "kind": kind,
                    "ctx": bag.fields["ctx"],
                    "seg": seg,
                    "addr": addr % (1 << 40),
                    **line._asdict(),
                    "dtype": dtype,
                    "header": int(kind == OP_ROW and seg == 0 and expand_log2(dtype) >= 2),
                    "first_seg": int(seg == 0),
                    "last_seg": int(seg == len(found) - 1),
                    "dim": bag.fields["dim"],
                    "partial": bag.fields.get("partial", 0),
                    "spaced": fields.get("spaced", 1 - fields["first"]),
                    "rsp_addr": bag.fields["rsp_addr"],
                }
            )

    def meaningless(self, op: dict[str, int]) -> set[str]:
        """Return the fields that mean nothing in this operation, and the slot, which is free."""
        names = {"slot"}
        if op["kind"] == OP_INIT:
            names.update(("tbl", "addr"))
            if op["first"] and not op["last"]:  # taken as it is
                names.update(("pooling", "weight", "mul_then_add"))
        elif op["combine"]:
            names.update(("tbl", "addr"))
        elif op["kind"] != OP_ROW:
            names.update(ROW_FIELDS)
        if not op["remote"]:
            names.update(("owner", "generation"))
        # The reply of a context with an error has no vectors: how they are pooled does not matter.
        if op["ctx"] in {ctx for ctx, _ in self.expected_errors}:
            names.update(("pooling", "mul_then_add"))
        return names

    # What comes out

    def take_op(self, word: int) -> None:
        """Compare an operation with the next of its bag."""
        op = self.op_t.unpack(word)
        name = op["ctx"], op["rsp_addr"]
        assert name in self.open, f"operation of bag {name} that is not open: {op}"
        assert self.in_row in (None, name), f"bag {name} cuts into a row of bag {self.in_row}"
        self.in_row = None if op["last_seg"] else name
        slot, remote = op["slot"], name in self.remote_bags
        if slot not in self.bag_of_slot:
            self.bag_of_slot[slot] = name
            assert not remote or slot < self.remote_slots, f"slot {slot} is for local bags"
            waits = not remote and (slot, True) in self.places.held
            assert not waits, f"slot {slot} waits for another card"
        assert self.bag_of_slot[slot] == name, f"slot {slot} has two bags"
        wanted = self.open[name].popleft()
        self.places.take(slot, remote)
        skip = self.meaningless(op)
        differ = {
            k: (v, wanted.get(k, 0))
            for k, v in op.items()
            if k not in skip and v != wanted.get(k, 0)
        }
        assert not differ, f"operation of bag {name} differs (seen, expected): {differ}"
        if op["last"] and op["last_seg"]:
            assert not self.open.pop(name), f"bag {name} ended early"
            self.remote_bags.discard(name)
            del self.bag_of_slot[op["slot"]]
            self.seen_slots.append(op["slot"])
        self.board.check(0)
        self.last_op_cycle = self.cycle
        self.first_op_cycle = self.first_op_cycle or self.cycle

    def take_error(self, word: tuple[int, int]) -> None:
        """Note a refused key."""
        self.errors[word] += 1

    async def settle(self) -> None:
        """Drain, and compare errors and events."""
        await self.drain()
        assert not self.open, f"bags that never ended: {list(self.open)}"
        assert self.errors == self.expected_errors, f"{self.errors} != {self.expected_errors}"
        totals = {name: count.total for name, count in self.counts.items()}
        assert totals == {name: self.expected_counts[name] for name in totals}

    # Random traffic

    def random_pairs(self, ctx: int, pairs: int, trouble: float = 0.1) -> Bag:
        """Send a bag of pairs of two of the tables 0 to 3 of the test for them."""
        rng = self.random
        tables = rng.choice([(0, 1), (1, 0), (2, 3), (0, 0)])
        shape = self.descriptors[tables[0]]
        sides = [self.random_entries(table, pairs, 0.0) for table in tables]
        entries = [entry for pair in zip(*sides, strict=True) for entry in pair]
        entries = entries or [Entry(table, NULL_ROW) for table in tables]
        if rng.random() < trouble:
            kind = rng.randrange(4)
            at = rng.randrange(len(entries))
            if kind == 0:
                entries.pop()
            elif kind == 1:
                entries[at].table = rng.randrange(self.tables, 1 << 15)
            elif kind == 2:
                entries[at].row = NULL_ROW - 1
            else:
                entries[at].table = rng.randrange(4)
        init = rng.randrange(2)
        return self.send(
            entries or [Entry(tables[0], NULL_ROW)],
            ctx=ctx,
            dim=shape["dim"],
            dtype=shape["dtype"],
            product=1,
            weighted=rng.randrange(2),
            partial=rng.randrange(2),
            piece=init,
            init=init,
            init_addr=rng.randrange(4) << 7,
            init_count=rng.choice([1, 2, 1 << 31]) if init else 0,
        )

    def random_tables(self) -> None:
        """Tables of every kind of trouble; table 0 to 2 of dim 16 are good sum tables."""
        self.descriptors.clear()
        low, high = min(2, self.tables - 1), self.tables - 1
        self.add_table(0, rows=1000, mul_then_add=1, padding_row=7)
        self.add_table(1, rows=NULL_ROW)
        self.add_table(low, rows=3, padding_row=0)
        if high >= 7:
            self.add_table(3, pooling=MEAN, padding_row=5)
            self.add_table(4, pooling=NONE)
            self.add_table(6, order=self.random.choice([SPLIT, MEMO]))
            pooling, log2 = self.random.choice([SUM, MEAN, MAX]), self.random.randrange(6)
            padding = {"padding_row": 11} if self.random.random() < 0.5 else {}
            self.add_table(5, order=TREE, tree_k_log2=log2, pooling=pooling, **padding)
            self.add_table(2, order=SPLIT, rows=90, padding_row=3, mul_then_add=1)
            self.add_table(high, pooling=MAX, rows=50)
        for table in self.descriptors.values():
            if self.remote_slots and self.random.random() < 0.3:
                owner = {name: self.random.getrandbits(8) for name in ("owner", "generation")}
                table.update(remote=1, **owner)

    def random_entries(self, table: int, number: int, trouble: float) -> list[Entry]:
        """Keys of one table, some null, padding, out of range or of another table."""
        entries = []
        for _ in range(number):
            rows = self.descriptors.get(table, {}).get("rows", 100)
            row = self.random.randrange(min(rows, 1 << 30))
            kind = self.random.random()
            if kind < 0.1:
                row = NULL_ROW
            elif kind < 0.2:
                row = self.descriptors.get(table, {}).get("padding_row", row)
            elif kind < 0.25:
                row = rows - 1
            other = table
            if self.random.random() < trouble:
                row, other = self.random.choice(
                    [
                        (rows, table),
                        (NULL_ROW - 1, table),
                        (row, self.random.randrange(self.tables)),
                        (row, self.random.randrange(self.tables, 1 << 15)),
                        (row, table),
                    ]
                )
            entries.append(Entry(other, row, self.random.getrandbits(32)))
        return entries

    def random_batch(self, requests: int, trouble: float = 0.1) -> None:
        """Send the bags of some requests, each with a context of its own and with tables of one pooling."""
        contexts = self.random.sample(range(64), requests)
        room = len(self.words) - 8
        for ctx in contexts:
            weighted = self.random.randrange(2)
            init = self.random.random() < 0.2
            partial = self.random.randrange(2)
            merge = int(self.random.random() < 0.2)
            merges = self.random.choice([0, 1, 2, 5]) if merge else 0
            bags = 1 if init or partial or merge else self.random.randrange(1, 5)
            # One table a request where tables may disagree in pooling: which of two bags is first is not fixed.
            table = self.random.randrange(self.tables)
            if merge and self.random.random() < 0.8:
                table = min(2, self.tables - 1)
            for number in range(bags):
                keys = self.random.choice([1, 1, 2, 3, self.random.randrange(1, 24)])
                if (
                    self.descriptors.get(table, {}).get("pooling") == NONE
                    and self.random.random() < 0.9
                ):
                    keys = 1
                if keys * (1 + weighted) + 2 > room:
                    return
                room -= keys * (1 + weighted) + 1
                bag_trouble = trouble if bags == 1 else 0.0
                entries = self.random_entries(table, keys, bag_trouble)
                dim = (
                    self.descriptors.get(table, {"dim": 16})["dim"]
                    if self.random.random() < 0.95
                    else 40
                )
                self.send(
                    entries,
                    ctx=ctx,
                    first=int(number == 0),
                    weighted=weighted,
                    partial=partial,
                    init=int(init),
                    piece=int(init or self.random.random() < 0.1),
                    merge=merge,
                    merges=merges,
                    init_addr=self.random.randrange(4) << 7,
                    init_count=self.random.choice([1, 2, 1 << 31]) if init or merges else 0,
                    dim=dim,
                    dtype=self.descriptors.get(table, {}).get("dtype", 0)
                    if self.random.random() < 0.98
                    else self.random.choice(DTYPES),
                )


@cocotb.test()
async def directed(dut: Any) -> None:
    """A bag of three keys, an empty bag, an accumulator with nothing to add, one with padding at the end."""
    bench = IssueBench(dut)
    await bench.reset()
    bench.add_table(0, rows=100, padding_row=9)
    bench.send([Entry(0, 3), Entry(0, NULL_ROW), Entry(0, 99)])
    bench.send([Entry(0, NULL_ROW)], first=0)
    bench.send([Entry(0, NULL_ROW)], ctx=1, init=1, init_count=5, partial=1)
    bench.send([Entry(0, 1), Entry(0, 9)], ctx=2, init=1, init_count=1)
    bench.send([Entry(0, 9), Entry(0, 9)], ctx=3)
    await bench.settle()
    assert bench.board.compared == 2 + 1 + 2 + 3 + 1
    bench.add_table(1, rows=100, order=SPLIT, pooling=MEAN, mul_then_add=1, padding_row=9)
    more = {"merge": 1, "merges": 3, "init_count": 9, "init_addr": 128}
    bench.send([Entry(1, 3), Entry(1, NULL_ROW)], ctx=4, **more)
    bench.send([Entry(1, 9)], ctx=5, **more)  # the first partial is first of all
    bench.send([Entry(1, 9), Entry(1, 2)], ctx=6, init=1, **more)
    bench.send([Entry(1, NULL_ROW)], ctx=7, merge=1)  # partials without a key: an empty bag
    await bench.settle()
    assert bench.board.compared == 9 + 4 + 3 + 5 + 1


@cocotb.test()
async def every_refusal(dut: Any) -> None:
    """Each check of a key refuses it with its status, alone and as one of three."""
    bench = IssueBench(dut)
    await bench.reset()
    last = bench.tables - 1
    cases = [
        ({"valid": 0}, {}, Entry(1, 0), UNKNOWN_TABLE),
        ({}, {}, Entry(bench.tables, 0), UNKNOWN_TABLE),
        ({}, {}, Entry((1 << 15) - 1, 0), UNKNOWN_TABLE),
        ({"pooling": NONE}, {"weighted": 1}, Entry(1, 0), TABLE_MISMATCH),
        ({"pooling": NONE}, {"init": 1, "init_count": 1}, Entry(1, 0), BAD_REQUEST),
        ({"order": TREE}, {}, Entry(1, 0), UNSUPPORTED),
        ({"order": TREE, "tree_k_log2": 5}, {}, Entry(1, 0), UNSUPPORTED),
        ({"order": TREE, "tree_k_log2": 8}, {}, Entry(1, 0), UNSUPPORTED),
        ({"order": TREE, "tree_k_log2": 1}, {"piece": 1}, Entry(1, 0), UNSUPPORTED),
        (
            {"order": TREE, "tree_k_log2": 1},
            {"merge": 1, "merges": 2, "init_count": 2},
            Entry(1, 0),
            UNSUPPORTED,
        ),
        ({"order": MEMO}, {}, Entry(1, 0), UNSUPPORTED),
        ({"order": SPLIT}, {}, Entry(1, 0), 0),
        ({"order": SPLIT}, {"merge": 1, "merges": 2, "init_count": 2}, Entry(1, 0), 0),
        ({}, {"merge": 1, "merges": 2, "init_count": 2}, Entry(1, 0), UNSUPPORTED),
        ({}, {"merge": 1}, Entry(1, 0), UNSUPPORTED),
        (
            {"order": SPLIT, "pooling": NONE},
            {"merge": 1, "merges": 1, "init_count": 1},
            Entry(1, 0),
            BAD_REQUEST,
        ),
        ({"memo": 1}, {}, Entry(1, 0), UNSUPPORTED),
        ({"remote": 1}, {}, Entry(1, 0), 0 if bench.remote_slots else UNSUPPORTED),
        ({"dim": 15}, {}, Entry(1, 0), TABLE_MISMATCH),
        ({"dtype": 1}, {}, Entry(1, 0), TABLE_MISMATCH),
        ({}, {"dtype": 2}, Entry(1, 0), TABLE_MISMATCH),
        ({"pooling": MEAN}, {"weighted": 1}, Entry(1, 0), TABLE_MISMATCH),
        ({"pooling": MAX}, {"weighted": 1}, Entry(1, 0), TABLE_MISMATCH),
        ({"rows": 5}, {}, Entry(1, 5), OUT_OF_RANGE),
        ({"rows": 5, "padding_row": 5}, {}, Entry(1, 5), OUT_OF_RANGE),
        ({"rows": 1 << 40}, {}, Entry(1, 1 << 40), OUT_OF_RANGE),
        ({"rows": 0}, {}, Entry(1, 0), OUT_OF_RANGE),
        ({"valid": 0}, {}, Entry(1, NULL_ROW), UNKNOWN_TABLE),
        ({}, {}, Entry(1, 0), 0),
    ]
    if int(bench.params["PRODUCTS"]):
        cases.append(({"remote": 1}, {"product": 1}, Entry(1, 0), UNSUPPORTED))
    for table, fields, entry, status in cases:
        bench.descriptors.clear()
        bench.add_table(1, **table)
        bench.add_table(last, **{"rows": 10, **table})
        bench.forget()
        bench.send([entry], ctx=4, **fields)
        bench.send(
            [Entry(entry.table, NULL_ROW), entry, Entry(entry.table, NULL_ROW)], ctx=5, **fields
        )
        await bench.settle()
        assert bench.errors[4, status] == int(bool(status)), (
            f"{table} {fields} {entry}: {bench.errors}"
        )


@cocotb.test()
async def trees(dut: Any) -> None:
    """Every number of running sums with every number of rows; more sums than the card has are refused."""
    bench = IssueBench(dut)
    await bench.reset()
    units = int(bench.params["MAX_VEC64"])
    most = int(bench.params["TREE_K"])
    combined = refused = 0
    for log2 in (1, 2, 3, 4):
        for vec64 in sorted({1, max(units >> log2, 1), max((units >> log2) + 1, 1)}):
            if vec64 > units:
                continue
            bench.descriptors.clear()
            bench.forget()
            dim = 16 * vec64
            bench.add_table(0, dim=dim, order=TREE, tree_k_log2=log2, rows=100, padding_row=9)
            fits = 1 << log2 <= most and vec64 <= units >> log2
            for rows in range(2 * (1 << log2) + 3):
                entries = [Entry(0, bench.random.randrange(9)) for _ in range(rows)]
                for _ in range(bench.random.randrange(4)):
                    row = bench.random.choice([9, NULL_ROW])
                    entries.insert(bench.random.randint(0, len(entries)), Entry(0, row))
                bench.send(entries or [Entry(0, NULL_ROW)], ctx=rows, dim=dim)
                combined += fits
                refused += not fits
                if rows % 3 == 0:
                    await bench.settle()
            await bench.settle()
    assert refused, "no number of sums was refused"
    assert combined or not most


@cocotb.test()
async def pairs(dut: Any) -> None:
    """Bags of pairs of every format: short and long ways, null and padding keys on either side, refusals."""
    bench = IssueBench(dut)
    if not int(bench.params["PRODUCTS"]):
        return
    units = int(bench.params["MAX_VEC64"]) // 4
    await bench.reset()
    bench.add_table(0, rows=100, padding_row=9)
    bench.add_table(1, rows=50, mul_then_add=1, padding_row=9)
    more = {"product": 1}
    bench.send([Entry(0, 3), Entry(1, 4), Entry(0, 99), Entry(1, 49)], ctx=1, **more)
    bench.send([Entry(0, 3), Entry(1, 4, 7)], ctx=2, weighted=1, **more)
    bench.send([Entry(0, NULL_ROW), Entry(1, NULL_ROW)], ctx=3, **more)
    bench.send([Entry(0, 9), Entry(1, 4), Entry(0, 3), Entry(1, 9)], ctx=4, **more)
    bench.send([Entry(0, 3), Entry(1, NULL_ROW), Entry(0, 5), Entry(1, 1)], ctx=5, **more)
    bench.send([Entry(0, 3), Entry(1, 4)], ctx=6, init=1, init_count=2, piece=1, **more)
    await bench.settle()
    assert bench.board.compared == 4 + 4 + 1 + 2 + 3 + 3
    cases = [
        ({}, [Entry(0, 3)], {BAD_REQUEST: 1}),
        ({}, [Entry(0, 3), Entry(1, 4), Entry(0, NULL_ROW)], {BAD_REQUEST: 1}),
        ({}, [Entry(0, 3), Entry(bench.tables, 4)], {UNKNOWN_TABLE: 1}),
        ({"dim": 15}, [Entry(0, 3), Entry(1, 4)], {TABLE_MISMATCH: 1}),
        ({"dtype": 1}, [Entry(0, 3), Entry(1, 4)], {TABLE_MISMATCH: 1}),
        ({"pooling": MEAN}, [Entry(0, 3), Entry(1, 4)], {UNSUPPORTED: 1}),
        ({"pooling": NONE}, [Entry(0, 3), Entry(1, 4)], {UNSUPPORTED: 1}),
        ({"order": SPLIT}, [Entry(0, 3), Entry(1, 4)], {UNSUPPORTED: 1}),
        ({"order": TREE, "tree_k_log2": 1}, [Entry(0, 3), Entry(1, 4)] * 2, {UNSUPPORTED: 2}),
        ({"rows": 4}, [Entry(0, 3), Entry(1, 4)], {OUT_OF_RANGE: 1}),
        ({}, [Entry(0, 100), Entry(1, 4)], {OUT_OF_RANGE: 1}),
        ({}, [Entry(0, 3), Entry(1, 4), Entry(1, 3), Entry(1, 4)], {TABLE_MISMATCH: 1}),
        ({}, [Entry(0, 3), Entry(1, 4), Entry(0, 3), Entry(0, 4)], {TABLE_MISMATCH: 1}),
        ({}, [Entry(0, 3), Entry(0, 4)], {}),
    ]
    for fields, entries, statuses in cases:
        for weighted in (0, 1):
            bench.forget()
            bench.descriptors.clear()
            bench.add_table(0, rows=100)
            bench.add_table(1, **{"rows": 50, **fields})
            bench.send(entries, ctx=7, weighted=weighted, **more)
            bench.send([Entry(0, 1), Entry(0, 2)], ctx=8)  # the next bag is right
            await bench.settle()
            wanted = {(7, status): number for status, number in statuses.items()}
            assert bench.errors == wanted, f"{fields} {entries}: {bench.errors}"
    for turn, dtype in enumerate([dtype for dtype in DTYPES if dtype != FIXED] * 2):
        await bench.reset()
        bench.descriptors.clear()
        dim = bench.random.choice([1, 16, 16 * units, bench.random.randint(1, 16 * units)])
        for table, rows in enumerate((1000, 7, NULL_ROW, 90)):
            padding = {"padding_row": 5} if table % 2 == turn % 2 else {}
            bench.add_table(table, rows=rows, dim=dim, dtype=dtype, **padding)
        bench.source.stall = bench.stall(bench.random.choice(list(STALLS)))
        bench.sink.stall = bench.stall(bench.random.choice(["never", "half", "bursty"]))
        bench.places.stall = bench.stall(bench.random.choice(["never", "half"]))
        for ctx in bench.random.sample(range(64), 24):
            pairs_of = bench.random.choice([0, 1, 2, 3])
            used = sum(1 + len(bag) for bag in bench.open.values())
            if used * 4 > len(bench.words) // 4:
                await bench.settle()
            bench.random_pairs(ctx, pairs_of, trouble=0.2)
            if bench.random.random() < 0.4:
                rows = [Entry(1, bench.random.randrange(7)) for _ in range(3)]
                bench.send(rows, ctx=(ctx + 1) % 64, dim=dim, dtype=dtype)
                await bench.settle()
                bench.expected_errors.clear()
                bench.errors.clear()
        await bench.settle()


@cocotb.test()
async def rows_unpooled(dut: Any) -> None:
    """A table without pooling takes bags of one key; a second key is refused, both of them."""
    bench = IssueBench(dut)
    await bench.reset()
    bench.add_table(1, pooling=NONE, padding_row=4)
    for row in (3, NULL_ROW, 4):
        bench.send([Entry(1, row)], ctx=1, first=int(row == 3))
    bench.send([Entry(1, 3), Entry(1, 5)], ctx=2)
    await bench.settle()
    assert bench.errors == {(2, BAD_REQUEST): 2}


@cocotb.test()
async def every_format(dut: Any) -> None:
    """Rows of every stored format at dims around every edge: lines, chunks and addresses."""
    bench = IssueBench(dut)
    await bench.reset()
    for dtype in DTYPES:
        bench.descriptors.clear()
        for dim in (1, 15, 16, 17, 47, 48, 49, 64, 95, 96, 97, 112, 240, 256, 479, 481, 496, 512):
            bench.add_table(0, dim=dim, dtype=dtype, padding_row=1)
            entries = [Entry(0, row, ONE) for row in (0, 1, 7, NULL_ROW)]
            bench.send(entries, dim=dim, dtype=dtype, weighted=int(dtype != FIXED))
            bench.send(entries[:2], dim=dim, dtype=dtype, init=1, init_count=2, ctx=3)
            await bench.settle()
    assert bench.board.compared >= 8 * 18 * 5


@cocotb.test()
async def tables_disagree(dut: Any) -> None:
    """Two tables in a bag, two poolings in a request; the next request of the context starts afresh."""
    bench = IssueBench(dut)
    await bench.reset()
    bench.add_table(0)
    bench.add_table(1, pooling=MEAN)
    bench.add_table(2 % bench.tables)
    bench.send([Entry(0, 1), Entry(2 % bench.tables, 1), Entry(0, 2)], ctx=1)
    await bench.settle()
    bench.send([Entry(0, 1)], ctx=2)
    await bench.settle()
    bench.send([Entry(1, 1), Entry(1, 2)], ctx=2, first=0)
    bench.send([Entry(1, 1)], ctx=3)
    await bench.settle()
    assert bench.errors[2, TABLE_MISMATCH] == 2
    bench.send([Entry(1, 1), Entry(1, 2)], ctx=2)
    await bench.settle()
    assert bench.errors[2, TABLE_MISMATCH] == 2
    # Two bags at once: whichever is checked first sets the pooling, the other's key is refused.
    bench.forget()
    for table in (0, 1):
        bag = bench.make_bag([Entry(table, NULL_ROW)], ctx=9, first=int(table == 0))
        bench.expected_errors[9, TABLE_MISMATCH] = 1
        bench.lines(bag, OP_FLUSH, {}, count=0, first=1, last=1)
        bench.expected_counts.update({"evt_key": 1, "evt_key_null": 1, "evt_bag": 1})
        bench.put(bag)
    await bench.settle()


@cocotb.test()
async def stall_matrix(dut: Any) -> None:
    """Every stall pattern of the bags with every one of the operations."""
    bench = IssueBench(dut)
    bench.random_tables()
    for source_stall in STALLS:
        for sink_stall in STALLS:
            await bench.reset()
            bench.source.stall, bench.sink.stall = (
                bench.stall(source_stall),
                bench.stall(sink_stall),
            )
            bench.random_batch(20)
            await bench.settle()


@cocotb.test()
async def random_bags(dut: Any) -> None:
    """Many batches of requests, tables and keys of every kind, long and short rows, without a reset between them."""
    bench = IssueBench(dut)
    await bench.reset()
    for _ in range(40):
        bench.random_tables()
        dim = bench.random.choice([1, 16, 17, 64, 100, 256, 500])
        for table in bench.descriptors.values():
            table["dim"] = dim
            table["dtype"] = bench.random.choice([0, 0, bench.random.choice(DTYPES)])
        bench.source.stall = bench.stall(bench.random.choice(list(STALLS)))
        bench.sink.stall = bench.stall(bench.random.choice(["never", "never", "half", "bursty"]))
        bench.random_batch(bench.random.randrange(1, 60), bench.random.choice([0.0, 0.1, 0.6]))
        if not bench.board.expected:
            continue
        await bench.settle()
        bench.expected_errors.clear()
        bench.errors.clear()


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """One-key bags, bags of 20 and two long bags alone: an operation in at least 95 of 100 cycles."""
    bench = IssueBench(dut)
    if int(bench.params["SLOTS"]) < 4:
        return  # a slot rests a cycle between two keys: two slots are full only while both hold a bag
    for keys, bags, weighted in [(1, 600, 0), (20, 30, 0), (20, 30, 1), (300, 2, 0)]:
        if keys * bags * (1 + weighted) > len(bench.words):
            bags = len(bench.words) // (keys * (1 + weighted))
        await bench.reset()
        bench.add_table(0, dim=16)
        for number in range(bags):
            entries = [Entry(0, bench.random.randrange(1 << 20)) for _ in range(keys)]
            bench.send(entries, ctx=number % 64, weighted=weighted)
        await bench.settle()
        cycles = bench.last_op_cycle - bench.first_op_cycle + 1
        rate = keys * bags / cycles
        dut._log.info("%d bags of %d keys: %.3f operations per cycle", bags, keys, rate)
        assert rate >= 0.95, f"{bags} bags of {keys}: {rate:.3f} operations per cycle"
        if keys == 1:
            slots = int(bench.params["SLOTS"])
            window = [
                len(set(bench.seen_slots[i : i + slots]))
                for i in range(len(bench.seen_slots) - slots)
            ]
            assert min(window) >= slots // 2, "one-key bags use few of the slots"


@cocotb.test()
async def latency(dut: Any) -> None:
    """The first operation follows its bag as soon as the header says."""
    bench = IssueBench(dut)
    await bench.reset()
    bench.sink.stall = lambda: bool(seen)  # an operation is seen the cycle it is offered
    seen: list[int] = []
    bench.monitor("m_axis_op_tvalid", ["m_axis_op_tvalid"], lambda _: seen.append(bench.cycle))
    sent: list[int] = []
    bench.source.on_sent = lambda _: sent.append(bench.cycle)
    bench.add_table(0)
    bench.send([Entry(0, 1)])
    await bench.settle()
    assert seen[0] - sent[0] == 14, f"{seen[0] - sent[0]} cycles, the header says 14"


@cocotb.test()
async def long_rows_full_rate(dut: Any) -> None:
    """Rows of several lines: the pipeline keeps the expansion busy."""
    bench = IssueBench(dut)
    await bench.reset()
    dim = 16 * 3 * max(1, int(bench.params["LINE_BYTES"]) // 64)
    bench.add_table(0, dim=dim)
    for number in range(20):
        bench.send(
            [Entry(0, bench.random.randrange(1 << 20)) for _ in range(5)], ctx=number, dim=dim
        )
    await bench.settle()
    cycles = bench.last_op_cycle - bench.first_op_cycle + 1
    assert cycles <= 300 / 0.95, f"{cycles} cycles for 300 operations"


@cocotb.test()
async def places(dut: Any) -> None:
    """Bags full of keys that make no operation, long rows and a slow cache: no place is lost, none taken twice."""
    bench = IssueBench(dut)
    await bench.reset()
    longest = min(64, int(bench.params["PLACES"]) * int(bench.params["LINE_BYTES"]) // 64)
    for dim in (16, 16 * longest, 16 * max(1, longest // 2)):
        for stall in ("mostly", "bursty", "never"):
            bench.add_table(0, dim=dim, rows=100, padding_row=9)
            bench.places.stall = bench.stall(stall)
            for number in range(8):
                rows = [bench.random.choice([9, 9, NULL_ROW, 5]) for _ in range(12)]
                bench.send([Entry(0, row) for row in rows], ctx=number, dim=dim)
            await bench.settle()
    await bench.until(lambda: not bench.places.held)
    assert bench.places.most == int(bench.params["PLACES"]), "a slot had all its places taken"


async def with_another_card(dut: Any) -> IssueBench | None:
    """Return a bench whose table 0 is local and 1 another card's; None when the module has no slots for such bags."""
    bench = IssueBench(dut)
    if not bench.remote_slots:
        return None
    await bench.reset()
    bench.add_table(0, rows=100)
    bench.add_table(1, rows=100, remote=1, owner=7, generation=200)
    return bench


@cocotb.test()
async def bags_of_other_cards(dut: Any) -> None:
    """Owners that are silent hold the slots that are theirs, and no bag of a local table."""
    bench = await with_another_card(dut)
    if bench is None:
        return
    places, far = int(bench.params["PLACES"]), bench.remote_slots + 2
    for turn in range(4):
        bench.places.owners_silent = True
        kinds = [1] * far + [0] * 40
        bench.random.shuffle(kinds)
        for number, table in enumerate(kinds):
            keys = places + 3 if table else bench.random.randrange(1, 5)
            entries = [Entry(table, bench.random.randrange(100)) for _ in range(keys)]
            bench.send(entries, ctx=number)
        await bench.until(lambda: set(bench.open) == bench.remote_bags)  # all local ones came out
        await bench.cycles(4 * places * bench.remote_slots)
        assert len(bench.remote_bags) == far
        held = Counter(slot for slot, remote in bench.places.held if remote)
        # One of their slots may be kept for the next local bag.
        assert bench.remote_slots - 1 <= len(held) <= bench.remote_slots
        assert set(held.values()) == {places}, held
        if turn == 3:  # a reset takes bags that wait for other cards with it
            await bench.reset()
            bench.send([Entry(1, 5), Entry(1, 6)])
        bench.places.owners_silent = False
        await bench.settle()


@cocotb.test()
async def rows_of_other_cards_keep_their_slots(dut: Any) -> None:
    """A slot whose keys are all issued and whose rows are still to come takes no local bag, also when no bag waits."""
    bench = await with_another_card(dut)
    if bench is None:
        return
    for _ in range(4):
        bench.places.owners_silent = True
        for number in range(bench.remote_slots):
            bench.send([Entry(1, 5), Entry(1, 6)], ctx=number)
        await bench.until(lambda: not bench.open)
        await bench.cycles(20)
        kept = {slot for slot, remote in bench.places.held if remote}
        assert bench.remote_slots - 1 <= len(kept) <= bench.remote_slots
        for number in range(40):
            bench.send([Entry(0, bench.random.randrange(100))], ctx=number % 8)
        await bench.until(lambda: not bench.open)
        assert kept == {slot for slot, remote in bench.places.held if remote}
        bench.places.owners_silent = False
        await bench.settle()


@cocotb.test()
async def reset_in_traffic(dut: Any) -> None:
    """After a reset at any moment nothing of the traffic before is left."""
    bench = IssueBench(dut)
    bench.random_tables()
    bench.sink.stall = bench.stall("half")
    for _ in range(20):
        await bench.reset()
        bench.random_batch(20)
        await bench.cycles(bench.random.randrange(1, 80))
        await bench.reset(bench.random.randrange(1, 4))
        bench.random_batch(20)
        await bench.settle()


SETS = [
    {
        "DATA_W": 128,
        "SLOTS": 4,
        "TABLES": 8,
        "KS_BEATS": 512,
        "LINE_BYTES": 64,
        "MAX_VEC64": 8,
        "TREE_K": 8,
        "PLACES": 32,
        "PRODUCTS": 1,
        "REMOTE_SLOTS": 2,
        "REMOTE_BAGS": 256,
    },
    {
        "DATA_W": 512,
        "SLOTS": 32,
        "TABLES": 256,
        "KS_BEATS": 256,
        "LINE_BYTES": 256,
        "MAX_VEC64": 64,
        "TREE_K": 16,
        "PLACES": 16,
        "PRODUCTS": 1,
        "REMOTE_SLOTS": 20,
        "REMOTE_BAGS": 256,
    },
    {
        "DATA_W": 128,
        "SLOTS": 2,
        "TABLES": 4,
        "KS_BEATS": 64,
        "LINE_BYTES": 1024,
        "MAX_VEC64": 64,
        "TREE_K": 0,
        "PLACES": 16,
        "PRODUCTS": 0,
        "REMOTE_SLOTS": 0,
        "REMOTE_BAGS": 2,
    },
]


@pytest.mark.parametrize(
    "params",
    [*SETS[:2], pytest.param(SETS[2], marks=pytest.mark.slow)],
    ids=["tiny", "line100", "smallest"],
)
def test_bag_issue(params: dict[str, int]) -> None:
    """All coroutines as in tiny, as in line100, and at the smallest sizes."""
    build_and_test("embnic_bag_issue", "test_bag_issue", params=params)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DATA_W", 256, "DATA_W must be 128 or 512"),
        ("SLOTS", 1, "SLOTS must be 2 to 64"),
        ("SLOTS", 65, "SLOTS must be 2 to 64"),
        ("TABLES", 12, "TABLES must be a power of two, at least 2"),
        ("KS_BEATS", 1000, "KS_BEATS must be a power of two up to 16,384"),
        ("KS_BEATS", 32768, "KS_BEATS must be a power of two up to 16,384"),
        ("LINE_BYTES", 32, "LINE_BYTES must be a power of two from 64 to 4096"),
        ("LINE_BYTES", 96, "LINE_BYTES must be a power of two from 64 to 4096"),
        ("CTXS", 12, "CTXS must be a power of two, 2 to 64"),
        ("CTXS", 128, "CTXS must be a power of two, 2 to 64"),
        ("PLACES", 0, "PLACES must be 1 to 512"),
        ("TREE_K", 3, "TREE_K must be 0, 2, 4, 8 or 16"),
        ("MAX_VEC64", 6, "MAX_VEC64 must be a power of two"),
        ("MAX_VEC64", 128, "MAX_VEC64 must be a power of two"),
        ("REMOTE_SLOTS", 32, "REMOTE_SLOTS must be less than SLOTS"),
    ],
)
def test_illegal_parameters_do_not_build(name: str, value: int, message: str) -> None:
    """Each illegal parameter is refused in its own words."""
    expect_build_failure("embnic_bag_issue", {name: value}, message)
