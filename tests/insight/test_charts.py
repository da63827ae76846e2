"""Pictures and pages of release years: their numbers are those of plain SQL, and a page needs nothing but itself."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import date
from io import BytesIO

import psycopg
import pytest
from conftest import ROOT
from listening import three_listeners
from matplotlib.figure import Figure
from matplotlib.image import imread
from parsel import Selector

from lastfm_crawl.insight import charts, page, wording
from lastfm_crawl.insight.years import (
    Everyone,
    Period,
    Quartiles,
    Question,
    ReleaseYears,
    _bars,
    _quartiles,
    release_years,
)
from lastfm_crawl.warehouse.migrate import migrate

HOSTILE = "<script>alert('$x^2$ & \"hi\"')</script>\x1b[31m\u202e]]>-->"
LONG = "名前がとても長い利用者さん العربية שלום 😀 Ünïcödé_" * 4
HUNDRED = Counter({year: 1 + (year * 7919) % 997 for year in range(1926, 2026)})


def answer(counts, *, user="RJ", by="year", measure="plays", users=12, year=None):
    """An answer without a warehouse."""
    counts, everyone = Counter(counts), Counter({1955: 3, 2001: 4}) + Counter(counts)
    question = Question.listening_year(year, by, measure) if year else Question(by, measure)
    starts = [date(year, month, 1) for month in range(1, 13)] if year else [date(n, 1, 1) for n in (2009, 2010, 2014)]
    return ReleaseYears(
        user, question, counts.total() + 5, {"pending": 3, "no_album": 2}, _bars(counts, everyone, question.step),
        _bars(counts, everyone, 10), _quartiles(counts),
        tuple(Period(start, 10, Quartiles(1980, 1990, 2000)) for start in starts),
        Everyone(users, everyone.total(), _quartiles(everyone)), (starts[0], starts[-1]),
    )  # fmt: skip


ANSWERS = {
    "one album": answer({1977: 1}, measure="albums", users=1),
    "100 years": answer(HUNDRED),
    "100 years, by decade": answer(HUNDRED, by="decade"),
    "one listening year": answer({1977: 40, 1984: 2, 2016: 300_000}, year=2016),
    "a long name": answer(HUNDRED, user=LONG),
    "a hostile name": answer(HUNDRED, user=HOSTILE),
}
each_answer = pytest.mark.parametrize("years", ANSWERS.values(), ids=list(ANSWERS))


@pytest.fixture
def counted(database_url):
    """What RJ played, and the same by plain SQL."""
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        three_listeners(connection)
        sql = (
            "SELECT release_year, count(*) FROM lastfm_scrobbles WHERE username = 'RJ' AND release_year > 0 GROUP BY 1"
        )
        return release_years(connection, "RJ", Question()), dict(connection.execute(sql).fetchall())


def rows(document, caption):
    table = document.xpath(f"//table[contains(caption, '{caption}')]")
    return [row.xpath("th/text() | td/text()").getall() for row in table.xpath("tbody/tr")]


def test_the_page_has_the_numbers_of_sql(counted):
    years, expected = counted
    document = Selector(page.html(years))
    in_table = {int(row[0]): int(row[1].replace(",", "")) for row in rows(document, "All years")}
    assert {year: count for year, count in in_table.items() if count} == expected
    assert list(in_table) == list(range(min(expected), max(expected) + 1))
    for kind in ("wide", "narrow"):
        labels = document.xpath(f"//svg[@class='{kind}']//g[@class='slot']/@aria-label").getall()
        told = dict(re.match(r"(\d+): ([\d,]+) play", label).groups() for label in labels)
        assert {int(year): int(count.replace(",", "")) for year, count in told.items()} == in_table
    assert sum(int(row[1].replace(",", "")) for row in rows(document, "decade")) == sum(expected.values())


def test_the_bars_are_as_high_as_sql_says(counted):
    years, expected = counted
    axes = Figure().subplots()
    charts._draw_bars(axes, years, ticks=16)
    bars = axes.containers[0]
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in bars}
    assert {year: height for year, height in heights.items() if height} == expected


@each_answer
def test_a_png_has_its_size_and_shows_something(years):
    picture = imread(BytesIO(charts.png(years)), format="png")
    height, width, _ = picture.shape
    assert (width, height) == (charts.PNG_WIDTH, 1280)
    blue = (abs(picture[:, :, :3] - [0x2B / 255, 0x87 / 255, 0xC4 / 255]).max(axis=2) < 0.02).mean()
    assert 0.002 < blue < 0.5
    border = [picture[:4], picture[-4:], picture[:, :4], picture[:, -4:]]
    assert all(edge[:, :, :3].min() == 1 for edge in border), "something is cut off at the border"


@pytest.mark.parametrize("width", [336, 920])
@each_answer
def test_a_drawing_names_years(years, width):
    texts = [element.text for element in charts.bars_svg(years, width, 300).iter("text")]
    labels = {wording.label(bar, years.question) for bar in years.bars}
    assert min(len(labels), 3) <= len([text for text in texts if text in labels]) <= 16
    assert f"median {years.quartiles.median}" in texts


@each_answer
def test_a_page_needs_nothing_but_itself(years):
    text = page.html(years)
    document = Selector(text)
    links = [years_link] = document.xpath("//@href[starts-with(., 'http')]").getall()
    assert re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)) == [
        "https://www.last.fm"
    ]
    assert links == [wording.profile_url(years)]
    assert re.fullmatch(r"https://www\.last\.fm/user/[\w.%+-]+", years_link)
    assert document.xpath("//a[text()='View on Last.fm']/@rel").get().split()[0] == "noopener"
    assert document.xpath("//meta[@name='robots']/@content").get() == "noindex"
    assert document.xpath("/html/@lang").get() == "en"
    assert len(document.xpath("//h1")) == 1
    assert len(document.xpath("//script")) == 1
    assert not document.xpath("//link | //img | //iframe | //object | //*[@src]")
    assert "url(" not in text.replace("url(#", "")
    ids = document.xpath("//@id").getall()
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in document.xpath("//use/@href").getall()} <= set(ids)


@each_answer
def test_a_page_says_who_when_how_much_and_how_far(years):
    document = Selector(page.html(years))
    assert wording.name(years) in "".join(document.xpath("//h1//text()").getall())
    text = " ".join(document.xpath("//main//p//text()").getall())
    assert "dated" in text
    assert "3 not looked up yet" in text
    assert f"Median {years.quartiles.median}" in text
    assert all(header in {"col", "row"} for header in document.xpath("//th/@scope").getall())
    assert len(document.xpath("//table/caption")) == len(document.xpath("//table"))


def test_coverage_never_reads_as_whole_or_nothing_when_it_is_not():
    assert [wording.percent(*parts) for parts in ((0, 9), (9, 9), (1, 10**6), (10**6 - 1, 10**6), (17, 20))] == [
        "0 %", "100 %", "0.1 %", "99.9 %", "85 %",
    ]  # fmt: skip


@pytest.mark.parametrize("module", ["scrapy.cmdline", "lastfm_crawl.commands.years"])
def test_matplotlib_is_loaded_for_pictures_only(module):
    code = f"import sys, {module}; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# --- in a browser -------------------------------------------------------------------------------------------------

# What stands where, as a person would see it; and the keyboard.
_LOOK = """
frame.onload = () => {
  const page = frame.contentDocument, found = {};
  const seen = (element) => element.getBoundingClientRect().width > 0;
  found.overflow = page.documentElement.scrollWidth - page.documentElement.clientWidth;
  found.overlaps = [];
  for (const svg of [...page.querySelectorAll("svg")].filter(seen)) {
    const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    const outer = svg.getBoundingClientRect();
    texts.forEach(([one, a], n) => {
      if (a.left < outer.left - 1 || a.right > outer.right + 1) found.overlaps.push([one, "outside"]);
      for (const [other, b] of texts.slice(n + 1))
        if (a.left < b.right && b.left < a.right && a.top + 3 < b.bottom - 3 && b.top + 3 < a.bottom - 3)
          found.overlaps.push([one, other]);
    });
  }
  const chart = [...page.querySelectorAll("figure.bars svg")].filter(seen);
  found.charts = chart.length;
  const slots = [...chart[0].querySelectorAll(".slot")];
  const press = (key) => page.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  const told = () => page.querySelector(".readout").textContent;
  found.tabStops = slots.filter((slot) => slot.getAttribute("tabindex") === "0").length;
  slots[0].focus(); found.first = told();
  press("End"); found.last = told();
  press("ArrowLeft"); found.before = told();
  document.title = JSON.stringify(found);
};
"""


@pytest.fixture(scope="module")
def chromium():
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not binary:
        pytest.skip("needs a Chromium")
    return binary


@pytest.mark.parametrize("width", [360, 1100])
@each_answer
def test_in_a_browser_nothing_overlaps_and_the_keyboard_goes_from_bar_to_bar(chromium, tmp_path, years, width):
    outer = tmp_path / "outer.html"
    source = json.dumps(page.html(years)).replace("</", "<\\/")
    outer.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><iframe id="frame" width={width} height=800></iframe>'
        f"<script>{_LOOK} frame.srcdoc = {source};</script>",
        encoding="utf-8",
    )
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", outer.as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    title = re.search(r"<title>(.*?)</title>", result.stdout, re.DOTALL)
    if title is None:
        pytest.skip("Chromium does not run here")
    found = json.loads(html.unescape(title[1]))
    assert found["overflow"] <= 0
    assert found["overlaps"] == []
    assert (found["charts"], found["tabStops"]) == (1, 1)
    labels = [wording.bar(bar, years) for bar in years.bars]
    assert (found["first"], found["last"], found["before"]) == (labels[0], labels[-1], labels[-2:][0])
