"""Who is served, and in which order."""

from __future__ import annotations

from daemon.api.blocked import Blocked, Waiter


class Shelf:
    """Keys with so many things to take, and who took what."""

    def __init__(self) -> None:
        self.blocked = Blocked()
        self.stock: dict[bytes, int] = {}
        self.served: list[tuple[str, bytes]] = []

    def wait(self, name: str, *keys: bytes, into: bytes | None = None) -> Waiter:
        def attempt(key: bytes) -> bool:
            if not self.stock.get(key):
                return False
            self.stock[key] -= 1
            self.served.append((name, key))
            if into is not None:
                self.put(into)
            return True

        waiter = Waiter(keys, attempt)
        self.blocked.add(waiter)
        return waiter

    def put(self, key: bytes, count: int = 1) -> None:
        self.stock[key] = self.stock.get(key, 0) + count
        self.blocked.changed(key)


def test_who_came_first_is_served_first() -> None:
    shelf = Shelf()
    for name in "abc":
        shelf.wait(name, b"k")
    shelf.put(b"k", 2)
    assert shelf.served == []
    shelf.blocked.serve()
    assert shelf.served == [("a", b"k"), ("b", b"k")]
    assert shelf.blocked
    shelf.put(b"k", 5)
    shelf.blocked.serve()
    assert shelf.served[2:] == [("c", b"k")] and shelf.stock == {b"k": 4}
    assert not shelf.blocked


def test_nobody_is_served_twice() -> None:
    shelf = Shelf()
    shelf.wait("a", b"k", b"l", b"k")
    shelf.put(b"l")
    shelf.put(b"k")
    shelf.blocked.serve()
    assert shelf.served == [("a", b"l")]


def test_the_key_that_changed_first_is_looked_at_first() -> None:
    shelf = Shelf()
    shelf.wait("a", b"k", b"l")
    shelf.wait("b", b"l", b"k")
    shelf.put(b"l")
    shelf.put(b"k")
    shelf.blocked.serve()
    assert shelf.served == [("a", b"l"), ("b", b"k")]


def test_serving_may_fill_another_key() -> None:
    shelf = Shelf()
    shelf.wait("a", b"k", into=b"l")
    shelf.wait("b", b"l", into=b"k")
    shelf.wait("c", b"k")
    shelf.put(b"k")
    shelf.blocked.serve()
    assert shelf.served == [("a", b"k"), ("b", b"l"), ("c", b"k")]


def test_who_left_is_not_served() -> None:
    shelf = Shelf()
    first = shelf.wait("a", b"k", b"l")
    shelf.wait("b", b"k")
    shelf.blocked.forget(first)
    shelf.blocked.forget(first)
    shelf.put(b"k", 2)
    shelf.put(b"l")
    shelf.blocked.serve()
    assert shelf.served == [("b", b"k")]


def test_changes_that_nobody_waits_for_are_not_remembered() -> None:
    shelf = Shelf()
    shelf.put(b"k")
    shelf.wait("a", b"k")
    shelf.blocked.serve()
    assert shelf.served == []
