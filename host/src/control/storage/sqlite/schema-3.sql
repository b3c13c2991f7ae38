-- Version 3. A quota's first day is a part of its period: `week-monday`, `month-15`.

-- A quota that changes its period and changes it back has a row for each. The old rows stay.
CREATE TABLE quotas_3 (
    plan   TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    period TEXT    NOT NULL, -- `day`, `week`, `month`, `week-monday`, `month-15`
    number INTEGER NOT NULL,
    used   INTEGER NOT NULL,
    extra  INTEGER NOT NULL,
    PRIMARY KEY (plan, key, period)
) STRICT, WITHOUT ROWID;
INSERT INTO quotas_3 SELECT plan, key, period, number, used, extra FROM quotas;
DROP TABLE quotas;
ALTER TABLE quotas_3 RENAME TO quotas;
CREATE INDEX quotas_by_period ON quotas (period, number);

-- Since when a plan's quota has had its kind of period. Empty after this step: a start reads once
-- what was used from the usage by day, which is right whatever was before.
CREATE TABLE quota_since (
    plan     TEXT    NOT NULL PRIMARY KEY,
    period   TEXT    NOT NULL,
    since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- When a plan was first met mattered for `offset`, which is gone: it was subtracted from the limit
-- of a plan's first period, and a plan that is still in it has its whole limit now.
DROP TABLE plan_since;
UPDATE plans SET record = json_set(record, '$.quota.offset', 0)
    WHERE json_extract(record, '$.quota.offset') > 0;
