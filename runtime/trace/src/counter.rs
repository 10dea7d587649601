//! The perf counters that a runtime can read, by the names that `perf` has for them, in the order of the fields of [`Event::Counters`].
//!
//! Here rather than in the runtime, because a recorder must know a wrong name before it starts a program.
//!
//! [`Event::Counters`]: crate::event::Event::Counters

/// Every counter.
pub const NAMES: [&str; 8] = [
    "cycles",
    "instructions",
    "cache-misses",
    "branch-misses",
    "task-clock",
    "context-switches",
    "page-faults",
    "cpu-migrations",
];

/// The counters that a text asks for: `auto` for all, `none`, or a comma list of names; each once.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn parse(text: &str) -> Result<Vec<&'static str>, String> {
    match text {
        "auto" => return Ok(NAMES.to_vec()),
        "none" => return Ok(Vec::new()),
        _ => {}
    }
    let mut wanted = Vec::new();
    for name in text.split(',').map(str::trim) {
        let Some(name) = NAMES.into_iter().find(|n| *n == name) else {
            return Err(format!(
                "'{name}' is no counter; there are auto, none, {}",
                NAMES.join(", ")
            ));
        };
        if !wanted.contains(&name) {
            wanted.push(name);
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_asked_for_by_name() {
        assert_eq!(parse("none"), Ok(vec![]));
        assert_eq!(parse("auto"), Ok(NAMES.to_vec()));
        assert_eq!(
            parse("page-faults, cycles,page-faults"),
            Ok(vec!["page-faults", "cycles"])
        );
        let wrong = parse("cycles,cakes").expect_err("no such counter");
        assert!(wrong.starts_with("'cakes' is no counter") && wrong.contains("task-clock"));
    }
}
