-- The catalogue and the API keys. Lists and adapter settings are JSON; whatever is looked up is a column.
-- Times are microseconds since 1970-01-01 UTC.

-- Exactly one row; every change to the catalogue or to a key locks it, and adds one.
CREATE TABLE catalog_version (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    version  INTEGER NOT NULL
) STRICT;
INSERT INTO catalog_version (version) VALUES (1);

CREATE TABLE clusters (
    name              TEXT PRIMARY KEY,
    adapter           TEXT NOT NULL,
    frameworks        TEXT NOT NULL,
    routes            TEXT NOT NULL,
    access            TEXT NOT NULL,
    settings          TEXT NOT NULL,
    maintenance       TEXT,
    maintenance_since INTEGER,
    CHECK ((maintenance IS NULL) = (maintenance_since IS NULL))
) STRICT;

-- Deferred, so that one edit may replace a cluster together with its endpoints, in any order.
CREATE TABLE endpoints (
    slug      TEXT PRIMARY KEY,
    cluster   TEXT NOT NULL REFERENCES clusters (name) DEFERRABLE INITIALLY DEFERRED,
    framework TEXT NOT NULL,
    model     TEXT NOT NULL,
    adapter   TEXT NOT NULL,
    settings  TEXT NOT NULL,
    access    TEXT NOT NULL,
    tpm_model INTEGER NOT NULL CHECK (tpm_model >= 0),
    tpm_user  INTEGER NOT NULL CHECK (tpm_user >= 0),
    enabled   INTEGER NOT NULL
) STRICT;
CREATE INDEX endpoints_by_cluster ON endpoints (cluster);

CREATE TABLE federations (
    model       TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    policy      TEXT NOT NULL,
    targets     TEXT NOT NULL
) STRICT;

CREATE TABLE api_keys (
    id           BLOB PRIMARY KEY,
    hash         BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name         TEXT NOT NULL,
    username     TEXT NOT NULL,
    groups       TEXT NOT NULL,
    models       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;
