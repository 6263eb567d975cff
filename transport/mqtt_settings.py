"""The transport's own settings, checked; the program maps its configuration to these.

Knows: what a link needs, units in the names, a bound for each number. Promises: no secret appears in `repr`.
Must not know: files of settings, environment variables, flags.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from transport.topics import Topics
from transport.wire import DEFAULT_MAX_MESSAGE


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """One broker and how to be let in. `url` is only shown, so it must not contain a password."""

    url: str
    host: str
    port: int
    tls: bool = False
    username: str | None = None
    """None: the replica's name, which is what the ACL patterns in README.md expect."""
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """PEM; None: the system's certificate authorities."""
    cert_file: Path | None = None
    key_file: Path | None = None

    @classmethod
    def parse(cls, url: str, password: str | None = None) -> BrokerAddress:
        """From `mqtt://[user@]host[:port]` or `mqtts://...`; ValueError says what is wrong with it."""
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError("a broker is mqtt://host[:port] or mqtts://host[:port]")
        if parts.password is not None:
            raise ValueError("a password must not stand in a broker's URL: use a password file")
        tls = parts.scheme == "mqtts"
        port = parts.port or (8883 if tls else 1883)
        return cls(url, parts.hostname, port, tls, username=parts.username, password=password)

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Everything a transport over MQTT needs to know. Raises ValueError when a value is out of its bounds."""

    brokers: tuple[BrokerAddress, ...]
    """All are used at once; the first is not special."""
    replica: str
    spaces: tuple[str, ...]
    prefix: str = "gs"
    keepalive_seconds: int = 20
    """A dead peer's last will comes after 1.5 times this. 15 to 20 is a good value; at least 2."""
    max_message: int = DEFAULT_MAX_MESSAGE
    """Bytes of payload; at least 1 KiB, at most the strictest broker's limit."""
    messages_per_second: float = 0.0
    """Per broker, 0 = no limit. Bursts of one second's worth."""
    bytes_per_second: float = 0.0
    """Per broker, topic and payload, 0 = no limit. Bursts of one second's worth, at least one full message."""
    allow_plaintext: bool = False
    """Whether a password may travel unencrypted to another machine."""
    connect_timeout_seconds: float = 10.0
    """For the broker's answer to CONNECT and SUBSCRIBE."""
    probe_interval_seconds: float = 30.0
    """How often a link in use proves that what we publish comes back."""
    probe_timeout_seconds: float = 5.0
    """How long an echo may take before the link is called mute. More than the worst round trip under load."""
    retry_base_seconds: float = 0.5
    """The first retry comes within this; each further one within the double, up to `retry_max_seconds`."""
    retry_max_seconds: float = 30.0
    refused_retry_seconds: float = 180.0
    """A broker that says no is asked again this often: somebody may have corrected its password file."""

    def __post_init__(self) -> None:
        self.topics()
        if not self.brokers:
            raise ValueError("a transport needs at least one broker")
        if self.keepalive_seconds < 2:
            raise ValueError("keepalive must be at least 2 seconds")
        if self.max_message < 1024:
            raise ValueError("max_message must be at least 1024 bytes")
        if self.messages_per_second < 0 or self.bytes_per_second < 0:
            raise ValueError("a rate limit must not be negative")

    def topics(self) -> Topics:
        """The topics of this replica; ValueError if a name is not allowed."""
        return Topics(self.prefix, self.replica, self.spaces)
