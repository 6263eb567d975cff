"""A server on a real space, and connections without a socket: for commands that talk to peers."""

from __future__ import annotations

import random
from typing import Any

from daemon.api.dispatch import run
from daemon.api.limits import Limits
from daemon.api.server import Server
from daemon.api.session import Session
from daemon.space import Space
from tests.daemon.api.commands.conftest import plain
from tests.daemon.spaces import Member, until
from tests.oracle import read_reply


class SpaceHub:
    """What a node is to the server, around the space of one member."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.databases = [member.space.database]
        self.hold_replies = member.durability == "always"
        self.loading = None
        self.limits = Limits()
        self.rng = random.Random(1)
        self.settings: dict[str, str] = {}
        self.version = "0"

    def begin(self) -> None:
        self.member.space.begin()

    def settle(self) -> None:
        self.member.space.settle()

    def info(self, database: object) -> dict[str, Any]:
        return {}

    def shutdown(self) -> None:
        raise NotImplementedError

    def space_of(self, database: object) -> Space:
        return self.member.space

    def status(self) -> dict[str, Any]:
        return {"name": self.member.name}


class Client:
    """A connection. `ask` waits for the reply, as long as it takes; `send` does not."""

    def __init__(self, member: Member) -> None:
        self.server = Server(SpaceHub(member))
        self.data = b""
        self.session: Session = self.server.open_session(self)

    # -- what a session needs of its wire

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.data += b"(closed)"

    abort = close

    def resume(self) -> None:
        pass

    def relimit(self, limits: Limits) -> None:
        raise NotImplementedError

    # -- what a program does

    def send(self, *words: str | bytes) -> None:
        """One request."""
        args = [part for word in words for part in ([word] if isinstance(word, bytes) else word.encode().split())]
        self._arrive([args])

    def send_all(self, *lines: str) -> None:
        """Several requests in one read."""
        self._arrive([line.encode().split() for line in lines])

    def _arrive(self, requests: list[list[bytes]]) -> None:
        self.server.hub.begin()
        run(self.session, requests)
        self.server.schedule(self.session)

    async def reply(self) -> Any:
        """The next reply as Python values (see conftest.plain)."""
        await until(lambda: read_reply(self.data), "a reply")
        found = read_reply(self.data)
        assert found is not None
        self.data = self.data[found[1] :]
        return plain(found[0])

    async def ask(self, *words: str | bytes) -> Any:
        """Send a request and wait for its reply."""
        self.send(*words)
        return await self.reply()
