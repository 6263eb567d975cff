"""Peers: how they are, and how long to wait for them."""

from __future__ import annotations

from crdt.replica.peers import MIN_TIMEOUT, Peer, Peers


def test_online_silent_offline() -> None:
    peer = Peer("a", last_seen=10.0, period=1.0)
    assert peer.state(12.0) == "online" and peer.state(13.5) == "silent"
    peer.offline = True
    assert peer.state(12.0) == "offline"


def test_the_table_is_bounded_and_keeps_the_lately_heard() -> None:
    peers = Peers(limit=3)
    for i in range(5):
        peers.get(f"p{i}", float(i))
    assert sorted(peers.by_name) == ["p2", "p3", "p4"]


def test_timeouts_follow_the_round_trips() -> None:
    peer = Peer("a")
    assert peer.timeout(0, 3.0) == 0.3
    for _ in range(20):
        peer.answered(0.001)
    assert peer.timeout(0, 3.0) == MIN_TIMEOUT
    for _ in range(20):
        peer.answered(1.0)
    assert 0.9 < peer.timeout(0, 3.0) <= 3.0
    assert peer.timeout(50, 3.0) == 3.0
    assert peer.timeout(1, 3.0) > peer.timeout(0, 3.0)


def test_strangers_by_the_thousand_make_room_by_the_dozen() -> None:
    peers = Peers(limit=160)
    for i in range(160):
        peers.get(f"p{i}", float(i))
    for i in range(160, 170):
        peers.get(f"p{i}", float(i))
        assert len(peers.by_name) == i - 9  # ten went at once
    assert min(peer.last_seen for peer in peers.by_name.values()) == 10.0
    peers.get("p170", 170.0)
    assert len(peers.by_name) == 151 and peers.here <= 151
