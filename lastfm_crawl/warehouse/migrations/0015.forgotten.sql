-- Who has been forgotten and is not to come back: no names, only what a name can be compared with. Each tombstone has its
-- salt with it, so that those of several warehouses over one store are simply put together. The store has copies.

CREATE TABLE forgotten (
    salt   text COLLATE "C" NOT NULL,                -- hexadecimal, as digest
    digest text COLLATE "C" NOT NULL,
    since  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (salt, digest)
);

COMMENT ON TABLE forgotten IS 'Tombstones: salted hashes of the names of people who are forgotten, so that no run brings them back.';
