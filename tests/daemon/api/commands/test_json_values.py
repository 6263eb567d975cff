"""JSON numbers, booleans, texts, objects: the examples of RedisJSON 2.6's documentation, and what it says in words."""

from __future__ import annotations

import pytest

from tests.daemon.api.commands.test_documents import NO_KEY, Say, say  # noqa: F401  the fixture

EXAMPLES = {
    "numincrby": [
        ("""JSON.SET doc . '{"a":"b","b":[{"a":2}, {"a":5}, {"a":"c"}]}'""", "OK"),
        ("JSON.NUMINCRBY doc $.a 2", "[null]"),
        ("JSON.NUMINCRBY doc $..a 2", "[null,4,7,null]"),
        ("JSON.SET num $ 0", "OK"),
        ("JSON.NUMINCRBY num $ 1", "[1]"),
        ("JSON.NUMINCRBY num $ 1.5", "[2.5]"),
        ("JSON.NUMINCRBY num $ -0.75", "[1.75]"),
        ("JSON.NUMINCRBY num . 0.25", "2.0"),
        ("JSON.NUMINCRBY num . x", "-ERR invalid JSON: expecting value at line 1 column 1"),
        ("JSON.NUMINCRBY num . true", "-ERR bad input number"),
        ("JSON.NUMINCRBY num . 1e308", "1e308"),
        ("JSON.NUMINCRBY num . 1e308", "-ERR result is not a number"),
        ("JSON.NUMINCRBY doc a 1", "-ERR Path '$.a' does not exist or does not contains a number"),
        ("JSON.NUMINCRBY doc $.none 1", "[]"),
        ("JSON.NUMINCRBY none $ 1", NO_KEY),
        ("JSON.SET num $ 9223372036854775807", "OK"),
        ("JSON.NUMINCRBY num $ 1", "-ERR increment or decrement would overflow"),
    ],
    "strings": [
        ("""JSON.SET foo $ '"bar"'""", "OK"),
        ("JSON.GET foo $", '["bar"]'),
        ("JSON.TYPE foo $", ["string"]),
        ("JSON.STRLEN foo $", [3]),
        ("""JSON.STRAPPEND foo $ '"baz"'""", [6]),
        ("JSON.GET foo $", '["barbaz"]'),
        ("""JSON.SET doc $ '{"a":"foo", "nested": {"a": "hello"}, "nested2": {"a": 31}}'""", "OK"),
        ("JSON.STRLEN doc $..a", [3, 5, None]),
        ("""JSON.STRAPPEND doc $..a '"baz"'""", [6, 8, None]),
        ("JSON.GET doc $", '[{"a":"foobaz","nested":{"a":"hellobaz"},"nested2":{"a":31}}]'),
        ("""JSON.STRAPPEND foo '"\\u00e9"'""", 8),
        ("JSON.STRLEN foo", 8),
        ("JSON.STRLEN none", None),
        ("JSON.STRLEN none $", NO_KEY),
        ("JSON.STRLEN doc none", "-ERR Path '$.none' does not exist"),
        ("JSON.STRLEN doc", "-WRONGTYPE wrong type of path value - expected string but found object"),
        ("JSON.STRAPPEND foo 5", "-WRONGTYPE wrong type of path value - expected string but found 5"),
        ("""JSON.STRAPPEND doc nested '"x"'""", "-ERR Path '$.nested' does not exist or not a string"),
        ("""JSON.STRAPPEND none '"x"'""", NO_KEY),
    ],
    "toggle": [
        ("""JSON.SET doc $ '{"bool": true, "n": 1}'""", "OK"),
        ("JSON.TOGGLE doc $.bool", [0]),
        ("JSON.GET doc $", '[{"bool":false,"n":1}]'),
        ("JSON.TOGGLE doc $.bool", [1]),
        ("JSON.GET doc $", '[{"bool":true,"n":1}]'),
        ("JSON.TOGGLE doc $.*", [0, None]),
        ("JSON.TOGGLE doc bool", "true"),
        ("JSON.TOGGLE doc n", "-ERR Path '$.n' does not exist or not a bool"),
        ("JSON.TOGGLE none $", NO_KEY),
    ],
    "objects": [
        ("""JSON.SET doc $ '{"a":[3], "nested": {"a": {"b":2, "c": 1}}}'""", "OK"),
        ("JSON.OBJKEYS doc $..a", [None, ["b", "c"]]),
        ("JSON.OBJLEN doc $..a", [None, 2]),
        ("""JSON.SET obj $ '{"name":"Leonard Cohen","lastSeen":1478476800,"loggedOut": true}'""", "OK"),
        ("JSON.OBJLEN obj $", [3]),
        ("JSON.OBJKEYS obj $", [["name", "lastSeen", "loggedOut"]]),
        ("JSON.OBJKEYS obj", ["name", "lastSeen", "loggedOut"]),
        ("JSON.OBJLEN obj", 3),
        ("JSON.OBJLEN obj none", None),
        ("JSON.OBJKEYS obj none", None),
        ("JSON.OBJLEN obj name", "-WRONGTYPE wrong type of path value - expected object but found string"),
        ("JSON.OBJKEYS obj name", "-ERR Path '$.name' does not exist or not an object"),
        ("JSON.OBJLEN none", None),
        ("JSON.OBJKEYS none", None),
        ("JSON.OBJKEYS none $", NO_KEY),
    ],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(say: Say, name: str) -> None:  # noqa: F811
    for line, expected in EXAMPLES[name]:
        assert say(line) == expected, line
