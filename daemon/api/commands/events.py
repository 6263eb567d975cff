"""Publish and subscribe, and with it the keyspace events.

Knows channels and the framing of subscription replies, which are pushes in RESP3 and arrays in RESP2. Must not know
who publishes keyspace events (`daemon.api.database`).
"""

from __future__ import annotations

from collections.abc import Iterable

from crdt.errors import UsageError
from daemon.api.glob import compile_glob
from daemon.api.registry import command
from daemon.api.session import SUBSCRIBED, Session

_FLAGS = ("pubsub", "noscript", "loading", "stale")


@command("SUBSCRIBE channel [channel ...]", arity=-2, flags=_FLAGS, group="pubsub", summary="Listen to channels")
def subscribe(session: Session, args: list[bytes]) -> bytes:
    """One confirmation per channel. A RESP2 connection may then use few other commands."""
    replies = []
    for channel in args[1:]:
        if channel not in session.channels:
            session.channels[channel] = None
            session.server.channels.subscribe(channel, session)
        replies.append(_confirmation(session, b"subscribe", channel))
    return _confirmed(session, replies)


@command("PSUBSCRIBE pattern [pattern ...]", arity=-2, flags=_FLAGS, group="pubsub", summary="Listen to patterns")
def psubscribe(session: Session, args: list[bytes]) -> bytes:
    """One confirmation per pattern."""
    replies = []
    for pattern in args[1:]:
        if pattern not in session.patterns:
            session.patterns[pattern] = None
            session.server.channels.subscribe_pattern(pattern, session)
        replies.append(_confirmation(session, b"psubscribe", pattern))
    return _confirmed(session, replies)


@command("UNSUBSCRIBE [channel [channel ...]]", arity=-1, flags=_FLAGS, group="pubsub", summary="Stop listening")
def unsubscribe(session: Session, args: list[bytes]) -> bytes:
    """One confirmation per channel named, or per channel there was; one with nil if there was none."""
    replies = []
    for channel in args[1:] or list(session.channels):
        if channel in session.channels:
            del session.channels[channel]
            session.server.channels.unsubscribe(channel, session)
        replies.append(_confirmation(session, b"unsubscribe", channel))
    return _confirmed(session, replies or [_confirmation(session, b"unsubscribe", None)])


@command("PUNSUBSCRIBE [pattern [pattern ...]]", arity=-1, flags=_FLAGS, group="pubsub", summary="Stop listening")
def punsubscribe(session: Session, args: list[bytes]) -> bytes:
    """One confirmation per pattern named, or per pattern there was; one with nil if there was none."""
    replies = []
    for pattern in args[1:] or list(session.patterns):
        if pattern in session.patterns:
            del session.patterns[pattern]
            session.server.channels.unsubscribe_pattern(pattern, session)
        replies.append(_confirmation(session, b"punsubscribe", pattern))
    return _confirmed(session, replies or [_confirmation(session, b"punsubscribe", None)])


def _confirmation(session: Session, kind: bytes, name: bytes | None) -> bytes:
    resp = session.resp
    return resp.push(
        [resp.bulk(kind), resp.null if name is None else resp.bulk(name), resp.integer(session.subscriptions)]
    )


def _confirmed(session: Session, replies: Iterable[bytes]) -> bytes:
    """Send the confirmations and leave or enter the subscribed state."""
    if session.subscriptions:
        session.gate |= SUBSCRIBED
    else:
        session.gate &= ~SUBSCRIBED
    data = b"".join(replies)
    if session.executing:
        return data
    # They are pushes, so CLIENT REPLY does not silence them.
    session.push(data)
    return b""


@command(
    "PUBLISH channel message",
    arity=3,
    flags=("pubsub", "loading", "stale", "fast"),
    group="pubsub",
    summary="Post a message to a channel of this daemon",
)
def publish(session: Session, args: list[bytes]) -> bytes:
    """The number of clients of this daemon that received it; peers do not."""
    return session.resp.integer(session.server.channels.publish(args[1], args[2]))


@command(
    "PUBSUB CHANNELS [pattern]",
    arity=-2,
    flags=("pubsub", "loading", "stale"),
    group="pubsub",
    summary="List the channels that somebody listens to.",
)
def pubsub_channels(session: Session, args: list[bytes]) -> bytes:
    """Channels with subscribers; patterns do not count."""
    names: Iterable[bytes] = session.server.channels.channels
    if len(args) > 3:
        raise UsageError(
            "ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP."
        )
    if len(args) == 3:
        matches = compile_glob(args[2]).fullmatch
        names = [name for name in names if matches(name) is not None]
    return session.resp.bulks(names)


@command(
    "PUBSUB NUMSUB [channel [channel ...]]",
    arity=-2,
    flags=("pubsub", "loading", "stale"),
    group="pubsub",
    summary="Count the listeners of channels.",
)
def pubsub_numsub(session: Session, args: list[bytes]) -> bytes:
    """Channel, number of subscribers, and so on; a flat array in both versions of the protocol."""
    resp = session.resp
    channels = session.server.channels.channels
    parts = []
    for name in args[2:]:
        parts += [resp.bulk(name), resp.integer(len(channels.get(name, ())))]
    return resp.array(parts)


@command(
    "PUBSUB NUMPAT",
    arity=2,
    flags=("pubsub", "loading", "stale"),
    group="pubsub",
    summary="Count the patterns that somebody listens to.",
)
def pubsub_numpat(session: Session, args: list[bytes]) -> bytes:
    """Number of different patterns."""
    return session.resp.integer(len(session.server.channels.patterns))
