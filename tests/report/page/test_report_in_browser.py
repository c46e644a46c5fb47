"""The HTML report in a real browser: sorts, filters, links, opens a case; runs nothing from outside, says no error."""

import itertools
import xml.etree.ElementTree as ElementTree

import pytest

from inferkit.cli.main import main
from tests.report.page.browser import chromium
from tests.report.page.test_base_and_head import slower
from tests.report.report_files import HARM, HOSTILE, run_json, write_run

A4_WIDTH = 702  # CSS pixels between margins of 12 mm
REGRESSED = "lenet-int8-b64-onnxruntime"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of two networks, one of which is called by a script."""
    folder = tmp_path_factory.mktemp("report")
    run = write_run(folder / "run.json", run_json(models=("lenet", HARM)))
    out = folder / "out.html"
    assert main(["report", str(run), "-o", str(out), "--no-history"]) == 0
    return out


class Opened:
    """A page with what it wrote to its console, and what it asked for."""

    def __init__(self, context, address):
        self.page = context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)


@pytest.fixture
def visit(browser, report):
    """Opens the report, at a fragment; afterwards nothing may have been said or asked for but the file and pictures."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    opened = []

    def open_at(fragment=""):
        opened.append(Opened(context, report.as_uri() + fragment))
        return opened[-1]

    yield open_at
    for each in opened:
        assert each.said == []
        outside = [url for url in each.asked if not url.startswith("data:image/png;base64,")]
        assert {url.partition("#")[0] for url in outside} == {report.as_uri()}
    context.close()


@pytest.fixture
def page(visit):
    return visit().page


def cells(page, column):
    return page.locator(f"#table tbody tr:visible td:nth-child({column + 1})").all_inner_texts()


def names(page):
    return [name.splitlines()[0] for name in cells(page, 1)]


def test_a_case_can_be_linked_to_from_its_section(page):
    page.get_by_role("link", name=REGRESSED, exact=True).click()
    page.locator(f"#case-{REGRESSED} a.anchor").click()
    assert page.url.endswith(f"#case=case-{REGRESSED}")
    assert page.locator("details.case[open]").count() == 1


def test_what_regressed_stands_first_and_columns_sort_both_ways(page):
    assert "REGRESSED" in cells(page, 0)[0]
    page.get_by_role("button", name="case", exact=True).click()
    sorted_up = names(page)
    assert page.locator("#table th").nth(1).get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="case", exact=True).click()
    assert names(page) == sorted_up[::-1]
    assert names(page) != names(page)[::-1]
    page.get_by_role("button", name="images/s").click()
    rates = [float(rate.replace(",", "")) for rate in cells(page, 7) if rate != "–"]
    assert rates == sorted(rates)
    assert cells(page, 7)[-1] == "–"


def test_the_table_filters_by_words_verdict_network_and_precision(page):
    everything = len(names(page))
    page.get_by_label("Find").fill("lenet int8 b8")
    assert names(page) == ["lenet-int8-b8-onnxruntime"]
    assert page.locator("details.case:visible").count() == 1
    assert page.locator("#count").inner_text() == f"1 of {everything} cases"
    page.get_by_role("button", name="Show all").click()
    assert len(names(page)) == everything
    page.get_by_label("Verdict").select_option("REGRESSED")
    assert names(page) == [REGRESSED]
    page.locator(".counts button", has_text="PASS").click()
    assert page.get_by_label("Verdict").input_value() == "PASS"
    page.get_by_label("Precision").select_option("int8")
    page.get_by_label("Network").select_option("lenet")
    assert names(page) == ["lenet-int8-b1-onnxruntime", "lenet-int8-b8-onnxruntime"]
    assert page.locator("details.group:visible").count() == 1
    page.get_by_label("Find").fill("nothing is called this")
    assert page.locator("#none").is_visible()


def test_what_is_shown_is_in_the_address_and_an_address_shows_it_again(visit):
    first = visit().page
    first.get_by_label("Find").fill("int8")
    first.get_by_label("Verdict").select_option("PASS")
    first.get_by_role("button", name="head", exact=True).click()
    first.get_by_role("button", name="head", exact=True).click()
    shown = names(first)
    fragment = "#" + first.url.partition("#")[2]
    assert fragment == "#q=int8&verdict=PASS&sort=-head"
    again = visit(fragment).page
    assert names(again) == shown
    assert again.get_by_label("Find").input_value() == "int8"


def test_a_case_opens_with_its_pictures_and_its_link_opens_it_again(visit):
    page = visit().page
    page.get_by_role("link", name=REGRESSED, exact=True).click()
    opened = page.locator("details.case[open]")
    opened.wait_for()
    assert opened.count() == 1
    assert "REGRESSED" in opened.locator("summary").inner_text()
    titles = opened.locator("figcaption").all_inner_texts()
    assert titles == [
        "Replicates: each is a fresh process",
        "Over time",
        "Change, with its bounds",
        "Where the time of a batch goes (medians)",
    ]
    assert all(each.bounding_box()["height"] > 40 for each in opened.locator("figure svg").all())
    assert page.url.endswith(f"#case=case-{REGRESSED}")
    for fragment in (f"#case=case-{REGRESSED}", f"#case-{REGRESSED}"):  # the address, and the link's own
        again = visit(fragment).page
        assert again.locator("details.case[open]").get_attribute("id") == f"case-{REGRESSED}"
    page.go_back()
    assert page.url.partition("#")[2] == ""


def test_pictures_of_changed_images_are_seen(page):
    page.get_by_role("link", name="lenet-int8-onnxruntime", exact=True).click()
    image = page.locator("details.case[open] img").first
    image.wait_for()
    assert image.evaluate("each => each.naturalWidth") == 56


def test_a_name_that_is_a_script_is_shown_and_not_run(page):
    assert page.locator("#table").get_by_text(f"{HARM}-fp32-b1-onnxruntime", exact=True).is_visible()
    page.locator("#all").click()
    page.get_by_label("Network").select_option(HARM)
    assert len(names(page)) == 8
    assert page.evaluate("window.harmed") is None
    assert page.locator("script").count() == 1


def test_whatever_a_file_calls_things_nothing_runs_and_nothing_breaks_out(browser, tmp_path, capsys):
    content = run_json(models=("lenet", *HOSTILE), batches=(1,))
    for number, outcome in enumerate(content["inferkit"]["outcomes"]):
        outcome |= {"reason": HOSTILE[number % len(HOSTILE)], "hint": HOSTILE[-number % len(HOSTILE)]}
    content["commit_info"] |= {"id": HOSTILE[0], "branch": HOSTILE[1]}
    content["datetime"] = HOSTILE[2]
    run = write_run(tmp_path / "run.json", content, traces=False)
    out = tmp_path / "out.html"
    assert main(["report", str(run), str(run), "-o", str(out), "--no-history"]) == 0
    assert main(["compare", str(run), str(run)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert main(["plot", str(run), "-o", str(tmp_path / "plots")]) == 0
    for file in (tmp_path / "plots").glob("*.svg"):
        ElementTree.parse(file)
    for page_file in (out, *sorted((tmp_path / "plots").glob("*.svg"))[:3]):
        context = browser.new_context(viewport={"width": 360, "height": 800}, offline=True)
        opened = Opened(context, page_file.as_uri())
        assert opened.page.evaluate("window.harmed") is None
        assert opened.said == []
        assert opened.page.locator("script").count() <= 1
        assert {url for url in opened.asked if not url.startswith("data:image/png;base64,")} == {page_file.as_uri()}
        if page_file == out:
            assert len(names(opened.page)) == 4 * (1 + len(HOSTILE)) + 1
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
        context.close()


def test_an_address_from_outside_is_only_text(visit):
    page = visit("#q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&verdict=no&sort=__proto__&case=%22%3E").page
    assert page.locator("#none").is_visible()
    assert page.get_by_label("Verdict").input_value() == ""


def test_the_policy_stops_what_would_be_added(visit):
    opened = visit()
    harmed = opened.page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.harmed = 1'; "
        "document.head.append(s); return window.harmed; }"
    )
    assert harmed is None
    opened.page.wait_for_timeout(0)
    (complaint,) = opened.said
    assert "Content Security Policy" in complaint
    opened.said.clear()


@pytest.mark.parametrize("width", [360, 400, 768, 1280])
def test_no_width_scrolls_sideways_and_the_table_of_cases_is_whole(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.locator("#all").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#verdicts .scroll").evaluate("each => each.scrollWidth - each.clientWidth") <= 0


@pytest.mark.parametrize("width", [400, 1280])
def test_the_margin_and_the_layers_of_what_got_worse_are_seen_without_opening_a_case(browser, tmp_path, width):
    content, _ = slower()
    out = tmp_path / "out.html"
    assert main(["report", str(write_run(tmp_path / "run.json", content)), "-o", str(out), "--no-history"]) == 0
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = Opened(context, out.as_uri()).page
    row = page.locator("#table tbody tr").first
    assert row.locator(".culprits li").all_inner_texts() == ["conv1 +50 µs (+50%) int8 -> fp32", "fc +45 µs (+112%)"]
    for part in ("span.margin", ".culprits"):
        box = row.locator(part).bounding_box()
        assert box["height"] > 8
        assert 0 <= box["x"] < box["x"] + box["width"] <= width
    context.close()


# Of every text that is seen: its contrast with what is behind it, as WCAG 2 has it.
CONTRAST = """() => {
  const light = (color) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = color.match(/[\\d.]+/g).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (each) => {
    for (; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (color !== "rgba(0, 0, 0, 0)") return color;
    }
  };
  return Array.from(document.querySelectorAll("body *")).flatMap((each) => {
    const own = Array.from(each.childNodes).some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !each.getClientRects().length || each.matches("title, desc, .inside, option")) return [];
    const color = getComputedStyle(each)[each instanceof SVGElement ? "fill" : "color"];
    const [high, low] = [color, behind(each)].map(light).sort((a, b) => b - a);
    return [[(high + 0.05) / (low + 0.05), each.outerHTML.slice(0, 80)]];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.locator("#all").click()
    found = page.evaluate(CONTRAST)
    assert len(found) > 500
    assert [each for each in found if each[0] < 4.5] == []


def test_headings_leave_out_no_level(page):
    page.locator("#all").click()
    levels = page.evaluate("Array.from(document.querySelectorAll('h1,h2,h3,h4'), (each) => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_dark_and_light_have_their_own_paper_and_print_is_light_and_whole(page):
    paper = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) != light
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(paper) == light
    assert not page.locator(".controls").is_visible()


def test_a4_is_wide_enough_for_all_columns(page):
    page.set_viewport_size({"width": A4_WIDTH, "height": 1000})
    page.locator("#all").click()
    page.emulate_media(media="print")
    assert page.locator("#table th:visible").count() == 8
    assert page.evaluate("document.documentElement.scrollWidth") <= A4_WIDTH
    right = "Math.max(...Array.from(document.querySelectorAll('td'), (cell) => cell.getBoundingClientRect().right))"
    assert page.evaluate(right) <= A4_WIDTH


def test_printed_it_is_a4_with_every_case_that_is_shown(page):
    page.emulate_media(media="screen")
    page.get_by_label("Verdict").select_option("REGRESSED")
    one = page.pdf(format="A4")
    page.get_by_role("button", name="Show all").click()
    everything = page.pdf(format="A4")
    assert one.startswith(b"%PDF")
    assert pages(everything) > pages(one)
    assert page.locator("details.case[open]").count() == 0  # as they were before


def pages(pdf):
    return pdf.count(b"/Type /Page\n")
