"""Replies to bytes of the Redis protocol. Pure: no socket, no clock, no session.

`Resp2` and `Resp3` have the same methods and return finished bytes: one call, one reply. Must not know any command.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

SMALL: Final = 1024
_INTEGERS: Final = [b":%d\r\n" % n for n in range(SMALL)]
BULKS: Final = [b"$%d\r\n" % n for n in range(SMALL)]
_ARRAYS: Final = [b"*%d\r\n" % n for n in range(SMALL)]


def encode_text(text: str) -> bytes:
    """An error or status text to bytes on one line; surrogates (see `arguments.printable`) become their byte again."""
    return text.encode("utf-8", "surrogateescape").replace(b"\r", b" ").replace(b"\n", b" ")


class Resp(Protocol):
    """What a handler encodes its reply with; `session.resp` is one of the two singletons below.

    "Encoded" means bytes that one of these methods returned.
    """

    version: int
    ok: bytes
    null: bytes
    null_array: bytes
    empty_array: bytes

    def integer(self, number: int) -> bytes:
        """A whole number."""

    def bulk(self, data: bytes) -> bytes:
        """A binary string."""

    def simple(self, text: bytes) -> bytes:
        """A status line; must not contain line ends."""

    def verbatim(self, text: bytes) -> bytes:
        """A text for people (INFO): a verbatim string in RESP3, a bulk in RESP2."""

    def error(self, text: str) -> bytes:
        """An error; `text` begins with its code (`ERR ...`)."""

    def array(self, encoded: Sequence[bytes]) -> bytes:
        """An array of encoded replies."""

    def bulks(self, items: Iterable[bytes]) -> bytes:
        """An array of binary strings, from raw bytes."""

    def map(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        """A map of encoded keys and values; a flat array in RESP2."""

    def set(self, items: Iterable[bytes]) -> bytes:
        """A set of binary strings, from raw bytes; an array in RESP2."""

    def set_of(self, encoded: Sequence[bytes]) -> bytes:
        """A set of encoded replies; an array in RESP2."""

    def double(self, number: float) -> bytes:
        """A floating point number; a bulk in RESP2."""

    def boolean(self, truth: bool) -> bytes:
        """True or false; 1 or 0 in RESP2."""

    def push(self, encoded: Sequence[bytes]) -> bytes:
        """A message nobody asked for, of encoded parts; an array in RESP2."""

    def push_header(self, count: int) -> bytes:
        """The beginning of a push of `count` parts."""


def format_double(number: float) -> bytes:
    """As Redis prints a double (`%.17g`, `inf`, `-inf`, `nan`)."""
    return b"%.17g" % number


class Resp2:
    """Version 2 of the protocol: what every client starts with."""

    __slots__ = ()

    version: int = 2
    ok: bytes = b"+OK\r\n"
    null: bytes = b"$-1\r\n"
    null_array: bytes = b"*-1\r\n"
    empty_array: bytes = b"*0\r\n"

    def integer(self, number: int) -> bytes:
        return _INTEGERS[number] if 0 <= number < SMALL else b":%d\r\n" % number

    def bulk(self, data: bytes) -> bytes:
        size = len(data)
        return b"%b%b\r\n" % (BULKS[size] if size < SMALL else b"$%d\r\n" % size, data)

    def simple(self, text: bytes) -> bytes:
        return b"+%b\r\n" % text

    def verbatim(self, text: bytes) -> bytes:
        return self.bulk(text)

    def error(self, text: str) -> bytes:
        return b"-%b\r\n" % encode_text(text)

    def array(self, encoded: Sequence[bytes]) -> bytes:
        return array_header(len(encoded)) + b"".join(encoded)

    def bulks(self, items: Iterable[bytes]) -> bytes:
        return _collection(b"*", items)

    def map(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        return array_header(2 * len(pairs)) + b"".join([part for pair in pairs for part in pair])

    def set(self, items: Iterable[bytes]) -> bytes:
        return _collection(b"*", items)

    def set_of(self, encoded: Sequence[bytes]) -> bytes:
        return self.array(encoded)

    def double(self, number: float) -> bytes:
        return self.bulk(format_double(number))

    def boolean(self, truth: bool) -> bytes:
        return b":1\r\n" if truth else b":0\r\n"

    def push(self, encoded: Sequence[bytes]) -> bytes:
        return self.array(encoded)

    def push_header(self, count: int) -> bytes:
        return array_header(count)


class Resp3(Resp2):
    """Version 3, after HELLO 3: maps, sets, doubles, booleans, null and pushes of their own."""

    __slots__ = ()

    version = 3
    null = b"_\r\n"
    null_array = b"_\r\n"

    def verbatim(self, text: bytes) -> bytes:
        return b"=%d\r\ntxt:%b\r\n" % (len(text) + 4, text)

    def map(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        return b"%%%d\r\n" % len(pairs) + b"".join([part for pair in pairs for part in pair])

    def set(self, items: Iterable[bytes]) -> bytes:
        return _collection(b"~", items)

    def set_of(self, encoded: Sequence[bytes]) -> bytes:
        return b"~%d\r\n" % len(encoded) + b"".join(encoded)

    def double(self, number: float) -> bytes:
        return b",%b\r\n" % format_double(number)

    def boolean(self, truth: bool) -> bytes:
        return b"#t\r\n" if truth else b"#f\r\n"

    def push(self, encoded: Sequence[bytes]) -> bytes:
        return self.push_header(len(encoded)) + b"".join(encoded)

    def push_header(self, count: int) -> bytes:
        return b">%d\r\n" % count


RESP2: Final[Resp] = Resp2()
RESP3: Final[Resp] = Resp3()


def array_header(count: int) -> bytes:
    """The beginning of an array of `count` replies."""
    return _ARRAYS[count] if count < SMALL else b"*%d\r\n" % count


def _collection(kind: bytes, items: Iterable[bytes]) -> bytes:
    headers, small = BULKS, SMALL
    parts = [
        b"%b%b\r\n" % (headers[size] if (size := len(item)) < small else b"$%d\r\n" % size, item) for item in items
    ]
    return kind + b"%d\r\n" % len(parts) + b"".join(parts)
