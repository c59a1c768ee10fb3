# SPDX-License-Identifier: Apache-2.0
"""Replace row ids by others of the same table, by a secret key: what a recording of users' traffic keeps.

The replacement is a permutation of the table's rows, so everything that a cache, a link or a pooled bag can see stays:
which lookups repeat, how often, how long bags are, that an id is a row of the table. Which row it was needs the key.

Method: a Feistel network on the bits of the row number with cycle walking into the table (as in NIST SP 800-38G, ten
rounds), whose round function is SipHash-2-4 (Aumasson and Bernstein, 2012) under a key made from the secret and the
table's name with BLAKE2b. It hides numbers, not statistics: who knows how popular each row is can still guess the most
popular ones, and rows of a table of a few rows are guessed by count alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["KEY_BYTES", "RowPermutation", "siphash24"]

KEY_BYTES = 16
ROUNDS = 10
MEMO_ROWS = (
    1 << 27
)  # tables up to here remember what was replaced; pages are committed as they are used
CHUNK = 1 << 15  # elements at a time

_U64 = NDArray[np.uint64]


def siphash24(key: bytes, words: Sequence[_U64]) -> _U64:
    """Return SipHash-2-4 of messages of whole 64-bit words: `words[i]` [n] holds word i of every message.

    `key` has 16 bytes. Words and result are little-endian, as in the published test vectors.
    """
    k0, k1 = (np.frombuffer(key, "<u8", 1, at).astype(np.uint64) for at in (0, 8))
    state = [
        np.broadcast_to(k ^ np.uint64(c), words[0].shape).copy()
        for k, c in (
            (k0, 0x736F6D6570736575),
            (k1, 0x646F72616E646F6D),
            (k0, 0x6C7967656E657261),
            (k1, 0x7465646279746573),
        )
    ]
    length = np.uint64((8 * len(words) & 0xFF) << 56)
    for word in (*words, np.broadcast_to(length, words[0].shape)):
        state[3] ^= word
        _rounds(state, 2)
        state[0] ^= word
    state[2] ^= np.uint64(0xFF)
    _rounds(state, 4)
    result: _U64 = state[0] ^ state[1] ^ state[2] ^ state[3]
    return result


def _rounds(v: list[_U64], count: int) -> None:
    for _ in range(count):
        v[0] += v[1]
        v[1] = _rotate(v[1], 13) ^ v[0]
        v[0] = _rotate(v[0], 32)
        v[2] += v[3]
        v[3] = _rotate(v[3], 16) ^ v[2]
        v[0] += v[3]
        v[3] = _rotate(v[3], 21) ^ v[0]
        v[2] += v[1]
        v[1] = _rotate(v[1], 17) ^ v[2]
        v[2] = _rotate(v[2], 32)


def _rotate(x: _U64, by: int) -> _U64:
    rotated: _U64 = (x << np.uint64(by)) | (x >> np.uint64(64 - by))
    return rotated


class RowPermutation:
    """Permute the rows of one table by a secret of `KEY_BYTES` bytes.

    >>> permute = RowPermutation(b"sixteen byte key", "item", rows=5)
    >>> sorted(permute(np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(self, secret: bytes, table: str, *, rows: int) -> None:
        self.rows = rows
        self._key = hashlib.blake2b(
            table.encode(), digest_size=KEY_BYTES, key=secret, person=b"embnic salt"
        ).digest()
        bits = max(2, (rows - 1).bit_length())
        self._low_bits = bits // 2
        self._high_bits = bits - self._low_bits
        self._memo = np.zeros(rows, np.int64) if rows <= MEMO_ROWS else None

    def __call__(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the replacements of `ids` [n], which are rows of the table."""
        if self._memo is None:
            distinct, where = np.unique(ids, return_inverse=True)
            return self._replace(distinct)[where.reshape(-1)]
        fresh = np.unique(ids[self._memo[ids] == 0])
        if len(fresh):
            self._memo[fresh] = self._replace(fresh) + 1
        replaced: NDArray[np.int64] = self._memo[ids] - 1
        return replaced

    def _replace(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        result = np.empty_like(ids)
        for start in range(0, len(ids), CHUNK):
            left = np.arange(start, min(start + CHUNK, len(ids)))
            x = ids[left].astype(np.uint64)
            while len(left):  # numbers beyond the table walk on until they are inside it
                x = self._feistel(x)
                done = x < np.uint64(self.rows)
                result[left[done]] = x[done].astype(np.int64)
                left, x = left[~done], x[~done]
        return result

    def _feistel(self, x: _U64) -> _U64:
        low_bits, high_bits = self._low_bits, self._high_bits
        low = x & np.uint64((1 << low_bits) - 1)
        high = x >> np.uint64(low_bits)
        for number in range(ROUNDS):
            mixed = siphash24(self._key, [np.uint64(number << 56) | low])
            low, high = (high ^ mixed) & np.uint64((1 << high_bits) - 1), low
            low_bits, high_bits = high_bits, low_bits
        joined: _U64 = (high << np.uint64(low_bits)) | low
        return joined
