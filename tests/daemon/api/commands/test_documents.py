"""JSON commands: the examples of RedisJSON 2.6's documentation, and what it says in words.

A table is a conversation: a command (words as a shell reads them), then the reply as text. Facts taken from the
documentation; the tables are ours.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest

from crdt.types import documents
from daemon.api import jsonpath
from daemon.api.dispatch import execute
from daemon.api.limits import Limits
from daemon.api.resp import RESP3
from daemon.api.session import Session
from tests.oracle import reply

Say = Callable[[str], Any]
WRONG_TYPE = "-WRONGTYPE Operation against a key holding the wrong kind of value"
NO_KEY = "-ERR could not perform this operation on a key that doesn't exist"


def plain(found: Any) -> Any:
    """A reply as texts, numbers, None and lists."""
    kind, content = found
    if isinstance(content, list):
        return [plain(item) for item in content]
    if content is None or kind == "_":
        return None
    text = content.decode()
    return int(text) if kind == ":" else f"-{text}" if kind == "-" else float(text) if kind == "," else text


@pytest.fixture
def say(session: Session) -> Say:
    """Put a line of words to the session."""
    return lambda line: plain(reply(execute(session, [word.encode() for word in shlex.split(line)])))


EXAMPLES = {
    "set": [
        ("""JSON.SET doc $ '{"a":2}'""", "OK"),
        ("JSON.SET doc $.a 3", "OK"),
        ("JSON.GET doc $", '[{"a":3}]'),
        ("JSON.SET doc $.b 8", "OK"),
        ("JSON.GET doc $", '[{"a":3,"b":8}]'),
        ("""JSON.SET doc $ '{"f1": {"a":1}, "f2":{"a":2}}'""", "OK"),
        ("JSON.SET doc $..a 3", "OK"),
        ("JSON.GET doc", '{"f1":{"a":3},"f2":{"a":3}}'),
    ],
    "conditions": [
        ("JSON.SET doc $ 1 XX", None),
        ("JSON.SET doc $ '{\"a\":1}' NX", "OK"),
        ("JSON.SET doc $ 2 nx", None),
        ("JSON.SET doc $.a 2 NX", None),
        ("JSON.SET doc $.b 2 XX", None),
        ("JSON.SET doc $.b 2 NX", "OK"),
        ("JSON.SET doc $.a 5 xx", "OK"),
        ("JSON.GET doc", '{"a":5,"b":2}'),
        ("JSON.SET doc $.a.x 2", None),
        ("JSON.SET doc $.x.y 2", None),
        ("JSON.SET doc $..x 2", "-ERR wrong static path"),
        ("JSON.SET doc \"$['x','y']\" 2", "-ERR wrong static path"),
        ("JSON.SET doc $[0] 2", "-ERR array index out of range"),
        ("JSON.SET new $.a 1", "-ERR new objects must be created at the root"),
        ("JSON.SET new .a 1", "-ERR new objects must be created at the root"),
        ("JSON.SET new $ 1 NX XX", "-ERR syntax error"),
        ("JSON.SET new $ 1 EX", "-ERR syntax error"),
        ("EXISTS new", 0),
    ],
    "get": [
        ("""JSON.SET doc $ '{"a":2, "b": 3, "nested": {"a": 4, "b": null}}'""", "OK"),
        ("JSON.GET doc $..b", "[3,null]"),
        ("JSON.GET doc ..a $..b", '{"..a":[2,4],"$..b":[3,null]}'),
        ("JSON.GET doc .a .nested.b", '{".a":2,".nested.b":null}'),
        ("JSON.GET doc ..b", "3"),
        ("JSON.GET doc $.none", "[]"),
        ("JSON.GET doc none", "-ERR Path '$.none' does not exist"),
        ("JSON.GET doc .a .none", "-ERR Path '$.none' does not exist"),
        ("JSON.GET doc $.a .none", '{"$.a":[2],".none":[]}'),
        ("JSON.GET none", None),
        (
            "JSON.GET doc INDENT __ NEWLINE / SPACE ~",
            '{/__"a":~2,/__"b":~3,/__"nested":~{/____"a":~4,/____"b":~null/__}/}',
        ),
        ("JSON.GET doc INDENT _ NEWLINE / $.nested.a $.a", '{/_"$.nested.a":[/__4/_],/_"$.a":[/__2/_]/}'),
        ("JSON.GET doc INDENT", "-ERR syntax error"),
        ("JSON.GET doc NOESCAPE .a", "2"),
    ],
    "mget": [
        ("""JSON.SET doc1 $ '{"a":1, "b": 2, "nested": {"a": 3}, "c": null}'""", "OK"),
        ("""JSON.SET doc2 $ '{"a":4, "b": 5, "nested": {"a": 6}, "c": null}'""", "OK"),
        ("JSON.MGET doc1 doc2 $..a", ["[1,3]", "[4,6]"]),
        ("SET s v", "OK"),
        ("JSON.MGET doc1 none s doc2 .nested.a", ["3", None, None, "6"]),
        ("JSON.MGET doc1 doc2 .x", [None, None]),
        ("JSON.MGET doc1 $.x", ["[]"]),
    ],
    "del": [
        ("""JSON.SET doc $ '{"a": 1, "nested": {"a": 2, "b": 3}}'""", "OK"),
        ("JSON.DEL doc $..a", 2),
        ("JSON.GET doc $", '[{"nested":{"b":3}}]'),
        ("JSON.DEL doc $..*", 1),  # what lies in what is deleted is not counted
        ("JSON.GET doc $", "[{}]"),
        ("JSON.DEL doc $.x", 0),
        ("JSON.FORGET doc", 1),
        ("JSON.DEL doc", 0),
        ("EXISTS doc", 0),
        ("JSON.SET doc $ [0,1,2,3,4,5]", "OK"),
        ("JSON.DEL doc $[1:4]", 3),
        ("JSON.DEL doc [-1]", 1),
        ("JSON.GET doc", "[0,4]"),
        ("JSON.DEL doc $", 1),
        ("TYPE doc", "none"),
    ],
    "merge": [
        ("""JSON.SET doc $ '{"a":2}'""", "OK"),
        ("JSON.MERGE doc $.b 8", "OK"),
        ("JSON.MERGE doc $.a 3", "OK"),
        ("JSON.GET doc $", '[{"a":3,"b":8}]'),
        ("JSON.MERGE doc $.a null", "OK"),
        ("JSON.GET doc $", '[{"b":8}]'),
        ("""JSON.SET doc $ '{"a":[2,4,6,8]}'""", "OK"),
        ("JSON.MERGE doc $.a [10,12]", "OK"),
        ("JSON.GET doc $", '[{"a":[10,12]}]'),
        ("""JSON.SET doc $ '{"f1": {"a":1}, "f2":{"a":2}}'""", "OK"),
        ("""JSON.MERGE doc $ '{"f1": null, "f2":{"a":3, "b":4}, "f3":[2,4,6]}'""", "OK"),
        ("JSON.GET doc", '{"f2":{"a":3,"b":4},"f3":[2,4,6]}'),
        ("""JSON.MERGE doc $ '{"f3":{"x":{"n":null,"m":[null]}}}'""", "OK"),
        ("JSON.GET doc $.f3", '[{"x":{"m":[null]}}]'),
        ("JSON.MERGE new $.a 1", "-ERR new objects must be created at the root"),
        ("""JSON.MERGE new $ '{"a":null}'""", "OK"),
        ("JSON.GET new", '{"a":null}'),
        ("JSON.MERGE new $.x.y 1", None),
    ],
    "clear": [
        (
            """JSON.SET doc $ '{"obj":{"a":1,"b":2},"arr":[1,2,3],"str":"foo","bool":true,"int":42,"float":3.14}'""",
            "OK",
        ),
        ("JSON.CLEAR doc $.*", 4),
        ("JSON.GET doc $", '[{"obj":{},"arr":[],"str":"foo","bool":true,"int":0,"float":0}]'),
        ("JSON.CLEAR doc $.*", 0),
        ("JSON.CLEAR doc $.none", 0),
        ("JSON.CLEAR doc", 1),
        ("JSON.GET doc", "{}"),
        ("JSON.CLEAR none", NO_KEY),
    ],
    "type": [
        ("""JSON.SET doc $ '{"a":2, "nested": {"a": true}, "foo": "bar", "f": 1.5, "n": null, "l": []}'""", "OK"),
        ("JSON.TYPE doc $..foo", ["string"]),
        ("JSON.TYPE doc $..a", ["integer", "boolean"]),
        ("JSON.TYPE doc $..dummy", []),
        ("JSON.TYPE doc", "object"),
        ("JSON.TYPE doc $.*", ["integer", "object", "string", "number", "null", "array"]),
        ("JSON.TYPE doc dummy", None),
        ("JSON.TYPE none", None),
        ("JSON.TYPE none $", None),
        ("TYPE doc", "ReJSON-RL"),
    ],
    "an array in an example": [
        ("""JSON.SET more $ '[ true, { "answer": 42 }, null ]'""", "OK"),
        ("JSON.GET more $", '[[true,{"answer":42},null]]'),
        ("JSON.GET more $[1].answer", "[42]"),
        ("JSON.DEL more $[-1]", 1),
        ("JSON.GET more $", '[[true,{"answer":42}]]'),
    ],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(say: Say, name: str) -> None:
    for line, expected in EXAMPLES[name]:
        assert say(line) == expected, line


# -- paths: the store of the documentation, shortened

STORE = (
    '{"inventory":{"headphones":[{"id":12345,"name":"Noise-cancelling","wireless":true,"connection":"Bluetooth",'
    '"price":99.98,"free-shipping":false,"colors":["black","silver"]},{"id":12346,"name":"Wireless earbuds",'
    '"wireless":true,"connection":"Bluetooth","price":64.99,"free-shipping":false,"colors":["black","white"]},'
    '{"id":12347,"name":"Mic headset","wireless":false,"connection":"USB","price":35.01,"free-shipping":false}],'
    '"keyboards":[{"id":22345,"name":"Wireless keyboard","wireless":true,"connection":"Bluetooth","price":44.99,'
    '"free-shipping":false,"colors":["black","silver"]},{"id":22346,"name":"USB-C keyboard","wireless":false,'
    '"connection":"USB-C","price":29.99,"free-shipping":false}]}}'
)
PATHS = [
    ("JSON.GET store '$.inventory.headphones[*].name'", '["Noise-cancelling","Wireless earbuds","Mic headset"]'),
    ("""JSON.GET store '$.inventory["headphones"][*].name'""", '["Noise-cancelling","Wireless earbuds","Mic headset"]'),
    ("JSON.GET store '$..headphones[*].name'", '["Noise-cancelling","Wireless earbuds","Mic headset"]'),
    (
        "JSON.GET store $..name",
        '["Noise-cancelling","Wireless earbuds","Mic headset","Wireless keyboard","USB-C keyboard"]',
    ),
    ("JSON.GET store $..headphones[0:2].name", '["Noise-cancelling","Wireless earbuds"]'),
    ("JSON.GET store '$..headphones[?(@.price<70&&@.wireless==true)].id'", "[12346]"),
    ("""JSON.GET store '$.inventory.*[?(@.connection=="Bluetooth")].id'""", "[12345,12346,22345]"),
    ("""JSON.GET store '$.inventory.keyboards[?(@.connection =~ "(?i)usb")].id'""", "[22346]"),
    ("""JSON.SET store '$.inventory.keyboards[0].regex_pat' '"(?i)bluetooth"'""", "OK"),
    ("""JSON.SET store '$.inventory.keyboards[1].regex_pat' '"usb"'""", "OK"),
    ("JSON.GET store '$.inventory.keyboards[?(@.connection =~ @.regex_pat)].id'", "[22345]"),
    ("JSON.GET store $..headphones[0].price", "[99.98]"),
    ("JSON.SET store $..headphones[0].price 78.99", "OK"),
    ("JSON.GET store $..headphones[0].price", "[78.99]"),
    ("JSON.SET store '$.inventory.*[?(@.price>49)].free-shipping' true", "OK"),
    ("JSON.GET store '$.inventory.*[?(@.free-shipping==true)].name'", '["Noise-cancelling","Wireless earbuds"]'),
    ("JSON.ARRAPPEND store $..headphones[0].colors '\"pink\"'", [3]),
    ("JSON.GET store $..headphones[0].colors", '[["black","silver","pink"]]'),
    ("""JSON.GET store 'inventory["headphones"][0].id'""", "12345"),
    ("""JSON.GET store '["inventory"]["headphones"][-1].id'""", "12347"),
]


def test_the_paths_of_the_documentation(say: Say) -> None:
    assert say(f"JSON.SET store $ '{STORE}'") == "OK"
    assert say("JSON.GET store") == STORE
    for line, expected in PATHS:
        assert say(line) == expected, line


# -- places within each other


def test_a_place_that_an_outer_one_has_replaced(say: Say) -> None:
    say("""JSON.SET doc $ '{"a":{"a":{"a":1},"b":2}}'""")
    assert say("JSON.SET doc $..a 7") == "OK"
    assert say("JSON.GET doc") == '{"a":7}'
    say("""JSON.SET doc $ '{"a":{"a":1},"b":2}'""")
    assert say("""JSON.SET doc $..a '{"a":0}'""") == "OK"
    assert say("JSON.GET doc") == '{"a":{"a":{"a":0}},"b":2}'
    assert say("JSON.CLEAR doc $..*") == 2
    assert say("JSON.GET doc") == '{"a":{},"b":0}'
    say("""JSON.SET doc $ '{"a":[[[]],1]}'""")
    assert say("JSON.ARRAPPEND doc $..* 5") == [3, 2, None, 1]
    assert say("JSON.GET doc") == '{"a":[[[5],5],1,5]}'
    assert say("JSON.DEL doc $..*") == 1


# -- conflicts


def test_siblings_of_a_place(say: Say, session: Session) -> None:
    say("""JSON.SET doc $ '{"a":[{"x":1}]}'""")
    assert say("MV.GET doc $.a[0].none") is None
    found = reply(execute(session, [b"MV.GET", b"doc", b"$.a[0].x"]))[1]
    context, siblings = found[1][1], found[3][1]
    assert [s[1][1][1] for s in siblings] == [b"1"]
    assert execute(session, [b"MV.SET", b"doc", b"FIELD", b"$.a[0].x", b"2", b"CONTEXT", context]) == b"+OK\r\n"
    assert execute(session, [b"MV.SET", b"doc", b"FIELD", b"$.a[0].y", b'{"q":1}']) == b"+OK\r\n"
    assert say("JSON.GET doc") == '{"a":[{"x":2,"y":{"q":1}}]}'
    assert (
        say("MV.SET doc FIELD $.a[0].x {")
        == "-ERR invalid JSON: expecting property name enclosed in double quotes at line 1 column 2"
    )
    assert say("MV.SET doc FIELD $.a[0].x 1 CONTEXT x").startswith("-ERR invalid context")


# -- other keys, RESP3, events, limits


def test_other_types(say: Say) -> None:
    say("SET s v")
    for line in (
        "JSON.SET s $ 1",
        "JSON.GET s",
        "JSON.DEL s",
        "JSON.TYPE s",
        "JSON.NUMINCRBY s $ 1",
        "JSON.STRLEN s",
        "JSON.CLEAR s",
        "JSON.OBJKEYS s",
        "JSON.ARRLEN s",
        "JSON.ARRPOP s",
        "JSON.TOGGLE s $",
        "JSON.MERGE s $ 1",
        "JSON.ARRINDEX s $ 1",
        "JSON.ARRAPPEND s $ 1",
        "JSON.ARRINSERT s $ 0 1",
        "JSON.ARRTRIM s $ 0 1",
        "JSON.STRAPPEND s $ '\"x\"'",
    ):
        assert say(line) == WRONG_TYPE, line
    say("JSON.SET d $ 1")
    assert say("GET d") == WRONG_TYPE
    assert say("COPY d e") == 1 and say("RENAME e f") == "OK"
    assert say("JSON.GET f") == "1"
    assert say("OBJECT ENCODING d") == "raw"
    assert say("MEMORY USAGE d") > 100
    assert say("SET d x") == "OK" and say("TYPE d") == "string"


def test_resp3(session: Session, say: Say) -> None:
    session.resp = RESP3
    say("""JSON.SET doc $ '{"a":1,"b":1.5,"c":"x"}'""")
    assert execute(session, b"JSON.NUMINCRBY doc $.* 1".split()) == b"*3\r\n:2\r\n,2.5\r\n_\r\n"
    assert execute(session, b"JSON.NUMINCRBY doc .a 1".split()) == b"*1\r\n:3\r\n"
    assert say("JSON.TYPE doc $.a") == [["integer"]]
    assert say("JSON.TYPE doc .a") == ["integer"]
    assert say("JSON.TYPE none $.a") == [None]
    assert say("JSON.GET doc $.a") == "[3]"
    assert say("JSON.STRLEN doc $.*") == [None, None, 1]


def test_events(say: Say, heard: Callable[[], list[str]]) -> None:
    for line in (
        """JSON.SET d $ '{"n":1,"s":"","b":true,"a":[]}'""",
        "JSON.NUMINCRBY d $.n 1",
        """JSON.STRAPPEND d $.s '"x"'""",
        "JSON.TOGGLE d $.b",
        "JSON.ARRAPPEND d $.a 1",
        "JSON.ARRINSERT d $.a 0 1",
        "JSON.ARRTRIM d $.a 0 0",
        "JSON.ARRPOP d $.a",
        "JSON.ARRPOP d $.a",
        "JSON.MERGE d $.n 2",
        "JSON.CLEAR d $.n",
        "JSON.DEL d $.n",
        "JSON.DEL d",
        "JSON.GET d",
        "JSON.NUMINCRBY d $.n 1",
        "JSON.SET d $ {",
        "JSON.SET d $ 1 XX",
    ):
        say(line)
    assert heard() == [
        "json.set d",
        "json.numincrby d",
        "json.strappend d",
        "json.toggle d",
        "json.arrappend d",
        "json.arrinsert d",
        "json.arrtrim d",
        "json.arrpop d",
        "json.merge d",
        "json.clear d",
        "json.del d",
        "json.del d",
        "del d",
    ]


BAD = [
    "",
    "{",
    "nope",
    "NaN",
    "[1,",
    '{"a":1,}',
    "[" * 1000 + "]" * 1000,
    '{"a":' * 1000 + "1" + "}" * 1000,
    "[" * 100_000,
    '"\\ud800"',
    "1e999",
    "'x'",
]


@pytest.mark.parametrize("bad", BAD, ids=lambda text: text[:8])
@pytest.mark.parametrize(
    "words",
    [
        "JSON.SET doc $",
        "JSON.SET doc $.new",
        "JSON.MERGE doc $",
        "JSON.ARRAPPEND doc $.l 1",
        "JSON.ARRINSERT doc $.l 0 1",
        "JSON.NUMINCRBY doc $.n",
        "JSON.STRAPPEND doc $.s",
        "JSON.ARRINDEX doc $.l",
    ],
)
def test_what_is_no_json_changes_nothing(session: Session, say: Say, words: str, bad: str) -> None:
    say("""JSON.SET doc $ '{"l":[],"n":1,"s":"x"}'""")
    state = session.db.state
    state.cut()
    before = state.hash, state.seq
    answer = execute(session, [*words.encode().split(), bad.encode()])
    assert answer.startswith(b"-ERR "), answer
    assert state.cut() is None and before == (state.hash, state.seq)


def test_bytes_that_are_no_utf8(session: Session, say: Say) -> None:
    for words in (
        [b"JSON.SET", b"k", b"$", b'"\xff"'],
        [b"JSON.GET", b"doc", b"$.\xff"],
        [b"JSON.SET", b"doc", b"\xff", b"1"],
    ):
        say("JSON.SET doc $ 1")
        assert execute(session, words).startswith(b"-ERR ")


def test_one_request_cannot_write_or_answer_without_bound(
    session: Session, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("JSON.SET doc $ '{}'")
    for i in range(50):
        say(f"JSON.SET doc $.m{i} '\"x\"'")
    monkeypatch.setattr(session.hub, "limits", Limits(value=1000, transaction=10_000, reply_buffer=2000))
    big = '"' + "y" * 900 + '"'
    before = say("JSON.GET doc")
    for line in (f"JSON.SET doc $.* '{big}'", f"JSON.STRAPPEND doc $.* '{big}'", f"JSON.MERGE doc $.* '{big}'"):
        assert "exceed limits.transaction" in say(line)
    assert say("JSON.GET doc") == before
    assert say(f"JSON.SET doc $.m1 '{big}'") == "OK"
    assert "exceeds limits.value" in say(f"JSON.STRAPPEND doc $.m1 '{big}'")
    assert "exceeds limits.reply_buffer" in say("JSON.GET doc $..* $..*")
    assert "exceeds limits.reply_buffer" in say("JSON.MGET doc doc doc $")


def test_a_long_walk_is_refused(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonpath, "MAX_VISITS", 100)
    say("JSON.SET doc $ " + "[" + ",".join("0" for _ in range(200)) + "]")
    for line in ("JSON.GET doc $..*", "JSON.DEL doc $..*", "JSON.SET doc $.* 1", "JSON.MGET doc $.*"):
        assert say(line) == "-ERR path visits more than 100 values"


def test_a_document_reads_alike_through_the_library(session: Session, say: Say) -> None:
    say("""JSON.SET doc $ '{"a":[1,{"b":null}]}'""")
    doc = documents.document(session.db.state, b"doc")
    assert doc is not None
    assert documents.value(session.db.state, doc.root) == {"a": [1, {"b": None}]}
