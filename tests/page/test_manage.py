"""Managing applications, users, rights and tokens in the browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import expect

from tests.page.conftest import OpenTab
from tests.support.page.tab import Tab
from tests.support.service.service import Service

NO_ENGINE = "unix:///nonexistent/docker.sock"
ADA = "ada@example.com"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service without an engine, with an application that can be deployed."""
    made = Service(NO_ENGINE, {"supervisor.poll_seconds": 3_600})
    try:
        made.start()
        made.mist("app", "add", "shop", "--git", "https://git.example.com/shop.git")
        yield made
    finally:
        made.destroy()


@pytest.fixture
def tab(open_tab: OpenTab, service: Service) -> Tab:
    """A tab in which an admin manages things."""
    tab = open_tab(service)
    tab.sign_in("manage")
    return tab


def shown_once(tab: Tab, name: str | re.Pattern[str]) -> str:
    """Return the secret in the dialog, and close it."""
    dialog = tab.page.get_by_role("dialog", name=name)
    secret = dialog.locator("code").inner_text()
    tab.button("Done").click()
    expect(dialog).to_have_count(0)
    return secret


def test_an_application_is_changed_and_removed(tab: Tab, service: Service) -> None:
    """Values of the environment are set and not shown; what is not touched stays as it is."""
    tab.button("Change shop").click()
    form = tab.page.get_by_role("form", name="Change shop")
    form.get_by_text("Container and build").click()
    form.get_by_label("Branch").fill("release")
    form.get_by_label("Volumes, one a line").fill("data:/var/lib/shop\nconf:/etc/shop:ro")
    form.get_by_label("Environment, one a line").fill("TOKEN=s3cret=1\nMODE=fast")
    form.get_by_label("Memory").fill("512m")
    form.get_by_role("button", name="Save").click()
    row = tab.page.get_by_role("row").filter(has=tab.page.get_by_role("link", name="shop"))
    expect(row).to_contain_text("MODE, TOKEN")
    expect(row).to_contain_text("release")
    tab.button("Change shop").click()
    form.get_by_text("Container and build").click()
    expect(form.get_by_label("Volumes, one a line")).to_have_value(
        "data:/var/lib/shop\nconf:/etc/shop:ro"
    )
    form.get_by_label("MODE").check()
    form.get_by_label("Memory").fill("much")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("much")
    form.get_by_label("Memory").fill("1g")
    form.get_by_role("button", name="Save").click()
    expect(row).not_to_contain_text("MODE")
    assert "s3cret" not in tab.page.content()
    headers = {"Cookie": service.login()}
    [app] = requests.get(f"{service.url}/api/apps", headers=headers, timeout=10).json()["data"]
    assert (app["memory"], app["env"], app["branch"]) == (2**30, ["TOKEN"], "release")

    tab.button("Change shop").click()
    tab.button("Make a new secret").click()
    assert len(shown_once(tab, "Webhook of shop")) > 20
    expect(tab.page.get_by_text("A push deploys the application.")).to_be_visible()
    tab.button("Remove shop").click()
    tab.button("Keep as it is").click()
    tab.button("Remove shop").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(row).to_contain_text("is being removed")


def test_a_user_gets_a_right_and_signs_in(open_tab: OpenTab, tab: Tab, service: Service) -> None:
    """A new user replaces the password, and sees what the admin allows."""
    service.mist("app", "add", "blog", "--git", "https://git.example.com/blog.git")
    tab.open("manage?part=users")
    add = tab.page.get_by_role("form", name="Add a user")
    add.get_by_label("Email").fill(ADA)
    add.get_by_role("button").click()
    password = shown_once(tab, f"Password of {ADA}")
    for role in ("admin", "user"):
        with tab.page.expect_response(lambda answer: answer.request.method == "PATCH") as changed:
            tab.page.get_by_label(f"Role of {ADA}").select_option(role)
        assert changed.value.ok
        expect(tab.page.get_by_label(f"Role of {ADA}")).to_have_value(role)

    other = open_tab(service)
    other.open()
    other.fill_in(ADA, password)
    other.page.get_by_label("New password").fill("correct horse battery")
    other.page.keyboard.press("Enter")
    expect(other.page.get_by_role("navigation", name="Main")).to_be_visible()
    expect(other.page.get_by_role("link", name="blog")).to_have_count(0)

    tab.open("manage")
    tab.button("Change blog").click()
    give = tab.page.get_by_role("form", name="Give a right")
    give.get_by_label("User").fill(ADA)
    give.get_by_role("button").click()
    expect(tab.page.get_by_label(f"Right of {ADA}")).to_have_value("viewer")
    other.open("deployments")
    expect(other.page.get_by_text("blog was never deployed.")).to_be_visible()
    expect(other.button("Deploy")).to_have_count(0)

    with tab.page.expect_response(lambda answer: answer.request.method == "PUT"):
        tab.page.get_by_label(f"Right of {ADA}").select_option("deployer")
    other.open("deployments")
    expect(other.button("Deploy")).to_be_visible()
    tab.button(f"Withdraw from {ADA}").click()
    expect(tab.page.get_by_label(f"Right of {ADA}")).to_have_count(0)
    other.open()
    expect(other.page.get_by_role("link", name="blog")).to_have_count(0)

    tab.open("manage?part=users")
    tab.button(f"Remove {ADA}").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(tab.page.get_by_label(f"Role of {ADA}")).to_have_count(0)
    tab.open("manage?part=changes")
    expect(tab.page.get_by_role("row").nth(1)).to_contain_text("User removed")


def test_a_token_works_until_it_is_revoked(tab: Tab, service: Service) -> None:
    """Users make tokens for their programs themselves."""
    tab.page.get_by_role("link", name="Account").click()
    make = tab.page.get_by_role("form", name="Make a token")
    make.get_by_label("Name").fill("ci")
    make.get_by_label("May").select_option("viewer")
    make.get_by_role("button").click()
    headers = {"Authorization": f"Bearer {shown_once(tab, 'Token ci')}"}
    url = f"{service.url}/api/apps"
    assert requests.get(url, headers=headers, timeout=10).ok
    tab.button("Revoke ci").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    expect(tab.button("Revoke ci")).to_have_count(0)
    assert requests.get(url, headers=headers, timeout=10).status_code == 401


def test_an_own_password_is_changed(tab: Tab, service: Service) -> None:
    """The old one is needed, and the session goes on."""
    tab.page.get_by_role("link", name="Account").click()
    form = tab.page.get_by_role("form", name="Change your password")
    form.get_by_label("Present password").fill("wrong")
    form.get_by_label("New password").fill("a new long password")
    form.get_by_role("button").click()
    expect(form.get_by_role("alert")).to_contain_text("wrong")
    form.get_by_label("Present password").fill(service.password)
    form.get_by_role("button").click()
    expect(tab.status("Notice")).to_contain_text("changed")
    service.password = "a new long password"
    tab.open("manage")
    expect(tab.page.get_by_role("heading", name="Manage")).to_be_visible()
