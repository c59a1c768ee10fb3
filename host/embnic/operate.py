# SPDX-License-Identifier: Apache-2.0
"""Operate a card: quiesce, drain, reset, change a table between two requests, read what it recorded, test itself.

`Operations` is the part of the driver that needs no frames of its own. All of it may be done under the traffic of
other hosts: what a card refuses meanwhile it answers BUSY, and a requester tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from .errors import ConfigError, DeviceFault, DeviceTimeout, LinkError
from .exchange import Timing
from .health import STAGES, ErrorRecord, Histogram, broken_identities
from .ports import Bus, Link
from .registers import Registers
from .stats import LinkCounters

__all__ = ["Capabilities", "Generated", "Operations"]

WAITS_PER_POLL = 16  # a poll waits this part of the retry time between two looks
GENERATOR, PRODUCTS, COMPUTE = 1, 4, 8  # bits of CAP_FEATURES
GENERATED_KEYS = 64  # keys of a generated frame, at most
GENERATED_WINDOW = 4  # generated frames in flight


@dataclass(frozen=True)
class Capabilities:
    """What the card says it can do; the names and units of `spec/registers.rdl`."""

    data_w: int
    slots: int
    max_vec64: int
    line_bytes: int
    ways: int
    sets: int
    fetches: int
    remote_fetches: int
    tables: int
    ks_bytes: int
    reply_vec64: int
    ctxs: int
    clients: int
    merge_units: int
    tree_k: int
    channels: int
    features: int
    buckets: int
    error_log: int

    @property
    def generator(self) -> bool:
        """Return whether the card has a frame generator."""
        return bool(self.features & GENERATOR)

    @property
    def products(self) -> bool:
        """Return whether the card multiplies rows of two tables."""
        return bool(self.features & PRODUCTS)

    @property
    def compute(self) -> bool:
        """Return whether the card has the kernels beyond pooling."""
        return bool(self.features & COMPUTE)


@dataclass(frozen=True)
class Generated:
    """What became of the frames of a card's own generator."""

    sent: int
    replies: int
    errors: int
    bad: int
    dropped: int

    @property
    def good(self) -> bool:
        """Return whether every frame was answered, by vectors, with a right CRC."""
        return self.sent == self.replies > 0 and not (self.errors or self.bad or self.dropped)


class Operations:
    """Operate a card through its registers; the base of the driver."""

    def __init__(self, bus: Bus, link: Link, timing: Timing) -> None:
        self._bus, self._link = bus, link
        self._registers = Registers(bus)
        self._timing = timing
        self._capabilities: Capabilities | None = None
        self.link_counters = LinkCounters()

    @property
    def capabilities(self) -> Capabilities:
        """Return what the attached card can do."""
        if self._capabilities is None:
            raise LinkError("The card is not attached. Do: call attach() first.")
        return self._capabilities

    # -- quiesce and reset --------------------------------------------------------------------------------------------

    def quiesce(self) -> None:
        """Let the card answer BUSY; return when every request before is answered, its last beat out."""
        with self._errors("quiescing the card"):
            self._registers.CONTROL.write_fields(quiesce=1)
            self._poll(
                lambda: bool(self._registers.STATUS.field("drained")), "waiting for idle (drained)"
            )

    def resume(self) -> None:
        """Let a quiesced card take requests again."""
        with self._errors("resuming the card"):
            self._registers.CONTROL.write_fields(quiesce=0)

    def soft_reset(self) -> None:
        """Reset the data path: requests in flight are lost; registers, tables, counters and clients stay.

        It waits for card memory and the MAC to come to rest, for a while: see the counter `reset_timeouts`.
        """
        with self._errors("resetting the card"):
            self._registers.CONTROL.write_fields(soft_reset=1)
            self._wait_status("waiting for the soft reset", "reset_busy", "flush_busy")

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Keep lookups and updates out while card memory changes, and empty the row cache at the end.

        After an error the card goes on answering BUSY: its rows are not to be trusted until they are loaded again.
        """
        self.quiesce()
        yield
        self._flush()
        self.resume()

    def _flush(self) -> None:
        """Empty the row cache, between two requests."""
        self._registers.CONTROL.write_fields(flush=1)
        self._wait_status("waiting for the cache flush", "flush_busy")

    def _commit(self, number: int, words: list[int]) -> None:
        """Write a table descriptor and empty the row cache, between two requests."""
        regs = self._registers
        regs.TABLE_SEL.write(number)
        for at, word in enumerate(words):
            regs.TABLE_WORD[at].write(word)
        regs.TABLE_COMMIT.write(1)
        self._wait_status("waiting for a table commit", "commit_busy")

    def _wait_status(self, doing: str, *busy: str) -> None:
        def done() -> bool:
            status = self._registers.STATUS.fields()
            return not any(status[name] for name in busy)

        self._poll(done, doing)

    # -- what the card recorded ---------------------------------------------------------------------------------------

    def counters(self) -> dict[str, int]:
        """Return the card's counters by name, all of one cycle."""
        with self._errors("reading counters"):
            return self._registers.counters()

    def check_conservation(self) -> dict[str, int]:
        """Wait until the card is idle; return its counters, which must add up.

        Raises DeviceFault when they do not: the card lost a frame, a request or a key, or counted one twice.
        """
        with self._errors("checking the counters"):
            self._poll(lambda: bool(self._registers.STATUS.field("idle")), "waiting for idle")
            counters = self._registers.counters()
        broken = broken_identities(counters)
        if broken:
            raise DeviceFault(
                f"its counters ({'; '.join(broken)})",
                code=len(broken),
                do="report it with the log of driver.errors().",
            )
        return counters

    def latency(self) -> dict[str, Histogram]:
        """Return the latency histograms as the last snapshot (`counters`) copied them, in cycles, by stage."""
        with self._errors("reading latencies"):
            columns = self._registers.latency(self.capabilities.buckets)
        return {name: Histogram(counts) for name, counts in zip(STAGES, columns, strict=True)}

    def errors(self) -> list[ErrorRecord]:
        """Return the last errors that the card kept, the oldest first; frames that are not ours are not among them."""
        with self._errors("reading the error log"):
            entries = self._registers.errors(self.capabilities.error_log)
        return [ErrorRecord.decode(words) for words in entries]

    def clear_records(self) -> None:
        """Empty the latency histograms and the error log."""
        with self._errors("clearing records"):
            self._registers.CONTROL.write_fields(latency_clear=1, errors_clear=1)

    # -- self-test without a link -------------------------------------------------------------------------------------

    def _generate(self, table: Mapping[str, int], frames: int) -> Generated:
        """Send `frames` LOOKUPs of a table (its number, rows, dim, vec64) from the card's generator to itself."""
        caps, regs = self.capabilities, self._registers
        if not caps.generator:
            raise ConfigError(
                "This card has no frame generator.",
                allowed="cards whose CAP_FEATURES has bit 0.",
                do="Use a configuration with GENERATOR = 1.",
            )
        bags = min(caps.reply_vec64 // table["vec64"], GENERATED_KEYS // 4)
        length = 4
        while GENERATED_KEYS // length > bags:
            length *= 2
        with self._errors("generating frames"):
            self._wait_status("waiting for the generator to stop", "generating")
            before = regs.counters()
            regs.GEN_TABLE.write(table["number"])
            regs.GEN_ROW_MASK.write((1 << (table["rows"].bit_length() - 1)) - 1)
            regs.GEN_SHAPE.write_fields(
                dim=table["dim"],
                beats=GENERATED_KEYS * 8 * 8 // caps.data_w,
                length_log2=length.bit_length() - 1,
                window=min(GENERATED_WINDOW, caps.ctxs),
            )
            regs.GEN_FRAMES.write(frames)
            regs.CONTROL.write_fields(generator=1)

            def finished() -> bool:
                now = regs.counters()
                ended = sum(
                    now[name] - before[name]
                    for name in now
                    if name in ("gen_replies", "gen_errors", "gen_bad") or name.startswith("drop_")
                )
                return ended >= frames

            try:
                self._poll(finished, "waiting for generated frames")
            finally:
                regs.CONTROL.write_fields(generator=0)
            self._wait_status("waiting for the generator to stop", "generating")
            after = regs.counters()
        grown = {name: after[name] - before[name] for name in after}
        return Generated(
            sent=grown["gen_sent"],
            replies=grown["gen_replies"],
            errors=grown["gen_errors"],
            bad=grown["gen_bad"],
            dropped=sum(count for name, count in grown.items() if name.startswith("drop_")),
        )

    # -- waiting and errors -------------------------------------------------------------------------------------------

    def _poll(self, ready: Callable[[], bool], doing: str) -> None:
        """Wait until `ready`; time passes on the link, where only late replies can arrive."""
        start = self._link.clock()
        while not ready():
            waited = self._link.clock() - start
            if waited >= self._timing.patience:
                raise DeviceTimeout(doing, waited=waited, do="check the device, then reattach().")
            late = self._link.recv(1, self._timing.retry / WAITS_PER_POLL)
            self.link_counters.late += len(late)

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn what a port may raise beside our own errors into LinkError."""
        try:
            yield
        except OSError as error:
            if isinstance(error, DeviceTimeout):
                raise
            raise LinkError(
                f"The device failed while {doing}: {error}. Do: check it, then reattach()."
            ) from error
