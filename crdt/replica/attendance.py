"""Who is here, as far as the broker tells: PRESENCE and last wills; and whether another daemon uses our name.

Promises: only hints are taken from it, never more than what HELLO says; what a broker kept, or says late, of a run of a
daemon that is over is not believed of the next one. Two daemons with one name find each other, and the later goes,
unless clients rely on it. Must not know: what peers have applied.

A connection has one last will. A daemon in several spaces leaves it where it holds for all of them (`everywhere`), with
one session for all; that such a daemon is here does not say in which spaces, that it is gone does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crdt.replica.effects import Alarm, Lane
from crdt.replica.messages import Presence, Probe, Taken

if TYPE_CHECKING:
    from crdt.replica.replica import Replica


QUIET: Final = 60.0  # seconds between two alarms about the same name
BETWEEN: Final = 0.1  # seconds between two answers to the probes of one session
ANSWERS: Final = 16  # in that time: a flood of probes shall not fill the queue, and not hide who says it once


class Attendance:
    """See the module."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._say_at = 0.0
        self._answered: dict[int, float] = {}  # the sessions whose probes were answered last, and when

    def on_presence(self, sender: str, message: Presence, now: float) -> None:
        """A daemon came or went."""
        replica = self._replica
        peers = replica.peers
        if sender == replica.name:
            self._on_own(message)
            return
        peer = peers.by_name.get(sender)
        if not message.online:
            if message.everywhere:
                peers.left(sender, message.session)
            if peer is not None and peer.present in (0, message.session):
                peer.offline = True
                replica.recovery.cancel(sender)
        elif message.everywhere:
            peers.gone.pop(sender, None)
            if peer is not None and peer.present == message.session:
                replica.heard(sender, now)
        elif peers.gone.get(sender) != message.session:
            peer = replica.heard(sender, now)
            peer.present = message.session

    def _on_own(self, message: Presence) -> None:
        """The late will of a session before ours, or the farewell of a second daemon under our name."""
        replica = self._replica
        if message.session != replica.session and not message.online and not message.everywhere and replica.connected:
            replica.out.send(Lane.PRESENCE, None, Presence(replica.session, True))

    def on_probe(self, sender: str, message: Probe, now: float) -> None:
        """Somebody starts under the name of `sender`."""
        replica = self._replica
        if sender == replica.name and message.session != replica.session and self._may_answer(message.session, now):
            replica.out.send(Lane.INBOX, replica.name, Taken(message.session, replica.session, replica.acknowledged))
            self._share(f"another daemon named {replica.name!r} started in this space; give it a name of its own", now)

    def _may_answer(self, session: int, now: float) -> bool:
        """Whether this one, and anybody, was not answered too often just now; then it counts as answered."""
        answered = self._answered
        while answered and next(iter(answered.values())) <= now - BETWEEN:
            del answered[next(iter(answered))]
        if session in answered or len(answered) >= ANSWERS:
            return False
        answered[session] = now
        return True

    def on_taken(self, sender: str, message: Taken, now: float) -> None:
        """Somebody was here under that name before."""
        replica = self._replica
        if sender == replica.name and message.probed == replica.session and message.session != replica.session:
            text = f"a live daemon named {replica.name!r} is in this space already; choose another --name"
            if replica.acknowledged:
                self._share(text, now)
            else:
                replica.out.order(Alarm("name_taken", text))

    def _share(self, text: str, now: float) -> None:
        """Say it now and then: one that ends with this is started again every second by what keeps it alive."""
        if now >= self._say_at:
            self._say_at = now + QUIET
            self._replica.out.order(Alarm("name_shared", text))
