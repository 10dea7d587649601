//! Times as people write and read them.

/// A duration in ns with a unit that suits it: `740 ns`, `1.25 ms`.
///
/// ```
/// assert_eq!(gmp_analyzer::time::human(1_250_000), "1.25 ms");
/// assert_eq!(gmp_analyzer::time::human(-740), "-740 ns");
/// ```
pub fn human(ns: i64) -> String {
    let size = ns.unsigned_abs();
    let (value, unit) = match size {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = match value.abs() {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// A point in time in ms, for lists: `12.345 ms`.
pub fn at(ns: i64) -> String {
    format!("{:.3} ms", ns as f64 / 1e6)
}

/// Reads a time such as `12.5ms`, `3s`, `250us` or `0`, in ns.
///
/// # Errors
/// What is wrong with it.
///
/// ```
/// assert_eq!(gmp_analyzer::time::parse("12.5ms"), Ok(12_500_000));
/// assert!(gmp_analyzer::time::parse("12").is_err());
/// ```
pub fn parse(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| c.is_alphabetic() || c == 'µ')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let value: f64 = number
        .trim()
        .parse()
        .map_err(|_| format!("{text} is no time; write it like 12.5ms"))?;
    let factor = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "" if value == 0.0 => 1.0,
        _ => return Err(format!("{text} needs a unit: ns, us, ms or s")),
    };
    Ok((value * factor).round() as i64)
}
