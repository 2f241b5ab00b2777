"""The tables, as an ordered list of steps from an empty file to today's.

A step that has been released is never changed: what comes next is a step of its own. Times are
microseconds since the epoch; states and reasons are stored under their names in the domain.

Partial indexes keep what a claim reads apart from what is over: their cost follows what is waiting
or in flight in one lane, never the whole store. A column is left out of each ``WHERE`` that a claim
would touch for nothing: an update maintains only the indexes that name one of its columns.
"""

_FIRST = """
CREATE TABLE meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    canary TEXT,                     -- sealed: opens under the right master key alone
    boots INTEGER NOT NULL,          -- leases of one boot are never those of another
    joins INTEGER NOT NULL,          -- how many joins were taken in, for their ids
    probe INTEGER NOT NULL           -- written and rolled back, to see whether writing works
) STRICT;
INSERT INTO meta (only_row, boots, joins, probe) VALUES (1, 0, 0, 0);

CREATE TABLE intake (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    event INTEGER,                   -- the event's number; NULL for a join
    joined INTEGER,                  -- the join's number; NULL for an event
    received_at INTEGER NOT NULL,
    PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX intake_by_age ON intake (received_at);

CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    initiator TEXT NOT NULL,
    sub TEXT,
    sid TEXT,
    clients TEXT,                    -- JSON pairs of client_id and sub; NULL: not told
    audience TEXT,
    default_audience TEXT NOT NULL,
    except_sids TEXT,
    session_metadata TEXT,
    occurred_at INTEGER,
    received_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    unknown_clients TEXT,
    due INTEGER NOT NULL DEFAULT 1,  -- whether it is to be matched, for the first time or again
    owes INTEGER NOT NULL DEFAULT 0  -- how many deliveries it has
) STRICT;
CREATE INDEX event_due ON event (number, state) WHERE due = 1;
CREATE INDEX event_of_session ON event (sid) WHERE sid IS NOT NULL;
CREATE INDEX event_of_user ON event (sub) WHERE sub IS NOT NULL;
CREATE INDEX event_by_initiator ON event (initiator, number);
CREATE INDEX event_by_age ON event (received_at);
CREATE INDEX event_unmatched ON event (number) WHERE state = 'unmatched';
CREATE INDEX event_over ON event (received_at) WHERE owes = 0 AND due = 0;

CREATE TABLE session (
    sid TEXT PRIMARY KEY,
    sub TEXT NOT NULL,
    session_metadata TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    ended_at INTEGER,
    ended_by INTEGER,                -- the event's number
    kept_from INTEGER NOT NULL       -- the latest of expiry, last join and end
) STRICT, WITHOUT ROWID;
CREATE INDEX session_of_user ON session (sub);
CREATE INDEX session_by_age ON session (kept_from);

CREATE TABLE session_client (
    sid TEXT NOT NULL REFERENCES session ON DELETE CASCADE,
    client_id TEXT NOT NULL,
    sub TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    after_event INTEGER NOT NULL,    -- the latest event when it joined: later ones concern it
    PRIMARY KEY (sid, client_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE late_join (
    event INTEGER NOT NULL REFERENCES event ON DELETE CASCADE,
    sid TEXT NOT NULL,
    client_id TEXT NOT NULL,
    matched INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (event, sid, client_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    event INTEGER NOT NULL REFERENCES event,
    client_id TEXT NOT NULL,
    uri TEXT NOT NULL,
    sub TEXT,
    sid TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    due_at INTEGER NOT NULL,
    lease INTEGER,
    lease_until INTEGER,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    settled_at INTEGER,
    excerpt TEXT
) STRICT;
CREATE UNIQUE INDEX delivery_once ON delivery (event, client_id, uri, coalesce(sid, ''));
CREATE INDEX delivery_due ON delivery (client_id, due_at) WHERE state = 'pending';
CREATE INDEX delivery_leased ON delivery (lease_until, client_id) WHERE state = 'in_flight';
CREATE INDEX delivery_untold ON delivery (client_id, number) WHERE settled_at IS NULL;
CREATE INDEX delivery_user_wide ON delivery (client_id, sub, uri)
    WHERE sid IS NULL AND settled_at IS NULL;
CREATE INDEX delivery_settled ON delivery (state, settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX delivery_of_client ON delivery (client_id, number);

CREATE TABLE attempt (
    delivery INTEGER NOT NULL REFERENCES delivery ON DELETE CASCADE,
    number INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER,
    error TEXT,
    jti TEXT,
    kid TEXT,
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE lane (
    client_id TEXT PRIMARY KEY,
    next_due_at INTEGER,             -- the earliest of its pending deliveries
    served INTEGER NOT NULL,         -- the last claim that took from it
    pending INTEGER NOT NULL,        -- how many deliveries it has in each state
    in_flight INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',
    breaker TEXT,                    -- how it has been doing; NULL: open and well
    closed_until INTEGER             -- nothing is started before; NULL: it is not closed
) STRICT, WITHOUT ROWID;
CREATE INDEX lane_due ON lane (next_due_at)
    WHERE next_due_at IS NOT NULL AND closed_until IS NULL;
CREATE INDEX lane_closed ON lane (closed_until) WHERE closed_until IS NOT NULL;
CREATE INDEX lane_unwell ON lane (client_id) WHERE breaker IS NOT NULL;

CREATE TABLE application (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL,
    record TEXT NOT NULL,            -- what we act on, as it was read from the document
    max_in_flight INTEGER NOT NULL,
    sealed_key TEXT,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE source (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    sealed TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE management_client (
    client_id TEXT PRIMARY KEY,
    secret_hash TEXT NOT NULL,
    scopes TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE access_token (
    hash TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_token_by_end ON access_token (expires_at);

CREATE TABLE key_ring (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    version INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
"""

_FIRST_ATTEMPTS_AND_TIME = """
ALTER TABLE meta ADD COLUMN steady_at INTEGER;  -- what the steady clock showed last
CREATE INDEX delivery_fresh ON delivery (client_id, due_at) WHERE state = 'pending' AND tries = 0;
"""

# One index for first attempts and for retries, each in the order in which they are due: every
# further index is written for every delivery, when it comes, when it is claimed, and put off.
_PENDING_IN_ONE = """
DROP INDEX delivery_due;
DROP INDEX delivery_fresh;
CREATE INDEX delivery_pending ON delivery (client_id, tries > 0, due_at) WHERE state = 'pending';
"""

STEPS: tuple[str, ...] = (_FIRST, _FIRST_ATTEMPTS_AND_TIME, _PENDING_IN_ONE)
"""Step *n* (from 0) takes a store from version *n* to *n* + 1."""
