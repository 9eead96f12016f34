"""The site in a browser without a network: errors, requests, search, and pictures of four pages."""

import json

import pytest

from sklearn_llmrec.base._discovery import all_recommenders

pytestmark = pytest.mark.site

# A question in the words of a user, and the pages of which one has to come first.
QUERIES = {
    "deploy": ["deployment"],
    "new user": ["cold_start"],
    "explicit ratings": ["ratings"],
    "migrate": ["coming_from"],
    "knowledge graph": ["knowledge_graphs"],
    "privacy": ["privacy"],
    "EASE": ["sklearn_llmrec.linear_model.EASE"],
    "time_split": ["sklearn_llmrec.model_selection.time_split"],
    "feedback": ["serving"],
    "glossary": ["conventions"],
}
PICTURES = {
    "front": "index.html",
    "guide": "recipes.html",
    "api": "api/generated/sklearn_llmrec.linear_model.EASE.html",
    "gallery": "gallery/index.html",
}


def _complaints(browser):
    """Return console errors and failed requests since the last call."""
    found = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.loadingFailed" and not message["params"].get("canceled"):
            found.append(str(message["params"]))
        if message["method"] == "Network.responseReceived":
            response = message["params"]["response"]
            if response["status"] >= 400:
                found.append(f"{response['status']} {response['url']}")
    return found


def test_pages_load_without_errors_or_failed_requests(browser, address, pages):
    _complaints(browser)
    complaints = {}
    for name in pages:
        browser.get(f"{address}/{name}")
        if found := _complaints(browser):
            complaints[name] = found
    assert not complaints
    assert len(pages) > len(all_recommenders())


def test_the_browser_has_no_network(browser):
    exceptions = pytest.importorskip("selenium.common.exceptions")
    with pytest.raises(exceptions.WebDriverException, match="ERR_NAME_NOT_RESOLVED"):
        browser.get("http://scikit-learn.org/")
    _complaints(browser)


@pytest.mark.parametrize("query", QUERIES)
def test_search_gives_the_right_page_first(query, browser, address):
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"{address}/search.html?q={query.replace(' ', '+')}")
    first = WebDriverWait(browser, 30).until(
        lambda page: page.find_elements("css selector", "#search-results li a")
    )[0]
    address_of_first = first.get_attribute("href").split("?")[0].split("#")[0]
    assert any(address_of_first.endswith(f"/{name}.html") for name in QUERIES[query]), (
        address_of_first
    )


@pytest.mark.parametrize("width", [1400, 420])
@pytest.mark.parametrize("name", PICTURES)
def test_pages_fit_the_window(name, width, browser, address, pages):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.get(f"{address}/{PICTURES[name]}")
    folder = pages.folder.parent / "screenshots"
    folder.mkdir(exist_ok=True)
    browser.save_screenshot(str(folder / f"{name}-{width}.png"))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
