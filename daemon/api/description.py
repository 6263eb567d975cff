"""Commands as COMMAND INFO and COMMAND DOCS describe them.

Knows the shape of the two replies of Redis 7.0, and what follows from a command's flags, group and key positions.
Promises nothing that the table of commands does not say. Must not know any command by what it does.
"""

from __future__ import annotations

from typing import Final

from daemon.api.registry import Command, subcommands
from daemon.api.resp import Resp

FLAGS: Final = (
    *("write", "readonly", "denyoom", "module", "admin", "pubsub", "noscript", "blocking", "loading", "stale"),
    *("skip_monitor", "skip_slowlog", "asking", "fast", "no_auth", "may_replicate", "no_mandatory_keys"),
    *("no_async_loading", "no_multi", "movablekeys", "allow_busy"),
)
"""Redis's flags in the order it shows them."""
CATEGORIES: Final = (
    *("keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo"),
    *("stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting"),
)
"""Redis's ACL categories in the order it shows them."""
_BY_FLAG: Final = {
    "write": ("write",),
    "readonly": ("read",),
    "admin": ("admin", "dangerous"),
    "pubsub": ("pubsub",),
    "blocking": ("blocking",),
}
_BY_GROUP: Final = {
    "generic": "keyspace",
    "string": "string",
    "list": "list",
    "set": "set",
    "sorted-set": "sortedset",
    "hash": "hash",
    "stream": "stream",
    "connection": "connection",
    "transactions": "transaction",
}
_BESIDES: Final = {
    "command": ("connection",),
    "dbsize": ("keyspace",),
    "flushall": ("keyspace", "dangerous"),
    "flushdb": ("keyspace", "dangerous"),
    "getbit": ("bitmap",),
    "info": ("dangerous",),
    "keys": ("dangerous",),
    "setbit": ("bitmap",),
}
"""What does not follow from flags and group, by the first word of the command."""
_BITMAPS: Final = frozenset({"getbit", "setbit"})


def categories(entry: Command) -> list[str]:
    """The ACL categories of a command, without the `@`. A container has none of its own."""
    found = {"fast" if "fast" in entry.flags else "slow"}
    if entry.subcommands and entry.low > 1:
        return sorted(found)
    for flag, names in _BY_FLAG.items():
        if flag in entry.flags:
            found.update(names)
    word = entry.name.partition("|")[0]
    if entry.group in _BY_GROUP and word not in _BITMAPS:
        found.add(_BY_GROUP[entry.group])
    found.update(_BESIDES.get(word, ()))
    return sorted(found, key=CATEGORIES.index)


def info(resp: Resp, entry: Command) -> bytes:
    """The ten parts of COMMAND INFO: name, arity, flags, key positions, categories, hints, key specs, subcommands."""
    flags = sorted(entry.flags, key=lambda flag: FLAGS.index(flag) if flag in FLAGS else len(FLAGS))
    return resp.array(
        [
            resp.bulk(entry.name.encode()),
            resp.integer(entry.arity),
            resp.set_of([resp.simple(flag.encode()) for flag in flags]),
            *(resp.integer(position) for position in entry.keys),
            resp.set_of([resp.simple(b"@" + name.encode()) for name in categories(entry)]),
            resp.set_of([]),
            resp.set_of(_key_specs(resp, entry)),
            resp.set_of([info(resp, child) for child in subcommands(entry)]),
        ]
    )


def _key_specs(resp: Resp, entry: Command) -> list[bytes]:
    first, last, step = entry.keys
    if first == 0:
        return []
    access = [b"RW", b"update"] if entry.write else [b"RO", b"access"] if "readonly" in entry.flags else [b"RO"]
    at = [(resp.bulk(b"index"), resp.integer(first))]
    span = [
        (resp.bulk(b"lastkey"), resp.integer(last if last < 0 else last - first)),
        (resp.bulk(b"keystep"), resp.integer(step)),
        (resp.bulk(b"limit"), resp.integer(0)),
    ]
    spec = [
        (resp.bulk(b"flags"), resp.set_of([resp.simple(word) for word in access])),
        (resp.bulk(b"begin_search"), _typed(resp, b"index", at)),
        (resp.bulk(b"find_keys"), _typed(resp, b"range", span)),
    ]
    return [resp.map(spec)]


def _typed(resp: Resp, kind: bytes, spec: list[tuple[bytes, bytes]]) -> bytes:
    return resp.map([(resp.bulk(b"type"), resp.bulk(kind)), (resp.bulk(b"spec"), resp.map(spec))])


def docs(resp: Resp, entry: Command, since: str) -> bytes:
    """What COMMAND DOCS says of one command."""
    pairs = [
        (resp.bulk(b"summary"), resp.bulk(entry.summary.encode())),
        (resp.bulk(b"since"), resp.bulk(since.encode())),
        (resp.bulk(b"group"), resp.bulk(entry.group.encode())),
    ]
    children = subcommands(entry)
    if children:
        described = [(resp.bulk(child.name.encode()), docs(resp, child, since)) for child in children]
        pairs.append((resp.bulk(b"subcommands"), resp.map(described)))
    return resp.map(pairs)
