"""Four sources, one order, and errors that name the source, the setting and what it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.load import FLAGS, all_settings, load, variable_of
from config.machine import Machine
from config.settings import takes

EXAMPLE = Path(__file__).parents[2] / "config" / "gossamer.example.toml"


def _file(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "g.toml"
    path.write_text(text)
    return {"config": str(path)}


def test_defaults(machine: Machine, home: dict[str, str], tmp_path: Path) -> None:
    loaded = load({}, home, machine)
    settings = loaded.settings
    assert settings.replica.name == "kitchen"
    assert settings.replica.spaces == ("default",)
    assert settings.gossip.interval == 0.2
    assert [b.url for b in settings.mqtt.brokers] == ["mqtt://127.0.0.1:1883"]
    assert settings.mqtt.brokers[0].username == "kitchen"
    assert settings.api.socket == tmp_path / "gossamer-1000" / "kitchen.sock"
    assert settings.store.dir == tmp_path / "home" / ".local" / "state" / "gossamer" / "kitchen"
    assert settings.limits.value == 1 << 20
    assert set(loaded.origin.values()) == {"default"}
    assert set(loaded.origin) == set(all_settings())
    assert loaded.file is None


def test_flags_beat_environment_beats_file(machine: Machine, home: dict[str, str], tmp_path: Path) -> None:
    flags = _file(tmp_path, '[gossip]\ninterval = "1s"\nheartbeat = "2s"\nmax_drift = "3s"\n')
    environ = home | {"GOSSAMER_GOSSIP__INTERVAL": "4s", "GOSSAMER_GOSSIP__HEARTBEAT": "5s"}
    loaded = load(flags | {"interval": "6s"}, environ, machine)
    gossip = loaded.settings.gossip
    assert (gossip.interval, gossip.heartbeat, gossip.max_drift) == (6, 5, 3)
    assert loaded.origin["gossip.interval"] == "--interval"
    assert loaded.origin["gossip.heartbeat"] == "GOSSAMER_GOSSIP__HEARTBEAT"
    assert loaded.origin["gossip.max_drift"] == str(loaded.file)
    assert loaded.origin["store.durability"] == "default"


def test_a_flag_that_was_not_given_decides_nothing(machine: Machine, home: dict[str, str]) -> None:
    flags = {flag: () if flag in ("space", "broker") else None for flag in FLAGS} | {"config": None}
    assert load(flags, home, machine) == load({}, home, machine)


def test_a_name_leads_to_socket_and_data(machine: Machine, home: dict[str, str]) -> None:
    settings = load({"name": "b"}, home, machine).settings
    assert settings.api.socket.name == "b.sock"
    assert settings.store.dir.name == "b"


def test_lists(machine: Machine, home: dict[str, str], tmp_path: Path) -> None:
    environ = home | {"GOSSAMER_REPLICA__SPACES": "a, b", "GOSSAMER_MQTT__BROKERS": "mqtt://h,mqtts://u@i"}
    settings = load({}, environ, machine).settings
    assert settings.replica.spaces == ("a", "b")
    assert [b.url for b in settings.mqtt.brokers] == ["mqtt://h:1883", "mqtts://i:8883"]
    assert load({"space": ("c", "d")}, environ, machine).settings.replica.spaces == ("c", "d")
    tables = _file(tmp_path, '[mqtt]\nbrokers = ["mqtt://h", {url = "mqtts://i", username = "u"}]\n')
    assert [b.username for b in load(tables, home, machine).settings.mqtt.brokers] == ["kitchen", "u"]


def test_the_socket_variable_of_clients_counts_for_the_daemon(machine: Machine, home: dict[str, str]) -> None:
    loaded = load({}, home | {"GOSSAMER_SOCKET": "/a/s"}, machine)
    assert (loaded.settings.api.socket, loaded.origin["api.socket"]) == (Path("/a/s"), "GOSSAMER_SOCKET")
    nearer = home | {"GOSSAMER_SOCKET": "/a/s", "GOSSAMER_API__SOCKET": "/b/s"}
    assert load({}, nearer, machine).settings.api.socket == Path("/b/s")


def test_variables_of_others_are_ignored(machine: Machine, home: dict[str, str]) -> None:
    injected = home | {"GOSSAMER_SERVICE_HOST": "10.0.0.1", "GOSSAMER_PORT": "tcp://10.0.0.1:6379", "OTHER__X": "1"}
    assert load({}, injected, machine) == load({}, home, machine)


def test_the_usual_file_is_read_if_it_exists(machine: Machine, home: dict[str, str], tmp_path: Path) -> None:
    usual = tmp_path / "home" / ".config" / "gossamer" / "gossamer.toml"
    usual.parent.mkdir(parents=True)
    usual.write_text('[replica]\nname = "from-file"\n')
    loaded = load({}, home, machine)
    assert (loaded.settings.replica.name, loaded.file) == ("from-file", usual)
    other = tmp_path / "other.toml"
    other.write_text("")
    assert load({}, home | {"GOSSAMER_CONFIG": str(other)}, machine).file == other


def test_passwords_come_from_files_or_the_environment(machine: Machine, home: dict[str, str], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from file\n")
    flags = _file(tmp_path, f'[mqtt]\npassword_file = "{secret}"\n[api]\npassword_file = "{secret}"\n')
    loaded = load(flags, home, machine)
    for setting, found in (("mqtt", loaded.settings.mqtt.password), ("api", loaded.settings.api.password)):
        assert found and found.get_secret_value() == "from file"
        assert loaded.origin[f"{setting}.password"] == str(secret)
    environ = home | {"GOSSAMER_MQTT__PASSWORD": "from environment"}
    password = load(flags, environ, machine).settings.mqtt.brokers[0].password
    assert password and password.get_secret_value() == "from environment"
    assert "from environment" not in repr(load(flags, environ, machine))


def test_tcp_beyond_loopback_needs_a_password(machine: Machine, home: dict[str, str]) -> None:
    assert load({"listen": "127.0.0.1:6379"}, home, machine).settings.api.listen
    with pytest.raises(ConfigError, match=r"^--listen: api\.listen takes .* api\.password_file"):
        load({"listen": "0.0.0.0:6379"}, home, machine)
    assert load({"listen": "0.0.0.0:6379"}, home | {"GOSSAMER_API__PASSWORD": "x"}, machine).settings.api.listen


def test_the_log_format_follows_the_terminal(home: dict[str, str], tmp_path: Path) -> None:
    for terminal, expected in ((True, "console"), (False, "json")):
        assert load({}, home, Machine(1000, "h", terminal, tmp_path)).settings.log.format == expected


REFUSED = {
    "GOSSAMER_X__Y": ("1", "GOSSAMER_X__Y: there is no section 'x'; the sections are replica, gossip"),
    "GOSSAMER_GOSSIP__INTERVALL": (
        "1s",
        "there is no setting gossip.intervall; did you mean gossip.interval, which takes a duration",
    ),
    "GOSSAMER_LOG__ZZZ": ("1", "there is no setting log.zzz; log takes level, format"),
    "GOSSAMER_GOSSIP__INTERVAL": ("fast", "GOSSAMER_GOSSIP__INTERVAL: gossip.interval takes a duration such as 200ms"),
    "GOSSAMER_GOSSIP__HEARTBEAT": ("1ms", "gossip.heartbeat takes a duration such as 5s, from 10ms to 1h, not '1ms'"),
    "GOSSAMER_LIMITS__VALUE": ("big", "limits.value takes a size"),
    "GOSSAMER_LIMITS__CLIENTS": ("0", "limits.clients takes a whole number of at least 1, not '0'"),
    "GOSSAMER_STORE__DURABILITY": ("sometimes", "store.durability takes always, interval or never, not 'sometimes'"),
    "GOSSAMER_LOG__LEVEL": ("loud", "log.level takes debug, info, warning or error"),
    "GOSSAMER_API__SOCKET_MODE": ("rw", "api.socket_mode takes octal"),
    "GOSSAMER_API__LISTEN": ("6379", "api.listen takes HOST:PORT"),
    "GOSSAMER_API__SOCKET": ("/" + "x" * 200, "api.socket takes a path of at most"),
    "GOSSAMER_MQTT__BROKERS": ("http://h", "mqtt.brokers takes mqtt://"),
    "GOSSAMER_MQTT__ALLOW_PLAINTEXT": ("maybe", "mqtt.allow_plaintext takes true or false"),
    "GOSSAMER_MQTT__PASSWORD_FILE": ("/none", "mqtt.password_file names /none, which cannot be read: No such file"),
    "GOSSAMER_MQTT__MESSAGES_PER_SECOND": ("-1", "mqtt.messages_per_second takes a number per second"),
    "GOSSAMER_REPLICA__SPACES": ("a,a", "replica.spaces names one space twice"),
    "GOSSAMER_REPLICA__NAME": ("a/b", "replica.name takes a name"),
    "GOSSAMER_CONFIG": ("/none.toml", "/none.toml cannot be read: No such file"),
}


@pytest.mark.parametrize("variable", REFUSED)
def test_what_is_refused_says_why(variable: str, machine: Machine, home: dict[str, str]) -> None:
    value, text = REFUSED[variable]
    with pytest.raises(ConfigError) as refusal:
        load({}, home | {variable: value}, machine)
    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)
    if variable != "GOSSAMER_CONFIG":
        assert str(refusal.value).startswith(f"{variable}: ")


REFUSED_FILES = {
    "interval = 1\n": "there is no section 'interval'",
    "gossip = 1\n": "gossip takes a table: write [gossip]",
    "[gossip\n": "is not TOML",
    "[gossip]\ninterval = 5\n": "gossip.interval takes a duration such as 200ms or 5s, from 0 to 1h, not 5",
    '[replica]\nspaces = "a"\n': "replica.spaces takes a list of",
    "[replica]\nspaces = []\n": "replica.spaces takes one or more names",
    "[limits]\nclients = true\n": "limits.clients takes a whole number",
    "[api]\nsocket_mode = 660\n": "api.socket_mode takes octal",
    '[mqtt]\npassword = "hunter2"\n': "use mqtt.password_file, or GOSSAMER_MQTT__PASSWORD",
    '[mqtt]\nbrokers = ["mqtt://u:hunter2@h"]\n': "mqtt.brokers has a password in a URL",
    '[mqtt]\nbrokers = [{url = "mqtt://h", user = "u"}]\n': "mqtt.brokers has no setting 'user' in its tables",
}


@pytest.mark.parametrize("text", REFUSED_FILES)
def test_what_is_refused_in_a_file(text: str, machine: Machine, home: dict[str, str], tmp_path: Path) -> None:
    flags = _file(tmp_path, text)
    with pytest.raises(ConfigError) as refusal:
        load(flags, home, machine)
    assert str(refusal.value).startswith(str(flags["config"]))
    assert REFUSED_FILES[text] in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_a_host_name_that_is_no_replica_name(home: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="so pass --name"):
        load({}, home, Machine(1000, "_odd_", terminal=False, root=tmp_path))


def test_a_flag_nobody_knows_is_our_bug(machine: Machine, home: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        load({"colour": "red"}, home, machine)


def test_the_example_file_equals_the_defaults(machine: Machine, home: dict[str, str]) -> None:
    assert load({"config": str(EXAMPLE)}, home, machine).settings == load({}, home, machine).settings


def test_the_example_file_shows_every_setting() -> None:
    shown, section = set(), ""
    for line in EXAMPLE.read_text().splitlines():
        text = line.removeprefix("# ")
        if line.startswith("["):
            section = line.strip("[]")
        elif " = " in text and text.split(" = ")[0].isidentifier():
            shown.add(f"{section}.{text.split(' = ')[0]}")
    assert shown == set(all_settings()) - {"mqtt.password", "api.password"}


def test_every_setting_says_what_it_takes_and_has_a_variable() -> None:
    for setting in all_settings():
        assert takes(setting)
        assert variable_of(setting).startswith("GOSSAMER_")
