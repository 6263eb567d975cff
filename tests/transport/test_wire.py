"""The one byte that is the transport's own."""

from __future__ import annotations

import pytest

from transport.wire import PROBE_SIZE, check_payload, is_probe, probe


def test_probes_are_told_from_messages() -> None:
    assert is_probe(probe(0)) and is_probe(probe(2**64 - 1))
    assert len(probe(7)) == PROBE_SIZE
    assert probe(7) != probe(8)
    assert not is_probe(b"\x01" + bytes(8))


@pytest.mark.parametrize("data", [b"", b"\x00", probe(1)])
def test_what_the_engine_must_not_publish(data: bytes) -> None:
    with pytest.raises(ValueError):
        check_payload(data)


def test_everything_else_is_its_own_business() -> None:
    for first in range(1, 256):
        check_payload(bytes((first,)))
