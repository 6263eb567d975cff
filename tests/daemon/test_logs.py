"""The log: two formats, one level, no secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pydantic import SecretStr

from daemon.logs import configure


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_is_a_line_an_event() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger("daemon.node").info("connected", broker="mqtt://h:1883", key=b"k\xff")
    (line,) = _lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("connected", "info", "daemon.node")
    assert line["broker"] == "mqtt://h:1883"
    assert str(line["timestamp"]).endswith("Z")


def test_console_is_for_people() -> None:
    stream = io.StringIO()
    configure("info", "console", stream)
    structlog.get_logger("daemon.node").warning("lost broker", url="mqtt://h:1883")
    text = stream.getvalue()
    assert "lost broker" in text
    assert "mqtt://h:1883" in text
    assert "\x1b" not in text


def test_the_level_counts_and_changes_for_loggers_that_exist() -> None:
    stream = io.StringIO()
    configure("warning", "json", stream)
    log = structlog.get_logger("daemon.node")
    log.info("one")
    configure("debug", "json", stream)
    log.debug("two")
    assert [line["event"] for line in _lines(stream)] == ["two"]


@pytest.mark.parametrize("name", ["password", "mqtt_password", "SECRET", "client_credential"])
def test_secrets_are_masked(name: str) -> None:
    for format in ("json", "console"):
        stream = io.StringIO()
        configure("info", format, stream)
        structlog.get_logger("x").info("event", **{name: "hunter2"}, other=SecretStr("hunter2"))
        logging.getLogger("y").warning("event %s", SecretStr("hunter2"))
        assert "hunter2" not in stream.getvalue()


def test_the_path_of_a_secret_is_none() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger("x").info("event", password_file="/etc/p")
    assert _lines(stream)[0]["password_file"] == "/etc/p"


def test_libraries_speak_through_us_when_they_warn() -> None:
    stream = io.StringIO()
    configure("debug", "json", stream)
    logging.getLogger("amqtt.broker").info("chatter")
    logging.getLogger("amqtt.broker").warning("trouble %d", 7)
    (line,) = _lines(stream)
    assert (line["event"], line["logger"]) == ("trouble 7", "amqtt.broker")


def test_an_exception_is_one_json_line() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    try:
        raise ValueError("why")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    (line,) = _lines(stream)
    assert "ValueError: why" in str(line["exception"])
