# SPDX-License-Identifier: Apache-2.0
"""Record the rows that a model looks up, without a change to the model (`docs/capture.md`).

A `TorchDispatchMode` is entered for each call of the model, in whichever thread calls it, and notes the operands of
lookups after torch has answered them, FBGEMM's table-batched ones on the CPU among them. FBGEMM's tables on other
devices are recorded through the tap that they offer.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..bags import TableBags
from ..capture_file import CapturedTable, Header
from ..capture_writer import DEFAULT_MAX_BYTES, CaptureOptions, CaptureWriter
from ..errors import BackendUnavailable, ConfigError, EmbnicError
from .batched import BatchedCall, Views, batched_reader
from .calls import PARSERS, Call, Listener, is_plain
from .mirror import DTYPES
from .modules import EmbeddingBag
from .quantised import quantised_dim

__all__ = ["Recording", "capture"]

_log = logging.getLogger("embnic.capture")


def capture(
    model: torch.nn.Module | None,
    path: str | Path,
    *,
    salt: bool | bytes = True,
    sample: float = 1.0,
    seed: int = 0,
    max_bytes: int | None = DEFAULT_MAX_BYTES,
    weights: bool = True,
) -> Recording:
    """Record the lookups of every call of `model` inside the `with` block into the new Parquet file `path`.

    A call of the model is a batch. Traces are user data: ids are replaced by a secret permutation unless `salt` is
    False, and only the owner may read the file. The other options are those of `CaptureOptions`. `model=None` records
    what `Recording.tbe_config` is given to, and nothing else.

    >>> import tempfile
    >>> from embnic.capture_file import read_capture
    >>> model = torch.nn.EmbeddingBag(10, 4)
    >>> path = Path(tempfile.mkdtemp()) / "traffic.parquet"
    >>> with capture(model, path, salt=False):
    ...     pooled = model(torch.tensor([[3, 8], [8, 1]]))
    >>> read_capture(path).table("weight").values.tolist()
    [3, 8, 8, 1]
    """
    options = CaptureOptions(
        salt=salt, sample=sample, seed=seed, max_bytes=max_bytes, weights=weights
    )
    return Recording(model, path, options)


class Recording:
    """Record while it is entered; a context manager that is entered once.

    The model is never disturbed: when a batch cannot be recorded, the recording ends and one warning is logged.
    """

    def __init__(
        self, model: torch.nn.Module | None, path: str | Path, options: CaptureOptions
    ) -> None:
        if model is not None and not isinstance(model, torch.nn.Module):
            raise ConfigError(
                f"The model is a {type(model).__name__}.",
                allowed="a torch.nn.Module, or None to record FBGEMM's tables only.",
                do="Give the module that is called once a batch.",
            )
        if model is not None and any(isinstance(part, EmbeddingBag) for part in model.modules()):
            raise ConfigError(
                "The model is offloaded: its lookups do not reach torch.",
                allowed="a model before it is offloaded.",
                do="Record it before offload(), or after Offload.restore().",
            )
        self._model = model
        self._path = path
        self._options = options
        self._writer: CaptureWriter | None = None
        self._names = _Names(model)
        self._hooks: list[Any] = []
        self._threads = threading.local()
        self._tapped: list[str] = []
        self._views = Views()
        self._readers: dict[Any, Callable[..., BatchedCall] | None] = {}

    def __enter__(self) -> Recording:
        """Create the file and begin to record."""
        if self._writer is not None:
            raise ConfigError(
                f"The recording of {self._path} is entered again.",
                allowed="one with block.",
                do="Call embnic.capture again, with another path.",
            )
        self._writer = CaptureWriter(self._path, self._options)
        if self._model is not None:
            self._hooks = [
                self._model.register_forward_pre_hook(self._begin, prepend=True),
                self._model.register_forward_hook(self._end, always_call=True),
            ]
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Close the file; the model is as it was."""
        for hook in self._hooks:
            hook.remove()
        assert self._writer is not None
        self._writer.close("closed" if kind is None else "error")

    @property
    def header(self) -> Header:
        """Return what was recorded until now."""
        if self._writer is None:
            raise ConfigError(
                f"The recording of {self._path} has not begun.",
                allowed="a recording that was entered.",
                do="Write: with recording: ...",
            )
        return self._writer.header()

    def tbe_config(self) -> Any:
        """Return a `tbe_input_multiplexer_config` for FBGEMM's `SplitTableBatchedEmbeddingBagsCodegen`.

        Each forward of such a module is a batch. FBGEMM hands out ids and offsets; weights and pooling stay unknown.
        """
        try:
            from fbgemm_gpu.tbe.monitoring.tbe_input_multiplexer import TBEInputMultiplexerConfig
        except ImportError as error:
            raise BackendUnavailable(
                "fbgemm",
                reason=f"fbgemm_gpu does not offer its input multiplexer ({error}).",
                remedy="install fbgemm-gpu 1.8 or newer.",
            ) from error
        recording = self

        class Config(TBEInputMultiplexerConfig):
            """Make a tap for each module that is built with it."""

            def create_tbe_input_multiplexer(self, tbe_info: Any) -> _Tap:
                """Return the tap of one module."""
                return _Tap(recording, tbe_info)

        return Config()

    # -- batches of the model -----------------------------------------------------------------------------------------

    def _begin(self, module: Any, args: Any) -> None:
        """Begin a batch in this thread, unless the model calls itself."""
        del module, args
        assert self._writer is not None
        depth = getattr(self._threads, "depth", 0)
        self._threads.depth = depth + 1
        if depth == 0:
            mode = _Mode(self, self._writer.begin_batch())
            mode.__enter__()
            self._threads.mode = mode

    def _end(self, module: Any, args: Any, output: Any) -> None:
        """End the batch, also when the model raised."""
        del module, args, output
        depth = getattr(self._threads, "depth", 0)
        if depth == 0:
            return  # the recording began inside this call
        self._threads.depth = depth - 1
        if depth == 1:
            mode = self._threads.mode
            mode.__exit__(None, None, None)
            self._guarded(mode.batch, None)

    def record(self, batch: int, func: Any, args: Any, kwargs: Any) -> None:
        """Note what an operator has looked up, if it is one that looks rows up."""
        assert self._writer is not None
        if not self._writer.wants(batch):
            return
        if func in PARSERS:
            call = PARSERS[func](*args, **kwargs)
            if _has_values(call):
                self._guarded(batch, (_table(self._names.of(call.weight), call), _bags(call)))
            return
        if func not in self._readers:
            self._readers[func] = batched_reader(func)
        reader = self._readers[func]
        if reader is None or self._tapped:  # what has a tap is not recorded twice
            return
        batched = reader(self._views, *args, **kwargs)
        places = sorted({part.weight.data_ptr() for part in batched.parts})
        for part in batched.parts:
            name = f"{self._names.of(batched.weight)}@{places.index(part.weight.data_ptr())}"
            self._guarded(batch, (_table(name, part), _bags(part)))

    def record_tapped(self, lookups: list[tuple[CapturedTable, TableBags]]) -> None:
        """Note one forward of a tapped module, as a batch."""
        if self._writer is None or not self._writer.recording:
            return
        batch = self._writer.begin_batch()
        for lookup in lookups:
            self._guarded(batch, lookup)
        self._guarded(batch, None)

    def unique_name(self, name: str) -> str:
        """Return a name for a table of a tapped module that no other such table has."""
        taken = self._tapped.count(name)
        self._tapped.append(name)
        return f"{name}@{taken}" if taken else name

    def _guarded(self, batch: int, lookup: tuple[CapturedTable, TableBags] | None) -> None:
        """Add a lookup, or end the batch; end the recording when that fails."""
        assert self._writer is not None
        try:
            if lookup is None:
                self._writer.end_batch(batch)
            else:
                self._writer.add(batch, *lookup)
        except (EmbnicError, OSError) as error:
            self._writer.stop()
            _log.warning("the recording %s ends here: %s", self._path, error)


class _Mode(Listener):
    """Tell a recording of the lookups of one batch."""

    def __init__(self, recording: Recording, batch: int) -> None:
        super().__init__()
        self._recording = recording
        self.batch = batch

    def see(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let torch answer, then note what was asked."""
        answer = func(*args, **kwargs)
        self._recording.record(self.batch, func, args, kwargs)
        return answer


class _Tap:
    """Give the inputs of one FBGEMM module to a recording (FBGEMM's `TBEInputMultiplexer`)."""

    def __init__(self, recording: Recording, info: Any) -> None:
        self._recording = recording
        self._map = list(info.feature_table_map)
        self._first_row = list(info.row_offset)
        self._tables = [
            CapturedTable(
                recording.unique_name(name), rows, dim, dtype="unknown", pooling="unknown"
            )
            for name, rows, dim in zip(
                info.table_names, info.full_table_heights, info.table_dims, strict=True
            )
        ]

    def __deepcopy__(self, memo: Any) -> _Tap:
        """Stay the same: a copied module is recorded by the same recording."""
        return self

    def should_run(self, step: int) -> bool:
        """Ask for every step: which batches are kept is the recording's choice."""
        del step
        return True

    def run(self, tbe_input_info: Any) -> None:
        """Record one forward: `offsets` [F * B + 1] are key-major; batches may differ by feature."""
        ids = tbe_input_info.indices.detach().cpu().to(torch.int64).numpy()
        offsets = tbe_input_info.offsets.detach().cpu().to(torch.int64).numpy()
        sizes = tbe_input_info.batch_size_per_feature_per_rank
        features = len(self._map)
        counts = (
            [sum(size) for size in sizes] if sizes else [(len(offsets) - 1) // features] * features
        )
        lookups = []
        first = 0
        for table, count in zip(self._map, counts, strict=True):
            cut = offsets[first : first + count + 1]
            values = ids[cut[0] : cut[-1]] + self._first_row[table]
            lookups.append((self._tables[table], TableBags(values, cut - cut[0])))
            first += count
        self._recording.record_tapped(lookups)


# -- what is recorded of a lookup -------------------------------------------------------------------------------------


class _Names:
    """Name weights as the model does, others by the order in which they are met."""

    def __init__(self, model: torch.nn.Module | None) -> None:
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], str]] = {}
        self._lock = threading.Lock()
        self._met = 0
        if model is not None:
            for name, tensor in (*model.named_buffers(), *model.named_parameters()):
                self._known[id(tensor)] = (weakref.ref(tensor), name.removesuffix(".weight"))

    def of(self, weight: torch.Tensor) -> str:
        """Return the name of a weight."""
        with self._lock:
            held, name = self._known.get(id(weight), (None, ""))
            if held is None or held() is not weight:
                self._met += 1
                name = f"weight{self._met}"
                self._known[id(weight)] = (weakref.ref(weight), name)
            return name


def _has_values(call: Call) -> bool:
    """Tell whether the operands have values: a tracer's have none."""
    operands = [call.weight, call.indices, call.offsets, call.per_sample_weights]
    return all(is_plain(tensor) for tensor in operands if tensor is not None)


def _table(name: str, call: Call) -> CapturedTable:
    rows, width = (int(size) for size in call.weight.shape)
    if call.dtype is not None:
        return CapturedTable(name, rows, quantised_dim(width, call.dtype), call.dtype.name.lower())
    known = DTYPES.get(call.weight.dtype)
    dtype = str(call.weight.dtype).removeprefix("torch.") if known is None else known.name.lower()
    padding = None if call.padding_idx < 0 else call.padding_idx
    return CapturedTable(name, rows, width, dtype, call.pooling, padding)


def _bags(call: Call) -> TableBags:
    """Return the bags of a lookup; the last dimension of an input without offsets is the bag."""
    ids = _numpy(call.indices)
    if call.offsets is None:
        width = ids.shape[-1] if ids.ndim > 1 else 1
        ends = np.arange(ids.size // width + 1 if width else 1, dtype=np.int64) * width
    else:
        ends = _numpy(call.offsets)
        if not call.include_last_offset:
            ends = np.concatenate([ends, [ids.size]])
    used = int(ends[-1]) if len(ends) else 0  # torch drops ids behind a last offset
    weights = None
    if call.per_sample_weights is not None:
        scales = call.per_sample_weights.detach().cpu().to(torch.float32)
        weights = scales.numpy().reshape(-1)[:used]
    return TableBags(ids.reshape(-1)[:used], ends if len(ends) else np.zeros(1, np.int64), weights)


def _numpy(tensor: torch.Tensor) -> NDArray[np.int64]:
    array: NDArray[np.int64] = tensor.detach().cpu().to(torch.int64).numpy()
    return array
