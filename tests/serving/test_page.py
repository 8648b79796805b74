"""The demo page in a real Chromium: a person acts, and the feed changes before their eyes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.live import Live

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: install the package chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, live: Live) -> Iterator[Page]:
    """A page that must not log an error, whatever the test does."""
    context = browser.new_context(base_url=live.stack.settings.http_url, reduced_motion="reduce")
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == []


def shown(page: Page) -> list[str]:
    """Item ids of the cards, in their order."""
    return page.eval_on_selector_all(".card", "cards => cards.map(card => card.dataset.item)")  # type: ignore[no-any-return]


def act(page: Page, position: int, action: str) -> str:
    """Presses a button of a card by keyboard. Returns the card's item once the feed has answered."""
    card = page.locator(".card").nth(position)
    item = card.get_attribute("data-item") or ""
    before = page.locator("#announcer").inner_text()
    card.locator(f"[data-act={action}]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("text => document.getElementById('announcer').textContent !== text", arg=before)
    return item


def test_a_like_by_keyboard_changes_the_feed_and_says_why(page: Page) -> None:
    page.goto("/#u3")
    page.wait_for_selector(".card")
    before = shown(page)
    liked = act(page, 4, "like")
    after = shown(page)
    assert after != before
    assert liked not in after
    assert page.locator(f'.reason[data-because="{liked}"]').count() >= 1
    assert re.fullmatch(r"\d+", page.locator("#milliseconds").inner_text())
    assert "to Kafka's receipt" in page.locator("#breakdown").inner_text()
    page.wait_for_function("() => document.querySelector('[data-fact=events]')?.textContent === '1 like'")
    assert page.locator("#windows tbody th").first.inner_text() in ("rating", "like")
    assert page.evaluate("document.activeElement.dataset.act") == "like", "the focus stays where it was"


def test_shortcuts_move_between_cards_and_act(page: Page) -> None:
    page.goto("/#u4")
    page.wait_for_selector(".card")
    page.locator(".card").first.focus()
    page.keyboard.press("ArrowDown")
    item = page.evaluate("document.activeElement.dataset.item")
    assert item == shown(page)[1]
    page.keyboard.press("d")
    page.wait_for_function("() => document.getElementById('announcer').textContent.startsWith('Dislike')")
    assert item not in shown(page)
    page.locator(".card").first.focus()
    page.keyboard.press("m")
    page.wait_for_selector("#similar[open] li")
    page.keyboard.press("Escape")


def test_what_is_hidden_is_gone_and_comes_back_when_all_is_undone(page: Page) -> None:
    page.goto("/#u6")
    page.wait_for_selector(".card")
    hidden = act(page, 1, "hide")
    assert hidden not in shown(page)
    page.get_by_role("button", name="Undo all I asked for").click()
    page.wait_for_selector(f'.card[data-item="{hidden}"]')


def test_pages_follow_without_a_film_twice_and_the_trace_is_a_table(page: Page) -> None:
    page.goto("/#u8")
    page.wait_for_selector(".card")
    page.get_by_role("button", name="More", exact=True).click()
    page.wait_for_function("() => document.querySelectorAll('.card').length === 24")
    assert len(set(shown(page))) == 24
    page.get_by_role("button", name="What each stage did").click()
    page.wait_for_selector("#trace[open]")
    stages = page.eval_on_selector_all("#trace-rows td:nth-child(2)", "cells => cells.map(cell => cell.textContent)")
    assert {"nearest", "seen", "model"} <= set(stages)
    page.keyboard.press("Escape")
    assert "home" in page.eval_on_selector_all("#surface option", "all => all.map(option => option.value)")


def test_somebody_new_gets_a_feed_and_says_what_they_like(page: Page) -> None:
    page.goto("/")
    page.wait_for_selector(".card")
    page.get_by_role("button", name="Be somebody new").click()
    page.wait_for_selector("#interests:not([hidden])")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 12")
    page.get_by_label("horror").check()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.genres')].filter(g => g.textContent.includes('horror')).length >= 6"
    )
    act(page, 0, "purchase")
    page.wait_for_function("() => document.querySelector('[data-fact=events]')?.textContent === '1 purchase'")


def test_people_are_there_to_be_chosen(page: Page) -> None:
    page.goto("/")
    page.wait_for_function("() => document.querySelectorAll('#person option').length > 20")
    page.get_by_label("Person").select_option("u7")
    page.wait_for_function("() => document.getElementById('feed-title').textContent === 'Feed of u7'")
    page.wait_for_selector("#recent small")


def test_a_phone_shows_all_of_it_without_scrolling_sideways(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/#u5")
    page.wait_for_selector(".card")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    heights = page.eval_on_selector_all(".card button", "all => all.map(b => b.getBoundingClientRect().height)")
    assert min(heights) >= 44


def test_the_page_of_the_api_lists_every_call(page: Page, live: Live) -> None:
    page.goto("/docs")
    page.wait_for_selector("section")
    paths = live.http.get("/openapi.json").json()["paths"]
    assert page.locator("section").count() == sum(len(methods) for methods in paths.values())
    page.get_by_role("button", name="Try /v1/users", exact=True).click()
    page.wait_for_function("() => document.querySelector('pre[aria-live]:not(:empty)')")
