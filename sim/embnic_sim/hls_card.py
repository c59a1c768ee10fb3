# SPDX-License-Identifier: Apache-2.0
"""The simulated HLS card: the C++ cores behind the host's Bus, Memory and Link.

    with HlsCard("tiny") as card:
        card.send(frames)
        replies = card.recv(64, timeout=0.0)

Frames are served in `send`, one after the other; there are no cycles. Time is only what the driver's
waits need: a wait without a frame takes as long as it may.
"""

from __future__ import annotations

import ctypes
import functools
import time
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embnic.errors import ClosedError, ConfigError, DeviceFault
from embnic.gen.configs import CONFIGS, CoreConfig
from embnic.gen.registers import COUNTERS, REGISTERS
from embnic.gen.wire import CONTRACT_HASH
from embnic.wire import FrameBatch
from embnic_sim.hls_build import build_bridge

__all__ = ["HlsCard", "bridge"]

_ABI = 1
_P, _U64, _U32, _I32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_int32
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "abi": (_U32, ()),
    "counter_names": (ctypes.POINTER(ctypes.c_char_p), (_P,)),
    "card_create": (_P, (_U32,)),
    "card_destroy": (None, (_P,)),
    "card_configure": (None, (_P, _P)),
    "card_table": (None, (_P, _U32, _P)),
    "card_flush": (None, (_P,)),
    "card_resize": (None, (_P, _U64)),
    "card_memory": (_I32, (_P, _I32, _U64, _P, _U64)),
    "card_push": (None, (_P, _P, _P, _U64)),
    "card_waiting": (_U64, (_P, _U64, _P)),
    "card_pull": (None, (_P, _U64, _P, _P)),
    "card_counters": (None, (_P, _P)),
    "gradients_create": (_P, ()),
    "gradients_destroy": (None, (_P,)),
    "gradients_take": (_U64, (_P, _U32, _U32, _U32, _U32, _U32, _P)),
    "gradients_give": (_U32, (_P, _P, _U64)),
    "topk": (None, (_P, _U64, _U32, _P, _P)),
    "interact": (_I32, (_P, _U64, _U32, _U32, _P)),
}


@functools.lru_cache(maxsize=1)
def bridge() -> dict[str, Any]:
    """Return the functions of the library of the HLS cores, built if need be."""
    library = build_bridge()
    handle = ctypes.CDLL(str(library))
    functions: dict[str, Any] = {}
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(handle, f"embnic_hls_{name}")
        function.restype, function.argtypes = result, arguments
        functions[name] = function
    if functions["abi"]() != _ABI:
        raise RuntimeError(f"{library} has another interface than hls_card.py")
    return functions


class _Knobs(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("enable", "quiesce", "port", "reply_units", "cached_ways", "admission")
    ]


class HlsCard:
    """A card of HLS cores in this process: Bus, Memory and Link in one object.

    It has one channel of memory, no frame generator, no latency histograms and no parity; its
    capabilities say so. `clock_hz` turns waits into time; `model_seconds` is the wall-clock time spent
    in the cores.
    """

    def __init__(self, config: str = "tiny") -> None:
        if config not in CONFIGS:
            raise ConfigError(
                f"The configuration is {config!r}.",
                allowed=f"{', '.join(CONFIGS)}.",
                do="Choose one of these.",
            )
        self.config: CoreConfig = CONFIGS[config]
        self.build_name = f"{config}, HLS cores in C simulation, g++ -O2"
        self.model_seconds = 0.0
        self.clock_hz = self.config.clock_mhz * 1e6
        self._calls = bridge()
        self._handle: int | None = self._calls["card_create"](self.config.config_id)
        count = ctypes.c_uint32()
        names = self._calls["counter_names"](ctypes.byref(count))
        self._names = [names[at].decode() for at in range(count.value)]
        self._seconds = 0.0
        self._allocated = 4096  # address 0 is left unused, so that a forgotten base shows
        self._shadow: dict[str, int] = {}
        self._registers = self._reset_values()
        self._configure()

    def __enter__(self) -> HlsCard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the card; safe to call twice."""
        if self._handle is not None:
            self._calls["card_destroy"](self._handle)
            self._handle = None

    def _call(self, name: str, *arguments: Any) -> Any:
        if self._handle is None:
            raise ClosedError(f"HlsCard.{name}")
        return self._calls[f"card_{name}"](self._handle, *arguments)

    def _reset_values(self) -> dict[int, int]:
        c = self.config
        values = {
            "CONTRACT_HASH": CONTRACT_HASH,
            "CONFIG_ID": c.config_id,
            "CAP_DATA_W": c.data_w,
            "CAP_SLOTS": c.slots,
            "CAP_MAX_VEC64": c.max_vec64,
            "CAP_LINE_BYTES": c.line_bytes,
            "CAP_WAYS": c.ways,
            "CAP_SETS": c.sets,
            "CAP_FETCHES": c.fetches,
            "CAP_TABLES": c.tables,
            "CAP_KS_BYTES": c.ks_beats * c.data_w // 8,
            "CAP_REPLY_VEC64": c.reply_vec64,
            "CAP_CTXS": c.ctxs,
            "CAP_CLIENTS": c.clients,
            "CAP_MERGE_UNITS": 2 * c.max_vec64,
            "CAP_TREE_K": c.tree_k,
            "CAP_CHANNELS": 1,
            "CAP_BUCKETS": 32,
            "CAP_ERROR_LOG": 64,
        }
        registers = {}
        for name, register in REGISTERS.items():
            reset = sum((f.reset or 0) << f.low for f in register.fields.values())
            for index in range(register.count):
                registers[register.offset + 4 * index] = values.get(name, reset)
        return registers

    def _field(self, register: str, name: str) -> int:
        described = REGISTERS[register]
        place = described.fields[name]
        return self._registers[described.offset] >> place.low & ((1 << place.width) - 1)

    def _configure(self) -> None:
        knobs = _Knobs(
            enable=self._field("CONTROL", "enable"),
            quiesce=self._field("CONTROL", "quiesce"),
            port=self._registers[REGISTERS["UDP_PORT"].offset],
            reply_units=self._registers[REGISTERS["REPLY_BEATS64"].offset],
            cached_ways=self._field("CACHE", "cached_ways"),
            admission=self._field("CACHE", "admission"),
        )
        self._call("configure", ctypes.byref(knobs))

    # Bus

    def read32(self, offset: int) -> int:
        """Return a register's value."""
        self._seconds += 10 / self.clock_hz
        if offset == REGISTERS["STATUS"].offset:
            status = REGISTERS["STATUS"].fields
            return 1 << status["idle"].low | 1 << status["drained"].low
        for counter in COUNTERS:
            if offset in (counter.offset, counter.offset + 4):
                value = self._shadow.get(counter.name, 0)
                return value >> 32 * (offset != counter.offset) & 0xFFFFFFFF
        if offset not in self._registers:
            raise DeviceFault(
                f"reading register {offset:#05x}", code=2, do="use an offset of the register map."
            )
        return self._registers[offset]

    def write32(self, offset: int, value: int) -> None:
        """Write a register."""
        self._seconds += 10 / self.clock_hz
        if offset not in self._registers:
            raise DeviceFault(
                f"writing register {offset:#05x}", code=2, do="use an offset of the register map."
            )
        if offset == REGISTERS["CONTROL"].offset:
            fields = REGISTERS["CONTROL"].fields
            if value >> fields["snapshot"].low & 1:
                self._shadow = self.counters()
            if value >> fields["flush"].low & 1:
                self._call("flush")
            for place in fields.values():
                if place.pulse:
                    value &= ~(((1 << place.width) - 1) << place.low)
        if offset == REGISTERS["TABLE_COMMIT"].offset:
            self._commit()
            value = 0
        self._registers[offset] = value
        self._configure()

    def _commit(self) -> None:
        first = REGISTERS["TABLE_WORD"].offset
        words = np.array([self._registers[first + 4 * n] for n in range(8)], np.uint32)
        number = self._registers[REGISTERS["TABLE_SEL"].offset]
        self._call("table", number, words.view(np.uint64).ctypes.data)

    def counters(self) -> dict[str, int]:
        """Return what the card counted so far."""
        out = np.zeros(len(self._names), np.uint64)
        self._call("counters", out.ctypes.data)
        return {name: int(value) for name, value in zip(self._names, out, strict=True)}

    # Memory

    def alloc(self, nbytes: int, align: int = 4096) -> int:
        """Return the address of `nbytes` unused bytes of card memory."""
        addr = -(-self._allocated // align) * align
        self._allocated = addr + nbytes
        self._call("resize", self._allocated)
        return addr

    def read(self, addr: int, nbytes: int) -> NDArray[np.uint8]:
        """Return a copy of `nbytes` bytes from `addr`: uint8, shape [nbytes]."""
        out = np.empty(nbytes, np.uint8)
        self._access(0, addr, out)
        return out

    def write(self, addr: int, data: NDArray[np.uint8]) -> None:
        """Write `data` (uint8, one-dimensional) at `addr`."""
        if data.dtype != np.uint8:
            raise ConfigError(
                f"The data are {data.dtype}.", allowed="uint8.", do="Use data.view(numpy.uint8)."
            )
        self._access(1, addr, np.ascontiguousarray(data).reshape(-1))

    def _access(self, write: int, addr: int, data: NDArray[np.uint8]) -> None:
        if addr < 0 or self._call("memory", write, addr, data.ctypes.data, data.size):
            raise ConfigError(
                f"{data.size:,} bytes at {addr:#x} are not all inside card memory.",
                allowed=f"addresses below {self._allocated:#x}.",
                do="Use an address from alloc().",
            )

    def sync(self) -> None:
        """Return when earlier writes are visible to the cores: they already are."""

    # Link

    def send(self, frames: FrameBatch) -> None:
        """Serve frames; their answers wait to be received."""
        data = np.ascontiguousarray(frames.data, np.uint8)
        offsets = np.ascontiguousarray(frames.offsets, np.int64)
        count = len(offsets) - 1
        if count < 1:
            return
        if (np.diff(offsets) < 1).any() or offsets[0] < 0 or offsets[-1] > data.size:
            raise ConfigError(
                "The offsets of the frames do not rise from within the data.",
                do="Build the batch with embnic.wire.",
            )
        started = time.perf_counter()
        self._call("push", data.ctypes.data, offsets.ctypes.data, count)
        self.model_seconds += time.perf_counter() - started

    def recv(self, max_frames: int, timeout: float) -> FrameBatch:
        """Return up to `max_frames` frames; none after a wait of `timeout` seconds of the card's
        clock.
        """
        nbytes = ctypes.c_uint64()
        count = int(self._call("waiting", max(max_frames, 0), ctypes.byref(nbytes)))
        data = np.empty(nbytes.value, np.uint8)
        offsets = np.zeros(count + 1, np.int64)
        if count:
            self._call("pull", count, data.ctypes.data, offsets.ctypes.data)
        else:
            self._seconds += max(timeout, 1 / self.clock_hz)
        return FrameBatch(data, offsets)

    def clock(self) -> float:
        """Return seconds on the card's clock, which only waits and registers move."""
        return self._seconds
