"""The commands on another machine: ``--url`` and ``--token``, through breaks and over TLS."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from mist.errors import Exit
from tests.integration.conftest import MakeService
from tests.integration.test_commands import until
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import program
from tests.support.service.proxy import CuttingProxy
from tests.support.service.service import ADMIN, MIST, Service, free_port
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine


class Afar:
    """A machine that has the command, an address and a token, and nothing else of the service."""

    def __init__(self, directory: Path, url: str, token: str) -> None:
        ours = {name: text for name, text in os.environ.items() if not name.startswith("MIST_")}
        # A state in which nothing can be made shows that the command needs none.
        nothing = {"MIST_HOME": "/proc/none", "MIST_RUNTIME": "/proc/none", "HOME": str(directory)}
        direct = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        self.environment = ours | nothing | direct | {"MIST_URL": url, "MIST_TOKEN": token}

    def mist(
        self, *arguments: str, stdin: str = "", **changes: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [MIST, *arguments],
            env=self.environment | changes,
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=90,
        )

    def start(self, *arguments: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        """Start a command that runs until the test has seen enough."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return program([MIST, *arguments], env=self.environment, **pipes)


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what a command still prints, and wait for its end.

    ``communicate`` would lose what the last ``readline`` has left in its buffer.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    printed = process.stdout.read(), process.stderr.read()
    process.wait(60)
    return printed


def new_token(service: Service, *arguments: str) -> str:
    """Return a new token."""
    return service.mist("token", "add", "afar", *arguments).stdout.strip()


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    """A token of the admin."""
    return new_token(service)


@pytest.fixture
def afar(service: Service, token: str, tmp_path: Path) -> Afar:
    """A machine with a direct connection."""
    return Afar(tmp_path, service.url, token)


@pytest.fixture
def proxy(service: Service) -> Iterator[CuttingProxy]:
    """A connection that breaks."""
    proxy = CuttingProxy(service.port)
    yield proxy
    proxy.close()


def test_a_log_goes_on_where_the_connection_broke(
    engine: PrivateEngine, service: Service, container: str, proxy: CuttingProxy, tmp_path: Path
) -> None:
    """Each line is printed once and in order, whatever happens to the connection."""
    service.add_app(container, container)
    script = "i=0; while [ ! -e /go ]; do i=$((i+1)); echo out $i; sleep 0.02; done; echo err >&2"
    engine.run(container, script)
    afar = Afar(tmp_path, proxy.url, new_token(service, "--app", container, "--right", "viewer"))
    got: list[str] = []
    with afar.start("logs", container) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "is running" in process.stderr.readline()
        for cut in (proxy.reset, proxy.hang_up):
            got += [process.stdout.readline().strip() for _ in range(40)]
            cut()
            assert "broke; trying again" in process.stderr.readline()
            assert "is running" in process.stderr.readline()
        got += [process.stdout.readline().strip() for _ in range(40)]
        engine.say(container, ": >/go")
        out, err = rest(process)
    got += out.split("\n")[:-1]
    first = int(got[0].split()[1])
    assert got == [f"out {number}" for number in range(first, first + len(got))]
    assert got == [line for line in engine.lines(container) if line.startswith("out")][-len(got) :]
    assert process.returncode == Exit.OK
    assert "trying again" not in err
    assert err.startswith("err\n")
    assert "Log stream ended" in err


@pytest.mark.parametrize("tail", ["2", "0"])
def test_an_empty_log_is_resumed(
    engine: PrivateEngine,
    service: Service,
    container: str,
    token: str,
    proxy: CuttingProxy,
    tmp_path: Path,
    tail: str,
) -> None:
    """Lines that are written before a third connection come, however many were asked for."""
    service.add_app(container, container)
    engine.run(container, "while [ ! -e /go ]; do sleep 0.05; done; seq 1 10; sleep 1000")
    afar = Afar(tmp_path, proxy.url, token)
    with afar.start("logs", container, "--tail", tail) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for last in (False, True):
            assert "is running" in process.stderr.readline()
            proxy.refuse(True)
            proxy.reset()
            assert "broke; trying again" in process.stderr.readline()
            if last:
                engine.say(container, ": >/go")
                wait_until(lambda: len(engine.lines(container)) == 10, "the lines")
            proxy.refuse(False)
        lines = [process.stdout.readline().strip() for _ in range(10)]
    assert lines == [str(number) for number in range(1, 11)]


def test_the_last_lines_of_a_container_that_stopped_meanwhile(
    engine: PrivateEngine, service: Service, container: str, proxy: CuttingProxy, tmp_path: Path
) -> None:
    """They come before the end, which is that of a container that stops."""
    service.add_app(container, container)
    engine.run(container, "seq 1 3; while [ ! -e /go ]; do sleep 0.05; done; seq 4 6")
    afar = Afar(tmp_path, proxy.url, new_token(service, "--app", container, "--right", "viewer"))
    with afar.start("logs", container) as process:
        assert process.stdout is not None
        assert [process.stdout.readline().strip() for _ in range(3)] == ["1", "2", "3"]
        proxy.refuse(True)
        proxy.reset()
        engine.say(container, ": >/go")
        wait_until(lambda: engine.state(container) == "exited", "the end")
        # It returns once the end is on the bus, so that nobody is told that it comes.
        service.mist("logs", container, check=False)
        proxy.refuse(False)
        out, err = rest(process)
    assert (out.split(), process.returncode) == (["4", "5", "6"], Exit.OK), err
    assert "not running" in err


@pytest.fixture
def other(engine: PrivateEngine, container: str) -> Iterator[str]:
    """The name of a second container."""
    name = f"{container}-2"
    yield name
    engine.remove(name)


def test_several_logs_from_afar(
    engine: PrivateEngine,
    service: Service,
    container: str,
    other: str,
    token: str,
    proxy: CuttingProxy,
    tmp_path: Path,
) -> None:
    """They are merged as on the service's machine, and each goes on where it broke."""
    service.add_app(container, container)
    script = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo {} $i; sleep 0.02; done; {}"
    wait = "while [ ! -e /go ]; do sleep 0.05; done; seq 61 90"
    for name in (container, other):
        engine.run(name, script.format("x", wait))
    wait_until(lambda: {len(engine.lines(each)) for each in (container, other)} == {60}, "lines")
    afar = Afar(tmp_path, proxy.url, token)
    # The application's container is its own log, and is shown once.
    both = ("logs", container, "--container", other, "--container", container, "--timestamps")
    for options in (["--no-follow"], ["--since", "1h", "--until", "0s", "--grep", "[37]$"]):
        here = service.mist(*both, *options).stdout
        assert len(here.splitlines()) > 20
        assert afar.mist(*both, *options).stdout == here
    with afar.start(*both, "--tail", "3") as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(6)]
        proxy.reset()
        for name in (container, other):
            engine.say(name, ": >/go")
        out, err = rest(process)
    printed = [re.split(r"\s*\| ", line) for line in (*first, *out.splitlines(keepends=True))]
    assert [text.split()[0] for _name, text in printed[:6]] == sorted(
        text.split()[0] for _name, text in printed[:6]
    )
    for name in (container, other):
        numbers = [text.split()[-1] for label, text in printed if label == name]
        assert numbers == [str(number) for number in range(58, 91)], err
        assert f"mist: {name}: the connection to {proxy.url} broke; trying again" in err
    assert process.returncode == Exit.OK, err


def test_one_of_several_logs_cannot_be_read(
    engine: PrivateEngine, service: Service, container: str, afar: Afar
) -> None:
    """The others are shown, and the exit status tells."""
    engine.run(container, "echo one")
    service.add_app(container, container)
    wait_until(lambda: engine.state(container) == "exited", "the end")
    done = afar.mist("logs", container, "--container", "no-such", "--no-follow")
    assert done.stdout.endswith("| one\n")
    assert "mist: no-such: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode != Exit.OK


def test_older_lines_are_read_from_afar(
    engine: PrivateEngine, service: Service, container: str, afar: Afar
) -> None:
    """Ranges and searches are those of the engine's log, and live lines follow without a gap."""
    service.add_app(container, container)
    script = "seq 1 3000; while [ ! -e /go ]; do sleep 0.1; done; seq 3001 3010; sleep 1000"
    engine.run(container, script)
    wait_until(lambda: len(engine.lines(container)) == 3_000, "the first lines")
    stamped = engine.client.logs(container, timestamps=True).decode().splitlines()
    since, until = (stamped[at].split()[0] for at in (10, 2_990))
    ranged = afar.mist("logs", container, "--since", since, "--until", until, "--grep", "77$")
    assert ranged.returncode == 0, ranged.stderr
    expected = [line.split()[1] for line in stamped if since <= line.split()[0] < until]
    assert ranged.stdout.split() == [line for line in expected if line.endswith("77")]
    by_name = afar.mist("logs", "--container", container, "--no-follow", "--tail", "5")
    assert by_name.stdout.split() == ["2996", "2997", "2998", "2999", "3000"], by_name.stderr
    with afar.start("logs", container, "--since", "1h", "--grep", "0") as process:
        assert process.stdout is not None
        first = [process.stdout.readline().strip() for _ in range(10)]
        assert first == ["10", "20", "30", "40", "50", "60", "70", "80", "90", "100"]
        while process.stdout.readline().strip() != "3000":
            pass
        engine.say(container, ": >/go")
        assert [process.stdout.readline().strip() for _ in range(3)] == ["3001", "3002", "3003"]
    wrong = afar.mist("logs", container, "--grep", "(")
    assert (wrong.returncode, "RE2" in wrong.stderr) == (Exit.USAGE, True)


def test_a_deployment_is_followed_from_afar(service: Service, afar: Afar, tmp_path: Path) -> None:
    """A failure, its reason and the exit status; a finished one cannot be cancelled."""
    name = f"afar-{tmp_path.name[-6:]}".replace("_", "-")
    added = afar.mist("app", "add", name, "--git", f"file://{tmp_path}/nothing")
    assert added.returncode == 0, added.stderr
    assert name in [app["name"] for app in json.loads(afar.mist("app", "list", "--json").stdout)]
    done = afar.mist("deploy", name)
    assert done.returncode == Exit.FAILURE, done.stderr
    assert f"of {name}" in done.stdout
    assert "%]" in done.stdout
    number = done.stdout.split("Deployment ")[1].split()[0]
    cancelled = afar.mist("cancel", number)
    assert cancelled.returncode == Exit.USAGE
    assert "has already finished" in cancelled.stderr
    service.add_user(f"{name}@localhost", "four pass words")
    granted = afar.mist("app", "grant", name, f"{name}@localhost", "--right", "viewer")
    assert (granted.returncode, "may now see" in granted.stdout) == (0, True), granted.stderr
    viewer = Afar(tmp_path, service.url, new_token(service, "--user", f"{name}@localhost"))
    refused = viewer.mist("deploy", name)
    assert refused.returncode == Exit.NO_PERMISSION
    assert "needs a deployer" in refused.stderr
    assert afar.mist("app", "revoke", name, f"{name}@localhost").returncode == 0
    assert "no application" in viewer.mist("logs", name).stderr


def test_top_from_afar(afar: Afar) -> None:
    """One sample as JSON, and as a person reads it."""
    sample = json.loads(afar.mist("top", "--once", "--json").stdout)
    assert sample["cpu"]["cores"] > 0
    assert "containers running" in afar.mist("top", "--once").stdout


@pytest.mark.parametrize(("limits", "listed"), [((), True), (("--right", "viewer"), False)])
def test_the_containers_in_top_from_afar(
    engine: PrivateEngine,
    service: Service,
    container: str,
    tmp_path: Path,
    limits: tuple[str, ...],
    listed: bool,
) -> None:
    """An admin sees the table; others see the metrics without it."""
    engine.run(container, "sleep 1000")
    afar = Afar(tmp_path, service.url, new_token(service, *limits))
    controller, terminal = os.openpty()
    environment = afar.environment | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    with program([MIST, "top"], env=environment, **streams) as process:
        os.close(terminal)
        shown = until(
            controller,
            lambda text: text.count("mist top") >= 3 and (container in text or not listed),
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    os.close(controller)
    assert "containers running" in shown
    assert (container in shown, "pids" in shown) == (listed, listed)
    assert "denied" not in shown
    assert "waiting" not in shown or listed


def test_status_from_afar(service: Service, afar: Afar, tmp_path: Path) -> None:
    """The table is that of the command on the service's machine, and only for admins."""
    here, there = (_lasting(run("status").stdout) for run in (service.mist, afar.mist))
    assert there == here
    assert len(here) == 5
    status = json.loads(afar.mist("status", "--json").stdout)
    assert status.keys() == json.loads(service.mist("status", "--json").stdout).keys()
    assert {"supervisor", *(each["process"] for each in status["processes"])} >= here.keys()
    limited = Afar(tmp_path, service.url, new_token(service, "--right", "deployer"))
    refused = limited.mist("status")
    assert refused.returncode == Exit.NO_PERMISSION
    assert "Permission denied" in refused.stderr, refused.stderr


#: Commands that a test gives on the service's machine for the first application, and from afar
#: for the second.  Each is answered in the same words.
SAME: Final = (
    "app edit {} --port 80 --env A=1 --env-file - --volume {}:/data --label x=y --cpus 0.5",
    "app edit {} --container {}-box --command ls --project p --clear port --no-env FILE",
    "app edit {} --clear git",
    "app edit {} --name hook",
    "app show {}",
    "app hook {} --rotate",
    "app hook {}",
    "app hook {} --off",
    "app grant {} admin@localhost --right viewer",
    "app revoke {} admin@localhost",
    "app revoke {} admin@localhost",
    "app grant {} nobody@localhost",
    "app remove {}",
)


def test_the_same_words_from_afar(service: Service, afar: Afar, container: str) -> None:
    """An application is shown and changed with the same options, answers and statuses."""
    apps = (f"{container}-a", f"{container}-b")
    for name in (*apps, "hook"):
        git = ("--git", f"https://e.com/{name}.git", "--branch", "main")
        service.mist("app", "add", name, "--container", name, *git)
    for line in SAME:
        first, second = (line.format(name, name).split() for name in apps)
        with ThreadPoolExecutor() as pool:
            far = pool.submit(afar.mist, *second, stdin="FILE=2\n")
            here = service.mist(*first, check=False, input="FILE=2\n")
            there = far.result()
        assert there.returncode == here.returncode, there.stderr
        assert _words(there.stdout, apps[1]) == _words(here.stdout, apps[0])
        errors = there.stderr.replace(f"{service.url}: ", "")
        assert _words(errors, apps[1]) == _words(here.stderr, apps[0])
    shown = [
        json.loads(run("app", "show", apps[1], "--json").stdout)
        for run in (service.mist, afar.mist)
    ]
    assert shown[1] == shown[0] | {"right": "deployer"}
    assert (shown[0]["env"], shown[0]["port"], shown[0]["volumes"]) == (
        ["A"],
        None,
        [f"{apps[1]}:/data"],
    )
    recorded = service.mist("app", "list").stdout
    assert all(name in recorded for name in apps)  # nothing was removed without an answer


def _words(text: str, name: str) -> str:
    """Return what a command says, without what belongs to one application alone."""
    text = re.sub(
        r"https?://[^/]+/api/hooks/\d+|Secret: .*|^id: .*|^created_at: .*|^right: .*\n",
        "",
        text,
        flags=re.M,
    )
    return text.replace(name, "NAME")


def test_a_container_is_adopted_from_afar(
    engine: PrivateEngine, service: Service, container: str, afar: Afar
) -> None:
    """The command shows what becomes of the container and asks, as on the service's machine."""
    service.add_app(container, container, "--git", "https://e.com/x.git")
    adopt = ("app", "adopt", container)
    missing = afar.mist(*adopt)
    assert missing.returncode == Exit.USAGE
    assert f"there is no container '{container}' to adopt" in missing.stderr
    made = engine.run(container, "sleep 1000", environment={"KEY": "hunter2"})
    asked = afar.mist(*adopt)
    assert (asked.returncode, asked.stdout) == (1, service.mist(*adopt, check=False).stdout)
    assert made[:12] in asked.stdout
    assert "hunter2" not in asked.stdout
    done = afar.mist(*adopt, stdin="y\n")
    assert done.returncode == 0, done.stderr
    assert f"Adopted; `mist deploy {container}` will replace it." in done.stdout
    again = afar.mist(*adopt, "--yes")
    assert (again.returncode, "has already adopted" in again.stderr) == (Exit.USAGE, True)


def test_a_token_that_may_not_is_told(
    service: Service, afar: Afar, container: str, tmp_path: Path
) -> None:
    """A viewer, and a token that is limited to an application, read the same refusal."""
    service.add_app(container, None, "--git", "https://e.com/x.git")
    commands = ("edit {} --port 80", "hook {}", "remove {} --yes", f"grant {{}} {ADMIN}")
    for limits, tried in ((("--app", container), commands), (("--right", "viewer"), commands[:1])):
        limited = Afar(tmp_path, service.url, new_token(service, *limits))
        assert container in limited.mist("app", "show", container).stdout
        for command in tried:
            refused = limited.mist("app", *command.format(container).split())
            assert refused.returncode == Exit.NO_PERMISSION
            assert "Permission denied: " in refused.stderr
    after = json.loads(afar.mist("app", "show", container, "--json").stdout)
    assert (after["port"], after["hook"], after["removed_by"]) == (None, False, None)


def test_a_service_that_stands_still(
    engine: PrivateEngine, make_service: MakeService, tmp_path: Path
) -> None:
    """A command says that nothing will happen; it survives a break, and a removal goes on."""
    service = make_service(engine)
    token = new_token(service)
    for name in ("one", "two"):
        service.mist("app", "add", name)
    proxy = CuttingProxy(service.port)
    afar = Afar(tmp_path, proxy.url, token)
    with contextlib.closing(proxy), contextlib.ExitStack() as stack:
        with suspended(service.pid):
            waiting = stack.enter_context(afar.start("app", "remove", "one", "--yes"))
            silent = afar.mist("status", "--json")
            assert (silent.returncode, silent.stdout) == (Exit.UNAVAILABLE, "")
            assert "the supervisor does not answer" in silent.stderr
            out, err = waiting.communicate(timeout=60)
            assert (waiting.returncode, out) == (Exit.TEMPORARY, "")
            assert err == "Mist is not running; one is removed once `mist up` does.\n"
            process = stack.enter_context(afar.start("app", "remove", "two", "--yes"))
            wait_until(lambda: _removals(service) == ["one", "two"], "the request")
            proxy.refuse(True)
            proxy.reset()
            assert process.stderr is not None
            assert "cannot be reached" in process.stderr.readline()
        proxy.refuse(False)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "Removed two.\n", "")
    assert "mist app list" in service.mist("app", "show", "one", check=False).stderr


def _removals(service: Service) -> list[str]:
    """Return the applications that are to be removed."""
    apps = json.loads(service.mist("app", "list", "--json").stdout)
    return [app["name"] for app in apps if app["removed_by"]]


@contextlib.contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Stop a process for a moment."""
    process = psutil.Process(pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def _lasting(table: str) -> dict[str, list[str]]:
    """Return the rows of the processes that always run, without their times.

    These are computed from the clock of the moment, and may differ in the last digit.
    """
    lasting = {"supervisor", "fork-server", "broker", "metrics", "gunicorn"}
    rows = [re.sub(r"\S+T[\d:]+Z", "", row).split() for row in table.splitlines()]
    return {row[0]: row[1:] for row in rows if row and row[0] in lasting}


@pytest.mark.parametrize(
    ("arguments", "changes", "status", "words"),
    [
        (["logs", "none"], {}, Exit.USAGE, "no application 'none' that this token may see"),
        (["logs", "x"], {"MIST_TOKEN": ""}, Exit.USAGE, "needs a token"),
        (["logs", "x", "--token", "t"], {"MIST_URL": ""}, Exit.USAGE, "add --url"),
        (["logs", "x", "--token", "mist_wrong"], {}, Exit.NO_PERMISSION, "is not valid"),
        (["logs", "x", "--token", "a b"], {}, Exit.USAGE, "copy it again"),
        (["logs", "x", "--url", "mist.lan"], {}, Exit.USAGE, "not the address of a service"),
        (["logs", "x", "--url", "ftp://h"], {}, Exit.USAGE, "not the address of a service"),
        (["logs", "x", "--url", "https://:pw@h"], {}, Exit.USAGE, "not contain a password"),
        (["logs", "x", "--url", "https://u@h"], {}, Exit.USAGE, "not contain a password"),
        (["top", "--url", "https://h/#part"], {}, Exit.USAGE, "not the address of a service"),
        (["top", "--url", "https://h\tx"], {}, Exit.USAGE, "not the address of a service"),
        (["logs"], {}, Exit.USAGE, "name an application"),
        (["logs", "--container", "a b"], {}, Exit.USAGE, "'a b'"),
        (["top", "--url", "http://127.0.0.1:1"], {}, Exit.UNAVAILABLE, "Connection refused"),
        (["deploy", "x", "--url", "https://127.0.0.1:1"], {}, Exit.UNAVAILABLE, "be reached"),
        (["cancel", "999999"], {}, Exit.USAGE, "Deployment not found"),
        (["app", "edit", "none", "--port", "80"], {}, Exit.USAGE, "no application 'none'"),
        (["app", "edit", "none"], {}, Exit.USAGE, "nothing to change"),
        (["app", "show", "x", "--url", "http://127.0.0.1:1"], {}, Exit.UNAVAILABLE, "refused"),
        (["status", "--token", "mist_wrong"], {}, Exit.NO_PERMISSION, "is not valid"),
        (["status"], {"MIST_TOKEN": ""}, Exit.USAGE, "needs a token"),
        (["app", "list"], {"SSL_CERT_FILE": "/none"}, Exit.USAGE, "SSL_CERT_FILE names '/none'"),
    ],
)
def test_what_cannot_work_says_why(
    afar: Afar, arguments: list[str], changes: dict[str, str], status: int, words: str
) -> None:
    """One line that names the mistake and what to do, and no traceback."""
    done = afar.mist(*arguments, **changes)
    assert (done.returncode, words in done.stderr) == (status, True), done.stderr
    assert done.stderr.count("\n") == 1


def test_another_version_is_told(service: Service, afar: Afar) -> None:
    """A route that the service does not have is no missing application."""
    for command in ("status", "app list"):
        done = afar.mist(*command.split(), "--url", f"{service.url}/api")
        assert done.returncode == Exit.USAGE
        assert "There is nothing at /api/api/" in done.stderr
        assert "another version of Mist" in done.stderr


def test_over_tls_with_a_private_ca(service: Service, token: str, tmp_path: Path) -> None:
    """SSL_CERT_FILE names the CA, for requests and streams; without it nothing is sent."""
    port = free_port()
    (tmp_path / "Caddyfile").write_text(
        "{\n admin off\n auto_https disable_redirects\n skip_install_trust\n}\n"
        f"https://localhost:{port} {{\n bind 127.0.0.1\n tls internal\n"
        f" reverse_proxy 127.0.0.1:{service.port}\n}}\n"
    )
    environment = os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    authority = tmp_path / "caddy/pki/authorities/local/root.crt"
    caddy = ["caddy", "run", "--adapter", "caddyfile", "--config", str(tmp_path / "Caddyfile")]
    afar = Afar(tmp_path, f"https://localhost:{port}", token)
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with program(caddy, 90, env=environment, **quiet):
        wait_until(authority.exists, "Caddy's CA", 60)
        trusting = {"SSL_CERT_FILE": str(authority)}
        wait_until(lambda: afar.mist("app", "list", **trusting).returncode == 0, "Caddy", 60)
        assert "cpu" in afar.mist("top", "--once", "--json", **trusting).stdout
        assert "broker" in afar.mist("status", **trusting).stdout
        for command in (["app", "list"], ["top", "--once"], ["status"]):
            refused = afar.mist(*command, SSL_CERT_FILE="")
            assert refused.returncode == Exit.UNAVAILABLE
            assert "no certificate that can be trusted" in refused.stderr, refused.stderr
            assert "SSL_CERT_FILE" in refused.stderr
