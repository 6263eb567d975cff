"""The containers, without Docker: what the files say about users, networks, volumes and secrets."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DAEMONS = ("a", "b", "c")
AGENTS = {f"agent-{name}": name for name in DAEMONS}
GOSSAMER = (sys.executable, "-c", "from daemon.cli import main; main()")
OURS = "10001:10001"
CONFIGURATION = ROOT / "deploy" / "mosquitto"


def _stages() -> dict[str, str]:
    """Name to text, in order."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[2::3], parts[3::3], strict=True))


def _parents() -> dict[str, str]:
    """Stage to what it is made from."""
    return {name: parent for parent, name in re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)}


def _needed(image: str, core: str) -> set[str]:
    """The stages that are built for this image with CORE=core."""
    stages, parents = _stages(), _parents()
    found: set[str] = set()
    ahead = [image]
    while ahead:
        name = ahead.pop()
        if name in stages and name not in found:
            found.add(name)
            ahead += [parents[name].replace("${CORE}", core), *re.findall(r"--from=(\S+)", stages[name])]
    return found


def _volumes(service: str) -> dict[str, str]:
    """Mount point to what is mounted."""
    pairs = (mount.removesuffix(":ro").split(":") for mount in SERVICES[service]["volumes"])
    return {target: source for source, target in pairs}


# The images.


def test_every_package_of_an_image_is_checked_against_its_hash() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install [^&\n]*", DOCKERFILE)
    assert len(installs) == 5
    for install in installs:
        assert "--require-hashes" in install or install.split()[-1] == "dist/*.whl", install
    assert "--no-build-isolation" in DOCKERFILE


def test_the_agent_s_client_is_in_the_lock_where_the_image_looks_for_it() -> None:
    (pattern,) = re.findall(r"sed -n '/\^\\\((\S+)\\\)==/,/# via/p' (?=requirements/demo\.txt)", DOCKERFILE)
    lock = (ROOT / "requirements" / "demo.txt").read_text(encoding="utf-8")
    for name in pattern.split(r"\|"):
        assert re.search(rf"^{name}==\S+ \\\n(    --hash=sha256:\w+( \\)?\n)+    # via", lock, re.MULTILINE), name


def test_without_being_asked_an_image_is_built_without_a_compiler() -> None:
    assert re.search(r"^ARG CORE=python$", DOCKERFILE.split("FROM", 1)[0], re.MULTILINE)
    stages, parents = _stages(), _parents()
    assert parents["build"] == "core-${CORE}"
    for core in ("python", "compiled"):
        made = "".join(stages[name] for name in _needed("daemon", core) | _needed("agent", core))
        for needed in ("apt-get", "gcc", "requirements/compile.txt", "HATCH_BUILD_HOOK_ENABLE_CUSTOM=true"):
            assert (needed in made) == (core == "compiled"), (core, needed)


def test_no_image_that_runs_holds_the_compiler() -> None:
    # What they are made from, by FROM; of other stages they copy /opt/gossamer alone.
    for image in ("daemon", "agent"):
        assert _parents()[image] == "base"
        assert re.findall(r"COPY --from=\S+ (.+)", _stages()[image]) == ["/opt/gossamer /opt/gossamer"]
    assert _parents()["base"] == _parents()["core-python"]
    assert "apt-get" not in _stages()["base"]


def test_the_hook_that_compiles_is_there_only_where_it_is_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    assert hook["enable-by-default"] is False
    assert f"COPY {hook['path']} ./" in _stages()["core-compiled"]


def test_compose_hands_the_core_on_to_both_images() -> None:
    built = [service["build"] for service in SERVICES.values() if "build" in service]
    assert {build["target"] for build in built} == {"daemon", "agent"}
    # The name alone: what the environment or .env says, else the Dockerfile's default.
    assert all(build["args"] == ["CORE"] for build in built)


@pytest.mark.parametrize("file", ["Dockerfile", "docker-compose.yml"])
def test_no_frontend_and_no_index_is_named(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    # A syntax line makes every build fetch a frontend.
    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE | re.IGNORECASE)
    assert not re.search(r"https?://|index-url|trusted-host", text)


def test_images_run_as_our_user_and_say_how_they_stop_and_live() -> None:
    stages = _stages()
    assert list(stages)[-1] == "daemon", "the default image is the daemon"
    assert "STOPSIGNAL SIGTERM" in stages["base"]
    assert re.search(r"install -d -o 10001 -g 10001 -m 07[0-9]0 /run/gossamer /var/lib/gossamer", stages["base"])
    for name in ("daemon", "agent"):
        assert f"USER {OURS}" in stages[name]
        assert stages[name].index("USER") > stages[name].index("RUN")
        assert "HEALTHCHECK" in stages[name]
    assert 'CMD ["gossamer", "ping"]' in stages["daemon"]


def test_what_an_image_copies_is_not_ignored() -> None:
    ignored = {
        line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    }
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    ]
    assert copied
    for path in copied:
        assert (ROOT / path).exists()
        assert not {path, path.split("/")[0]} & ignored
    assert {".git", ".venv"} <= ignored


# The services.


def test_there_is_a_broker_and_three_daemons_with_an_agent_each() -> None:
    assert set(SERVICES) == {"passwords", "mosquitto", *DAEMONS, *AGENTS}
    for name in DAEMONS:
        command = SERVICES[name]["command"]
        assert command[:3] == ["run", "--name", name]
    assert SERVICES["passwords"]["environment"]["REPLICAS"].split() == list(DAEMONS)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_locked_down(service: str) -> None:
    definition = SERVICES[service]
    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert any(mount.split(":")[0] == "/tmp" for mount in definition["tmpfs"])
    assert definition["init"] is True
    assert "stop_grace_period" in definition
    assert "privileged" not in definition and "ulimits" not in definition and "ports" not in definition
    expected = {"passwords": "0:0", "mosquitto": "1883:1883"}.get(service, OURS)
    assert definition["user"] == expected
    if service != "passwords":
        assert "cap_add" not in definition


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_shares_one_volume_with_its_daemon_and_nothing_else(agent: str) -> None:
    definition, daemon = SERVICES[agent], AGENTS[agent]
    assert definition["network_mode"] == "none"
    assert "networks" not in definition
    assert _volumes(agent) == {"/run/gossamer": f"run-{daemon}"}
    assert _volumes(daemon)["/run/gossamer"] == f"run-{daemon}"
    assert definition["environment"]["GOSSAMER_SOCKET"] == f"/run/gossamer/{daemon}.sock"
    sharing = {name for name in SERVICES if f"run-{daemon}" in _volumes(name).values()}
    assert sharing == {agent, daemon}


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_daemon_has_volumes_and_a_password_of_its_own(daemon: str) -> None:
    mounted = _volumes(daemon)
    assert mounted == {
        "/run/gossamer": f"run-{daemon}",
        "/var/lib/gossamer": f"data-{daemon}",
        "/run/secrets/mqtt": f"secret-{daemon}",
    }
    assert set(mounted.values()) <= set(COMPOSE["volumes"])
    holders = {name for name in SERVICES if f"secret-{daemon}" in _volumes(name).values()}
    assert holders == {daemon, "passwords"}
    assert SERVICES[daemon]["environment"]["GOSSAMER_MQTT__PASSWORD_FILE"] == "/run/secrets/mqtt/password"
    assert SERVICES[daemon]["depends_on"] == {"passwords": {"condition": "service_completed_successfully"}}


def test_the_broker_s_network_leads_nowhere() -> None:
    assert COMPOSE["networks"] == {"mqtt": {"internal": True}}
    for service in ("mosquitto", *DAEMONS):
        assert SERVICES[service]["networks"] == ["mqtt"]
    assert SERVICES["passwords"]["network_mode"] == "none"


def test_no_password_is_committed() -> None:
    for definition in SERVICES.values():
        for name in definition.get("environment", {}):
            assert not re.search(r"PASSWORD$|SECRET|TOKEN", name), f"{name} in the environment is for everybody to read"
    for file in sorted((ROOT / "deploy").rglob("*")):
        if file.is_file():
            assert not re.search(r"\$[67]\$|[0-9a-f]{32}", file.read_text(encoding="utf-8")), f"{file} looks secret"


# The broker's files, and the programs of the containers.


def test_the_broker_lets_nobody_in_without_a_password_and_everybody_speak_as_himself() -> None:
    lines = (CONFIGURATION / "mosquitto.conf").read_text(encoding="utf-8").splitlines()
    for line in (
        "allow_anonymous false",
        "set_tcp_nodelay true",
        "acl_file /mosquitto/config/acl",
        "password_file /mosquitto/config/passwords",
    ):
        assert line in lines
    rules = [
        line for line in (CONFIGURATION / "acl").read_text(encoding="utf-8").splitlines() if line[:1] not in ("", "#")
    ]
    assert rules == [
        "pattern write gs/v1/+/b/%u/#",
        "pattern read gs/v1/+/b/#",
        "pattern write gs/v1/+/i/+/%u",
        "pattern read gs/v1/+/i/%u/#",
    ]


def test_the_password_script_is_posix_shell() -> None:
    subprocess.run(["sh", "-n", ROOT / "deploy" / "passwords.sh"], check=True, timeout=30)


def _agent(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "deploy" / "agent.py", *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_an_agent_without_a_daemon_named_says_what_to_set() -> None:
    ended = _agent([], AGENT="ada")
    assert ended.returncode == 2
    assert "set GOSSAMER_SOCKET" in ended.stderr


def _module() -> Any:
    spec = importlib.util.spec_from_file_location("container_agent", ROOT / "deploy" / "agent.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def socket() -> Iterator[Path]:
    """Of a real daemon without a broker. Its folder has a short name: a socket's path takes about 100 bytes."""
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        path = Path(folder) / "a.sock"
        command = [*GOSSAMER, "run", "--name", "a", "--socket", str(path), "--data-dir", f"{folder}/data"]
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "XDG_RUNTIME_DIR": folder}
        command += ["--broker", "mqtt://127.0.0.1:9", "--log-level", "error"]
        daemon = subprocess.Popen(command, env=environment)
        try:
            subprocess.run([*GOSSAMER, "ping", "--socket", path, "--timeout", "20s"], check=True, timeout=30)
            yield path
        finally:
            daemon.terminate()
            assert daemon.wait(10) == 0


def test_what_agents_did_adds_up_to_the_common_number(socket: Path) -> None:
    ada, ben = (_module().Agent(name, str(socket)) for name in ("ada", "ben"))
    # PING is answered, perhaps, before the replica is loaded.
    deadline = time.monotonic() + 20
    while True:
        try:
            ada.step()
            break
        except redis.BusyLoadingError:
            assert time.monotonic() < deadline
    for _ in range(60):
        ada.step()
        ben.step()
    found = re.fullmatch(r"ada: (\d+) open, (\d+) completed \(ada (\d+) ben (\d+)\)", ada.report())
    assert found
    backlog, completed, by_ada, by_ben = map(int, found.groups())
    assert completed == by_ada + by_ben > 0
    assert backlog <= _module().BACKLOG


def test_the_agent_s_check_fails_until_a_step_is_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = _module()
    monkeypatch.setattr(agent, "PULSE", tmp_path / "worked")
    assert agent.check() == 1
    agent.PULSE.touch()
    assert agent.check() == 0
    stale = agent.PULSE.stat().st_mtime - agent.STALE_AFTER - 1
    os.utime(agent.PULSE, (stale, stale))
    assert agent.check() == 1
