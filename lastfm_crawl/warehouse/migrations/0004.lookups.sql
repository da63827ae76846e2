-- What was asked about music, whoever listens to it.

-- One row a question, the newest answer to it. The rows of answers are in the tables of their services.
CREATE TABLE lookups (
    method     text COLLATE "C" NOT NULL,
    subject    text COLLATE "C" NOT NULL,            -- what was asked about: an id, or words
    params     text COLLATE "C" NOT NULL,
    status     text NOT NULL CHECK (status IN ('ok', 'not_found')),
    received   integer NOT NULL,
    skipped    jsonb NOT NULL DEFAULT '{}',
    fetched_at timestamptz NOT NULL,
    bytes      bigint NOT NULL,
    PRIMARY KEY (method, subject, params)
);

-- What a service has told us about itself, so that the next run does not have to be told again.
CREATE TABLE service_states (
    service    text PRIMARY KEY,
    not_before timestamptz,                          -- it asks to be left alone until then
    reason     text,
    mode       text                                  -- of Spotify: development or extended
);
