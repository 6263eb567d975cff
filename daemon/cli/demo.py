"""`gossamer demo`: see replicas part, write on both sides, die and converge.

Knows: flags, signals, exit statuses. Must not know: what a demo consists of (daemon/demo).
"""

from __future__ import annotations

import secrets
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

import click

from daemon.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.demo.plan import Plan
    from daemon.demo.stage import Stage


@click.command()
@click.option("--seconds", type=click.FloatRange(min=4), default=30.0, show_default=True, help="About how long.")
@click.option("--replicas", type=click.IntRange(2, 8), default=3, show_default=True, help="How many daemons.")
@click.option("--seed", type=int, metavar="N", help="Makes the same choices again.  [random, and printed]")
@click.option("--plain", is_flag=True, help="Lines instead of a picture.")
def demo(seconds: float, replicas: int, seed: int | None, plain: bool) -> None:
    """Watch replicas part, write on both sides, and converge.

    Exits with 0 only if no acknowledged write was lost and all replicas are equal, with 6 if they are not equal.
    """
    from rich.console import Console

    from daemon.demo.plan import make_plan

    plan = make_plan(seconds, replicas, secrets.randbelow(10_000) if seed is None else seed)
    console = Console(highlight=False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        sys.exit(_perform(plan, console, plain or not console.is_terminal))
    except KeyboardInterrupt:
        raise CliError("interrupted; every process of the demo has been ended", Exit.FAILURE) from None


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _perform(plan: Plan, console: Console, plain: bool) -> int:
    """The exit status. Raises CliError if it could not be carried through."""
    try:
        from redis.exceptions import RedisError

        from daemon.demo.director import DemoFailed
        from daemon.demo.process import DaemonFailed
        from daemon.demo.stage import Stage
        from transport.embedded import EmbeddedBrokerMissing

        stage = Stage(plan)
    except ModuleNotFoundError as error:
        raise CliError(f"the demo needs {error.name}: install gossamer[demo]", Exit.USAGE) from None
    except EmbeddedBrokerMissing:
        raise CliError("the demo needs amqtt: install gossamer[demo]", Exit.USAGE) from None
    try:
        with stage:
            status = _direct(stage, console, plain)
    except (DemoFailed, DaemonFailed, RedisError, OSError) as error:
        raise CliError(f"{error}; logs and data are in {stage.folder}", Exit.FAILURE) from None
    if status:
        click.echo(f"gossamer: logs and data are in {stage.folder}; the same again: --seed {plan.seed}", err=True)
    return status


def _direct(stage: Stage, console: Console, plain: bool) -> int:
    """The exit status; decides whether the folder stays."""
    from daemon.demo import ending
    from daemon.demo.director import Director
    from daemon.demo.live import LiveView
    from daemon.demo.plain import PlainView

    plan = stage.plan
    ways = f"seed {plan.seed}, {len(plan.replicas)} replicas, {len(plan.agents)} agents, about {plan.seconds:g} s"
    console.print(f"gossamer demo: {ways}", style="bold", soft_wrap=True)
    view = PlainView(lambda text: click.echo(text)) if plain else LiveView(console)
    stage.keep = True
    try:
        outcome = Director(stage, view).run()
        stage.keep = ending.status(outcome) != 0
    except KeyboardInterrupt:
        stage.keep = False
        raise
    finally:
        # Whoever is impatient now would leave processes behind; ending them takes seconds at most.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        view.close()
    for line in ending.lines(outcome):
        console.print(line, soft_wrap=True)
    return ending.status(outcome)
