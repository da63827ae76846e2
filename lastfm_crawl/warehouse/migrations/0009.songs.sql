-- One song of many tracks. `scrapy songs` makes these tables anew from the rest of the warehouse, in one transaction.

-- Tags of tracks by Last.fm's listeners: [{"name": "rock", "count": 100}, ...]. What was asked, whatever came of it.
CREATE TABLE track_tags (
    track_id   integer PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
    tags       jsonb NOT NULL CHECK (jsonb_typeof(tags) = 'array'),
    fetched_at timestamptz NOT NULL
);

-- Every canonical id that a song was ever known by, and which song that is now. It outlives the songs: one that falls
-- out of the best and comes back is the same song. A song's uuid is made of the first canonical id it was given, so
-- that row tells where it began, and a uuid that went in a merge is found here as well.
CREATE TABLE song_aliases (
    canonical_id text COLLATE "C" PRIMARY KEY,
    uuid         uuid NOT NULL UNIQUE,               -- made of canonical_id
    song_id      uuid NOT NULL REFERENCES song_aliases (uuid) DEFERRABLE INITIALLY DEFERRED,
    given_at     timestamptz NOT NULL
);
CREATE INDEX song_aliases_by_song ON song_aliases (song_id);

CREATE TABLE songs (
    id           uuid PRIMARY KEY REFERENCES song_aliases (uuid) ON DELETE CASCADE,
    artist_id    integer NOT NULL REFERENCES artists (id) ON DELETE CASCADE,
    artist       text COLLATE "C" NOT NULL,
    title        text COLLATE "C" NOT NULL,          -- of the most complete, then most played of its tracks
    canonical_id text COLLATE "C" NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED,
    isrc         text COLLATE "C",
    spotify_id   text COLLATE "C",
    mbid         text COLLATE "C",                   -- of a recording
    added_at     timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL
);
CREATE INDEX songs_by_artist ON songs (artist_id);

-- Which track is of which song and why: take the edge away, and the track is what own_id says.
CREATE TABLE song_tracks (
    track_id integer PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
    song_id  uuid NOT NULL REFERENCES songs (id) ON DELETE CASCADE,
    reason   text NOT NULL CHECK (reason IN ('best', 'name', 'isrc', 'spotify', 'mbid')),
    own_id   text COLLATE "C" NOT NULL
);
CREATE INDEX song_tracks_by_song ON song_tracks (song_id);

CREATE TABLE spotify_attrs (
    song_id           uuid PRIMARY KEY REFERENCES songs (id) ON DELETE CASCADE,
    duration_ms       integer,
    popularity        integer,
    album_id          text,
    artist_id         text,
    album_name        text,
    release_date      text,                          -- YYYY, YYYY-MM or YYYY-MM-DD, as release_precision says
    release_precision text,
    explicit          boolean,
    track_number      integer
);

CREATE TABLE lastfm_stats (
    song_id   uuid PRIMARY KEY REFERENCES songs (id) ON DELETE CASCADE,
    playcount bigint NOT NULL,
    listeners integer NOT NULL,                      -- users of the warehouse who played any of its tracks
    tags      jsonb NOT NULL                         -- as in track_tags; of one that several tracks have the most
);

CREATE TABLE aoty_attrs (
    song_id      uuid PRIMARY KEY REFERENCES songs (id) ON DELETE CASCADE,
    aoty_id      integer NOT NULL REFERENCES aoty_albums (id) ON DELETE CASCADE,
    place        smallint,                           -- of the track on the album's page
    rated        text NOT NULL CHECK (rated IN ('track', 'album', 'none')),  -- whose user_score and rating_count it is
    user_score   numeric(7, 4),
    rating_count integer,
    critic_score numeric(7, 4),                      -- of the album
    album_score  numeric(7, 4),                      -- its users' score
    tags         jsonb NOT NULL,
    genres       jsonb NOT NULL,
    FOREIGN KEY (aoty_id, place) REFERENCES aoty_tracks (album_id, place) ON DELETE CASCADE
);
CREATE INDEX aoty_attrs_by_place ON aoty_attrs (aoty_id, place);

-- Who played or loved what, once for each user and track. Plays are those of the history where it has the track, those
-- of the list of top tracks where not.
CREATE VIEW listening AS
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
    FROM current_pages p JOIN loved_tracks l ON l.fetch_id = p.id WHERE p.method = 'user.getLovedTracks')
SELECT user_id, track_id, coalesce(p.playcount, top.playcount, 0)::bigint AS playcount, p.first_at,
       p.last_at, l.track_id IS NOT NULL AS loved,
       CASE WHEN p.track_id IS NOT NULL THEN 'scrobbles' WHEN top.track_id IS NOT NULL THEN 'top_tracks'
            ELSE 'loved_tracks' END AS source
FROM played p
FULL JOIN top USING (user_id, track_id)
FULL JOIN loved l USING (user_id, track_id);

-- The columns and rows as before.
CREATE OR REPLACE VIEW lastfm_user_tracks AS
WITH named AS (
    SELECT f.user_id, track_id, count(*) AS answers
    FROM named_tracks n JOIN fetches f ON f.id = n.fetch_id, unnest(n.tracks) AS track_id GROUP BY f.user_id, track_id)
SELECT u.name AS username, a.name AS artist_name, t.name AS track_name, l.playcount,
       l.first_at AS first_scrobbled_at, l.last_at AS last_scrobbled_at, l.loved, coalesce(n.answers, 0) AS sync_count
FROM listening l
LEFT JOIN named n USING (user_id, track_id)
JOIN users u ON u.id = user_id
JOIN tracks t ON t.id = track_id
JOIN artists a ON a.id = t.artist_id;
