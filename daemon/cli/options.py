"""Options that several verbs share.

Knows: the flags that name a daemon, and the flags that are settings. Promises: what stands before the verb (`gossamer
--json status`) counts as if it stood behind it. Must not know: what settings mean; config does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from config.values import duration
from daemon.cli.target import Target

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """Seconds, from a text such as 200ms."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(value) if isinstance(value, (int, float)) else duration(value)
        except ValueError:
            self.fail(f"{value!r} is no duration such as 200ms, 5s, 1m or 0", param, ctx)


def _inherited(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """The value given to the verb, else the one given before the verb."""
    root = ctx.find_root()
    if value in (None, False) and root is not ctx:
        return root.params.get(parameter.name or "", value)
    return value


def _option(*names: str, **attributes: Any) -> Callable[[F], F]:
    return click.option(*names, callback=_inherited, **attributes)


def target_options(function: F) -> F:
    """Adds --socket, --name and --json as they are."""
    function = _option("--name", metavar="NAME", help="The daemon with this name in the run directory.")(function)
    return _option("--socket", metavar="PATH", help="The daemon behind this socket.")(json_option(function))


def json_option(function: F) -> F:
    """Adds --json as `as_json`."""
    return _option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def client_verb(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that name a daemon and passes them on as the first argument, a Target."""

    @target_options
    @wraps(function)
    def verb(*, socket: str | None, name: str | None, as_json: bool, **rest: Any) -> None:
        function(Target.of(socket, name, as_json), **rest)

    return verb


_SETTINGS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--config",), {"metavar": "FILE", "help": "Read this file instead of the usual one."}),
    (("--name",), {"metavar": "NAME", "help": "This replica; by default the host's name."}),
    (("--space",), {"metavar": "SPACE", "multiple": True, "help": "Replicate this space; repeatable."}),
    (("--broker",), {"metavar": "URL", "multiple": True, "help": "mqtt:// or mqtts://; repeatable, all are used."}),
    (("--embedded-broker",), {"metavar": "HOST:PORT", "help": "Run a broker here and use it (demos, tests)."}),
    (("--socket",), {"metavar": "PATH", "help": "The Unix socket for local programs."}),
    (("--listen",), {"metavar": "HOST:PORT", "help": "The same protocol over TCP."}),
    (("--http",), {"metavar": "HOST:PORT", "help": "Health, metrics and status."}),
    (("--data-dir",), {"metavar": "DIR", "help": "Where state is kept."}),
    (("--interval",), {"metavar": "DURATION", "help": "How often deltas are published; 0 = after each commit."}),
    (("--heartbeat",), {"metavar": "DURATION", "help": "How often the replica says what it has."}),
    (("--durability",), {"metavar": "always|interval|never", "help": "What a reply promises."}),
    (("--log-level",), {"metavar": "LEVEL", "help": "debug, info, warning or error."}),
    (("--log-format",), {"metavar": "console|json", "help": "By default console on a terminal."}),
)


def settings_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds every flag of `gossamer run` and passes them on as `flags`, ready for config.load.load."""

    @wraps(function)
    def verb(**given: Any) -> Any:
        flags = {name: given.pop(name) for name in _FLAG_NAMES}
        return function(flags=flags, **given)

    for names, attributes in reversed(_SETTINGS):
        verb = _option(*names, **attributes)(verb)
    return verb


_FLAG_NAMES = [names[0].removeprefix("--").replace("-", "_") for names, _ in _SETTINGS]
