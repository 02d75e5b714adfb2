"""The page in a real browser: every view, live, by keys, dark and narrow, and for everybody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.served import Served, chromium, served_simulation
from web.pages import VIEWS

pytestmark = pytest.mark.browser
PATHS = ["/ui", *(f"/ui/{view}" for view in VIEWS if view != "overview")]
AGENT = "/ui/agents/agent2.sim"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with served_simulation("--agents", "8", "--plant", "kernel-mismatch") as found:
        yield found


@pytest.mark.parametrize(
    ("width", "dark"), [(1280, False), (1280, True), (400, False), (400, True)]
)
def test_every_view_is_for_everybody(served: Served, width: int, *, dark: bool) -> None:
    """WCAG 2.2 AA as far as axe can tell; no request elsewhere, no error, nothing cut off."""
    name = f"{'dark' if dark else 'light'}-{width}"
    with chromium(served, width=width, dark=dark) as watched:
        for path in (*PATHS, AGENT):
            watched.go(path)
            found = Axe().run(
                watched.page,
                options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
            )
            assert found.violations_count == 0, f"{path}: {found.generate_report()}"
            wide = watched.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} is {wide} wide"
            watched.picture(f"{name}{path.replace('/', '-')}")


def test_what_changes_is_shown_without_loading_the_page_again(served: Served) -> None:
    with chromium(served) as watched:
        watched.go("/ui/events")
        page = watched.page
        page.evaluate("window.mark = 'the same page'")
        served.order("/v1/rollout/pause", "a look at the fans")
        page.wait_for_selector("text=a look at the fans")
        served.order("/v1/rollout/resume", "the fans turn")
        page.wait_for_selector("text=the fans turn")
        assert page.evaluate("window.mark") == "the same page"
        assert page.locator("#freshness").inner_text().startswith("as of")


def test_everything_can_be_reached_by_keys(served: Served) -> None:
    with chromium(served) as watched:
        watched.go("/ui")
        keys = watched.page.keyboard
        keys.press("?")
        assert watched.page.locator("#help").is_visible()
        keys.press("Escape")
        assert not watched.page.locator("#help").is_visible()
        for view, (shown, key) in VIEWS.items():
            keys.press("g")
            keys.press(key)
            watched.page.wait_for_url(f"**/ui{'' if view == 'overview' else '/' + view}")
            watched.page.wait_for_selector(f"nav a[aria-current='page']:text-is('{shown}')")
        keys.press("g")
        keys.press("a")
        watched.page.wait_for_url("**/ui/agents")
        keys.press("/")
        keys.type("agent2")
        keys.press("Enter")
        watched.page.wait_for_url("**q=agent2**")
        keys.press("j")
        assert watched.page.evaluate("document.activeElement.textContent") == "agent2.sim"
        keys.press("Enter")
        watched.page.wait_for_url(f"**{AGENT}")
        keys.press(".")
        keys.press("Enter")
        assert watched.page.locator("#order").is_visible()
        keys.press("Escape")
        assert not watched.page.locator("#order").is_visible()


def test_the_page_says_what_it_knows_without_scripts(served: Served) -> None:
    with chromium(served, scripts=False) as watched:
        for path in PATHS:
            watched.go(path)
        watched.go("/ui/agents?sort=host&limit=2")
        assert watched.page.locator("tbody tr").count() == 2
        watched.page.click("#page-after")
        watched.page.wait_for_url("**offset=2**")


def test_an_operator_finds_why_an_agent_failed_and_mends_it(served: Served) -> None:
    """From the first view to the cure, as somebody who has seen only the page."""
    with chromium(served) as watched:
        page = watched.page
        watched.go("/ui")
        page.click(f"#attention-region >> text={served.broken}")
        page.wait_for_url(f"**/ui/agents/{served.broken}")
        page.wait_for_selector("#why >> text=a newer kernel than")
        watched.picture("failed")
        assert "make 6.1.0-18-amd64 the default" in page.locator("#why").inner_text()
        assert served.mend().startswith(f"{served.broken} runs kernel 6.1.0-18")
        page.click("#act-retry")
        page.wait_for_selector("#order-will >> text=begins again")
        page.fill("#order-reason", "booted the right kernel")
        page.fill("#order-token", "not the token at all")
        watched.faults.clear()
        page.click("#order-send")
        page.wait_for_selector("#order-told >> text=right token")
        assert any("401" in fault for fault in watched.faults)
        watched.faults.clear()
        page.fill("#order-token", served.token)
        page.click("#order-send")
        page.wait_for_selector("#order-told >> text=begins again with a survey")
        watched.picture("order")
        page.click("#order-cancel")
        page.wait_for_selector("h1 .state.good")
        assert page.locator("h1").inner_text().endswith("ready")
        page.goto(f"{served.url}/ui/events?kind=order")
        page.wait_for_selector("text=booted the right kernel")
        watched.picture("mended")
