"""Real daemons and two real mosquittos, cut, killed and stopped at random while programs write; then the account.

    python tests/chaos.py --minutes 30
    python tests/chaos.py --minutes 3 --seed 4711 --daemons 5
    python tests/chaos.py --minutes 3 --durability interval

The run is made of rounds. In each, programs write and read through every daemon while the nemesis does what the seed
drew; then everything is healed, the programs stop, all replicas have to become equal, and every acknowledged write of
the round is looked for on each of them. At the end all rounds are looked at again, everything is killed at once,
started without a broker, and has to hold the same. Exit code 0: everything held. 1: something did not; the logs are
kept. 2: it could not be run. The seed fixes the faults and their moments, not what the machine makes of them.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    # As a program its own folder comes first on the path, and tests/daemon would stand for daemon.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from redis.exceptions import RedisError

from tests.chaos_parts import checks
from tests.chaos_parts.arena import NAMES, SPACES, SYNCED, Arena, Failed
from tests.chaos_parts.ledger import Kind, Ledger
from tests.chaos_parts.plan import Act, Fault, draw
from tests.chaos_parts.reader import Reader
from tests.chaos_parts.verdict import Line, judge
from tests.chaos_parts.writer import ANSWER_WITHIN, Program, Writer
from tests.daemon.processes import MOSQUITTO

ROUND = 45.0
"""Seconds of faults in a round."""
PAUSE = 0.08
"""Seconds between two steps of a program, on average: the machine has other work as well."""
_TICK = 0.05
_SAY_EVERY = 5.0


@dataclass(slots=True)
class Chaos:
    """One run. `say` takes a line of text."""

    seconds: float
    seed: int
    daemons: int = 4
    durability: str = "always"
    without: tuple[Fault, ...] = ()
    round_seconds: float = ROUND
    say: Callable[[str], None] = print
    arena: Arena = field(init=False)
    ledgers: list[Ledger] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds of the slowest convergence."""
    rounds: int = 0
    looks: int = 0
    _began: float = field(default_factory=time.monotonic)
    _said: float = 0.0
    _phase: str = "start"

    def run(self) -> bool:
        """Whether everything held."""
        self._say(f"seed {self.seed}: {self.daemons} daemons, durability {self.durability}, about {self.seconds:.0f} s")
        self.arena = Arena(self.daemons, self.durability, self.without)
        trouble: list[str] = []
        interrupted = False
        try:
            self._run()
            trouble = self.arena.trouble()
        except KeyboardInterrupt:
            interrupted = True
            raise
        except (Failed, RedisError, OSError, AssertionError) as error:
            trouble = [f"{type(error).__name__}: {error}", *self.arena.trouble()]
        finally:
            self.arena.end(keep=bool(trouble) and not interrupted)
        return self._report(trouble)

    def _run(self) -> None:
        self.arena.start()
        if impossible := [fault.word for fault in Fault if fault not in self.arena.faults()]:
            self._say(f"left out or not possible here: {', '.join(impossible)}")
        end = time.monotonic() + self.seconds
        while self.rounds == 0 or time.monotonic() < end:
            self._round(min(self.round_seconds, max(5.0, end - time.monotonic())))
        self._phase = "all rounds again"
        self._look_at(self.ledgers)
        self._kill_all()

    def _round(self, seconds: float) -> None:
        self.rounds += 1
        ledgers = [Ledger(space) for space in range(len(SPACES))]
        self.ledgers += ledgers
        self.arena.ledgers = ledgers
        programs = self._programs(ledgers)
        for program in programs:
            program.start()
        self._phase = f"round {self.rounds}"
        arena = self.arena
        acts = draw(
            f"{self.seed}/{self.rounds}", seconds, arena.names, tuple(arena.ways), tuple(arena.brokers), arena.faults()
        )
        self._storm(acts, seconds, programs)
        self.arena.undo_all()
        self.arena.wait_until_all_serve()
        self._stop(programs)
        self.looks += sum(program.looks for program in programs if isinstance(program, Reader))
        self._phase = f"round {self.rounds}, converging"
        took = checks.settle(self.arena)
        self.arena.sample()
        self.slowest = max(self.slowest, took)
        self._look_at(ledgers)
        self.arena.end_copies()
        if self.arena.trouble():
            raise Failed("a daemon complained")
        self._say(f"{self._phase}: equal after {took:.1f} s, {_sum(ledgers):,} acknowledged writes are everywhere")

    def _programs(self, ledgers: list[Ledger]) -> list[Program]:
        """Two writers and a reader beside each daemon for the first space, one and one for the second."""
        made: list[Program] = []
        for ledger in ledgers:
            holders = self.arena.holders(ledger.space)
            beside = [name for name in holders for _ in range(2 - ledger.space)]
            names = [f"{name}{number}" for number, name in enumerate(beside)]
            key, seed = f"r{self.rounds}", f"{self.seed}/{self.rounds}/{ledger.space}"
            for number, name in enumerate(beside):
                socket = self.arena.daemons[name].socket
                made.append(Writer(number, names, name, socket, ledger, seed, PAUSE, key))
            for name in holders:
                socket = self.arena.daemons[name].socket
                made.append(Reader(f"reader-{name}", names, name, socket, ledger, seed, PAUSE, key))
        return made

    def _storm(self, acts: tuple[Act, ...], seconds: float, programs: list[Program]) -> None:
        """Faults come and go at their moments."""
        began = time.monotonic()
        moments = sorted(
            [(act.at, True, act) for act in acts] + [(act.until, False, act) for act in acts], key=lambda m: m[:2]
        )
        for at, strikes, act in moments:
            self._wait(began + at, programs)
            if strikes:
                self.arena.strike(act)
            else:
                self.arena.undo(act)
                if act.fault is Fault.COPY:
                    programs.append(self._beside_copy(f"{act.victim}-copy", programs))
        self._wait(began + seconds, programs)

    def _beside_copy(self, name: str, programs: list[Program]) -> Program:
        """A writer of the first space beside a daemon that came later."""
        beside = next(program for program in programs if isinstance(program, Writer))
        names, socket = beside.names, self.arena.copies[name].socket
        names.append(f"{name}{len(names)}")
        made = Writer(
            len(names) - 1, names, name, socket, beside.ledger, f"{self.seed}/{self.rounds}/0", PAUSE, f"r{self.rounds}"
        )
        made.start()
        return made

    def _wait(self, until: float, programs: list[Program]) -> None:
        """Until that moment; raises Failed if something goes wrong meanwhile."""
        while True:
            self.arena.check()
            if failures := [program.failure for program in programs if program.failure]:
                raise Failed("; ".join(failures))
            if time.monotonic() - self._said > _SAY_EVERY:
                self.arena.sample()
                self._say(f"{self._phase}: {self._so_far()}")
            if time.monotonic() >= until:
                return
            time.sleep(min(_TICK, max(0.0, until - time.monotonic())))

    def _stop(self, programs: list[Program]) -> None:
        for program in programs:
            program.stop()
        deadline = time.monotonic() + ANSWER_WITHIN
        while any(program.is_alive() for program in programs):
            if time.monotonic() > deadline:
                alive = ", ".join(f"{p.name} beside {p.replica}" for p in programs if p.is_alive())
                raise Failed(f"no reply within {ANSWER_WITHIN:.0f} s although nothing is wrong any more: {alive}")
            self._wait(time.monotonic() + _TICK, programs)
        self._wait(time.monotonic(), programs)

    def _look_at(self, ledgers: list[Ledger]) -> None:
        for ledger in ledgers:
            wrong = [what for line in judge(ledger, checks.read(self.arena, ledger)).values() for what in line.wrong]
            if wrong:
                raise Failed(f"space {SPACES[ledger.space]}: " + "; ".join(wrong[:10]))

    def _kill_all(self) -> None:
        """What is acknowledged is on each disk, not only somewhere."""
        self._phase = "kill -9 of all at once"
        before = checks.hashes(self.arena)
        if self.durability != "always":
            time.sleep(SYNCED)  # what was received is synced no faster than what was written
        self.arena.stop_brokers()
        for daemon in self.arena.daemons.values():
            daemon.kill()
        for daemon in self.arena.daemons.values():
            daemon.launch()
        self.arena.wait_until_all_serve()
        for name, daemon in self.arena.daemons.items():
            for space in daemon.status()["spaces"]:
                if space["state_hash"] != before[space["name"]]:
                    raise Failed(f"{name} came back from its disk with another state of space {space['name']}")
        self._say(f"{self._phase}: every disk has everything")

    # What is said.

    def _so_far(self) -> str:
        return f"{self.arena.done.total()} faults, {_sum(self.ledgers):,} acknowledged writes"

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        self.say(f"{self._said - self._began:6.1f} s  {text}")

    def _report(self, trouble: list[str]) -> bool:
        lines = {kind: Line(kind) for kind in Kind}
        for ledger in self.ledgers:
            for kind, line in judge(ledger, ()).items():
                lines[kind].add(line)
        self.say(f"\n{'what was written':40} acknowledged  in doubt")
        for kind, line in lines.items():
            self.say(f"{kind.value:40} {line.acknowledged:12,} {line.doubtful:9,}")
        self.say(f"\n{'what was done to it':40}        times")
        for fault, times in sorted((+self.arena.done).items(), key=lambda item: item[0].word):
            self.say(f"{fault.word:40} {times:12,}")
        repairs = self.arena.repairs()
        self.say(f"\n{repairs['frames']:,} repairs with frames, {repairs['snapshot']:,} with snapshots")
        self.say(f"{self.rounds} rounds, slowest convergence {self.slowest:.1f} s, {self.looks:,} looks of readers")
        if not trouble:
            self.say(f"everything held (seed {self.seed})")
            return True
        self.say(f"\nIT DID NOT HOLD, seed {self.seed}, in: {self._phase}")
        for what in trouble[:20]:
            self.say(f"  {what[:2000]}")
        self.say(f"logs and data of the daemons: {self.arena.keep}")
        return False


def _sum(ledgers: list[Ledger]) -> int:
    return sum(ledger.acknowledged for ledger in ledgers)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="how long faults happen (default 10)")
    parser.add_argument("--seed", type=int, help="what is drawn (default: another one each time)")
    parser.add_argument("--daemons", type=int, choices=range(3, len(NAMES) + 1), default=4, help="default 4")
    parser.add_argument("--durability", choices=("always", "interval"), default="always", help="default always")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=[fault.name for fault in Fault],
        help="a fault that is left out",
    )
    args = parser.parse_args()
    if MOSQUITTO is None:
        print("chaos needs mosquitto, and it is not installed: on Debian and Ubuntu, apt install mosquitto")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended then as well
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1_000_000)
    without = tuple(Fault[name] for name in args.without)
    chaos = Chaos(args.minutes * 60, seed, args.daemons, args.durability, without, say=lambda t: print(t, flush=True))
    try:
        return 0 if chaos.run() else 1
    except KeyboardInterrupt:
        print(f"\nended by hand (seed {seed})")
        return 2


if __name__ == "__main__":
    sys.exit(main())
