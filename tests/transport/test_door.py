"""The door: nothing foreign in, nothing malformed out, no callback's failure past it."""

from __future__ import annotations

from transport.door import Door
from transport.interface import Incoming, Outgoing, Owner
from transport.topics import Topics
from transport.wire import MAX_INCOMING, probe


def made(heard: list[Incoming], max_message: int = 1024) -> Door:
    door = Door(Topics("gs", "me", ("s",)), max_message)
    door.listen(Owner(heard.append, lambda: None, lambda: None))
    return door


def test_good_messages_pass_with_the_sender_of_the_topic() -> None:
    heard: list[Incoming] = []
    made(heard).incoming("gs/v1/s/b/you/d", b"\x01i am somebody else")
    assert heard == [Incoming("s", "d", "you", b"\x01i am somebody else")]


def test_what_is_dropped_is_counted() -> None:
    heard: list[Incoming] = []
    door = made(heard)
    door.incoming("gs/v1/s/b/you/d", b"")
    door.incoming("gs/v1/s/b/you/d", bytes([1]) * (MAX_INCOMING + 1))
    door.incoming("gs/v1/t/b/you/d", b"\x01")
    door.incoming("gs/v1/s/i/me/me", probe(3))
    assert heard == []
    assert door.counters.dropped == {"empty": 1, "oversize": 1, "foreign_topic": 1}
    assert door.counters.received_messages["probe"] == 1


def test_who_sends_large_messages_takes_them_too() -> None:
    heard: list[Incoming] = []
    made(heard, max_message=2 * MAX_INCOMING).incoming("gs/v1/s/b/you/d", bytes([1]) * (MAX_INCOMING + 1))
    assert len(heard) == 1


def test_a_will_is_asked_for_each_time_and_its_failure_is_survived() -> None:
    door = made([])
    assert door.will() is None
    answers = iter([Outgoing("s", "p", None, b"\x01first"), None, Outgoing("s", "p", None, b"")])
    door.listen(Owner(lambda message: None, lambda: None, lambda: None, lambda: next(answers)))
    assert door.will() == ("gs/v1/s/b/me/p", b"\x01first")
    assert door.will() is None
    assert door.will() is None, "an empty will would delete what is retained"
    assert door.will() is None, "StopIteration"
    assert door.counters.dropped["callback_failed"] == 2


def test_after_close_nobody_is_called() -> None:
    heard: list[Incoming] = []
    ups: list[int] = []
    door = made(heard)
    door.listen(Owner(heard.append, lambda: ups.append(1), lambda: ups.append(2)))
    door.connected()
    door.close()
    door.connected()
    door.disconnected()
    door.incoming("gs/v1/s/b/you/d", b"\x01")
    assert (heard, ups) == ([], [1])
