"""Pages that list albums: charts, artists, releases, and saved searches, which say less of more albums."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from lastfm_crawl.items import AotyRow, name_fault
from lastfm_crawl.services.aoty.calls import album_url, page_of
from lastfm_crawl.services.aoty.page import MAX_COUNT, clean, number, released, texts

if TYPE_CHECKING:
    from parsel import Selector, SelectorList

    from lastfm_crawl.services.aoty.page import Html

#: The type that the heading of an artist page's section stands for.
_SECTIONS = {"albums": "lp", "mixtapes": "mixtape", "eps": "ep", "singles": "single", "compilations": "compilation"}
_YEAR = re.compile(r"(?:19|20)\d\d", re.ASCII)


def read_rows(html: Html) -> tuple[list[AotyRow], int, dict[str, int]]:
    """The rows that name an album, how many rows there are, and how many do not, by reason."""
    owner = html.one("h1") if page_of("artist", html.canonical) else ""
    rows: list[AotyRow] = []
    skipped: Counter[str] = Counter()
    received, section = 0, ""
    for node in html.root.css("h2, .albumBlock, .albumListRow"):
        classes = _attribute(node, "class").split()
        if "albumListRow" in classes:
            row = _of_chart(node)
        elif "albumBlock" in classes:
            row = _of_block(node, section, owner)
        else:
            if "albumListTitle" not in classes:
                section = _SECTIONS.get(clean(node.xpath("string()").get()).lower(), "")
            continue
        received += 1
        if isinstance(row, AotyRow):
            rows.append(row)
        else:
            skipped[row] += 1
    return rows, received, dict(skipped)


def _of_block(node: Selector, section: str, owner: str) -> AotyRow | str:
    """A block with a cover: ``2014 • Single`` or ``May 12 • LP`` below it, and a score in each of its rows."""
    dated, _, kind = _one(node, ".type").partition("\u2022")
    row = _row(
        _attribute(node.css('a[href*="/album/"]'), "href"),
        _one(node, ".albumTitle"),
        _one(node, ".artistTitle") or owner,
        dated,
        clean(_attribute(node, "data-type")) or clean(kind) or section,
    )
    if isinstance(row, str):
        return row
    for rating in node.css(".ratingRow"):
        said = texts(rating, ".ratingText")
        score = _within(_one(rating, ".rating"), 100)
        count = next((found for text in said if (found := _within(text, MAX_COUNT)) is not None), None)
        row = _scored(row, " ".join(said), score, count)
    return row


def _of_chart(node: Selector) -> AotyRow | str:
    """A row of a chart, which is headed ``Artist - Title`` and has one score."""
    link = node.css(".albumListTitle a[itemprop=url], .albumListTitle a")
    artist, dash, title = clean(link.xpath("string()").get()).partition(" - ")
    if not dash:
        artist, title = "", artist
    row = _row(_attribute(link, "href"), title, artist, _one(node, ".albumListDate"), "")
    if isinstance(row, str):
        return row
    counted = _one(node, ".scoreText")
    whose = _one(node, ".scoreHeader") or ("user score" if "rating" in counted.lower() else counted)
    return _scored(row, whose, _within(_one(node, ".scoreValue"), 100), _within(counted, MAX_COUNT))


def _row(href: str, title: str, artist: str, dated: str, kind: str) -> AotyRow | str:
    """The row, without scores, or why it is none."""
    page = page_of("album", href)
    if page is None:
        return "no_album"
    if fault := name_fault(title):
        return fault
    year = _YEAR.search(released(clean(dated)) or dated)
    return AotyRow(
        page[0],
        album_url(*page),
        title,
        "" if name_fault(artist) else artist,
        kind.lower()[:40],
        int(year[0]) if year else None,
    )


def _scored(row: AotyRow, whose: str, score: int | None, count: int | None) -> AotyRow:
    """*row* with a score of those whom the words beside it name; of nobody else."""
    whose = whose.lower()
    if "user score" in whose:
        return row._replace(user_score=score, user_count=count)
    if "critic score" in whose or "review" in whose:
        return row._replace(critic_score=score, critic_count=count)
    return row


def _attribute(node: Selector | SelectorList[Selector], name: str) -> str:
    """One attribute, or "". ``node.attrib`` would read them all, and raises for one with a broken name."""
    return node.xpath(f"@{name}").get("")


def _one(node: Selector, css: str) -> str:
    return next(iter(texts(node, css)), "")


def _within(text: str, most: int) -> int | None:
    value = number(text)
    return value if value is not None and 0 <= value <= most else None
