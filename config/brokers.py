"""How a broker is reached, and what may be said to it: the layer `mqtt`.

Knows: broker URLs and tables, who we are there, and that a password does not travel in the clear. Promises: after
`resolved` every broker carries its own user, password and files, so whoever connects looks nowhere else. Must not
know: the MQTT client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from config.errors import Because
from config.kinds import Bytes, Listen, Name, OptionalPath, OptionalText, Rate, Seconds, Switch, Takes
from config.values import Address, is_loopback, optional_path, optional_text

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_TABLE = ("url", "username", "password_file", "ca_file", "cert_file", "key_file")
_TLS_FILES = ("ca_file", "cert_file", "key_file")


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker to connect to. `username` and what follows are None until `resolved` has filled in the layer's own."""

    host: str
    port: int
    tls: bool
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    password: SecretStr | None = None

    @property
    def url(self) -> str:
        """For people, logs and metrics: scheme, host and port; no user, no password."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{Address(self.host, self.port)}"

    @property
    def plaintext(self) -> bool:
        """Whether what is sent can be read on the way."""
        return not self.tls and not is_loopback(self.host)


def broker(value: object) -> Broker:
    """A URL, or a table with `url` and the broker's own user and files. Raises Because: the texts never repeat a URL
    that holds a password.
    """
    if isinstance(value, Broker):
        return value
    if isinstance(value, str):
        return _from_url(value)
    if not isinstance(value, Mapping) or not isinstance(value.get("url"), str):
        raise ValueError
    for key in value:
        if key not in _TABLE:
            raise Because(f"has no setting {key!r} in its tables, which take {', '.join(_TABLE)}")
    plain = _from_url(value["url"])
    for key in _TLS_FILES:
        if value.get(key) and not plain.tls:
            raise Because(f"gives {key} for {plain.url}, which is not encrypted: write mqtts://")
    return replace(
        plain,
        username=optional_text(value.get("username")) or plain.username,
        password_file=optional_path(value.get("password_file")),
        ca_file=optional_path(value.get("ca_file")),
        cert_file=optional_path(value.get("cert_file")),
        key_file=optional_path(value.get("key_file")),
    )


def _from_url(text: str) -> Broker:
    parts = urlsplit(text.strip())
    if parts.password is not None:
        raise Because(
            "has a password in a URL, where anybody may read it: use mqtt.password_file or GOSSAMER_MQTT__PASSWORD"
        )
    # `.port` raises ValueError by itself when it is no port.
    port = parts.port
    if (
        parts.scheme not in _PORTS
        or not parts.hostname
        or port == 0
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ValueError
    user = unquote(parts.username) if parts.username else None
    return Broker(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts", user)


class Mqtt(BaseModel):
    """The brokers and the traffic allowed to them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    brokers: Annotated[
        tuple[Annotated[Broker, BeforeValidator(broker)], ...],
        Takes("mqtt://[USER@]HOST[:PORT] or mqtts://..., several as a list"),
    ] = (Broker("127.0.0.1", 1883, tls=False),)
    """All of them are used at once; joins make what arrives twice harmless."""
    embedded: Annotated[Listen, Takes("HOST:PORT with a port above 0, or nothing for off")] = None
    """Run a broker in this process on that address and use it: for demos and tests, not for production."""
    prefix: Name = "gs"
    """First level of every topic."""
    username: OptionalText = None
    """For brokers that name none themselves; by default the replica's name, which ACL patterns can build on."""
    password: SecretStr | None = None
    """Only from GOSSAMER_MQTT__PASSWORD, or read from `password_file`."""
    password_file: OptionalPath = None
    ca_file: OptionalPath = None
    """PEM; by default the system's authorities."""
    cert_file: OptionalPath = None
    key_file: OptionalPath = None
    allow_plaintext: Switch = False
    """Allow a password over mqtt:// to another machine. Everybody on the way can read it."""
    keepalive: Annotated[Seconds, Field(ge=1, le=65535), Takes("a duration such as 20s, from 1s to 65535s")] = 20.0
    """A half-open link is noticed after one and a half of it."""
    max_message: Annotated[Bytes, Field(ge=1024, le=(256 << 20) - 1), Takes("a size from 1KiB to below 256MiB")] = (
        64 << 10
    )
    """Must be below the broker's own limit, which disconnects without a word; the strictest clouds take 120 KiB."""
    messages_per_second: Annotated[Rate, Field(ge=0)] = 0.0
    bytes_per_second: Annotated[Bytes, Field(ge=0), Takes("a size per second such as 512KiB, 0 for no limit")] = 0


def resolved(layer: Mqtt, replica: str, given: bool) -> Mqtt:
    """The layer with its brokers complete: the embedded one added (alone unless brokers were `given`), users, passwords
    and files filled in.

    `layer.password` must be set already if there is one. Raises Because with the name of the setting first.
    """
    brokers = layer.brokers
    if layer.embedded:
        if layer.embedded.port == 0:
            raise Because("mqtt.embedded takes HOST:PORT with a port above 0, so that other replicas can find it")
        own = Broker(
            {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(layer.embedded.host, layer.embedded.host),
            layer.embedded.port,
            False,
        )
        brokers = (own, *(b for b in brokers if b.url != own.url)) if given else (own,)
    complete = tuple(_complete(b, layer, replica) for b in brokers)
    for b in complete:
        if b.password and b.plaintext and not layer.allow_plaintext:
            raise Because(
                f"mqtt.brokers would send a password to {b.url} where everybody on the way can read it: "
                "write mqtts://, or set mqtt.allow_plaintext = true"
            )
    return layer.model_copy(update={"brokers": complete})


def _complete(broker: Broker, layer: Mqtt, replica: str) -> Broker:
    files = {key: getattr(broker, key) or getattr(layer, key) for key in _TLS_FILES} if broker.tls else {}
    for key, file in files.items():
        if file and not file.is_file():
            raise Because(f"mqtt.{key} takes the path of a PEM file, and there is none at {file}")
    password = read_secret("mqtt.brokers", broker.password_file) if broker.password_file else layer.password
    return replace(broker, username=broker.username or layer.username or replica, password=password, **files)


def read_secret(setting: str, file: Path) -> SecretStr:
    """The file's text without its line end. Raises Because if it cannot be read or is empty."""
    try:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Because(f"{setting} names {file}, which cannot be read: {reason}") from None
    if not text:
        raise Because(f"{setting} names {file}, which is empty: write the password into it")
    return SecretStr(text)
