"""Deliberate mistakes, switched on only here: a simulator that lets one of them pass would prove nothing.

`table` counts how many histories it takes until an invariant breaks; that table is part of docs/negative-controls.md.
Some mistakes do harm so seldom that it would be luck to meet them in a few thousand histories: for those there is a
scene (scenes.py) that meets them always, and the suite looks at that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.simulation import mistakes, scenes
from tests.simulation.plan import draw
from tests.simulation.shrink import failure


@dataclass(frozen=True)
class Wrong:
    """One mistake: what is done wrongly, which invariant it breaks (docs/guarantees.md), and how to make it."""

    text: str
    invariant: str
    make: Callable[[], AbstractContextManager[object]]
    needs: tuple[str, ...] = ()  # faults without which it does no harm, or seldom
    start: int = 0  # first seed for the suite: shortly before the one that is known to catch it
    scene: Callable[[], str | None] | None = None  # what goes wrong where it always does harm; None if nothing does


WRONG: dict[str, Wrong] = {
    "frame claims more than it carries": Wrong("a cut leaves a row out of its frame", "I1", mistakes.wide_claim),
    "timestamp of arrival": Wrong("a row gets the receiver's time", "I2, I3", mistakes.time_of_arrival),
    "merge drops removes": Wrong(
        "merging drops a dot together with its removal",
        "I3, I4",
        mistakes.merge_drops_removes,
        scene=scenes.merged_and_known,
    ),
    "merge keeps ranged rows": Wrong(
        "merging keeps adds that a later range covers", "I3, I7", mistakes.merge_keeps_ranged, scene=scenes.merged_range
    ),
    "snapshot unions": Wrong(
        "joining a snapshot never removes", "I4", mistakes.snapshot_unions, ("prune", "checkpoint")
    ),
    "snapshot without base": Wrong(
        "a late snapshot is joined by one who fell back meanwhile",
        "I2, I3",
        mistakes.snapshot_without_base,
        ("prune", "checkpoint", "partition", "unsynced", "power", "restore"),
        158,
    ),
    "snapshot is partial": Wrong(
        "the list of a snapshot leaves out a live row", "I2, I3", mistakes.snapshot_is_partial, ("prune", "checkpoint")
    ),
    "join forgets frames": Wrong(
        "what is written while a snapshot is joined is not in the result",
        "I3, I5",
        mistakes.join_forgets_frames,
        ("prune", "checkpoint"),
        156,
    ),
    "send before persist": Wrong(
        "frames leave before they are stored", "I6", mistakes.send_before_persist, ("lazy", "crash")
    ),
    "same actor after restore": Wrong(
        "a restored or copied disk goes on as who it was", "I6", mistakes.same_actor_after_restore
    ),
    "range widens": Wrong("a range removes more than its prefix", "I7", mistakes.range_hits_numbers),
    "SET forgets counts": Wrong(
        "a SET does not say what the counts held when it saw them", "I8", mistakes.set_forgets_counts
    ),
    "clock before causality": Wrong(
        "a write with an earlier time than what it has seen is dropped",
        "I13",
        mistakes.clock_before_causality,
        ("clock",),
    ),
    "HELLO before commit": Wrong("HELLO tells what a crash could take back", "I5", mistakes.hello_before_commit),
    "ACK before apply": Wrong("ACK when asked, not when applied", "I5", mistakes.ack_before_apply),
    "ACK before stored": Wrong("ACK when applied, not when stored", "I5", mistakes.ack_before_stored),
    "checkpoint before commit": Wrong(
        "a checkpoint is finished while removals are pending",
        "I14",
        mistakes.checkpoint_before_commit,
        ("lazy", "checkpoint", "crash"),
        250,
    ),
    "own frame before seen ones": Wrong(
        "an own frame is stored before what it saw", "I14, I16", mistakes.received_after_own
    ),
    "no causal hold": Wrong("a frame is applied although what it saw is missing", "I16", mistakes.no_causal_hold),
    "transactions torn": Wrong("a frame is cut inside of a transaction", "I16", mistakes.transactions_torn),
    "floor ignores snapshot": Wrong(
        "the log claims to reach below a joined snapshot",
        "I17",
        mistakes.log_ignores_snapshot,
        scene=scenes.second_hand,
    ),
    "floor ignores pruning": Wrong(
        "the log claims to reach below what was pruned", "I17", mistakes.pruned_without_floor, ("prune", "checkpoint")
    ),
    "never pulls": Wrong("what was missed is not asked for", "I17", mistakes.never_asks_back),
    "reaped without grace": Wrong(
        "expired values are removed at once", "I4", mistakes.reaped_without_grace, ("mortal",)
    ),
    "reaped by a wrong clock": Wrong(
        "a replica removes by a clock that is off", "I4", mistakes.reaped_by_a_wrong_clock, ("mortal", "clock")
    ),
    "reaped by the author alone": Wrong(
        "nobody removes for a replica that is away", "I11", mistakes.reaped_by_the_author_alone, ("mortal",)
    ),
    "expire rows stay": Wrong(
        "the record of a lifetime outlives its key", "I11", mistakes.expire_rows_stay, ("mortal",)
    ),
    "waits without bound": Wrong(
        "frames that cannot be applied yet are all kept", "I12", mistakes.waits_without_bound, scene=scenes.waiting
    ),
    "answers every time": Wrong(
        "questions are repeated by a timer, and answered again while the answer is under way",
        "I17",
        mistakes.answers_every_time,
        ("slow",),
    ),
    "pieces expire by age": Wrong(
        "pieces are given up a while after the first of them came", "I17", mistakes.pieces_expire_by_age, ("slow",)
    ),
    "waits for what is lost": Wrong(
        "what is proven to be lost is waited for as what may not have been published yet",
        "I17",
        mistakes.waits_for_what_is_lost,
        scene=scenes.hourly,
    ),
    "large messages": Wrong("messages of twice the limit", "I12", mistakes.large_messages),
    "never heals": Wrong("rows that differ are not written anew", "healing", mistakes.never_heals, ("defect",)),
    "heals with one content": Wrong(
        "of two contents under a dot only the own one is written anew, and others keep quiet",
        "healing",
        mistakes.heals_with_one_content,
        ("defect",),
    ),
    "heals by removing": Wrong(
        "what the other lacks is removed here too", "healing", mistakes.heals_by_removing, ("defect",)
    ),
    "anybody answers": Wrong(
        "what differs is answered by any daemon of the name that is asked, and the first answer counts",
        "healing",
        mistakes.anybody_answers,
        ("defect",),
    ),
    "clone goes on": Wrong(
        "whoever finds its dots spent by a clone goes on as it was", "I6", mistakes.clone_goes_on, ("defect",)
    ),
}


def caught(name: str, seeds: int) -> bool:
    """Whether the mistake is found where it should be, and nothing where there is no mistake."""
    wrong = WRONG[name]
    if wrong.scene is None:
        return seeds_needed(name, seeds, wrong.start, helped=True) is not None
    assert wrong.scene() is None, "the scene itself is sound"
    with wrong.make():
        return wrong.scene() is not None


def seeds_needed(name: str, seeds: int, start: int = 0, helped: bool = False) -> tuple[int, str] | None:
    """(number of histories, what broke) until the mistake is caught; None if it was not.

    `helped`: the faults that it needs exist in every history.
    """
    with WRONG[name].make():
        for number, seed in enumerate(range(start, start + seeds), 1):
            what = failure(draw(seed, WRONG[name].needs if helped else ()))
            if what is not None:
                assert not what.startswith(("TypeError", "AttributeError")), f"the mistake itself is broken: {what}"
                return number, what
    return None


def table(names: list[str], seeds: int, start: int) -> int:
    """Print the table of docs/negative-controls.md; 1 if a mistake was not caught even where it does harm."""
    missed = 0
    print("| mistake | breaks | any history | where it does harm | seen as |\n|---|---|---|---|---|")
    for name in names:
        wrong = WRONG[name]
        plain = seeds_needed(name, seeds, start)
        where = seen = ""
        if wrong.scene is not None:
            with wrong.make():
                seen = wrong.scene() or ""
            where = f"always (`{wrong.scene.__name__}`)"
        elif wrong.needs:
            helped = seeds_needed(name, seeds, start, helped=True)
            seen = helped[1] if helped else ""
            where = f"{_number(helped, seeds)} ({', '.join(wrong.needs)})"
        else:
            seen = plain[1] if plain else ""
        missed += not seen
        seen = re.sub(r" \(sum \d+\)", "", seen or "**not caught**")
        seen = re.split(r":? \[|: \(|, who|: lacks|; going", seen)[0]
        print(f"| {wrong.text} | {wrong.invariant} | {_number(plain, seeds)} | {where} | {seen} |", flush=True)
    return 1 if missed else 0


def _number(found: tuple[int, str] | None, seeds: int) -> str:
    return f"{found[0]:,}" if found else f"> {seeds:,}"
