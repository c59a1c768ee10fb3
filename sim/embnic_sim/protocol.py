# SPDX-License-Identifier: Apache-2.0
"""The update protocol of docs/decisions/ordering.md as a transition system that is searched exhaustively.

    python -m embnic_sim.protocol     search the whole protocol, then print the counter-example of every guard

An owner card holds the memory, a requester card caches its rows under a lease; each has a client. The clients begin
`Bounds.operations` lookups and updates in any mixture at any time, so that one search covers every assignment; by
symmetry the first operation names row 0 (and the first update is client 0's where both use one card).

A frame once sent arrives at any later time, any number of times, or never. A loss mended by a retry is a late arrival.
What is late in a way that only demands less is left out: a lookup begins when it arrives, an answer is judged when it
leaves the card, an ACK arrives at once. UPDATEs arrive in any order and again, FILLs late. A second arrival of a lookup
or FETCH does what a new lookup does: it is one of the operations, or with `Bounds.fine` comes without end.

A card has one cache line, fetch buffers, and accepted bags of one key. A bag that misses takes a buffer and the line's
tag. The answer of a hit is fixed at the tag stage, because fills wait for older readers of their line. Memory answers
with any version that the row had since the fetch was issued; a version counts the updates of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

__all__ = ["GUARDS", "ONE_CARD", "TWO_CARDS", "Bounds", "follow", "scenario", "scenarios", "search"]

PROMISES = {
    "a": "a lookup begun after the ACK of version v of a row returns v or newer",
    "b": "an update is applied once; two of one client and row in their order",
    "c": "a client takes for a request only an answer made for it",
    "d": "when the network delivers, everything begun completes",
    "e": "the oldest bag of a card waits for no other bag",
    "f": "a lookup of a row returns that row",
}


class Guard(NamedTuple):
    """A rule of the protocol: the promise that breaks without it, and whether one card is enough to see that."""

    breaks: str
    local: bool
    rule: str


GUARDS = {
    "poison": Guard("a", True, "dropping a tag also drops one whose fill is outstanding"),
    "join_version": Guard("a", True, "a lookup joins only the fetch that the tag names"),
    "drop_again": Guard("a", True, "the tag is dropped again after the write's response"),
    "line_order": Guard("f", True, "a fill waits for the older readers of its line"),
    "slot_reserve": Guard("e", True, "the last free fetch buffer is the oldest bag's"),
    "sequence_window": Guard("b", True, "an applied sequence is not applied again"),
    "window_bound": Guard("b", True, "a sequence beyond the window is refused"),
    "client_order": Guard("b", True, "a client awaits the ACK before it updates that row again"),
    "request_id": Guard("c", True, "an answer is taken only for the request that it names"),
    "fetch_id": Guard("a", False, "a FILL is taken only for the fetch that it names"),
    "lease": Guard("a", False, "a card without a lease keeps no line and no joinable fetch"),
    "lease_from_request": Guard("a", False, "a lease runs from the sending of its request"),
    "invalidate_ack": Guard("a", False, "an ACK waits for INVALIDATE's ACK or the lease's end"),
    "invalidate_version": Guard("a", False, "INVALIDATE's ACK names the update it answers"),
    "write_first": Guard("a", False, "INVALIDATE is sent after the write's response"),
}


@dataclass(frozen=True)
class Bounds:
    """How far a search goes."""

    operations: int = 4
    cards: int = 2
    bags: int = 3  # accepted, a card
    buffers: int = 2  # fetches outstanding, a card
    window: int = 2  # sequences above the highest contiguous one
    fine: bool = False  # bags are tagged in any order, late; copies come, one at a time in a card
    barrier: bool = False  # an update begins when no bag is tagged; none is tagged until its ACK
    drop_first: bool = True  # the tag is dropped when an update is accepted, too


ONE_CARD, TWO_CARDS = Bounds(cards=1, fine=True), Bounds(cards=2)

OWNER, REQUESTER = 0, 1
CARDS = ("owner", "requester")
LOOKUP, COPY, FETCH = 0, 1, 2  # kinds of bags; FETCH + n: for buffer n of the requester card
ISSUED, READS = -1, -2  # places of bags: not tagged; a hit not read yet; n >= 0: buffer n
SENT, WRITTEN, APPLIED, FORGOTTEN = range(4)  # the fate of an update
NO_UPDATE, GRANT, TOLD = (-1, -1, 0, False), ("grant", 0, 0), ("told", 0, 0)

# What need not happen for the work that was begun to complete.
_IDLE = {"lookup", "copy", "update_begin", "old_fill", "old_answer", "old_invalidate_ack"}
_IDLE |= {"lease_grant", "lease_old_grant", "lease_end", "lease_end_owner"}


class Step(NamedTuple):
    """An action (ordering.md lists them), its card and row, and a version, sequence or bag (0: oldest)."""

    action: str
    card: str
    row: int
    value: int

    def __str__(self) -> str:
        kind = "sequence" if self.action[:8] in ("update_b", "update_a", "update_f") else "version"
        kind = "bag" if self.action in ("join", "miss", "hit_early") else kind
        more = " or newer" if self.action in ("lookup", "copy") else ""
        return f"{self.card:<9}  row {self.row}  {self.action:<18}  {kind} {self.value}{more}"


class Card(NamedTuple):
    """A card: its line, its fetches, and its bags in the order of their acceptance."""

    line: tuple[int, ...] = ()  # (), (row, version), or (row, -1 - buffer) until the fill
    buffers: tuple[tuple[int, int], ...] = ()  # (row, oldest version), or (row, set of FILLs)
    bags: tuple[tuple[int, int, int, int], ...] = ()  # (kind, row, floor, place)


class State(NamedTuple):
    """Everything. `memory` and `acked` are versions by row."""

    updates: tuple[tuple[tuple[int, int], ...], ...]  # by client and sequence: (row, fate)
    memory: tuple[int, ...]
    acked: tuple[int, ...]
    seen: tuple[int, ...]  # [2 * card + row]: floor of the latest lookup that can be copied, or -1
    update: tuple[int, int, int, bool]  # in the update unit: (client, index, phase, invalidated)
    lease: int  # 0 none, 1 only the owner's clock runs, 2 both, 3 only the requester believes in it
    cards: tuple[Card, Card]
    relics: frozenset[tuple[str, int, int]]  # what only a missing guard lets anybody notice


Found = tuple[Step, State, str]  # a step, the state after it, the promise it breaks or ""


def _put(values: tuple[Any, ...], index: int, value: object) -> tuple[Any, ...]:
    return (*values[:index], value, *values[index + 1 :])


class _Rules:
    """The transitions within `bounds` without some guards."""

    def __init__(self, bounds: Bounds, without: Sequence[str]) -> None:
        self.bounds = bounds
        self.on = {name: name not in without for name in GUARDS}

    def start(self) -> State:
        """Return the state in which nothing has happened."""
        none, cards = (-1, -1, -1, -1), (Card(), Card())
        return State(((), ()), (0, 0), (0, 0), none, NO_UPDATE, 0, cards, frozenset())

    def steps(self, s: State, left: int = 1) -> Iterator[Found]:
        """Yield all transitions; alone what may come first without hiding a broken promise."""
        client, index, phase, told = s.update
        if phase == 3 and (told or s.lease in (0, 3) or not self.on["invalidate_ack"]):
            yield self._ack(s, client, index)
            return
        bags = ((card, at) for card in (0, 1) for at in range(len(s.cards[card].bags)))
        for found in chain.from_iterable(self._tag(s, card, at) for card, at in bags):
            yield found
            if not self.bounds.fine:
                return
        yield from self._begin(s, left)
        for card in range(self.bounds.cards):
            yield from self._fills(s, card)
        yield from self._updates(s)
        if self.bounds.cards == 2:
            yield from self._requester(s)

    def judge(self, s: State, found: Sequence[Found]) -> str:
        """Return the promise that `s` breaks by what can follow it: "d", "e" or "".

        A step outside `_IDLE` brings a bag, a fetch or an update nearer to its end, so all work completes if such
        a step is possible wherever work is left.
        """
        work = any(card.bags for card in s.cards)
        work = work or any(fate != APPLIED for mine in s.updates for _, fate in mine)
        if work and all(step.action in _IDLE for step, _, _ in found):
            return "d"
        for line, buffers, bags in s.cards:
            waits = bags and bags[0][3] == ISSUED and (not line or line[0] != bags[0][1])
            if waits and len(buffers) == self.bounds.buffers:
                return "e"
        return ""

    def _begin(self, s: State, left: int) -> Iterator[Found]:
        """Lookups and copies of lookups arrive; updates are sent."""
        fresh = s.updates == ((), ()) and s.cards == (Card(), Card())
        rows = () if not left else (0,) if fresh else (0, 1)
        for card in range(self.bounds.cards):
            bags = s.cards[card].bags
            if len(bags) == self.bounds.bags:
                continue
            for row in rows:
                floor, at = s.acked[row], 2 * card + row
                begun = s._replace(seen=_put(s.seen, at, floor)) if self.bounds.fine else s
                yield self._accept(begun, card, (LOOKUP, row, floor, ISSUED))
            if not any(bag[0] == COPY for bag in bags):
                for row in (0, 1):
                    floor = s.seen[2 * card + row]
                    if floor >= 0:
                        yield self._accept(s, card, (COPY, row, floor, ISSUED))
        for client, mine in enumerate(s.updates):
            if client and self.bounds.cards == 1 and not s.updates[0]:
                continue  # two equal clients: the first to update is client 0
            for row in rows:
                if not self.on["client_order"] or all(r != row or f == APPLIED for r, f in mine):
                    updates = _put(s.updates, client, (*mine, (row, SENT)))
                    step = Step("update_begin", CARDS[client], row, len(mine) + 1)
                    yield step, s._replace(updates=updates), ""

    def _accept(self, s: State, card: int, bag: tuple[int, int, int, int]) -> Found:
        kind, row, floor, _ = bag
        step = Step(("lookup", "copy", "fetch")[min(kind, FETCH)], CARDS[card], row, floor)
        return step, self._at(s, card, s.cards[card]._replace(bags=(*s.cards[card].bags, bag))), ""

    @staticmethod
    def _at(s: State, card: int, here: Card) -> State:
        return s._replace(cards=(here, s.cards[1]) if card == OWNER else (s.cards[0], here))

    def _tag(self, s: State, card: int, index: int) -> Iterator[Found]:
        """Bag `index` passes the tag stage, or reads its line if it has passed as a hit that has not."""
        line, buffers, bags = here = s.cards[card]
        kind, row, _, place = bags[index]
        if place == READS and line and line[1] >= 0:
            step = Step("hit_read", CARDS[card], *line)
            yield self._answer(s, card, (index,), step, "f" if line[0] != row else "")
        if place != ISSUED or (self.bounds.barrier and card == OWNER and s.update[0] >= 0):
            return
        if kind == LOOKUP:
            for _, _, version in (relic for relic in s.relics if relic[0] == CARDS[card]):
                step = Step("old_answer", CARDS[card], row, version)
                yield self._answer(s, card, (index,), step, "c")
        ours = line and line[0] == row
        joined = -1 - line[1] if ours else -1
        if ours and line[1] >= 0:
            if self.on["line_order"]:
                yield self._answer(s, card, (index,), Step("hit", CARDS[card], *line), "")
            else:
                yield (
                    Step("hit_early", CARDS[card], row, index),
                    self._place(s, card, index, READS),
                    "",
                )
            return
        if joined < 0 and not self.on["join_version"]:
            joined = next((at for at, buffer in enumerate(buffers) if buffer[0] == row), -1)
        if joined >= 0:
            yield Step("join", CARDS[card], row, index), self._place(s, card, index, joined), ""
        elif self._may_fetch(here, index):
            lasting = card == OWNER or s.lease >= 2 or not self.on["lease"]
            low = s.memory[row] if card == OWNER else 0
            line = (row, -1 - len(buffers)) if lasting else line
            after = self._at(s, card, Card(line, (*buffers, (row, low)), bags))
            after = self._place(after, card, index, len(buffers))
            yield Step("miss", CARDS[card], row, index), after, ""

    def _may_fetch(self, here: Card, index: int) -> bool:
        """Is a buffer free for bag `index`, and another for the oldest bag if it still needs one?"""
        free = self.bounds.buffers - len(here.buffers)
        served = index == 0 or here.bags[0][3] != ISSUED or not self.on["slot_reserve"]
        return free > (0 if served else 1)

    def _place(self, s: State, card: int, index: int, place: int) -> State:
        here = s.cards[card]
        bag = (*here.bags[index][:3], place)
        return self._at(s, card, here._replace(bags=_put(here.bags, index, bag)))

    def _answer(self, s: State, card: int, chosen: Sequence[int], step: Step, wrong: str) -> Found:
        """Answer the bags `chosen` with version `step.value`: a client, or a fetch of the requester card."""
        here = s.cards[card]
        asked, relics, version = s.cards[REQUESTER], s.relics, step.value
        for index in chosen:
            kind, row, floor, _ = here.bags[index]
            if version < floor:
                wrong = wrong or "a"
            if kind >= FETCH:
                fills = asked.buffers[kind - FETCH][1] | 1 << version
                asked = asked._replace(buffers=_put(asked.buffers, kind - FETCH, (row, fills)))
                if not self.on["fetch_id"]:
                    relics |= {("fill", row, version)}
            elif kind == LOOKUP and not self.on["request_id"]:
                relics |= {(CARDS[card], row, version)}
        left = tuple(bag for index, bag in enumerate(here.bags) if index not in chosen)
        after = s._replace(relics=relics, cards=(s.cards[OWNER], asked))
        return step, self._at(after, card, here._replace(bags=left)), wrong

    def _fills(self, s: State, card: int) -> Iterator[Found]:
        """The data of a fetch arrive: from memory, or as a FILL at the requester card."""
        for buffer, (row, state) in enumerate(s.cards[card].buffers):
            if card == OWNER:
                data = [("fill", version) for version in range(state, s.memory[row] + 1)]
            else:
                data = [("fill", v) for v in range(state.bit_length()) if state >> v & 1]
                data += [("old_fill", v) for what, r, v in s.relics if (what, r) == ("fill", row)]
            for action, version in data:
                yield self._fill(s, card, buffer, Step(action, CARDS[card], row, version))

    def _fill(self, s: State, card: int, buffer: int, step: Step) -> Found:
        """Answer the bags that wait for `buffer`, write the line if its tag still names it, free it."""
        waiting = [at for at, bag in enumerate(s.cards[card].bags) if bag[3] == buffer]
        step, s, wrong = self._answer(s, card, waiting, step, "")
        line, buffers, bags = s.cards[card]
        if line and line[1] < 0:
            named = -1 - line[1]
            line = (line[0], step.value if named == buffer else line[1] + (named > buffer))
        bags = tuple((k, r, f, p - (p > buffer)) for k, r, f, p in bags)
        s = self._at(s, card, Card(line, buffers[:buffer] + buffers[buffer + 1 :], bags))
        if card == REQUESTER:  # what the owner still does for this fetch is a copy's work now
            owner, gone = s.cards[OWNER], FETCH + buffer
            kinds = (COPY if bag[0] == gone else bag[0] - (bag[0] > gone) for bag in owner.bags)
            bags = tuple((kind, *bag[1:]) for kind, bag in zip(kinds, owner.bags, strict=True))
            s = self._at(s, OWNER, owner._replace(bags=bags))
        return step, s, wrong

    def _drop(self, here: Card, row: int) -> Card:
        named = here.line[:1] == (row,) and (here.line[1] >= 0 or self.on["poison"])
        return here._replace(line=()) if named else here

    def _updates(self, s: State) -> Iterator[Found]:
        client, index, phase, told = s.update
        if client < 0:
            yield from chain(self._arrive(s, 0), self._arrive(s, 1))
            return
        mine = s.updates[client]
        row, fate = mine[index]
        if phase == 1:
            late = any(r == row and f for r, f in mine[index + 1 :])
            version = s.memory[row] + 1
            after = self._fate(s, client, index, WRITTEN)._replace(update=(client, index, 2, told))
            after = after._replace(memory=_put(s.memory, row, version))
            wrong = "b" if fate != SENT or late else ""
            yield Step("update_write", "owner", row, version), after, wrong
        elif phase == 2:
            owner = self._drop(s.cards[OWNER], row) if self.on["drop_again"] else s.cards[OWNER]
            after = self._at(s._replace(update=(client, index, 3, told)), OWNER, owner)
            yield Step("update_done", "owner", row, s.memory[row]), after, ""
        if self.bounds.cards == 2 and not told and (phase == 3 or not self.on["write_first"]):
            after = s._replace(update=(client, index, phase, True))
            if TOLD in s.relics:
                yield Step("old_invalidate_ack", "owner", row, 0), after, ""
            if not self.on["invalidate_version"]:
                after = after._replace(relics=s.relics | {TOLD})
            requester = self._drop(s.cards[REQUESTER], row)
            step = Step("invalidate", "requester", row, 0)
            yield step, self._at(after, REQUESTER, requester), ""

    def _arrive(self, s: State, client: int) -> Iterator[Found]:
        """UPDATE frames arrive, for the first time or again; the window takes each sequence once."""
        if self.bounds.barrier and any(bag[3] != ISSUED for bag in s.cards[OWNER].bags):
            return
        mine = s.updates[client]
        high = next((at for at, (_, fate) in enumerate(mine) if fate != APPLIED), len(mine))
        for index, (row, fate) in enumerate(mine):
            if fate == FORGOTTEN:
                yield Step("update_forgotten", "owner", row, index + 1), s, "b"
            if fate == FORGOTTEN or (fate == APPLIED and self.on["sequence_window"]):
                continue
            after = s._replace(update=(client, index, 1, False))
            if index >= high + self.bounds.window:
                if self.on["window_bound"]:
                    continue
                low = index - self.bounds.window + 1  # the window leaves these behind
                moved = [(r, FORGOTTEN if f == SENT else f) for r, f in mine[:low]]
                after = after._replace(updates=_put(s.updates, client, (*moved, *mine[low:])))
            if self.bounds.drop_first:
                after = self._at(after, OWNER, self._drop(s.cards[OWNER], row))
            yield Step("update_accept", "owner", row, index + 1), after, ""

    def _fate(self, s: State, client: int, index: int, fate: int) -> State:
        mine = _put(s.updates[client], index, (s.updates[client][index][0], fate))
        return s._replace(updates=_put(s.updates, client, mine))

    def _ack(self, s: State, client: int, index: int) -> Found:
        row = s.updates[client][index][0]
        after = self._fate(s, client, index, APPLIED)
        after = after._replace(update=NO_UPDATE, acked=_put(s.acked, row, s.memory[row]))
        return Step("ack", "owner", row, s.memory[row]), after, ""

    def _requester(self, s: State) -> Iterator[Found]:
        bags = s.cards[OWNER].bags
        for buffer, (row, fills) in enumerate(s.cards[REQUESTER].buffers):
            asked = any(bag[0] == FETCH + buffer for bag in bags)
            again = not fills or self.bounds.fine
            if again and not asked and len(bags) < self.bounds.bags:
                yield self._accept(s, OWNER, (FETCH + buffer, row, 0, ISSUED))
        if s.lease < 2:
            relics = s.relics if self.on["lease_from_request"] else s.relics | {GRANT}
            yield Step("lease_grant", "requester", 0, 0), s._replace(lease=2, relics=relics), ""
        if s.lease == 0 and GRANT in s.relics:
            yield Step("lease_old_grant", "requester", 0, 0), s._replace(lease=3), ""
        if s.lease == 1:
            yield Step("lease_end_owner", "owner", 0, 0), s._replace(lease=0), ""
        if s.lease >= 2:
            after = s._replace(lease=1 if s.lease == 2 else 0)
            if self.on["lease"]:
                after = self._at(after, REQUESTER, s.cards[REQUESTER]._replace(line=()))
            yield Step("lease_end", "requester", 0, 0), after, ""


class Result(NamedTuple):
    """What a search found: its size, the promise that is broken or "", and a shortest way there."""

    states: int
    transitions: int
    broken: str
    trace: tuple[Step, ...]


def search(bounds: Bounds, without: Sequence[str] = ()) -> Result:
    """Visit every state within `bounds` without some guards; stop at a broken promise.

    First what needs few operations, then what needs few steps; what a state can do with fewer operations left is not
    visited again.
    Errors: KeyError if `without` holds a name that GUARDS has not.
    """
    rules = _Rules(bounds, [name for name in without if GUARDS[name]])
    parents: dict[State, State | None] = {}
    begun: dict[State, State | None] = {rules.start(): None}  # one operation more than `parents`
    transitions = 0
    for left in range(bounds.operations, -1, -1):
        level = [state for state in begun if state not in parents]
        parents.update((state, begun[state]) for state in level)
        begun = {}
        while level:
            following = []
            for state in level:
                found = list(rules.steps(state, left))
                transitions += len(found)
                broken = rules.judge(state, found)
                trace = _way(rules, parents, state) if broken else ()
                for step, after, wrong in found:
                    if wrong and not broken:
                        broken, trace = wrong, (*_way(rules, parents, state), step)
                    if step.action in ("lookup", "update_begin"):
                        begun.setdefault(after, state)
                    elif after not in parents:
                        parents[after] = state
                        following.append(after)
                if broken:
                    return Result(len(parents), transitions, broken, trace)
            level = following
    return Result(len(parents), transitions, "", ())


def _way(rules: _Rules, parents: dict[State, State | None], state: State) -> tuple[Step, ...]:
    """Return the steps that led to `state`."""
    steps: list[Step] = []
    while (before := parents[state]) is not None:
        steps.append(next(step for step, after, _ in rules.steps(before) if after == state))
        state = before
    return tuple(reversed(steps))


def follow(steps: Sequence[Step], bounds: Bounds, without: Sequence[str] = ()) -> int:
    """Return how many of `steps` can happen one after the other, from the start."""
    rules = _Rules(bounds, without)
    states = {rules.start()}
    for count, wanted in enumerate(steps):
        found = (found for state in states for found in rules.steps(state))
        states = {after for step, after, _ in found if step == wanted}
        if not states:
            return count
    return len(steps)


class Scenario(NamedTuple):
    """A shortest run that breaks `promise` when `guard` is missing: what RTL and models must survive."""

    guard: str
    promise: str
    bounds: Bounds
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        broken = PROMISES.get(self.promise, "nothing is broken")
        lines = (f"without {self.guard} ({GUARDS[self.guard].rule}): {broken}", *self.steps)
        return "\n  ".join(map(str, lines))


@cache
def scenario(guard: str) -> Scenario:
    """Return a run that needs the fewest operations, then the fewest steps; on one card where that is enough."""
    bounds = ONE_CARD if GUARDS[guard].local else Bounds(cards=2, bags=1, buffers=1)
    result = search(bounds, (guard,))
    return Scenario(guard, result.broken, bounds, result.trace)


def scenarios() -> tuple[Scenario, ...]:
    """Return the counter-example of every guard, in the order of GUARDS."""
    return tuple(scenario(guard) for guard in GUARDS)


def main() -> None:
    """Search both whole protocols, then print all counter-examples."""
    print(*(f"{bounds}: {search(bounds)}" for bounds in (ONE_CARD, TWO_CARDS)), sep="\n")
    print(*scenarios(), sep="\n\n")


if __name__ == "__main__":
    main()
