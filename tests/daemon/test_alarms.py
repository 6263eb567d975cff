"""What is told of a space: every alarm counts, and nobody fills the log with lines."""

from __future__ import annotations

import structlog.testing

from crdt.replica import messages
from crdt.replica.effects import Alarm
from crdt.replica.intake import SLICE_FRAMES
from daemon.alarms import ALARM_AGAIN, ALARMS, Alarms
from tests.crdt.replica.hostile import many
from tests.daemon.spaces import Between, Make, until


def test_alarms_that_a_peer_can_raise_at_will_do_not_fill_the_log() -> None:
    alarms = Alarms("default")
    with structlog.testing.capture_logs() as lines:
        for _ in range(1000):
            alarms.tell(Alarm("divergence", "x"), 7.0)
        assert alarms.counts == {"divergence": 1000} and len(lines) == ALARMS
        alarms.tell(Alarm("divergence", "x"), 7.0 + ALARM_AGAIN)
        alarms.tell(Alarm("divergence", "x"), 7.0 + ALARM_AGAIN)
        alarms.tell(Alarm("clock", "y"), 7.0 + ALARM_AGAIN)
    assert [(line["event"], line["number"]) for line in lines[ALARMS:]] == [("divergence", 1001), ("clock", 1)]


def test_reasons_that_were_passed_over_or_are_nobodys_fault_are_not_told() -> None:
    alarms = Alarms("default")
    reasons = ["version"]
    with structlog.testing.capture_logs() as lines:
        alarms.pass_over(reasons)
        reasons += ["held_time", "checksum"]
        alarms.tell_dropped(reasons, "b")
        alarms.tell_dropped(reasons, "c")
    assert [(line["sender"], line["reason"]) for line in lines] == [("b", "checksum")]


async def test_garbage_is_told_once_for_each_reason(make: Make) -> None:
    a = make("a")
    await a.start()
    with structlog.testing.capture_logs() as lines:
        wrong = (messages.envelope(255, b"kind"), messages.envelope(1, b"\xc1"))
        for data in (b"\x7fgarbage", b"\x7fmore", bytes((messages.WIRE, 1)) + b"damaged", *wrong):
            a.space.receive("b", inbox=False, data=data)
    told = [line["reason"] for line in lines if line["event"] == "dropped"]
    assert told == list(a.space.replica.drops) == ["version", "checksum", "kind", "malformed"]
    assert a.space.replica.drops["version"] == 2


async def test_what_is_wrong_in_a_later_slice_of_a_message_is_told_too(make: Make, between: Between) -> None:
    a = make("a")
    await a.start()
    between.cut()  # nothing else comes in, which would take in the rest
    with structlog.testing.capture_logs() as lines:
        a.space.receive("b", False, messages.encode(messages.Delta([*many(2 * SLICE_FRAMES), b"no frame"])))
        assert a.space.busy and not a.space.replica.drops
        await until(lambda: not a.space.busy, "all of it to be taken in")
    assert [(line["sender"], line["reason"]) for line in lines if line["event"] == "dropped"] == [("b", "malformed")]
