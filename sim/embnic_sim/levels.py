# SPDX-License-Identifier: Apache-2.0
"""Longest register-to-register paths of a mapped netlist, in LUT levels: a measure of depth, never of time.

The netlist is what yosys' `write_json` gives after `synth_xilinx -family xcup`, flattened. A path starts at an output
of a register (flip-flop, block or ultra RAM, DSP block) and ends at an input of one other than its clock. In between:

    LUT, inverter          1
    MUXF7, MUXF8, MUXF9    0   they lie in the slice of the LUTs they join
    carry                  1/8 a bit that the carry passes, and the sum of a path is rounded up: 8 bits are one level
    LUT RAM, SRL           1   for a read, from its address or from what it holds; its write side is an end

Paths from or to a port of the top have no register at one side and are left out, and so are paths through a DSP or
block RAM: these are taken as registered inside, which the design must make true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["LevelsError", "TimingPath", "longest_paths"]

_UNITS = 8  # of one level
_CLOCK = re.compile(r"C$|CLK|CK$")
_REGISTER = re.compile(r"FD[RSCP]E(_1)?$|LD[CP]E$|RAMB\d+|URAM288|DSP48")
_LUT = re.compile(r"LUT[1-6]$|INV$")
_MUX = re.compile(r"MUXF[789]$")
_CARRY = re.compile(r"CARRY([48])$")
_SHIFT = re.compile(r"SRL")
_LUT_RAM = re.compile(r"RAM(32|64|128|256|512)(M|X)")
_NONE = re.compile(r"(VCC|GND|BUFG|IBUF|OBUF|\$scopeinfo)$")
_INDEX = re.compile(r"\[\d+\]$")
# yosys names nets that it made after a cell and a pin of it: these names say nothing to a reader.
_INVENTED = re.compile(
    r"\$|_(LUT[1-6]|INV|FD[RSCP]E|CARRY[48]|MUXF[789]|SRL\w+|RAM[BD\d]\w+|DSP48\w*)_[A-Z]"
)


class LevelsError(ValueError):
    """The netlist has a combinational loop, or a cell whose depth is not known."""


@dataclass(frozen=True)
class TimingPath:
    """The deepest path into one register word.

    levels  LUT levels, rounded up
    source  register (or RAM, DSP) at which it starts, with hierarchy
    end     register at which it ends, and the pin where it is not plain data
    nets    named nets between them, in order; nets that mapping invented have no name
    """

    levels: int
    source: str
    end: str
    nets: tuple[str, ...]


@dataclass
class _Node:
    """A bit: how deep it is (None: no register before it), and through which bit."""

    depth: int | None
    before: int | None


@dataclass(frozen=True)
class _Arc:
    source: int
    cost: int


def longest_paths(
    netlist: Mapping[str, Any], top: str, *, count: int = 10
) -> tuple[TimingPath, ...]:
    """Return the `count` deepest paths, at most one for each register word, the deepest first.

    Raises LevelsError for a combinational loop (naming its nets) and for a cell type that has no rule.
    """
    module = netlist["modules"][top]
    arcs, starts, ends = _graph(module["cells"])
    names = _names(module["netnames"])
    nodes = _depths(arcs, starts, names)
    best: dict[str, tuple[int, int]] = {}
    for bit, name in ends:
        node = nodes.get(bit)
        if node is None or node.depth is None:
            continue
        if node.depth > best.get(name, (-1, 0))[0]:
            best[name] = (node.depth, bit)
    words: dict[str, tuple[int, int, str]] = {}
    for name, (depth, bit) in best.items():
        shown = _end_name(name, module["cells"], names)
        if depth > words.get(_word(shown), (-1, 0, ""))[0]:
            words[_word(shown)] = (depth, bit, shown)
    deepest = sorted(words.values(), key=lambda item: (-item[0], item[2]))[:count]
    return tuple(_path(depth, bit, end, nodes, starts, names) for depth, bit, end in deepest)


def _bits(cell: Mapping[str, Any], port: str) -> list[int]:
    """Return the nets of a port; constants are left out."""
    return [bit for bit in cell["connections"].get(port, []) if isinstance(bit, int)]


def _ports(cell: Mapping[str, Any], direction: str) -> Iterator[str]:
    for port in cell["connections"]:
        if cell["port_directions"].get(port) == direction:
            yield port


def _graph(
    cells: Mapping[str, Any],
) -> tuple[dict[int, list[_Arc]], dict[int, tuple[int, str]], list[tuple[int, str]]]:
    """Return the arcs into each bit, the start bits with their first depth and cell, and the end bits."""
    arcs: dict[int, list[_Arc]] = {}
    starts: dict[int, tuple[int, str]] = {}
    ends: list[tuple[int, str]] = []

    def join(inputs: Sequence[int], outputs: Sequence[int], cost: int) -> None:
        for output in outputs:
            arcs.setdefault(output, []).extend(_Arc(bit, cost) for bit in inputs)

    for name, cell in cells.items():
        kind = cell["type"]
        inputs = [bit for port in _ports(cell, "input") for bit in _bits(cell, port)]
        outputs = [bit for port in _ports(cell, "output") for bit in _bits(cell, port)]
        carry = _CARRY.match(kind)
        if _REGISTER.match(kind):
            starts.update((bit, (0, name)) for bit in outputs)
            ends += _ends(name, cell)
        elif _LUT.match(kind):
            join(inputs, outputs, _UNITS)
        elif _MUX.match(kind):
            join(inputs, outputs, 0)
        elif carry:
            _carry_arcs(cell, int(carry.group(1)), arcs)
        elif _SHIFT.match(kind) or _LUT_RAM.match(kind):
            starts.update((bit, (_UNITS, name)) for bit in outputs)
            ends += (end for end in _ends(name, cell) if not _reads_only(kind, end[1]))
            for output, address in _read_ports(cell):
                join(address, output, _UNITS)
        elif not _NONE.match(kind):
            raise LevelsError(f"no rule for a cell of type {kind} ({name})")
    return arcs, starts, ends


def _ends(name: str, cell: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    for port in _ports(cell, "input"):
        if not _CLOCK.search(port):
            for bit in _bits(cell, port):
                yield bit, f"{name} {port}"


def _carry_arcs(cell: Mapping[str, Any], width: int, arcs: dict[int, list[_Arc]]) -> None:
    """Join each input bit of a carry cell with the outputs at and above its position."""
    connections = cell["connections"]

    def one(port: str, place: int) -> list[int]:
        bits = connections.get(port, [])
        return [bits[place]] if place < len(bits) and isinstance(bits[place], int) else []

    entries = [(port, place, place) for port in ("DI", "S") for place in range(width)]
    entries += [("CI", 0, 0), ("CYINIT", 0, 0), ("CI_TOP", 0, width // 2)]
    for port, place, position in entries:
        for source in one(port, place):
            for target in range(position, width):
                for output in one("O", target) + one("CO", target):
                    arcs.setdefault(output, []).append(_Arc(source, target - position + 1))


def _read_ports(cell: Mapping[str, Any]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield (output bits, address bits) of each read port of a LUT RAM or shift register."""
    inputs = list(_ports(cell, "input"))
    for port in _ports(cell, "output"):
        if port.startswith("DO") and port != "DO":  # RAM64M: port DOB is addressed by ADDRB
            pattern = rf"ADDR{port[2:]}$"
        elif port == "DPO":
            pattern = r"DPRA\d*$"
        else:  # SPO, O, and Q of a shift register; Q31 is its fixed last stage
            pattern = r"A\d*$" if port != "Q31" else r"(?!)"
        yield (
            _bits(cell, port),
            [bit for name in inputs if re.match(pattern, name) for bit in _bits(cell, name)],
        )


def _reads_only(kind: str, end: str) -> bool:
    """Return whether a pin of a LUT RAM or shift register is an address for reading alone: no register's input."""
    pin = end.rsplit(" ", 1)[1]
    if _SHIFT.match(kind):
        return re.match(r"A\d*$", pin) is not None
    write = "ADDRD" if kind.endswith("M") else "ADDRH"
    return re.match(r"DPRA\d*$|ADDR[A-H]$", pin) is not None and pin != write


def _depths(
    arcs: Mapping[int, list[_Arc]],
    starts: Mapping[int, tuple[int, str]],
    names: Mapping[int, str],
) -> dict[int, _Node]:
    """Walk the bits in topological order and keep the deepest way into each."""
    nodes: dict[int, _Node] = {
        bit: _Node(depth, None) for bit, (depth, _) in starts.items() if bit not in arcs
    }
    waiting = {bit: len(incoming) for bit, incoming in arcs.items()}
    after: dict[int, list[int]] = {}
    for bit, incoming in arcs.items():
        for arc in incoming:
            after.setdefault(arc.source, []).append(bit)
    ready = [bit for bit in after if bit not in arcs] + [
        bit for bit, n in waiting.items() if n == 0
    ]
    while ready:
        bit = ready.pop()
        if bit in arcs:
            node = _Node(starts[bit][0] if bit in starts else None, None)
            for arc in arcs[bit]:
                before = nodes.get(arc.source)
                if before is not None and before.depth is not None:
                    depth = before.depth + arc.cost
                    if node.depth is None or depth > node.depth:
                        node = _Node(depth, arc.source)
            nodes[bit] = node
        for follower in after.get(bit, ()):
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
    left = {bit for bit, n in waiting.items() if n > 0}
    if left:
        raise LevelsError("combinational loop through " + " -> ".join(_loop(left, arcs, names)))
    return nodes


def _loop(left: set[int], arcs: Mapping[int, list[_Arc]], names: Mapping[int, str]) -> list[str]:
    """Return the nets of one loop: every bit left has a source that is left too."""
    trail = [min(left)]
    while True:
        bit = next(arc.source for arc in arcs[trail[-1]] if arc.source in left)
        if bit in trail:
            loop = [*trail[trail.index(bit) :], bit]
            return [names.get(item, f"net {item}") for item in reversed(loop)]
        trail.append(bit)


def _names(netnames: Mapping[str, Any]) -> dict[int, str]:
    """Return the best name of each bit: a register's own (`_q`) first, then the deepest in the hierarchy."""
    found: dict[int, tuple[tuple[bool, int, int], str]] = {}
    for name, net in netnames.items():
        if net.get("hide_name") or _INVENTED.search(name):
            continue
        rank = (bool(re.search(r"_q\d*(\b|$)", name)), name.count("."), -len(name))
        bits = net["bits"]
        for place, bit in enumerate(bits):
            if isinstance(bit, int) and (bit not in found or rank > found[bit][0]):
                found[bit] = (rank, f"{name}[{place}]" if len(bits) > 1 else name)
    return {bit: name for bit, (_, name) in found.items()}


def _word(name: str) -> str:
    """Return a register's name without its bit."""
    return _INDEX.sub("", name.split(" ")[0])


def _cell_name(name: str, cell: Mapping[str, Any], names: Mapping[int, str]) -> str:
    """Return a register's name by what it drives; RAM and DSP cells say what they are."""
    outputs = [bit for port in _ports(cell, "output") for bit in _bits(cell, port)]
    shown = next((names[bit] for bit in outputs if bit in names), name)
    return shown if cell["type"].startswith("FD") else f"{shown} ({cell['type']})"


def _end_name(end: str, cells: Mapping[str, Any], names: Mapping[int, str]) -> str:
    cell, pin = end.rsplit(" ", 1)
    shown = _cell_name(cell, cells[cell], names)
    return shown if pin == "D" else f"{shown} pin {pin}"


def _path(
    depth: int,
    bit: int,
    end: str,
    nodes: Mapping[int, _Node],
    starts: Mapping[int, tuple[int, str]],
    names: Mapping[int, str],
) -> TimingPath:
    """Trace a path back to its start."""
    trail = [bit]
    while (before := nodes[trail[-1]].before) is not None:
        trail.append(before)
    trail.reverse()
    source = names.get(trail[0], starts[trail[0]][1])
    between: list[str] = []
    for item in trail[1:]:
        name = names.get(item)
        if name is not None and (not between or _word(name) != _word(between[-1])):
            between.append(name)
    return TimingPath(-(-depth // _UNITS), source, end, tuple(between))
