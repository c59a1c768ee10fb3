# SPDX-License-Identifier: Apache-2.0
"""Serve the embedding lookups of any torch code from an engine, without a change to the model.

A `TorchDispatchMode` sees every operator that the thread dispatches, below autograd. Lookups (`calls.py`) are answered
by the engine with the tensors that torch's own backward needs, so training is torch's; everything else is torch's.

```text
 model(batch) ─► autograd ─► mode ── a lookup that an engine holds? ── yes: the engine answers it
                                     └─ no: counted by reason, torch answers it (strict: ConfigError)
```
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType, MappingProxyType, TracebackType
from typing import Any, TypeVar

import torch

from ..errors import ConfigError
from ..stats import Stats
from ..targets import choose
from .batched import BatchedCall, Views, batched_reader
from .calls import PARSERS, Call, Listener, is_other_lookup, is_plain, op_name
from .functional import bags_of, fused, serve
from .mirror import DTYPES, MODES, Mirror, Use
from .patches import Patches
from .quantised import QuantisedTables, quantised_dim

__all__ = ["REASONS", "Interception", "intercept"]

_log = logging.getLogger("embnic.intercept")

# Why a lookup goes through to torch.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "compile": "torch.compile does not compile while intercept() listens; use offload() with compile",
        "max_norm": "max_norm rewrites rows in the middle of a lookup",
        "device": "the operands are not all in host memory",
        "dtype": "no engine holds or pools operands of these types as torch does",
        "layout": "an operand is not a plain dense tensor of the usual shape",
        "target": "the target cannot hold the table",
        "pruned": "the quantised rows are pruned, through a mapping of ids",
        "mean": "FBGEMM multiplies a sum by 1 / count where an engine divides, as torch does",
        "operator": "the operator is not served",
    }
)


def intercept(
    model: torch.nn.Module | None = None,
    *,
    target: str = "auto",
    strict: bool = False,
    all_threads: bool = False,
    deadline: float | None = None,
) -> Interception:
    """Serve the embedding lookups inside the `with` block from an engine on `target`.

    With a `model`, the tables of its `nn.EmbeddingBag` modules are put on the target when the block is entered; others
    join when they are first looked up. `strict` raises ConfigError where a lookup
    would go through to torch. Only the thread that enters is served, unless `all_threads`: then `F.embedding_bag` and
    `F.embedding`, and with them the modules, are exchanged for the time of the block. `target` and `deadline` are
    those of `embnic.open`.

    >>> bag = torch.nn.EmbeddingBag(10, 4, mode="sum")
    >>> ids, offsets = torch.tensor([3, 8, 8]), torch.tensor([0, 2])
    >>> with intercept(target="cpu") as interception:
    ...     pooled = bag(ids, offsets)
    >>> torch.equal(pooled, bag(ids, offsets)), dict(interception.served)
    (True, {'aten::_embedding_bag': 1})
    """
    return Interception(
        model, target=target, strict=strict, all_threads=all_threads, deadline=deadline
    )


_Self = TypeVar("_Self", bound="Interception")


class Interception:
    """Listen while it is entered; a context manager that may be entered again, nested, and by several threads.

    Engines are opened when they are first needed and closed when the last `with` block is left. `served` counts
    lookups by operator, `passed` those that torch answered, by reason (`REASONS`).
    """

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        *,
        target: str = "auto",
        strict: bool = False,
        all_threads: bool = False,
        deadline: float | None = None,
    ) -> None:
        self.model = model
        self.strict = strict
        self.all_threads = all_threads
        self._target = target
        self._options: dict[str, Any] = {"target": target, "deadline": deadline}
        self._lock = threading.RLock()
        self._served: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()
        self._logged: set[str] = set()
        self._entered = 0
        self._mirror: Mirror | None = None
        self._quantised: QuantisedTables | None = None
        self._stats: list[Stats] = []
        self._refused: set[tuple[int, Any]] = set()  # tables that the target cannot hold
        self._names: dict[int, str] = {}
        self._views = Views()
        self._readers: dict[Any, Callable[..., BatchedCall] | None] = {}  # of FBGEMM's operators
        self._others: dict[Any, bool] = {}  # operators that none reads: is it a lookup?
        self._threads = threading.local()
        self._patches = Patches(self)

    # -- the block ----------------------------------------------------------------------------------------------------

    def __enter__(self: _Self) -> _Self:
        """Begin to listen in this thread, or in all of them."""
        if torch.compiler.is_compiling():
            raise ConfigError(
                "intercept() is entered inside torch.compile.",
                allowed="intercept() around code that is not compiled.",
                do="Use offload() with compile.",
            )
        self.begin()
        if self.all_threads:
            self._patches.add()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening; the last block that is left closes the engines."""
        if self.all_threads:
            self._patches.remove()
        self.end()

    def begin(self) -> None:
        """Listen in this thread."""
        with self._lock:
            if self._entered == 0:
                self._open()
            self._entered += 1
        mode = _Mode(self)
        mode.__enter__()
        self._stack().append(mode)

    def end(self) -> None:
        """Undo the last `begin` of this thread."""
        self._stack().pop().__exit__(None, None, None)
        with self._lock:
            self._entered -= 1
            if self._entered == 0:
                self._close()

    @property
    def listens(self) -> bool:
        """Tell whether this thread is inside a block."""
        return bool(self._stack())

    def _open(self) -> None:
        choose(
            self._options["target"] or "auto", os.environ
        )  # a wrong name is an error here, not in the model
        self._mirror = Mirror(**self._options)
        self._quantised = QuantisedTables(dict(self._options))
        self._refused.clear()
        if self.model is None:
            return
        self._names = {
            id(p): name.removesuffix(".weight") for name, p in self.model.named_parameters()
        }
        try:
            found = _bag_tables(self.model)
            if found:
                self._mirror.add(found)
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        mirror, quantised = self._mirror, self._quantised
        self._mirror = self._quantised = None
        try:
            if mirror is not None:
                self._stats = [engine.stats() for engine in mirror.engines]
            if quantised is not None:
                self._stats += quantised.stats()
        finally:
            if mirror is not None:
                mirror.close()
            if quantised is not None:
                quantised.close()

    def _stack(self) -> list[_Mode]:
        """Return the modes that this thread has entered."""
        if not hasattr(self._threads, "modes"):
            self._threads.modes = []
        stack: list[_Mode] = self._threads.modes
        return stack

    # -- what happened ------------------------------------------------------------------------------------------------

    @property
    def served(self) -> Mapping[str, int]:
        """Return how many lookups the engine answered, by operator."""
        return MappingProxyType(dict(self._served))

    @property
    def passed(self) -> Mapping[str, int]:
        """Return how many lookups went through to torch, by reason."""
        return MappingProxyType(dict(self._passed))

    def stats(self) -> list[Stats]:
        """Return the counters of each engine; after the block, those at its end."""
        with self._lock:
            if self._mirror is None or self._quantised is None:
                return list(self._stats)
            return [engine.stats() for engine in self._mirror.engines] + self._quantised.stats()

    def __str__(self) -> str:
        """Print what was served and what went through."""
        lines = [f"served: {_counted(self._served)}", f"passed to torch: {_counted(self._passed)}"]
        lines += [f"  {reason}: {REASONS[reason]}" for reason in self._passed]
        return "\n".join(lines)

    # -- a lookup -----------------------------------------------------------------------------------------------------

    def answer(self, mode: _Mode, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer one operator: from the engine if it is a lookup that one holds, else from torch."""
        call = self._read(func, args, kwargs)
        if call is None:
            if func is _RENORM:
                mode.renormed.add(args[0].data_ptr())
            elif self._is_other_lookup(func):
                self._pass(op_name(func), "operator")
            return func(*args, **kwargs)
        reason = call.obstacle
        for part in call.parts if isinstance(call, BatchedCall) else (call,):
            reason = reason or self._obstacle(mode, part)
        if reason:
            self._pass(op_name(func), reason)
            return func(*args, **kwargs)
        result = self._serve(call, partial(func, *args, **kwargs))
        with self._lock:
            self._served[op_name(func)] += 1
        return result

    def _read(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | BatchedCall | None:
        """Return what an operator looks up; None for one that looks nothing up, or that nothing here reads."""
        parser = PARSERS.get(func)
        if parser is not None:
            return parser(*args, **kwargs)
        if func not in self._readers:
            self._readers[func] = batched_reader(func)
        reader = self._readers[func]
        return None if reader is None else reader(self._views, *args, **kwargs)

    def name_of(self, call: Call | BatchedCall) -> str:
        """Return the table's name: of the model's parameter, or of the order in which weights were met."""
        with self._lock:
            key = id(call.weight)
            if key not in self._names:
                self._names[key] = f"weight{len(self._names) + 1}"
            return self._names[key]

    def _is_other_lookup(self, func: Any) -> bool:
        known = self._others.get(func)
        if known is None:
            known = self._others[func] = is_other_lookup(func)
        return known

    def _serve(self, call: Call | BatchedCall, original: Callable[[], Any]) -> Any:
        """Return the engine's answer; `original` would compute torch's."""
        del original
        return self._ask_engine(call)

    def _ask_engine(self, call: Call | BatchedCall) -> Any:
        """Look up; return what the operator returns."""
        mirror, quantised = self._mirror, self._quantised
        assert mirror is not None
        assert quantised is not None
        if isinstance(call, BatchedCall):
            if call.changes:
                for part in call.parts:
                    mirror.refresh(part.weight)
            answers = [self._ask_engine(part) for part in call.parts]
            return torch.cat([a[0] if isinstance(a, tuple) else a for a in answers], dim=1)
        weight = call.weight
        if call.kind == "rows":
            vectors = _serve_rows(mirror, weight, call.indices)
            return vectors.reshape(*call.indices.shape, weight.shape[1])
        if call.kind == "quantised":
            assert call.dtype is not None
            indices, offsets = _flat(call)
            scales = call.per_sample_weights  # float32, whatever the rows are
            bags = bags_of(
                weight if scales is None else scales, indices, offsets, scales,
                call.include_last_offset,
            )  # fmt: skip
            return quantised.lookup(weight, call.dtype, bags)
        return serve(
            mirror, weight, call.indices, _offsets(call), call.mode, call.per_sample_weights,
            call.include_last_offset, call.padding_idx,
        )  # fmt: skip

    # -- what cannot be served ----------------------------------------------------------------------------------------

    def _pass(self, name: str, reason: str) -> None:
        """Count a lookup that torch answers; log each reason once; raise when that is not wanted."""
        with self._lock:
            self._passed[reason] += 1
            fresh = reason not in self._logged
            self._logged.add(reason)
        if self.strict:
            raise ConfigError(
                f"{name} is not served: {REASONS[reason]}.",
                allowed="lookups that the engine answers, since strict=True.",
                do="Leave strict out to let torch answer it.",
            )
        if fresh:
            _log.warning("%s goes through to torch: %s (logged once)", name, REASONS[reason])

    def _obstacle(self, mode: _Mode, call: Call) -> str:
        """Return the reason why this lookup goes through to torch, or an empty string."""
        pointer = call.weight.data_ptr() if is_plain(call.weight) else 0
        if pointer and pointer in mode.renormed:
            mode.renormed.discard(pointer)
            return "max_norm"
        reason = call.obstacle or _operand_obstacle(call)
        if reason:
            return reason
        if _compiling():
            return "compile"
        return "" if self._holds(call) else "target"

    def _holds(self, call: Call) -> bool:
        """Bring the table into an engine; tell whether the target can hold it."""
        mirror, quantised = self._mirror, self._quantised
        assert mirror is not None
        assert quantised is not None
        use = _use(call)
        key = (id(call.weight), call.dtype or use)
        if key in self._refused:
            return False
        try:
            if call.kind == "quantised":
                assert call.dtype is not None
                quantised.prepare(call.weight, call.dtype)
            else:
                mirror.slot(call.weight, use, name=self.name_of(call))
        except ConfigError as error:
            _log.info("the target refuses a table: %s", error)
            with self._lock:
                self._refused.add(key)
            return False
        return True


class _Mode(Listener):
    """Give each operator of a thread to an interception."""

    def __init__(self, owner: Interception) -> None:
        super().__init__()
        self._owner = owner
        self.renormed: set[int] = (
            set()
        )  # weights that max_norm changed just before a lookup, by address

    def see(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer an operator."""
        return self._owner.answer(self, func, args, kwargs)


# -- operands ---------------------------------------------------------------------------------------------------------

_SUM, _MEAN, _MAX = range(len(MODES))
_RENORM = torch.ops.aten.embedding_renorm_.default
_IDS = (torch.int32, torch.int64)


def _operand_obstacle(call: Call) -> str:
    operands = [call.weight, call.indices]
    operands += [t for t in (call.offsets, call.per_sample_weights) if t is not None]
    if not all(is_plain(tensor) for tensor in operands):
        return "layout"
    if any(tensor.device.type != "cpu" for tensor in operands):
        return "device"
    ids = [t for t in (call.indices, call.offsets) if t is not None]
    if any(tensor.dtype not in _IDS for tensor in ids):
        return "dtype"
    weight, scales = call.weight, call.per_sample_weights
    if call.kind == "quantised":
        assert call.dtype is not None
        if weight.dtype != torch.uint8 or (scales is not None and scales.dtype != torch.float32):
            return "dtype"
        shaped = weight.dim() == 2 and weight.numel() > 0 and not weight.is_inference()
        shaped = shaped and quantised_dim(int(weight.shape[1]), call.dtype) > 0
        flat = call.indices.dim() == (2 if call.offsets is None else 1)
        return "" if shaped and flat else "layout"
    if weight.dtype not in DTYPES or (scales is not None and scales.dtype != weight.dtype):
        return "dtype"
    if weight.dim() != 2 or weight.numel() == 0:
        return "layout"
    return "" if call.kind == "rows" or call.indices.dim() == 1 else "layout"


def _serve_rows(mirror: Mirror, weight: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Return the row of every id: the largest of a bag of one is the row itself, bits unchanged."""
    ids = indices.reshape(-1)
    starts = torch.arange(len(ids), dtype=torch.int64)
    slot = mirror.slot(weight, Use(_MAX))
    return mirror.lookup(slot, weight, bags_of(weight, ids.contiguous(), starts, None, False))


def _use(call: Call) -> Use:
    """Return the table that `serve` takes for a call."""
    if call.kind != "bag":
        return Use(_MAX)
    padding = max(call.padding_idx, -1)
    return Use(call.mode, padding, padding < 0 and not fused(call.weight, call.per_sample_weights))


def _flat(call: Call) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one-dimensional indices and offsets; a 2-D input holds a bag in every row."""
    if call.offsets is not None:
        return call.indices, call.offsets
    count, width = call.indices.shape
    return call.indices.reshape(-1), torch.arange(count, dtype=torch.int64) * width


def _offsets(call: Call) -> torch.Tensor:
    assert call.offsets is not None
    return call.offsets


def _bag_tables(model: torch.nn.Module) -> dict[str, tuple[torch.Tensor, Use]]:
    """Return the tables of a model's `nn.EmbeddingBag` modules that can be served, by module name."""
    found = {}
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.EmbeddingBag) or module.max_norm is not None:
            continue
        weight = module.weight
        if weight.device.type == "cpu" and weight.dtype in DTYPES and weight.numel():
            padding = -1 if module.padding_idx is None else module.padding_idx
            found[name or "weight"] = (weight, Use(MODES.index(module.mode), padding))
    return found


def _compiling() -> bool:
    """Tell whether a function of torch.compile is on the stack: it runs uncompiled, since a mode listens."""
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    if dynamo is None:
        return False
    compiled = (dynamo.OptimizeContext, dynamo.OptimizedModule)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == dynamo.__file__ and isinstance(
            frame.f_locals.get("self"), compiled
        ):
            return True
        frame = frame.f_back
    return False


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "nothing"
