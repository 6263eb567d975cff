"""The core, compiled: `crdt/` and the way of a request as machine code made by mypyc from the same sources. Optional.

Pure Python works everywhere and is what is developed, tested and debugged. The compiled core answers the same and is
faster (docs/performance.md says by how much). It needs a C compiler, mypy and setuptools when it is built, and nothing
when it runs. Three ways to have it:

    make compile                                       beside the sources, in build/compiled; PYTHONPATH selects it
    HATCH_BUILD_HOOK_ENABLE_CUSTOM=true pip wheel .    in the wheel, for this Python on this machine
    CORE=compiled docker compose up --build            in the images, by way of the wheel

The rest, above all the engine (crdt/replica), stays as it is: it is not where the time goes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
PACKAGES = ("crdt", "daemon")  # what is compiled is part of these
# From the bytes of a client to the bytes of the answer, and the commands that are asked most. What inherits from what
# is not compiled has to stay outside.
REQUESTS = (
    "arguments", "connections", "crowd", "database", "dispatch", "patience", "registry", "requests", "resp", "server",
    "session", "commands/counters", "commands/hashes", "commands/lists", "commands/sets", "commands/strings",
)  # fmt: skip
# In a process and a directory of its own: setuptools writes where it stands, and mypyc reads no settings of ours.
SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup
modules = mypycify(["--config-file=", "--ignore-missing-imports", *sys.argv[1:]], opt_level="3", debug_level="0")
for module in modules:  # or the compiler may inline nothing of ours, lest somebody put another function in its place
    module.extra_compile_args += ["-fvisibility=hidden", "-fno-semantic-interposition"]
setup(name="gossamer", packages=[], py_modules=[], ext_modules=modules, script_args=["-q", "build_ext", "--inplace"])
"""


def modules() -> list[str]:
    """What is compiled, as paths below the root."""
    found = [*ROOT.glob("crdt/*.py"), *ROOT.glob("crdt/types/*.py")]
    core = sorted(str(path.relative_to(ROOT)) for path in found if path.name != "__init__.py")
    return core + [f"daemon/api/{name}.py" for name in REQUESTS]


def compile_into(directory: Path) -> list[Path]:
    """PACKAGES with their compiled modules beside their sources; paths of what was built, below `directory`."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{directory.name}-", dir=directory.parent) as name:
        # Made elsewhere and moved at the end: what is there is whole, also after a build that failed or two at once.
        new = Path(name) / "new"
        for package in PACKAGES:
            shutil.copytree(ROOT / package, new / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        work = subprocess.run([sys.executable, "-c", SETUP, *modules()], cwd=new, capture_output=True, text=True)
        if work.returncode:
            raise RuntimeError(f"mypyc or the C compiler failed:\n{work.stdout}{work.stderr}")
        shutil.rmtree(new / "build")
        shutil.rmtree(directory, ignore_errors=True)
        new.rename(directory)
    return sorted(path.relative_to(directory) for path in directory.rglob("*.so"))


class CompiledCore(BuildHookInterface[Any]):
    """For wheels, if asked for."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the compiled modules."""
        if version == "editable":
            return
        directory = Path(tempfile.mkdtemp(prefix="gossamer-")) / "compiled"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in compile_into(directory):
            build_data["force_include"][str(directory / path)] = str(path)


if __name__ == "__main__":
    built = compile_into(Path(sys.argv[1]))
    print(f"{len(built)} compiled modules in {sys.argv[1]}")
