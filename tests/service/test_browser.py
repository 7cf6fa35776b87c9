"""The dashboard in Chromium, from the request to a certificate that is verified; without a mouse, and on a phone."""

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from obliviate.certificate import verify
from obliviate.data.samples import Samples
from obliviate.project import Project
from obliviate.service.tokens import Tokens
from obliviate.worker import work
from service_support import running
from user_files import write_rows
from worker_support import begin as begin_small


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; there is no test of the dashboard without one."""
    program = shutil.which("chromium")
    assert program, "expected Chromium for the tests of the dashboard, got none; apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which every message of the console is a failure, as one of a policy that is broken would be."""
    context = browser.new_context()
    page = context.new_page()
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: messages.append(request.url) if "127.0.0.1" not in request.url else None)
    yield page
    context.close()
    assert [text for text in messages if "status of 4" not in text] == []


@pytest.fixture
def small(tiny: Samples, tmp_path: Path) -> Project:
    """A project whose model is trained in a second."""
    owners = np.array([f"person-{place % 8}" for place in range(40)])
    rows = write_rows(tmp_path / "rows.npz", tiny, train_owner=owners)
    return begin_small(tmp_path / "project", rows)


def sign_in(page: Page, at: str, token: str) -> None:
    page.goto(at)
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "signin" not in url)


def test_a_request_goes_from_the_form_to_a_certificate_that_is_verified(page: Page, small: Project) -> None:
    token, people = Tokens(small.keys).create("officer", ["read", "submit"]), [f"person-{place}" for place in range(5)]
    with running(small.folder) as client:
        at = str(client.base_url).rstrip("/")
        sign_in(page, at, token)
        page.get_by_role("link", name="Submit").click()
        page.get_by_label("all samples of owners").check()
        page.get_by_label("Names, one a line, or the rule").fill("\n".join(people))
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("link", name="Request 1").click()
        assert page.get_by_role("status").inner_text() == "pending"
        worker = threading.Thread(target=work, args=(Project.open(small.folder),))
        worker.start()
        page.get_by_role("status").get_by_text("done").wait_for(timeout=120_000)  # which the page finds out itself
        worker.join()
        with page.expect_download() as download:
            page.get_by_role("link", name="Certificate as a file").click()
        served = small.served
        assert served is not None
        checked = verify(download.value.path(), key=small.keys / "signing.pub", weights=served.file)
        assert checked.predicate["request"]["number"] == 1
        page.get_by_role("link", name="Certificate", exact=True).click()
        assert page.get_by_role("heading", level=1).inner_text() == "Certificate of unlearning"
        assert "person" not in page.content()
        page.goto(f"{at}/requests/1/report")
        text = page.content()
        assert "What was not proven" in text
        with np.load(small.folder / "rows.npz") as archive:
            names = {*map(str, archive["train_ids"]), *map(str, archive["train_owner"])}
        assert not set(re.findall(r"[\w-]+", text)) & names
        page.goto(f"{at}/integrity")
        page.get_by_role("link", name="Check now").click()
        page.get_by_text("All is as it was written").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.goto(at)
        assert page.get_by_role("heading", level=1).inner_text() == "Sign in"


@pytest.fixture(scope="module")
def shown(begun: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Where a project with requests in all states is served, for tests that only look, and a token."""
    folder, tokens = begun
    with running(shutil.copytree(folder, tmp_path_factory.mktemp("shown") / "project")) as client:
        yield str(client.base_url).rstrip("/"), tokens["admin"]


def test_all_can_be_reached_by_the_keyboard_and_is_named(page: Page, shown: tuple[str, str]) -> None:
    at, token = shown
    sign_in(page, at, token)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for place in ("/", "/submit", "/serving", "/integrity", "/requests/2"):
        page.goto(at + place)
        assert page.evaluate(UNNAMED) == []
        assert page.evaluate("document.documentElement.lang") == "en"
        for role in ("banner", "main"):
            assert page.get_by_role(role).count() == 1
        assert page.get_by_role("heading", level=1).count() == 1


UNNAMED = """() => [...document.querySelectorAll("input:not([type=hidden]), textarea, button, a, progress")]
  .filter(e => !(e.labels && e.labels.length) && !e.textContent.trim() && !e.getAttribute("aria-label"))
  .map(e => e.outerHTML)"""

CONTRASTS = """() => {
  const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour.length && colour[3] !== 0) return colour;
    }
    return [255, 255, 255];
  };
  const linear = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => .2126 * linear(c[0]) + .7152 * linear(c[1]) + .0722 * linear(c[2]);
  const contrast = e => {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  };
  return [...document.querySelectorAll("body *")]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(e => [e.outerHTML.slice(0, 80), contrast(e)])
    .filter(([_, contrast]) => contrast < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_pages_fit_and_can_be_read_in_both_themes(
    browser: Browser, shown: tuple[str, str], scheme: str, width: int
) -> None:
    at, token = shown
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    sign_in(page, at, token)
    for place in ("/", "/submit", "/serving", "/integrity", "/requests/1", "/requests/2", "/nowhere", "/signin"):
        page.goto(at + place)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place
        assert page.evaluate(CONTRASTS) == [], place
    context.close()
