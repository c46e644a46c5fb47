"""The HTML report in a real browser: sorts, filters, opens a case, runs nothing from outside, says no error."""

import shutil

import pytest

from inferkit.cli.main import main
from tests.report.report_files import HARM, run_json, write_run

pytestmark = pytest.mark.slow

ARGUMENTS = [
    "--headless",
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
    playwright = pytest.importorskip("playwright.sync_api", reason="PyPI's playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed; Debian has it as `apt-get install chromium`")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def said():
    """What the page wrote to its console, and its errors."""
    return []


@pytest.fixture
def page(browser, tmp_path, said):
    content = run_json(models=("lenet", HARM))
    run = write_run(tmp_path / "run.json", content)
    out = tmp_path / "out.html"
    assert main(["report", str(run), "-o", str(out)]) == 0
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    asked = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(out.as_uri())
    yield page
    assert said == []
    assert {url.partition("#")[0] for url in asked} == {out.as_uri()}
    context.close()


def cells(page, column):
    rows = page.locator("#table tbody tr:visible")
    return [rows.nth(index).locator("td").nth(column).inner_text() for index in range(rows.count())]


def test_what_regressed_stands_first_and_columns_sort_both_ways(page):
    assert cells(page, 6)[0] == "REGRESSED"
    page.get_by_role("button", name="case", exact=True).click()
    names = cells(page, 0)
    assert page.locator("#table th").first.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="case", exact=True).click()
    assert cells(page, 0) == names[::-1]
    assert names != names[::-1]
    page.get_by_role("button", name="images/s").click()
    rates = [float(rate.replace(",", "")) for rate in cells(page, 5) if rate != "–"]
    assert rates == sorted(rates)
    assert cells(page, 5)[-1] == "–"


def test_the_table_filters_by_words_and_by_verdict(page):
    everything = len(cells(page, 0))
    page.get_by_label("Find").fill("lenet int8 b8")
    assert cells(page, 0) == ["lenet-int8-b8-onnxruntime"]
    assert page.locator("details.case:visible").count() == 1
    assert page.locator("#count").inner_text() == f"1 of {everything} cases"
    page.get_by_label("Find").fill("")
    page.get_by_label("Verdict").select_option("REGRESSED")
    assert set(cells(page, 6)) == {"REGRESSED"}
    page.get_by_label("Find").fill("nothing is called this")
    assert page.locator("#none").is_visible()


def test_a_case_opens_with_its_pictures(page):
    page.get_by_role("link", name="lenet-int8-b64-onnxruntime", exact=True).click()
    opened = page.locator("details.case[open]")
    opened.wait_for()
    assert opened.count() == 1
    assert "REGRESSED" in opened.locator("summary").inner_text()
    assert opened.locator("svg").count() == 3
    assert opened.locator("svg").first.bounding_box()["height"] > 50


def test_a_name_that_is_a_script_is_shown_and_not_run(page):
    assert page.locator("#table").get_by_text(f"{HARM}-fp32-b1-onnxruntime", exact=True).is_visible()
    page.locator("#all").click()
    assert page.evaluate("window.harmed") is None
    assert page.locator("script").count() == 1


def test_the_policy_stops_what_would_be_added(page, said):
    harmed = page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.harmed = 1'; "
        "document.head.append(s); return window.harmed; }"
    )
    assert harmed is None
    page.wait_for_timeout(0)
    (complaint,) = said
    assert "Content Security Policy" in complaint
    said.clear()


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_no_width_scrolls_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.locator("#all").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_and_light_have_their_own_paper_and_print_is_light_and_whole(page):
    paper = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) != light
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(paper) == light
    assert not page.locator(".controls").is_visible()
