-- What people think of albums, from albumoftheyear.org: pages that were fetched or imported, and which tracks they hold.

CREATE TABLE aoty_albums (
    id                 integer PRIMARY KEY,              -- of the site
    url                text NOT NULL,
    title              text COLLATE "C" NOT NULL,
    artists            text[] NOT NULL,
    artist_key         text COLLATE "C" NOT NULL,        -- of the first artist, the weakest form (matching.artists)
    release_date       text,                             -- YYYY, YYYY-MM or YYYY-MM-DD
    format             text NOT NULL DEFAULT '',
    label              text NOT NULL DEFAULT '',
    critic_score       smallint CHECK (critic_score BETWEEN 0 AND 100),
    critic_score_exact numeric(7, 4) CHECK (critic_score_exact BETWEEN 0 AND 100),
    critic_count       integer CHECK (critic_count >= 0),
    user_score         smallint CHECK (user_score BETWEEN 0 AND 100),
    user_score_exact   numeric(7, 4) CHECK (user_score_exact BETWEEN 0 AND 100),
    user_count         integer CHECK (user_count >= 0),
    genres             text[] NOT NULL DEFAULT '{}',
    secondary_genres   text[] NOT NULL DEFAULT '{}',
    tags               text[] NOT NULL DEFAULT '{}',
    origins            jsonb NOT NULL DEFAULT '{}',      -- field: jsonld, css, itemprop, regex or csv
    rejected           text[] NOT NULL DEFAULT '{}',     -- values that were thrown away, and why
    era                text,                             -- of the markup
    source             text NOT NULL CHECK (source IN ('page', 'csv', 'list')),
    fetched_at         timestamptz NOT NULL
);
CREATE INDEX aoty_albums_by_artist ON aoty_albums (artist_key);

CREATE TABLE aoty_tracks (
    album_id  integer NOT NULL REFERENCES aoty_albums (id) ON DELETE CASCADE,
    place     smallint NOT NULL,                         -- on the page, from 1
    disc      smallint NOT NULL,
    number    integer,
    title     text COLLATE "C" NOT NULL,
    seconds   integer,
    rating    smallint CHECK (rating BETWEEN 0 AND 100),
    ratings   integer CHECK (ratings >= 0),
    featuring text[] NOT NULL DEFAULT '{}',
    note      text NOT NULL DEFAULT '',
    PRIMARY KEY (album_id, place)
);

-- Which album of the site an album of Last.fm is.
CREATE TABLE aoty_album_matches (
    album_id   integer PRIMARY KEY REFERENCES albums (id) ON DELETE CASCADE,
    aoty_id    integer REFERENCES aoty_albums (id) ON DELETE CASCADE,
    band       text NOT NULL CHECK (band IN ('accept', 'review', 'reject')),
    tier       text NOT NULL,
    score      real NOT NULL,
    runner_up  real NOT NULL,
    evidence   text NOT NULL,
    normaliser integer NOT NULL,
    matched_at timestamptz NOT NULL
);

-- Which track of which album of the site a track of Last.fm is. Only track_match with high or medium confidence and a
-- score of 0.8 is believed (views read `believed`); the rest is kept for somebody to read.
CREATE TABLE aoty_track_matches (
    track_id   integer PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
    aoty_id    integer REFERENCES aoty_albums (id) ON DELETE CASCADE,
    place      smallint,                                 -- of the track on the album's page
    match_type text NOT NULL CHECK (match_type IN ('track_match', 'album_match', 'artist_match', 'no_match')),
    confidence text NOT NULL CHECK (confidence IN ('high', 'medium', 'low')),
    score      real NOT NULL,
    believed   boolean GENERATED ALWAYS AS
               (match_type = 'track_match' AND confidence <> 'low' AND score >= 0.8) STORED,
    reason     text NOT NULL,
    normaliser integer NOT NULL,
    matched_at timestamptz NOT NULL,
    FOREIGN KEY (aoty_id, place) REFERENCES aoty_tracks (album_id, place) ON DELETE CASCADE
);
