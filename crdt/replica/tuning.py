"""What of the engine can be set. Times are seconds, sizes bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    """One replica's settings; the defaults suit a handful of daemons on one network."""

    interval: float = 0.2
    """How often new operations are published; 0 = as soon as they are stored. Longer saves bytes."""
    heartbeat: float = 5.0
    """Period of HELLO with few peers. `hello_period` stretches it."""
    crowd: int = 20
    """With more peers than this HELLO slows down: the space as a whole says no more than crowd / heartbeat a second."""
    max_message: int = 64 * 1024
    """Nothing larger is handed to the transport; larger frames travel in pieces."""
    repair_budget: int = 512 * 1024
    """Bytes of frames that one PULL is answered with; the asker asks again for more."""
    pull_timeout: float = 3.0
    """The longest time to wait for one answer; the usual time follows from those that came. Another peer is asked after
    several."""
    held_bytes: int = 64 * 1024 * 1024
    """Received frames that wait for what they depend on; beyond it the newest are dropped and pulled again later."""
    held_time: float = 30.0
    """How long they wait; things in pieces, how long for the next piece."""
    frame_bytes: int = 256 * 1024 * 1024
    """One thing in pieces may take so much though it is beyond held_bytes: four times what clients may put into one
    transaction, because rows may take more than the commands that made them. Larger ones are never applied here."""
    short_vector: int = 64
    """A vector with more entries than this is sent whole only where it is not clear what is missing."""
    bridges: bool = False
    """Whether this daemon sits on several brokers: it says HELLO soon after it learned something, because peers on the
    one hear nothing of what is said on the other."""
    actors: int = 100_000
    """With more actors than this, frames of unknown ones are taken only from peers that have applied them."""
    max_drift_ms: int = 60_000
    """Peers' clocks further off than this are reported; an own clock further off than this from the median of all is
    corrected for what expires, and then removes nothing."""
    grace: float = 60.0
    """How long the rows of an expired key stay, at least 3 heartbeats: an extension has to arrive within it."""
    durable: bool = True
    """Whether ACK waits for the commit."""
    transfers: int = 2
    """Snapshots that are sent at the same time."""
    window_bytes: int = 1024 * 1024
    """Of a snapshot, in flight; 256 messages at most."""
    frozen_rows: int = 200_000
    """Rows kept for a snapshot although they died after it began; with more it is given up, and the asker begins anew
    with what it has by then."""

    @property
    def window(self) -> int:
        """Pieces of a snapshot in flight."""
        return min(256, max(4, self.window_bytes // self.max_message))

    def hello_period(self, peers: int) -> float:
        """Seconds between two HELLOs when so many `peers` are online: heartbeat * max(1, peers / crowd)."""
        return self.heartbeat * max(1.0, peers / self.crowd)
