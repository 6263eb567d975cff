"""Bytes of the Redis protocol to requests. Pure: no socket, no clock, no session.

`RequestParser` promises that any chunking of one byte stream gives the same requests and the same error, that it never
raises, and that what it keeps of an unfinished request is bounded by `limits.request`. Must not know any command.

Four readers share the work. One small request that arrives whole and alone is taken apart like an earlier one of its
length, if its counts are the same, or split at its line ends, and every count compared; large ones are read header by
header. hiredis takes whatever else arrives whole and begins with `*`. It reads replies, not requests, so it takes more
than Redis does; `_exact` is Redis's own grammar, and takes unfinished requests, inline commands and whatever looks
unusual.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct
from typing import Final

import hiredis

from daemon.api.arguments import printable
from daemon.api.limits import Limits, request_too_long, value_too_long
from daemon.api.refused import RefusedRequest

LINE_LIMIT: Final = 64 * 1024
"""Redis's bound for an inline command and for the line of a count."""
HTTP_WORDS: Final = frozenset({b"post", b"host:"})
"""A web page may make a browser send these, with commands behind them: hang up, as Redis does."""
MAX_BULK: Final = 512 * 1024 * 1024
MAX_ARGUMENTS: Final = (1 << 31) - 1
UNAUTHENTICATED_ARGUMENTS: Final = 10
UNAUTHENTICATED_BULK: Final = 16384

ALONE: Final = 192
"""Bytes of a read up to which it may be one request to be split: several, or longer ones, are cheaper with hiredis."""
ALONE_LINES: Final = 12
"""Lines of such a request, and one more."""
LEARNED: Final = 8
"""Of so many requests that were split one is remembered: that costs more than to split it, and no two may be alike."""
LARGE: Final = 1024
"""Bytes of a request from which on looking at each of them costs more than all the rest."""
HEADER: Final = 24
"""Bytes in which a usual count ends."""
_STARS: Final = [b"*%d" % n for n in range(ALONE)]
_DOLLARS: Final = [b"$%d" % n for n in range(ALONE)]
_dollar = _DOLLARS.__getitem__

# An empty array behind the data: hiredis gives it back as such only if everything before it was complete.
_SENTINEL: Final = b"*0\r\n"
_STAR: Final = 0x2A
_DOLLAR: Final = 0x24
# What hiredis would read as a string or an array although Redis does not ...
_foreign = re.compile(rb"\n[+=(>~|%]").search
# ... and counts for which it would reserve memory before anything has come.
_many = re.compile(rb"\*[0-9]{5}").search
_number = re.compile(rb"-?[1-9][0-9]{0,18}|0").fullmatch
_join = b"".join


class Shapes:
    """How the last request of each length looked, but for the bytes of its arguments.

    Most requests are like one before, whoever sent it: the counts stand at the same places. One that has the same bytes
    there has arguments of the same lengths, whatever is in them. Of the arguments nothing but lengths is kept.
    """

    __slots__ = ("_split", "of")

    def __init__(self) -> None:
        # By length in bytes: how to take a request apart, and what must stand before, between and behind the arguments.
        self.of: list[tuple[Callable[[bytes], tuple[bytes, ...]], tuple[bytes, ...]] | None] = [None] * (ALONE + 1)
        self._split = 0

    def learn(self, args: list[bytes], size: int) -> None:
        """A request of `size` bytes with these arguments had to be split."""
        self._split += 1
        if not self._split % LEARNED:
            counts = [b"$%d\r\n" % len(arg) for arg in args]
            heads = [b"*%d\r\n" % len(args) + counts[0], *(b"\r\n" + count for count in counts[1:]), b"\r\n"]
            pieces = [piece for pair in zip(heads[:-1], args, strict=True) for piece in pair] + heads[-1:]
            self.of[size] = (Struct("".join([f"{len(piece)}s" for piece in pieces])).unpack, tuple(heads))


_shapes = Shapes()


class RequestParser:
    """One connection's stream of requests.

    `error` is None, or what ended the stream; then nothing more is parsed. `long` becomes true when an argument may
    have exceeded `limits.key`: only the caller knows which arguments are keys, and sets it back.
    """

    __slots__ = (
        "_alone",
        "_args",
        "_authenticated",
        "_buffer",
        "_bulk",
        "_idle",
        "_limits",
        "_missing",
        "_reader",
        "_refused",
        "_size",
        "_skip",
        "_whole",
        "error",
        "long",
    )

    def __init__(self, limits: Limits, authenticated: bool = True) -> None:
        self.error: str | None = None
        self.long = False
        self._limits = limits
        self._reader = hiredis.Reader()
        self._idle = True  # nothing of an unfinished request is kept
        self._buffer = bytearray()  # unparsed bytes
        self._args: list[bytes] | None = None  # what has been read of an unfinished `*` request, None between requests
        self._missing = 0  # arguments still to come
        self._bulk = -1  # length of the argument being read, -1 before its header
        self._skip = 0  # bytes still to come of an argument that is too long
        self._size = 0  # bytes the unfinished request has announced so far
        self._refused: str | None = None
        self.authenticated(authenticated)

    def relimit(self, limits: Limits) -> None:
        """Other limits hold from now on."""
        self._limits = limits
        self.authenticated(self._authenticated)

    def authenticated(self, truth: bool) -> None:
        """Whether AUTH has succeeded: before, requests must be small. Use `feed_one` until then."""
        self._authenticated = truth
        # The longest read that hiredis may have: no argument in it can exceed a limit.
        self._whole = min(self._limits.value, self._limits.request) if truth else 0
        self._alone = min(ALONE, self._whole, self._limits.key)

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The requests that `data` completes, in order, none of them empty. May set `error`; those before it count."""
        if self._idle:
            size = len(data)
            if size <= self._alone:
                shape = _shapes.of[size]
                if shape is not None:
                    pieces = shape[0](data)
                    if pieces[0::2] == shape[1]:
                        return [[*pieces[1::2]]]
                    _shapes.of[size] = None
                head, *parts = data.split(b"\r\n", ALONE_LINES)
                # $3 SET $1 k $1 v and nothing: counts and arguments take turns, and nothing follows.
                args = parts[1::2]
                if args and head == _STARS[len(args)] and parts[0::2] == [*map(_dollar, map(len, args)), b""]:
                    _shapes.learn(args, size)
                    return [args]
            elif size >= LARGE and self._whole:
                return self._large(data)
            return self._several(data)
        requests: list[list[bytes]] = []
        if self.error is None:
            # Once the unfinished request is complete, hiredis may have the rest.
            self._exact(data, requests, once=True)
            if requests and self._buffer:
                rest = bytes(self._buffer)
                self._buffer.clear()
                self._idle = True
                requests += self.feed(rest)
        return requests

    def _several(self, data: bytes) -> list[list[bytes]]:
        """Many requests in one read, or an unusual one."""
        requests: list[list[bytes]] = []
        if 0 < len(data) <= self._whole and data[0] == _STAR and _many(data) is None:
            odd = _odd(data)
            if not (odd and _foreign(data)):
                self._quick(data, requests, odd)
                return requests
        self._exact(data, requests)
        return requests

    def _large(self, data: bytes) -> list[list[bytes]]:
        """Large values are stepped over: looking at their every byte would cost more than all the rest."""
        requests: list[list[bytes]] = []
        at = 0
        while at < len(data):
            args, end = _whole_request(data, at)
            if 0 < end < at + LARGE:
                return requests + self._several(data[at:] if at else data)
            longest = max(map(len, args), default=0)
            if end == 0 or longest > self._limits.value or end - at > self._limits.request:
                self._exact(data[at:] if at else data, requests)
                break
            self.long |= longest > self._limits.key
            requests.append(args)
            at = end
        return requests

    def feed_one(self, data: bytes) -> list[bytes] | None:
        """Take in `data` and return the next request alone; call it with b"" until it returns None."""
        requests: list[list[bytes]] = []
        if self.error is None:
            self._exact(data, requests, once=True)
        return requests[0] if requests else None

    # -- what arrives whole

    def _quick(self, data: bytes, requests: list[list[bytes]], odd: bool) -> None:
        if len(data) > self._limits.key:
            self.long = True
        reader = self._reader
        gets = reader.gets
        whole = False
        try:
            reader.feed(data + _SENTINEL)
            while request := gets():
                _join(request)  # raises unless every argument is bytes
                requests.append(request)
            whole = request == [] and not reader.has_data()
        except (hiredis.ProtocolError, TypeError, MemoryError):
            pass
        if whole and not odd:
            return
        end = _fit(requests, len(data))
        if odd and not data.startswith(_spelled(requests)):
            requests.clear()  # behind a badly ended argument hiredis took for a string what is none
            end = 0
        elif whole and end == len(data):
            return
        self._reader = hiredis.Reader()
        self._exact(data[end:], requests)

    # -- Redis's grammar

    def _exact(self, data: bytes, requests: list[list[bytes]], once: bool = False) -> None:
        """Parse all that can be parsed; with `once` no further than the end of the first request."""
        buffer = self._buffer
        buffer += data
        at = 0
        while self.error is None and not (once and requests):
            if self._args is None:
                if at == len(buffer):
                    break
                after = self._count(at) if buffer[at] == _STAR else self._inline(at, requests)
            elif self._skip:
                after = self._over(at, self._args, requests)
            elif self._bulk < 0:
                after = self._header(at)
            else:
                after = self._argument(at, self._args, requests)
            if after < 0:
                break
            at = after
        del buffer[:at]
        if self.error is not None:
            buffer.clear()
            self._args = None
        self._idle = self._args is None and not buffer and self.error is None

    def _fail(self, error: str) -> int:
        self.error = error
        return -1

    def _line(self, at: int, what: str) -> int:
        """Where the line that begins at `at` ends (at its CR), -1 if that has not come yet or never will."""
        end = self._buffer.find(b"\r", at, at + LINE_LIMIT + 1)
        if end < 0:
            return self._fail(f"ERR Protocol error: {what}") if len(self._buffer) - at > LINE_LIMIT else -1
        return end if end + 2 <= len(self._buffer) else -1

    def _count(self, at: int) -> int:
        """`*N`: a request of N arguments begins; N below 1 is nothing."""
        end = self._line(at, "too big mbulk count string")
        if end < 0:
            return -1
        count = _parse(self._buffer[at + 1 : end])
        if count is None or count > MAX_ARGUMENTS:
            return self._fail("ERR Protocol error: invalid multibulk length")
        if count > UNAUTHENTICATED_ARGUMENTS and not self._authenticated:
            return self._fail("ERR Protocol error: unauthenticated multibulk length")
        if count > 0:
            self._args = []
            self._missing = count
            self._size = end + 2 - at
        return end + 2

    def _header(self, at: int) -> int:
        """`$N`: an argument of N bytes follows."""
        end = self._line(at, "too big bulk count string")
        if end < 0:
            return -1
        if self._buffer[at] != _DOLLAR:
            found = printable(bytes(self._buffer[at : at + 1]))
            return self._fail(f"ERR Protocol error: expected '$', got '{found}'")
        size = _parse(self._buffer[at + 1 : end])
        if size is None or not 0 <= size <= MAX_BULK:
            return self._fail("ERR Protocol error: invalid bulk length")
        if size > UNAUTHENTICATED_BULK and not self._authenticated:
            return self._fail("ERR Protocol error: unauthenticated bulk length")
        self._size += end + 2 - at + size + 2
        if self._size > self._limits.request:
            return self._fail(request_too_long(self._size, self._limits.request))
        if size > self._limits.key:
            self.long = True
        if size > self._limits.value:
            self._refused = value_too_long(size, self._limits.value)
            self._skip = size + 2
        else:
            self._bulk = size
        return end + 2

    def _argument(self, at: int, args: list[bytes], requests: list[list[bytes]]) -> int:
        """The bytes of an argument and two more, whatever those are (as Redis)."""
        end = at + self._bulk
        if end + 2 > len(self._buffer):
            return -1
        if self._bulk < LARGE:
            args.append(bytes(self._buffer[at:end]))
        else:
            with memoryview(self._buffer) as view:
                args.append(bytes(view[at:end]))  # copied once
        self._bulk = -1
        self._ended(args, requests)
        return end + 2

    def _over(self, at: int, args: list[bytes], requests: list[list[bytes]]) -> int:
        """Bytes of an argument that is too long: dropped as they come."""
        dropped = min(self._skip, len(self._buffer) - at)
        if dropped == 0:
            return -1
        self._skip -= dropped
        if self._skip == 0:
            self._ended(args, requests)
        return at + dropped

    def _ended(self, args: list[bytes], requests: list[list[bytes]]) -> None:
        self._missing -= 1
        if self._missing == 0:
            requests.append(args if self._refused is None else RefusedRequest(self._refused))
            self._args = self._refused = None

    def _inline(self, at: int, requests: list[list[bytes]]) -> int:
        """A line of words, as people type it."""
        end = self._buffer.find(b"\n", at, at + LINE_LIMIT + 1)
        if end < 0:
            if len(self._buffer) - at > LINE_LIMIT:
                return self._fail("ERR Protocol error: too big inline request")
            return -1
        size = end + 1 - at
        if size > self._limits.request:
            return self._fail(request_too_long(size, self._limits.request))
        words = split_words(bytes(self._buffer[at:end]))
        if words is None:
            return self._fail("ERR Protocol error: unbalanced quotes in request")
        if words:
            if words[0].lower() in HTTP_WORDS:
                return self._fail("ERR Protocol error: this is HTTP, and only RESP is spoken here")
            longest = max(map(len, words))
            self.long |= longest > self._limits.key
            refused = longest > self._limits.value
            requests.append(RefusedRequest(value_too_long(longest, self._limits.value)) if refused else words)
        return end + 1


def _odd(data: bytes) -> bool:
    """Whether there is any of `+=(>~|%`: seven searches for a byte, where a pattern would look at each byte."""
    return 43 in data or 61 in data or 40 in data or 62 in data or 126 in data or 124 in data or 37 in data


def _parse(text: bytes | bytearray) -> int | None:
    """A count as strictly as Redis reads it."""
    return int(text) if _number(text) is not None else None


def _whole_request(data: bytes, at: int) -> tuple[list[bytes], int]:
    """The request that begins at `at`, and where it ends; 0 if it is unfinished, or not what clients send."""
    args: list[bytes] = []
    end = data.find(b"\r\n", at, at + HEADER)
    count = _parse(data[at + 1 : end]) if end > 0 and data[at] == _STAR else None
    at = end + 2
    for _ in range(count or 0):
        end = data.find(b"\r\n", at, at + HEADER)
        size = _parse(data[at + 1 : end]) if end > 0 and data[at] == _DOLLAR else None
        if size is None or size < 0 or end + 4 + size > len(data):
            return [], 0
        at = end + 4 + size
        args.append(data[end + 2 : at - 2])
    return (args, at) if args else ([], 0)


def _fit(requests: list[list[bytes]], size: int) -> int:
    """Drop the requests that reach beyond `size` bytes of a stream that begins with them; return where the others end.

    Counts have one spelling alone, so the length of a request on the wire follows from its arguments.
    """
    end = 0
    for number, request in enumerate(requests):
        after = end + len(b"*%d\r\n" % len(request))
        for arg in request:
            length = len(arg)
            after += length + (6 if length < 10 else 7 if length < 100 else 5 + len(str(length)))
        if after > size:
            del requests[number:]
            break
        end = after
    return end


def _spelled(requests: list[list[bytes]]) -> bytes:
    """The requests as clients write them."""
    return _join([part for args in requests for part in (b"*%d\r\n" % len(args), *map(_bulk, args))])


def _bulk(arg: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(arg), arg)


_ESCAPES: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}
_word_end = re.compile(rb"[ \n\r\t\"']").search
_quoted = re.compile(rb'"((?:[^"\\]|\\.)*)"(?=[ \t\n\v\f\r]|\Z)', re.DOTALL).match
_single = re.compile(rb"'((?:[^'\\]|\\'|\\(?!'))*)'(?=[ \t\n\v\f\r]|\Z)", re.DOTALL).match
_escape = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)


def split_words(line: bytes) -> list[bytes] | None:
    """The words of an inline command as Redis's `sdssplitargs` sees them; None if its quotes are unbalanced."""
    words: list[bytes] = []
    at = 0
    size = len(line)
    while True:
        while at < size and line[at : at + 1].isspace():
            at += 1
        if at == size:
            return words
        word = b""
        while at < size and line[at : at + 1] not in b" \n\r\t":
            char = line[at : at + 1]
            if char in b"\"'":
                match = _quoted(line, at) if char == b'"' else _single(line, at)
                if match is None:
                    return None
                inner: bytes = match[1]
                word += _escape.sub(_unescape, inner) if char == b'"' else inner.replace(b"\\'", b"'")
                at = match.end()
                break
            found = _word_end(line, at)
            end = found.start() if found is not None else size
            word += line[at:end]
            at = end
        words.append(word)


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if len(code) == 3:
        return bytes([int(code[1:], 16)])
    return _ESCAPES.get(code, code)
