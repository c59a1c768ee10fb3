# SPDX-License-Identifier: Apache-2.0
"""Choose what executes: one registry of targets and one table of precedence.

| precedence | given by | effect |
|---|---|---|
| 1 | `EMBNIC_DISABLE=1` | the target is `cpu`, whatever else is asked for (a warning says so) |
| 2 | the argument `target=` other than `"auto"` | that target, or an error: it never falls back silently at open |
| 3 | `EMBNIC_TARGET` | as if it had been the argument |
| 4 | `auto` | the first of pynq, rtl (only if asked for by name), gpu, cpu that is available |

The environment is read when an engine is opened, never at import. `EMBNIC_DISABLE` accepts `1` (disable) and `0` or
empty (do not); anything else is refused, so that a typing error does not silently keep the card in use.

A target may carry a configuration after a colon: `rtl:line100`. Plain `rtl` is `rtl:tiny`, plain `hls` is `hls:tiny`,
plain `model` is `model:line100`. `select` takes the paths it may choose from, `select:rtl+gpu`; plain `select` takes
those that `auto` would consider and this machine has. The CPU is always one of them.
`serial` takes the port, `serial:/dev/ttyUSB1`; `xrt` the file to load, `xrt:embnic_u55c.xclbin`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import BackendUnavailable, ConfigError
from .gpu_probe import gpu_missing
from .pynq_probe import pynq_missing

__all__ = ["AUTO_ORDER", "TARGETS", "Choice", "Target", "choose", "select_paths"]


def _usable() -> str:
    return ""


@dataclass(frozen=True)
class Target:
    """One thing that can execute lookups.

    `asked_only` targets are never chosen by `auto`. `unusable` returns why this machine cannot run it, or an empty
    string.
    """

    name: str
    summary: str
    asked_only: bool = False
    configurations: bool = False
    unusable: Callable[[], str] = _usable


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("reference", "plain loops: the meaning of every result", asked_only=True),
        Target("cpu", "native code when it was compiled, else numpy"),
        Target("rtl", "the core, simulated cycle by cycle", asked_only=True, configurations=True),
        Target(
            "hls",
            "the HLS cores of the card, compiled by g++: no cycles",
            asked_only=True,
            configurations=True,
        ),
        Target(
            "select",
            "per request the soonest of the others, by a cost model; 'select:gpu+cpu' names them",
            asked_only=True,
            configurations=True,
        ),
        Target(
            "model",
            "the cpu's answers and the card's counters, from its fast model",
            asked_only=True,
            configurations=True,
        ),
        Target("gpu", "one fused kernel on a CUDA GPU (torch and triton)", unusable=gpu_missing),
        Target(
            "pynq",
            "the core on an FPGA board, through PYNQ",
            unusable=pynq_missing,
            configurations=True,
        ),
        Target(
            "xrt",
            "the core on an Alveo card, through XRT: 'xrt:embnic_u55c.xclbin' names what to load",
            asked_only=True,
            configurations=True,
        ),
        Target(
            "serial",
            "the core on an FPGA board at a serial port: 'serial:/dev/ttyUSB1' names it",
            asked_only=True,
            configurations=True,
        ),
    )
}

AUTO_ORDER = ("pynq", "rtl", "gpu", "cpu")


@dataclass(frozen=True)
class Choice:
    """Which target executes, why, and why those before it in the order do not.

    >>> print(choose("auto", {"EMBNIC_TARGET": "rtl:line100"}))
    target rtl:line100 (EMBNIC_TARGET)
    """

    name: str
    configuration: str
    why: str
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Print the one line that is logged at open."""
        shown = f"{self.name}:{self.configuration}" if self.configuration else self.name
        return "; ".join(
            [f"target {shown} ({self.why})", *(f"not {text}" for text in self.skipped)]
        )


def choose(requested: str, environ: Mapping[str, str]) -> Choice:
    """Return the target for what was `requested` as argument and in `environ` (see the table of this module)."""
    if not isinstance(requested, str):
        raise ConfigError(
            f"target is {requested!r}.", allowed=_allowed(), do="Give one of these names."
        )
    _parse(requested, "target")  # a wrong name is an error even when the environment wins
    if _disabled(environ):
        return Choice("cpu", "", "EMBNIC_DISABLE=1")
    if requested != "auto":
        return _named(requested, "target", "asked for")
    wanted = environ.get("EMBNIC_TARGET", "")
    if wanted not in ("", "auto"):
        return _named(wanted, "EMBNIC_TARGET", "EMBNIC_TARGET")
    return _automatic()


def _automatic() -> Choice:
    skipped: list[str] = []
    for name in AUTO_ORDER:
        target = TARGETS[name]
        if target.asked_only:
            skipped.append(f"{name}: only when asked for by name")
        elif reason := target.unusable():
            skipped.append(f"{name}: {reason}")
        else:
            return Choice(name, "", "auto", tuple(skipped))
    raise BackendUnavailable("auto", reason="no target is available.", remedy="open target='cpu'.")


def select_paths(configuration: str) -> list[str]:
    """Return the targets that `select:<configuration>` chooses from; without one, all that this machine has.

    >>> select_paths("rtl+cpu")
    ['rtl', 'cpu']
    """
    if not configuration:
        usable = [TARGETS[name] for name in AUTO_ORDER]
        return [t.name for t in usable if not (t.asked_only or t.unusable())]
    names = configuration.split("+")
    for name in names:
        if name not in AUTO_ORDER or names.count(name) > 1:
            raise ConfigError(
                f"target is 'select:{configuration}'.",
                allowed=f"different ones of {', '.join(AUTO_ORDER)}, joined by '+'.",
                do="Write for example 'select:gpu+cpu'.",
            )
    return names if "cpu" in names else [*names, "cpu"]


def _named(text: str, source: str, why: str) -> Choice:
    name, configuration = _parse(text, source)
    return Choice(name, configuration, why)


def _parse(text: str, source: str) -> tuple[str, str]:
    name, colon, configuration = text.partition(":")
    if text == "auto":
        return "auto", ""
    target = TARGETS.get(name)
    if target is None:
        raise ConfigError(
            f"{source} is {text!r}.", allowed=_allowed(), do="Give one of these names."
        )
    if colon and not (target.configurations and configuration):
        raise ConfigError(
            f"{source} is {text!r}.",
            allowed="a configuration, for rtl, hls, model, pynq, select, xrt and serial only, as in 'rtl:tiny'.",
            do=f"Give {name!r} alone.",
        )
    return name, configuration


def _disabled(environ: Mapping[str, str]) -> bool:
    value = environ.get("EMBNIC_DISABLE", "")
    if value in ("", "0"):
        return False
    if value == "1":
        return True
    raise ConfigError(
        f"EMBNIC_DISABLE is {value!r}.", allowed="1, 0 or empty.", do="Set one of these."
    )


def _allowed() -> str:
    return "auto, " + ", ".join(TARGETS) + " ('rtl:<configuration>' names one)."
