"""Top albums into PostgreSQL: names become ids in the loader, rows go through COPY, a page in one row of arrays."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import TopAlbumsPage
from lastfm_crawl.warehouse import binary

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from lastfm_crawl.items import Page
    from lastfm_crawl.warehouse.names import Catalogue

_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS stage_user_albums (
    fetch_id integer, albums integer[], ranks integer[], playcounts integer[]) ON COMMIT DELETE ROWS
"""
_REPLACE = "DELETE FROM user_albums WHERE fetch_id = ANY(%s)"
_SAVE = """
INSERT INTO user_albums (fetch_id, album_id, rank, playcount)
SELECT DISTINCT ON (s.fetch_id, a.album_id) s.fetch_id, a.album_id, a.rank, a.playcount
FROM stage_user_albums s, unnest(s.albums, s.ranks, s.playcounts) AS a (album_id, rank, playcount)
ORDER BY s.fetch_id, a.album_id, a.rank
"""


def load_top_albums(cursor: psycopg.Cursor[Any], catalogue: Catalogue, loaded: Mapping[int, Page]) -> None:
    """Load the rows of the top albums among the *loaded* pages, by the ids of their fetches. Raises psycopg.Error."""
    pages = {fetch: page for fetch, page in loaded.items() if isinstance(page, TopAlbumsPage)}
    if not pages:
        return
    names = {fetch: page.album_names() for fetch, page in pages.items()}
    catalogue.know_albums(cursor, chain.from_iterable(names.values()))
    columns = {fetch: (catalogue.albums.of(names[fetch]), page.ranks, page.playcounts) for fetch, page in pages.items()}
    rows = (binary.row(binary.int4(fetch), *map(binary.int4_array, row)) for fetch, row in columns.items())
    cursor.execute(_STAGING)
    binary.copy_into(cursor, "stage_user_albums", rows)
    cursor.execute(_REPLACE, [list(pages)])
    cursor.execute(_SAVE)
