"""The kinds of values a setting can have: durations, sizes, names, addresses, paths, switches.

Knows: how each kind is spelled in a flag, a variable and a TOML file, and how it is printed again. Promises: parsing
is pure and `shown(parse(text))` parses to the same value. Must not know: which settings exist, or pydantic: the
command line parses durations too, and must start fast.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(us|ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]+) ?(B|KiB|MiB|GiB)?")
# (factor, divisor) rather than one float: 700 / 1000 is the 0.7 a reader expects, 700 * 1e-3 is not.
_UNITS = {"us": (1, 1_000_000), "ms": (1, 1000), "s": (1, 1), "m": (60, 1), "h": (3600, 1), "d": (86400, 1)}
_BINARY = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


class Address(NamedTuple):
    """Where to listen. `host` is a name or an IP address without brackets; `port` 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its spelling alone: nothing is resolved, and an unknown name is not."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def duration(value: object) -> float:
    """Seconds from "200ms", "1.5h" or 0. A bare number other than 0 has no unit and is refused."""
    if value in ("0", 0) and not isinstance(value, bool):
        return 0.0
    if not isinstance(value, str) or not (match := _DURATION.fullmatch(value.strip())):
        raise ValueError
    factor, divisor = _UNITS[match[2]]
    return float(match[1]) * factor / divisor


def size(value: object) -> int:
    """Bytes from "64KiB", "4096" or 4096."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or not (match := _SIZE.fullmatch(value.strip())):
        raise ValueError
    return int(match[1]) * _BINARY[match[2] or "B"]


def name(value: object) -> str:
    """A replica, space or prefix name: it becomes a topic level and a file name."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError
    return value


def address(value: object) -> Address | None:
    """HOST:PORT or [V6]:PORT; the empty string means off."""
    if value is None or value == "":
        return None
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError
    host, colon, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError
    return Address(host, int(port))


def file_mode(value: object) -> int:
    """Permission bits from "0660", or from TOML's 0o660."""
    bits = int(value, 8) if isinstance(value, str) else value
    if not isinstance(bits, int) or isinstance(bits, bool) or not 0 <= bits <= 0o777:
        raise ValueError
    return bits


def path(value: object) -> Path:
    """An absolute path; `~` is the user's home, a relative one starts at the working directory."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError
    return Path(value).expanduser().absolute()


def optional_path(value: object) -> Path | None:
    """As `path`; the empty string means none."""
    return None if value is None or value == "" else path(value)


def optional_text(value: object) -> str | None:
    """Any text; the empty string means none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError
    return value


def switch(value: object) -> bool:
    """true or false, as TOML has them or as words in the environment."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def count(value: object) -> int:
    """A whole number, never a boolean."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError
    return int(value)


def rate(value: object) -> float:
    """A number per second, never a boolean."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    return float(value)


def shown_duration(seconds: float) -> str:
    """The shortest exact spelling: 0.2 -> "200ms"."""
    if not seconds:
        return "0"
    for unit in ("d", "h", "m", "s", "ms"):
        factor, divisor = _UNITS[unit]
        amount = round(seconds * divisor / factor, 9)
        if amount >= 1 and amount == int(amount):
            return f"{int(amount)}{unit}"
    return f"{seconds * 1_000_000:.3f}".rstrip("0").rstrip(".") + "us"


def shown_size(count: int) -> str:
    """The shortest exact spelling: 65536 -> "64KiB"."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _BINARY[unit] == 0:
            return f"{count // _BINARY[unit]}{unit}"
    return str(count)
