-- Listening histories: tracks, albums, scrobbles, top and loved tracks.

CREATE TABLE tracks (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    artist_id integer NOT NULL REFERENCES artists (id),
    name      text COLLATE "C" NOT NULL,
    UNIQUE (artist_id, name)
);

CREATE TABLE albums (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    artist_id integer NOT NULL REFERENCES artists (id),  -- of the track: Last.fm does not name the album's own
    name      text COLLATE "C" NOT NULL,
    mbid      text COLLATE "C" NOT NULL,                 -- of a release; '' = not known
    UNIQUE (artist_id, name, mbid)
);

-- A track as plays name it: on which album, and with which MusicBrainz ids. Plays of one track differ in that.
CREATE TABLE recordings (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    track_id    integer NOT NULL REFERENCES tracks (id),
    album_id    integer NOT NULL,                        -- 0 = none
    artist_mbid text COLLATE "C" NOT NULL,
    track_mbid  text COLLATE "C" NOT NULL,
    UNIQUE (track_id, album_id, artist_mbid, track_mbid)
);

-- One row a play, however many answers named it; the newest says how. No foreign keys, as for the rows of lists.
CREATE TABLE scrobbles (
    user_id      integer NOT NULL,
    track_id     integer NOT NULL,
    at           timestamptz NOT NULL,
    recording_id integer NOT NULL,
    seen_at      timestamptz NOT NULL,                   -- of the newest answer that named it
    PRIMARY KEY (user_id, at, track_id)
);

-- Which tracks an answer named, each once: how often a track was named follows from it, in whatever order it is loaded.
CREATE TABLE named_tracks (
    fetch_id integer PRIMARY KEY,
    tracks   integer[] NOT NULL
);

CREATE TABLE user_tracks (
    fetch_id     integer NOT NULL,
    recording_id integer NOT NULL,
    track_id     integer NOT NULL,
    rank         integer NOT NULL,
    playcount    integer NOT NULL,
    PRIMARY KEY (fetch_id, track_id)
);

CREATE TABLE loved_tracks (
    fetch_id     integer NOT NULL,
    recording_id integer NOT NULL,
    track_id     integer NOT NULL,
    loved_at     timestamptz,
    PRIMARY KEY (fetch_id, track_id)
);

-- The pages of histories with the rows of their window that they stand for: [first, beyond), from 0.
CREATE VIEW history_pages AS
SELECT p.*, least((page - 1) * per_page, total) AS first, least(page * per_page, total) AS beyond
FROM (SELECT f.id, f.user_id, f.page, f.total, f.received, f.stored, f.skipped, f.fetched_at,
             substring(f.params FROM 'limit=([0-9]+)')::bigint AS per_page,
             to_timestamp(substring(f.params FROM 'from=([0-9]+)')::bigint) AS window_from,
             to_timestamp(substring(f.params FROM 'to=([0-9]+)')::bigint) AS window_to
      FROM fetches f
      WHERE f.method = 'user.getRecentTracks' AND f.status = 'ok' AND f.page > 0) p;

-- Without those whose rows were asked for again in pages of another size.
CREATE VIEW current_history_pages AS
SELECT * FROM history_pages p
WHERE NOT EXISTS (
    SELECT FROM history_pages o
    WHERE o.user_id = p.user_id AND o.window_from = p.window_from AND o.window_to = p.window_to
      AND o.per_page <> p.per_page AND o.fetched_at > p.fetched_at
      AND (o.page - 1) * o.per_page < p.page * p.per_page AND o.page * o.per_page > (p.page - 1) * p.per_page);

-- A window is complete when its pages, of whatever size, stand for every row that its newest answer counts.
CREATE VIEW history_windows AS
SELECT w.user_id, w.window_from, w.window_to, w.total, w.pages, w.steady AND w.covered >= w.total AS complete,
       w.covered, w.stored, w.undated, w.before_2002, w.repeated, w.other, w.first_answer_at, w.last_answer_at
FROM (SELECT user_id, window_from, window_to, (array_agg(total ORDER BY fetched_at DESC, id))[1] AS total,
             count(*) AS pages, min(total) = max(total) AS steady, sum(beyond - first) AS covered,
             sum(stored) AS stored,
             sum(coalesce((skipped ->> 'undated')::integer, 0)) AS undated,
             sum(coalesce((skipped ->> 'before_2002')::integer, 0)) AS before_2002,
             sum(coalesce((skipped ->> 'repeated')::integer, 0)) AS repeated,
             sum(coalesce((skipped ->> 'outside_window')::integer, 0)
                 + coalesce((skipped ->> 'no name')::integer, 0)
                 + coalesce((skipped ->> 'number out of range')::integer, 0)
                 + coalesce((skipped ->> 'NUL in name')::integer, 0)
                 + coalesce((skipped ->> 'name too long')::integer, 0)) AS other,
             min(fetched_at) AS first_answer_at, max(fetched_at) AS last_answer_at
      FROM current_history_pages GROUP BY user_id, window_from, window_to) w;

CREATE VIEW lastfm_scrobbles AS
SELECT u.name AS username, s.at AS scrobbled_at, t.name AS track_name, a.name AS artist_name, al.name AS album_name,
       nullif(r.track_mbid, '') AS track_mbid, nullif(r.artist_mbid, '') AS artist_mbid,
       nullif(al.mbid, '') AS album_mbid, NULL::integer AS release_year, 'pending'::text AS augmentation_status
FROM scrobbles s
JOIN users u ON u.id = s.user_id
JOIN tracks t ON t.id = s.track_id
JOIN artists a ON a.id = t.artist_id
JOIN recordings r ON r.id = s.recording_id
LEFT JOIN albums al ON al.id = r.album_id;

-- Plays from the history where there is one, from the list of top tracks where not.
CREATE VIEW lastfm_user_tracks AS
WITH played AS (
    SELECT user_id, track_id, count(*) AS playcount, min(at) AS first_at, max(at) AS last_at
    FROM scrobbles GROUP BY user_id, track_id),
top AS (
    SELECT DISTINCT ON (p.user_id, t.track_id) p.user_id, t.track_id, t.playcount
    FROM current_pages p JOIN user_tracks t ON t.fetch_id = p.id
    WHERE p.method = 'user.getTopTracks' AND p.params LIKE '%period=overall%'
    ORDER BY p.user_id, t.track_id, p.fetched_at DESC, t.rank),
loved AS (
    SELECT DISTINCT p.user_id, l.track_id
    FROM current_pages p JOIN loved_tracks l ON l.fetch_id = p.id WHERE p.method = 'user.getLovedTracks'),
named AS (
    SELECT f.user_id, track_id, count(*) AS answers
    FROM named_tracks n JOIN fetches f ON f.id = n.fetch_id, unnest(n.tracks) AS track_id GROUP BY f.user_id, track_id)
SELECT u.name AS username, a.name AS artist_name, t.name AS track_name,
       coalesce(p.playcount, top.playcount, 0)::bigint AS playcount, p.first_at AS first_scrobbled_at,
       p.last_at AS last_scrobbled_at, l.track_id IS NOT NULL AS loved, coalesce(n.answers, 0) AS sync_count
FROM played p
FULL JOIN top USING (user_id, track_id)
FULL JOIN loved l USING (user_id, track_id)
LEFT JOIN named n USING (user_id, track_id)
JOIN users u ON u.id = user_id
JOIN tracks t ON t.id = track_id
JOIN artists a ON a.id = t.artist_id;

-- What Last.fm counted in each window, what is stored of it, and whether the difference has its reasons. Where another
-- window covers the same time, what is stored is not of this one alone, and repetitions across pages cannot be told.
CREATE VIEW lastfm_history_audit AS
SELECT u.name AS username, w.window_from, w.window_to, w.total AS reported_total, s.stored, w.undated,
       w.repeated + CASE WHEN EXISTS (
           SELECT FROM history_windows o
           WHERE o.user_id = w.user_id AND (o.window_from, o.window_to) <> (w.window_from, w.window_to)
             AND o.window_from < w.window_to AND o.window_to > w.window_from) THEN 0 ELSE w.stored - s.stored
       END AS duplicates,
       w.complete AND w.total = w.stored + w.undated + w.before_2002 + w.repeated + w.other AS explained
FROM history_windows w
JOIN users u ON u.id = w.user_id
CROSS JOIN LATERAL (
    SELECT count(*) AS stored FROM scrobbles s
    WHERE s.user_id = w.user_id AND s.at >= w.window_from AND s.at < w.window_to) s;
