# SPDX-License-Identifier: Apache-2.0
"""The error tree: what each class is, says and carries."""

from __future__ import annotations

import doctest
import pickle

import pytest

import embnic.errors as errors
from embnic.gen.wire import Status

EXAMPLES = [
    errors.ConfigError("dim is 0.", allowed="1 or more.", do="Give dim."),
    errors.BackendUnavailable("pynq", reason="no board.", remedy="plug one in."),
    errors.ContractMismatch("contract hash", device=0x1234, package=0xABCD),
    errors.DeviceTimeout("waiting for a reply", waited=1.5, do="raise the deadline."),
    errors.DeviceFault("lookup of table 'item'", code=Status.OUT_OF_RANGE, do="check the ids."),
    errors.LinkError("3 frames lost."),
    errors.ClosedError("Engine.lookup"),
    errors.CapacityError("Table 'item'", needed=4096, available=1024, do="Use fewer rows."),
    errors.Overloaded("alookup", limit=64),
]


def test_the_tree() -> None:
    """Every class sits where the drawing says, and all names are public."""
    parents = {
        errors.ConfigError: (errors.EmbnicError, ValueError),
        errors.CapacityError: (errors.ConfigError,),
        errors.Overloaded: (errors.EmbnicError,),
        errors.BackendUnavailable: (errors.EmbnicError,),
        errors.ContractMismatch: (errors.EmbnicError,),
        errors.DeviceError: (errors.EmbnicError,),
        errors.DeviceTimeout: (errors.DeviceError, TimeoutError),
        errors.DeviceFault: (errors.DeviceError,),
        errors.LinkError: (errors.EmbnicError,),
        errors.ClosedError: (errors.EmbnicError,),
    }
    for child, bases in parents.items():
        assert child.__bases__ == bases
        assert child.__name__ in (errors.__doc__ or "")
    public = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert public == set(errors.__all__)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_an_error_crosses_processes_whole(error: errors.EmbnicError) -> None:
    """Pickling keeps class, message and attributes."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_messages_say_given_allowed_and_do() -> None:
    """The sentences users read."""
    said = [str(error) for error in EXAMPLES]
    assert said[0] == "dim is 0. Allowed: 1 or more. Do: Give dim."
    assert said[1] == "The backend 'pynq' is not available: no board. Do: plug one in."
    assert "0x00001234" in said[2]
    assert "0x0000abcd" in said[2]
    assert "Do: load a bitstream" in said[2]
    assert said[3] == "No answer after 1.5 s while waiting for a reply. Do: raise the deadline."
    assert (
        said[4]
        == "The device reported OUT_OF_RANGE (4) at lookup of table 'item'. Do: check the ids."
    )
    assert said[6].startswith("Engine.lookup was called after close().")
    assert "(99)" not in str(errors.DeviceFault("x", code=99))
    assert str(errors.DeviceTimeout("x", waited=2)) == "No answer after 2 s while x."
    assert "the device says 'a'" in str(errors.ContractMismatch("config", device="a", package="b"))


def test_attributes() -> None:
    """What code can act on."""
    config, missing, mismatch, timeout, fault, _, closed = EXAMPLES[:7]
    assert (config.given, config.allowed, config.do) == ("dim is 0.", "1 or more.", "Give dim.")
    assert (missing.backend, missing.reason, missing.remedy) == (
        "pynq",
        "no board.",
        "plug one in.",
    )
    assert (mismatch.device, mismatch.package) == (0x1234, 0xABCD)
    assert (timeout.waited, timeout.doing) == (1.5, "waiting for a reply")
    assert (fault.code, fault.where) == (Status.OUT_OF_RANGE, "lookup of table 'item'")
    assert closed.call == "Engine.lookup"
    capacity, overloaded = EXAMPLES[7:]
    assert (capacity.needed, capacity.available, overloaded.limit) == (4096, 1024, 64)


def test_the_documentation_runs() -> None:
    """The example in the module."""
    failed, tried = doctest.testmod(errors)
    assert tried > 0
    assert failed == 0
