//! Partial indexes, which SeaORM cannot express.

/// Indexes of the table of tickets.
///
/// Most tickets are done; what looks for open ones must never pass by them. The state is repeated
/// in the index of unsent tickets so that SQLite prefers it to the index by state.
pub(crate) const TICKET_INDEXES: [&str; 5] = [
    "CREATE INDEX ticket_unsent ON ticket (state, due_at, id) \
     WHERE state = 'queued' AND sent_at IS NULL",
    "CREATE INDEX ticket_sent ON ticket (lane, sent_at) \
     WHERE state = 'queued' AND sent_at IS NOT NULL",
    "CREATE INDEX ticket_leased ON ticket (lane, lease_until) WHERE state = 'leased'",
    "CREATE INDEX ticket_open ON ticket (lane, state, created_at) \
     WHERE state IN ('queued', 'leased')",
    "CREATE INDEX ticket_by_state ON ticket (state, due_at, id)",
];

/// The number of the queue's schema, kept in the file. A file with another is replaced: its
/// content can be rebuilt.
pub(crate) const QUEUE_VERSION: i64 = 1;

/// The state of a message that can be delivered.
pub(crate) const READY: i64 = 0;
/// The state of a message that waits until `visible_at`.
pub(crate) const DELAYED: i64 = 1;
/// The state of a message that is held until `visible_at`.
pub(crate) const LEASED: i64 = 2;

/// The queue's tables. Triggers count, so that nothing is ever counted by looking at it all.
pub(crate) const QUEUE: &str = "
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    ticket TEXT NOT NULL,
    state INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,
    token INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    trace TEXT
);
CREATE UNIQUE INDEX message_by_ticket ON message (lane, ticket);
CREATE INDEX message_by_time ON message (lane, state, visible_at);
CREATE TABLE lane_count (
    lane TEXT NOT NULL,
    state INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (lane, state)
) WITHOUT ROWID;
CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
    INSERT INTO lane_count VALUES (new.lane, new.state, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER message_taken AFTER DELETE ON message BEGIN
    UPDATE lane_count SET count = count - 1 WHERE lane = old.lane AND state = old.state;
END;
CREATE TRIGGER message_moved AFTER UPDATE OF state ON message WHEN new.state <> old.state BEGIN
    UPDATE lane_count SET count = count - 1 WHERE lane = old.lane AND state = old.state;
    INSERT INTO lane_count VALUES (new.lane, new.state, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;
";
