"""The sentences at the bounds."""

from __future__ import annotations

import pytest

from crdt.errors import UsageError
from daemon.api.limits import Limits, key_too_long, request_too_long, value_too_long


def test_a_value_may_fill_its_bound() -> None:
    Limits(value=10).check_value(10)


def test_a_longer_value_is_refused_with_both_sizes() -> None:
    with pytest.raises(UsageError) as refusal:
        Limits().check_value(2097152)
    assert refusal.value.resp == "ERR value of 2097152 bytes exceeds limits.value (1048576)"


def test_sentences() -> None:
    assert value_too_long(2, 1) == "ERR value of 2 bytes exceeds limits.value (1)"
    assert key_too_long(2, 1) == "ERR key of 2 bytes exceeds limits.key (1)"
    assert request_too_long(2, 1) == "ERR request of 2 bytes exceeds limits.request (1)"
