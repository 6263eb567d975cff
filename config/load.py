"""Flags beat the environment, which beats the file, which beats the defaults.

Knows: how each source spells a setting, and which source won. Promises: either every value is checked and has an
origin, or one ConfigError names the source, the setting and what it takes; nothing is written anywhere. Must not
know: click, or what a setting is for.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, SecretStr, ValidationError

from config.brokers import read_secret, resolved
from config.errors import Because, ConfigError
from config.machine import Machine
from config.settings import LAYERS, SECRETS, Settings, is_list, takes

FLAGS = {
    "name": "replica.name",
    "space": "replica.spaces",
    "broker": "mqtt.brokers",
    "embedded_broker": "mqtt.embedded",
    "socket": "api.socket",
    "listen": "api.listen",
    "http": "api.http",
    "data_dir": "store.dir",
    "interval": "gossip.interval",
    "heartbeat": "gossip.heartbeat",
    "durability": "store.durability",
    "log_level": "log.level",
    "log_format": "log.format",
}
"""Flag, with underscores as click passes it, to setting. `config` is a flag too, but no setting."""

PREFIX = "GOSSAMER_"
DEFAULT = "default"
# Linux takes 108 bytes with the closing zero, the BSDs and macOS 104.
_SOCKET_PATH_MAX = 107 if sys.platform == "linux" else 103


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was decided, and why."""

    settings: Settings
    origin: dict[str, str]
    """Per "section.key" where its value came from: "default", a file's path, a variable's name or a flag."""
    file: Path | None
    """The configuration file that was read, if any."""


@dataclass(frozen=True, slots=True)
class _Given:
    value: object
    source: str


def load(flags: Mapping[str, object], environ: Mapping[str, str], machine: Machine | None = None) -> Loaded:
    """The settings of a daemon started with these flags in this environment.

    `flags` has the keys of FLAGS and "config"; None and () mean not given. Raises ConfigError.
    """
    machine = machine or Machine.here()
    file = config_file(flags, environ, machine)
    given = dict(_from_file(file)) if file else {}
    given.update(_from_environment(environ))
    given.update(_from_flags(flags))
    _add_defaults(given, environ, machine)
    try:
        settings = _complete(given, Settings(**{section: _layer(section, given) for section in LAYERS}))
    except Because as reason:
        setting = str(reason).split(" ", 1)[0]
        source = given[setting].source if setting in given else DEFAULT
        raise ConfigError(f"{source}: {reason}" if source != DEFAULT else str(reason)) from None
    origin = {s: given[s].source if s in given else DEFAULT for s in all_settings()}
    return Loaded(settings, origin, file)


def all_settings() -> Iterator[str]:
    """Every "section.key", in the order of the layers."""
    for section, layer in LAYERS.items():
        for key in layer.model_fields:
            yield f"{section}.{key}"


def config_file(flags: Mapping[str, object], environ: Mapping[str, str], machine: Machine) -> Path | None:
    """The file to read: the named one, which must then be there, or the usual one if it exists."""
    named = flags.get("config") or environ.get("GOSSAMER_CONFIG")
    if named:
        return Path(str(named)).expanduser()
    usual = machine.config_file(environ)
    return usual if usual.exists() else None


def _from_flags(flags: Mapping[str, object]) -> Iterator[tuple[str, _Given]]:
    for flag, value in flags.items():
        if flag != "config" and value not in (None, ()):
            yield FLAGS[flag], _Given(value, f"--{flag.replace('_', '-')}")


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, _Given]]:
    if environ.get("GOSSAMER_SOCKET"):
        yield "api.socket", _Given(environ["GOSSAMER_SOCKET"], "GOSSAMER_SOCKET")
    for variable in sorted(environ):
        # Without the double underscore it is none of ours: Kubernetes injects GOSSAMER_SERVICE_HOST and the like.
        section, separator, key = variable.removeprefix(PREFIX).partition("__")
        if not variable.startswith(PREFIX) or not separator:
            continue
        setting = f"{section.lower()}.{key.lower()}"
        _must_exist(setting, variable)
        text = environ[variable]
        value: object = [part.strip() for part in text.split(",") if part.strip()] if is_list(setting) else text
        yield setting, _Given(value, variable)


def _from_file(file: Path) -> Iterator[tuple[str, _Given]]:
    try:
        with file.open("rb") as stream:
            tables = tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}; name another file with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
    for section, table in tables.items():
        if section not in LAYERS or not isinstance(table, dict):
            _must_exist(section, str(file))
            raise ConfigError(f"{file}: {section} takes a table: write [{section}] and its settings below")
        for key, value in table.items():
            setting = f"{section}.{key}"
            _must_exist(setting, str(file))
            if setting in SECRETS:
                raise ConfigError(
                    f"{file}: {setting} takes no value in a file that is not secret: "
                    f"use {setting}_file, or {variable_of(setting)} in the environment"
                )
            if is_list(setting) and not isinstance(value, list):
                raise ConfigError(f"{file}: {setting} takes a list of {takes(setting)}, not {value!r}")
            yield setting, _Given(value, str(file))


def variable_of(setting: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + setting.upper().replace(".", "__")


def _must_exist(setting: str, source: str) -> None:
    section, _, key = setting.partition(".")
    if section not in LAYERS:
        raise ConfigError(f"{source}: there is no section {section!r}; the sections are {', '.join(LAYERS)}")
    fields = LAYERS[section].model_fields
    if key and key not in fields:
        near = get_close_matches(key, fields, 1)
        hint = f"{section} takes {', '.join(fields)}"
        if near:
            hint = f"did you mean {section}.{near[0]}, which takes {takes(f'{section}.{near[0]}')}?"
        raise ConfigError(f"{source}: there is no setting {setting}; {hint}")


def _add_defaults(given: dict[str, _Given], environ: Mapping[str, str], machine: Machine) -> None:
    """Those that depend on the machine or on the replica's name; the others stand in the models."""
    host = machine.host.split(".", 1)[0]
    name = str(given.setdefault("replica.name", _Given(host, DEFAULT)).value)
    # Checked before it becomes part of a path.
    _layer("replica", given)
    given.setdefault("api.socket", _Given(machine.run_dir(environ) / f"{name}.sock", DEFAULT))
    given.setdefault("store.dir", _Given(machine.state_dir(environ) / name, DEFAULT))
    given.setdefault("log.format", _Given("console" if machine.terminal else "json", DEFAULT))


def _layer(section: str, given: Mapping[str, _Given]) -> BaseModel:
    values = {s.partition(".")[2]: g.value for s, g in given.items() if s.startswith(f"{section}.")}
    try:
        return LAYERS[section].model_validate(values)
    except ValidationError as error:
        # `ctx` holds the parser's own exception.
        first = cast("dict[str, Any]", error.errors(include_url=False)[0])
        setting = f"{section}.{first['loc'][0]}"
        raise ConfigError(_refusal(setting, given[setting], first.get("ctx", {}).get("error"))) from None


def _refusal(setting: str, given: _Given, cause: object) -> str:
    if isinstance(cause, Because):
        return f"{given.source}: {setting} {cause}"
    if setting == "replica.name" and given.source == DEFAULT:
        return (
            f"the host's name {given.value!r} is no replica name, so pass --name: replica.name takes {takes(setting)}"
        )
    shown = "what is given" if setting in SECRETS else repr(given.value)
    return f"{given.source}: {setting} takes {takes(setting)}, not {shown}"


def _complete(given: dict[str, _Given], settings: Settings) -> Settings:
    """Reads the secret files and checks what concerns more than one setting. Raises Because, whose text begins with the
    setting.
    """
    mqtt = settings.mqtt.model_copy(update={"password": _secret("mqtt.password", given, settings.mqtt.password_file)})
    api = settings.api.model_copy(update={"password": _secret("api.password", given, settings.api.password_file)})
    if api.listen and not api.listen.loopback and not api.password:
        raise Because(
            f"api.listen takes an address of this machine alone (127.0.0.1:PORT) unless api.password_file is set; "
            f"{api.listen} is open to others"
        )
    if (length := len(str(api.socket).encode())) > _SOCKET_PATH_MAX:
        raise Because(
            f"api.socket takes a path of at most {_SOCKET_PATH_MAX} bytes, and {api.socket} has {length}: pass --socket"
        )
    mqtt = resolved(mqtt, settings.replica.name, "mqtt.brokers" in given)
    return settings.model_copy(update={"mqtt": mqtt, "api": api})


def _secret(setting: str, given: dict[str, _Given], file: Path | None) -> SecretStr | None:
    """From the environment, else from the file that `setting`_file names."""
    if setting in given:
        return SecretStr(str(given[setting].value)) if given[setting].value else None
    if file is None:
        return None
    secret = read_secret(f"{setting}_file", file)
    given[setting] = _Given(None, str(file))
    return secret
