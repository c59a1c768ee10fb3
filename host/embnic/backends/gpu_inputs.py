# SPDX-License-Identifier: Apache-2.0
"""Take requests for the GPU: bags of the host, tensors that are on the device already, anything with `__dlpack__`.

What the host knows of tensors on the device is checked when they are taken; what only the device knows sets a flag
there, which `GpuTables.check_errors` reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bags import Bags
from ..errors import ConfigError
from ..gen.wire import NULL_ROW, DType, Pooling
from ..rows import check_ids
from .base import HostTables
from .gpu_device import Device
from .gpu_layout import FlatBags

__all__ = ["Inputs", "check_device"]


class Inputs:
    """Make the `FlatBags` of requests to tables, and check them."""

    def __init__(self, device: Device, host: HostTables, flags: Any) -> None:
        """Take the tables, and the device int64 [2] whose element 0 says that a request was wrong."""
        self._device, self._host, self._flags = device, host, flags

    def put(self, bags: Bags) -> FlatBags:
        """Copy checked host bags to the device, in one transfer."""
        names = tuple(bags)
        parts = [bags[name] for name in names]
        counts = tuple(len(part) for part in parts)
        keys = [len(part.values) for part in parts]
        total, offsets = sum(keys), sum(counts) + 1
        weighted = any(part.weights is not None for part in parts)
        staged = self._device.host_bytes(8 * (total + offsets) + (4 * total if weighted else 0))
        host = staged.numpy()
        whole = host[: 8 * (total + offsets)].view(np.int64)
        np.concatenate([part.values for part in parts], out=whole[:total])
        starts = whole[total:]
        starts[0] = at = bag = 0
        for part, count, length in zip(parts, counts, keys, strict=True):
            np.add(part.offsets[1:], at, out=starts[bag + 1 : bag + count + 1])
            at, bag = at + length, bag + count
        if weighted:  # a product with 1 is exact: a table without weights pools as ever
            np.concatenate(
                [
                    np.ones(n, np.float32) if p.weights is None else p.weights
                    for p, n in zip(parts, keys, strict=True)
                ],
                out=host[8 * (total + offsets) :].view(np.float32),
            )
        torch = self._device.torch
        sent = staged.to(self._device.torch_device, non_blocking=True)
        whole_sent = sent[: 8 * (total + offsets)].view(torch.int64)
        weights = sent[8 * (total + offsets) :].view(torch.float32) if weighted else None
        return FlatBags(names, counts, whole_sent[:total], whole_sent[total:], weights)

    def flat(
        self,
        names: Sequence[str],
        values: Any,
        offsets: Any,
        *,
        weights: Any = None,
        counts: Sequence[int] | None = None,
    ) -> FlatBags:
        """Take the parts of a key-major KeyedJaggedTensor that is on the device already, without copying.

        `values` int32 or int64 [L]; `offsets` int32 or int64 [N + 1], absolute, from 0 to L; `weights` float32 [L]. The
        bags are shared equally by the tables `names`, unless `counts` says how many each has.
        """
        names = tuple(names)
        bags = int(offsets.shape[0]) - 1 if getattr(offsets, "ndim", 0) == 1 else -1
        shared = tuple(counts) if counts is not None else (bags // max(len(names), 1),) * len(names)
        if bags < 0 or sum(shared) != bags or len(shared) != len(names):
            raise ConfigError(
                f"{bags} bags are given for {len(names)} tables.",
                allowed="offsets [bags of all tables + 1], the same number of bags for every table, or counts.",
                do="Give counts=[bags of each table].",
            )
        flat = FlatBags(names, shared, values, offsets, weights)
        self._check_flat(flat)
        if weights is not None:
            self._check_weights(names)
        self._expect(flat, np.array([0, bags]), np.array([0, int(values.shape[0])]))
        return flat

    def from_dlpack(self, inputs: Mapping[str, Any]) -> FlatBags:
        """Take for each table `(input, offsets)` or `(input, offsets, per_sample_weights)`, as `Bags.from_torch` does.

        Each may be a tensor or anything with `__dlpack__`, on this device; `offsets` [B] are where the bags start.
        Nothing goes through host memory.
        """
        torch = self._device.torch
        names, counts, ids, offsets, weights = [], [], [], [], []
        at, starts_of = 0, []
        for name, given in inputs.items():
            parts = [None if part is None else self._tensor(part, name) for part in given]
            values, starts, w = (*parts, None)[:3] if len(parts) in (2, 3) else (None, None, None)
            if values is None or starts is None or values.ndim != 1 or starts.ndim != 1:
                raise ConfigError(
                    f"Table {name!r}: {len(parts)} values are given.",
                    allowed="(input [L], offsets [B]) or (input, offsets, per_sample_weights [L]).",
                    do="Give the start of each bag.",
                )
            names.append(name)
            counts.append(int(starts.shape[0]))
            ids.append(values)
            offsets.append(starts.to(torch.int64) + at)
            weights.append(w)
            starts_of.append(at)
            at += int(values.shape[0])
        if not names:
            raise ConfigError(
                "No bags are given.", allowed="bags for at least one table.", do="Name one."
            )
        end = torch.tensor([at], dtype=torch.int64, device=self._device.torch_device)
        wide = any(values.dtype == torch.int64 for values in ids)
        flat = FlatBags(
            tuple(names),
            tuple(counts),
            _joined(torch, [values.to(torch.int64) if wide else values for values in ids]),
            torch.cat([*offsets, end]),
            self._joined_weights(ids, weights),
            tuple(starts_of),
        )
        self._check_flat(flat)
        self._check_weights([name for name, w in zip(names, weights, strict=True) if w is not None])
        self._expect(flat, np.cumsum((0, *counts)), np.array([*starts_of, at]))
        return flat

    def _joined_weights(self, ids: list[Any], weights: list[Any]) -> Any:
        if all(w is None for w in weights):
            return None
        torch = self._device.torch
        filled = [
            torch.ones(v.shape, device=v.device) if w is None else w
            for v, w in zip(ids, weights, strict=True)
        ]
        return _joined(torch, filled)

    def _tensor(self, value: Any, name: str) -> Any:
        torch = self._device.torch
        if isinstance(value, torch.Tensor):
            return value.detach()
        if hasattr(value, "__dlpack__"):
            return torch.from_dlpack(value)
        raise ConfigError(
            f"Table {name!r}: a {type(value).__name__} is given.",
            allowed="tensors and objects with __dlpack__.",
            do="Use lookup(Bags...) for numpy arrays and lists.",
        )

    def _check_flat(self, flat: FlatBags) -> None:
        torch = self._device.torch
        for name in flat.names:
            self._host.table(name)
        if len(set(flat.names)) != len(flat.names) or not flat.names:
            raise ConfigError(
                f"The tables are {list(flat.names)}.",
                allowed="different ones.",
                do="Name each once.",
            )
        for what, tensor in (
            ("ids", flat.ids),
            ("offsets", flat.offsets),
            ("weights", flat.weights),
        ):
            if tensor is None:
                continue
            types = (torch.float32,) if what == "weights" else (torch.int32, torch.int64)
            if (
                not isinstance(tensor, torch.Tensor)
                or tensor.dtype not in types
                or tensor.ndim != 1
            ):
                given = (
                    f"{tensor.dtype} {list(tensor.shape)}"
                    if isinstance(tensor, torch.Tensor)
                    else type(tensor).__name__
                )
                raise ConfigError(
                    f"{what} are {given}.",
                    allowed=" or ".join(str(kind) for kind in types) + ", one dimension.",
                    do="Convert them before, knowingly.",
                )
            if not tensor.is_contiguous():
                raise ConfigError(
                    f"{what} are not contiguous.",
                    allowed="contiguous tensors.",
                    do="Call contiguous().",
                )
            check_device(self._device, tensor, what)
        if flat.weights is not None and flat.weights.shape != flat.ids.shape:
            raise ConfigError(
                f"weights have shape {list(flat.weights.shape)}.",
                allowed=f"{list(flat.ids.shape)}, one weight for every id.",
                do="Give a weight for every id, in the same order.",
            )

    def _expect(self, flat: FlatBags, bags: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        """Flag a request whose offsets of `bags` are not `starts`; the next check reports it, nothing waits here."""
        found = flat.offsets[self._device.put(bags.astype(np.int64))]
        wrong = (found != self._device.put(starts.astype(np.int64))).any()
        self._flags[:1].bitwise_or_(wrong.to(self._flags.dtype) * 2)

    def _check_weights(self, names: Sequence[str]) -> None:
        """Refuse weights for tables that take none, as `Bags` does."""
        for name in names:
            table = self._host.table(name)
            if table.pooling is not Pooling.SUM or table.dtype is DType.FIXED:
                raise ConfigError(
                    f"Table {name!r}: weights are given with pooling {table.pooling.name.lower()!r} and dtype "
                    f"{table.dtype.name.lower()!r}.",
                    allowed="weights with pooling='sum' only, as in torch, and not for 'fixed' rows.",
                    do="Leave the weights out, or give such tables a request of their own.",
                )

    def explain(self, flat: FlatBags) -> None:
        """Check a request on the host, and raise ConfigError that says what is wrong with it, if anything is."""
        ids = flat.ids.cpu().numpy().astype(np.int64)
        offsets = flat.offsets.cpu().numpy().astype(np.int64)
        first = 0
        for at, (name, count) in enumerate(zip(flat.names, flat.counts, strict=True)):
            cut = offsets[first : first + count + 1]
            first += count
            start = flat.starts[at] if flat.starts else (0 if at == 0 else int(cut[0]))
            bad = (cut < 0) | (cut > len(ids)) | np.append(np.diff(cut) < 0, False)
            bad[0] |= cut[0] != start
            bad[-1] |= at + 1 == len(flat.names) and cut[-1] != len(ids)
            if bad.any():
                bag = int(bad.argmax())
                shift = start if flat.starts else 0
                raise ConfigError(
                    f"Table {name!r}: offset {int(cut[bag]) - shift} of bag {bag} is wrong.",
                    allowed="offsets that start at 0, never decrease and stay within the ids.",
                    do="Give where each bag starts; a KeyedJaggedTensor also gives the number of ids at the end.",
                )
            table, part = self._host.tables[name], ids[int(cut[0]) : int(cut[-1])]
            check_ids(table, np.where(part == NULL_ROW, 0, part))


def check_device(device: Device, tensor: Any, what: str, *, also_host: bool = False) -> None:
    """Refuse a tensor that is not on the device, or, with `also_host`, in host memory."""
    if tensor.device == device.torch_device or (also_host and tensor.device.type == "cpu"):
        return
    raise ConfigError(
        f"{what}: a tensor on {tensor.device} is given, the tables are on {device.torch_device}.",
        allowed=f"tensors on {device.torch_device}" + (" or in host memory." if also_host else "."),
        do=f"Call .to('{device.torch_device}') first.",
    )


def _joined(torch: Any, parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
