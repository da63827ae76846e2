"""Release years as one HTML file that needs nothing else: the charts, and every number in tables."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from lastfm_crawl.insight import charts, wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lastfm_crawl.insight.years import Bar, ReleaseYears

_HERE = files("lastfm_crawl.insight")
#: Nothing is fetched, whatever a name holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
#: Width and height of the drawings in CSS pixels, by class: the page shows the one that fits.
_BARS = {"wide": (920, 380), "narrow": (336, 300)}
_PERIODS = {"wide": (920, 260), "narrow": (336, 240)}


def html(years: ReleaseYears) -> str:
    """The page. Elements are put together as a tree: what a user's name holds stays text."""
    root = ET.Element("html", lang="en")
    _head(root, wording.title(years))
    body = ET.SubElement(root, "body")
    main = ET.SubElement(body, "main")
    # In an element of its own a name that runs from right to left leaves the words around it alone.
    before, user, after = wording.title(years).partition(wording.name(years))
    _add(_add(main, "h1", before), "bdi", user).tail = after
    compared = wording.everyone(years)
    for line in (wording.listening(years), wording.coverage(years), wording.middle(years), compared):
        if line:
            _add(main, "p", f"{line[0].upper()}{line[1:]}.")
    if years.undated:
        _add(main, "p", f"Without a year: {wording.undated(years)}.", class_="quiet")
    link = _add(_add(main, "p"), "a", "View on Last.fm", href=wording.profile_url(years), rel="noopener noreferrer")
    link.tail = "."
    if years.bars:
        _release_years(main, years)
        _over_time(main, years)
        if years.question.by == "year":
            _add(main, "h2", "Decades")
            _table(main, "Share of each decade", *_bar_rows(years.decades, years, "s"))
        _add(main, "h2", f"By {years.question.by}")
        suffix = "s" if years.question.by == "decade" else ""
        _table(main, f"All {years.question.by}s of release", *_bar_rows(years.bars, years, suffix))
    ET.SubElement(body, "script").text = (_HERE / "page.js").read_text(encoding="utf-8")
    return f"<!DOCTYPE html>\n{ET.tostring(root, encoding='unicode', method='html')}\n"


def _head(root: ET.Element, title: str) -> None:
    head = ET.SubElement(root, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    for name, content in (
        ("viewport", "width=device-width, initial-scale=1"),
        ("robots", "noindex"),
        ("referrer", "no-referrer"),
    ):
        ET.SubElement(head, "meta", name=name, content=content)
    ET.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    _add(head, "title", title)
    ET.SubElement(head, "style").text = (_HERE / "page.css").read_text(encoding="utf-8")


def _release_years(main: ET.Element, years: ReleaseYears) -> None:
    """The bars, in a wide and a narrow drawing, with what the lines mean and a line for the bar that is pointed at."""
    what = years.question.measure
    _add(main, "h2", f"{what.capitalize()} by {years.question.by} of release")
    figure = _add(main, "figure", class_="bars")
    keys: list[tuple[str, str]] = [("bar", what)]
    if wording.everyone(years):
        keys.append(("everyone", f"all {years.everyone.users:,} users, by share"))
    if years.quartiles:
        keys.append(("median", f"median {years.quartiles.median}"))
    _keys(figure, keys)
    summary = f"{wording.title(years)}: {what} by {years.question.by} of release, {wording.middle(years)}"
    for class_, (width, height) in _BARS.items():
        svg = charts.bars_svg(years, width, height)
        svg.attrib |= {"class": class_, "role": "group", "aria-label": f"{summary}. Arrow keys go from bar to bar."}
        _hide_all_but_slots(svg)
        figure.append(svg)
    _add(figure, "p", "\N{NO-BREAK SPACE}", class_="readout quiet", **{"aria-hidden": "true"})


def _hide_all_but_slots(svg: ET.Element) -> None:
    """Numbers at the axes say nothing to those who hear them one by one; the slots say it all."""
    for parent in svg.iter():
        for child in parent:
            if child.get("class") != "slot" and child.tag == "g" and not child.findall(".//g[@class='slot']"):
                child.set("aria-hidden", "true")


def _over_time(main: ET.Element, years: ReleaseYears) -> None:
    """Median and middle half over listening time, drawn where there is more than one part of it."""
    question = years.question
    _add(main, "h2", "Over listening time")
    if len(years.periods) > 1:
        figure = _add(main, "figure")
        _keys(figure, [("line", "median"), ("band", "middle half")])
        for class_, (width, height) in _PERIODS.items():
            svg = charts.periods_svg(years, width, height)
            label = f"Median and middle half of release years by {question.period} of listening; numbers below"
            svg.attrib |= {"class": class_, "role": "img", "aria-label": label}
            figure.append(svg)
    rows = (
        (wording.period(p.start, question), f"{p.count:,}", *(str(year) for year in p.quartiles)) for p in years.periods
    )
    heads = (question.period, "dated", "lower quartile", "median", "upper quartile")
    _table(main, f"Release years of dated {question.measure} by {question.period} of listening", heads, rows)


def _bar_rows(
    bars: Iterable[Bar], years: ReleaseYears, suffix: str
) -> tuple[tuple[str, ...], Iterable[tuple[str, ...]]]:
    """Heads and rows of a table of *bars*."""
    compared = bool(wording.everyone(years))
    heads = ("released", years.question.measure, "share", *(("all users",) if compared else ()))
    rows = (
        (
            f"{bar.year}{suffix}",
            f"{bar.count:,}",
            wording.percent(bar.count, years.dated),
            *((wording.percent(bar.everyone, years.everyone.dated),) if compared else ()),
        )
        for bar in bars
    )
    return heads, rows


def _keys(figure: ET.Element, keys: Sequence[tuple[str, str]]) -> None:
    """What the signs in a chart mean."""
    caption = _add(figure, "figcaption", class_="keys")
    for sign, text in keys:
        key = ET.SubElement(_add(caption, "span"), "span", {"class": f"key {sign}"})
        key.tail = text


def _table(main: ET.Element, caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = _add(main, "table")
    _add(table, "caption", caption)
    head = _add(_add(table, "thead"), "tr")
    for text in heads:
        _add(head, "th", text, scope="col")
    body = _add(table, "tbody")
    for first, *others in rows:
        row = _add(body, "tr")
        _add(row, "th", first, scope="row")
        for text in others:
            _add(row, "td", text)


def _add(parent: ET.Element, tag: str, text: str = "", class_: str = "", **attributes: str) -> ET.Element:
    """A new last child of *parent*."""
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    if class_:
        element.set("class", class_)
    return element
