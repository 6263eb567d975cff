"""Every failure has a sentence, and the right kind of sentence."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from aiomqtt import MqttCodeError, MqttError
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from transport.mqtt_settings import BrokerAddress
from transport.refusal import HungUp, Refused, Verdict, check_plaintext, judge


def verdict(error: BaseException) -> Verdict:
    return judge(error, "client-1", "user-1")


@pytest.mark.parametrize(
    ("code", "word"),
    [(133, "client-1"), (134, "user-1"), (135, "user-1"), (138, "banned"), (140, "authenticate"), (144, "mqtt.prefix")],
)
def test_refusals_say_what_to_do(code: int, word: str) -> None:
    made = verdict(MqttConnectError(ReasonCode(PacketTypes.CONNACK, identifier=code)))
    assert made.refused and word in made.reason


def test_an_old_broker_is_recognised() -> None:
    made = verdict(MqttConnectError(ReasonCode(PacketTypes.CONNACK, identifier=132)))
    assert made.old_protocol and not made.refused


def test_a_busy_broker_will_pass() -> None:
    made = verdict(MqttConnectError(ReasonCode(PacketTypes.CONNACK, identifier=137)))
    assert made == Verdict("the broker does not let us in: Server busy")


def test_an_untrusted_certificate_is_a_refusal_though_aiomqtt_hides_it() -> None:
    hidden = ssl.SSLCertVerificationError(1, "certificate verify failed")
    try:
        try:
            raise hidden
        except OSError as error:
            raise MqttError(str(error)) from None
    except MqttError as error:
        made = verdict(error)
    assert made.refused and "ca_file" in made.reason


def test_silence_is_told_from_other_failures() -> None:
    assert verdict(MqttError("Operation timed out")).silent
    assert verdict(HungUp()).silent
    assert verdict(MqttError("[Errno 111] Connection refused")) == Verdict("[Errno 111] Connection refused")
    assert verdict(OSError()) == Verdict("OSError")


@pytest.mark.parametrize(
    ("code", "reason"),
    [(128, "the connection was lost"), (139, "the broker ended the connection: Server shutting down")],
)
def test_the_end_of_a_session(code: int, reason: str) -> None:
    error = MqttError("Disconnected during message iteration")
    error.__cause__ = MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, identifier=code))
    assert verdict(error) == Verdict(reason)


def test_a_password_does_not_travel_in_the_clear() -> None:
    far = BrokerAddress.parse("mqtt://192.0.2.1", password="x")
    with pytest.raises(Refused, match="allow_plaintext"):
        check_plaintext(far, allow=False)
    check_plaintext(far, allow=True)
    check_plaintext(BrokerAddress.parse("mqtts://192.0.2.1", password="x"), allow=False)
    check_plaintext(BrokerAddress.parse("mqtt://127.0.0.1", password="x"), allow=False)
    check_plaintext(BrokerAddress.parse("mqtt://192.0.2.1"), allow=False)
    assert verdict(Refused("do this")) == Verdict("do this", refused=True)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "is the broker running"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "closed the connection"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no way to the broker's host"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "no way to the broker's network"),
        (TimeoutError("timed out"), "does not answer"),
        (socket.gaierror(-2, "Name or service not known"), "host name is not known"),
    ],
)
def test_what_the_system_says_is_put_in_words(error: OSError, words: str) -> None:
    assert words in verdict(error).reason and "Errno" not in verdict(error).reason
    try:
        try:
            raise error
        except OSError as caught:
            raise MqttError(str(caught)) from None  # as aiomqtt does
    except MqttError as hidden:
        assert words in verdict(hidden).reason and not verdict(hidden).refused


def test_an_error_that_nobody_knows_is_told_as_it_is() -> None:
    assert verdict(OSError(errno.EIO, "Input/output error")).reason == f"[Errno {errno.EIO}] Input/output error"
