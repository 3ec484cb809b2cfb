"""A real browser without a network, for the pages."""

import shutil
from pathlib import Path

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    """Return headless Chromium."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("The browser tests need Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def complaints():
    """What the pages complained of, or asked the network for."""
    return []


@pytest.fixture(scope="module")
def opened(browser, complaints):
    """Return a function that opens a page from disk and waits until its figures stand."""
    own = ("file:", "data:", "blob:")
    viewport = {"width": 1280, "height": 900}
    context = browser.new_context(viewport=viewport, color_scheme="light", offline=True)

    def open_page(path):
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda ask: ask.url.startswith(own) or complaints.append(f"asked {ask.url}")
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    context.close()


@pytest.fixture(scope="session")
def screenshots(pytestconfig):
    """Return the folder in which screenshots are kept."""
    folder = Path(pytestconfig.rootpath) / ".cache" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
