"""Conditions that are looked at again whenever something happened."""

from __future__ import annotations

from daemon.waiters import Waiters


def test_called_once_and_only_when_it_holds() -> None:
    waiters = Waiters()
    ready: list[str] = []
    called: list[str] = []
    for name in "ab":
        waiters.add(lambda name=name: name in ready, lambda name=name: called.append(name))  # type: ignore[misc]
    waiters.check()
    assert (called, len(waiters)) == ([], 2)
    ready.append("b")
    waiters.check()
    waiters.check()
    assert (called, len(waiters)) == (["b"], 1)


def test_what_is_forgotten_is_not_called() -> None:
    waiters = Waiters()
    called: list[int] = []
    number = waiters.add(lambda: True, lambda: called.append(1))
    waiters.forget(number)
    waiters.forget(number)
    waiters.check()
    assert called == []
    assert len(waiters) == 0


def test_one_that_is_called_may_forget_and_add_others() -> None:
    waiters = Waiters()
    called: list[str] = []
    numbers: list[int] = []

    def first() -> None:
        called.append("first")
        waiters.forget(numbers[1])
        waiters.add(lambda: True, lambda: called.append("third"))

    numbers.append(waiters.add(lambda: True, first))
    numbers.append(waiters.add(lambda: True, lambda: called.append("second")))
    waiters.check()
    assert called == ["first"]
    waiters.check()
    assert called == ["first", "third"]
