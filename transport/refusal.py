"""Why a connection failed or ended, and what a person can do about it.

Knows: MQTT's reason codes, TLS errors, and how aiomqtt reports both. Promises: a sentence for every failure, and
whether it is a refusal (somebody has to act) or will pass by itself.
Must not know: when the next attempt is made, who logs the sentence.
"""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass

from aiomqtt.exceptions import MqttCodeError, MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from transport.mqtt_settings import BrokerAddress

UNSPECIFIED_ERROR = 128
UNSUPPORTED_PROTOCOL = 132

_ADVICE = {
    133: "the client id {client!r} is refused: choose another replica name, or allow this one in the broker",
    134: "the user name {user!r} or its password is refused: correct mqtt.username or the password file",
    135: "the user {user!r} is not authorised: allow it in the broker, or correct mqtt.username and the password file",
    138: "this client is banned: lift the ban in the broker",
    140: "another way to authenticate is wanted: use a user name with a password, or a client certificate",
    144: "the topic of the last will is refused: correct mqtt.prefix, or allow it in the broker's ACL",
}


_WORDS = {
    errno.ECONNREFUSED: "nobody listens there: is the broker running, and is its port right?",
    errno.ECONNRESET: "the broker closed the connection",
    errno.EPIPE: "the broker closed the connection",
    errno.ECONNABORTED: "the connection was lost",
    errno.EHOSTUNREACH: "no way to the broker's host: is it up, and the network?",
    errno.ENETUNREACH: "no way to the broker's network: is this host connected?",
    errno.ENETDOWN: "the network of this host is down",
    errno.ETIMEDOUT: "the broker's host does not answer: is it up, and does a firewall let us through?",
    errno.EACCES: "this system does not let us connect there (a firewall or a sandbox of this host)",
    errno.EPERM: "this system does not let us connect there (a firewall or a sandbox of this host)",
    errno.EMFILE: "this daemon has too many files open: raise its limit (ulimit -n)",
}


class Refused(Exception):
    """We may not, or must not, use this broker; the text says what to do."""


class HungUp(Exception):
    """The broker closed the connection instead of answering CONNECT."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be made of a failure."""

    reason: str
    refused: bool = False
    """Somebody has to act: try again every few minutes only."""
    old_protocol: bool = False
    """The broker said that it does not speak MQTT 5: use 3.1.1 from now on."""
    silent: bool = False
    """No answer at all. Some brokers meet an MQTT 5 CONNECT in this way, so 3.1.1 is worth a try."""


def judge(error: BaseException, client_id: str, user: str) -> Verdict:
    """The verdict on whatever a session ended with."""
    if isinstance(error, Refused):
        return Verdict(str(error), refused=True)
    if isinstance(error, HungUp):
        return Verdict("the broker hung up without an answer", silent=True)
    untrusted = _untrusted(error)
    if untrusted is not None:
        advice = "correct mqtt.ca_file or the host name"
        return Verdict(f"the broker's certificate is not trusted ({untrusted}): {advice}", refused=True)
    if isinstance(error, MqttConnectError):
        code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
        if code == UNSUPPORTED_PROTOCOL:
            return Verdict("the broker does not speak MQTT 5", old_protocol=True)
        if code in _ADVICE:
            return Verdict(_ADVICE[code].format(client=client_id, user=user), refused=True)
        return Verdict(f"the broker does not let us in: {error.rc}")
    if str(error) == "Operation timed out":
        return Verdict("no answer from the broker in time", silent=True)
    cause = error.__cause__
    if isinstance(cause, MqttCodeError) and isinstance(cause.rc, ReasonCode):
        # "Unspecified error" is paho's word for a connection that just broke; the others come from the broker.
        known = cause.rc.value != UNSPECIFIED_ERROR
        return Verdict(f"the broker ended the connection: {cause.rc}" if known else "the connection was lost")
    return Verdict(_in_words(error) or str(error) or type(error).__name__)


def _in_words(error: BaseException) -> str | None:
    """What the system said about the network, for somebody who does not know error numbers."""
    for candidate in (error, error.__cause__, error.__context__):
        if isinstance(candidate, socket.gaierror):
            return "the broker's host name is not known: correct mqtt.brokers, or look at the name service"
        if isinstance(candidate, TimeoutError):
            return _WORDS[errno.ETIMEDOUT]
        if isinstance(candidate, OSError) and candidate.errno in _WORDS:
            return _WORDS[candidate.errno]
    return None


def check_plaintext(address: BrokerAddress, allow: bool) -> None:
    """Raises Refused if a password would travel unencrypted to another machine and nobody allowed it."""
    if address.password is not None and not (address.tls or address.is_loopback or allow):
        raise Refused("a password would travel unencrypted: use mqtts://, or set mqtt.allow_plaintext")


def _untrusted(error: BaseException) -> str | None:
    # aiomqtt turns every OSError of the connect into an MqttError "from None"; the original is still the context.
    for candidate in (error, error.__context__):
        if isinstance(candidate, ssl.SSLCertVerificationError):
            return getattr(candidate, "verify_message", None) or str(candidate)
    return None
