-- Artists and tracks find their ids: a catalogue to look in, what was found there, and why it is believed.

-- Every import makes what had no match worth another look.
CREATE TABLE catalogue_imports (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('artists', 'tracks')),
    source      text NOT NULL,                       -- the file or table
    rows        bigint NOT NULL,
    imported_at timestamptz NOT NULL
);

-- key is the weakest form under which two names may be the same: whoever is equal in any form has it in common.
CREATE TABLE spotify_artists (
    id         text COLLATE "C" PRIMARY KEY,
    name       text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    popularity integer,                              -- 0 to 100
    followers  bigint,
    source     text NOT NULL CHECK (source IN ('catalogue', 'api')),
    fetched_at timestamptz NOT NULL                  -- what is the API's expires, a catalogue is its owner's
);
CREATE INDEX spotify_artists_by_key ON spotify_artists (key);

CREATE TABLE spotify_tracks (
    id                text COLLATE "C" PRIMARY KEY,
    name              text COLLATE "C" NOT NULL,
    key               text COLLATE "C" NOT NULL,     -- of artist and title
    artist_ids        text[] NOT NULL,
    artist_names      text[] NOT NULL,
    album_id          text,
    album_name        text,
    album_type        text,
    release_date      text,                          -- of the album: YYYY, YYYY-MM or YYYY-MM-DD
    release_precision text,
    duration_ms       integer,
    explicit          boolean,
    track_number      integer,
    disc_number       integer,
    isrc              text COLLATE "C",
    popularity        integer,
    source            text NOT NULL CHECK (source IN ('catalogue', 'api')),
    fetched_at        timestamptz NOT NULL
);
CREATE INDEX spotify_tracks_by_key ON spotify_tracks (key);
CREATE INDEX spotify_tracks_by_isrc ON spotify_tracks (isrc);

-- An id that was asked for and another that was answered: Spotify links tracks of other markets.
CREATE TABLE spotify_aliases (
    asked_id text COLLATE "C" PRIMARY KEY,
    id       text COLLATE "C" NOT NULL
);

-- What is known of the id of each artist: one edge each, which can be taken away again. Only band 'accept' is believed;
-- no foreign keys, for what Spotify's terms make us forget goes and the match stays.
CREATE TABLE artist_matches (
    artist_id         integer PRIMARY KEY REFERENCES artists (id) ON DELETE CASCADE,
    spotify_id        text COLLATE "C",              -- the best candidate, believed or not; null: there is none
    band              text NOT NULL CHECK (band IN ('accept', 'review', 'reject')),
    tier              text NOT NULL,                 -- how it was found: exact, strong, latin, credit, fuzzy, none
    score             real NOT NULL,                 -- 0 to 1: match_confidence
    runner_up         real NOT NULL,                 -- the score of the second best
    gap               real GENERATED ALWAYS AS (score - runner_up) STORED,
    evidence          text NOT NULL,
    source            text NOT NULL CHECK (source IN ('catalogue', 'search')),
    normaliser        integer NOT NULL,              -- version of the forms that were compared
    catalogue         integer NOT NULL,              -- the last import that was looked at; 0: none
    matched_at        timestamptz NOT NULL,
    first_searched_at timestamptz,                   -- asked of Spotify's search
    searched_at       timestamptz
);

CREATE TABLE track_matches (
    track_id          integer PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
    spotify_id        text COLLATE "C",
    band              text NOT NULL CHECK (band IN ('accept', 'review', 'reject')),
    tier              text NOT NULL,
    score             real NOT NULL,
    runner_up         real NOT NULL,
    gap               real GENERATED ALWAYS AS (score - runner_up) STORED,
    evidence          text NOT NULL,
    source            text NOT NULL CHECK (source IN ('catalogue', 'search')),
    normaliser        integer NOT NULL,
    catalogue         integer NOT NULL,
    matched_at        timestamptz NOT NULL,
    first_searched_at timestamptz,
    searched_at       timestamptz
);

-- The rows of lists belong to the answer that brought them.
CREATE TABLE spotify_top_artists (
    fetch_id   integer NOT NULL,
    rank       integer NOT NULL,
    artist_id  text COLLATE "C" NOT NULL,
    artist     text COLLATE "C" NOT NULL,
    popularity integer,
    PRIMARY KEY (fetch_id, rank)
);
CREATE TABLE spotify_top_tracks (
    fetch_id   integer NOT NULL,
    rank       integer NOT NULL,
    track_id   text COLLATE "C" NOT NULL,
    artist     text COLLATE "C" NOT NULL,
    title      text COLLATE "C" NOT NULL,
    popularity integer,
    PRIMARY KEY (fetch_id, rank)
);

CREATE VIEW user_top_artists AS
SELECT u.name AS username, 'spotify'::text AS source, t.artist, t.artist_id AS spotify_artist_id, t.rank,
       substring(p.params FROM 'time_range=([a-z_]+)') AS time_range, t.popularity AS spotify_popularity,
       p.fetched_at AS updated_at
FROM current_pages p JOIN spotify_top_artists t ON t.fetch_id = p.id JOIN users u ON u.id = p.user_id
WHERE p.method = 'spotify.top';

CREATE VIEW user_top_tracks AS
SELECT u.name AS username, 'spotify'::text AS source, t.artist, t.title, t.track_id AS spotify_track_id, t.rank,
       substring(p.params FROM 'time_range=([a-z_]+)') AS time_range, t.popularity AS spotify_popularity,
       p.fetched_at AS updated_at
FROM current_pages p JOIN spotify_top_tracks t ON t.fetch_id = p.id JOIN users u ON u.id = p.user_id
WHERE p.method = 'spotify.top';

-- The columns as before, and now with what is believed.
DROP VIEW lastfm_user_artists;
CREATE VIEW lastfm_user_artists AS
SELECT u.name AS lastfm_username, a.name AS artist_name, ua.playcount, ua.rank,
       m.spotify_id AS spotify_artist_id, s.name AS spotify_artist_name,
       m.score::double precision AS match_confidence, c.fetched_at AS imported_at
FROM current_charts c
JOIN user_artists ua ON ua.fetch_id = c.id
JOIN users u ON u.id = c.user_id
JOIN artists a ON a.id = ua.artist_id
LEFT JOIN artist_matches m ON m.artist_id = a.id AND m.band = 'accept'
LEFT JOIN spotify_artists s ON s.id = m.spotify_id
WHERE c.period = 'overall'
  -- A list that changes while it is asked for can have an artist on two pages: the first of them counts.
  AND (c.page = 1 OR NOT EXISTS (
      SELECT FROM current_charts earlier
      JOIN user_artists other ON other.fetch_id = earlier.id AND other.artist_id = ua.artist_id
      WHERE earlier.user_id = c.user_id AND earlier.params = c.params AND earlier.page < c.page));
