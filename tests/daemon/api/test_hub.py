"""The hub of the tests is a hub, so what is tested with it holds for any other."""

from __future__ import annotations

from daemon.api.hub import Hub
from daemon.node import Node
from tests.daemon.api import serving


def wanted() -> set[str]:
    """The names that a hub must have."""
    return {name for name in {**Hub.__annotations__, **vars(Hub)} if not name.startswith("_")}


def test_the_hub_of_the_tests_has_everything() -> None:
    hub = serving.Hub()
    assert {name for name in wanted() if not hasattr(hub, name)} == set()


def test_the_node_has_every_method() -> None:
    methods = {name for name in wanted() if callable(vars(Hub).get(name))}
    assert methods == {"begin", "settle", "info", "shutdown", "space_of", "status"}
    assert {name for name in methods if not hasattr(Node, name)} == set()
