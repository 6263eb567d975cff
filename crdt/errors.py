"""Errors by blame.

    Exception
    |-- UsageError          the caller asked for something that cannot be; nothing changed; `resp` is the answer
    |   |-- WrongTypeError  the key holds another type
    |   `-- NotANumberError, OverflowedError, NoSuchKeyError ...
    `-- PeerError           a peer sent something malformed; drop the message and count it; nothing changed

Anything else that leaves this package is our own defect: it is asserted, and it crashes loudly.
"""

from __future__ import annotations


class UsageError(Exception):
    """The caller's mistake. `resp` is the whole error text as Redis words it; state is unchanged."""

    def __init__(self, resp: str) -> None:
        super().__init__(resp)
        self.resp = resp


class WrongTypeError(UsageError):
    """A command for one type met a key of another."""

    def __init__(self) -> None:
        super().__init__("WRONGTYPE Operation against a key holding the wrong kind of value")


class NotANumberError(UsageError):
    """An increment met a value that is no number of the wanted kind."""

    def __init__(self, resp: str = "ERR value is not an integer or out of range") -> None:
        super().__init__(resp)


class OverflowedError(UsageError):
    """An increment would leave the signed 64-bit range."""

    def __init__(self) -> None:
        super().__init__("ERR increment or decrement would overflow")


class NoSuchKeyError(UsageError):
    """RENAME and the like on a key that does not exist."""

    def __init__(self) -> None:
        super().__init__("ERR no such key")


class PeerError(Exception):
    """A peer's message is malformed, oversized or claims what it may not. `reason` is a short word for the counter.

    Raised by decoders before anything is applied: state is unchanged.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
