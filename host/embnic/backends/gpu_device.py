# SPDX-License-Identifier: Apache-2.0
"""Hold what the GPU path needs of torch and Triton: the device, its streams, pinned memory.

Torch and Triton are imported when a `Device` is made. With `TRITON_INTERPRET=1` in the environment the kernels run in
Triton's interpreter on CPU tensors; streams and events are then empty, because everything is in order.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import Any, Protocol

import numpy as np

from ..errors import BackendUnavailable, ConfigError
from ..gpu_probe import check_capability, gpu_missing

__all__ = ["Device", "Lane", "open_device"]


class Lane(Protocol):
    """A queue of device work (a CUDA stream)."""

    def run(self) -> contextlib.AbstractContextManager[Any]:
        """Return a context in which work is put on this lane."""
        ...

    def mark(self) -> Any:
        """Return a point in the lane: everything put on it until now."""
        ...

    def wait(self, point: Any) -> None:
        """Let later work of this lane begin after `point` is reached."""
        ...

    def keep(self, tensor: Any) -> None:
        """Keep the memory of a tensor that another lane made until this lane is done with it."""
        ...


class _InOrder:
    """The lane of an interpreter: work is done when it is asked for."""

    def run(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def mark(self) -> Any:
        return None

    def wait(self, point: Any) -> None:
        del point

    def keep(self, tensor: Any) -> None:
        del tensor


class _Stream:
    """A lane that is a CUDA stream; without one, the stream that is current when it is used."""

    def __init__(self, torch: Any, stream: Any = None) -> None:
        self._torch, self._stream = torch, stream

    def _current(self) -> Any:
        return self._torch.cuda.current_stream() if self._stream is None else self._stream

    def run(self) -> contextlib.AbstractContextManager[Any]:
        if self._stream is None:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[Any] = self._torch.cuda.stream(self._stream)
        return context

    def mark(self) -> Any:
        event = self._torch.cuda.Event()
        event.record(self._current())
        return event

    def wait(self, point: Any) -> None:
        if point is not None:
            self._current().wait_event(point)

    def keep(self, tensor: Any) -> None:
        tensor.record_stream(self._current())


class Device:
    """Name a device and do what depends on it.

    `torch` and `kernels` are the imported modules, `interpreted` says that the kernels run in Triton's interpreter,
    `main` is the caller's lane and `side` the one of prefetches.
    """

    def __init__(self, torch: Any, kernels: Any, name: str) -> None:
        self.torch = torch
        self.kernels = kernels
        self.interpreted = bool(kernels.INTERPRETED)
        self.torch_device = torch.device(name)
        self.main: Lane
        self.side: Lane
        if self.torch_device.type == "cuda":
            if self.torch_device.index is None:
                self.torch_device = torch.device("cuda", torch.cuda.current_device())
            self.main, self.side = (
                _Stream(torch),
                _Stream(torch, torch.cuda.Stream(self.torch_device)),
            )
        else:
            self.main = self.side = _InOrder()

    @property
    def on_gpu(self) -> bool:
        """Tell whether this is a GPU and not the interpreter."""
        return bool(self.torch_device.type == "cuda")

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which kernels are launched: this GPU is current; the interpreter's numpy is silent."""
        if self.on_gpu:
            context: contextlib.AbstractContextManager[Any] = self.torch.cuda.device(
                self.torch_device
            )
            return context
        return np.errstate(all="ignore")

    def empty(self, size: int, dtype: Any) -> Any:
        """Return an uninitialised device tensor [size]."""
        return self.torch.empty(size, dtype=dtype, device=self.torch_device)

    def host_bytes(self, size: int) -> Any:
        """Return an uninitialised host tensor, uint8 [size], that the device can read and write: pinned memory."""
        return self.torch.empty(size, dtype=self.torch.uint8, pin_memory=self.on_gpu)

    def put(self, array: Any) -> Any:
        """Copy a numpy array to the device."""
        return self.torch.from_numpy(np.ascontiguousarray(array)).to(self.torch_device)

    def synchronize(self) -> None:
        """Wait until everything that was put on the device is done."""
        if self.on_gpu:
            self.torch.cuda.synchronize(self.torch_device)

    def out_of_memory(self, error: BaseException) -> bool:
        """Tell whether an error says that the device's memory is used up."""
        return isinstance(error, self.torch.cuda.OutOfMemoryError)

    def free_bytes(self) -> int:
        """Return how much device memory can still be allocated."""
        if not self.on_gpu:
            return 1 << 40
        with self.scope():
            free, _ = self.torch.cuda.mem_get_info()
        return int(free)


def open_device(name: str | None = None) -> Device:
    """Return the device called `name` ("cuda", "cuda:1"); without a name the current GPU, or the interpreter's CPU."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    reason = "" if interpreted else gpu_missing()
    if not reason:
        try:
            torch: Any = importlib.import_module("torch")
            kernels: Any = importlib.import_module("embnic.backends.gpu_kernels")
        except ImportError as error:
            reason = f"{error.name or error} does not import"
    if reason:
        raise BackendUnavailable(
            "gpu",
            reason=f"{reason}.",
            remedy="pip install 'embnic[gpu]' on a machine with a CUDA GPU, or use target='cpu'.",
        )
    if kernels.INTERPRETED:
        if name not in (None, "cpu"):
            raise ConfigError(
                f"The device is {name!r}.",
                allowed="'cpu' while TRITON_INTERPRET=1.",
                do="Unset TRITON_INTERPRET.",
            )
        return Device(torch, kernels, "cpu")
    _check_gpu(torch, name or "cuda")
    return Device(torch, kernels, name or "cuda")


def _check_gpu(torch: Any, name: str) -> None:
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type != "cuda" or (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"The device is {name!r}.",
            allowed=f"'cuda', or 'cuda:0' to 'cuda:{torch.cuda.device_count() - 1}'.",
            do="Name a CUDA device that torch sees.",
        )
    reason = check_capability(tuple(torch.cuda.get_device_capability(device)))
    if reason:
        raise BackendUnavailable("gpu", reason=f"{name}: {reason}.", remedy="use target='cpu'.")
