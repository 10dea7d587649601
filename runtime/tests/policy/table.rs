//! The table in `README.md` is complete, and every test that it names exists.

use std::path::Path;

use gmp_policy::KNOBS;

/// The knob of a row, and the tests that it names.
fn rows() -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy/README.md");
    let names = |cell: &str| -> Vec<String> {
        let inside = cell.split('`').skip(1).step_by(2);
        inside.map(str::to_owned).collect()
    };
    std::fs::read_to_string(path)
        .expect("the table")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<_> = line.split('|').collect();
            (names(cells[1]).concat(), names(cells[2]))
        })
        .collect()
}

#[test]
fn every_knob_has_a_row_in_the_order_of_the_help() {
    let knobs: Vec<_> = rows().into_iter().map(|(knob, _)| knob).collect();
    assert_eq!(knobs, KNOBS.iter().map(|k| k.name).collect::<Vec<_>>());
}

#[test]
fn every_row_names_tests_that_exist() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (knob, named) in rows() {
        assert!(!named.is_empty(), "{knob} has no test");
        for test in named {
            let (folder, test) = test.split_once('/').unwrap_or(("policy", &test));
            let (file, name) = test.split_once("::").expect("file::test");
            let path = tests.join(folder).join(format!("{file}.rs"));
            let text = std::fs::read_to_string(&path).expect("a file of tests");
            let declared = format!("#[test]\nfn {name}()");
            assert!(text.contains(&declared), "{knob}: there is no `{test}`");
        }
    }
}
