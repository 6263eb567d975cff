"""What a replica knows of its peers: hints, as of the last message heard. Losing all of it costs time, never data."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Final

from crdt.dots import Actor

SILENT: Final = 3  # heartbeats in which one that is here is heard
MIN_TIMEOUT: Final = 0.1  # seconds: a daemon may be busy for that long
MOST: Final = 32  # timeouts after which the next one is no longer
LONGEST: Final = 10  # of the usual limits is the longest time to wait where answers have taken that long


@dataclass(slots=True)
class Peer:
    """One replica name in the space. Times are the shell's monotonic seconds."""

    name: str
    actor: Actor | None = None
    session: int = 0
    sessions: tuple[int, ...] = ()
    """The last few: several daemons of one name are not met anew with every HELLO."""
    shared_at: float = -float("inf")
    """When a HELLO last came of a session that was not the last one, and not new: two daemons speak by turns."""
    offline: bool = False
    last_seen: float = 0.0
    period: float = 5.0
    """Seconds between its HELLOs, as it says."""
    seq: int = 0
    vector_hash: int = 0
    vector_sum: int = 0
    state_hash: int | None = 0  # None: it cannot tell at the moment
    heard: bool = False
    """A HELLO of this session was heard."""
    skew_ms: int = 0
    acked: int = 0
    """How many operations of our present actor it has applied, from its ACKs and vectors."""
    differs_since: float | None = None
    """Since when its HELLOs differ from ours, and nothing has shown why."""
    present: int = 0
    """The session that last said it is here, by HELLO or presence; only that one can leave. 0: none did."""
    here_since: float = 0.0
    """When it was first heard after it had not been here."""
    diverged: int = 0
    """The session that said, at our vector, that it holds other rows, and has not taken it back; 0: none."""
    diverged_at: float = 0.0
    """When it last said so."""
    compared: int = 0
    """The session that last said what differs."""

    answers: bool = False
    """It answered what it was last asked: such peers are asked before all others, and are the last to be forgotten."""
    asked: int = 0
    """The number of the last question, while no answer has come."""
    asked_at: float = 0.0
    vain: int = 0
    """How often it was given up since it last answered: it may be given longer then, its answer may be under way."""
    ended: int = 0
    """The number of the last question of which the end of the answer has come."""
    rtt: float = 0.0
    """Smoothed seconds between a PULL and the first bytes of its answer; 0: none was seen yet."""
    rtt_deviation: float = 0.0

    def answered(self, seconds: float) -> None:
        """A question that was asked once was answered after this time (smoothed after RFC 6298)."""
        if not self.rtt:
            self.rtt, self.rtt_deviation = seconds, seconds / 4
        else:
            self.rtt_deviation += (abs(seconds - self.rtt) - self.rtt_deviation) / 4
            self.rtt += (seconds - self.rtt) / 8

    def timeout(self, silent: int, limit: float) -> float:
        """How long to wait for an answer after so many that did not come; at most `limit` seconds, unless those that
        came took longer: a link may need that for one message.
        """
        silent = min(silent, MOST)
        if not self.rtt:
            return float(min(limit / 10 * 1.5**silent, limit))
        first = min(max(MIN_TIMEOUT, self.rtt + 4 * self.rtt_deviation), LONGEST * limit)
        return float(max(first, min(first * 1.5**silent, limit)))

    def silent(self, now: float) -> bool:
        """Three of its heartbeats went by unheard."""
        return now - self.last_seen > SILENT * self.period

    def shared(self, now: float) -> bool:
        """Whether several daemons use this name: what one says of itself takes nothing back of what another said."""
        return now - self.shared_at <= SILENT * self.period

    def state(self, now: float) -> str:
        """online, silent or offline."""
        return "offline" if self.offline else "silent" if self.silent(now) else "online"


@dataclass(slots=True)
class Peers:
    """All known peers by name; a bounded table, the longest unheard go first."""

    limit: int = 10_000
    by_name: dict[str, Peer] = field(default_factory=dict)
    here: int = 0
    """About how many of them are online: counted with each HELLO, those that come in between are added."""
    gone: dict[str, int] = field(default_factory=dict)
    """The session of a daemon that has left all its spaces, until it is back."""

    def get(self, name: str, now: float) -> Peer:
        """The peer of this name, made when it is new."""
        peer = self.by_name.get(name)
        if peer is None:
            if len(self.by_name) >= self.limit:
                self._make_room(now)
            peer = self.by_name[name] = Peer(name, last_seen=now, here_since=now)
            self.here += 1
        return peer

    def _make_room(self, now: float) -> None:
        """Forget many at once: to look for the oldest costs a look at all, and strangers may come by the million.

        Those that have answered go last: strangers may speak more often than they.
        """
        oldest = nsmallest(
            max(1, self.limit // 16), self.by_name.values(), key=lambda p: (p.answers, p.last_seen, p.name)
        )
        for peer in oldest:
            del self.by_name[peer.name]
        self.count(now)

    def count(self, now: float) -> None:
        """Count anew who is here: names that are never heard again must not slow the others down."""
        self.here = sum(not peer.offline and not peer.silent(now) for peer in self.by_name.values())

    def left(self, name: str, session: int) -> None:
        """A daemon is gone, which may have been in this space."""
        self.gone.pop(name, None)
        if len(self.gone) >= self.limit:
            del self.gone[next(iter(self.gone))]
        self.gone[name] = session

    def online(self, now: float) -> list[Peer]:
        """Those heard of lately, in order of name."""
        return sorted((p for p in self.by_name.values() if not p.offline and not p.silent(now)), key=lambda p: p.name)
