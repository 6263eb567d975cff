"""Brokers: URLs, tables, who we are there, and that no password travels in the clear."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.brokers import Broker, Mqtt, broker, read_secret, resolved
from config.errors import Because
from config.values import Address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://host", Broker("host", 1883, tls=False)),
        ("mqtts://host/", Broker("host", 8883, tls=True)),
        ("mqtt://anna@host:99", Broker("host", 99, tls=False, username="anna")),
        ("mqtt://a%40b@[::1]:99", Broker("::1", 99, tls=False, username="a@b")),
    ],
)
def test_urls(url: str, expected: Broker) -> None:
    assert broker(url) == expected


@pytest.mark.parametrize(
    "bad", ["host", "http://host", "mqtt://", "mqtt://h:x", "mqtt://h:0", "mqtt://h/topic", "mqtt://h?a=1", 5, {}]
)
def test_what_is_no_broker(bad: object) -> None:
    with pytest.raises(ValueError):
        broker(bad)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(Because) as refusal:
        broker("mqtt://anna:hunter2@host")
    assert "hunter2" not in str(refusal.value)
    assert "password_file" in str(refusal.value)


def test_a_table_names_its_own_user_and_files() -> None:
    found = broker({"url": "mqtts://url-user@host", "username": "anna", "password_file": "/p", "ca_file": "/ca"})
    assert (found.username, found.password_file, found.ca_file) == ("anna", Path("/p"), Path("/ca"))


def test_tables_are_checked() -> None:
    with pytest.raises(Because, match="no setting 'usernam'"):
        broker({"url": "mqtt://host", "usernam": "x"})
    with pytest.raises(Because, match="not encrypted"):
        broker({"url": "mqtt://host", "ca_file": "/ca"})


def test_the_shown_url_has_no_user() -> None:
    assert broker("mqtts://anna@[::1]:99").url == "mqtts://[::1]:99"


@pytest.mark.parametrize(
    ("url", "username", "expected"),
    [("mqtt://u@h", "layer", "u"), ("mqtt://h", "layer", "layer"), ("mqtt://h", "", "replica")],
)
def test_the_nearest_user_counts(url: str, username: str, expected: str) -> None:
    layer = Mqtt.model_validate({"brokers": [url], "username": username})
    assert resolved(layer, "replica", given=True).brokers[0].username == expected


def test_a_password_to_another_machine_needs_tls_or_consent() -> None:
    secret = SecretStr("hunter2")
    for url in ("mqtts://example.org", "mqtt://127.0.0.1", "mqtt://localhost"):
        layer = Mqtt.model_validate({"brokers": [url], "password": secret})
        assert resolved(layer, "a", given=True).brokers[0].password == secret
    layer = Mqtt.model_validate({"brokers": ["mqtt://example.org"], "password": secret})
    with pytest.raises(Because, match=r"^mqtt\.brokers .*allow_plaintext") as refusal:
        resolved(layer, "a", given=True)
    assert "hunter2" not in str(refusal.value)
    assert resolved(layer.model_copy(update={"allow_plaintext": True}), "a", given=True).brokers[0].password == secret


def test_without_a_password_plain_text_is_allowed() -> None:
    layer = Mqtt.model_validate({"brokers": ["mqtt://example.org"]})
    assert resolved(layer, "a", given=True).brokers[0].password is None


def test_the_embedded_broker_is_alone_unless_others_are_given() -> None:
    layer = Mqtt(embedded=Address("0.0.0.0", 9))
    assert [b.url for b in resolved(layer, "a", given=False).brokers] == ["mqtt://127.0.0.1:9"]
    both = resolved(layer.model_copy(update={"brokers": (Broker("h", 1, tls=False),)}), "a", given=True)
    assert [b.url for b in both.brokers] == ["mqtt://127.0.0.1:9", "mqtt://h:1"]
    again = resolved(layer.model_copy(update={"brokers": (Broker("127.0.0.1", 9, tls=False),)}), "a", given=True)
    assert [b.url for b in again.brokers] == ["mqtt://127.0.0.1:9"]


def test_the_embedded_broker_needs_a_port() -> None:
    with pytest.raises(Because, match=r"^mqtt\.embedded"):
        resolved(Mqtt(embedded=Address("127.0.0.1", 0)), "a", given=False)


def test_files_must_be_there(tmp_path: Path) -> None:
    layer = Mqtt.model_validate({"brokers": ["mqtts://h"], "ca_file": str(tmp_path / "none")})
    with pytest.raises(Because, match=r"^mqtt\.ca_file .*none"):
        resolved(layer, "a", given=True)
    (tmp_path / "none").write_text("pem")
    assert resolved(layer, "a", given=True).brokers[0].ca_file == tmp_path / "none"


def test_a_secret_file_loses_its_line_end_only(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" hunter2 \n")
    assert read_secret("mqtt.password_file", file).get_secret_value() == " hunter2 "


def test_secret_files_that_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with pytest.raises(Because, match="No such file"):
        read_secret("mqtt.password_file", file)
    file.write_text("\n")
    with pytest.raises(Because, match="empty"):
        read_secret("mqtt.password_file", file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Because, match="UTF-8"):
        read_secret("mqtt.password_file", file)
