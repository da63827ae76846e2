-- Users, their friendships and their top artists; what was asked, and the runs that asked.
-- Names are compared byte for byte: collation "C" everywhere, folding is the business of whoever compares.

CREATE TABLE users (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key           text COLLATE "C" NOT NULL UNIQUE,  -- the name in lower case: names compare case-insensitively
    name          text NOT NULL,                     -- as Last.fm writes it
    realname      text,
    country       text,
    url           text,
    playcount     bigint,
    registered_at timestamptz,
    profile_at    timestamptz,                       -- of the answer that the profile comes from; the newest wins
    seed_no       integer UNIQUE,                    -- seeds in the order in which they were first named
    crawl_seed    integer REFERENCES users (id),
    crawl_depth   integer,
    discovered_at timestamptz,                       -- null: named in somebody's friends list, not a member
    status        text NOT NULL DEFAULT 'ok' CHECK (status IN ('ok', 'not_found', 'private', 'error')),
    status_detail text,
    status_method text,                              -- what was asked when the status was learnt
    status_at     timestamptz
) WITH (fillfactor = 80);                            -- room for the updates that every further friends list brings

CREATE TABLE friendships (
    user_id   integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    friend_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    page      integer NOT NULL,
    position  integer NOT NULL,                      -- from 0 in its page: (page, position) decides who is admitted first
    PRIMARY KEY (user_id, friend_id)
);
CREATE INDEX friendships_friend ON friendships (friend_id);

CREATE TABLE artists (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

CREATE TYPE chart_period AS ENUM ('overall', '7day', '1month', '3month', '6month', '12month');

CREATE TABLE user_artists (
    user_id     integer NOT NULL,
    artist_id   integer NOT NULL,
    rank        integer NOT NULL,
    playcount   integer NOT NULL,
    imported_at timestamptz NOT NULL,
    period      chart_period NOT NULL,
    PRIMARY KEY (user_id, period, artist_id)
);

-- One row an answer: written in the transaction that writes the answer's rows, so it is what "done" means.
CREATE TABLE fetches (
    user_id    integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    method     text COLLATE "C" NOT NULL,
    params     text COLLATE "C" NOT NULL,            -- which list, without the page: limit=1000,period=overall
    page       integer NOT NULL,
    pages      integer NOT NULL,                     -- Last.fm's figures for the whole list
    total      bigint NOT NULL,
    received   integer NOT NULL,                     -- rows: received = stored + the sum of skipped
    stored     integer NOT NULL,
    skipped    jsonb NOT NULL DEFAULT '{}',
    status     text NOT NULL DEFAULT 'ok',
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, method, params, page)
);

CREATE TABLE runs (
    id             text PRIMARY KEY,
    spider         text NOT NULL,
    arguments      jsonb NOT NULL,
    started_at     timestamptz NOT NULL,
    members_before integer NOT NULL,                 -- bounds what an interrupted run admitted when it is replayed
    finished_at    timestamptz,
    finish_reason  text,
    exit_code      integer,
    stats          jsonb
);

CREATE VIEW lastfm_users AS
SELECT u.name AS username, u.realname, u.country, u.url, u.playcount, u.registered_at,
       seed.name AS crawl_seed, u.crawl_depth, u.status, u.status_detail, u.discovered_at
FROM users u
LEFT JOIN users seed ON seed.id = u.crawl_seed
WHERE u.discovered_at IS NOT NULL;

CREATE VIEW lastfm_friends AS
SELECT u.name AS username, f.name AS friend
FROM friendships e
JOIN users u ON u.id = e.user_id
JOIN users f ON f.id = e.friend_id;

CREATE VIEW lastfm_user_artists AS
SELECT u.name AS lastfm_username, a.name AS artist_name, ua.playcount, ua.rank,
       NULL::text AS spotify_artist_id, NULL::text AS spotify_artist_name, NULL::double precision AS match_confidence,
       ua.imported_at
FROM user_artists ua
JOIN users u ON u.id = ua.user_id
JOIN artists a ON a.id = ua.artist_id
WHERE ua.period = 'overall';
