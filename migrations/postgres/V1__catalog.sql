-- The catalogue and the API keys. Lists and adapter settings are JSON; whatever is looked up is a column.

-- Exactly one row; every change to the catalogue or to a key locks it, and adds one.
CREATE TABLE catalog_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
);
INSERT INTO catalog_version (version) VALUES (1);

CREATE TABLE clusters (
    name              text PRIMARY KEY,
    adapter           text NOT NULL,
    frameworks        jsonb NOT NULL,
    routes            jsonb NOT NULL,
    access            jsonb NOT NULL,
    settings          jsonb NOT NULL,
    maintenance       text,
    maintenance_since timestamptz,
    CHECK ((maintenance IS NULL) = (maintenance_since IS NULL))
);

-- Deferred, so that one edit may replace a cluster together with its endpoints, in any order.
CREATE TABLE endpoints (
    slug      text PRIMARY KEY,
    cluster   text NOT NULL REFERENCES clusters (name) DEFERRABLE INITIALLY DEFERRED,
    framework text NOT NULL,
    model     text NOT NULL,
    adapter   text NOT NULL,
    settings  jsonb NOT NULL,
    access    jsonb NOT NULL,
    tpm_model bigint NOT NULL CHECK (tpm_model >= 0),
    tpm_user  bigint NOT NULL CHECK (tpm_user >= 0),
    enabled   boolean NOT NULL
);
CREATE INDEX endpoints_by_cluster ON endpoints (cluster);

CREATE TABLE federations (
    model       text PRIMARY KEY,
    description text NOT NULL,
    policy      text NOT NULL,
    targets     jsonb NOT NULL
);

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    hash         bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    name         text NOT NULL,
    username     text NOT NULL,
    groups       jsonb NOT NULL,
    models       jsonb NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
