"""The only place where a topic is spelled.

    {prefix}/v1/{space}/b/{replica}/{d|h|p}    broadcast: deltas, hello, presence
    {prefix}/v1/{space}/i/{to}/{from}          inbox of one replica
    {prefix}/v1/_/b/{replica}/p                presence of a daemon in all its spaces; no space can be named so

Knows: the layout above and which names may stand in it; a broker's ACL can be written against it (see README.md).
Promises: what `parse` returns is inside the two filters of one of our own spaces, and its sender is the topic's.
Must not know: brokers, payloads.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from transport.interface import BROADCAST_LANES, EVERYWHERE, INBOX, PRESENCE

VERSION = "v1"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PARSE_CACHE = 4096


class Address(NamedTuple):
    """Where a message came from, as far as its topic tells."""

    space: str
    lane: str
    sender: str


def check_name(name: str, what: str) -> str:
    """Returns `name`; ValueError says what the `what` ("replica", "space", "prefix") has to look like."""
    if NAME.fullmatch(name) is None:
        raise ValueError(
            f"{what} name {name!r} is not allowed:"
            " 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter or digit"
        )
    return name


class Topics:
    """The topics of one replica in its spaces."""

    def __init__(self, prefix: str, replica: str, spaces: tuple[str, ...]) -> None:
        """Raises ValueError if a name is not allowed or there is no space."""
        if not spaces:
            raise ValueError("a transport needs at least one space")
        check_name(prefix, "prefix")
        self.replica = check_name(replica, "replica")
        self.spaces = tuple(check_name(space, "space") for space in spaces)
        self._root = f"{prefix}/{VERSION}/"
        self._broadcast = {
            (space, lane): f"{self._root}{space}/b/{replica}/{lane}"
            for space in self.spaces
            for lane in BROADCAST_LANES
        }
        self._broadcast[EVERYWHERE, PRESENCE] = f"{self._root}{EVERYWHERE}/b/{replica}/{PRESENCE}"
        # The topics seen repeat for ever: two per peer and lane. The bound is against a broker that makes them up.
        self._parsed: dict[str, Address | None] = {}

    def build(self, space: str, lane: str, to: str | None) -> str:
        """The topic to publish on. ValueError: unknown space or lane, a bad name, `to` where it does not belong."""
        if to is None:
            topic = self._broadcast.get((space, lane))
            if topic is None:
                raise ValueError(f"no broadcast topic for space {space!r}, lane {lane!r}")
            return topic
        if lane != INBOX or space not in self.spaces:
            raise ValueError(f"no inbox topic for space {space!r}, lane {lane!r}")
        return f"{self._root}{space}/i/{check_name(to, 'replica')}/{self.replica}"

    def broadcast_filters(self) -> list[str]:
        """What to subscribe to with "no local" where the broker has it, one filter per space."""
        return [f"{self._root}{space}/b/+/+" for space in self.spaces]

    def daemon_filter(self) -> str:
        """What to subscribe to besides, if the broker lets us: without it, peers that vanish are noticed later."""
        return f"{self._root}{EVERYWHERE}/b/+/{PRESENCE}"

    def inbox_filters(self) -> list[str]:
        """What to subscribe to without "no local": our own echo probe comes back on the first of them."""
        return [f"{self._root}{space}/i/{self.replica}/+" for space in self.spaces]

    def probe(self) -> str:
        """Our own inbox, written by ourselves: allowed by the ACL that allows inboxes at all."""
        return self.build(self.spaces[0], INBOX, self.replica)

    def parse(self, topic: str) -> Address | None:
        """Who sent it on which lane; None for every topic outside our filters (some brokers send those as well)."""
        try:
            return self._parsed[topic]
        except KeyError:
            pass
        if len(self._parsed) >= _PARSE_CACHE:
            self._parsed.clear()
        address = self._parsed[topic] = self._parse(topic)
        return address

    def _parse(self, topic: str) -> Address | None:
        if not topic.startswith(self._root):
            return None
        parts = topic[len(self._root) :].split("/")
        if len(parts) != 4 or (parts[0] not in self.spaces and parts[0] != EVERYWHERE):
            return None
        space, kind, third, fourth = parts
        if space == EVERYWHERE and (kind, fourth) != ("b", PRESENCE):
            return None
        if kind == "b":
            sender, lane = third, fourth
            known = lane in BROADCAST_LANES
        else:
            sender, lane = fourth, INBOX
            known = kind == "i" and third == self.replica
        if not known or NAME.fullmatch(sender) is None:
            return None
        return Address(space, lane, sender)


def matches(pattern: str, topic: str) -> bool:
    """Whether an MQTT filter (with `+` and a final `#`) covers a topic; for brokers made of memory."""
    levels, parts = pattern.split("/"), topic.split("/")
    if levels[-1] == "#":
        levels = levels[:-1]
        parts = parts[: len(levels)]
    return len(levels) == len(parts) and all(a in ("+", b) for a, b in zip(levels, parts, strict=True))
