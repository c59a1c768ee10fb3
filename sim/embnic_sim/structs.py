# SPDX-License-Identifier: Apache-2.0
"""Reads constants, enums and packed structs from the RTL's packages, so that benches pack payloads
by field name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embnic_sim.paths import rtl_root

__all__ = ["StructType", "Structs", "load_structs"]

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_LOCALPARAM = re.compile(r"\b(?:localparam|parameter)\s+[^=;]*?\b(\w+)\s*=\s*([^;]+);", re.DOTALL)
_TYPEDEF = re.compile(
    r"\btypedef\s+(enum|struct\s+packed|logic)\s*([^{;]*?)(?:\{(.*?)\}\s*)?(\w+)\s*;", re.DOTALL
)
_FIELD = re.compile(r"([\w:]+)\s*((?:\[[^\]]*\]\s*)*)\s*(\w+)\s*$")
_NUMBER = re.compile(r"(\d*)\s*'\s*s?([bdhoBDHO])\s*([0-9a-fA-F_xXzZ]+)")
_RADIX = {"b": 2, "o": 8, "d": 10, "h": 16}


def _clog2(value: int) -> int:
    return max(0, (value - 1).bit_length())


@dataclass(frozen=True)
class StructType:
    """A packed struct or a plain vector: `fields` from the most significant on, as (name, width,
    struct or None).
    """

    name: str
    width: int
    fields: tuple[tuple[str, int, StructType | None], ...] = ()

    def pack(self, values: Mapping[str, Any] | None = None, **more: Any) -> int:
        """Return the vector with these fields; a field not named is 0, an unknown name raises
        KeyError.

        A nested struct is given as a mapping or as an int; a negative int is taken in two's
        complement.
        """
        given = {**(values or {}), **more}
        unknown = given.keys() - {name for name, _, _ in self.fields}
        if unknown:
            raise KeyError(
                f"{self.name} has no field {sorted(unknown)}; it has {[f[0] for f in self.fields]}"
            )
        word = 0
        for name, width, struct in self.fields:
            value = given.get(name, 0)
            if isinstance(value, Mapping):
                if struct is None:
                    raise TypeError(f"{self.name}.{name} is {width} bits, not a struct")
                value = struct.pack(value)
            value = int(value)
            if not -(1 << width) // 2 <= value < 1 << width:
                raise ValueError(f"{self.name}.{name} is {width} bits, {value:#x} does not fit")
            word = word << width | value & ((1 << width) - 1)
        return word

    def unpack(self, word: int) -> dict[str, Any]:
        """Return the fields of a vector, nested structs as dicts."""
        result: dict[str, Any] = {}
        shift = self.width
        for name, width, struct in self.fields:
            shift -= width
            value = word >> shift & ((1 << width) - 1)
            result[name] = struct.unpack(value) if struct is not None and struct.fields else value
        return result

    def bits(self, name: str) -> slice:
        """Return the position of field `name` as slice(low bit, high bit + 1)."""
        shift = self.width
        for field_name, width, _ in self.fields:
            shift -= width
            if field_name == name:
                return slice(shift, shift + width)
        raise KeyError(name)


@dataclass
class Structs(Mapping[str, StructType]):
    """All types of the packages by name; `consts` holds localparams and enum members, `enums` each
    enum's members.
    """

    types: dict[str, StructType] = field(default_factory=dict)
    consts: dict[str, int] = field(default_factory=dict)
    enums: dict[str, dict[str, int]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> StructType:
        return self.types[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.types)

    def __len__(self) -> int:
        return len(self.types)

    def name_of(self, enum: str, value: int) -> str:
        """Return the member of `enum` with this value, for messages."""
        return next(
            (name for name, code in self.enums[enum].items() if code == value), f"{enum}({value})"
        )

    def evaluate(self, expression: str) -> int:
        """Return the value of a constant expression; raises ValueError when it is not one."""
        text = _NUMBER.sub(
            lambda m: str(int(m.group(3).replace("_", ""), _RADIX[m.group(2).lower()])), expression
        )
        text = re.sub(r"\w+::", "", text).replace("$clog2", "_clog2").replace("/", "//")
        text = re.sub(r"(?<=\d)_(?=\d)", "", text).strip()
        text = re.sub(r"(\w+|\))\s*'\s*\(", "(", text)  # casts
        if not re.fullmatch(r"[\w\s+\-*/()%<>&|^~]+", text):
            raise ValueError(f"not a constant expression: {expression!r}")
        try:
            return int(eval(text, {"__builtins__": {}, "_clog2": _clog2}, dict(self.consts)))
        except (NameError, SyntaxError, TypeError, ZeroDivisionError) as error:
            raise ValueError(f"not a constant expression: {expression!r} ({error})") from error

    def _range_width(self, ranges: str) -> int:
        width = 1
        for inner in re.findall(r"\[([^\]]*)\]", ranges):
            high, _, low = inner.partition(":")
            width *= abs(self.evaluate(high) - self.evaluate(low or "0")) + 1
        return width

    def _add_enum(self, name: str, base: str, body: str) -> None:
        members: dict[str, int] = {}
        following = 0
        for item in filter(None, (part.strip() for part in body.split(","))):
            member, _, given = item.partition("=")
            following = self.evaluate(given) if given else following
            members[member.strip()] = following
            following += 1
        self.enums[name] = members
        self.consts.update(members)
        width = 32 if "int" in base and "[" not in base else self._range_width(base)
        self.types[name] = StructType(name, width)

    def _add_struct(self, name: str, body: str) -> None:
        fields: list[tuple[str, int, StructType | None]] = []
        for item in filter(None, (part.strip() for part in body.split(";"))):
            match = _FIELD.match(re.sub(r"^(logic|bit)\s+(un)?signed", r"\1", item))
            if not match:
                raise ValueError(f"struct {name}: cannot read field {item!r}")
            kind, ranges, field_name = match.groups()
            struct = None if kind in ("logic", "bit") else self.types[kind.rpartition("::")[2]]
            width = (struct.width if struct else 1) * self._range_width(ranges)
            fields.append(
                (
                    field_name,
                    width,
                    struct if struct and struct.fields and not ranges.strip() else None,
                )
            )
        self.types[name] = StructType(name, sum(width for _, width, _ in fields), tuple(fields))

    def read(self, text: str) -> None:
        """Add the declarations of one package's text."""
        text = _COMMENT.sub("", text)
        functions = re.compile(r"\bfunction\b.*?\bendfunction\b", re.DOTALL)
        text = functions.sub("", text)
        found = [(m.start(), m) for m in _LOCALPARAM.finditer(text)] + [
            (m.start(), m) for m in _TYPEDEF.finditer(text)
        ]
        for _, match in sorted(found, key=lambda item: item[0]):
            if match.re is _LOCALPARAM:
                try:
                    self.consts[match.group(1)] = self.evaluate(match.group(2))
                except ValueError:
                    continue  # an array or struct constant: not needed here
                continue
            kind, base, body, name = match.groups()
            if kind == "enum":
                self._add_enum(name, base, body)
            elif kind == "logic":
                self.types[name] = StructType(name, self._range_width(base))
            else:
                self._add_struct(name, body)


def load_structs(files: Sequence[Path] | None = None) -> Structs:
    """Read embnic_wire_pkg and embnic_pkg (or `files`, in order of dependency)."""
    root = rtl_root()
    if files is None:
        files = [
            file
            for file in (root / "gen" / "embnic_wire_pkg.sv", root / "embnic_pkg.sv")
            if file.is_file()
        ]
    structs = Structs()
    for file in files:
        structs.read(file.read_text(encoding="utf-8"))
    return structs
