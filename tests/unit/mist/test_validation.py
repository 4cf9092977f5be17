"""Tests of names, addresses, ports and URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist import validation
from mist.errors import UsageError


@pytest.mark.parametrize(
    "text", ["ada@example.com", "a.b+c@x-1.example", "admin@localhost", "ü@x.de"]
)
def test_addresses(text: str) -> None:
    """E-mail addresses are stored in lower case."""
    assert validation.email(text.upper()) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@x",
        "ada@",
        "a@b@c",
        "a b@c",
        "a@b c",
        "a\n@b",
        "a@-b",
        "a@b.",
        "x" * 251 + "@b.c",
        "\udcff@b.c",
        "a\x9b2J@b.c",
        "a\u202eb@b.c",
        "a\u200fb@b.c",
    ],
)
def test_an_invalid_address_is_refused(text: str) -> None:
    """An invalid address is refused with an example of a valid one."""
    with pytest.raises(UsageError, match=r"ada@example\.com"):
        validation.email(text)


@pytest.mark.parametrize("text", ["\u212aate@b.c", "\u017fam@b.c", "e\u0301@b.c", "\uff41@b.c"])
def test_addresses_with_characters_that_look_like_others(text: str) -> None:
    """Addresses with look-alike characters, such as the Kelvin sign, are refused."""
    with pytest.raises(UsageError, match="look-alike characters; write it as"):
        validation.email(text)


@pytest.mark.parametrize("text", ["web", "2048-game", "a.b_c-d", "x" * 64])
def test_names(text: str) -> None:
    """A name has letters, digits and three other characters."""
    assert validation.name(text) == text


@pytest.mark.parametrize("text", ["", "17", "-web", ".web", "a b", "a/b", "é", "web\n", "x" * 65])
def test_an_invalid_name_is_refused(text: str) -> None:
    """An invalid name is refused; one of digits would look like an id."""
    with pytest.raises(UsageError, match="is not a valid application name"):
        validation.name(text)


@pytest.mark.parametrize("text", ["a", "", "-f", "/web", "a b", "web\n", "x" * 129])
def test_an_invalid_container_is_refused(text: str) -> None:
    """Invalid container names are refused by the engine's rules."""
    with pytest.raises(UsageError, match="not a container name"):
        validation.container(text)
    assert validation.container("mist-app_1.x") == "mist-app_1.x"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/r.git",
        "https://ada:secret@example.com:8443/r.git",
        "http://[::1]:8080/r",
        "ssh://git@example.com:22/r.git",
        "git://example.com/r",
        "file:///srv/git/r.git",
        "git@example.com:team/r.git",
        "example.com:r",
    ],
)
def test_git_urls(url: str) -> None:
    """Git URLs with the usual protocols and SSH's short form are accepted."""
    assert validation.git_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-u",
        "--upload-pack=id",
        "ext::sh -c id",
        "ext::id",
        "fd::7",
        "https::https://example.com/r",
        "ext://x/y",
        "ftp://example.com/r",
        "HTTPX://example.com/r",
        "/srv/git/r",
        "../r",
        "r.git",
        "file://host/r",
        "https://",
        "https:///r",
        "https://-oProxyCommand=id/r",
        "ssh://-oProxyCommand=id/r",
        "ssh://-oProxyCommand=id@example.com/r",
        "-oProxyCommand=id:r",
        "git@-oProxyCommand=id:r",
        "git@example.com:-r",
        "https://example.com:port/r",
        "https://[::1/r",
        "https://example.com/a b",
        "https://example.com/r?private_token=secret",
        "https://example.com/r#secret",
        "ssh://git:secret@example.com/r",
        "git://ada:secret@example.com/r",
        "https://example.com/r\n",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_what_git_is_not_asked_for(url: str) -> None:
    """URLs that name a program, an option or a local path are refused."""
    with pytest.raises(UsageError):
        validation.git_url(url)


@given(st.text())
def test_any_text_is_a_git_url_or_an_error(text: str) -> None:
    """An accepted URL has no leading hyphen and no blank, and is safe to show."""
    try:
        url = validation.git_url(text)
    except UsageError:
        return
    assert not url.startswith("-")
    assert " " not in validation.public_git_url(url)


def test_a_public_url_has_no_password() -> None:
    """The public form of a URL has neither user nor password."""
    assert validation.public_git_url("https://ada:p@ss@h:8443/r") == "https://h:8443/r"
    assert validation.public_git_url("git@example.com:r") == "git@example.com:r"
    assert validation.public_git_url("file:///srv/r") == "file:///srv/r"


@pytest.mark.parametrize("text", ["main", "feature/one", "v1.0", "ü"])
def test_branches(text: str) -> None:
    """Branches follow git's rules."""
    assert validation.branch(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-b",
        "a..b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a.lock",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.",
        "@",
        "a@{1}",
        "a\n",
    ],
)
def test_an_invalid_branch_is_refused(text: str) -> None:
    """Options, ranges and whatever git refuses are not branches."""
    with pytest.raises(UsageError, match="is not a branch name"):
        validation.branch(text)


@pytest.mark.parametrize("text", ["Dockerfile", "deploy/Dockerfile.prod", "./Dockerfile"])
def test_dockerfiles(text: str) -> None:
    """A Dockerfile's path is relative to the repository."""
    assert validation.dockerfile(text) == text.removeprefix("./")


@pytest.mark.parametrize(
    "text", ["", " ", ".", "/etc/passwd", "../x", "a/../../x", "a\x00", "x" * 1025]
)
def test_an_invalid_dockerfile_is_refused(text: str) -> None:
    """Paths outside the repository are refused."""
    with pytest.raises(UsageError, match="inside the repository"):
        validation.dockerfile(text)


def test_ports() -> None:
    """Only TCP ports are accepted."""
    assert [validation.port(number) for number in (1, 65_535)] == [1, 65_535]
    for number in (0, -1, 65_536):
        with pytest.raises(UsageError, match="from 1 to 65535"):
            validation.port(number)


def test_restart_policies() -> None:
    """Only the engine's restart policies are accepted."""
    for text in ("no", "always", "unless-stopped", "on-failure", "on-failure:5"):
        assert validation.restart_policy(text) == text
    for text in ("", "never", "on-failure:x", "always:1"):
        with pytest.raises(UsageError, match="not a restart policy"):
            validation.restart_policy(text)


def test_assignments() -> None:
    """An assignment's value follows the first equals sign and may be empty."""
    assert validation.assignments(["A=1", "B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": ""}
    for pair in ("A", "=1", "1A=x", "A B=1", "A=\x00", "A=" + "x" * 65_536):
        with pytest.raises(UsageError):
            validation.assignments([pair])
