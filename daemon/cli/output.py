"""How replies are printed: JSON, raw bytes, or as redis-cli does on a terminal.

Knows: shapes of replies. Promises: bytes that are no UTF-8 text survive in each form. Must not know: commands.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from daemon.cli.client import ErrorReply, Reply

_STATUS = {b"OK", b"PONG", b"QUEUED"}
_ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x07: "\\a", 0x08: "\\b"}


def to_json(reply: Reply) -> Any:
    """What json.dumps takes: text as string, other bytes as {"base64": ...}, a map whose keys are not all text as
    pairs.
    """
    if isinstance(reply, bytes):
        try:
            return reply.decode()
        except UnicodeDecodeError:
            return {"base64": b64encode(reply).decode()}
    if isinstance(reply, dict):
        pairs = [(to_json(key), to_json(value)) for key, value in reply.items()]
        return dict(pairs) if all(isinstance(key, str) for key, _ in pairs) else [list(pair) for pair in pairs]
    if isinstance(reply, list):
        return [to_json(item) for item in reply]
    if isinstance(reply, ErrorReply):
        return {"error": str(reply)}
    if isinstance(reply, float) and not isfinite(reply):
        # JSON has no infinity.
        return str(reply)
    return reply


def print_json(value: Any, *, indent: int | None = None) -> None:
    """One document on standard output, at once."""
    print(json.dumps(value, ensure_ascii=False, indent=indent), flush=True)


def write(data: bytes) -> None:
    """Bytes as they are on standard output, at once."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def raw(reply: Reply) -> bytes:
    """As `redis-cli --raw`: values as they are, one a line, nested ones flat; nil is an empty line."""
    if reply is None:
        return b""
    if isinstance(reply, bytes):
        return reply
    if isinstance(reply, dict):
        return b"\n".join(raw(item) for pair in reply.items() for item in pair)
    if isinstance(reply, list):
        return b"\n".join(raw(item) for item in reply)
    if isinstance(reply, float):
        return repr(reply).encode()
    return str(reply).encode()


def pretty(reply: Reply, prefix: str = "") -> str:
    """As redis-cli on a terminal: types shown, bytes quoted, arrays numbered and indented by `prefix`."""
    if reply is None:
        return "(nil)"
    if isinstance(reply, bytes):
        return reply.decode() if reply in _STATUS else quoted(reply)
    if isinstance(reply, ErrorReply):
        return f"(error) {reply}"
    if isinstance(reply, bool):
        return f"({str(reply).lower()})"
    if isinstance(reply, int):
        return f"(integer) {reply}"
    if isinstance(reply, float):
        return f"(double) {reply!r}"
    if isinstance(reply, dict):
        return _numbered([f"{pretty(key)} => {pretty(value, prefix + '   ')}" for key, value in reply.items()], prefix)
    width = len(str(len(reply)))
    return _numbered([pretty(item, prefix + " " * (width + 2)) for item in reply], prefix)


def _numbered(items: Sequence[str], prefix: str) -> str:
    if not items:
        return "(empty array)"
    width = len(str(len(items)))
    lines = [f"{number:>{width}}) {item}" for number, item in enumerate(items, 1)]
    # The first line stands behind what the caller has written already.
    return f"\n{prefix}".join(lines)


def quoted(data: bytes) -> str:
    """In double quotes, with everything that is not printable ASCII escaped, as redis-cli writes it."""
    return '"' + "".join(_ESCAPES.get(b) or (chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}") for b in data) + '"'


def plain(data: bytes) -> str:
    """As it is if it is printable text, else quoted: always one line."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return quoted(data)
    return text if text.isprintable() else quoted(data)


def table(rows: Iterable[Sequence[str]]) -> str:
    """Columns aligned to the left, two spaces between them."""
    lines = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in lines)
    return "\n".join(line.rstrip() for line in padded)
