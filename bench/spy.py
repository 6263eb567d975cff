"""What travels through the broker, counted by a subscriber that is nobody's peer.

Knows: the topic layout (transport/topics.py). Promises: bytes of payload by sender and lane ("i" for inboxes) since the
last `reset`, and when a sender's first one came. Must not know: what the payloads mean.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


class Spy:
    """A context manager; counts from the moment it is entered."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._port = port
        self._counted: Counter[tuple[str, str]] = Counter()
        self._first: dict[str, float] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Spy:
        subscribed = threading.Event()
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self._client.subscribe("gs/v1/#", qos=1)
        if not subscribed.wait(10):
            raise RuntimeError("the broker does not answer a subscription")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        parts = message.topic.split("/")
        if len(parts) == 6:
            sender, lane = (parts[4], parts[5]) if parts[3] == "b" else (parts[5], "i")
            with self._lock:
                self._counted[sender, lane] += len(message.payload)
                self._first.setdefault(sender, time.monotonic())

    def reset(self) -> None:
        """Count from zero."""
        with self._lock:
            self._counted.clear()
            self._first.clear()

    def bytes(self, sender: str, lane: str) -> int:
        """Payload bytes that this replica has sent on this lane."""
        with self._lock:
            return self._counted[sender, lane]

    def since_first(self, sender: str) -> float:
        """Seconds since this replica's first message. Raises KeyError if none has come."""
        with self._lock:
            return time.monotonic() - self._first[sender]
