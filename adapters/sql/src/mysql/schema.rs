//! Tables that only servers have, as MySQL says them. Each statement may be repeated: a migration
//! that breaks off there is not undone.

/// What writers need.
pub(crate) fn writes(collation: &str) -> Vec<String> {
    let table = |name: &str, columns: &str| {
        format!(
            "CREATE TABLE IF NOT EXISTS {name} ({columns}) \
             ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {collation}"
        )
    };
    vec![
        table(
            "event_inbox",
            "id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, merchant VARCHAR(64) NOT NULL, \
             stream VARCHAR(64) NOT NULL, sequence BIGINT NOT NULL, kind VARCHAR(64) NOT NULL, \
             subject VARCHAR(64) NOT NULL, data LONGTEXT NOT NULL, at BIGINT NOT NULL, \
             trace VARCHAR(255), UNIQUE KEY event_inbox_by_stream (stream, sequence)",
        ),
        table(
            "event_head",
            "id SMALLINT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, latest BIGINT NOT NULL",
        ),
        String::from(
            "INSERT IGNORE INTO event_head (id, seq, latest) VALUES (1, 0, -9223372036854775808)",
        ),
        table(
            "ticket_counter",
            "lane VARCHAR(64) NOT NULL, class VARCHAR(64) NOT NULL, \
             merchant VARCHAR(64) NOT NULL, kind VARCHAR(64) NOT NULL, \
             stage VARCHAR(64) NOT NULL, shard SMALLINT NOT NULL, `count` BIGINT NOT NULL, \
             PRIMARY KEY (lane, class, merchant, kind, stage, shard)",
        ),
        String::from(
            "CREATE OR REPLACE VIEW ticket_count AS SELECT lane, class, merchant, kind, stage, \
             CAST(SUM(`count`) AS SIGNED) AS `count` FROM ticket_counter \
             GROUP BY lane, class, merchant, kind, stage",
        ),
        table("commit_counter", "shard SMALLINT NOT NULL PRIMARY KEY, `count` BIGINT NOT NULL"),
    ]
}
