# SPDX-License-Identifier: Apache-2.0
"""Mutation testing of the core: `python -m embnic_sim.mutate [--count 100 --seed 1] [--jobs 2]`.

embnic_sim.mutate_netlist makes one netlist of the core (`tiny`, without kernels) with the small changes in it that
embnic_sim.mutate_list keeps a list of.
Every mutant runs the traffic of embnic_sim.mutate_workload until it differs from the unmutated card:

    content   a frame, the state, a counter of work, the tables in memory, or an error of the model or of its AXI
    conduct   the same so far, but in other cycles, or with other accesses to memory

The unmutated card is first compared with the reference, and its netlist with the card that is built from the RTL. What
survives must stand in docs/testplan/survivors.toml with the reason why no traffic can show it; the score is
killed / (all - equivalent).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path

from embnic_sim.card import SimCard
from embnic_sim.card_build import BuiltCard, build_card
from embnic_sim.card_models import DramModel
from embnic_sim.mutate_frames import Phase
from embnic_sim.mutate_netlist import CHANGED, Library, Mutant, build_mutants, fill_list
from embnic_sim.mutate_play import Look, Player, check
from embnic_sim.mutate_tables import MEMORY
from embnic_sim.mutate_workload import Workload
from embnic_sim.paths import checkout_root

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "WORKLOAD_SEED",
    "Outcome",
    "Survivor",
    "Verdicts",
    "draw",
    "entry_for",
    "explained",
    "judge",
    "learn",
    "load_survivors",
    "score",
    "unexplained",
    "unlisted",
]

WORKLOAD_SEED = 7
SET_UP = "set-up"  # the phase of a mutant that ends before the first
# Near memory, so that what waits for it takes fewer cycles; it still reorders and refreshes.
FAST_MEMORY = DramModel(
    size=MEMORY,
    base_latency=8,
    hit_latency=6,
    miss_latency=20,
    write_latency=10,
    bank_busy=6,
    refresh_period=700,
    refresh_cycles=40,
)


@dataclass(frozen=True)
class Survivor:
    """Why mutants of a line, or of a signal, cannot be seen: those of these modes, at this port and these bits of it.

    No number is part of it, neither of the mutant nor of the line: both move with every change of the RTL. What is
    empty means any; a signal may hold the wildcards of fnmatch. One of `text` and `signal` has to be given. What is
    `open` could be seen, and `why` says by what: it stays among the mutants that count.
    """

    file: str
    why: str
    text: str = ""
    port: str = ""
    signal: str = ""
    modes: tuple[str, ...] = ()
    bits: tuple[int, ...] = ()
    controls: tuple[int, ...] = ()
    open: bool = False

    def covers(self, mutant: Mutant) -> bool:
        """Return whether this says why `mutant` survives."""
        return (
            self.file == mutant.file
            and self.port in ("", mutant.port)
            and (not self.text or self.text in mutant.texts)
            and (self.signal in ("", mutant.signal) or fnmatchcase(mutant.signal, self.signal))
            and (not self.modes or mutant.mode in self.modes)
            and (not self.bits or mutant.bit in self.bits)
            and (not self.controls or mutant.control in self.controls)
        )


@dataclass(frozen=True)
class Outcome:
    """How a mutant ended: `killed_by` is "content", "conduct" or "" for a survivor; `phase` is where."""

    mutant: Mutant
    killed_by: str
    phase: str


class MutantCard(SimCard):
    """The simulated card with one of its mutants chosen."""

    def __init__(self, library: Library | None, number: int = 0) -> None:
        self._library = library
        self._number = number
        super().__init__("tiny", build="checked", dram=FAST_MEMORY, seed=3)

    def _built(self, build: str, traced: bool) -> BuiltCard:
        if self._library is None:
            return build_card(self.config.name, build=build, trace=traced, changed=CHANGED)
        return self._library.built

    def reset(self) -> None:
        """Reset with the mutant chosen."""
        self._call("mutant", self._number)
        super().reset()


def draw(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """Return `count` mutants drawn by a seed, or all; of one seed, more begin with fewer."""
    return random.Random(seed).sample(list(mutants), len(mutants))[:count]


def unexplained(mutants: Iterable[Mutant], survivors: Sequence[Survivor]) -> list[Mutant]:
    """Return those that no entry covers: the others are known to survive, and to judge each takes the longest."""
    return [mutant for mutant in mutants if explained(mutant, survivors) is None]


# ---- judging them -------------------------------------------------------------------------------


def learn(library: Library | None, workload: Workload) -> list[list[Look]]:
    """Run the unmutated card and compare it with the reference; return the looks of every phase.

    Windows learn how long they take.
    """
    for phase in workload.phases:
        phase.cycles = []
    with MutantCard(library) as card:
        player = Player(card, workload)
        seen = [list(player.looks(phase)) for phase in workload.phases]
    for phase, looks in zip(workload.phases, seen, strict=True):
        phase.cycles = [look.cycles for look in looks[:-1]]
    compared = sum(check(phase, looks) for phase, looks in zip(workload.phases, seen, strict=True))
    assert compared > 100, f"only {compared} requests were compared with the reference"
    return seen


def judge(
    library: Library,
    mutants: Sequence[Mutant],
    workload: Workload,
    right: Sequence[Sequence[Look]],
    *,
    jobs: int = 1,
) -> Iterator[Outcome]:
    """Run every mutant until it differs from `right`, and yield how it ended, in their order."""
    if jobs == 1:
        for mutant in mutants:
            yield _judge(library, mutant, workload, right)
        return
    with ProcessPoolExecutor(
        jobs, initializer=_Judge.begin, initargs=(library, workload, right)
    ) as pool:
        yield from pool.map(_Judge.one, mutants)


class Verdicts:
    """How mutants of a library ended, in a file beside it: an interrupted run goes on where it stopped.

    A mutant that was killed in a phase is killed as long as the phases up to it are the same and show the same; one
    that survived has survived those phases only. So each verdict carries a hash of what the card was given and showed
    up to the end of its phase, or to the end of the workload.
    """

    def __init__(
        self, path: Path, phases: Sequence[Phase], right: Sequence[Sequence[Look]]
    ) -> None:
        self._path = path
        state = hashlib.sha256()
        self._until = {"": "", SET_UP: SET_UP}
        for phase, looks in zip(phases, right, strict=True):
            # The looks say what the tables held and how the registers were set.
            state.update(repr((phase.frames, phase.bad, phase.cycles, looks)).encode())
            self._until[phase.name] = state.hexdigest()[:16]
        self._until[""] = state.hexdigest()[:16]
        self._known: dict[int, tuple[str, str]] = {}
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                made = json.loads(line)
                if self._until.get(made["phase"].partition(":")[0]) == made["until"]:
                    self._known[made["number"]] = made["killed_by"], made["phase"]

    def forget(self) -> None:
        """Forget all, the file included."""
        self._path.unlink(missing_ok=True)
        self._known.clear()

    def of(self, mutant: Mutant) -> Outcome | None:
        """Return how a mutant ended; None: that is not known."""
        known = self._known.get(mutant.number)
        return None if known is None else Outcome(mutant, *known)

    def add(self, outcome: Outcome) -> None:
        """Keep how a mutant ended."""
        until = self._until[outcome.phase.partition(":")[0]]
        made = {"number": outcome.mutant.number, "killed_by": outcome.killed_by}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(made | {"phase": outcome.phase, "until": until}) + "\n")
        self._known[outcome.mutant.number] = outcome.killed_by, outcome.phase


class _Judge:
    """What a process that judges was given once."""

    given: tuple[Library, Workload, Sequence[Sequence[Look]]]

    @classmethod
    def begin(cls, library: Library, workload: Workload, right: Sequence[Sequence[Look]]) -> None:
        cls.given = library, workload, right

    @classmethod
    def one(cls, mutant: Mutant) -> Outcome:
        library, workload, right = cls.given
        return _judge(library, mutant, workload, right)


def _judge(
    library: Library, mutant: Mutant, workload: Workload, right: Sequence[Sequence[Look]]
) -> Outcome:
    phase_name = SET_UP
    try:
        with MutantCard(library, mutant.number) as card:
            player = Player(card, workload)
            for phase, wanted in zip(workload.phases, right, strict=True):
                phase_name = phase.name
                for look, other in zip_longest(player.looks(phase), wanted):
                    if look is None or other is None or look.content != other.content:
                        return Outcome(mutant, "content", phase.name)
                    if look.conduct != other.conduct:
                        return Outcome(mutant, "conduct", phase.name)
    except (
        Exception
    ) as error:  # a mutant may break the set-up in any way; the unmutated card did not
        return Outcome(mutant, "content", f"{phase_name}: {type(error).__name__}")
    return Outcome(mutant, "", "")


# ---- the score ----------------------------------------------------------------------------------


def load_survivors() -> list[Survivor]:
    """Read docs/testplan/survivors.toml."""
    root = checkout_root()
    assert root is not None, "survivors need a checkout"
    text = (root / "docs" / "testplan" / "survivors.toml").read_text(encoding="utf-8")
    entries = tomllib.loads(text).get("survivor", [])
    lists = ("modes", "bits", "controls")
    return [
        Survivor(**{name: tuple(value) if name in lists else value for name, value in one.items()})
        for one in entries
    ]


def explained(mutant: Mutant, survivors: Iterable[Survivor]) -> Survivor | None:
    """Return the entry that says why a mutant cannot be seen."""
    return next((entry for entry in survivors if not entry.open and entry.covers(mutant)), None)


def unlisted(outcomes: Iterable[Outcome], survivors: Sequence[Survivor]) -> list[Outcome]:
    """Return the survivors of which survivors.toml says nothing."""
    return [
        one
        for one in outcomes
        if not one.killed_by and not any(entry.covers(one.mutant) for entry in survivors)
    ]


def score(
    outcomes: Sequence[Outcome], survivors: Sequence[Survivor]
) -> tuple[float, list[Outcome]]:
    """Return killed / (all - equivalent) and the survivors that could be seen."""
    left = [one for one in outcomes if not one.killed_by]
    open_ones = [one for one in left if explained(one.mutant, survivors) is None]
    killed = len(outcomes) - len(left)
    return killed / max(killed + len(open_ones), 1), open_ones


def entry_for(mutant: Mutant) -> str:
    """Return an entry of survivors.toml for a mutant, whose reason is to be filled in."""
    quoted = {"file": mutant.file, "text": mutant.texts[-1], "signal": mutant.signal}
    lines = ["[[survivor]]", *(f"{name} = {json.dumps(text)}" for name, text in quoted.items())]
    lines += [f'port = "{mutant.port}"', f'modes = ["{mutant.mode}"]', f"bits = [{mutant.bit}]"]
    if mutant.control >= 0:
        lines.append(f"controls = [{mutant.control}]")
    return "\n".join([*lines, 'why = ""', ""])


def main() -> int:
    """Judge a sample or all mutants and print the score and the survivors."""
    parser = argparse.ArgumentParser(description="Mutation testing of rtl/lookup and rtl/net.")
    parser.add_argument("--count", type=int, default=0, help="how many, drawn by --seed; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of mutants")
    parser.add_argument(
        "--explained", action="store_true", help="judge those that survivors.toml explains, too"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--anew", action="store_true", help="forget the verdicts of earlier runs")
    parser.add_argument(
        "--fill", action="store_true", help="replace mutants of lines that are no more, and end"
    )
    given = parser.parse_args()
    if given.fill:
        kept, new = fill_list()
        print(f"{kept:,} mutants of the list are in the netlist, {new:,} are new")
        return 0
    library = build_mutants()
    workload = Workload(WORKLOAD_SEED)
    right = learn(library, workload)
    verdicts = Verdicts(library.built.library.parents[1] / "verdicts.jsonl", workload.phases, right)
    if given.anew:
        verdicts.forget()
    survivors = load_survivors()
    chosen = list(library.mutants)
    if not given.explained and given.only is None:
        chosen = unexplained(chosen, survivors)
        print(f"{len(library.mutants) - len(chosen):,} mutants are explained, and not judged")
    if given.only is not None:
        chosen = [mutant for mutant in chosen if mutant.number in given.only]
    elif given.count:
        of = len(chosen)
        chosen = draw(chosen, given.count, given.seed)
        print(f"{len(chosen)} of {of:,} mutants, seed {given.seed}")
    started, before = time.monotonic(), _processor_seconds()
    outcomes = [one for one in map(verdicts.of, chosen) if one is not None]
    known = {one.mutant.number for one in outcomes}
    if known:
        print(f"{len(known):,} of them are known from earlier runs")
    asked = [mutant for mutant in chosen if mutant.number not in known]
    for one in judge(library, asked, workload, right, jobs=given.jobs):
        outcomes.append(one)
        verdicts.add(one)
        if not one.killed_by:
            print(f"survives: {one.mutant.number} {one.mutant.what}", flush=True)
    seconds, used = time.monotonic() - started, _processor_seconds() - before
    reached, open_ones = score(outcomes, survivors)
    by = Counter(one.killed_by or "nothing" for one in outcomes)
    print(
        f"{len(outcomes):,} mutants, {len(asked):,} judged in {seconds:.0f} s ({used:.0f} of the processors): killed "
        f"{by['content']:,} by content and {by['conduct']:,} by conduct first; {by['nothing']:,} "
        f"survive, {by['nothing'] - len(open_ones):,} of them equivalent; score {100 * reached:.1f} %"
    )
    for phase, count in Counter(one.phase for one in outcomes).most_common():
        print(f"  {count:>4} in {phase or 'no phase'}")
    new = unlisted(outcomes, survivors)
    for one in sorted(new, key=lambda one: (one.mutant.file, one.mutant.line)):
        m = one.mutant
        print(f"UNEXPLAINED {m.number} {m.file}:{m.line} {m.what}")
        print(entry_for(m))
    return 1 if new else 0


def _processor_seconds() -> float:
    """Return the processor time of this process and of those it has waited for."""
    return sum(
        sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


if __name__ == "__main__":
    sys.exit(main())
