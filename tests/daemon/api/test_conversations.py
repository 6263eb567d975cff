"""Whole conversations with a real Redis 7.0.15 and with us: every byte that comes back must be the same.

The conversations are in conversations.txt. What cannot be the same (paths, numbers of connections, times) is made equal
first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.api.requests import split_words
from tests import oracle
from tests.daemon.api.serving import Hub, encoded, serve

REASON = oracle.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
SHOWN = (b"name", b"flags", b"db", b"sub", b"psub", b"multi", b"events", b"cmd", b"user", b"redir", b"resp")
"""What a line of CLIENT LIST must have in common; the rest is numbers and memory."""
END = b"\x00the end\x00"


def _read() -> dict[str, tuple[bytes, bool]]:
    """The conversations of conversations.txt: the bytes to send, and whether the server hangs up."""
    found = {}
    for paragraph in Path(__file__).with_name("conversations.txt").read_text().split("\n== ")[1:]:
        title, _, body = paragraph.partition("\n")
        name, hangs_up = title.removesuffix(" (hangs up)"), title.endswith(" (hangs up)")
        requests = [split_words(line.encode()) for line in body.replace("\n", " ").split(" / ")]
        found[name] = (b"".join(encoded(*words) for words in requests if words), hangs_up)
    return found


CONVERSATIONS = _read()
MONITORED = "watched by a monitor"
BROKEN = [
    *(b"ECHO 'abc\r\n", b'ECHO "abc\\"\r\n', b"ECHO 'abc\\'\r\n", b"ECHO 'a'b\r\n", b'ECHO "a"b\r\n', b"x" * 70000),
    *(b"*x\r\n", b"*01\r\n$4\r\nPING\r\n", b"* 1\r\n", b"*\r\n", b"*2147483648\r\n", b"*" + b"1" * 70000),
    *(b"*1\r\nPING\r\n", b"*1\r\n:1\r\n", b"*1\r\n\r\n", b"*1\r\n\xff\r\n", b"*1\r\n" + b"x" * 70000),
    *(b"*1\r\n$x\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$04\r\nPING\r\n", b"*1\r\n$536870913\r\n", b"*1\r\n$" + b"1" * 70000),
    *(b"*1\r\n$4\r\nPING\r\n*1\r\n+PING\r\n", b"PING\r\n*x\r\nPING\r\n", b"*2\r\n$4\r\nECHO\r\n*1\r\n$1\r\na\r\n"),
]
"""What ends a connection."""
WHOLE = [
    *(b"PING\r\n", b"PING\n", b"\r\n\r\nPING\r\n", b"  PING  \r\n", b"*-1\r\nPING\r\n", b"*0\r\n*-5\r\nPING\r\n"),
    *(
        b'ECHO "a\\x41\\n\\"b\\xzz\\q"\r\n',
        b"ECHO 'a\\'b\\n'\r\n",
        b'ECHO ""\r\n',
        b'ECHO a"b c"\r\n',
        b"ECHO 'x'\x0b\r\n",
    ),
    *(b"ECHO a\tb\r\n", b"ECHO a\rb\r\n", b"ECHO \x0ba\x0bb\r\n", b"+PING\r\n", b">1\r\n$4\r\nPING\r\n"),
    *(b"*1\rX$4\r\nPING\r\n", b"*1\r\n$4\rXPINGab*1\r\n$4\r\nPING\r\n", b"*2\r\n$0\r\n\r\n$1\r\na\r\n"),
    b"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
]
"""Unusual, and yet requests."""


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    with oracle.redis_server() as path:
        yield path


async def converse(path: str, data: bytes, hangs_up: bool = False) -> bytes:
    """Everything that comes back, up to the answer of a last ECHO or until the server hangs up."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data if hangs_up else data + encoded(b"ECHO", END))
    back = b""
    while END not in back:
        more = await asyncio.wait_for(reader.read(1 << 16), 10)
        if not more:
            back += b"<end>"
            break
        back += more
    writer.close()
    return back


def alike(data: bytes) -> bytes:
    """Without what cannot be the same."""
    data = re.sub(rb"unix:[^\]]*\]", b"unix]", data)
    data = re.sub(rb"\$2\r\nid\r\n:\d+", b"id", data)
    data = re.sub(rb"\$\d+\r\n\d{10}\r\n\$\d+\r\n\d+\r\n", b"time", data)
    data = re.sub(rb"\d{10}\.\d{6}", b"time", data)
    return re.sub(rb"[=$]\d+\r\n(txt:)?id=[^\n]*\n", _line, data)


def _line(match: re.Match[bytes]) -> bytes:
    fields = match[0].split()
    return b" ".join(field for field in fields if field.partition(b"=")[0] in SHOWN)


async def both(redis: str, tmp_path: Path, data: bytes, hangs_up: bool) -> tuple[bytes, bytes]:
    await converse(redis, encoded("FLUSHALL"))
    async with serve(tmp_path / "s", Hub(spaces=16)) as serving:
        return alike(await converse(redis, data, hangs_up)), alike(await converse(str(serving.path), data, hangs_up))


@pytest.mark.parametrize("name", [name for name in CONVERSATIONS if name != MONITORED])
async def test_every_byte_is_redis(redis: str, tmp_path: Path, name: str) -> None:
    theirs, ours = await both(redis, tmp_path, *CONVERSATIONS[name])
    assert ours == theirs


@pytest.mark.parametrize("data", [*BROKEN, *WHOLE], ids=lambda data: repr(data[:30]))
async def test_grammar_is_redis(redis: str, tmp_path: Path, data: bytes) -> None:
    theirs, ours = await both(redis, tmp_path, data, data in BROKEN)
    assert ours == theirs


async def test_what_a_monitor_sees_of_others(redis: str, tmp_path: Path) -> None:
    async def watch(path: str) -> bytes:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(encoded("MONITOR"))
        assert await reader.readline() == b"+OK\r\n"
        await converse(path, *CONVERSATIONS[MONITORED])
        writer.write(encoded(b"ECHO", END))
        seen = b""
        while END not in seen:
            seen += await asyncio.wait_for(reader.read(1 << 16), 10)
        writer.close()
        return alike(seen)

    async with serve(tmp_path / "s", Hub(spaces=16)) as serving:
        assert await watch(str(serving.path)) == await watch(redis)


def test_a_difference_would_be_seen() -> None:
    assert alike(b"+OK\r\n") != alike(b"-ERR\r\n")
    assert alike(b"$20\r\nid=1 name=a flags=U\n\r\n") != alike(b"$20\r\nid=2 name=a flags=N\n\r\n")
    assert alike(b"$20\r\nid=1 name=a age=3\n\r\n") == alike(b"$20\r\nid=2 name=a age=4\n\r\n")
