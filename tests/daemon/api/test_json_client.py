"""JSON through redis-py's `json()`, over a socket, in both protocols."""

from __future__ import annotations

import pytest
import redis
import redis.asyncio
from redis.commands.json.path import Path

from tests.daemon.api.serving import Serving


@pytest.mark.parametrize("protocol", [2, 3])
async def test_every_command_of_the_library(serving: Serving, protocol: int) -> None:
    client = redis.asyncio.Redis(unix_socket_path=str(serving.path), protocol=protocol, decode_responses=True)
    api = client.json()
    first = (lambda found: found[0]) if protocol == 3 else (lambda found: found)
    try:
        document = {"name": "pump", "tags": ["a", "é"], "state": {"on": True, "level": 1.5, "count": 7, "none": None}}
        assert await api.set("doc", "$", document)
        assert await api.get("doc") == document
        assert await api.get("doc", "$.state.level", "$.name") == {"$.state.level": [1.5], "$.name": ["pump"]}
        assert await api.set("doc", "$.none.deep", 1) is None
        assert await api.set("doc", "$.name", "other", xx=True) and await api.set("doc", "$.name", "x", nx=True) is None
        assert await api.numincrby("doc", "$.state.count", 5) == [12]
        assert first(await api.numincrby("doc", ".state.level", 0.25)) == 1.75
        assert await api.strappend("doc", "!", "$.name") == [6] and await api.strlen("doc", "$.name") == [6]
        assert await api.toggle("doc", "$.state.on") == [0]
        assert await api.arrappend("doc", "$.tags", "b", {"c": 1}) == [4]
        assert await api.arrinsert("doc", "$.tags", 1, "z") == [5]
        assert await api.arrindex("doc", "$.tags", "b") == [3] and await api.arrlen("doc", "$.tags") == [5]
        assert await api.arrpop("doc", "$.tags") == ['{"c":1}']
        assert await api.arrtrim("doc", "$.tags", 0, 1) == [2]
        assert await api.get("doc", "$.tags[*]") == ["a", "z"]
        assert await api.objkeys("doc", "$.state") == [["on", "level", "count", "none"]]
        assert await api.objlen("doc", "$.state") == [4]
        assert await api.type("doc", "$.name") in (["string"], [["string"]])
        assert await api.merge("doc", "$.state", {"none": None, "new": [1]})
        assert await api.get("doc", "$.state") == [{"on": False, "level": 1.75, "count": 12, "new": [1]}]
        assert await api.clear("doc", "$.state.new") == 1
        assert await api.set("two", Path.root_path(), {"name": "second"})
        assert await api.mget(["doc", "two", "three"], "$.name") == [["other!"], ["second"], None]
        assert await api.delete("doc", "$.tags") == 1 and await api.forget("two") == 1
        assert await client.keys("*") == ["doc"]
        with pytest.raises(redis.ResponseError, match="invalid JSON"):
            await client.execute_command("JSON.SET", "doc", "$", "{")
        with pytest.raises(redis.ResponseError, match=r"exceeds limits\.value"):
            await api.set("doc", "$", "x" * 2_000_000)
        assert await client.ping()
    finally:
        await client.aclose()
