"""The page of the audit in a real browser: what a colleague sees who is sent it."""

import base64
import json
import shutil
from itertools import pairwise

import page_cases
import pytest
from browser import Browser

CLOSED = "[...document.querySelectorAll('details')].forEach(one => { one.open = %s })"
HIDDEN = "[...document.querySelectorAll('details > *')].filter(one => !one.checkVisibility())"
#: What of its text is hard to read: less contrast with what lies behind it than WCAG's AA asks for.
FAINT = """
(() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map(one => one / 255)
      .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
  };
  const found = new Set();
  for (const one of document.body.querySelectorAll('*:not(svg *):not([aria-hidden])')) {
    if (![...one.childNodes].some(it => it.nodeType === 3 && it.data.trim())) continue;
    const both = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a);
    if ((both[0] + 0.05) / (both[1] + 0.05) < 4.5) found.add(one.outerHTML.slice(0, 200));
  }
  return [...found];
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not shutil.which("chromium"):
        pytest.skip("no chromium on this machine: apt install chromium")
    one = Browser(tmp_path_factory.mktemp("browser"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of a small fleet, and that of a large one that says nothing but markup."""
    folder = tmp_path_factory.mktemp("pages")
    texts = {
        "small": page_cases.page(),
        "hostile": page_cases.page(page_cases.large(containers=60)),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text)
    return {name: folder / f"{name}.html" for name in texts}


@pytest.fixture(params=["small", "hostile"])
def shown(browser, pages, request):
    browser.media()
    browser.size(1280)
    browser.open(pages[request.param])
    return browser


def test_it_asks_for_nothing_and_the_browser_has_nothing_to_complain_of(shown):
    asked = [
        one["params"]["request"]["url"]
        for one in shown.events
        if one.get("method") == "Network.requestWillBeSent"
    ]
    assert [url.partition(":")[0] for url in asked] == ["file"]
    told = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    assert [one for one in shown.events if one.get("method") in told] == []
    assert shown.run("document.querySelectorAll('script, img, link, iframe, [style]').length") == 0


def test_its_policy_would_stop_what_slipped_in(browser, pages):
    browser.open(pages["small"])
    browser.run(
        "document.body.append(Object.assign(new Image(), {src: 'http://evil.example/a.png'}))"
    )
    browser.wait("Log.entryAdded")
    seen = json.dumps(browser.events)
    assert "violates the following Content Security Policy directive" in seen


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_nobody_has_to_scroll_sideways(shown, width):
    shown.size(width)
    for is_open in ("false", "true"):
        shown.run(CLOSED % is_open)
        assert shown.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_legible_by_day_and_in_the_dark(browser, pages, scheme, width):
    browser.open(pages["small"])
    browser.media(scheme)
    browser.size(width)
    browser.run(CLOSED % "true")
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert browser.run(FAINT) == []


def test_it_is_printed_on_white_with_all_that_is_folded(browser, pages):
    browser.open(pages["small"])
    assert browser.run(f"{HIDDEN}.length") > 0
    browser.media("dark", "print")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run(f"{HIDDEN}.length") == 0
    assert browser.run(FAINT) == []
    browser.media()
    printed = base64.b64decode(browser.ask("Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") > 1


def test_its_headings_tables_and_pictures_are_told_to_those_who_do_not_see_them(shown):
    levels = shown.run("[...document.querySelectorAll('h1,h2,h3,h4')].map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert shown.run("document.querySelectorAll('table:not(:has(caption))').length") == 0
    assert shown.run("document.querySelectorAll('th:not([scope])').length") == 0
    assert shown.run("document.querySelectorAll('svg:not([role=img][aria-label])').length") == 0
    assert shown.run("document.documentElement.lang") == "en"


def test_every_link_leads_to_a_row_that_is_there_once(shown):
    links = "[...document.querySelectorAll('a')].map(one => one.getAttribute('href').slice(1))"
    assert shown.run(f"{links}.length") > 0
    assert shown.run(f"{links}.filter(one => !document.getElementById(one))") == []
    ids = shown.run("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))


def test_what_containers_call_themselves_is_read_as_they_wrote_it(browser, pages):
    browser.open(pages["hostile"])
    assert page_cases.HOSTILE in browser.run("document.querySelector('tbody th').textContent")
