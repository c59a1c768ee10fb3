# SPDX-License-Identifier: Apache-2.0
"""Name what can go wrong, in one tree.

```text
EmbnicError
├─ ConfigError (ValueError)         a table, bag or option that cannot be right
│  └─ CapacityError                 it does not fit the memory that is there; .needed, .available
├─ BackendUnavailable               a package or device is missing; .reason, .remedy
├─ ContractMismatch                 bitstream and package disagree; .device, .package
├─ DeviceError
│  ├─ DeviceTimeout (TimeoutError)  no answer in time; .waited, .doing
│  └─ DeviceFault                   the hardware reported a status code; .code, .where
├─ LinkError                        frames lost or malformed beyond retry
├─ Overloaded                       too many calls wait already; .limit
└─ ClosedError                      used after close; .call
```

Every message says what was given, what is allowed and what to do.
"""

from __future__ import annotations

__all__ = [
    "EmbnicError",
    "ConfigError",
    "CapacityError",
    "BackendUnavailable",
    "ContractMismatch",
    "DeviceError",
    "DeviceTimeout",
    "DeviceFault",
    "LinkError",
    "Overloaded",
    "ClosedError",
]


class EmbnicError(Exception):
    """Base of everything that embnic raises on purpose."""


class ConfigError(EmbnicError, ValueError):
    """A table, bag or option that cannot be right.

    Built from up to three sentences: what was `given`, what is `allowed`, what to `do`.

    >>> str(ConfigError("dim is 0.", allowed="1 or more.", do="Give the length of a row."))
    'dim is 0. Allowed: 1 or more. Do: Give the length of a row.'
    """

    def __init__(self, given: str, *, allowed: str = "", do: str = "") -> None:
        self.given = given
        self.allowed = allowed
        self.do = do
        parts = [given]
        if allowed:
            parts.append(f"Allowed: {allowed}")
        if do:
            parts.append(f"Do: {do}")
        super().__init__(" ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the three sentences, so that the error crosses processes whole."""
        return (_config_error, (type(self), self.given, self.allowed, self.do))


def _config_error(cls: type[ConfigError], given: str, allowed: str, do: str) -> ConfigError:
    return cls(given, allowed=allowed, do=do)


class CapacityError(ConfigError):
    """What is asked for does not fit the memory that is there; nothing was changed.

    >>> str(CapacityError("Table 'item'", needed=4096, available=1024, do="Use fewer rows."))
    "Table 'item' needs 4,096 bytes. Allowed: 1,024 bytes, which are free. Do: Use fewer rows."
    """

    def __init__(self, what: str, *, needed: int, available: int, do: str) -> None:
        self.what = what
        self.needed = needed
        self.available = available
        super().__init__(
            f"{what} needs {needed:,} bytes.",
            allowed=f"{available:,} bytes, which are free.",
            do=do,
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the attributes."""
        return (_capacity_error, (self.what, self.needed, self.available, self.do))


def _capacity_error(what: str, needed: int, available: int, do: str) -> CapacityError:
    return CapacityError(what, needed=needed, available=available, do=do)


class BackendUnavailable(EmbnicError):
    """A backend cannot run here because a package or a device is missing."""

    def __init__(self, backend: str, *, reason: str, remedy: str) -> None:
        self.backend = backend
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"The backend {backend!r} is not available: {reason} Do: {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the attributes."""
        return (_backend_unavailable, (self.backend, self.reason, self.remedy))


def _backend_unavailable(backend: str, reason: str, remedy: str) -> BackendUnavailable:
    return BackendUnavailable(backend, reason=reason, remedy=remedy)


class ContractMismatch(EmbnicError):
    """The device was built from another contract than this package."""

    def __init__(self, what: str, *, device: object, package: object) -> None:
        self.what = what
        self.device = device
        self.package = package
        super().__init__(
            f"{what}: the device says {_show(device)}, this package expects {_show(package)}. "
            "Do: load a bitstream built from this version of embnic, "
            "or install the version that built it."
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the attributes."""
        return (_contract_mismatch, (self.what, self.device, self.package))


def _contract_mismatch(what: str, device: object, package: object) -> ContractMismatch:
    return ContractMismatch(what, device=device, package=package)


class DeviceError(EmbnicError):
    """The device did not do what it was asked."""


class DeviceTimeout(DeviceError, TimeoutError):
    """The device gave no answer in time."""

    def __init__(self, doing: str, *, waited: float, do: str = "") -> None:
        self.doing = doing
        self.waited = waited
        self.do = do
        text = f"No answer after {waited:g} s while {doing}."
        super().__init__(f"{text} Do: {do}" if do else text)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the attributes."""
        return (_device_timeout, (self.doing, self.waited, self.do))


def _device_timeout(doing: str, waited: float, do: str) -> DeviceTimeout:
    return DeviceTimeout(doing, waited=waited, do=do)


class DeviceFault(DeviceError):
    """The hardware answered with a status code other than OK."""

    def __init__(self, where: str, *, code: int, do: str = "") -> None:
        self.where = where
        self.code = code
        self.do = do
        name = getattr(code, "name", None)
        shown = f"{name} ({int(code)})" if name else str(int(code))
        text = f"The device reported {shown} at {where}."
        super().__init__(f"{text} Do: {do}" if do else text)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the attributes."""
        return (_device_fault, (self.where, self.code, self.do))


def _device_fault(where: str, code: int, do: str) -> DeviceFault:
    return DeviceFault(where, code=code, do=do)


class LinkError(EmbnicError):
    """Frames were lost or malformed beyond retry."""


class Overloaded(EmbnicError):
    """Too many calls wait already; this one was not begun.

    >>> str(Overloaded("alookup", limit=64))
    'alookup: 64 calls wait already. Allowed: 64 at a time. Do: await some of them before, or raise the limit.'
    """

    def __init__(self, call: str, *, limit: int) -> None:
        self.call = call
        self.limit = limit
        super().__init__(
            f"{call}: {limit} calls wait already. Allowed: {limit} at a time. "
            "Do: await some of them before, or raise the limit."
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the attributes."""
        return (_overloaded, (self.call, self.limit))


def _overloaded(call: str, limit: int) -> Overloaded:
    return Overloaded(call, limit=limit)


class ClosedError(EmbnicError):
    """Something was used after it was closed."""

    def __init__(self, call: str) -> None:
        self.call = call
        super().__init__(
            f"{call} was called after close(). Do: open a new one and use it inside `with`."
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the attribute."""
        return (ClosedError, (self.call,))


def _show(value: object) -> str:
    return (
        f"0x{value:08x}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)
    )


# Errors that mean: this card, GPU or other path does not serve any more.
LOST = (DeviceError, LinkError, ContractMismatch, BackendUnavailable, OSError)
