"""JSON texts and the values they spell: what stands in the cells of a document.

A value is None, bool, int, float, str, list or dict. Promises: `parse` takes UTF-8 that is JSON (RFC 8259) and nothing
else: no NaN, no depth beyond DEPTH, no half of a surrogate pair; of members with one name the last counts. A number
that 64 bits cannot hold is a float, as in RedisJSON. `dump` is the one spelling of a value: equal texts, equal values.
Must not know: cells, states.

Parsing is the standard library's, in C; what is done here is what it is too lenient for.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Final

from crdt import longdouble
from crdt.errors import UsageError

Value = Any  # None | bool | int | float | str | list | dict
DEPTH: Final = 128  # of nested containers: part of the wire, because a path is no deeper than the document
INT_LOW: Final = -(1 << 63)
INT_HIGH: Final = (1 << 64) - 1
CACHED: Final = 64  # bytes of a name up to which its text is remembered
_INT_DIGITS: Final = 20
_FLOAT_WHOLE: Final = 16  # digits before the point that are written out, as RedisJSON writes them
_FLOAT_ZEROS: Final = -5  # zeros behind the point that are written out


def _integer(text: str) -> int | float:
    if len(text) <= _INT_DIGITS:
        number = int(text)
        if INT_LOW <= number <= INT_HIGH and text != "-0":
            return number
    return _float(text)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("number out of range")
    return number


def _constant(text: str) -> Value:
    raise ValueError(f"{text} is not JSON")


_decode = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant).decode


def parse(text: bytes) -> Value:
    """The value that a client's text spells. Raises UsageError."""
    try:
        value = _decode(text.decode())
    except UnicodeDecodeError:
        raise UsageError("ERR invalid JSON: not valid UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"at line {error.lineno} column {error.colno}"
        what = error.msg.removesuffix(" at")
        raise UsageError(f"ERR invalid JSON: {what[:1].lower()}{what[1:]} {where}") from None
    except RecursionError:
        raise UsageError(TOO_DEEP) from None
    except ValueError as error:
        raise UsageError(f"ERR invalid JSON: {error}") from None
    check_depth(value)
    if "\\u" in text.decode() and not _encodable(value):
        raise UsageError("ERR invalid JSON: half of a surrogate pair")
    return value


TOO_DEEP: Final = f"ERR recursion limit exceeded: a document has at most {DEPTH} levels"


def check_depth(value: Value, above: int = 0) -> None:
    """Whether a value fits under `above` containers. Raises UsageError."""
    level = _containers([value])
    while level:
        above += 1
        if above > DEPTH:
            raise UsageError(TOO_DEEP)
        level = [part for container in level for part in _containers(container)]


def _containers(parts: Any) -> list[Any]:
    """The lists and dicts directly in a container."""
    parts = parts.values() if type(parts) is dict else parts
    return [part for part in parts if type(part) in (list, dict)]


def _encodable(value: Value) -> bool:
    try:
        dump(value)
    except UnicodeEncodeError:
        return False
    return True


def dump(value: Value) -> bytes:
    """The one compact text of a value, in UTF-8."""
    if type(value) is str:
        return encode_basestring(value).encode()
    if value is None:
        return b"null"
    if value is True:
        return b"true"
    if value is False:
        return b"false"
    if type(value) is int:
        return longdouble.digits(value).encode()
    if type(value) is float:
        return float_text(value).encode()
    if type(value) is list:
        return b"[%b]" % b",".join(map(dump, value))
    return b"{%b}" % b",".join([b"%b:%b" % (dump(name), dump(part)) for name, part in value.items()])


def quoted(name: bytes) -> bytes:
    """The text of a name; those of members come up again and again."""
    return _quoted(name) if len(name) <= CACHED else dump(name.decode())


@lru_cache(4096)
def _quoted(name: bytes) -> bytes:
    return dump(name.decode())


def float_text(number: float) -> str:
    """The shortest text that is this number and no integer (1.0, 0.1, 1e16), as RedisJSON writes it."""
    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rstrip("0") or "0"
    point = len(digits) + exponent if number else 1  # digits before the point
    if text == "0" or 0 < point <= _FLOAT_WHOLE:
        whole, fraction = text[:point].ljust(point, "0"), text[point:] or "0"
        out = f"{whole}.{fraction}"
    elif _FLOAT_ZEROS < point <= 0:
        out = f"0.{'0' * -point}{text}"
    else:
        out = f"{text[0]}{'.' if text[1:] else ''}{text[1:]}e{point - 1}"
    return f"-{out}" if sign else out


def is_float(text: bytes) -> bool:
    """Whether the text of a number is that of a float."""
    return b"." in text or b"e" in text or b"E" in text


def is_number(text: bytes) -> bool:
    """Whether the text of a value is a number's."""
    return text[:1] in _NUMBERS


_NUMBERS: Final = frozenset([b"-", *(b"%d" % n for n in range(10))])


def is_scalar(text: bytes) -> bool:
    """Whether bytes from outside are the text of a string, number, boolean or null, and of nothing more."""
    try:
        value = _decode(text.decode())
        return type(value) not in (list, dict) and _encodable(value) and dump(value) == text
    except (ValueError, RecursionError):
        return False
