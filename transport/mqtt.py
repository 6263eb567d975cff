"""One link to one broker: connects, proves that it works, says how it is, tries again.

A session: a fresh client (one that lost its connection must never be entered again: it would "connect" without being
let in), CONNECT, the two subscriptions of every space, then an echo probe to our own inbox. Only the echo makes the
link "connected": a broker whose ACL or size limit swallows what we publish still says OK to every publish.

Knows: the life of an MQTT connection. Promises: no exception leaves it; no attempt to connect is cancelled half way
(that would leave a ghost holding our client id); one log line for each change that a person may have to act on.
Must not know: the other links, what payloads mean.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import aiomqtt

from transport.door import Door
from transport.handshake import Attempt, connected, subscribe
from transport.interface import HELLO, PRESENCE, LinkState, LinkStatus
from transport.mqtt_settings import BrokerAddress, MqttSettings
from transport.pacing import Backoff, RateLimit
from transport.pipe import Pipe
from transport.refusal import HungUp, Refused, Verdict, check_plaintext, judge
from transport.wire import PACKET_OVERHEAD, probe

log = logging.getLogger("transport")

FAREWELL_SECONDS = 1.0
LEAVE_SECONDS = 2.0
MISSED_PROBES = 2


class LinkOwner(Protocol):
    """Who has the link."""

    def link_up(self) -> None:
        """A link became usable."""
        ...

    def link_down(self) -> None:
        """A link, which was usable, no longer is."""
        ...


class MqttLink:
    """A broker of ours. `offer` is the hot path; everything else is the life of the connection."""

    def __init__(
        self, address: BrokerAddress, settings: MqttSettings, door: Door, owner: LinkOwner, rng: random.Random
    ) -> None:
        self.up = False
        self._address = address
        self._settings = settings
        self._door = door
        self._owner = owner
        self._rng = rng
        self._full_message = settings.max_message + PACKET_OVERHEAD
        self._rate = RateLimit(
            settings.messages_per_second, settings.bytes_per_second, self._full_message, time.monotonic()
        )
        self._backoff = Backoff(settings.retry_base_seconds, settings.retry_max_seconds, rng)
        self._stopping = asyncio.Event()
        self._farewell: Sequence[tuple[str, str, bytes]] = ()
        self._task: asyncio.Task[None] | None = None
        # The session, if there is one.
        self._attempt = Attempt(address, settings, "", v5=True, will=None)
        self._pipe: Pipe | None = None
        self._let_in_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._probe = b""
        self._probe_sent_at = 0.0
        self._probes_missed = 0
        # What outlives a session.
        self._only_old_protocol = False
        self._try_old_protocol = False
        self._state: LinkState = "connecting"
        self._reason: str | None = "not yet connected"
        self._told: str | None = None
        self._round_trip: float | None = None

    # What the owner calls.

    def status(self) -> LinkStatus:
        """How the broker looks from here."""
        return LinkStatus(self._address.url, self._state, self._round_trip, self._reason)

    def offer(self, topic: str, lane: str, data: bytes) -> str | None:
        """Sends one message now; returns None, or why nobody should count on it (a reason of `Counters.dropped`)."""
        pipe = self._pipe
        if pipe is None or self._state == "connecting":
            return "disconnected"
        if len(data) + PACKET_OVERHEAD > self._attempt.packet_limit:
            return "too_large"
        if pipe.full:
            return "queue_full"
        if not self._rate.allow(len(topic) + len(data), time.monotonic()):
            return "rate_limited"
        if not self._send(pipe, topic, lane, data):
            return "disconnected"
        # A mute broker gets it all the same: its ACL may forbid nothing but the inbox.
        return None if self.up else "mute"

    def ready_in(self) -> float:
        """Seconds until the rate limit would let a message of full size pass."""
        return 0.0 if self._rate.unlimited else self._rate.wait(self._full_message, time.monotonic())

    def start(self) -> None:
        """Begins to connect."""
        self._task = asyncio.create_task(self._run(), name=f"link {self._address.url}")

    async def stop(self, farewell: Sequence[tuple[str, str, bytes]]) -> None:
        """Sends `farewell` (topic, lane, data), takes leave, ends; stops waiting for that after about 2 s."""
        self._farewell = farewell
        self._stopping.set()
        if self._task is not None:
            self._attempt.abandon()
            await asyncio.wait({self._task}, timeout=LEAVE_SECONDS)

    # The life of the link.

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self._let_in_at = None
            try:
                self._attempt = self._new_attempt()
                await self._session(self._attempt)
                continue
            except (aiomqtt.MqttError, OSError, Refused, HungUp) as error:
                verdict = judge(error, self._attempt.client_id, self._attempt.user)
            except Exception as error:
                verdict = Verdict(f"unexpected {type(error).__name__}: {error}")
                if verdict.reason != self._reason:
                    log.exception("broker %s: unexpected failure of the link", self._address.url)
            if not self._stopping.is_set():
                await self._pause(self._take_note(verdict))

    def _new_attempt(self) -> Attempt:
        v5 = not (self._only_old_protocol or self._try_old_protocol)
        # From the system, not from our own dice: those of a clone fall alike.
        client_id = f"{self._settings.replica}-{secrets.token_hex(6)}"
        return Attempt(self._address, self._settings, client_id, v5, self._door.will())

    async def _session(self, attempt: Attempt) -> None:
        """From CONNECT to the end of the connection: raises what ended it, returns when told to stop."""
        check_plaintext(self._address, self._settings.allow_plaintext)
        async with connected(attempt) as client:
            if self._stopping.is_set():
                return
            self._let_in_at = time.monotonic()
            self._become("connecting", "let in, waiting for the first echo")
            pipe = Pipe(client, self._on_message, self._on_not_accepted, self._door.owner.busy)
            # aiomqtt tells of a lost connection only to those who wait for messages, so somebody always does.
            lost = asyncio.create_task(_until_lost(client))
            try:
                await _unless(lost, subscribe(client, attempt, self._door.topics))
                self._pipe = pipe
                self._warn_of_limit(attempt)
                self._send_probe()
                await self._until_over(pipe, lost)
            finally:
                await _cancel(lost)
                self._hang_up()

    async def _until_over(self, pipe: Pipe, lost: asyncio.Task[None]) -> None:
        """Until the connection is lost (raises why) or we are told to stop (returns when we have said good-bye)."""
        told = asyncio.create_task(self._stopping.wait())
        ends: set[asyncio.Future[Any]] = {lost, told, pipe.broken}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(told)
        if lost.done():
            lost.result()
        if pipe.broken.done():
            raise OSError(f"the connection failed: {pipe.broken.result()}")
        for topic, lane, data in self._farewell:
            self._send(pipe, topic, lane, data)
        await pipe.drain(FAREWELL_SECONDS)

    def _hang_up(self) -> None:
        self._pipe = None
        self._probe = b""
        self._probes_missed = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._become("connecting", "the connection ended")

    def _take_note(self, verdict: Verdict) -> float:
        """Remembers why a session ended; returns the seconds to wait before the next."""
        if verdict.old_protocol and not self._only_old_protocol:
            self._only_old_protocol = True
            return 0.0
        if verdict.silent and self._let_in_at is None and not self._only_old_protocol:
            self._try_old_protocol = not self._try_old_protocol
            if self._try_old_protocol:
                return 0.0
        if verdict.refused:
            self._become("refused", verdict.reason)
            return self._backoff.refused(self._settings.refused_retry_seconds)
        self._become("connecting", verdict.reason, tell=True)
        return self._backoff.next(0.0 if self._let_in_at is None else time.monotonic() - self._let_in_at)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            pass

    # Messages.

    def _send(self, pipe: Pipe, topic: str, lane: str, data: bytes) -> bool:
        presence = lane == PRESENCE
        properties = self._attempt.presence_properties() if presence else None
        if not pipe.send(topic, data, 0 if lane == HELLO else 1, presence, properties):
            return False
        self._door.counters.sent(lane, len(topic) + len(data))
        return True

    def _on_message(self, topic: str, data: bytes) -> None:
        if self._probe and data == self._probe and topic == self._door.topics.probe():
            self._on_echo(topic, data)
        else:
            self._door.incoming(topic, data)

    def _on_not_accepted(self) -> None:
        self._door.counters.dropped["refused"] += 1

    # The echo probe.

    def _send_probe(self) -> None:
        if self._pipe is None:
            return
        topic = self._door.topics.probe()
        self._probe = probe(self._rng.getrandbits(64))
        self._probe_sent_at = time.monotonic()
        self._rate.take(len(topic) + len(self._probe), self._probe_sent_at)
        self._send(self._pipe, topic, "probe", self._probe)
        self._set_timer(self._settings.probe_timeout_seconds, self._on_probe_missed)

    def _on_echo(self, topic: str, data: bytes) -> None:
        self._door.counters.received("probe", len(topic) + len(data))
        self._round_trip = time.monotonic() - self._probe_sent_at
        self._probe = b""
        self._probes_missed = 0
        self._set_timer(self._settings.probe_interval_seconds, self._send_probe)
        self._become("connected", None)

    def _on_probe_missed(self) -> None:
        self._probes_missed += 1
        if not self.up or self._probes_missed >= MISSED_PROBES:
            self._become(
                "mute",
                "connected, but what is published does not come back: check that the broker's ACL lets the user "
                f"{self._attempt.user!r} write and read {self._door.topics.probe()}, its size limit, and mqtt.prefix",
            )
        self._send_probe()

    def _set_timer(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    # What others see.

    def _become(self, state: LinkState, reason: str | None, tell: bool = False) -> None:
        """Changes the state; the owner hears of it if the link became usable, or stopped to be."""
        self._state, self._reason = state, reason
        if state != "connecting" or tell:
            self._tell(state, reason)
        up = state == "connected"
        if up != self.up:
            self.up = up
            if up:
                self._owner.link_up()
            else:
                self._owner.link_down()

    def _tell(self, state: LinkState, reason: str | None) -> None:
        """Logs a change once; a broker that is away is one line, however often and in whatever words it is away."""
        news = f"{state}: {reason}" if state == "refused" else state
        if news == self._told:
            return
        self._told = news
        url = self._address.url
        if state == "connected":
            log.info("broker %s: connected, round trip %.1f ms", url, (self._round_trip or 0.0) * 1000)
        elif state == "refused":
            log.error(
                "broker %s: %s. Trying again every %.0f s; everything else goes on.",
                url,
                reason,
                self._settings.refused_retry_seconds,
            )
        elif state == "mute":
            log.error("broker %s: %s", url, reason)
        else:
            log.warning("broker %s: %s%s Trying again.", url, reason, "" if (reason or "").endswith("?") else ".")

    def _warn_of_limit(self, attempt: Attempt) -> None:
        if attempt.packet_limit < self._full_message:
            log.warning(
                "broker %s takes packets of at most %d bytes, larger ones are dropped: set mqtt.max_message below that",
                self._address.url,
                attempt.packet_limit,
            )


async def _until_lost(client: aiomqtt.Client) -> None:
    """Raises MqttError when the connection ends. The messages themselves go past this iterator, see pipe.py."""
    async for _ in client.messages:
        pass


async def _unless(lost: asyncio.Task[None], work: Coroutine[Any, Any, None]) -> None:
    """Awaits `work`, but raises at once what `lost` raises."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, lost}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            lost.result()
        await task
    finally:
        await _cancel(task)


async def _cancel(task: asyncio.Task[Any]) -> None:
    """Ends a task; what it raises has been looked at by then, or is of no interest."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
