//! The names of a spool: [`gmp_trace::spool::tables`].

use gmp_trace::spool::tables::{Entry, decode_all};

/// Reads all entries. What was read is written and read again as the same, and the bytes that were not whole add nothing.
pub fn tables(data: &[u8]) {
    let (entries, whole) = decode_all(data);
    assert!(whole <= data.len());
    assert_eq!(decode_all(&data[..whole]), (entries.clone(), whole));
    let written: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
    assert_eq!(decode_all(&written), (entries, written.len()));
}
