-- Keys for callers, rules, what changed them, and the ledger of what upstream has billed.

-- Secrets stand here as keyed hashes. `version` is the number of the latest change, see `changes`.
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    group_name TEXT,
    hash BLOB NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    old_hash BLOB,
    old_until REAL,
    created_at REAL NOT NULL,
    expires_at REAL,
    disabled_at REAL,
    deleted_at REAL,
    limits TEXT NOT NULL DEFAULT '{}',
    metadata TEXT NOT NULL DEFAULT '{}',
    tags TEXT NOT NULL DEFAULT '[]',
    sees_key INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX keys_version ON keys (version);

-- Tells the secret that keys were hashed with from others, without telling it.
CREATE TABLE marks (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

-- The one-time links of the console that were used, until they are too old anyway.
CREATE TABLE used_links (id TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;

CREATE TABLE rules (
    id TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    created_at REAL NOT NULL,
    version INTEGER NOT NULL DEFAULT 0
);

-- One counter for each table that processes hold in memory, so that they read again only what changed.
CREATE TABLE changes (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO changes VALUES ('keys', 0), ('rules', 0);

CREATE TRIGGER keys_inserted AFTER INSERT ON keys BEGIN
    UPDATE changes SET version = version + 1 WHERE name = 'keys';
    UPDATE keys SET version = (SELECT version FROM changes WHERE name = 'keys') WHERE id = new.id;
END;
CREATE TRIGGER keys_updated
AFTER UPDATE OF
    id, name, group_name, hash, prefix, old_hash, old_until, created_at, expires_at, disabled_at, deleted_at,
    limits, metadata, tags, sees_key
ON keys BEGIN
    UPDATE changes SET version = version + 1 WHERE name = 'keys';
    UPDATE keys SET version = (SELECT version FROM changes WHERE name = 'keys') WHERE id = new.id;
END;
CREATE TRIGGER keys_deleted AFTER DELETE ON keys BEGIN
    UPDATE changes SET version = version + 1 WHERE name = 'keys';
END;
CREATE TRIGGER rules_inserted AFTER INSERT ON rules BEGIN
    UPDATE changes SET version = version + 1 WHERE name = 'rules';
    UPDATE rules SET version = (SELECT version FROM changes WHERE name = 'rules') WHERE id = new.id;
END;
CREATE TRIGGER rules_updated AFTER UPDATE OF id, definition, created_at ON rules BEGIN
    UPDATE changes SET version = version + 1 WHERE name = 'rules';
    UPDATE rules SET version = (SELECT version FROM changes WHERE name = 'rules') WHERE id = new.id;
END;
CREATE TRIGGER rules_deleted AFTER DELETE ON rules BEGIN
    UPDATE changes SET version = version + 1 WHERE name = 'rules';
END;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    details TEXT NOT NULL DEFAULT '{}'
);
CREATE TRIGGER audit_stays_as_it_is BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is append only');
END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is append only');
END;

-- What was sent, so that each alert is sent once over all workers.
CREATE TABLE alerts (name TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;

-- One row for each call upstream that was billed. An id begins with `at`, in milliseconds since 1970 (6 bytes, big
-- endian), so that rows lie in the order of time and need no index for it. Tokens are in disjoint classes, except that
-- `thinking` is a part of `output`. `requests` is 1 on one row of each request. `cost`, and what prompt
-- caches have `saved`, are in nano-dollars.
CREATE TABLE attempts (
    id BLOB PRIMARY KEY,
    at INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    caller TEXT NOT NULL,
    group_name TEXT NOT NULL,
    end_user BLOB NOT NULL,
    endpoint TEXT NOT NULL,
    model_asked TEXT NOT NULL,
    trace_id TEXT,
    host TEXT NOT NULL,
    latency_ms INTEGER NOT NULL,
    first_token_ms INTEGER,
    finish TEXT,
    error TEXT,
    upstream_key TEXT NOT NULL,
    model TEXT NOT NULL,
    batch INTEGER NOT NULL,
    service_tier TEXT NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output INTEGER NOT NULL,
    thinking INTEGER NOT NULL,
    server_tool_uses INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    saved INTEGER NOT NULL,
    price TEXT NOT NULL,
    is_estimated INTEGER NOT NULL
) WITHOUT ROWID;

-- Sums of `attempts` that are kept longer; `start` is in seconds since 1970. What is unknown is empty, not NULL.
-- The end user comes second in the key, since what one of them has spent is asked while a request waits: an index beside
-- the key would double what a row costs.
CREATE TABLE hours (
    start INTEGER NOT NULL,
    caller TEXT NOT NULL,
    group_name TEXT NOT NULL,
    end_user BLOB NOT NULL,
    endpoint TEXT NOT NULL,
    upstream_key TEXT NOT NULL,
    model TEXT NOT NULL,
    batch INTEGER NOT NULL,
    service_tier TEXT NOT NULL,
    requests INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output INTEGER NOT NULL,
    thinking INTEGER NOT NULL,
    server_tool_uses INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    saved INTEGER NOT NULL,
    PRIMARY KEY (start, end_user, caller, group_name, endpoint, upstream_key, model, batch, service_tier)
) WITHOUT ROWID;

CREATE TABLE days (
    start INTEGER NOT NULL,
    caller TEXT NOT NULL,
    group_name TEXT NOT NULL,
    end_user BLOB NOT NULL,
    endpoint TEXT NOT NULL,
    upstream_key TEXT NOT NULL,
    model TEXT NOT NULL,
    batch INTEGER NOT NULL,
    service_tier TEXT NOT NULL,
    requests INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    output INTEGER NOT NULL,
    thinking INTEGER NOT NULL,
    server_tool_uses INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    saved INTEGER NOT NULL,
    PRIMARY KEY (start, end_user, caller, group_name, endpoint, upstream_key, model, batch, service_tier)
) WITHOUT ROWID;
