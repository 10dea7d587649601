//! `docs/adding-a-policy.md` does what it says: its file, its change, its commands and its query are tried in a copy of the workspace, up to a
//! recording in which thieves steal by the new policy.

use std::path::{Path, PathBuf};
use std::process::Command;

use gmp_store::Store;

/// A code block of the page.
struct Block {
    language: String,
    /// The file that it is for, if it names one.
    file: Option<PathBuf>,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let mut words = info.split(' ');
        let language = words.next().unwrap_or_default().to_owned();
        let file = words
            .find_map(|w| w.strip_prefix("file="))
            .map(PathBuf::from);
        let body = lines.by_ref().take_while(|l| *l != "```");
        let text = body.fold(String::new(), |text, line| text + line + "\n");
        blocks.push(Block {
            language,
            file,
            text,
        });
    }
    blocks
}

/// Makes the change of a diff without line numbers: what it says was there is there once.
fn apply(old: &str, diff: &str) -> String {
    let side = |other: char| {
        let lines = diff.lines().filter(|l| !l.starts_with(other));
        lines.fold(String::new(), |text, line| {
            text + line.get(1..).unwrap_or_default() + "\n"
        })
    };
    let (before, after) = (side('+'), side('-'));
    assert_eq!(old.matches(&before).count(), 1, "{before}");
    old.replace(&before, &after)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("writable");
        }
    }
}

/// The repository as far as the page needs it: the workspace. What an earlier test built from it stays.
fn copy_of_the_repository(root: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(to).expect("readable") {
        let entry = entry.expect("readable");
        if entry.file_type().expect("known").is_file() {
            std::fs::remove_file(entry.path()).expect("writable");
        } else if entry.file_name() != "target" {
            std::fs::remove_dir_all(entry.path()).expect("writable");
        }
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("readable");
    let members = manifest
        .lines()
        .find_map(|l| l.strip_prefix("members = "))
        .expect("a workspace");
    for member in members.split('"').skip(1).step_by(2) {
        copy(&root.join(member), &to.join(member));
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        std::fs::copy(root.join(file), to.join(file)).expect("writable");
    }
}

#[test]
fn the_page_about_adding_a_policy_works_as_it_is_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the repository");
    let page = std::fs::read_to_string(root.join("docs/adding-a-policy.md")).expect("readable");
    // At the same path each time, so that what cargo leaves does not pile up.
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("adding-a-policy");
    copy_of_the_repository(root, &copy);
    let (mut printed, mut wanted, mut queries) = (String::new(), Vec::new(), Vec::new());
    for block in blocks(&page) {
        let file = block.file.as_ref().map(|f| copy.join(f));
        match (block.language.as_str(), file) {
            ("rust", Some(file)) => {
                assert!(!file.exists(), "a new file");
                std::fs::write(file, block.text).expect("writable");
            }
            ("diff", Some(file)) => {
                let old = std::fs::read_to_string(&file).expect("a file that is there");
                std::fs::write(file, apply(&old, &block.text)).expect("writable");
            }
            ("console", None) => printed += &run(&copy, &block.text),
            ("text", None) => wanted.push(block.text),
            ("sql", Some(file)) => queries.push((file, block.text)),
            (other, file) => panic!("what is {other} for {file:?}?"),
        }
    }
    assert_eq!(wanted.len(), 1);
    assert!(
        wanted.iter().all(|text| printed.contains(text)),
        "{printed}"
    );
    for test in [
        "knobs::victims::longer::tests::the_longest_queue_comes_first_more_often_than_by_chance ... ok",
        "knobs::victims::tests::every_order_visits_every_other_p_once_in_each_pass ... ok",
    ] {
        assert!(printed.contains(test), "{test}: {printed}");
    }
    assert_eq!(queries.len(), 1);
    for (db, query) in queries {
        let (victims, steals): (String, i64) = Store::open(&db)
            .expect("a recording")
            .db()
            .query_row(&query, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("one row");
        assert_eq!(victims, "longer");
        assert!(steals > 0, "nobody stole");
    }
}

/// Runs the commands of a block, each cargo or what it built; what they print.
fn run(dir: &Path, commands: &str) -> String {
    let mut printed = String::new();
    for command in commands.lines() {
        let mut words = command.split(' ');
        let program = match words.next() {
            Some("cargo") => PathBuf::from(env!("CARGO")),
            Some(built) => dir.join(built),
            None => panic!("an empty command"),
        };
        let output = Command::new(program)
            .args(words)
            .current_dir(dir)
            // There is nothing to be fetched.
            .env("CARGO_NET_OFFLINE", "true")
            // The page's reader finds what is built where cargo puts it by default.
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("CARGO_BUILD_TARGET_DIR")
            .output()
            .expect("it starts");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {stdout}{stderr}");
        printed += &stdout;
    }
    printed
}
