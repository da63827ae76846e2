-- The year in which each album first came out, from MusicBrainz. What is known hangs on what was asked, an id or two
-- names, and not on rows of albums: so it does not matter whether the plays or the answers are loaded first.

CREATE TABLE release_groups (
    mbid            text COLLATE "C" PRIMARY KEY,
    title           text NOT NULL,
    artist          text NOT NULL,                   -- as credited on the cover
    year            smallint,                        -- of the first release; a partial date ends with its last part
    month           smallint,
    day             smallint,
    primary_type    text NOT NULL,
    secondary_types text[] NOT NULL,
    source          text NOT NULL CHECK (source IN ('web', 'mirror')),
    fetched_at      timestamptz NOT NULL
);

-- Releases that Last.fm names, each asked for once. No group: MusicBrainz does not know the id (any more).
CREATE TABLE releases (
    mbid           text COLLATE "C" PRIMARY KEY,     -- as Last.fm has it
    current_mbid   text COLLATE "C",                 -- as MusicBrainz answered it: another one after a merge
    group_mbid     text COLLATE "C" REFERENCES release_groups (mbid),
    first_asked_at timestamptz NOT NULL,
    asked_at       timestamptz NOT NULL
);

-- Albums that were searched for by their names. Only band 'accept' is believed.
CREATE TABLE album_searches (
    artist            text COLLATE "C" NOT NULL,
    title             text COLLATE "C" NOT NULL,
    group_mbid        text COLLATE "C" REFERENCES release_groups (mbid),  -- the best candidate; null: there is none
    band              text NOT NULL CHECK (band IN ('accept', 'review', 'reject')),
    tier              text NOT NULL,
    score             real NOT NULL,                 -- 0 to 1
    runner_up         real NOT NULL,
    gap               real GENERATED ALWAYS AS (score - runner_up) STORED,
    evidence          text NOT NULL,
    normaliser        integer NOT NULL,
    first_searched_at timestamptz NOT NULL,
    searched_at       timestamptz NOT NULL,
    PRIMARY KEY (artist, title)
);

CREATE INDEX albums_by_mbid ON albums (mbid) WHERE mbid <> '';

-- pending: not asked yet, or the id is not known and the names were not searched for yet.
CREATE VIEW album_years AS
SELECT al.id AS album_id,
       CASE WHEN r.group_mbid IS NOT NULL THEN 'matched'
            WHEN s.band = 'accept' THEN 'fuzzy_matched'
            WHEN s.band IS NOT NULL THEN 'not_found'
            ELSE 'pending' END AS status,
       g.mbid AS group_mbid, g.year::integer AS year, g.month::integer AS month, g.day::integer AS day,
       CASE WHEN g.day IS NOT NULL THEN 'day' WHEN g.month IS NOT NULL THEN 'month'
            WHEN g.year IS NOT NULL THEN 'year' END AS precision
FROM albums al
JOIN artists a ON a.id = al.artist_id
LEFT JOIN releases r ON r.mbid = lower(al.mbid)
LEFT JOIN album_searches s ON s.artist = a.name AND s.title = al.name
LEFT JOIN release_groups g ON g.mbid = coalesce(r.group_mbid, CASE WHEN s.band = 'accept' THEN s.group_mbid END);

CREATE OR REPLACE VIEW lastfm_scrobbles AS
SELECT u.name AS username, s.at AS scrobbled_at, t.name AS track_name, a.name AS artist_name, al.name AS album_name,
       nullif(r.track_mbid, '') AS track_mbid, nullif(r.artist_mbid, '') AS artist_mbid,
       nullif(al.mbid, '') AS album_mbid, y.year AS release_year,
       -- A play without an album has nothing that could be asked for.
       CASE WHEN al.id IS NULL THEN 'not_found' ELSE y.status END AS augmentation_status
FROM scrobbles s
JOIN users u ON u.id = s.user_id
JOIN tracks t ON t.id = s.track_id
JOIN artists a ON a.id = t.artist_id
JOIN recordings r ON r.id = s.recording_id
LEFT JOIN albums al ON al.id = r.album_id
LEFT JOIN album_years y ON y.album_id = al.id;
