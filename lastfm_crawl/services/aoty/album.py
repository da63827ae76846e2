"""The page of an album as a row: each value from the first place that has a believable one, and where that was.

The places are, in this order: the JSON-LD block of 2026, the markup of 2026, the microdata of 2025, and the words of
the page. The JSON-LD's rating is the critics'. Critics and users have a box each, and nothing is read outside it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import AotyAlbum, AotyTrack, name_fault
from lastfm_crawl.services.aoty.calls import album_url, page_of
from lastfm_crawl.services.aoty.page import MAX_COUNT, NO_SCORE, clean, number, precision, released, seconds, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parsel import Selector

    from lastfm_crawl.services.aoty.page import Html

CRITIC_SCORE = "critic score"
#: Scores may differ from their exact value by rounding, and no more.
_ROUNDING = 1.0
_MAX_SHOWN = 40

_USER_REVIEWS = re.compile(r"/album/\d{1,10}-[^\"'<>\s]{1,200}/user-reviews/")
_WORDS = {
    box: re.compile(rf"{box} Score (\d{{1,3}}|NR)\b(?: Based on ([\d,]{{1,14}})\b)?", re.ASCII)
    for box in ("Critic", "User")
}


class WrongPageError(ValueError):
    """The page is not one album's, or not that of the album that was asked for; the text says why."""


class _Values:
    """The values of one page as they are found. *found* is (place, text) in the order of trust."""

    def __init__(self) -> None:
        self.origins: dict[str, str] = {}
        self.rejected: list[str] = []

    def text(self, name: str, found: Iterable[tuple[str, str]]) -> str:
        """The first text that can be stored, or ""."""
        return next(iter(self.texts(name, ((origin, [text]) for origin, text in found))), "")

    def texts(self, name: str, found: Iterable[tuple[str, Iterable[str]]]) -> tuple[str, ...]:
        """The first texts that can be stored, each once."""
        for origin, candidates in found:
            kept = []
            for text in filter(None, candidates):
                fault = name_fault(text)
                self.reject(name, fault, text) if fault else kept.append(text)
            if kept:
                self.origins[name] = origin
                return tuple(dict.fromkeys(kept))
        return ()

    def count(self, name: str, found: Iterable[tuple[str, str]], most: int = MAX_COUNT) -> int | None:
        """The first number from 0 to *most*; None, with an origin, where the page says that there is none.

        The words of the page are no help where a place is known, but holds something else.
        """
        known = len(self.rejected)
        for origin, text in found:
            if not text or (origin == "regex" and len(self.rejected) > known):
                continue
            value = None if text == NO_SCORE else number(text)
            if text != NO_SCORE and (value is None or not 0 <= value <= most):
                self.reject(name, "no number" if value is None else "out of range", text)
                continue
            self.origins[name] = origin
            return value
        return None

    def score(self, name: str, found: Iterable[tuple[str, str]]) -> int | None:
        """The first score."""
        return self.count(name, found, 100)

    def exact(self, name: str, text: str, rounded: int | None) -> float | None:
        """The score before rounding, where one is shown; it must be the same score."""
        try:
            value = float(text) if text else None
        except ValueError:
            return None  # the title of a link may be any words
        if value is None:
            return None
        if rounded is None or not abs(value - rounded) <= _ROUNDING or not 0 <= value <= 100:
            self.reject(name, "not the score that is shown", text)
            return None
        self.origins[name] = "css"
        return value

    def reject(self, name: str, why: str, text: str) -> None:
        """Note a value that is not believed."""
        self.rejected.append(f"{name}: {why} ({text[:_MAX_SHOWN]!r})")


def read_album(html: Html, expected: int | None = None) -> AotyAlbum:
    """The album of a page, which must be the one with the id *expected*. Raises WrongPageError."""
    values = _Values()
    album_id, url = _identity(html, expected)
    title = values.text("title", _titles(html))
    if not title:
        raise WrongPageError("an album without a title")
    details = _details(html)
    _check_rating(html, values)
    critic_score = values.score("critic_score", _critic_scores(html))
    user_score = values.score("user_score", _user_scores(html))
    critic_count = values.count("critic_count", _critic_counts(html))
    user_count = values.count("user_count", _user_counts(html))
    if critic_score is not None and critic_count == 0:
        values.reject("critic_score", "a score by nobody", str(critic_score))
        critic_score = None
    if user_score is not None and user_count == 0:
        values.reject("user_score", "a score by nobody", str(user_score))
        user_score = None
    released_on = _released(html, values, details)
    return AotyAlbum(
        id=album_id,
        url=url,
        title=title,
        artists=values.texts("artists", _artists(html)),
        critic_score=critic_score,
        critic_score_exact=values.exact(
            "critic_score_exact", html.one(".albumCriticScore a::attr(title)"), critic_score
        ),
        critic_count=critic_count,
        user_score=user_score,
        user_score_exact=values.exact("user_score_exact", html.one(".albumUserScore a::attr(title)"), user_score),
        user_count=user_count,
        genres=values.texts("genres", _genres(html)),
        secondary_genres=values.texts(
            "secondary_genres", [("css", html.texts('.albumTopBox.info a[href^="/genre/"] .secondary'))]
        ),
        tags=values.texts("tags", [("css", html.texts('.albumTopBox.info a[href^="/tag/"]'))]),
        label=values.text("label", _labels(details)),
        release_date=released_on,
        release_precision=precision(released_on) if released_on else None,
        format=values.text("format", [("css", _value(details["format"]))] if "format" in details else []),
        tracks=_tracks(html, values),
        era="2026" if html.json_ld else "2025" if html.root.css("[itemprop=byArtist]") else "unknown",
        origins=values.origins,
        rejected=tuple(values.rejected),
    )


def drifted(album: AotyAlbum) -> bool:
    """Whether neither a user score nor NR was where it is known to be: some such pages are bad luck, many are a new
    markup.
    """
    return album.origins.get("user_score", "regex") == "regex"


def _identity(html: Html, expected: int | None) -> tuple[int, str]:
    """Id and address. All that the page says of itself must be the same album."""
    said = [clean(html.json_ld.get(name)) for name in ("@id", "url")]
    said += [html.one('link[rel="canonical"]::attr(href)'), html.one('meta[property="og:url"]::attr(content)')]
    said = [text for text in said if text]
    if not said and (found := _USER_REVIEWS.search(html.source)):
        said = [found[0]]
    pages = [page_of("album", text) for text in said]
    albums = {page[0]: page for page in reversed(pages) if page}
    if None in pages or len(albums) != 1:
        raise WrongPageError("not the page of one album" if said else "a page that does not say whose it is")
    album_id, slug = albums.popitem()[1]
    if expected not in {None, album_id}:
        raise WrongPageError(f"the page of album {album_id}")
    return album_id, album_url(album_id, slug)


# --- names --------------------------------------------------------------------------------------------------------


def _titles(html: Html) -> Iterator[tuple[str, str]]:
    yield "jsonld", clean(html.json_ld.get("name"))
    yield "css", html.one("h1.albumTitle::text")
    yield "itemprop", html.one("h1.albumTitle [itemprop=name]")
    yield "regex", _artist_and_title(html)[1]


def _artists(html: Html) -> Iterator[tuple[str, Iterable[str]]]:
    by = html.json_ld.get("byArtist")
    said = [clean(one.get("name")) for one in (by if isinstance(by, list) else [by]) if isinstance(one, dict)]
    shown = html.texts(".albumHeadline .artist a") or html.texts(".albumHeadline .artist")
    if len(shown) <= len(said):
        yield "jsonld", said
    yield "css", shown
    yield "jsonld", said
    yield "itemprop", html.texts("[itemprop=byArtist] [itemprop=name]") or html.texts("[itemprop=byArtist]")
    yield "regex", [_artist_and_title(html)[0]]


def _artist_and_title(html: Html) -> tuple[str, str]:
    """Of ``Artist - Title``, the heading for other sites."""
    artist, dash, title = html.one('meta[property="og:title"]::attr(content)').partition(" - ")
    return (artist, title) if dash else ("", "")


def _genres(html: Html) -> Iterator[tuple[str, Iterable[str]]]:
    said = html.json_ld.get("genre")
    yield "jsonld", [clean(genre) for genre in (said if isinstance(said, list) else [said])]
    secondary = set(html.texts('.albumTopBox.info a[href^="/genre/"] .secondary'))
    yield "css", [genre for genre in html.texts('.albumTopBox.info a[href^="/genre/"]') if genre not in secondary]
    yield "itemprop", html.texts("meta[itemprop=genre]::attr(content)")


# --- scores -------------------------------------------------------------------------------------------------------


def _critic_rating(html: Html) -> dict[str, Any]:
    """The JSON-LD's rating when it is the critics', as its name must say."""
    rating = html.json_ld.get("aggregateRating")
    if isinstance(rating, dict) and clean(rating.get("name")).lower() == CRITIC_SCORE:
        return rating
    return {}


def _check_rating(html: Html, values: _Values) -> None:
    """Note a rating of the JSON-LD that is not the critics'."""
    rating = html.json_ld.get("aggregateRating")
    if rating and not _critic_rating(html):
        name = clean(rating.get("name")) if isinstance(rating, dict) else ""
        values.reject("aggregateRating", "not the critics'", name)


def _critic_scores(html: Html) -> Iterator[tuple[str, str]]:
    yield "jsonld", clean(_critic_rating(html).get("ratingValue"))
    yield "css", html.one(".albumCriticScore a") or html.one(".albumCriticScore::text")
    yield "itemprop", html.one(".albumCriticScoreBox [itemprop=ratingValue]")
    yield "regex", _said(html, "Critic")[0]


def _critic_counts(html: Html) -> Iterator[tuple[str, str]]:
    yield "jsonld", clean(_critic_rating(html).get("ratingCount"))
    yield "css", html.one(".albumCriticScoreBox .numReviews strong")
    yield "itemprop", html.one(".albumCriticScoreBox meta[itemprop=reviewCount]::attr(content)")
    yield "regex", _said(html, "Critic")[1]


def _user_scores(html: Html) -> Iterator[tuple[str, str]]:
    yield "css", html.one(".albumUserScore a") or html.one(".albumUserScore::text")
    yield "itemprop", html.one(".albumUserScoreBox [itemprop=ratingValue]")
    yield "regex", _said(html, "User")[0]


def _user_counts(html: Html) -> Iterator[tuple[str, str]]:
    yield "css", html.one(".albumUserScoreBox .numReviews strong")
    yield "itemprop", html.one(".albumUserScoreBox meta[itemprop=reviewCount]::attr(content)")
    yield "regex", _said(html, "User")[1]


def _said(html: Html, whose: str) -> tuple[str, str]:
    """Score and count as the page words them under the heading of the *whose* box."""
    found = _WORDS[whose].search(html.visible)
    return (found[1], found[2] or "") if found else ("", "")


# --- details ------------------------------------------------------------------------------------------------------


def _details(html: Html) -> dict[str, Selector]:
    """The rows of the box of details by the label at the end of each, in lower case."""
    rows: dict[str, Selector] = {}
    for row in html.root.css(".albumTopBox.info .detailRow"):
        label = clean(row.xpath("string(./span[last()])").get()).lstrip("/ ").lower()
        rows.setdefault(label, row)
    return rows


def _value(row: Selector) -> str:
    return clean("".join(row.xpath(".//text()[not(ancestor::span)]").getall()))


def _labels(details: dict[str, Selector]) -> Iterator[tuple[str, str]]:
    row = details.get("label") or details.get("labels")
    if row is not None:
        yield "css", " / ".join(texts(row, "a")) or _value(row)


def _released(html: Html, values: _Values, details: dict[str, Selector]) -> str | None:
    """The date; where the box of details shows less of it than the JSON-LD, the rest of that is made up."""
    dates: dict[str, str] = {}
    shown = _value(details["release date"]) if "release date" in details else ""
    microdata = html.one("[itemprop=datePublished]::attr(content)")
    said = clean(html.json_ld.get("datePublished"))
    for origin, text in (("jsonld", said), ("css", shown), ("itemprop", microdata)):
        if text and (found := released(text)):
            dates[origin] = found
        elif text:
            values.reject("release_date", "no date", text)
    if "css" in dates and dates.get("jsonld", "").startswith(dates["css"]) and dates["css"] != dates["jsonld"]:
        del dates["jsonld"]
    for origin, found in dates.items():
        values.origins["release_date"] = origin
        return found
    return None


# --- tracks -------------------------------------------------------------------------------------------------------


def _tracks(html: Html, values: _Values) -> tuple[AotyTrack, ...]:
    tracks: list[AotyTrack] = []
    disc = 1
    for node in html.root.css(".trackList .discNumber, .trackListTable tr"):
        if node.root.tag != "tr":
            disc = _within(number(clean(node.xpath("string()").get()).lower().removeprefix("disc ")), 1, 999) or disc
            continue
        title = next(iter(texts(node, '.trackTitle a[href^="/song/"]')), "") or clean(
            " ".join(node.css(".trackTitle::text").getall())
        )
        if fault := name_fault(title):
            values.reject("tracks", fault, title)
        else:
            tracks.append(_track(node, title, disc, values))
    if tracks:
        values.origins["tracks"] = "css"
        return tuple(tracks)
    listed = [title for title in html.texts(".trackList ol li") if not name_fault(title)]
    if listed:
        values.origins["tracks"] = "itemprop"  # of that era: names alone
    return tuple(AotyTrack(place, title) for place, title in enumerate(listed, 1))


def _track(row: Selector, title: str, disc: int, values: _Values) -> AotyTrack:
    def shown(css: str) -> str:
        return next(iter(texts(row, css)), "")

    rating = shown(".trackRating span")
    score = None if rating in {"", NO_SCORE} else _within(number(rating), 0, 100)
    if score is None and rating not in {"", NO_SCORE}:
        values.reject("tracks", "no rating", rating)
    note = shown(".trackNotes")
    return AotyTrack(
        number=_within(number(shown(".trackNumber").rstrip(".")), 0, 9_999),
        title=title,
        seconds=seconds(shown(".length")),
        rating=score,
        ratings=_within(number(shown(".trackRating span::attr(title)")), 0, MAX_COUNT),
        featuring=tuple(guest for guest in texts(row, ".featuredArtists a") if not name_fault(guest)),
        note="" if name_fault(note) else note,
        disc=disc,
    )


def _within(value: int | None, low: int, high: int) -> int | None:
    return value if value is not None and low <= value <= high else None
