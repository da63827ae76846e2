-- How fast each service may be asked, for all who share this warehouse: the clock of the database is the clock of all.

CREATE TABLE paces (
    name       text COLLATE "C" PRIMARY KEY,             -- the host, and a digest of the key by which it counts
    turn_at    timestamptz NOT NULL,                     -- of the last turn that was given; it may be still to come
    gap        float8 NOT NULL,                          -- seconds between two turns: the slowest wish of the takers
    penalty    float8 NOT NULL DEFAULT 0,                -- seconds more after a rate limit; good answers take it away
    slowed_at  timestamptz NOT NULL DEFAULT '-infinity', -- the last rate limit: turns that were given before are void
    not_before timestamptz NOT NULL DEFAULT '-infinity'  -- the service said so
) WITH (fillfactor = 50);                                -- changed with every turn: room for the change beside the row

-- Who takes turns. The row of one that was killed stands until the next one leaves; who took none lately counts no more.
CREATE TABLE pace_takers (
    pace    text COLLATE "C" NOT NULL REFERENCES paces ON DELETE CASCADE,
    taker   text COLLATE "C" NOT NULL,
    delay   float8 NOT NULL,                             -- seconds: its own wish
    turn_at timestamptz NOT NULL,
    PRIMARY KEY (pace, taker)
) WITH (fillfactor = 50);

COMMENT ON TABLE paces IS 'How fast each service may be asked, by host and a digest of the key: the turns that all runs on this warehouse share.';
COMMENT ON TABLE pace_takers IS 'Who takes turns, and how long each wishes to wait between two.';
