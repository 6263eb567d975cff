"""From request to reply: order, refusals, defects, waiting requests, and which batches have written."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from daemon.api.dispatch import INTERNAL, quoted, refuse_long_keys, run, unknown_command
from daemon.api.limits import Limits
from daemon.api.registry import TABLE, command
from daemon.api.server import Server
from daemon.api.session import LOADING, PARKED, UNAUTHENTICATED, Session
from tests.daemon.api.serving import Hub, session


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    """Two commands that exist only here."""
    before = dict(TABLE)

    @command("BREAK", arity=1, group="test", summary="Has a defect.")
    def broken(session: Session, args: list[bytes]) -> bytes:
        raise ZeroDivisionError("of course")

    @command("HOLD", arity=1, group="test", summary="Leaves its reply for later.")
    def hold(session: Session, args: list[bytes]) -> bytes:
        return session.park(None, lambda: b"+late\r\n") if session.may_park() else b"+now\r\n"

    yield
    TABLE.clear()
    TABLE.update(before)


@pytest.fixture
async def one() -> Session:
    return session(Server(Hub()))


def replies(one: Session, *lines: str) -> list[bytes]:
    """What a batch of requests is answered, in order."""
    run(one, [line.encode().split() for line in lines])
    found, one.out[:] = list(one.out), []
    return found


async def test_replies_come_in_order_whatever_the_case(one: Session) -> None:
    assert replies(one, "SET a 1", "get a", "GeT a", "NOPE", "GET") == [
        b"+OK\r\n",
        b"$1\r\n1\r\n",
        b"$1\r\n1\r\n",
        b"-ERR unknown command 'NOPE', with args beginning with: \r\n",
        b"-ERR wrong number of arguments for 'get' command\r\n",
    ]


async def test_what_holds_for_one_request_holds_for_those_like_it_behind_it_and_for_no_others(one: Session) -> None:
    wrong = b"-ERR wrong number of arguments for 'incr' command\r\n"
    before = TABLE[b"incr"].calls
    assert replies(
        one, "INCR n", "INCR n", "INCR", "INCR", "INCR n m", "INCR n", "incr n", "GET n", "SADD s a", "INCR s", "INCR n"
    ) == [
        b":1\r\n", b":2\r\n", wrong, wrong, wrong, b":3\r\n", b":4\r\n", b"$1\r\n4\r\n", b":1\r\n",
        b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", b":5\r\n",
    ]  # fmt: skip
    assert TABLE[b"incr"].calls == before + 6
    assert replies(one, "INCR n", "MULTI", "INCR n", "EXEC", "INCR n") == [
        b":6\r\n", b"+OK\r\n", b"+QUEUED\r\n", b"*1\r\n:7\r\n", b":8\r\n",
    ]  # fmt: skip
    assert one.last_command == "incr"


async def test_a_run_of_defects_is_answered_one_by_one(one: Session) -> None:
    assert replies(one, "BREAK", "BREAK") == [f"-{INTERNAL}\r\n".encode()] * 2
    assert TABLE[b"break"].failed == 2


async def test_a_batch_says_whether_it_may_have_written(one: Session) -> None:
    assert not run(one, [[b"GET", b"a"], [b"PING"], [b"NOPE"]])
    assert one.last_write == 0
    assert run(one, [[b"GET", b"a"], [b"SET", b"a", b"1"], [b"GET", b"a"]])
    assert one.last_write == 1
    assert not run(one, [[b"GET", b"a"]])
    assert run(one, [[b"MULTI"], [b"SET", b"a", b"2"], [b"EXEC"]])


async def test_a_write_under_a_name_in_mixed_case_counts(one: Session) -> None:
    assert run(one, [[b"SeT", b"a", b"1"], [b"Get", b"a"]])
    assert one.last_write == 1


async def test_a_defect_is_logged_and_answered(one: Session, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert replies(one, "BREAK", "PING", "Break") == [
            f"-{INTERNAL}\r\n".encode(),
            b"+PONG\r\n",
            f"-{INTERNAL}\r\n".encode(),
        ]
    assert "command break failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_requests_behind_a_parked_one_wait(one: Session) -> None:
    assert replies(one, "PING", "HOLD", "PING", "ECHO x") == [b"+PONG\r\n", b""]
    assert one.gate & PARKED
    assert list(one.backlog) == [[b"PING"], [b"ECHO", b"x"]]


async def test_within_exec_nothing_waits(one: Session) -> None:
    assert replies(one, "MULTI", "HOLD", "EXEC")[-1] == b"*1\r\n+now\r\n"


async def test_nothing_runs_after_quit(one: Session) -> None:
    assert replies(one, "QUIT", "SET a 1") == [b"+OK\r\n"]
    assert one.db.written() == 0


async def test_while_loading_few_commands_run(one: Session) -> None:
    hub = one.hub
    hub.loading = "gossamer reads its store"
    one.gate |= LOADING
    refusal = b"-LOADING gossamer reads its store\r\n"
    assert replies(one, "GET a", "INFO", "PING", "AUTH default x", "NOPE", "MULTI") == [
        refusal,
        refusal,
        b"+PONG\r\n",
        b"+OK\r\n",
        b"-ERR unknown command 'NOPE', with args beginning with: \r\n",
        refusal,
    ]
    assert replies(one, "HELLO 2")[0].startswith(b"*14\r\n")
    hub.loading = None
    assert replies(one, "GET a", "GET a") == [b"$-1\r\n", b"$-1\r\n"]
    assert one.gate == 0


async def test_without_the_password_few_commands_run(one: Session) -> None:
    one.gate |= UNAUTHENTICATED
    refusal = b"-NOAUTH Authentication required.\r\n"
    assert replies(one, "GET a", "PING", "MULTI", "RESET", "NOPE", "GET") == [
        refusal,
        refusal,
        refusal,
        b"+RESET\r\n",
        b"-ERR unknown command 'NOPE', with args beginning with: \r\n",
        b"-ERR wrong number of arguments for 'get' command\r\n",
    ]


async def test_a_transaction_is_bounded() -> None:
    one = session(Server(Hub(limits=Limits(transaction=20))))
    assert replies(one, "MULTI", "SET a 123456789", "SET a 123456789", "EXEC") == [
        b"+OK\r\n",
        b"+QUEUED\r\n",
        b"-ERR transaction of 26 bytes exceeds limits.transaction (20)\r\n",
        b"-EXECABORT Transaction discarded because of previous errors.\r\n",
    ]
    assert one.db.written() == 0


async def test_long_keys_are_refused_where_they_are_keys(one: Session) -> None:
    long = b"k" * 9
    batch = [
        [b"SET", long, b"v"],
        [b"SET", b"k", long],
        [b"MSET", b"a", long, long, b"v"],
        [b"nope", long],
        [b"PING", long],
    ]
    refuse_long_keys(batch, Limits(key=8))
    refusal = b"-ERR key of 9 bytes exceeds limits.key (8)\r\n"
    run(one, batch)
    assert [reply == refusal for reply in one.out] == [True, False, True, False, False]
    assert one.out[1] == b"+OK\r\n"


async def test_a_long_key_spoils_a_transaction(one: Session) -> None:
    batch = [[b"MULTI"], [b"SET", b"k" * 9, b"v"], [b"EXEC"]]
    refuse_long_keys(batch, Limits(key=8))
    run(one, batch)
    assert one.out[-1] == b"-EXECABORT Transaction discarded because of previous errors.\r\n"


def test_unknown_commands_are_quoted_in_part() -> None:
    text = unknown_command([b"x" * 200, b"y" * 200, b"z"])
    assert text == f"ERR unknown command '{'x' * 128}', with args beginning with: '{'y' * 128}' "


def test_quoted_is_readable() -> None:
    assert quoted(b'a "b"\\\n\r\t\a\b\x00\xff') == rb'"a \"b\"\\\n\r\t\a\b\x00\xff"'


async def test_the_last_command_is_known(one: Session) -> None:
    for lines, name in [
        (("GET a",), "get"),
        (("GET a", "CLIENT ID"), "client|id"),
        (("MULTI", "GET a", "EXEC"), "exec"),
        (("Set a 1",), "set"),
    ]:
        replies(one, *lines)
        assert one.last_command == name
