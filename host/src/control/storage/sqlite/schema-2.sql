-- Version 2. What was used by way of a gateway that drains, after a successor has read `quotas`: it
-- stands in `usage` already, and is to be added to `quotas` and to what the successor has in memory.
-- period and number: of the plan's quota, where it is known.
CREATE TABLE late_usage (
    plan   TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    day    INTEGER NOT NULL,
    used   INTEGER NOT NULL,
    period TEXT,
    number INTEGER
) STRICT;
