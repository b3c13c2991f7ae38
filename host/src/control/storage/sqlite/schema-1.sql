-- Version 1. Times are milliseconds since 1970, days are days since 1970 in UTC.

-- One row: how many commits there were.
CREATE TABLE commits (revision INTEGER NOT NULL) STRICT;
INSERT INTO commits VALUES (0);

-- A key with its newest secret; a rotation's older ones are in `older`, as JSON. Everything that
-- the start needs stands in this one table, which is read from end to end.
CREATE TABLE keys (
    id             TEXT    NOT NULL PRIMARY KEY,
    name           TEXT    NOT NULL,
    consumer       TEXT    NOT NULL,
    plans          TEXT    NOT NULL, -- JSON list
    metadata       TEXT    NOT NULL, -- JSON object
    enabled        INTEGER NOT NULL,
    created_ms     INTEGER NOT NULL,
    updated_ms     INTEGER NOT NULL,
    expires_ms     INTEGER,
    digest         BLOB    NOT NULL, -- SHA-256
    prefix         TEXT    NOT NULL,
    secret_ms      INTEGER NOT NULL,
    secret_ends_ms INTEGER,
    older          TEXT,
    last_used_ms   INTEGER,
    revision       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_revision ON keys (revision);
CREATE INDEX keys_by_consumer ON keys (consumer, id);

-- Every digest, so that no two keys share one.
CREATE TABLE digests (
    digest BLOB NOT NULL PRIMARY KEY,
    key    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Which keys are on a plan.
CREATE TABLE key_plans (
    plan TEXT NOT NULL,
    key  TEXT NOT NULL,
    PRIMARY KEY (plan, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE plans (
    name     TEXT    NOT NULL PRIMARY KEY,
    record   TEXT    NOT NULL, -- JSON
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was deleted, for whoever asks for changes. kind: `key` or `plan`.
CREATE TABLE deleted (
    kind     TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Idempotency tokens.
CREATE TABLE tokens (
    token    TEXT    NOT NULL PRIMARY KEY,
    request  BLOB    NOT NULL,
    key      TEXT    NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- When each plan was first met.
CREATE TABLE plan_since (
    name     TEXT    NOT NULL PRIMARY KEY,
    since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    plan TEXT    NOT NULL,
    key  TEXT    NOT NULL,
    day  INTEGER NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (plan, key, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_day ON usage (day);

-- The newest period of each key's quota.
CREATE TABLE quotas (
    plan   TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    period TEXT    NOT NULL, -- `day`, `week` or `month`
    number INTEGER NOT NULL,
    used   INTEGER NOT NULL,
    extra  INTEGER NOT NULL,
    PRIMARY KEY (plan, key)
) STRICT, WITHOUT ROWID;
