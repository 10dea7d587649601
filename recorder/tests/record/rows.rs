//! Questions to the database of a test.

use gmp_store::Store;

pub fn number(store: &Store, sql: &str) -> i64 {
    store
        .db()
        .query_row(sql, [], |r| r.get(0))
        .expect("a number")
}

/// Each counter of the runtime with the number of its events, where they differ.
pub fn differences(store: &Store) -> Vec<(String, i64, i64)> {
    use gmp_trace::tally::{Equals, Tally};
    let mut found = Vec::new();
    for tally in Tally::ALL {
        let Equals::Count(kind) = tally.equals() else {
            continue;
        };
        let recorded = number(
            store,
            &format!("SELECT count(*) FROM event WHERE kind = {}", kind as u8),
        );
        let counted = number(
            store,
            &format!(
                "SELECT sum(value) FROM own_counter WHERE name = '{}'",
                tally.name()
            ),
        );
        if recorded != counted {
            found.push((tally.name().to_owned(), recorded, counted));
        }
    }
    found
}

/// Every number of every stream is an event, a reading of counters, or lost.
pub fn assert_all_accounted_for(store: &Store) {
    let given = number(
        store,
        "SELECT sum(n) FROM (SELECT max(m_seq) + 1 AS n FROM
           (SELECT process, m, m_seq FROM event UNION ALL SELECT process, m, m_seq FROM counter)
         GROUP BY process, m)",
    );
    let kept = number(
        store,
        "SELECT (SELECT count(*) FROM event) + (SELECT count(*) FROM counter)
           + (SELECT ifnull(sum(n), 0) FROM lost WHERE before_m_seq IS NOT NULL)",
    );
    assert_eq!(kept, given);
    let twice = "SELECT count(*) - count(DISTINCT process || ' ' || m || ' ' || m_seq) FROM event";
    assert_eq!(number(store, twice), 0);
}
