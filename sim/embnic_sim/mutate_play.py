# SPDX-License-Identifier: Apache-2.0
"""Runs the phases of embnic_sim.mutate_workload on a card and tells what was seen, look by look.

A *look* is taken at the end of each window, which lasts as many cycles as the unmutated card needs to come to rest, and
at the end of each phase. Its two halves:

    content   the frames that came out, the state, the counters of work, the error log, the tables in card memory
    conduct   the cycle, a digest of every output to MAC, memory and other cards in every cycle, latency histograms,
              and when the errors of the log happened

Two cards do the same when all their looks are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import embnic
from embnic.errors import DeviceTimeout, EmbnicError
from embnic.gen.registers import COUNTERS, REGISTERS
from embnic.gen.wire import DESCRIPTOR_FIELDS, DESCRIPTOR_WORDS, Opcode, Status
from embnic.registers import Registers
from embnic.rows import pack
from embnic.wire import FrameBatch, decode
from embnic_sim.card import SimCard
from embnic_sim.mutate_frames import Phase
from embnic_sim.mutate_tables import CONFIG, SETS
from embnic_sim.mutate_workload import Workload

__all__ = ["Look", "Player", "check"]

LIMIT_CYCLES = 30_000  # a window of the unmutated card is over by then
LINGER_CYCLES = 60  # for what should not have come
POLL_CYCLES = 50
GENERATION = 0x5C  # of remote tables
LOGGED = 12  # entries of the error log that are read behind a phase, the newest
LATE_CYCLES = 300  # for answers of memory that were kept back
# What a counter says about time and not about work.
TIMING_COUNTERS = frozenset(
    ("cycles", "exec_empty", "exec_fetch", "exec_hazard", "stall_reply_space")
)
STATUSES = {status.value: status for status in Status}


@dataclass(frozen=True)
class Look:
    """What was seen at one moment; `frames` are those that came since the look before, in so many `cycles`."""

    content: tuple[Any, ...]
    conduct: tuple[Any, ...]
    frames: tuple[bytes, ...] = ()
    cycles: int = 0


class Player:
    """A card, set up, on which phases are played in their order."""

    def __init__(self, card: SimCard, workload: Workload) -> None:
        self.card, self.workload = card, workload
        self.registers = Registers(card)
        self._written: dict[str, int] = {}
        self._tables: tuple[embnic.Table, ...] = ()
        self._errors = 0  # of the log, when it was read last
        self._log_entries = self.registers.CAP_ERROR_LOG.read()
        card.keep_digest(True)
        self.load()

    def load(self) -> None:
        """Write all rows into card memory."""
        for table in (table for tables in SETS for table in tables):
            rows = pack(table, self.workload.initial[table.name])
            memory = self.card.owners if table.remote else self.card
            memory.write(self.workload.base[table.name], rows.reshape(-1))

    def looks(self, phase: Phase) -> Iterator[Look]:
        """Play a phase; an exception of the card is a look, and the last."""
        try:
            self._set(phase)
            for at, window in enumerate(phase.windows()):
                yield self._window(phase, at, window)
            yield self._end(phase)
        except EmbnicError as error:
            yield Look((type(error).__name__,), (self.card.cycle,))

    # ---- setting ------------------------------------------------------------------------------

    def _write(self, name: str, value: int) -> None:
        """Write a register that does not hold the value yet."""
        if self._written.get(name) != value:
            self._written[name] = value
            getattr(self.registers, name).write(value)

    def _set(self, phase: Phase) -> None:
        card = self.card
        if phase.power_on:
            card.reset()
            self._written.clear()
            self._tables, self._errors = (), 0
            self._wait("flush_busy")
        card.configure(
            tx_stall=phase.tx_stall, memory_stall=phase.memory_stall, rx_gap=phase.rx_gap
        )
        card.set_line_rate(phase.line_gbps)
        card.fail_memory(0, 0)
        if phase.faults[0] != phase.faults[1]:
            card.fail_memory(phase.faults[0], phase.faults[1] - phase.faults[0])
        if phase.mutes[0] != phase.mutes[1]:
            card.mute_memory(phase.mutes[0], phase.mutes[1] - phase.mutes[0])
        card.configure_peer(phase.peer)
        for act, (first, end) in (
            (card.owners.fail, phase.remote_faults),
            (card.owners.lose, phase.remote_lost),
        ):
            act(0, 0)
            if first != end:
                act(first, end - first)
        if phase.descriptors:
            self._tables = ()
            for number, values in phase.descriptors.items():
                self._commit(number, values)
        else:
            self._describe(phase.tables)
        if phase.staged is not None:
            self._stage(*phase.staged)
        self._write("REPLY_BEATS64", phase.reply_units)
        self._write("UDP_PORT", phase.udp_port)
        self._write("CACHE", phase.cached_ways | phase.admission << 4)
        self._write("MEMORY_TIMEOUT", phase.timeout)
        self._write("REMOTE_TIMEOUT", phase.remote_timeout)
        self._write("CONTROL", phase.enable | phase.quiesce << 3)
        if phase.flush:
            self.registers.CONTROL.write_fields(flush=1)
            self._wait("flush_busy")

    def _describe(self, tables: tuple[embnic.Table, ...]) -> None:
        """Write the descriptors of a set of tables; behind them one that is not valid."""
        if tables is self._tables:
            return
        self._tables = tables
        for number, table in enumerate(tables):
            values = {
                "valid": 1,
                "dtype": int(table.dtype),
                "pooling": int(table.pooling),
                "has_padding": int(table.padding_idx is not None),
                "mul_then_add": int(table.mul_then_add),
                "dim": table.dim,
                "order": int(table.order),
                "tree_k_log2": (table.tree_k or 1).bit_length() - 1,
                "base": self.workload.base[table.name],
                "rows": table.rows,
                "padding_row": table.padding_idx or 0,
                "remote": int(table.remote),
                "owner": table.owner or 0,
                "generation": GENERATION * table.remote,
            }
            self._commit(number, values)
        if len(tables) < CONFIG.tables:
            self._commit(len(tables), {"dim": 16, "rows": 100, "base": 4096})

    def _commit(self, number: int, values: dict[str, int]) -> None:
        self._stage(number, values)
        self.registers.TABLE_COMMIT.write(1)
        self._wait("commit_busy")

    def _stage(self, number: int, values: dict[str, int]) -> None:
        """Write the registers of a descriptor."""
        bits = sum(value << DESCRIPTOR_FIELDS[name].low for name, value in values.items())
        self._write("TABLE_SEL", number)
        for at in range(DESCRIPTOR_WORDS):
            word, name = bits >> 32 * at & 0xFFFFFFFF, f"TABLE_WORD[{at}]"
            if self._written.get(name) != word:
                self._written[name] = word
                self.registers.TABLE_WORD[at].write(word)

    def _wait(self, name: str) -> None:
        """Wait until a bit of STATUS falls."""
        end = self.card.cycle + LIMIT_CYCLES
        while self.registers.STATUS.field(name):
            if self.card.cycle > end:
                waited = LIMIT_CYCLES / self.card.clock_hz
                raise DeviceTimeout(f"waiting for {name}", waited=waited)

    # ---- running ------------------------------------------------------------------------------

    def _window(self, phase: Phase, at: int, window: slice) -> Look:
        card = self.card
        if phase.inject:
            memory = phase.inject[at % len(phase.inject)]
            card.write32(REGISTERS["INJECT"].offset, memory | (at % 8) << 4 | 1 << 8)
        batch = FrameBatch.from_list(phase.frames[window])
        card.send(batch, bad=np.array(phase.bad[window]))
        started = card.cycle
        if phase.deaf and at < len(phase.deaf_from):
            card.step(phase.deaf_from[at])
            card.deafen_memory(True)
            card.step(phase.deaf)
            card.deafen_memory(False)
        if phase.reset_after:
            card.step(phase.reset_after)
            self.registers.CONTROL.write_fields(soft_reset=1)
            self._wait("reset_busy")
            self._wait("flush_busy")
            self.load()
        if phase.cycles:
            card.step(max(phase.cycles[at] - (card.cycle - started), 1))
        else:
            self._settle()
        frames = tuple(card.recv(1 << 16, 0.0).to_list())
        return Look((frames,), (card.cycle, card.digest()), frames, card.cycle - started)

    def _settle(self) -> None:
        """Run until all frames are in and nothing is in flight, and a little longer."""
        end = self.card.cycle + LIMIT_CYCLES
        while self.card.stats().rx_waiting or not self.registers.STATUS.field("idle"):
            self.card.step(POLL_CYCLES)
            assert self.card.cycle < end, "the unmutated card does not come to rest"
        self.card.step(LINGER_CYCLES)

    def _end(self, phase: Phase) -> Look:
        card, registers = self.card, self.registers
        if phase.mutes[0] != phase.mutes[1]:
            card.mute_memory(0, 0)
            card.step(LATE_CYCLES)
        content: list[Any] = [registers.STATUS.read(), registers.MEMORY_OWED.read()]
        conduct: list[Any] = []
        for words in self._logged():
            content.append((words[1] & ~0xFFFF, *words[2:]))
            conduct.append((words[0], words[1] & 0xFFFF))  # the cycle
        content.append(self._errors)
        if phase.count:
            counts = self._counts()
            content.append([counts[name] for name in counts if name not in TIMING_COUNTERS])
            conduct += [counts[name] for name in sorted(TIMING_COUNTERS)]
            content.append(registers.REMOTE_WAITING.read())
        if phase.histograms:
            conduct += self._histograms()
        for table in (table for tables in SETS for table in tables if not table.remote):
            content.append(card.read(self.workload.base[table.name], table.nbytes).tobytes())
        conduct += [card.cycle, card.digest()]
        return Look(tuple(content), tuple(conduct))

    def _logged(self) -> list[list[int]]:
        """Return the newest entries of the error log that were not there at the end of the phase before."""
        before, self._errors = self._errors, self.registers.ERROR_TOTAL.read()
        first = max(before if before <= self._errors else 0, self._errors - LOGGED)
        entries = []
        for number in range(first, self._errors):
            self.registers.ERROR_SEL.write(number % self._log_entries)
            words = range(REGISTERS["ERROR_WORD"].count)
            entries.append([self.registers.ERROR_WORD[at].read() for at in words])
        return entries

    def _histograms(self) -> list[int]:
        """Return the samples of every bucket of the latency histograms."""
        samples = []
        for bucket in range(self.registers.CAP_BUCKETS.read()):
            self.registers.LATENCY_BUCKET.write(bucket)
            stages = range(REGISTERS["LATENCY_COUNT"].count)
            samples += [self.registers.LATENCY_COUNT[at].read() for at in stages]
        return samples

    def _counts(self) -> dict[str, int]:
        """Return the low words of all counters."""
        self.registers.CONTROL.write_fields(snapshot=1)
        return {counter.name: self.card.read32(counter.offset) for counter in COUNTERS}


def check(phase: Phase, looks: Sequence[Look]) -> int:
    """Compare the replies of a phase with the reference; return how many requests were compared."""
    assert len(looks) == len(phase.windows()) + 1, f"{phase.name}: {looks[-1].content}"
    decoded = decode(FrameBatch.from_list([frame for look in looks for frame in look.frames]))
    vectors: dict[int, list[bytes]] = {}
    refused: dict[int, str] = {}
    for at, (ident, header, payload) in enumerate(decoded):
        if not phase.expected:
            break
        assert decoded.valid[at], f"{phase.name}: reply {at} is malformed"
        opcode, status = header[0], header[1]
        body = bytes(payload)[64:] if opcode == Opcode.PARTIAL else bytes(payload)
        if opcode in (Opcode.REPLY, Opcode.PARTIAL):
            why = f"{phase.name}: reply {at} has status {STATUSES.get(status)}"
            assert status == Status.OK, why
            vectors.setdefault(ident, []).append(body)
        else:
            refused[ident] = str(STATUSES.get(status))
    for wanted in phase.expected:
        name = f"{phase.name}: request {wanted.request_id:#x}"
        why = refused.get(wanted.request_id, "no answer")
        assert wanted.request_id in vectors, f"{name}: {why}"
        got = np.frombuffer(b"".join(vectors[wanted.request_id]), np.uint32)
        assert got.shape == wanted.vectors.shape, f"{name} has another size"
        assert (got == wanted.vectors).all(), f"{name} differs"
    return len(phase.expected)
