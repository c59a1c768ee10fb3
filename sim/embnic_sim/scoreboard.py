# SPDX-License-Identifier: Apache-2.0
"""What a bench expects of its DUT, word by word, against what came."""

from __future__ import annotations

from collections import deque

from embnic_sim.streams import Word
from embnic_sim.structs import StructType

__all__ = ["Scoreboard"]


class Scoreboard:
    """Expected words against words seen, in order; unordered with `ordered=False`."""

    def __init__(self, name: str, struct: StructType | None = None, ordered: bool = True) -> None:
        self.name, self.struct, self.ordered = name, struct, ordered
        self.expected: deque[Word] = deque()
        self.compared = 0
        self.enabled = True

    def expect(self, *words: Word) -> None:
        """Queue what must come."""
        self.expected.extend(words)

    def check(self, word: Word) -> None:
        """Compare one word seen with the next expected."""
        if not self.enabled:
            return
        if not self.expected:
            raise AssertionError(
                f"{self.name}: word {self.compared} = {self._text(word)} came, nothing was expected"
            )
        if not self.ordered:
            if word not in self.expected:
                raise AssertionError(
                    f"{self.name}: {self._text(word)} came, expected any of {len(self.expected)}"
                )
            self.expected.remove(word)
        else:
            wanted = self.expected.popleft()
            if word != wanted:
                raise AssertionError(
                    f"{self.name}: word {self.compared} differs\n{self._difference(word, wanted)}"
                )
        self.compared += 1

    def reset(self) -> None:
        """Forget what was expected; the number of comparisons stays."""
        self.expected.clear()

    def _text(self, word: Word) -> str:
        if isinstance(word, tuple):
            return (
                "("
                + ", ".join(
                    f"{value:#x}" if isinstance(value, int) else repr(value) for value in word
                )
                + ")"
            )
        return f"{word:#x}" if isinstance(word, int) else repr(word)

    def _difference(self, word: Word, wanted: Word) -> str:
        lines = [f"  seen     {self._text(word)}", f"  expected {self._text(wanted)}"]
        if self.struct is not None and isinstance(word, int) and isinstance(wanted, int):
            seen, want = self.struct.unpack(word), self.struct.unpack(wanted)
            lines += [
                f"  .{key}: seen {seen[key]!r}, expected {want[key]!r}"
                for key in seen
                if seen[key] != want[key]
            ]
        return "\n".join(lines)
