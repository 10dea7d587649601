//! Numbers in sentences.

/// A number of things: `1 G`, `5 Gs`, `0 Gs`.
///
/// ```
/// use gmp_analyzer::words::count;
/// assert_eq!(count(1_u32, "event") + ", " + &count(0_i64, "G"), "1 event, 0 Gs");
/// ```
pub fn count<N: Copy + std::fmt::Display + PartialEq + From<u8>>(n: N, thing: &str) -> String {
    let s = agree(n, "", "s");
    format!("{n} {thing}{s}")
}

/// Which of two words goes with a number of things: that for one thing, or that for any other number.
///
/// ```
/// use gmp_analyzer::words::agree;
/// assert_eq!((agree(1_u32, "was", "were"), agree(0_i64, "was", "were")), ("was", "were"));
/// ```
pub fn agree<'a, N: PartialEq + From<u8>>(n: N, one: &'a str, other: &'a str) -> &'a str {
    if n == N::from(1) { one } else { other }
}
