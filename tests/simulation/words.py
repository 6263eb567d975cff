"""Messages between replicas in words, for traces and transcripts."""

from __future__ import annotations

from collections.abc import Iterable

from crdt.codec import decode_frame, decode_rows
from crdt.dots import Actor
from crdt.frame import Frame, Group
from crdt.replica import messages
from crdt.replica.messages import (
    Ack,
    Compare,
    Delta,
    Differ,
    Hello,
    More,
    Piece,
    Presence,
    Probe,
    Pull,
    Repair,
    Rows,
    Want,
)  # fmt: skip


def describe(data: bytes, sender: str) -> str:
    """One line."""
    message = messages.decode(data, sender)
    if isinstance(message, Delta):
        return f"DELTA {', '.join(frame(decode_frame(data)) for data in message.frames)}"
    if isinstance(message, Hello):
        asked = f" asks {', '.join(message.asked)} for {message.ask}" if message.ask else ""
        return f"HELLO {actor(message.actor)} at {message.seq}, sum {message.vector_sum}{asked}"
    if isinstance(message, Ack):
        return f"ACK {actor(message.actor)} up to {message.seq}"
    if isinstance(message, Presence):
        return "PRESENCE online" if message.online else "PRESENCE offline"
    if isinstance(message, Pull):
        held = "".join(f", holding {actor(a)} {first}-{last}" for a, first, last in message.held)
        return f"PULL from {vector(message.vector)}{held}"
    if isinstance(message, Repair):
        frames = ", ".join(frame(decode_frame(data)) for data in message.frames) or "nothing"
        end = "" if not message.total else ", that was all" if message.complete else ", there is more"
        return f"REPAIR {frames}{end}"
    if isinstance(message, Piece):
        what = {messages.FRAME: "a frame", messages.LETTER: "a message", messages.ROW: "a row"}.get(
            message.stream, "the list of a snapshot"
        )
        if message.stream >= messages.RESERVED and not message.total:
            return "PIECE none: there is no such snapshot"
        return f"PIECE {message.index + 1} of {message.total} of {what}"
    if isinstance(message, Want):
        if not message.spans:
            return "WANT nothing more"
        return f"WANT {', '.join(f'{actor(a)} {first}-{last}' for a, first, last in message.spans)}"
    if isinstance(message, Rows):
        items = [rows(a, decode_rows(data)) for a, _, _, data in message.items]
        return f"ROWS {', '.join(items) or 'nothing'}{', that was all' if message.final else ''}"
    if isinstance(message, More):
        lost = f", and again {', '.join(str(i + 1) for i in message.lost)}" if message.lost else ""
        return f"MORE of the list after piece {message.index}{lost}"
    if isinstance(message, Compare):
        parts = ", ".join(_part(*item[:3]) for item in message.items[:4])
        more = f" and {len(message.items) - 4} more" if len(message.items) > 4 else ""
        return f"COMPARE my rows with yours: {parts}{more}"
    if isinstance(message, Differ):
        held = f"; here stands {sum(map(bool, message.rows))} of them" if message.rows else ""
        return f"DIFFER {len(message.different)} of {message.answered}{held}"
    if isinstance(message, Probe):
        return "PROBE is anybody else here under my name?"
    return f"TAKEN yes, {'and clients rely on me' if message.acknowledged else 'but no client relies on me yet'}"


def _part(author: Actor, first: int, last: int) -> str:
    what = "all" if last == messages.ALL else str(first) if first == last else f"{first}-{last}"
    return f"{actor(author)} {what}"


def actor(name: Actor) -> str:
    """Short: the nonce's first 4 digits."""
    return f"{name.name}/{name.nonce >> 48:04x}"


def vector(entries: dict[Actor, int]) -> str:
    """Sorted by name."""
    return "{" + ", ".join(f"{actor(a)}: {n}" for a, n in sorted(entries.items())) + "}"


def frame(f: Frame) -> str:
    """Author, range, effects and what it depends on."""
    parts = [f"+{item}" for group in f.groups for item in _items(group)]
    parts += [f"-{actor(a)}:{_runs(seqs)}" for a, seqs in sorted(f.removes.items())]
    parts += [f"healing {actor(a)}:{seq}" for a, seq in dict.fromkeys((a, seq) for a, seq, _ in f.heals)]
    parts += [f"-range {b'/'.join(path[:1]).decode()} {vector(v)}" for path, v in f.ranges]
    shown = " ".join(parts[:4]) + (f" and {len(parts) - 4} more" if len(parts) > 4 else "")
    deps = f" after {vector(f.deps)}" if f.deps else ""
    return f"[{actor(f.actor)} {_runs(range(f.first, f.last + 1))}: {shown or 'nothing left'}{deps}]"


def rows(owner: Actor, groups: list[Group]) -> str:
    """Rows of an actor without a frame."""
    seqs = sorted(seq for group in groups for seq in group.seqs)
    return f"{actor(owner)}:{_runs(seqs)} ({', '.join(item for group in groups for item in _items(group)[:4])})"


def _items(group: Group) -> list[str]:
    payloads = group.payloads or [None] * len(group)
    keys = [name if group.key is None else group.key + b"/" + name for name in group.fields]
    values = ["" if p is None else f"={_said(p)}" if isinstance(p, bytes) else "=#" for p in payloads]
    return [_said(key) + value for key, value in zip(keys, values, strict=True)]


def _said(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def _runs(seqs: Iterable[int]) -> str:
    out: list[list[int]] = []
    for n in seqs:
        if out and out[-1][1] + 1 == n:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in out)
