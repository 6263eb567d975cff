"""Real daemons, real brokers, a Redis client: what a user relies on."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from crdt.codec import encode_frame
from crdt.dots import Actor
from crdt.replica import messages
from crdt.state import State
from crdt.types import strings
from tests.daemon.processes import MOSQUITTO, Daemon, World, accepts, converged, free_port, online, until

BROKERS = [
    "amqtt",
    pytest.param("mosquitto", marks=pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")),
]


@pytest.fixture
def worlds() -> Iterator[Callable[..., World]]:
    """Makes worlds whose broker is up."""
    made: list[World] = []

    def make(kind: str | None = None, **options: Any) -> World:
        made.append(World(kind, **options))
        made[-1].broker.start()
        return made[-1]

    yield make
    for world in made:
        world.end()


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    """Any broker, no daemon yet."""
    return worlds()


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Daemon, Daemon]]:
    """Two daemons that are connected and not harmed by any test that uses them."""
    world = World()
    try:
        world.broker.start()
        a, b = world.start("a", "b")
        yield a, b
    finally:
        world.end()


class Writer(threading.Thread):
    """Adds numbers to a set until told to stop; what was acknowledged is in `done`."""

    def __init__(self, daemon: Daemon, key: str) -> None:
        super().__init__(daemon=True)
        self._socket = str(daemon.socket)
        self._key = key
        self._ending = False
        self.done: set[bytes] = set()
        self.start()

    def run(self) -> None:
        number = 0
        client = redis.Redis(unix_socket_path=self._socket, socket_timeout=5)
        while not self._ending:
            number += 1
            member = f"{number}".encode()
            try:
                client.sadd(self._key, member)
                self.done.add(member)
            except redis.RedisError:
                time.sleep(0.01)

    def finish(self) -> set[bytes]:
        """What was acknowledged."""
        self._ending = True
        self.join(10)
        assert not self.is_alive()
        return self.done


# -- they converge, whatever happens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BROKERS)
def test_through_kills_restarts_and_cuts(worlds: Callable[..., World], kind: str) -> None:
    """One history: a write, a kill of either, a broker that dies, both writing apart, and a new start of all."""
    world = worlds(kind)
    a, b = world.start("a", "b")
    began = time.monotonic()
    a.redis.sadd("s", "1")
    until(lambda: b.has("s", "1"), "b to show what a wrote")
    assert time.monotonic() - began < 2

    writer = Writer(a, "w")
    until(lambda: len(writer.done) > 20, "some writes")
    actor = a.actor()
    a.kill()
    done = writer.finish()
    b.redis.sadd("s", "2")
    a.start()
    assert a.actor() == actor
    assert done <= a.redis.smembers("w")
    until(lambda: a.has("s", "1", "2") and converged(a, b), "a to have what it missed")

    writer, other = Writer(a, "w2"), b.actor()
    b.kill()
    b.start()
    assert b.actor() == other
    world.broker.stop()
    until(lambda: a.brokers()[0]["state"] != "connected", "a to notice")
    a.redis.sadd("s", "3")
    b.redis.sadd("s", "4")
    until(lambda: len(writer.done) > 50, "some writes without a broker")
    world.broker.start()
    done = writer.finish()
    until(lambda: b.has("s", "1", "2", "3", "4") and converged(a, b), "both to have everything", 30)
    assert done <= b.redis.smembers("w2")
    assert {space["divergences"] for d in (a, b) for space in d.status()["spaces"]} == {0}


@pytest.mark.parametrize("durability", ["interval", "never"])
def test_a_killed_process_loses_at_most_an_interval(world: World, durability: str) -> None:
    a = world.daemon("a", "--durability", durability).start()
    for i in range(100):
        a.redis.sadd("s", i)
    until(lambda: a.status()["spaces"][0]["pending"] == 0, "the next commit")
    b = world.daemon("b").start()
    until(lambda: converged(a, b), "b to have it")
    a.redis.sadd("s", "perhaps")
    a.kill()
    a.start()
    assert a.redis.scard("s") >= 100
    b.redis.sadd("s", "more")
    until(lambda: converged(a, b), "both to converge")
    assert a.redis.scard("s") >= 101


def test_a_broker_that_is_down_at_the_start(world: World) -> None:
    world.broker.stop()
    a = world.daemon("a").start(connected=False)
    assert a.brokers()[0]["state"] == "connecting"
    assert a.brokers()[0]["reason"]
    a.redis.set("k", "v")
    assert a.redis.get("k") == b"v"
    with pytest.raises(redis.ResponseError, match="no broker connected"):
        a.do("CRDT.SYNC")
    world.broker.start()
    until(lambda: a.brokers()[0]["state"] == "connected", "a to connect")
    assert a.do("CRDT.SYNC") == b"OK"


@pytest.mark.skipif(MOSQUITTO is None, reason="only mosquitto checks passwords")
def test_a_broker_that_refuses_the_password(worlds: Callable[..., World]) -> None:
    world = worlds("mosquitto", passwords={"somebody": "right"})
    secret = {"GOSSAMER_MQTT__USERNAME": "somebody", "GOSSAMER_MQTT__PASSWORD": "wrong"}
    a = world.daemon("a", **secret).start(connected=False)
    until(lambda: a.brokers()[0]["state"] == "refused", "a to be refused")
    a.redis.set("k", "v")
    assert a.redis.get("k") == b"v"
    assert "wrong" not in a.said()
    assert "passw" in a.brokers()[0]["reason"]
    waited = world.gossamer("wait", "--socket", str(a.socket))
    assert waited.returncode == 8
    assert a.terminate() == 0
    b = world.daemon("b", **(secret | {"GOSSAMER_MQTT__PASSWORD": "right"})).start()
    assert "right" not in b.said()


def test_two_spaces_are_apart(world: World) -> None:
    a, b = (world.daemon(name, "--space", "one", "--space", "two").start() for name in "ab")
    a.redis.set("k", "in one")
    second = redis.Redis(unix_socket_path=str(a.socket), db=1)
    second.set("k", "in two")
    until(lambda: b.redis.get("k") == b"in one", "the first space")
    far = redis.Redis(unix_socket_path=str(b.socket), db=1)
    until(lambda: far.get("k") == b"in two", "the second space")
    assert sorted(path.name for path in a.data.glob("*.db")) == ["one.db", "two.db"]


# -- waiting for others ------------------------------------------------------------------------------------------------


def test_wait_and_waitfor(pair: tuple[Daemon, Daemon]) -> None:
    a, b = pair
    client = redis.Redis(unix_socket_path=str(a.socket), single_connection_client=True)
    client.set("waited", "1")
    assert client.execute_command("WAIT", 1, 5000) == 1
    assert b.redis.get("waited") == b"1"
    began = time.monotonic()
    assert client.execute_command("WAIT", 2, 200) == 1
    assert 0.15 < time.monotonic() - began < 2
    client.set("waited", "2")
    token = client.execute_command("CRDT.VV")
    assert b.do("CRDT.WAITFOR", token, 5000) == 1
    assert b.redis.get("waited") == b"2"
    assert a.do("CRDT.VV") == b.do("CRDT.VV")
    with pytest.raises(redis.ResponseError, match="token is of space 'other'"):
        a.do("CRDT.WAITFOR", "other.kA", 10)
    with pytest.raises(redis.ResponseError, match="invalid token"):
        a.do("CRDT.WAITFOR", "default.????", 10)


def test_a_client_that_leaves_while_it_waits(pair: tuple[Daemon, Daemon]) -> None:
    a, _ = pair
    for words in (("WAIT", 9, 0), ("CRDT.WAITFOR", a.do("CRDT.VV"), 0)):
        client = redis.Redis(unix_socket_path=str(a.socket), socket_timeout=0.2, retry=None)
        client.sadd("left", "x")
        if words[0] == "WAIT":
            with pytest.raises(redis.TimeoutError):
                client.execute_command(*words)
        client.close()
    a.redis.sadd("left", "y")
    assert a.redis.scard("left") == 2


def test_a_transaction_is_seen_whole(pair: tuple[Daemon, Daemon]) -> None:
    a, b = pair
    torn: list[tuple[Any, ...]] = []
    ending = threading.Event()

    def look() -> None:
        client = redis.Redis(unix_socket_path=str(b.socket))
        while not ending.is_set():
            seen = client.mget("t1", "t2", "t3")
            if len(set(seen)) > 1:
                torn.append(tuple(seen))

    reader = threading.Thread(target=look)
    reader.start()
    for i in range(100):
        with a.redis.pipeline(transaction=True) as pipe:
            # What reports on the replica must not cut in the middle.
            pipe.set("t1", i).execute_command("CRDT.HASH").set("t2", i).execute_command("CRDT.VV").set("t3", i)
            token = pipe.execute()[3]
    assert b.do("CRDT.WAITFOR", a.do("CRDT.VV"), 5000) == 1
    assert b.do("CRDT.WAITFOR", token, 5000) == 1
    ending.set()
    reader.join()
    assert b.redis.mget("t1", "t2", "t3") == [b"99"] * 3
    assert torn == []


def test_changes_of_peers_send_events_and_fail_watches(pair: tuple[Daemon, Daemon]) -> None:
    a, b = pair
    listener = b.redis.pubsub()
    listener.psubscribe("__keyevent@0__:*")
    assert listener.get_message(timeout=5)
    with b.redis.pipeline() as pipe:
        pipe.watch("watched")
        a.redis.set("watched", "by a")
        until(lambda: b.redis.get("watched"), "b to have it")
        pipe.multi()
        pipe.set("watched", "by b")
        with pytest.raises(redis.WatchError):
            pipe.execute()
    heard = until(lambda: listener.get_message(ignore_subscribe_messages=True, timeout=0.1), "an event")
    assert (heard["channel"], heard["data"]) == (b"__keyevent@0__:set", b"watched")
    listener.close()


# -- two of a name, two of a directory ---------------------------------------------------------------------------------


def test_the_later_of_two_with_one_name_ends(world: World) -> None:
    a = world.daemon("a").start()
    a.redis.set("k", "v")
    second = Daemon(world, a.name, "--socket", f"{world.folder}/2.sock", "--data-dir", f"{world.folder}/2")
    second.log = world.folder / "second.log"
    world.daemons.append(second)
    second.launch()
    assert second.wait() == 7
    assert "choose another --name" in second.said()
    assert a.redis.get("k") == b"v"
    assert "name_shared" in a.said()


def test_one_that_has_acknowledged_writes_goes_on(world: World) -> None:
    """Both wrote before they met: nobody ends, both alarm, and nothing is lost."""
    world.broker.stop()
    a = world.daemon("a").start(connected=False)
    second = Daemon(world, a.name)
    second.socket, second.data, second.log = (world.folder / f"2.{end}" for end in ("sock", "data", "log"))
    world.daemons.append(second)
    second.start(connected=False)
    a.redis.sadd("s", "1")
    second.redis.sadd("s", "2")
    world.broker.start()
    until(lambda: a.has("s", "1", "2") and second.has("s", "1", "2"), "both to have both")
    until(lambda: "name_shared" in a.said() and "name_shared" in second.said(), "both to say so")
    assert a.process is not None
    assert a.process.poll() is None


def test_one_data_directory_belongs_to_one_daemon(world: World) -> None:
    a = world.daemon("a").start()
    second = world.daemon("second", "--data-dir", str(a.data))
    second.launch()
    assert second.wait() == 7
    assert "is in use" in second.said()
    assert not second.socket.exists()
    assert a.redis.ping()


# -- what others send --------------------------------------------------------------------------------------------------


def _publish(world: World, *sent: tuple[str, bytes]) -> None:
    import paho.mqtt.publish as publish

    packets: Any = [(topic, data, 1, False) for topic, data in sent]
    publish.multiple(packets, hostname="127.0.0.1", port=world.broker.port)


def test_garbage_is_dropped_and_counted(world: World) -> None:
    a = world.daemon("a", "--http", f"127.0.0.1:{(port := free_port())}").start()
    root = "gs/v1/default"
    a.redis.set("k", "v")
    before = a.do("CRDT.HASH")
    delta = messages.encode(messages.Delta([b"\x93\x01\x02\x03", b"", b"\xc1" * 50]))
    damaged = bytearray(delta)
    damaged[-1] ^= 1
    bodies = [b"\xff" * 100, b"\x03", b"\x03\x01", messages.envelope(3, b"\x90"), b"not for us", delta, bytes(damaged)]
    topics = (f"{root}/b/x/d", f"{root}/b/x/h", f"{root}/b/{a.name}/p", f"{root}/i/{a.name}/x", f"{root}/b/bad name/d")
    _publish(world, *((topic, body) for topic in topics for body in bodies))
    until(lambda: "malformed" in _metrics(port), "the count")
    assert a.do("CRDT.HASH") == before
    assert a.redis.get("k") == b"v"
    counted = {
        line.split('"')[1]: float(line.split()[-1])
        for line in _metrics(port).splitlines()
        if line.startswith("gossamer_dropped_messages_total{")
    }
    until(lambda: "gossamer_dropped_messages_total" in _metrics(port), "the count")
    assert sum(counted.values()) >= 10 and {"version", "checksum", "malformed"} <= counted.keys()


def test_a_clock_ten_years_ahead_blocks_nobody(world: World) -> None:
    a = world.daemon("a").start()
    state = State(Actor("future", 7))
    state.begin((int(time.time()) + 10 * 365 * 86400) * 1000)
    strings.put(state, b"k", b"from the future")
    frame = state.cut()
    assert frame is not None
    _publish(world, ("gs/v1/default/b/future/d", messages.encode(messages.Delta([encode_frame(frame)]))))
    until(lambda: a.redis.get("k") == b"from the future", "a to have it")
    assert "clock is far ahead" in a.said()
    a.redis.set("k", "now")
    assert a.redis.get("k") == b"now"
    a.kill()
    a.start()
    assert a.redis.get("k") == b"now"
    assert abs(a.status()["peers"][0]["clock_skew_seconds"] if a.status()["peers"] else 0) < 1


# -- signals -----------------------------------------------------------------------------------------------------------


def test_sigterm_publishes_what_is_pending(world: World) -> None:
    b = world.daemon("b").start()
    a = world.daemon("a", "--interval", "1h", "--durability", "never").start()
    a.redis.sadd("s", "last words")
    began = time.monotonic()
    assert a.terminate() == 0
    assert time.monotonic() - began < 5
    assert not a.socket.exists()
    until(lambda: b.has("s", "last words"), "b to have it", 3)
    until(lambda: [peer["state"] for peer in b.status()["peers"]] == ["offline"], "b to see it off", 3)


def test_sigint_ends_in_order(world: World) -> None:
    a = world.daemon("a").start()
    assert a._end(signal.SIGINT) == 0


def test_sighup_takes_what_it_can_and_refuses_a_bad_file(world: World) -> None:
    file = world.folder / "gossamer.toml"
    file.write_text("[limits]\nvalue = 100\n")
    a = world.daemon("a", "--config", str(file)).start()
    with pytest.raises(redis.ResponseError, match="exceeds limits"):
        a.redis.set("k", "x" * 101)
    assert a.process is not None
    file.write_text("[limits]\nvalue = 'many'\n")
    a.process.send_signal(signal.SIGHUP)
    until(lambda: "reload_failed" in a.said(), "it to complain")
    with pytest.raises(redis.ResponseError, match="exceeds limits"):
        a.redis.set("k", "x" * 101)
    file.write_text("[limits]\nvalue = 200\n[gossip]\ninterval = '1s'\n[api]\nsocket_mode = '0600'\n")
    a.process.send_signal(signal.SIGHUP)
    until(lambda: '"restart_needed"' in a.said(), "it to reload")
    assert a.redis.set("k", "x" * 101)
    said = next(json.loads(line) for line in a.said().splitlines() if '"reloaded"' in line)
    assert "limits.value" in said["changed"]
    needs = next(json.loads(line) for line in a.said().splitlines() if '"restart_needed"' in line)
    assert "api.socket_mode" in needs["what"]


# -- TCP, HTTP, the command line ---------------------------------------------------------------------------------------


def _metrics(port: int) -> str:
    return _get(port, "/metrics")[1]


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_tcp_asks_for_the_password_and_the_socket_does_not(world: World) -> None:
    tcp = free_port()
    a = world.daemon("a", "--listen", f"127.0.0.1:{tcp}", GOSSAMER_API__PASSWORD="open sesame").start()
    at_once = Retry(NoBackoff(), 0)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=tcp, protocol=2, retry=at_once).get("k")
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=tcp, password="wrong", retry=at_once).get("k")
    friend = redis.Redis(port=tcp, password="open sesame")
    friend.set("k", "v")
    assert a.redis.get("k") == b"v"
    assert "sesame" not in a.said()
    assert "sesame" not in str(a.do("CONFIG", "GET", "*"))


def test_http(world: World) -> None:
    port = free_port()
    a = world.daemon("a", "--http", f"127.0.0.1:{port}").start()
    a.redis.set("secret key", "secret value")
    assert _get(port, "/livez") == (200, "ok\n")
    assert _get(port, "/readyz") == (200, "ok\n")
    document = json.loads(_get(port, "/status")[1])
    assert document["spaces"][0]["keys"] == 1
    assert document["brokers"][0]["state"] == "connected"
    assert document.keys() == a.status().keys()
    metrics = _metrics(port)
    assert 'gossamer_keys{space="default"} 1.0' in metrics
    assert 'gossamer_commands_total{command="set"} 1.0' in metrics
    assert "secret" not in metrics + str(document)
    assert _get(port, "/")[0] == 404


def test_the_command_line(pair: tuple[Daemon, Daemon]) -> None:
    a, b = pair

    def run(*words: str) -> tuple[int, str]:
        done = a.world.gossamer("--socket", str(a.socket), *words)
        return done.returncode, done.stdout + done.stderr

    assert run("ping")[0] == 0
    assert run("ping")[1].startswith("PONG")
    code, text = run("status", "--json")
    assert code == 0
    assert json.loads(text)["name"] == a.name
    assert run("status")[0] == 0
    assert b.name in run("members")[1]
    assert run("cmd", "SET", "cli", "v") == (0, "OK\n")
    assert run("cmd", "GET", "cli") == (0, "v\n")
    assert run("cmd", "GET", "nothing")[0] == 4
    assert run("cmd", "INCR", "cli")[0] == 1
    code, text = run("wait", "--timeout", "10s")
    assert (code, text.split(" peers")[0]) == (0, "1 of 1")
    assert b.redis.get("cli") == b"v"
    assert run("wait", "--peers", "2", "--timeout", "300ms")[0] == 6


def test_watch_sees_what_peers_do(pair: tuple[Daemon, Daemon]) -> None:
    import subprocess

    from tests.daemon.processes import GOSSAMER

    a, b = pair
    with subprocess.Popen(
        [*GOSSAMER, "watch", "seen*", "--socket", str(a.socket)], stdout=subprocess.PIPE, env=a.world.environ()
    ) as watching:
        until(lambda: a.do("PUBSUB", "NUMPAT") or a.do("PUBSUB", "CHANNELS"), "it to listen")
        b.redis.set("unseen", "x")
        b.redis.sadd("seen:1", "x")
        assert watching.stdout is not None
        assert watching.stdout.readline() == b"sadd seen:1\n"
        watching.terminate()


def test_nobody_at_the_socket(world: World) -> None:
    assert world.gossamer("ping", "--socket", f"{world.folder}/nobody.sock").returncode == 3
    a = world.daemon("a").start()
    a.kill()
    assert a.socket.exists()
    assert world.gossamer("ping", "--socket", str(a.socket)).returncode == 3
    a.start()
    assert world.gossamer("ping", "--socket", str(a.socket), "--timeout", "5s").returncode == 0


def test_an_embedded_broker(world: World) -> None:
    world.broker.stop()
    port = free_port()
    a = world.daemon("a", "--embedded-broker", f"127.0.0.1:{port}").start()
    b = world.daemon("b", "--broker", f"mqtt://127.0.0.1:{port}").start()
    a.redis.sadd("s", "1")
    until(lambda: b.has("s", "1"), "b to have it")
    assert online(a) == [b.name]
    assert a.terminate() == 0
    assert not accepts(port)
