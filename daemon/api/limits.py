"""The bounds one local client meets.

Knows numbers only; what happens at a bound is decided where it is met (`resp.py`, `dispatch.py`, `server.py`) and by
the commands that make values grow, through `check_value`. Must not know where the numbers come from.
"""

from __future__ import annotations

from dataclasses import dataclass

from crdt.errors import UsageError

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the API in bytes, and of connections in number; the defaults are those of the configuration."""

    key: int = 64 * KIB
    value: int = 1 * MIB
    request: int = 16 * MIB
    transaction: int = 64 * MIB
    reply_buffer: int = 64 * MIB
    clients: int = 1000

    def check_value(self, size: int) -> None:
        """Raise UsageError where a command would make a value of `size` bytes (APPEND, SETRANGE, SETBIT ...)."""
        if size > self.value:
            raise UsageError(value_too_long(size, self.value))

    def check_reply(self, size: int) -> None:
        """Raise UsageError where a short request names one value so often that its reply could not be sent."""
        if size > self.reply_buffer:
            raise UsageError(f"ERR reply of {size} bytes exceeds limits.reply_buffer ({self.reply_buffer})")


def value_too_long(size: int, limit: int) -> str:
    """The error text for a value of `size` bytes."""
    return f"ERR value of {size} bytes exceeds limits.value ({limit})"


def key_too_long(size: int, limit: int) -> str:
    """The error text for a key of `size` bytes."""
    return f"ERR key of {size} bytes exceeds limits.key ({limit})"


def request_too_long(size: int, limit: int) -> str:
    """The error text for a request that has announced `size` bytes; the connection closes after it."""
    return f"ERR request of {size} bytes exceeds limits.request ({limit})"
