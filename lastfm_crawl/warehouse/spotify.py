"""What Spotify answered, into the warehouse: rows of the catalogue, what a search means for a match, top lists."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import SpotifyArtists, SpotifyTopArtists, SpotifyTopTracks, SpotifyTracks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from lastfm_crawl.items import Lookup, Page

SEARCH = "spotify.search"
#: Seconds for which Spotify's terms let us keep its metadata (facts: "temporary caching"); ids and matches stay.
TIME_TO_LIVE = 30 * 86_400


def load_answers(cursor: psycopg.Cursor[Any], lookups: Sequence[Lookup]) -> None:
    """The artists and tracks of *lookups*, and the matches that follow from searches."""
    if not lookups:
        return
    from lastfm_crawl.warehouse import artist_matches, track_matches  # noqa: PLC0415  (half a second to import)
    from lastfm_crawl.warehouse.catalogue import save_artists, save_tracks  # noqa: PLC0415

    for lookup in sorted(lookups, key=lambda lookup: lookup.fetched_at):
        if isinstance(lookup, SpotifyArtists):
            save_artists(cursor, lookup.artists, "api", lookup.fetched_at)
            if lookup.method == SEARCH:
                artist_matches.judge_search(cursor.connection, lookup.asked[0], lookup.artists, lookup.fetched_at)
        elif isinstance(lookup, SpotifyTracks):
            save_tracks(cursor, lookup.tracks, "api", lookup.fetched_at)
            aliases = [(track.linked_from, track.id) for track in lookup.tracks if track.linked_from]
            cursor.executemany(
                "INSERT INTO spotify_aliases (asked_id, id) VALUES (%s, %s) ON CONFLICT (asked_id) DO UPDATE"
                " SET id = excluded.id",
                aliases,
            )
            if lookup.method == SEARCH and len(lookup.asked) > 1:
                artist, title = lookup.asked[:2]
                track_matches.judge_search(cursor.connection, artist, title, lookup.tracks, lookup.fetched_at)


def load_tops(cursor: psycopg.Cursor[Any], pages: Mapping[int, Page]) -> None:
    """The rows of top lists, by the id of the answer that brought them."""
    artists = {fetch: page for fetch, page in pages.items() if isinstance(page, SpotifyTopArtists)}
    tracks = {fetch: page for fetch, page in pages.items() if isinstance(page, SpotifyTopTracks)}
    for table, fetches in (("spotify_top_artists", artists), ("spotify_top_tracks", tracks)):
        if fetches:
            cursor.execute(f"DELETE FROM {table} WHERE fetch_id = ANY(%s)", [list(fetches)])  # noqa: S608  (ours)
    cursor.executemany(
        "INSERT INTO spotify_top_artists VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [
            (fetch, rank, artist.id, artist.name, artist.popularity)
            for fetch, page in artists.items()
            for rank, artist in zip(page.ranks, page.artists, strict=True)
        ],
    )
    cursor.executemany(
        "INSERT INTO spotify_top_tracks VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [
            (fetch, rank, track.id, ", ".join(track.artist_names), track.name, track.popularity)
            for fetch, page in tracks.items()
            for rank, track in zip(page.ranks, page.tracks, strict=True)
        ],
    )


def purge(connection: psycopg.Connection, before: float) -> int:
    """Forget what Spotify's API said before *before* (seconds since 1970), but for ids and matches; how many rows."""
    when = datetime.fromtimestamp(before, UTC)
    gone = 0
    for statement in (
        "DELETE FROM spotify_artists WHERE source = 'api' AND fetched_at < %s",
        "DELETE FROM spotify_tracks WHERE source = 'api' AND fetched_at < %s",
        "DELETE FROM spotify_top_artists t USING fetches f WHERE f.id = t.fetch_id AND f.fetched_at < %s",
        "DELETE FROM spotify_top_tracks t USING fetches f WHERE f.id = t.fetch_id AND f.fetched_at < %s",
        "DELETE FROM fetches WHERE method LIKE 'spotify.%%' AND fetched_at < %s",
        "DELETE FROM lookups WHERE method LIKE 'spotify.%%' AND fetched_at < %s",
    ):
        gone += connection.execute(statement, [when]).rowcount
    return gone
