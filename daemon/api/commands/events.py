"""SUBSCRIBE and its kin, and PUBLISH, which is local. Keyspace events are always on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from crdt.errors import UsageError
from daemon.api.glob import compile_glob
from daemon.api.registry import command
from daemon.api.session import SUBSCRIBED

if TYPE_CHECKING:
    from daemon.api.session import Session

ASKING = ("pubsub", "loading", "stale")
FLAGS = (*ASKING, "noscript")


def _confirm(session: Session, kind: bytes, name: bytes | None) -> bytes:
    resp = session.resp
    count = len(session.channels) + len(session.patterns)
    shown = resp.null if name is None else resp.bulk(name)
    return resp.push([resp.bulk(kind), shown, resp.integer(count)])


def _changed(session: Session) -> None:
    if session.channels or session.patterns:
        session.gate |= SUBSCRIBED
    else:
        session.gate &= ~SUBSCRIBED


@command(
    "SUBSCRIBE channel [channel ...]",
    arity=-2,
    flags=FLAGS,
    group="pubsub",
    summary="Listens for messages published to channels.",
)
def subscribe(session: Session, args: list[bytes]) -> bytes:
    out = []
    for channel in args[1:]:
        session.channels[channel] = None
        session.server.channels.subscribe(channel, session)
        out.append(_confirm(session, b"subscribe", channel))
    _changed(session)
    return b"".join(out)


@command(
    "PSUBSCRIBE pattern [pattern ...]", arity=-2, flags=FLAGS, group="pubsub",
    summary="Listens for messages published to channels that match patterns.",
)  # fmt: skip
def psubscribe(session: Session, args: list[bytes]) -> bytes:
    out = []
    for pattern in args[1:]:
        session.patterns[pattern] = None
        session.server.channels.subscribe_pattern(pattern, session)
        out.append(_confirm(session, b"psubscribe", pattern))
    _changed(session)
    return b"".join(out)


def _leave(session: Session, kind: bytes, held: dict[bytes, None], names: Iterable[bytes]) -> bytes:
    channels = session.server.channels
    leave = channels.unsubscribe if held is session.channels else channels.unsubscribe_pattern
    out = []
    for name in names:
        held.pop(name, None)
        leave(name, session)
        out.append(_confirm(session, kind, name))
    _changed(session)
    return b"".join(out) or _confirm(session, kind, None)


@command(
    "UNSUBSCRIBE [channel [channel ...]]",
    arity=-1,
    flags=FLAGS,
    group="pubsub",
    summary="Stops listening to messages posted to channels.",
)
def unsubscribe(session: Session, args: list[bytes]) -> bytes:
    return _leave(session, b"unsubscribe", session.channels, args[1:] or list(session.channels))


@command(
    "PUNSUBSCRIBE [pattern [pattern ...]]", arity=-1, flags=FLAGS, group="pubsub",
    summary="Stops listening to messages published to channels that match patterns.",
)  # fmt: skip
def punsubscribe(session: Session, args: list[bytes]) -> bytes:
    return _leave(session, b"punsubscribe", session.patterns, args[1:] or list(session.patterns))


@command(
    "PUBLISH channel message",
    arity=3,
    flags=("pubsub", "fast", "loading", "stale"),
    group="pubsub",
    summary="Posts a message to a channel.",
)
def publish(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(session.server.channels.publish(args[1], args[2]))


@command("PUBSUB CHANNELS [pattern]", arity=-2, flags=ASKING, group="pubsub", summary="Returns the active channels.")
def pubsub_channels(session: Session, args: list[bytes]) -> bytes:
    names = list(session.server.channels.channels)
    if len(args) > 3:
        raise UsageError("ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.")
    if len(args) > 2:
        expression = compile_glob(args[2])
        names = [name for name in names if expression.fullmatch(name)]
    return session.resp.bulks(names)


@command(
    "PUBSUB NUMSUB [channel [channel ...]]",
    arity=-2,
    flags=ASKING,
    group="pubsub",
    summary="Returns a count of subscribers to channels.",
)
def pubsub_numsub(session: Session, args: list[bytes]) -> bytes:
    resp, channels = session.resp, session.server.channels.channels
    out = []
    for name in args[2:]:
        out += [resp.bulk(name), resp.integer(len(channels.get(name, ())))]
    return resp.array(out)


@command(
    "PUBSUB NUMPAT", arity=2, flags=ASKING, group="pubsub", summary="Returns a count of unique pattern subscriptions."
)
def pubsub_numpat(session: Session, args: list[bytes]) -> bytes:
    return session.resp.integer(len(session.server.channels.patterns))
