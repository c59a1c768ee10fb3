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
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..backends.base import BagsAt
from ..bags import Bags, TableBags
from ..config import Table
from ..engine import Engine
from ..engine import open as open_engine
from ..errors import ClosedError, ConfigError
from ..gen.wire import DType, Pooling
from .hints import Step, explained_rows, watch_steps

__all__ = [
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

MODES = ("sum", "mean", "max")  # by torch's numbers of the modes
DTYPES = {torch.float32: DType.FP32, torch.float16: DType.FP16, torch.bfloat16: DType.BF16}
CHUNK_BYTES = 1 << 20  # of rows that are compared at a time: both copies stay in the cache
STALE = -1  # no tensor has this version

# Operators take numbers, not objects: `Mirror.handle` stands for a mirror while it lives.
_HANDLES = itertools.count(1)
_MIRRORS: weakref.WeakValueDictionary[int, Mirror] = weakref.WeakValueDictionary()


class Use(NamedTuple):
    """Say how a weight is pooled; each use of a weight is a table of its own.

    `mode` is torch's number: 0 sum, 1 mean, 2 max. `padding_idx` is a row, or -1 for none. `apart` asks for the
    arithmetic of torch's kernels for strided operands without padding: products rounded before they are added, bf16
    to nearest even.
    """

    mode: int
    padding_idx: int = -1
    apart: bool = False


class PlainBags(NamedTuple):
    """Hold operands that can be read where they lie: contiguous, in host memory, int64, samples float32."""

    slot: Slot
    weight: torch.Tensor
    indices: torch.Tensor
    offsets: torch.Tensor
    per_sample_weights: torch.Tensor | None
    closed: bool  # the last offset ends the last bag


class Owner(Protocol):
    """Say which weight a module has and how it pools it; known to a mirror by `register`."""

    def mirrored(self) -> tuple[torch.Tensor, Use]:
        """Return the weight and its use."""
        ...


class Slot:
    """Hold what is known about one table of an engine: its weight, and the state that was pushed."""

    __slots__ = (
        "engine",
        "loaded",
        "name",
        "pointer",
        "shape",
        "steps",
        "table",
        "use",
        "version",
        "weight",
    )

    def __init__(self, table: Table, use: Use, engine: Engine, weight: torch.Tensor) -> None:
        self.name = table.name
        self.table = table
        self.use = use
        self.engine = engine
        self.shape = tuple(weight.shape)
        self.loaded = False
        self.bind(weight)

    def bind(self, weight: torch.Tensor) -> None:
        """Follow this tensor from now on; its rows count as unknown."""
        self.weight = weakref.ref(weight)
        self.pointer = weight.data_ptr()
        self.version = STALE
        self.steps: list[Step] = []

    def fits(self, weight: torch.Tensor, use: Use) -> bool:
        """Tell whether the table can hold this weight."""
        return (
            self.use == use
            and self.shape == tuple(weight.shape)
            and self.table.dtype is DTYPES.get(weight.dtype)
        )


class Mirror:
    """Serve torch weights from engines; a context manager.

    Weights that are added together share an engine. One that is met for the first time in a lookup gets its own.
    `target`, `deadline`, `mtu` and `fallback` are those of `embnic.open`. A copy or a pickle of a mirror holds these
    options only: it opens engines of its own when it is used.

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
        """Give each weight a table, all in one new engine; the keys name the tables."""
        with self._lock:
            self._check_open("add")
            tables = {name: _table(name, weight, use) for name, (weight, use) in weights.items()}
            self._close_unused()
            if self._end_watch is None:
                self._end_watch = watch_steps(self._steps_of)
                weakref.finalize(self, self._end_watch)
            engine = open_engine(tables.values(), **self.options)
            self._engines.append(engine)
            added = []
            for name, (weight, use) in weights.items():
                slot = Slot(tables[name], use, engine, weight)
                self._slots[id(weight), use] = slot
                added.append(slot)
            return added

    def slot(self, weight: torch.Tensor, use: Use, *, name: str = "") -> Slot:
        """Return the table of a weight; one that is new gets the table of a weight that is gone, or an engine."""
        slot = self._slots.get((id(weight), use))
        if slot is not None and slot.weight() is weight and slot.fits(weight, use):
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
                if key in asked or (known is not None and known.weight() is other):
                    continue
                if _holdable(other):
                    asked.add(key)
                    wanted[self._free_name(given, wanted)] = (other, its_use)
            self.add(wanted)
            return self._slots[id(weight), use]

    def _close_unused(self) -> None:
        """Close the engines whose weights are all gone."""
        used = {id(slot.engine) for slot in self._slots.values() if slot.weight() is not None}
        for engine in [engine for engine in self._engines if id(engine) not in used]:
            self._engines.remove(engine)
            engine.close()
        self._slots = {
            key: slot for key, slot in self._slots.items() if slot.engine in self._engines
        }

    def _free_name(self, name: str, taken: Collection[str]) -> str:
        """Return a name that no table has: the given one, or one with a number."""
        known = {slot.name for slot in self._slots.values()}
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
        if slot.weight() is not weight or slot.pointer != weight.data_ptr():
            slot = self.slot(weight, slot.use, name=slot.name)
        version = _version(weight)
        if slot.version != version or version == STALE:
            self._push(slot, weight, version)
            slot.version = version
        return slot

    def _push(self, slot: Slot, weight: torch.Tensor, version: int) -> None:
        rows = _stored(weight, apart=slot.use.apart)
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
            slot.engine.lookup(Bags({slot.name: bags}), {slot.name: _as_array(output)})
            return output

    def lookup_plain(
        self,
        slot: Slot,
        weight: torch.Tensor,
        indices: torch.Tensor,
        offsets: torch.Tensor,
        closed: bool,
    ) -> torch.Tensor | None:
        """Do `lookup_at` for one table without samples, with as few steps as there can be."""
        with self._lock:
            self._check_open("lookup")
            slot = self.sync(slot, weight)
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
                0,
                output.data_ptr(),
            )
            return output if slot.engine.lookup_at((asked,)) else None

    def lookup_at(self, parts: Sequence[PlainBags]) -> list[torch.Tensor] | None:
        """Answer from the tensors' memory, without arrays in between; None where `lookup` or `lookup_all` has to."""
        with self._lock:
            self._check_open("lookup")
            outputs: list[torch.Tensor] = []
            asked: list[BagsAt] = []
            engine = parts[0].slot.engine
            for given, weight, indices, offsets, samples, closed in parts:
                slot = self.sync(given, weight)
                bags = offsets.numel() - closed
                if bags < 0 or (slot.engine is not engine and asked):
                    return None
                engine = slot.engine
                output = torch.empty((bags, slot.shape[1]), dtype=weight.dtype)
                outputs.append(output)
                asked.append(
                    BagsAt(
                        slot.name,
                        indices.data_ptr(),
                        indices.numel(),
                        offsets.data_ptr(),
                        bags,
                        closed,
                        0 if samples is None else samples.data_ptr(),
                        output.data_ptr(),
                    )
                )
            return outputs if engine.lookup_at(asked) else None

    def lookup_all(
        self, parts: Sequence[tuple[Slot, torch.Tensor, TableBags]]
    ) -> list[torch.Tensor]:
        """Return the pooled bags of several weights, in order, with one fused lookup for each engine.

        A table that comes again in `parts` is looked up in a second call.
        """
        with self._lock:
            self._check_open("lookup_all")
            outputs: list[torch.Tensor] = []
            calls: list[_Call] = []
            for given, weight, bags in parts:
                slot = self.sync(given, weight)
                output = torch.empty((len(bags), slot.shape[1]), dtype=weight.dtype)
                outputs.append(output)
                call = _call_for(slot, calls)
                call.bags[slot.name], call.outputs[slot.name] = bags, _as_array(output)
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


@dataclass
class _Call:
    """Gather the tables of one fused lookup."""

    engine: Engine
    bags: dict[str, TableBags] = field(default_factory=dict)
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)


def _call_for(slot: Slot, calls: list[_Call]) -> _Call:
    for call in calls:
        if call.engine is slot.engine and slot.name not in call.bags:
            return call
    calls.append(_Call(slot.engine))
    return calls[-1]


def check_weight(weight: torch.Tensor) -> None:
    """Refuse a weight that no engine can hold, in words."""
    if weight.dtype not in DTYPES:
        quantised = weight.dtype in (torch.int8, torch.uint8)
        raise ConfigError(
            f"The weight has dtype {weight.dtype}.",
            allowed="torch.float32, torch.float16, torch.bfloat16.",
            do="Serve quantised rows with embnic.Table(dtype='int8') and embnic.open."
            if quantised
            else "Convert the weight before, knowing that it rounds.",
        )
    if weight.device.type != "cpu":
        raise ConfigError(
            f"The weight is on {weight.device}.",
            allowed="weights in host memory: the engine keeps its own copy where it computes.",
            do="Call .cpu() on the module; target='gpu' puts the tables on the GPU.",
        )
    if weight.layout is not torch.strided or weight.dim() != 2 or weight.numel() == 0:
        raise ConfigError(
            f"The weight is {weight.layout} with shape {list(weight.shape)}.",
            allowed="a dense matrix [num_embeddings, embedding_dim] with elements.",
            do="Give the weight of an EmbeddingBag.",
        )


def _holdable(weight: torch.Tensor) -> bool:
    try:
        check_weight(weight)
    except ConfigError:
        return False
    return True


def changed_rows(held: NDArray[Any], rows: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers of the rows whose bits differ: int64 [n], rising. Both are [rows, columns] of one type."""
    row_bytes = rows.shape[1] * rows.itemsize
    word = np.dtype(f"u{min(8, row_bytes & -row_bytes)}")
    contiguous = np.ascontiguousarray(rows) if rows.strides[1] != rows.itemsize else rows
    step = max(1, CHUNK_BYTES // row_bytes)
    found = []
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        differ = held[part].view(word) != contiguous[part].view(word)
        if differ.any():
            found.append(first + np.flatnonzero(differ.any(axis=1)))
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _table(name: str, weight: torch.Tensor, use: Use) -> Table:
    check_weight(weight)
    rows, dim = weight.shape
    padding = (
        rows if use.apart else use.padding_idx
    )  # a row beyond the weight, which no bag contains
    return Table(
        name,
        rows=rows + use.apart,
        dim=dim,
        dtype=DTYPES[weight.dtype],
        pooling=Pooling[MODES[use.mode].upper()],
        padding_idx=None if padding < 0 else padding,
    )


def _version(weight: torch.Tensor) -> int:
    """Return the version of a tensor; STALE for inference tensors, which have none and are compared every time."""
    return STALE if weight.is_inference() else weight._version


def _stored(weight: torch.Tensor, *, apart: bool) -> NDArray[Any]:
    """Return the weight as an array of the table's storage type, without a copy where that is possible."""
    plain = weight.detach()
    array: NDArray[Any] = (
        plain.view(torch.int16).numpy().view(np.uint16)
        if weight.dtype is torch.bfloat16
        else plain.numpy()
    )
    return np.concatenate([array, np.zeros_like(array[:1])]) if apart else array


def _as_array(output: torch.Tensor) -> NDArray[Any]:
    """Return a tensor as the array that an engine fills."""
    if output.dtype is torch.bfloat16:
        return output.view(torch.int16).numpy().view(np.uint16)
    return output.numpy()
