"""Pages into PostgreSQL: rows and the record that they were fetched, in one transaction, through COPY and set SQL.

Loading is idempotent and newest-wins: an answer replaces what an older answer to the same question brought, and
never what a newer one did, so the order of loading does not matter to the result.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lastfm_crawl.items import (
    Admissions,
    Answered,
    FriendsPage,
    Lookup,
    LovedTracksPage,
    Member,
    Page,
    Profile,
    ProfilePage,
    RecentTracksPage,
    TopArtistsPage,
    TopTracksPage,
    UserMark,
    user_key,
)
from lastfm_crawl.warehouse import aoty, backlog, binary, release_groups, spotify, track_tags
from lastfm_crawl.warehouse.histories import Changes, load_histories
from lastfm_crawl.warehouse.lookups import load_lookups
from lastfm_crawl.warehouse.names import STAGING as _STAGING_NAMES
from lastfm_crawl.warehouse.names import Catalogue, Ids
from lastfm_crawl.warehouse.top_albums import load_top_albums

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg

_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS stage_users (
    key text COLLATE "C", name text, realname text, country text, url text, playcount bigint,
    registered_at timestamptz, profile_at timestamptz) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_fetches (
    place integer, user_id integer, method text COLLATE "C", params text COLLATE "C", page integer, pages integer,
    total bigint, received integer, stored integer, skipped jsonb, status text, detail text, fetched_at timestamptz,
    bytes bigint) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_friendships (fetch_id integer, friends integer[]) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_charts (
    fetch_id integer, artists integer[], ranks integer[], playcounts integer[]) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_members (
    user_id integer, seed_id integer, depth integer, at timestamptz) ON COMMIT DELETE ROWS;
"""

_ADD_USERS = """
INSERT INTO users (key, name)
SELECT s.key, s.name FROM stage_users s
WHERE NOT EXISTS (SELECT FROM users u WHERE u.key = s.key)
ORDER BY s.key  -- two loaders that add the same users then wait for each other instead of deadlocking
ON CONFLICT (key) DO NOTHING
"""
_UPDATE_PROFILES = """
UPDATE users u
SET name = s.name, realname = s.realname, country = s.country, url = s.url, playcount = s.playcount,
    registered_at = s.registered_at, profile_at = s.profile_at
FROM stage_users s
WHERE u.key = s.key AND s.profile_at IS NOT NULL
  AND (u.profile_at IS NULL
       OR (s.profile_at, coalesce(s.playcount, 0)) > (u.profile_at, coalesce(u.playcount, 0)))
"""
# The same, for when somebody wants to know whose rows they are, and those who are about to have another name.
_UPDATED_PROFILES = f"{_UPDATE_PROFILES} RETURNING u.id"
_RENAMED = """
SELECT u.id FROM stage_users s JOIN users u USING (key)
WHERE s.profile_at IS NOT NULL AND s.name <> u.name
  AND (u.profile_at IS NULL
       OR (s.profile_at, coalesce(s.playcount, 0)) > (u.profile_at, coalesce(u.playcount, 0)))
"""
# Two loaders of one user come one after the other, so that each derives what it derives from all answers.
_LOCK_USERS = """
SELECT FROM users WHERE id IN (SELECT user_id FROM stage_fetches) ORDER BY id FOR NO KEY UPDATE
"""
_SAVE_FETCHES = """
INSERT INTO fetches
    (user_id, method, params, page, pages, total, received, stored, skipped, status, detail, fetched_at, bytes)
SELECT user_id, method, params, page, pages, total, received, stored, skipped, status, detail, fetched_at, bytes
FROM stage_fetches ORDER BY user_id, method, params, page
ON CONFLICT (user_id, method, params, page) DO UPDATE
SET pages = excluded.pages, total = excluded.total, received = excluded.received, stored = excluded.stored,
    skipped = excluded.skipped, status = excluded.status, detail = excluded.detail,
    fetched_at = excluded.fetched_at, bytes = excluded.bytes
WHERE fetches.fetched_at <= excluded.fetched_at
"""
# Of two answers to one question the older is told of by this alone; what was met, and not stored, is no part of it.
_KEEP_EARLIER = """
INSERT INTO earlier_answers (user_id, method, status, detail, fetched_at)
SELECT s.user_id, s.method, older.status, older.detail, older.fetched_at
FROM stage_fetches s
JOIN fetches f USING (user_id, method, params, page)
CROSS JOIN LATERAL (
    SELECT f.status, f.detail, f.fetched_at WHERE f.fetched_at <= s.fetched_at
    UNION ALL SELECT s.status, s.detail, s.fetched_at WHERE f.fetched_at > s.fetched_at) older
WHERE s.method LIKE 'user.get%' AND older.status <> 'error' AND (f.fetched_at, f.status) <> (s.fetched_at, s.status)
ON CONFLICT DO NOTHING
"""
_SAVE_EARLIER = """
INSERT INTO earlier_answers (user_id, method, status, detail, fetched_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
# Only what is not older than what was there before was written; the rest is left alone.
_SAVED_FETCHES = """
SELECT s.place, f.id FROM stage_fetches s
JOIN fetches f USING (user_id, method, params, page, fetched_at)
"""
# What is there already stays as it is: to write a row again costs several times as much as to look at it.
_UNCHANGED_FRIENDSHIPS = """
DELETE FROM stage_friendships s
WHERE s.friends = (SELECT array_agg(f.friend_id ORDER BY f.position) FROM friendships f WHERE f.fetch_id = s.fetch_id)
RETURNING s.fetch_id
"""
_REPLACE_FRIENDSHIPS = "DELETE FROM friendships WHERE fetch_id = ANY(%s)"
_SAVE_FRIENDSHIPS = """
INSERT INTO friendships (fetch_id, friend_id, position)
SELECT DISTINCT ON (s.fetch_id, f.friend_id) s.fetch_id, f.friend_id, f.position - 1
FROM stage_friendships s, unnest(s.friends) WITH ORDINALITY AS f (friend_id, position)
ORDER BY s.fetch_id, f.friend_id, f.position
"""
_UNCHANGED_USER_ARTISTS = """
DELETE FROM stage_charts s
WHERE (s.artists, s.ranks, s.playcounts) = (
    SELECT array_agg(a.artist_id ORDER BY a.rank), array_agg(a.rank ORDER BY a.rank),
           array_agg(a.playcount ORDER BY a.rank)
    FROM user_artists a WHERE a.fetch_id = s.fetch_id)
RETURNING s.fetch_id
"""
_REPLACE_USER_ARTISTS = "DELETE FROM user_artists WHERE fetch_id = ANY(%s)"
_SAVE_USER_ARTISTS = """
INSERT INTO user_artists (fetch_id, artist_id, rank, playcount)
SELECT DISTINCT ON (s.fetch_id, a.artist_id) s.fetch_id, a.artist_id, a.rank, a.playcount
FROM stage_charts s, unnest(s.artists, s.ranks, s.playcounts) AS a (artist_id, rank, playcount)
ORDER BY s.fetch_id, a.artist_id, a.rank
"""
# A user is what the newest answer to that effect says, unless something newer contradicts it: any answer contradicts
# "not found", the rest only an answer of the same method. (The view lastfm_user_statuses tells the past by this rule.)
_SAVE_STATUS = """
UPDATE users u
SET status = coalesce(mark.status, 'ok'), status_detail = mark.detail, status_at = mark.fetched_at
FROM (SELECT DISTINCT user_id FROM stage_fetches) s
LEFT JOIN LATERAL (
    SELECT m.status, m.detail, m.fetched_at FROM user_answers m
    WHERE m.user_id = s.user_id AND m.is_mark
      AND NOT EXISTS (SELECT FROM user_answers a
                      WHERE a.user_id = m.user_id AND NOT a.is_mark AND a.fetched_at > m.fetched_at
                        AND (m.status = 'not_found' OR a.method = m.method))
    ORDER BY m.fetched_at DESC, m.status, m.detail LIMIT 1) mark ON true
WHERE u.id = s.user_id
  AND (u.status, u.status_detail, u.status_at)
      IS DISTINCT FROM (coalesce(mark.status, 'ok'), mark.detail, mark.fetched_at)
"""
# Seeds are numbered one after another, also by several loaders at once.
_LOCK_SEEDS = "SELECT pg_advisory_xact_lock(x'1a57f4'::integer)"
_NUMBER_SEED = """
UPDATE users SET seed_no = (SELECT coalesce(max(seed_no) + 1, 0) FROM users) WHERE id = %s AND seed_no IS NULL
"""
_SAVE_MEMBERS = """
UPDATE users u SET discovered_at = least(u.discovered_at, s.at)
FROM (SELECT user_id, min(at) AS at FROM stage_members GROUP BY user_id) s
WHERE u.id = s.user_id
"""
# The shortest way from a seed counts, and of equally short ones that from the earlier seed. (Seeds are admitted first.)
_SAVE_WAYS = """
UPDATE users u SET crawl_depth = way.depth, crawl_seed = way.seed_id
FROM (SELECT DISTINCT ON (m.user_id) m.user_id, m.depth, m.seed_id, seed.seed_no
      FROM stage_members m JOIN users seed ON seed.id = m.seed_id
      ORDER BY m.user_id, m.depth, seed.seed_no) way
WHERE u.id = way.user_id
  AND (u.crawl_depth IS NULL
       OR (way.depth, way.seed_no) < (u.crawl_depth, (SELECT seed_no FROM users WHERE id = u.crawl_seed)))
"""
# Which rows of the user a page changes.
_CHANGES: Mapping[type[Page], tuple[str, ...]] = {
    FriendsPage: ("friends",),
    TopArtistsPage: ("artists",),
    RecentTracksPage: ("scrobbles", "tracks"),
    TopTracksPage: ("tracks",),
    LovedTracksPage: ("tracks",),
}


class PostgresSink:
    """Loads batches of pages. One per connection's user; call :meth:`committed` when the transaction is."""

    def __init__(self) -> None:
        self._users: Ids[str, int] = Ids()
        self._catalogue = Catalogue.empty()
        self._changes = Changes()

    def load(self, connection: psycopg.Connection, items: Sequence[Answered | Admissions]) -> None:
        """Write *items*, in the transaction that *connection* is in. Raises psycopg.Error."""
        self._users.begin()
        self._catalogue.begin()
        with connection.cursor() as cursor:
            cursor.execute(_STAGING + _STAGING_NAMES)
            self._marks = backlog.Marks(cursor)
            lookups = [item for item in items if isinstance(item, Lookup)]
            load_lookups(cursor, lookups)
            spotify.load_answers(cursor, [row for row in lookups if row.method.startswith("spotify.")])
            aoty.load_answers(cursor, lookups)
            track_tags.load_answers(cursor, lookups)
            release_groups.load_answers(cursor, [row for row in lookups if row.method.startswith("musicbrainz.")])
            pages = [item for item in items if isinstance(item, Page)]
            admissions = [item for item in items if isinstance(item, Admissions)]
            self._load_users(cursor, pages, admissions)
            loaded = self._load_fetches(cursor, *_newest(pages))
            self._load_friendships(cursor, {i: p for i, p in loaded.items() if isinstance(p, FriendsPage)})
            self._load_user_artists(cursor, {i: p for i, p in loaded.items() if isinstance(p, TopArtistsPage)})
            load_top_albums(cursor, self._catalogue, loaded)
            spotify.load_tops(cursor, loaded)
            self._changes = load_histories(cursor, self._catalogue, loaded, self._users)
            if pages:
                cursor.execute(_SAVE_STATUS)
            self._load_members(cursor, [member for admission in admissions for member in admission.members])
            self._mark(pages, loaded)
            self._marks.save(cursor)

    def committed(self) -> Changes:
        """The transaction of the last :meth:`load` is committed; what it found that users had changed."""
        self._users.commit()
        self._catalogue.commit()
        return self._changes

    def _load_users(self, cursor: psycopg.Cursor, pages: Sequence[Page], admissions: Sequence[Admissions]) -> None:
        """Add every user that is named, and keep the newest profile of each."""
        profiles: dict[str, tuple[Profile, float]] = {}
        names: dict[str, str] = {}
        for page in pages:
            names.setdefault(user_key(page.user), page.user)
        told = [(profile, page.fetched_at) for page in pages for profile in _profiles(page)]
        told += [row for admission in admissions for row in admission.profiles]
        for profile, at in told:
            key = user_key(profile.name)
            known = profiles.get(key)
            if known is None or (known[1], known[0].playcount or 0) < (at, profile.playcount or 0):
                profiles[key] = (profile, at)
        for member in (m for a in admissions for m in a.members):
            names.setdefault(user_key(member.name), member.name)
            if member.seed is not None:
                names.setdefault(user_key(member.seed), member.seed)
        unnamed = [n for n in self._users.missing(names) if n not in profiles]
        if not profiles and not unnamed:
            return
        rows: list[tuple[Any, ...]] = [
            (key, p.name, p.realname, p.country, p.url, p.playcount, _time(p.registered_at), _time(at))
            for key, (p, at) in profiles.items()
        ]
        rows += [(key, names[key], None, None, None, None, None, None) for key in unnamed]
        _copy(cursor, "stage_users", rows)
        cursor.execute(_ADD_USERS)
        if self._marks.wanted:
            renamed = [user for (user,) in cursor.execute(_RENAMED)]
            self._marks.add("users", (user for (user,) in cursor.execute(_UPDATED_PROFILES)))
            backlog.mark_renamed(cursor, self._marks, renamed)
        else:
            cursor.execute(_UPDATE_PROFILES)
        cursor.execute("SELECT u.key, u.id FROM stage_users s JOIN users u USING (key)")
        self._users.add(cursor.fetchall())

    def _mark(self, pages: Iterable[Page], loaded: Mapping[int, Page]) -> None:
        """Mark the users whose rows change by what was *loaded* of *pages*."""
        if not self._marks.wanted:
            return
        self._marks.add("users", {self._users[user_key(page.user)] for page in pages})
        for page in loaded.values():
            for kind in _CHANGES.get(type(page), ()):
                self._marks.add(kind, [self._users[user_key(page.user)]])

    def _load_fetches(self, cursor: psycopg.Cursor, pages: Sequence[Page], earlier: Sequence[Page]) -> dict[int, Page]:
        """Record the answers, and that there were *earlier* ones to some of the same questions; the pages by the id of
        their record, without those older than what is there.
        """
        if not pages:
            return {}
        _copy(cursor, "stage_fetches", [self._fetch_row(place, page) for place, page in enumerate(pages)])
        cursor.execute(_LOCK_USERS)
        cursor.execute(_KEEP_EARLIER)
        if earlier:
            cursor.executemany(_SAVE_EARLIER, [self._earlier_row(page) for page in earlier])
        cursor.execute(_SAVE_FETCHES)
        cursor.execute(_SAVED_FETCHES)
        return {fetch: pages[place] for place, fetch in cursor.fetchall()}

    def _fetch_row(self, place: int, page: Page) -> tuple[Any, ...]:
        stored = page.received - sum(page.skipped.values())
        status, detail = _status(page)
        return (
            place, self._users[user_key(page.user)], page.method, page.params, _page(page), page.pages, page.total,
            page.received, stored, json.dumps(dict(page.skipped)), status, detail,
            _time(page.fetched_at), page.size,
        )  # fmt: skip

    def _earlier_row(self, page: Page) -> tuple[Any, ...]:
        return (self._users[user_key(page.user)], page.method, *_status(page), _time(page.fetched_at))

    def _load_friendships(self, cursor: psycopg.Cursor, pages: Mapping[int, FriendsPage]) -> None:
        if not pages:
            return
        binary.copy_into(cursor, "stage_friendships", (self._friends_row(fetch, page) for fetch, page in pages.items()))
        if changed := _changed(cursor, pages, _UNCHANGED_FRIENDSHIPS):
            cursor.execute(_REPLACE_FRIENDSHIPS, [changed])
            cursor.execute(_SAVE_FRIENDSHIPS)

    def _friends_row(self, fetch: int, page: FriendsPage) -> bytes:
        friends = self._users.of(user_key(friend.name) for friend in page.friends)
        return binary.row(binary.int4(fetch), binary.int4_array(friends))

    def _load_user_artists(self, cursor: psycopg.Cursor, pages: Mapping[int, TopArtistsPage]) -> None:
        if not pages:
            return
        self._catalogue.know_artists(cursor, (name for page in pages.values() for name in page.names))
        binary.copy_into(cursor, "stage_charts", (self._chart_row(fetch, page) for fetch, page in pages.items()))
        if changed := _changed(cursor, pages, _UNCHANGED_USER_ARTISTS):
            cursor.execute(_REPLACE_USER_ARTISTS, [changed])
            cursor.execute(_SAVE_USER_ARTISTS)

    def _chart_row(self, fetch: int, page: TopArtistsPage) -> bytes:
        columns = (self._catalogue.artists.of(page.names), page.ranks, page.playcounts)
        return binary.row(binary.int4(fetch), *map(binary.int4_array, columns))

    def _load_members(self, cursor: psycopg.Cursor, members: Sequence[Member]) -> None:
        if not members:
            return
        rows = [
            (self._users[user_key(m.name)], m.seed and self._users[user_key(m.seed)], m.depth, _time(m.discovered_at))
            for m in members
        ]
        seeds = [user for user, _, depth, _ in rows if depth == 0]
        if seeds:
            cursor.execute(_LOCK_SEEDS)
        for seed in seeds:
            cursor.execute(_NUMBER_SEED, [seed])
        self._marks.add("users", (user for user, *_ in rows))
        _copy(cursor, "stage_members", rows)
        cursor.execute(_SAVE_MEMBERS)
        cursor.execute(_SAVE_WAYS)


def _newest(pages: Iterable[Page]) -> tuple[list[Page], list[Page]]:
    """Of several answers to one question the newest, and those of the others that tell something of their users."""
    newest: dict[tuple[str, str, str, int], Page] = {}
    earlier = []
    for page in pages:
        question = (user_key(page.user), page.method, page.params, _page(page))
        known = newest.setdefault(question, page)
        if known.fetched_at <= page.fetched_at:
            newest[question] = page
        older = min(known, page, key=lambda one: one.fetched_at)
        repeated = (known.fetched_at, _status(known)) == (page.fetched_at, _status(page))
        if not repeated and page.method.startswith("user.get") and _status(older)[0] != "error":
            earlier.append(older)
    return list(newest.values()), earlier


def _status(page: Page) -> tuple[str, str | None]:
    """What an answer says of its user, and in which words."""
    return (page.status, page.detail) if isinstance(page, UserMark) else ("ok", None)


def _page(page: Page) -> int:
    """The page under which an answer is recorded: a mark stands beside the pages of its list, not in their place."""
    return 0 if isinstance(page, UserMark) else page.page


def _changed(cursor: psycopg.Cursor, fetches: Iterable[int], unchanged: str) -> list[int]:
    """Those of *fetches* whose rows are others than before, or new; the rest is taken out of the staging table."""
    cursor.execute(unchanged)
    same = {fetch for (fetch,) in cursor.fetchall()}
    return [fetch for fetch in fetches if fetch not in same]


def _profiles(page: Page) -> Sequence[Profile]:
    if isinstance(page, FriendsPage):
        return page.friends
    return (page.profile,) if isinstance(page, ProfilePage) else ()


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _copy(cursor: psycopg.Cursor, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """COPY rows of any values."""
    with cursor.copy(f"COPY {table} FROM STDIN") as copy:  # a constant of this module
        for row in rows:
            copy.write_row(row)
