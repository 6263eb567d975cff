"""From the last row of a snapshot to its being stored: in one transaction, as who we are, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crdt.dots import Actor
from crdt.replica import intake
from crdt.replica.effects import Join, Persist, Resync, Unstage
from crdt.replica.events import Merged
from crdt.replica.intake import SLICE_FRAMES, Intake
from crdt.replica.merging import Merging
from crdt.replica.messages import Delta, Pull, Rows
from crdt.types import numberwire, sets, strings
from tests.crdt.algebra import check_books
from tests.crdt.replica.desk import Desk, exchange
from tests.crdt.replica.hostile import MADE_UP
from tests.crdt.replica.test_fetching import SMALL, asker, giver, made_up, same, talk

ME = Actor("a", 1)


def waiting() -> tuple[Desk, Desk]:
    """One that has every row of a snapshot, and has been ordered to join it."""
    a = giver()
    b = asker(a)
    b.merges = False
    talk(a, b)
    assert len(b.joins) == 1 and b.replica.merging.joining is b.joins[0]
    return a, b


def test_rows_floors_and_what_was_held_are_stored_at_once() -> None:
    a, b = waiting()
    strings.put(b.state, b"mine", b"1")
    before = len(b.orders)
    b.merge()
    orders = [order for order in b.orders[before:] if isinstance(order, (Persist, Resync, Unstage))]
    assert [type(order) for order in orders] == [Persist, Resync, Persist, Unstage]
    assert isinstance(orders[0], Persist) and not orders[0].snapshot
    assert isinstance(orders[2], Persist) and orders[2].snapshot and orders[2].floors == ((ME, 60),)
    assert b.disk.floor() == {ME: 60} and strings.get(b.state, b"mine") == b"1"
    assert not b.disk.image.staged and not len(b.replica.merging.staged)
    assert b.disk.load(b.state.actor).hash == b.state.hash
    assert a.state.hash != b.state.hash


def test_an_own_frame_cut_after_it_is_stored_after_it_and_depends_on_it() -> None:
    _, b = waiting()
    b.merge()
    strings.put(b.state, b"mine", b"1")
    b.commit()
    logged = [frame.actor.name for _, frame in b.disk.image.log]
    assert logged == ["b"] and b.disk.image.vector[ME] == 60


def test_nothing_is_asked_while_a_join_is_under_way() -> None:
    _, b = waiting()
    b.replica.recovery.suspect("a", b.now, sure=True)
    b.wait(3)
    assert b.take(Pull) == []
    b.merge()
    b.replica.recovery.suspect("a", b.now, sure=True)
    b.wait(3)
    assert b.take(Pull)


def test_a_defect_in_a_message_that_is_being_taken_in_does_not_lose_the_join(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would be asked for any more."""
    _, b = waiting()
    b.receive("c", Delta([b"xx"] * 3 * SLICE_FRAMES), inbox=False)
    assert b.replica.busy

    def fails(*_: object) -> None:
        raise AssertionError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(Intake, "_take", fails)
        with pytest.raises(AssertionError, match="a defect"):
            b.merge()
    assert b.replica.merging.joining is None and not any(isinstance(order, Resync) for order in b.orders)
    b.wait(0.0)
    assert any(isinstance(order, Resync) for order in b.orders) and sets.size(b.state, b"s")


def test_damaged_rows_are_fetched_again() -> None:
    a, b = waiting()
    number = next(iter(b.disk.image.staged))
    lost = b.disk.image.staged[number]
    b.disk.unstage([number])
    hidden = b.disk.unstage
    b.disk.unstage = lambda numbers: None  # type: ignore[method-assign]
    b.merge()
    b.disk.unstage = hidden  # type: ignore[method-assign]
    assert sets.size(b.state, b"s") == 0 and number not in b.replica.merging.staged.items
    b.merges = True
    b.wait(0.3)
    said = talk(a, b)
    sent = sum(last - first + 1 for message in said for _, first, last, _ in getattr(message, "items", ()))
    assert same(a, b) and sent == lost.last - lost.first + 1


def test_a_checkpoint_that_fails_leaves_everything_for_the_next_attempt() -> None:
    a, b = waiting()
    (joining,) = b.joins
    b.commit()
    joining.begin()
    b.run(b.replica.handle(Merged(joining, whole=False), b.now))
    b.joins.clear()
    assert sets.size(b.state, b"s") == 0 and len(b.replica.merging.staged) and not b.state.chunks_held
    b.merges = True
    b.wait(2 * b.replica.hello_period)
    said = talk(a, b)
    assert same(a, b) and not any(getattr(message, "items", ()) for message in said), "the rows were there"


def test_a_join_that_keeps_failing_is_paced() -> None:
    a, b = waiting()
    tries, begun = 0, b.now
    while b.now < begun + 60.0:
        while b.joins:
            tries += 1
            b.run(b.replica.handle(Merged(b.joins.pop(0), whole=False), b.now))
        exchange(a, b, 0.05)
    assert 5 <= tries <= 2 * 60 / b.replica.hello_period


def test_one_that_becomes_another_actor_begins_anew() -> None:
    a, b = waiting()
    joining = b.joins[0]
    b.receive("a", Pull({b.state.actor: 99}, 1000))
    assert joining.abandoned and b.replica.merging.joining is None and "fork" in b.alarms
    b.run(b.replica.handle(Merged(joining), b.now))
    assert sets.size(b.state, b"s") == 0
    b.joins.clear()
    b.merges = True
    b.wait(0.3)
    talk(a, b)
    b.wait(0.5)
    talk(a, b)
    assert sets.size(b.state, b"s") == 60


def test_a_snapshot_that_teaches_nothing_is_not_joined() -> None:
    a, b = waiting()
    b.merge()
    before = [order for order in b.orders if isinstance(order, Join)]
    live = {ME: next(iter([]), None) or b.replica.merging.staged.seqs(ME)}
    b.replica.merging.begin("a", {ME: 60}, live)
    b.run(b.replica.out.take())
    assert [order for order in b.orders if isinstance(order, Join)] == before and same(a, b)


def test_what_a_repair_has_brought_meanwhile_is_thrown_away() -> None:
    a = giver()
    b = Desk("b", 2, SMALL)
    from crdt.dots import Runs

    b.run([b.replica.merging.staged.add(ME, Runs([1, 2]), b"x")])
    assert b.disk.image.staged
    b.state.advance(b.state.intern(ME), 60)
    b.wait(b.replica.tuning.heartbeat * 2)
    assert not b.disk.image.staged and a.state.seq == 60


@pytest.mark.parametrize("looked", [True, False])
def test_staged_rows_that_name_whom_the_join_does_not_know_are_dropped(
    looked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They came for a list that did name him; the list that is joined now is another's."""
    if not looked:
        monkeypatch.setattr(numberwire, "named", lambda payload: [])
    a, b = waiting()
    (number, stage), *_ = b.disk.image.staged.items()
    rows = Rows(1, 1, [(stage.actor, stage.first, stage.last, stage.data)], False)
    ((*_, data),) = made_up(rows).items
    b.disk.image.staged[number] = replace(stage, data=data)
    b.merge()
    assert (MADE_UP in b.state.indexes) != looked
    if looked:
        assert not b.state.applied(ME) and number not in b.disk.image.staged and check_books(b.state) == []
        b.merges = True
        exchange(a, b, 5)
        assert same(a, b)


@pytest.mark.parametrize("counted", [True, False])
def test_newcomers_leave_numbers_for_those_whom_a_join_brings(counted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not counted:
        monkeypatch.setattr(Merging, "strangers", 0)
    _, b = waiting()
    c = Desk("c", 3)
    strings.put(c.state, b"t", b"1")
    c.commit()
    (said,) = c.take(Delta)
    monkeypatch.setattr(intake, "MOST_ACTORS", 2)  # b itself, and a, who comes with the join
    b.receive("c", said, inbox=False)
    assert b.state.applied(c.state.actor) == (not counted) and b.replica.drops == ({"actors": 1} if counted else {})
    b.merge()
    monkeypatch.setattr(intake, "MOST_ACTORS", 3)
    b.receive("c", said, inbox=False)
    assert b.state.applied(c.state.actor) == 1 and b.state.applied(ME) == 60
