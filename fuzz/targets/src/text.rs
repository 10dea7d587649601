//! Events as text: [`gmp_trace::text`].

use gmp_trace::text::{parse, print};

/// Reads each line. One that is an event is printed and read again as the same.
pub fn text(data: &[u8]) {
    for line in String::from_utf8_lossy(data).lines() {
        if let Ok(event) = parse(line) {
            assert_eq!(parse(&print(&event)), Ok(event), "from {line}");
        }
    }
}
