"""What stands beside the package to run it: held against the package, and tried here."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import attrs
import pytest
import yaml

from cidx_jobs import __version__
from cidx_jobs.cli.root import cidx_jobs
from cidx_jobs.handlers.git.network.operator_files import find_fault
from cidx_jobs.settings import Settings
from tests.fakes import WAIT_SECONDS
from tests.functional.test_serve import server

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "cidx-jobs.service"
DOCKERFILE = ROOT / "Dockerfile"
MOST_EXPOSED = 3.0
LONGEST_WAIT_SECONDS = 55


def read_unit() -> dict[str, dict[str, list[str]]]:
    """Return the unit's lines by section and key; a key may stand several times."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


def read_dockerfile() -> list[tuple[str, str]]:
    """Return the instructions with their arguments, each on one line."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    parts = (line.partition(" ") for line in lines if line)
    return [(word, rest.strip()) for word, _, rest in parts]


def is_setting(variable: str) -> bool:
    """Tell whether the variable names a setting of this version."""
    return variable.removeprefix("CIDX_JOBS_").lower() in attrs.fields_dict(Settings)


def test_the_unit_stops_the_server_as_it_wants_to_be_stopped() -> None:
    """TERM to the server alone, longer than its grace; it says itself when it is ready."""
    service = read_unit()["Service"]

    assert service["KillMode"] == ["mixed"]
    assert int(service["TimeoutStopSec"][0]) >= Settings().shutdown_grace_seconds + 10
    assert (service["Type"], service["NotifyAccess"]) == (["notify"], ["main"])
    assert int(service["WatchdogSec"][0]) > 0
    assert service["User"] == ["cidx-jobs"]


def test_the_unit_starts_what_there_is() -> None:
    """Its command, options and variables are those of this version."""
    service = read_unit()["Service"]
    program, command, *options = service["ExecStart"][0].split()
    known = {name for one in cidx_jobs.commands[command].params for name in one.opts}

    assert Path(program).name == "cidx-jobs"
    assert {option for option in options if option.startswith("--")} <= known
    assert all(is_setting(line.partition("=")[0]) for line in service["Environment"])


def test_the_unit_leaves_what_git_and_the_server_need() -> None:
    """The memory of each git is bounded by setrlimit, and processes are looked for in /proc."""
    service = read_unit()["Service"]

    assert not any("@resources" in line for line in service["SystemCallFilter"])
    assert "ProcSubset" not in service
    assert set(service["RestrictAddressFamilies"][0].split()) == {"AF_UNIX", "AF_INET", "AF_INET6"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_the_unit_is_hardened(tmp_path: Path) -> None:
    """Systemd knows every line of it, and rates it below 3 of 10."""
    for file in UNIT.parent.iterdir():
        text = re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", file.read_text("utf-8"))
        (tmp_path / file.name).write_text(text, "utf-8")
    unit = tmp_path / UNIT.name
    analyze = ["systemd-analyze", "--no-pager"]

    verified = subprocess.run(
        [*analyze, "verify", *tmp_path.iterdir()],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    rated = subprocess.run(
        [*analyze, "security", "--offline=yes", unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert "Unknown" not in verified.stderr
    assert "ailed to parse" not in verified.stderr
    score = re.search(r"exposure level for .*: ([0-9.]+)", rated.stdout)
    assert score is not None, rated.stderr
    assert float(score[1]) <= MOST_EXPOSED


def test_the_image_is_small_and_nobodys() -> None:
    """A slim Python, git and an init, a user without rights, no shell before the server."""
    lines = read_dockerfile()
    last = dict(lines)
    (packages,) = (rest for word, rest in lines if "apt-get install" in rest)

    bases = [rest for word, rest in lines if word == "FROM"]
    assert all(re.fullmatch(r"python:3\.\d+-slim.*", base) for base in bases)
    assert {"git", "tini", "ca-certificates"} <= set(packages.split())
    assert int(last["USER"]) > 0
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["tini", "--", "cidx-jobs"]
    assert json.loads(last["CMD"]) == ["serve"]


def test_the_image_is_made_of_what_there_is() -> None:
    """What is copied exists and is let into the build; extras and variables are ours."""
    lines = read_dockerfile()
    copied = [
        name
        for word, rest in lines
        if word == "COPY" and not rest.startswith("--from")
        for name in rest.split()[:-1]
    ]
    let_in = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    (extras,) = (re.findall(r"\.\[(\w+)\]", rest) for word, rest in lines if "pip install" in rest)

    assert all((ROOT / name).exists() for name in copied)
    assert all(f"!{name}" in let_in for name in copied)
    assert all(setup.has_option("options.extras_require", name) for name in extras)
    variables = re.findall(r"(CIDX_JOBS_\w+)=", dict(lines)["ENV"])
    assert variables
    assert all(map(is_setting, variables))


@pytest.mark.slow
async def test_the_image_is_healthy_while_its_server_lives(tmp_path: Path) -> None:
    """The health check is run as the image would run it, beside a server and without one."""
    _, _, command = dict(read_dockerfile())["HEALTHCHECK"].partition("CMD ")
    _, *arguments = json.loads(command)

    async with server(tmp_path / "data", host="127.0.0.1", auth="tokens") as running:
        port = running.url.rpartition(":")[2]
        healthy = await check_health(arguments, port)
        running.process.terminate()
        await running.ended()
    ended = await check_health(arguments, port)

    assert healthy == 0
    assert ended != 0


async def check_health(arguments: list[str], port: str) -> int:
    """Return the exit code of the image's health check."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**os.environ, "CIDX_JOBS_PORT": port},
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(WAIT_SECONDS):
        return await process.wait()


KUBERNETES = {
    one["kind"]: one
    for one in yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text("utf-8"))
}
POD = KUBERNETES["Deployment"]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]


def test_kubernetes_runs_one_server_on_one_volume() -> None:
    """The old one has stopped before the new one starts; the version is this one."""
    deployment = KUBERNETES["Deployment"]["spec"]
    selected = deployment["selector"]["matchLabels"]
    volumes = {one["name"]: one for one in POD["volumes"]}
    mounted = {one["name"]: Path(one["mountPath"]) for one in CONTAINER["volumeMounts"]}
    data_dir = settings_of_the_pod().data_dir

    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert selected == deployment["template"]["metadata"]["labels"]
    assert KUBERNETES["Service"]["spec"]["selector"] == selected
    claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
    assert claim == KUBERNETES["PersistentVolumeClaim"]["metadata"]["name"]
    # The volume's own directory is the kubelet's, with rights for the group.
    assert mounted["data"] in data_dir.parents
    assert {one["image"] for one in (*POD["initContainers"], CONTAINER)} == {
        f"cidx-jobs:{__version__}"
    }


def test_kubernetes_asks_and_stops_the_server_as_it_wants() -> None:
    """Health routes on its port, and longer than its grace time; no settings but those given."""
    image = dict(read_dockerfile())
    settings = settings_of_the_pod()
    (port,) = CONTAINER["ports"]
    (service_port,) = KUBERNETES["Service"]["spec"]["ports"]
    asked = {
        kind: CONTAINER[kind]["httpGet"]
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
    }

    assert port["containerPort"] == Settings().port == int(image["EXPOSE"])
    assert service_port["targetPort"] == port["name"]
    assert {one["port"] for one in asked.values()} == {port["name"]}
    assert [one["path"] for one in asked.values()] == ["/livez", "/livez", "/readyz"]
    assert POD["terminationGracePeriodSeconds"] >= settings.shutdown_grace_seconds + 10
    # Else a Service named cidx-jobs sets CIDX_JOBS_PORT and more.
    assert POD["enableServiceLinks"] is False


def test_kubernetes_gives_the_server_no_rights() -> None:
    """The image's user, nothing to write but its volumes, no token of the cluster."""
    context = POD["securityContext"]
    image_user = int(dict(read_dockerfile())["USER"])

    assert context["runAsNonRoot"] is True
    assert {context["runAsUser"], context["runAsGroup"], context["fsGroup"]} == {image_user}
    assert context["fsGroupChangePolicy"] == "OnRootMismatch"
    assert POD["automountServiceAccountToken"] is False
    for one in (*POD["initContainers"], CONTAINER):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_kubernetes_puts_credentials_where_the_server_looks_for_them(tmp_path: Path) -> None:
    """For the server alone: git refuses what a group may read."""
    (init,) = POD["initContainers"]
    (key,) = KUBERNETES["Secret"]["stringData"]
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / key).write_text("https://u:t@host.test", "utf-8")
    (secret / key).chmod(0o440)
    *shell, script = init["command"]
    mounts = {one["mountPath"] for one in init["volumeMounts"]}
    for mount in mounts:
        script = script.replace(mount, f"{tmp_path}{mount}")
    (tmp_path / "data").mkdir()

    subprocess.run([*shell, script], check=True)

    data_dir = Path(f"{tmp_path}{settings_of_the_pod().data_dir}")
    placed = data_dir / "git-credentials"
    assert find_fault(placed, is_secret=True) is None
    assert data_dir.stat().st_mode & 0o777 == 0o700


def settings_of_the_pod() -> Settings:
    """Return what is in force there: the image's variables, those of the manifest over them."""
    of_image = re.findall(r"(CIDX_JOBS_\w+)=(\S+)", dict(read_dockerfile())["ENV"])
    given = {one["name"]: one["value"] for one in CONTAINER["env"]}
    return Settings.load(environ=dict(of_image) | given)


def read_proxy(name: str) -> tuple[str, list[list[str]]]:
    """Return an example of a proxy without its comments, and its lines as words."""
    lines = (ROOT / "deploy" / name).read_text("utf-8").splitlines()
    words = [line.strip().rstrip(";").split() for line in lines]
    return "\n".join(lines), [line for line in words if line and not line[0].startswith("#")]


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_a_proxy_finds_the_server_and_tells_of_the_client(name: str) -> None:
    """At its default address, with the prefix that it takes off; its settings are ours."""
    text, lines = read_proxy(name)
    settings = Settings()
    told = dict(re.findall(r"(\w+) = (\[?\"[^\"]+\"\]?)", text))

    assert any(f"{settings.host}:{settings.port}" in word for line in lines for word in line)
    assert any(line[-2:] == ["X-Forwarded-Prefix", "/cidx"] for line in lines)
    assert told.keys() == {"auth", "proxy_peers", "public_url"}
    assert Settings(**{key: json.loads(value) for key, value in told.items()}).auth == "tokens"
    assert text.count("{") == text.count("}")


def test_a_proxy_waits_as_long_as_a_long_poll() -> None:
    """Nginx would else cut it, keep streams back, and refuse the larger pushes."""
    said = {line[0]: line[-1] for line in read_proxy("nginx.conf")[1]}

    assert int(said["proxy_read_timeout"].removesuffix("s")) > LONGEST_WAIT_SECONDS
    assert said["proxy_buffering"] == "off"
    assert said["client_max_body_size"] == "25m"


def test_caddy_uses_no_connection_that_the_server_closes() -> None:
    """It gives an idle one up sooner than the server does."""
    said = {line[0]: line[-1] for line in read_proxy("Caddyfile")[1]}

    assert int(said["keepalive"].removesuffix("s")) < Settings().keepalive_seconds
    assert said["flush_interval"] == "-1"
