"""Commands on JSON arrays: the examples of RedisJSON 2.6's documentation, and what it says in words."""

from __future__ import annotations

import pytest

from tests.daemon.api.commands.test_documents import NO_KEY, Say, say  # noqa: F401  the fixture

ITEM = (
    '{"name":"Noise-cancelling Bluetooth headphones","connection":{"wireless":true,"type":"Bluetooth"},'
    '"price":99.98,"stock":25,"colors":["black","silver"]}'
)
TWO = '[{"name":"Healthy headphones","max_level":[60,70,80]},{"name":"Noisy headphones","max_level":[80,90,100,120]}]'
EXAMPLES = {
    "colors": [
        (f"JSON.SET item:1 $ '{ITEM}'", "OK"),
        ("""JSON.ARRAPPEND item:1 $.colors '"blue"'""", [3]),
        ("JSON.GET item:1 '$.colors[*]'", '["black","silver","blue"]'),
        ("""JSON.ARRINSERT item:1 $.colors 2 '"yellow"' '"gold"'""", [5]),
        ("JSON.GET item:1 $.colors", '[["black","silver","yellow","gold","blue"]]'),
        ("""JSON.ARRINDEX item:1 $..colors '"silver"'""", [1]),
        ("JSON.ARRLEN item:1 '$.[*]'", [None, None, None, None, 5]),
        ("JSON.GET item:1 .price", "99.98"),
    ],
    "levels": [
        (f"JSON.SET key $ '{TWO}'", "OK"),
        ("JSON.GET key $.[1].max_level", "[[80,90,100,120]]"),
        ("JSON.ARRPOP key $.[1].max_level 0", ["80"]),
        ("JSON.GET key $.[1].max_level", "[[90,100,120]]"),
        ("JSON.ARRINSERT key $.[1].max_level 0 85", [4]),
        ("JSON.GET key $.[1].max_level", "[[85,90,100,120]]"),
        ("JSON.ARRAPPEND key $.[1].max_level 200 300 400 500 600 700 800 1000", [12]),
        ("JSON.ARRTRIM key $.[1].max_level 4 8", [5]),
        ("JSON.GET key $.[1].max_level", "[[200,300,400,500,600]]"),
    ],
    "from the beginning": [
        ("JSON.SET arr $ []", "OK"),
        ("JSON.ARRAPPEND arr $ 0", [1]),
        ("JSON.GET arr $", "[[0]]"),
        ("JSON.ARRINSERT arr $ 0 -2 -1", [3]),
        ("JSON.GET arr $", "[[-2,-1,0]]"),
        ("JSON.ARRTRIM arr $ 1 1", [1]),
        ("JSON.GET arr $", "[[-1]]"),
        ("JSON.ARRPOP arr $", ["-1"]),
        ("JSON.ARRPOP arr $", [None]),
        ("JSON.GET arr $", "[[]]"),
    ],
    "append": [
        ("""JSON.SET doc $ '{"a":[1], "nested": {"a": [1,2]}, "nested2": {"a": 42}}'""", "OK"),
        ("JSON.ARRAPPEND doc $..a 3 4", [3, 4, None]),
        ("JSON.GET doc $", '[{"a":[1,3,4],"nested":{"a":[1,2,3,4]},"nested2":{"a":42}}]'),
        ("JSON.ARRAPPEND doc a [] {}", 5),
        ("JSON.ARRAPPEND doc nested2.a 1", "-ERR Path '$.nested2.a' does not exist or not an array"),
        ("JSON.ARRAPPEND doc $.none 1", []),
        ("JSON.ARRAPPEND none $ 1", NO_KEY),
        ("JSON.ARRAPPEND none .", "-ERR wrong number of arguments for 'json.arrappend' command"),
    ],
    "insert": [
        ("""JSON.SET doc $ '{"a":[3], "nested": {"a": [3,4]}}'""", "OK"),
        ("JSON.ARRINSERT doc $..a 0 1 2", [3, 4]),
        ("JSON.GET doc $", '[{"a":[1,2,3],"nested":{"a":[1,2,3,4]}}]'),
        ("JSON.ARRINSERT doc $..a -1 0", [4, 5]),
        ("JSON.GET doc $", '[{"a":[1,2,0,3],"nested":{"a":[1,2,3,0,4]}}]'),
        ("JSON.ARRINSERT doc $..a 5 0", "-ERR index out of bounds"),
        ("JSON.ARRINSERT doc $..a -5 0", "-ERR index out of bounds"),
        ("JSON.ARRINSERT doc $..a x 0", "-ERR value is not an integer or out of range"),
        ("JSON.GET doc $", '[{"a":[1,2,0,3],"nested":{"a":[1,2,3,0,4]}}]'),
        ("""JSON.SET doc $ '{"a":[1,2,3,2], "nested": {"a": false}}'""", "OK"),
        ("JSON.ARRINSERT doc $..a 0 1 2", [6, None]),
    ],
    "index": [
        ("""JSON.SET doc $ '{"a":[1,2,3,2], "nested": {"a": [3,4]}}'""", "OK"),
        ("JSON.ARRINDEX doc $..a 2", [1, -1]),
        ("""JSON.SET doc $ '{"a":[1,2,3,2], "nested": {"a": false}}'""", "OK"),
        ("JSON.ARRINDEX doc $..a 2", [1, None]),
        ("JSON.ARRINDEX doc $.a 2 2", [3]),
        ("JSON.ARRINDEX doc $.a 2 2 3", [-1]),
        ("JSON.ARRINDEX doc $.a 2 -1", [3]),
        ("JSON.ARRINDEX doc $.a 2 -2 -1", [-1]),
        ("JSON.ARRINDEX doc $.a 2 0 0", [1]),
        ("JSON.ARRINDEX doc $.a 2 3 1", [-1]),
        ("JSON.ARRINDEX doc $.a 1 -100 100", [0]),
        ("JSON.ARRINDEX doc $.a 2.0", [-1]),
        ("JSON.ARRINDEX doc a 3", 2),
        ("JSON.ARRINDEX doc none 3", "-ERR Path '$.none' does not exist"),
        ("JSON.ARRINDEX doc nested 3", "-WRONGTYPE wrong type of path value - expected array but found object"),
        ("JSON.ARRINDEX none $ 3", "-ERR Path '$' does not exist"),
        ("JSON.ARRINDEX doc a 3 x", "-ERR value is not an integer or out of range"),
        ('JSON.SET l $ \'[1,[2],{"a":1,"b":[]},null,"1"]\'', "OK"),
        ("JSON.ARRINDEX l $ [2]", [1]),
        ('JSON.ARRINDEX l $ \'{"b":[],"a":1}\'', [2]),
        ('JSON.ARRINDEX l $ \'{"b":[],"a":1.0}\'', [-1]),
        ("JSON.ARRINDEX l $ null", [3]),
        ("JSON.ARRINDEX l $ '\"1\"'", [4]),
        ("JSON.ARRINDEX l $ [] 0 0", [-1]),
    ],
    "length": [
        ("""JSON.SET doc $ '{"a":[3], "nested": {"a": [3,4]}}'""", "OK"),
        ("JSON.ARRLEN doc $..a", [1, 2]),
        ("""JSON.SET doc $ '{"a":[1,2,3,2], "nested": {"a": false}}'""", "OK"),
        ("JSON.ARRLEN doc $..a", [4, None]),
        ("JSON.ARRLEN doc a", 4),
        ("JSON.ARRLEN doc", "-ERR Path '$' does not exist or not an array"),
        ("JSON.ARRLEN doc none", "-ERR Path '$.none' does not exist"),
        ("JSON.ARRLEN none", None),
        ("JSON.ARRLEN none $", NO_KEY),
    ],
    "pop": [
        ("""JSON.SET doc $ '{"a":[3], "nested": {"a": [3,4]}}'""", "OK"),
        ("JSON.ARRPOP doc $..a", ["3", "4"]),
        ("JSON.GET doc $", '[{"a":[],"nested":{"a":[3]}}]'),
        ("""JSON.SET doc $ '{"a":["foo", "bar", "qaz"], "nested": {"a": false}, "nested2": {"a":[]}}'""", "OK"),
        ("JSON.ARRPOP doc $..a", ['"qaz"', None, None]),
        ("JSON.GET doc $", '[{"a":["foo","bar"],"nested":{"a":false},"nested2":{"a":[]}}]'),
        ("JSON.ARRPOP doc a -100", '"foo"'),
        ("JSON.ARRPOP doc a 100", '"bar"'),
        ("JSON.ARRPOP doc a", None),
        ("JSON.ARRPOP doc", "-ERR Path '$' does not exist or not an array"),
        ("JSON.ARRPOP none", NO_KEY),
        ("JSON.ARRPOP doc a 0 1", "-ERR syntax error"),
    ],
    "trim": [
        ("""JSON.SET doc $ '{"a":[], "nested": {"a": [1,4]}}'""", "OK"),
        ("JSON.ARRTRIM doc $..a 1 1", [0, 1]),
        ("JSON.GET doc $", '[{"a":[],"nested":{"a":[4]}}]'),
        ("""JSON.SET doc $ '{"a":[1,2,3,2], "nested": {"a": false}}'""", "OK"),
        ("JSON.ARRTRIM doc $..a 1 1", [1, None]),
        ("JSON.GET doc $", '[{"a":[2],"nested":{"a":false}}]'),
        ("JSON.SET doc $ [0,1,2,3,4]", "OK"),
        ("JSON.ARRTRIM doc . -3 -2", 2),
        ("JSON.GET doc", "[2,3]"),
        ("JSON.ARRTRIM doc . -9 99", 2),
        ("JSON.ARRTRIM doc . 1 0", 0),
        ("JSON.GET doc", "[]"),
        ("JSON.ARRTRIM doc . 0 0", 0),
        ("JSON.SET doc $ [1,2]", "OK"),
        ("JSON.ARRTRIM doc . 2 5", 0),
        ("JSON.ARRTRIM none . 0 1", NO_KEY),
    ],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(say: Say, name: str) -> None:  # noqa: F811
    for line, expected in EXAMPLES[name]:
        assert say(line) == expected, line


def test_a_large_array(say: Say) -> None:  # noqa: F811
    assert say("JSON.SET l $ []") == "OK"
    for i in range(0, 3000, 100):
        say("JSON.ARRAPPEND l $ " + " ".join(str(n) for n in range(i, i + 100)))
    assert say("JSON.GET l $[1234]") == "[1234]"
    assert say("JSON.ARRINSERT l $ 1500 -1") == [3001]
    assert say("JSON.GET l $[1499:1502]") == "[1499,-1,1500]"
    assert say("JSON.DEL l $[1000:2001]") == 1001
    assert say("JSON.ARRINDEX l $ 2000") == [1000]
    assert say("JSON.ARRTRIM l $ 999 1000") == [2]
    assert say("JSON.GET l") == "[999,2000]"
