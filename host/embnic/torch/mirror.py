# SPDX-License-Identifier: Apache-2.0
"""Keep the tables of an engine equal to torch weights. The weight stays the master.

A weight is known by (identity, data pointer, `_version`). Every lookup compares the three first; where one differs,
the rows that changed are pushed before the lookup runs, so an optimizer step is visible to the first lookup after it.

```text
 weight._version as seen last ──same──► lookup
        │ other
        ├─ the optimizer named the rows (sparse gradient) ──► update those rows ──► lookup
        ├─ the engine keeps its rows in host memory ──► compare in chunks, update what differs (or load) ──► lookup
        └─ else ──► load all rows ──► lookup
```

Writes through `weight.data` and through numpy do not change `_version`: torch itself cannot see them. Call `refresh()`
after such a write.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..backends.base import BagsAt
from ..bags import Bags, TableBags
from ..config import Table
from ..engine import Engine
from ..engine import open as open_engine
from ..errors import ClosedError
from .hints import Step, explained_rows, watch_steps
from .slots import FusedCall, Owner, PlainBags, Slot, fused_call, give_up, take_table
from .weights import (
    DTYPES,
    MODES,
    STALE,
    Use,
    array_of,
    changed_rows,
    check_weight,
    holdable,
    stored_rows,
    table_for,
    version_of,
)

__all__ = [
    "DTYPES",
    "MODES",
    "Mirror",
    "Owner",
    "PlainBags",
    "Slot",
    "Use",
    "changed_rows",
    "check_weight",
    "find_mirror",
]

# Operators take numbers, not objects: `Mirror.handle` stands for a mirror while it lives.
_HANDLES = itertools.count(1)
_MIRRORS: weakref.WeakValueDictionary[int, Mirror] = weakref.WeakValueDictionary()


class Mirror:
    """Serve torch weights from engines; a context manager.

    All weights share an engine, if its target takes tables while it is open (reference, cpu, model, cards); on the
    others, those that are added together do. `target`, `deadline`, `mtu` and `fallback` are those of `embnic.open`. A
    copy or a pickle of a mirror holds these options only: it opens engines of its own when it is used.

    >>> weight = torch.arange(6.0).reshape(3, 2)
    >>> with Mirror("cpu") as mirror:
    ...     slot = mirror.slot(weight, Use(mode=0))
    ...     bags = TableBags(np.array([0, 2]), np.array([0, 2]))
    ...     first = mirror.lookup(slot, weight, bags)
    ...     weight[2] += 1                                    # an in-place change, as an optimizer makes it
    ...     first.tolist(), mirror.lookup(slot, weight, bags).tolist()
    ([[4.0, 6.0]], [[5.0, 7.0]])
    """

    def __init__(
        self,
        target: str = "auto",
        *,
        deadline: float | None = None,
        mtu: int = 1500,
        fallback: bool = True,
    ) -> None:
        self.options: dict[str, Any] = {
            "target": target,
            "deadline": deadline,
            "mtu": mtu,
            "fallback": fallback,
        }
        self._start()

    def _start(self) -> None:
        self._engines: list[Engine] = []
        self._slots: dict[tuple[int, Use], Slot] = {}
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._owners: weakref.WeakKeyDictionary[Owner, str] = weakref.WeakKeyDictionary()
        self._closed = False
        self._end_watch: Callable[[], None] | None = None
        self.handle = next(_HANDLES)
        _MIRRORS[self.handle] = self

    def __getstate__(self) -> dict[str, Any]:
        """Return the options: engines are neither copied nor pickled."""
        return {"options": dict(self.options)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin without engines."""
        self.options = state["options"]
        self._start()

    def __repr__(self) -> str:
        """Show the target and the number of tables."""
        return f"Mirror(target={self.options['target']!r}, tables={len(self._slots)})"

    # -- state --------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Mirror:
        """Return the mirror."""
        self._check_open("__enter__")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the engines."""
        self.close()

    def close(self) -> None:
        """Close the engines; may be called twice. Later lookups raise ClosedError."""
        with self._lock:
            self._closed = True
            self._slots.clear()
            if self._end_watch is not None:
                self._end_watch()
            engines, self._engines = self._engines, []
            for engine in engines:
                engine.close()

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Return the engines that were opened, in order."""
        return tuple(self._engines)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Return the tables, in the order in which they were added."""
        return tuple(self._slots.values())

    def counters(self) -> dict[str, int]:
        """Return what was pushed: `loads` of whole tables, `updates` and their `rows`, `compared` tables."""
        return {name: self._counts[name] for name in ("loads", "updates", "rows", "compared")}

    # -- tables -------------------------------------------------------------------------------------------------------

    def register(self, owner: Owner, name: str = "") -> None:
        """Let a module share an engine with the others that are registered; `name` is its table's.

        The engine is opened by the first lookup of one of them. Nothing keeps a registered module alive.
        """
        self._owners[owner] = name

    def add(self, weights: Mapping[str, tuple[torch.Tensor, Use]]) -> list[Slot]:
        """Give each weight a table; the keys name the tables.

        They go into the engine that is open, where its target takes new tables, else into a new one.
        """
        with self._lock:
            self._check_open("add")
            tables = {name: table_for(name, weight, use) for name, (weight, use) in weights.items()}
            self._forget_unused()
            self._watch()
            added: list[Slot] = []
            rest = dict(weights)
            for engine in self._engines:
                for name, (weight, use) in list(rest.items()):
                    rows = stored_rows(weight, apart=use.apart)
                    if not take_table(engine, tables[name], rows):
                        break
                    added.append(self._keep(tables[name], use, engine, weight, loaded=True))
                    del rest[name]
            if rest:
                engine = open_engine([tables[name] for name in rest], **self.options)
                self._engines.append(engine)
                for name, (weight, use) in rest.items():
                    added.append(self._keep(tables[name], use, engine, weight, loaded=False))
            return added

    def _keep(
        self, table: Table, use: Use, engine: Engine, weight: torch.Tensor, *, loaded: bool
    ) -> Slot:
        slot = self._slots[id(weight), use] = Slot(table, use, engine, weight)
        slot.loaded = loaded
        return slot

    def _watch(self) -> None:
        """Hear of optimizer steps from now on."""
        if self._end_watch is None:
            self._end_watch = watch_steps(self._steps_of)
            weakref.finalize(self, self._end_watch)

    def slot(self, weight: torch.Tensor, use: Use, *, name: str = "") -> Slot:
        """Return the table of a weight; one that is new gets the table of a weight that is gone, or an engine."""
        slot = self._slots.get((id(weight), use))
        if slot is not None and slot.serves(weight):
            if slot.pointer != weight.data_ptr():
                slot.bind(weight)
            return slot
        with self._lock:
            self._check_open("slot")
            check_weight(weight)
            reusable = self._reusable(weight, use)
            if reusable is not None:
                return self._move(reusable, weight)
            wanted: dict[str, tuple[torch.Tensor, Use]] = {}
            asked: set[tuple[int, Use]] = set()
            owned = [(given, *owner.mirrored()) for owner, given in list(self._owners.items())]
            for given, other, its_use in [*owned, (name, weight, use)]:
                key = (id(other), its_use)
                known = self._slots.get(key)
                if key in asked or (known is not None and known.serves(other)):
                    continue
                if holdable(other):
                    asked.add(key)
                    wanted[self._free_name(given, wanted)] = (other, its_use)
            self.add(wanted)
            return self._slots[id(weight), use]

    def _forget_unused(self) -> None:
        """Drop tables whose weights are gone or have another shape now; close engines without a table in use."""
        kept = {key: slot for key, slot in self._slots.items() if slot.in_use()}
        used = {id(slot.engine) for slot in kept.values()}
        for key, slot in self._slots.items():
            if key not in kept and id(slot.engine) in used:
                give_up(slot)
        self._slots = kept
        for engine in [engine for engine in self._engines if id(engine) not in used]:
            self._engines.remove(engine)
            engine.close()

    def _free_name(self, name: str, taken: Collection[str]) -> str:
        """Return a name that no table has: the given one, or one with a number."""
        known = {table for engine in self._engines for table in engine.tables}
        tries = itertools.chain(
            [name] if name else [], (f"{name or 'weight'}_{n}" for n in itertools.count(1))
        )
        return next(found for found in tries if found not in known and found not in taken)

    def _reusable(self, weight: torch.Tensor, use: Use) -> Slot | None:
        """Find a table whose weight is gone, or is the same memory under another name (`detach()`)."""
        pointer = weight.data_ptr()
        for slot in self._slots.values():
            if slot.fits(weight, use):
                held = slot.weight()
                if held is None or (held is not weight and slot.pointer == pointer):
                    return slot
        return None

    def _move(self, slot: Slot, weight: torch.Tensor) -> Slot:
        for key in [key for key, known in self._slots.items() if known is slot]:
            del self._slots[key]
        slot.bind(weight)
        self._slots[id(weight), slot.use] = slot
        return slot

    # -- rows ---------------------------------------------------------------------------------------------------------

    def refresh(self, weight: torch.Tensor | None = None) -> None:
        """Let the next lookup compare all rows: of one weight, or of every weight.

        Needed after writes that torch does not count: through `weight.data`, numpy, or another process.
        """
        with self._lock:
            for slot in self._slots.values():
                if weight is None or slot.weight() is weight:
                    slot.version = STALE

    def sync(self, slot: Slot, weight: torch.Tensor) -> Slot:
        """Push what changed in `weight` since it was pushed last; return its table."""
        known = slot.weight() is weight
        if not known or slot.pointer != weight.data_ptr():
            slot = self.slot(weight, slot.use, name=slot.name)
        version = version_of(weight)
        if slot.version != version or version == STALE:
            self._push(slot, weight, version)
            slot.version = version
        return slot

    def _push(self, slot: Slot, weight: torch.Tensor, version: int) -> None:
        rows = stored_rows(weight, apart=slot.use.apart)
        steps, slot.steps = slot.steps, []
        named = explained_rows(steps, slot.version, version)
        if slot.loaded and named is not None:
            self._update(slot, named, rows)
            return
        held = slot.engine.host_rows(slot.name) if slot.loaded else None
        if held is not None:
            self._counts["compared"] += 1
            ids = changed_rows(held, rows)
            if len(ids) <= len(rows) // 2:
                self._update(slot, ids, rows)
                return
        slot.engine.load(slot.name, rows)
        slot.loaded = True
        self._counts["loads"] += 1
        self._counts["rows"] += len(rows)

    def _update(self, slot: Slot, ids: NDArray[np.int64], rows: NDArray[Any]) -> None:
        if len(ids):
            slot.engine.update(slot.name, ids, rows[ids])
            self._counts["updates"] += 1
            self._counts["rows"] += len(ids)

    def _steps_of(self, weight: torch.Tensor) -> list[list[Step]]:
        """Return where the steps of a weight are noted: one list for each of its tables."""
        return [slot.steps for slot in self._slots.values() if slot.weight() is weight]

    # -- lookups ------------------------------------------------------------------------------------------------------

    def lookup(self, slot: Slot, weight: torch.Tensor, bags: TableBags) -> torch.Tensor:
        """Return the pooled bags of one weight, [B, D] of its dtype."""
        with self._lock:
            self._check_open("lookup")
            slot = self.sync(slot, weight)
            output = torch.empty((len(bags), slot.shape[1]), dtype=weight.dtype)
            slot.engine.lookup(Bags({slot.name: bags}), {slot.name: array_of(output)})
            return output

    def lookup_plain(self, part: PlainBags) -> torch.Tensor | None:
        """Answer one table from the tensors' memory, without arrays in between; None where `lookup` has to."""
        with self._lock:
            self._check_open("lookup")
            slot = self.sync(part.slot, part.weight)
            asked = _addresses(slot, part)
            return None if asked is None or not slot.engine.lookup_at((asked[0],)) else asked[1]

    def lookup_at(self, parts: Sequence[PlainBags | None]) -> list[torch.Tensor] | None:
        """Do `lookup_plain` for several tables of one engine at once; None also where one of the parts is None."""
        if any(part is None for part in parts):
            return None
        with self._lock:
            self._check_open("lookup")
            asked, outputs, engines = [], [], set()
            for part in parts:
                assert part is not None
                slot = self.sync(part.slot, part.weight)
                given = _addresses(slot, part)
                if given is None:
                    return None
                asked.append(given[0])
                outputs.append(given[1])
                engines.add(slot.engine)
            if len(engines) != 1:
                return None
            return outputs if engines.pop().lookup_at(asked) else None

    def lookup_all(
        self, parts: Sequence[tuple[Slot, torch.Tensor, TableBags]]
    ) -> list[torch.Tensor]:
        """Return the pooled bags of several weights, in order, with one fused lookup for each engine.

        A table that comes again in `parts` is looked up in a second call.
        """
        with self._lock:
            self._check_open("lookup_all")
            outputs: list[torch.Tensor] = []
            calls: list[FusedCall] = []
            for given, weight, bags in parts:
                slot = self.sync(given, weight)
                output = torch.empty((len(bags), slot.shape[1]), dtype=weight.dtype)
                outputs.append(output)
                call = fused_call(slot, calls)
                call.bags[slot.name], call.outputs[slot.name] = bags, array_of(output)
            for call in calls:
                call.engine.lookup(Bags(call.bags), call.outputs)
            return outputs

    def _check_open(self, call: str) -> None:
        if self._closed:
            raise ClosedError(f"Mirror.{call}")


def find_mirror(handle: int) -> Mirror:
    """Return the mirror of a handle; refuse that of a mirror that is gone."""
    mirror = _MIRRORS.get(handle)
    if mirror is None:
        raise ClosedError("embnic::embedding_bag")
    return mirror


def _addresses(slot: Slot, part: PlainBags) -> tuple[BagsAt, torch.Tensor] | None:
    """Return a part as addresses, and the output [B, D] that it fills; None without offsets where there have to be."""
    _, weight, indices, offsets, samples, closed = part
    bags = offsets.numel() - closed
    if bags < 0:
        return None
    output = torch.empty((bags, slot.shape[1]), dtype=weight.dtype)
    asked = BagsAt(
        slot.name,
        indices.data_ptr(),
        indices.numel(),
        offsets.data_ptr(),
        bags,
        closed,
        0 if samples is None else samples.data_ptr(),
        output.data_ptr(),
    )
    return asked, output
