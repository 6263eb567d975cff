"""What can happen to a replica, as values. Named in the past tense; a replica answers each with effects."""

from __future__ import annotations

from dataclasses import dataclass

from crdt.joining import Joining


@dataclass(frozen=True, slots=True)
class Received:
    """A message arrived. `sender` is the replica name of its topic, `inbox` whether it was sent to us alone."""

    sender: str
    inbox: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline passed, or may have."""


@dataclass(frozen=True, slots=True)
class Persisted:
    """Everything up to and including `Persist(batch)` is on disk as safely as the durability setting asks."""

    batch: int


@dataclass(frozen=True, slots=True)
class Merged:
    """`Join` was carried out up to its last step; `whole` False: its checkpoint could not be written."""

    joining: Joining
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Connected:
    """A way to the peers opened (again): what was sent before may not have arrived."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """No way to any peer is left. `session` names the next one (0: the replica draws it), so that copies of a machine
    that was cloned while it ran can tell each other apart: a clone has to connect anew.
    """

    session: int = 0


Event = Received | Tick | Persisted | Merged | Connected | Disconnected
