"""A small scaling run, with bounds: what `make scale` measures with up to 1,000 replicas."""

from __future__ import annotations

import pytest

from tests import scaling
from tests.scaling import Row, measure, svg, table
from tests.simulation.fleet import Fleet, decoded_once

ROWS: dict[int, Row] = {}


@pytest.fixture(params=[10, 30])
def row(request: pytest.FixtureRequest) -> Row:
    """Measured once."""
    if request.param not in ROWS:
        ROWS[request.param] = measure(request.param)
    return ROWS[request.param]


def test_idle_traffic_is_that_of_the_published_formula(row: Row) -> None:
    hellos = (row.replicas - 1) / row.period
    assert hellos <= 4.1
    assert 60 * hellos < row.idle_received < 110 * hellos
    assert row.idle_sent == pytest.approx(row.idle_received / (row.replicas - 1), rel=0.05)


def test_all_become_equal_soon(row: Row) -> None:
    assert row.burst is not None and row.burst < 5
    assert row.partition is not None and row.partition < 5
    assert row.restart is not None and row.restart < 10  # of which 5 to find the broker again


def test_an_operation_costs_what_it_carries(row: Row) -> None:
    assert row.operation is not None and row.operation < 350
    assert row.partition_bytes is not None and row.partition_bytes < 350


def test_no_stampede_when_the_broker_is_back(row: Row) -> None:
    assert row.restart_peak is not None and row.restart_peak <= 30


def test_without_the_formula_idle_traffic_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr("crdt.replica.tuning.Tuning.hello_period", lambda self, peers: self.heartbeat)
    with decoded_once():
        fleet = Fleet(40)
        fleet.connect_all()
        fleet.run(30.0)
        received, _ = scaling._idle(fleet, 30.0)
    assert received / 4.1 > 110


def test_the_table_and_the_plot_hold_what_was_measured(row: Row) -> None:
    assert f"| replicas | {row.replicas} |" in table([row])
    assert svg([row]).count("<rect") == 5
