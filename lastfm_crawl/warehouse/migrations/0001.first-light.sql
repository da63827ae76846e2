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
    status_at     timestamptz
) WITH (fillfactor = 80);                            -- room for the updates that every further friends list brings

-- One row an answer, the newest to each question: written in the transaction that writes the answer's rows, so it is
-- what "done" means. Page 0 is not a page but a mark: the answer that there is nothing to have.
CREATE TABLE fetches (
    id         integer GENERATED ALWAYS AS IDENTITY UNIQUE,
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
    detail     text,                                 -- of a mark: what Last.fm said
    fetched_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, method, params, page)
);

-- The rows of lists belong to the answer that brought them, so that a newer answer replaces just its own, and what a
-- list is follows from its newest answers alone, in whatever order they were loaded. No foreign keys here: the loader
-- takes the ids from rows of the same transaction, and checking each again takes as long as all the rest of loading.
CREATE TABLE friendships (
    fetch_id  integer NOT NULL,
    friend_id integer NOT NULL,
    position  integer NOT NULL,                      -- from 0 in its page: (page, position) decides who is admitted first
    PRIMARY KEY (fetch_id, friend_id)
);

CREATE TABLE artists (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE user_artists (
    fetch_id  integer NOT NULL,
    artist_id integer NOT NULL,
    rank      integer NOT NULL,
    playcount integer NOT NULL,
    PRIMARY KEY (fetch_id, artist_id)
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

-- The pages that make up each list now: those that its newest answer says it has.
CREATE VIEW current_pages AS
SELECT f.id, f.user_id, f.method, f.params, f.page, f.fetched_at
FROM fetches f
JOIN (SELECT DISTINCT ON (user_id, method, params) user_id, method, params, pages
      FROM fetches WHERE status = 'ok'
      ORDER BY user_id, method, params, fetched_at DESC, page DESC) newest USING (user_id, method, params)
WHERE f.status = 'ok' AND f.page <= greatest(newest.pages, 1);

CREATE VIEW lastfm_friends AS
SELECT DISTINCT u.name AS username, f.name AS friend
FROM current_pages p
JOIN friendships e ON e.fetch_id = p.id
JOIN users u ON u.id = p.user_id
JOIN users f ON f.id = e.friend_id;

-- Of lists that were asked for with several limits the longest counts.
CREATE VIEW current_charts AS
SELECT p.id, p.user_id, p.page, p.params, p.fetched_at, substring(p.params FROM 'period=([^,]*)') AS period
FROM current_pages p
WHERE p.method = 'user.getTopArtists'
  AND NOT EXISTS (
      SELECT FROM fetches o
      WHERE o.user_id = p.user_id AND o.method = p.method AND o.status = 'ok' AND o.params <> p.params
        AND substring(o.params FROM 'period=([^,]*)') = substring(p.params FROM 'period=([^,]*)')
        AND substring(o.params FROM 'limit=([0-9]*)')::integer > substring(p.params FROM 'limit=([0-9]*)')::integer);

CREATE VIEW lastfm_user_artists AS
SELECT u.name AS lastfm_username, a.name AS artist_name, ua.playcount, ua.rank,
       NULL::text AS spotify_artist_id, NULL::text AS spotify_artist_name, NULL::double precision AS match_confidence,
       c.fetched_at AS imported_at
FROM current_charts c
JOIN user_artists ua ON ua.fetch_id = c.id
JOIN users u ON u.id = c.user_id
JOIN artists a ON a.id = ua.artist_id
WHERE c.period = 'overall'
  -- A list that changes while it is asked for can have an artist on two pages: the first of them counts.
  AND (c.page = 1 OR NOT EXISTS (
      SELECT FROM current_charts earlier
      JOIN user_artists other ON other.fetch_id = earlier.id AND other.artist_id = ua.artist_id
      WHERE earlier.user_id = c.user_id AND earlier.params = c.params AND earlier.page < c.page));
