"""Tests of ``mist user`` and ``mist app`` with a state of their own."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.main import main
from mist.accounts import passwords
from mist.paths import Paths
from mist.settings import Settings
from mist.store import Store, open_store


class Done(NamedTuple):
    """The exit status and output of a command."""

    status: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state that does not exist yet."""
    monkeypatch.setenv("MIST_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MIST_RUNTIME", str(tmp_path / "run"))
    monkeypatch.delenv("MIST_CONFIG", raising=False)
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``mist`` with these arguments and this standard input."""

    def run(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        return Done(int(caught.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def store(home: Path) -> Store:
    """The store that the commands use."""
    return open_store(Settings(), Paths(home, home))


@pytest.mark.parametrize("command", ["user", "token"])
def test_the_address_of_another_service_is_ignored(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A command that only knows this machine says so, and does what it was told."""
    assert "MIST_URL" not in run(command, "list").err
    monkeypatch.setenv("MIST_URL", "https://mist.lan")
    done = run(command, "list", "--json")
    assert (done.status, done.out) == (0, "[]\n")
    assert f"MIST_URL is ignored: `mist {command}` only" in done.err


def test_a_password_comes_from_standard_input(run: Run, store: Store) -> None:
    """The password from standard input loses its newline and is not printed."""
    done = run(
        "user", "add", "Ada@example.com", "--admin", "--password-stdin", stdin="four pass words\n"
    )
    assert (done.status, done.out) == (0, "Added ada@example.com (admin), id 1.\n")
    found = store.users.credentials("ada@example.com")
    assert found is not None
    assert passwords.verify(found.password_hash, "four pass words")


def test_without_a_terminal_a_password_is_made_up(run: Run, store: Store) -> None:
    """Without a terminal a password is generated and printed once; a new one ends the sessions."""
    done = run("user", "add", "bob@example.com", "--project", "shop")
    word = done.out.split("One-time password: ")[1].strip()
    first = store.users.credentials("bob@example.com")
    assert first is not None
    assert passwords.verify(first.password_hash, word)
    assert "One-time password" in run("user", "passwd", "bob@example.com").out
    second = store.users.credentials("bob@example.com")
    assert second is not None
    assert second.user.sessions_after > first.user.sessions_after
    assert not passwords.verify(second.password_hash, word)


def test_the_last_admin_stays(run: Run, store: Store) -> None:
    """Nobody can lock everybody out by taking away a role or an account."""
    for name in ("ada", "bob"):
        run("user", "add", f"{name}@example.com", "--admin")
    run("user", "role", "ada@example.com", "user")
    for arguments in (("role", "bob@example.com", "user"), ("remove", "bob@example.com", "--yes")):
        refused = run("user", *arguments)
        assert refused.status != 0
        assert "this is the last admin" in refused.err
    run("user", "remove", "ada@example.com", "--yes")
    assert [user.email for user in store.users.all()] == ["bob@example.com"]


def test_a_removal_asks_first(run: Run, store: Store) -> None:
    """Without an answer nothing happens."""
    run("user", "add", "ada@example.com")
    assert run("user", "remove", "ada@example.com").status != 0
    assert store.users.by_email("ada@example.com")


def test_a_grant_is_withdrawn(run: Run, store: Store) -> None:
    """And the command says when the user sees the application all the same."""
    run("user", "add", "ada@example.com")
    run("app", "add", "shop")
    assert "no grant" in run("app", "revoke", "shop", "ada@example.com").err
    run("app", "grant", "shop", "ada@example.com")
    assert "may still" not in run("app", "revoke", "shop", "ada@example.com").out
    run("app", "grant", "shop", "ada@example.com")
    run("user", "role", "ada@example.com", "admin")
    assert "may still see it" in run("app", "revoke", "shop", "ada@example.com").out


def test_accounts_are_listed(run: Run) -> None:
    """Accounts are listed as a table or as JSON, without secrets."""
    run("user", "add", "bob@example.com", "--password-stdin", stdin="four pass words")
    assert "bob@example.com" in run("user", "list").out
    (row,) = json.loads(run("user", "list", "--json").out)
    assert (row["email"], row["role"]) == ("bob@example.com", "user")
    assert set(row) == {"id", "email", "role", "created_at"}


def test_an_application_is_added(run: Run, store: Store) -> None:
    """An application can be added with every option of the contract."""
    options = (
        "--git https://u:p@h/r.git --branch main --dockerfile a/D --port 80 --env A=1 --env B="
    )
    done = run("app", "add", "web", *options.split(), "--project", "shop")
    assert (done.status, done.out) == (0, "Added web, id 1, container mist-app-1.\n")
    app = store.apps.by_name("web")
    assert app is not None
    assert (app.git_url, app.branch, app.dockerfile) == ("https://u:p@h/r.git", "main", "a/D")
    assert (app.port, app.env) == (80, {"A": "1", "B": ""})
    assert app.project_id is not None


def test_applications_are_listed(run: Run) -> None:
    """The list of applications shows neither passwords nor the environment's values."""
    run("app", "add", "web", "--container", "web-1")
    run("app", "add", "api", "--git", "https://u:hunter2@h/r.git", "--env", "KEY=hunter2")
    table, array = run("app", "list").out, run("app", "list", "--json").out
    assert "hunter2" not in table + array
    assert [app["container"] for app in json.loads(array)] == ["web-1", "mist-app-2"]
    assert "web-1" in table


class TestAppEdit:
    """``mist app edit`` and ``show``, and where the values of variables come from."""

    def test_every_option(self, run: Run, store: Store) -> None:
        """Each option changes its field; what is not named stays."""
        git = ("--git", "https://h/r.git", "--branch", "main")
        run("app", "add", "web", *git, "--env", "KEEP=1", "--label", "a=1")
        options = (
            "--name shop --dockerfile d/D --port 80 --restart-policy no --project team "
            "--volume data:/data --volume conf:/etc/app:ro --label b=2 --network front "
            "--network back --memory 512m --cpus 0.5 --build-memory 1g --build-cpus 2 --env NEW=2"
        )
        done = run("app", "edit", "web", *options.split(), "--command", "serve --port '8 0'")
        assert done.status == 0, done.err
        assert "`mist deploy shop`" in done.out
        shown = json.loads(run("app", "show", "shop", "--json").out)
        assert shown["volumes"] == ["data:/data", "conf:/etc/app:ro"]
        assert shown["labels"] == {"a": "1", "b": "2"}
        assert shown["networks"] == ["front", "back"]
        assert (shown["memory"], shown["cpus"]) == (512 * 2**20, 0.5)
        assert shown["build"] == {"memory": 2**30, "cpus": 2.0}
        assert shown["command"] == ["serve", "--port", "8 0"]
        assert (shown["branch"], shown["port"], shown["dockerfile"]) == ("main", 80, "d/D")
        assert shown["env"] == ["KEEP", "NEW"]
        app = store.apps.by_name("shop")
        assert app is not None
        assert app.env == {"KEEP": "1", "NEW": "2"}

    def test_fields_are_cleared(self, run: Run) -> None:
        """A field can be reset, and single variables and labels removed."""
        options = "--git https://h/r.git --branch main --port 80 --memory 64m --volume data:/a"
        run("app", "add", "web", *options.split(), "--env", "A=1", "--env", "B=2", "--label", "c=3")
        clear = "--clear branch --clear port --clear memory --clear volumes --clear build"
        assert run("app", "edit", "web", *clear.split(), "--no-env", "A").status == 0
        assert run("app", "edit", "web", "--no-label", "c", "--clear", "git").status == 0
        shown = json.loads(run("app", "show", "1", "--json").out)
        assert [shown[key] for key in ("git_url", "branch", "port", "memory")] == [None] * 4
        assert (shown["volumes"], shown["labels"], shown["env"]) == ([], {}, ["B"])

    def test_values_that_are_no_arguments(
        self, run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Values come from files, standard input, or the command's environment."""
        file = tmp_path / "env"
        text = '# comment\n\nPLAIN=a = b \n  LEFT=1\r\nQUOTED="x"\nFROM_ENV\nLATE=file\n'
        file.write_text(text)
        monkeypatch.setenv("FROM_ENV", "outer")
        monkeypatch.setenv("MINE", "s3cret")
        given = ("--env-file", str(file), "--env-file", "-", "--env", "MINE", "--env", "LATE=now")
        done = run("app", "add", "web", *given, stdin="STDIN=yes\nPLAIN=newer\n")
        assert done.status == 0, done.err
        app = store.apps.by_name("web")
        assert app is not None
        assert app.env == {
            "PLAIN": "newer",
            "LEFT": "1",
            "QUOTED": '"x"',
            "FROM_ENV": "outer",
            "LATE": "now",
            "STDIN": "yes",
            "MINE": "s3cret",
        }
        key = "-----BEGIN KEY-----\nabc=\n-----END KEY-----\n"
        done = run("app", "edit", "web", "--env-stdin", "KEY", stdin=key)
        after = store.apps.by_name("web")
        assert after is not None
        assert after.env["KEY"] == key.removesuffix("\n")
        shown = run("app", "show", "web").out + run("app", "show", "web", "--json").out
        assert "KEY" in shown
        assert not {"s3cret", "BEGIN", "outer"} & set(shown.replace('"', " ").split())

    def test_a_wrong_line_is_not_shown(self, run: Run) -> None:
        """The line may be part of a secret: only its number is told."""
        for line in ("MIIEvQIBADANBgkqhkiG9w0BAQ", "MIIEvQ/IBADAN+BgkqhkiG9w0BAQ=="):
            done = run("app", "add", "web", "--env-file", "-", stdin=f"KEY=-----BEGIN\n{line}\n")
            assert (done.status, "MIIE" in done.err) == (64, False)
            assert "standard input, line 2" in done.err

    @pytest.mark.parametrize("given", [("--env-stdin", "KEY"), ("--env", "KEY")])
    def test_values_are_text(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, given: tuple[str, str]
    ) -> None:
        """Bytes that are not UTF-8 are refused in one line."""
        monkeypatch.setenv("KEY", "\udcff")
        done = run("app", "add", "web", *given, stdin="\udcff")
        assert (done.status, done.err) == (64, "mist: the value of KEY is not UTF-8 text\n")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], "nothing to change"),
            (["--env", "UNSET_HERE"], "'UNSET_HERE' has no value"),
            (["--env-file", "/does/not/exist"], "/does/not/exist cannot be read"),
            (["--env-file", "-"], "standard input, line 2: neither NAME=VALUE nor"),
            (["--env-file", "-", "--env-stdin", "X"], "only once"),
            (["--env-stdin", "A B"], "not a variable name"),
            (["--clear", "port", "--port", "80"], "contradicts"),
            (["--clear", "git"], "a branch needs a Git URL"),
            (["--volume", "/etc:/etc"], "deployments.host_paths"),
            (["--memory", "1k"], "at least 6m"),
            (["--cpus", "nan"], "from 0.01"),
            (["--build-cpus", "inf"], "from 0.01"),
            (["--label", "mist.app=1"], "reserved"),
            (["--name", "17"], "not a valid application name"),
            (["--command", ""], "is empty"),
        ],
    )
    def test_what_is_wrong_changes_nothing(
        self,
        run: Run,
        store: Store,
        monkeypatch: pytest.MonkeyPatch,
        arguments: list[str],
        words: str,
    ) -> None:
        """A wrong option is refused in one line, and nothing is changed."""
        monkeypatch.delenv("B", raising=False)
        run("app", "add", "web", "--git", "https://h/r.git", "--branch", "main")
        before = store.apps.by_name("web")
        done = run("app", "edit", "web", *arguments, stdin="A=1\nB\n")
        assert done.status == 64
        assert words in done.err
        assert done.err.count("\n") == 1
        assert store.apps.by_name("web") == before


class TestAppHookAndRemove:
    """``mist app hook`` and ``remove``."""

    def test_a_secret_is_shown_once(self, run: Run, store: Store) -> None:
        """The secret is printed when it is made or replaced, and never again."""
        run("app", "add", "web", "--git", "https://h/r.git")
        first = run("app", "hook", "web").out.split("Secret: ")[1].split()[0]
        refused = run("app", "hook", "web")
        assert (refused.status, "--rotate` replaces it" in refused.err) == (64, True)
        done = run("app", "hook", "web", "--rotate")
        assert "/api/hooks/1\n" in done.out
        app = store.apps.by_name("web")
        assert app is not None
        assert app.hook_secret not in {None, first}
        assert str(app.hook_secret) not in run("app", "show", "web", "--json").out
        assert run("app", "hook", "web", "--off").status == 0
        assert run("app", "hook", "web").status == 0
        run("app", "add", "log", "--container", "box")
        assert "no Git repository" in run("app", "hook", "log").err

    def test_a_removal_is_confirmed(self, run: Run, store: Store) -> None:
        """Without an answer nothing happens; without the service the request is kept."""
        run("app", "add", "web", "--git", "https://h/r.git")
        asked = run("app", "remove", "web")
        assert (asked.status, store.apps.removals()) == (1, [])
        assert "Volumes are kept" in asked.out
        assert "use --yes" in asked.out
        done = run("app", "remove", "web", "--yes")
        assert (done.status, store.apps.removals()) == (75, [1])
        assert "Mist is not running" in done.err
        assert "there is no application 'shop'" in run("app", "remove", "shop", "--yes").err
        assert "is being removed" in run("app", "edit", "web", "--port", "80").err


def test_a_grant_names_an_application_and_a_user(run: Run, store: Store) -> None:
    """A grant takes an application's name or id, and a user."""
    run("user", "add", "bob@example.com")
    run("app", "add", "web")
    run("app", "add", "api")
    assert run("app", "grant", "web", "bob@example.com").status == 0
    assert run("app", "grant", "2", "BOB@example.com").status == 0
    bob = store.users.by_email("bob@example.com")
    assert bob is not None
    assert len(store.apps.visible_to(bob)) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["user", "add", "nobody"], "not an email address"),
        (["user", "add", "a@b.c", "--password-stdin"], "10 to 1024 characters"),
        (["user", "passwd", "a@b.c"], "mist user list"),
        (["app", "add", "a b"], "not a valid application name"),
        (["app", "add", "web", "--port", "0"], "from 1 to 65535"),
        (["app", "add", "web", "--env", "A"], "NAME=VALUE"),
        (["app", "add", "web", "--git", "ext::id"], "Git URL"),
        (["app", "grant", "web", "a@b.c"], "mist app list"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(
    run: Run, arguments: list[str], words: str
) -> None:
    """Invalid arguments are refused in one line with the status of a usage error."""
    done = run(*arguments, stdin="short")
    assert done.status == 64
    assert done.err.startswith("mist: ")
    assert done.err.count("\n") == 1
    assert words in done.err


def test_a_taken_name_is_refused(run: Run) -> None:
    """A user's or an application's name that is taken is refused."""
    for arguments in (("user", "add", "bob@example.com"), ("app", "add", "web")):
        assert run(*arguments).status == 0
        done = run(*arguments)
        assert done.status == 64
        assert "already" in done.err


def test_a_container_is_deployed_by_one_application(run: Run) -> None:
    """A second application cannot deploy to a container, but it can show it."""
    first = ("--container", "mist-app-2", "--git", "https://h/r.git")
    assert run("app", "add", "web", *first).status == 0
    for more in ((), ("--container", "mist-app-2")):
        done = run("app", "add", "api", "--git", "https://h/s.git", *more)
        assert done.status == 64
        assert done.err == (
            "mist: the container mist-app-2 is already deployed by web; "
            "choose another container for api\n"
        )
    assert run("app", "add", "log", "--container", "mist-app-2").status == 0


def test_a_setting_that_is_wrong_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid setting is reported before anything is made."""
    monkeypatch.setenv("MIST_AUTH_LOGIN_ATTEMPTS", "many")
    done = run("user", "list")
    assert done.status == 78
    assert "login_attempts" in done.err


def test_a_store_that_is_garbage_is_named(run: Run, home: Path) -> None:
    """A store that is garbage is reported and left unchanged."""
    (home / "store").mkdir(parents=True)
    (home / "store" / "mist.db").write_bytes(b"garbage" * 999)
    done = run("user", "list")
    assert done.status == 69
    assert "move it away" in done.err


def test_names_and_addresses_are_data(run: Run) -> None:
    """Names and addresses are printed without markup, and control characters are escaped."""
    url = "https://example.com/[/b]/[link=x].git"
    assert run("app", "add", "web", "--git", url).status == 0
    listed = run("app", "list").out
    assert "[/b]" in listed
    assert "[link=x]" in listed
    refused = run("app", "grant", "\x1b]52;c;aGk=\x07\u202e", "a@example.com")
    assert r"\x1b]52;c;aGk=\x07\u202e" in refused.err
    assert not {"\x1b", "\x07", "\u202e"} & set(refused.err)


def test_changes_are_recorded_without_secrets(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record has the command, its arguments, and of options that may be secret the names.

    What only shows something, or fails, is not in it.
    """
    monkeypatch.setenv("SUDO_USER", "ada")
    assert run("user", "add", "bob@example.com", "--admin").status == 0
    assert (
        run("app", "add", "shop", "--env", "TOKEN=s3cret", "--git", "https://e.com/x.git").status
        == 0
    )
    assert run("app", "edit", "shop", "--env", "TOKEN=0ther").status == 0
    assert run("app", "edit", "shop", "--clear", "env", "--clear", "port").status == 0
    assert run("app", "grant", "shop", "bob@example.com", "--right", "viewer").status == 0
    assert run("app", "list").status == 0
    assert run("app", "grant", "shop", "nobody@example.com").status != 0
    assert run("app", "hook", "shop").status == 0
    assert run("user", "role", "bob@example.com", "admin").status == 0
    found = store.audit.newest(20)
    assert [(each.action, each.text) for each in found] == [
        ("mist user role", "bob@example.com admin"),
        ("mist app hook", "shop"),
        ("mist app grant", "shop bob@example.com --right viewer"),
        ("mist app edit", "shop --clear env port"),
        ("mist app edit", "shop --env"),
        ("mist app add", "shop --git --env"),
        ("mist user add", "bob@example.com --admin"),
    ]
    assert {(each.by, each.address) for each in found} == {("ada", "")}
