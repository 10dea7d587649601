//! Numbers in sentences.

/// A number of things: `1 G`, `5 Gs`, `0 Gs`.
///
/// ```
/// use gmp_analyzer::words::count;
/// assert_eq!(count(1_u32, "event") + ", " + &count(0_i64, "G"), "1 event, 0 Gs");
/// ```
pub fn count<N: Copy + std::fmt::Display + PartialEq + From<u8>>(n: N, thing: &str) -> String {
    let s = if n == N::from(1) { "" } else { "s" };
    format!("{n} {thing}{s}")
}
