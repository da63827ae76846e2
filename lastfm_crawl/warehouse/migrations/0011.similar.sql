-- Whole lists of artists, to be read all at once: what user_artists has in a row an artist is here in a row a user.
-- Derived by whoever asks for it, from the answers that changed since, so that loading has no more to do than before.

CREATE TABLE tastes (
    user_id    integer PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    version    numeric NOT NULL,                     -- of the answers that it is made of: tastes.py
    artists    bytea NOT NULL,                       -- integers of four bytes, the highest first; the most played first
    playcounts bytea NOT NULL,                       -- the same, of each of these
    artist_ids integer[] NOT NULL                    -- the same artists, for the index
);
CREATE INDEX tastes_by_artist ON tastes USING gin (artist_ids);
-- They are read far more often than written, and hardly shrink.
ALTER TABLE tastes ALTER artists SET STORAGE EXTERNAL, ALTER playcounts SET STORAGE EXTERNAL;

-- The forms under which people may name the artists of these lists, as matching/ makes them.
CREATE TABLE artist_keys (
    artist_id  integer PRIMARY KEY REFERENCES artists (id) ON DELETE CASCADE,
    key        text COLLATE "C" NOT NULL,
    normaliser integer NOT NULL                      -- the same in all rows
);
CREATE INDEX artist_keys_by_key ON artist_keys (key);
