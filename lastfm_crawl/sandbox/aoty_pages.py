"""The pages of the sandbox's albumoftheyear.org, in the shape of the real ones of 2026 and of 2025.

In: an album, an artist or a part of a chart. Out: HTML. Each has, beside what is to be read, what is not to be taken
for it: genres and scores of other albums. The JSON-LD rates for the critics alone, as the real one does.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lastfm_crawl.sandbox.aoty import Album, Artist, Score, Track

SITE = "https://www.albumoftheyear.org/"
ROBOTS = "User-agent: *\nDisallow: /search/\nDisallow: /scripts/\n"
CHALLENGE = """<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title>
<meta name="robots" content="noindex,nofollow"></head><body>
<h1>www.albumoftheyear.org</h1><p>Verify you are human by completing the action below.</p>
<script>window._cf_chl_opt = {cType: 'managed'};</script></body></html>
"""
DENIED = """<!DOCTYPE html><html lang="en-US"><head>
<title>Access denied | www.albumoftheyear.org used Cloudflare to restrict access</title></head><body>
<h1><span>Error</span> <span>1020</span></h1><h2>Access denied</h2>
<p>This website is using a security service to protect itself.</p></body></html>
"""
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_ELSEWHERE = """<div class="section"><h2>Similar Albums</h2><a href="/genre/999-elsewhere/">Elsewhere</a>
<div class="ratingRow"><div class="rating">1</div><div class="ratingText">user score</div></div></div>"""


def album_2026(album: Album) -> str:
    """Give the page of an album with its JSON-LD block and the boxes of 2026."""
    headline = f"""<div class="albumHeadline"><div class="artist">{_artist_link(album.artist)}</div>
<h1 class="albumTitle">{escape(album.title)}</h1></div>"""
    rows = "\n".join(_track_row(track) for track in album.tracks)
    tracks = f"""<div class="trackList"><table class="trackListTable">
{rows}
</table></div>"""
    return _page(
        _heading(album),
        album.path,
        f"""<div id="centerContent">{headline}
<div class="albumTopBox">{_box("Critic", album.critics, "reviews")}{_box("User", album.users, "ratings")}</div>
{_details(album)}
{tracks}</div>{_ELSEWHERE}""",
        f'<script type="application/ld+json">{_json_ld(album)}</script>',
    )


def album_2025(album: Album) -> str:
    """Give the page of an album with the microdata of 2025."""
    by = f'<span itemprop="byArtist" itemscope><span itemprop="name">{_artist_link(album.artist)}</span></span>'
    genres = "".join(f'<meta itemprop="genre" content="{escape(genre)}"/>' for genre in album.genres[:2])
    critics = album.critics
    rating = (
        f"""<span itemprop="aggregateRating" itemscope><div class="albumCriticScore"><span itemprop="ratingValue">
<a href="#critics" title="{critics.exact:.4f}">{critics.rounded}</a></span></div>
<meta itemprop="reviewCount" content="{critics.count}"/></span>"""
        if critics
        else '<div class="albumCriticScore">NR</div>'
    )
    tracks = "".join(f"<li>{escape(track.title)}</li>" for track in album.tracks)
    return _page(
        _heading(album),
        album.path,
        f"""<span itemscope itemtype="http://schema.org/MusicAlbum"><div class="artist">{by}</div>
<h1 class="albumTitle"><span itemprop="name">{escape(album.title)}</span></h1>{genres}
<div class="albumTopBox"><div class="albumCriticScoreBox"><div class="heading">Critic Score</div>{rating}</div>
{_box("User", album.users, "ratings")}</div>{_details(album)}
<div class="trackList"><ol>{tracks}</ol></div></span>{_ELSEWHERE}""",
    )


def artist(of: Artist) -> str:
    """Give the page of an artist: blocks below a heading, without types of their own."""
    blocks = "\n".join(
        f"""<div class="albumBlock"><div class="image"><a href="/{album.path}"><img src="/cover.jpg"/></a></div>
<a href="/{album.path}"><div class="albumTitle">{escape(album.title)}</div></a><div class="type">{album.year}</div>
<div class="ratingRowContainer">{_rating_row("critic", album.critics)}{_rating_row("user", album.users)}</div></div>"""
        for album in of.albums
    )
    body = f'<h1 class="artistHeadline">{escape(of.name)}</h1><h2>Albums</h2>\n{blocks}'
    return _page(f"{of.name} Albums and Discography", of.path, body)


def chart(path: str, page: int, albums: Sequence[Album], first: int) -> str:
    """Give a page of a chart, whose first album has the rank *first*."""
    rows = "\n".join(_chart_row(album, rank) for rank, album in enumerate(albums, first))
    return _page("Highest User Rated Albums", f"{path}/{page}/", f'<h1 class="headline">Best Albums</h1>\n{rows}')


def not_found() -> str:
    """Give the page of an address that leads nowhere."""
    return _page("Page Not Found", "", "<h1>404</h1><p>There is nothing here.</p>")


def _page(title: str, path: str, body: str, head: str = "") -> str:
    address = f"""<meta property="og:url" content="{SITE}{path}"/><link rel="canonical" href="{SITE}{path}"/>"""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><title>{escape(title)} - Album of The Year</title>
<meta property="og:site_name" content="Album of The Year"/><meta property="og:title" content="{escape(title)}"/>
{address if path else ""}{head}</head>
<body><div class="logoHead"><a class="siteLogo" href="/"></a></div>
{body}
</body>
</html>
"""


def _heading(album: Album) -> str:
    return f"{album.artist.name} - {album.title}"


def _artist_link(of: Artist) -> str:
    return f'<a href="/{of.path}">{escape(of.name)}</a>'


def _json_ld(album: Album) -> str:
    shown: dict[str, Any] = {
        "@context": "http://schema.org",
        "@type": "MusicAlbum",
        "@id": SITE + album.path,
        "url": SITE + album.path,
        "name": album.title,
        "byArtist": {"@type": "MusicGroup", "name": album.artist.name, "url": SITE + album.artist.path},
        "datePublished": f"{album.year}-{album.month:02}-{album.day:02}" if album.day else f"{album.year}-01-01",
        "dateCreated": "2015-01-01",
        "genre": list(album.genres[:2]),
    }
    if album.critics:
        shown["aggregateRating"] = {
            "@type": "AggregateRating",
            "name": "Critic Score",
            "ratingValue": str(album.critics.rounded),
            "bestRating": "100",
            "worstRating": "0",
            "ratingCount": album.critics.count,
        }
    return json.dumps(shown, ensure_ascii=False).replace("</", "<\\/")


def _box(whose: str, score: Score | None, what: str) -> str:
    """Give the box of the critics or of the users, whose score may be exact in the title of a link."""
    if score is None:
        return f"""<div class="album{whose}ScoreBox"><div class="heading">{whose} Score</div>
<div class="album{whose}Score">NR</div></div>"""
    return f"""<div class="album{whose}ScoreBox"><div class="heading">{whose} Score</div>
<div class="album{whose}Score"><a href="#{whose.lower()}s" title="{score.exact:.4f}">{score.rounded}</a></div>
<div class="text numReviews">Based on <strong>{score.count:,}</strong>&nbsp;{what}</div></div>"""


def _details(album: Album) -> str:
    month = _MONTHS[album.month - 1]
    year = f'<a href="/{album.year}/releases/">{album.year}</a>'
    dated = f'<a href="/{album.year}/releases/{month.lower()}/">{month}</a> {album.day}, ' if album.day else ""
    genres = ", ".join(f'<a href="/genre/{genre.lower()}/">{escape(genre)}</a>' for genre in album.genres[:2])
    more = ", ".join(
        f'<a href="/genre/{genre.lower()}/"><div class="secondary">{escape(genre)}</div></a>'
        for genre in album.genres[2:]
    )
    rows = {
        "Release Date": dated + year,
        "Format": "LP",
        "Label": f'<a href="/label/{album.artist.id}-own/">{escape(album.artist.name)} Records</a>',
        "Genre": f"{genres}<br/>{more}",
        "<i></i>": '<a href="/tag/made+up/albums/"><div class="secondary">made up</div></a>',
    }
    shown = "\n".join(f'<div class="detailRow">{row}\n<span>/&nbsp;{label}</span></div>' for label, row in rows.items())
    return f'<div class="albumTopBox info">{shown}</div>'


def _track_row(track: Track) -> str:
    minutes, seconds = divmod(track.seconds, 60)
    score = f'<span title="{track.score.count} Ratings">{track.score.rounded}</span>' if track.score else ""
    return f"""<tr><td class="trackNumber">{track.number}</td><td class="trackTitle">
<a href="/song/{track.number}/">{escape(track.title)}</a><div class="length">{minutes}:{seconds:02}</div></td>
<td class="trackRating">{score}</td></tr>"""


def _rating_row(whose: str, score: Score | None) -> str:
    if score is None:
        return ""
    return f"""<div class="ratingRow"><div class="ratingBlock"><div class="rating">{score.rounded}</div></div>
<div class="ratingText">{whose} score</div><div class="ratingText">({score.count:,})</div></div>"""


def _chart_row(album: Album, rank: int) -> str:
    users = album.users
    assert users is not None  # noqa: S101  (a chart is of what users rated)
    dated = f"{_MONTHS[album.month - 1]} {album.day}, {album.year}" if album.day else str(album.year)
    genres = ", ".join(f'<a href="/genre/{genre.lower()}/">{escape(genre)}</a>' for genre in album.genres[:2])
    return f"""<div class="albumListRow" id="rank-{rank}"><h2 class="albumListTitle">
<span class="albumListRank"><span itemprop="position">{rank}</span>.</span>
<a href="/{album.path}" itemprop="url">{escape(_heading(album))}</a></h2>
<div class="albumListDate">{dated}</div><div class="albumListGenre">{genres}</div>
<div class="albumListScoreContainer"><div class="scoreHeader">USER SCORE</div>
<div class="scoreValueContainer" title="{users.exact:.1f}"><div class="scoreValue">{users.rounded}</div></div>
<div class="scoreText">{users.count:,} ratings</div></div></div>"""
