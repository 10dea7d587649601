//! The html report: its figures are the database's, it needs no network, and in a real browser it draws and zooms without an error.

mod recording;

use std::path::{Path, PathBuf};
use std::process::Command;

use recording::Recording;

fn report(r: &Recording) -> String {
    r.text(&["--report", "html", "-o", "report.html"]);
    std::fs::read_to_string(r.dir.path().join("report.html")).expect("readable")
}

/// The value that the page gives for a figure.
fn figure(page: &str, key: &str) -> f64 {
    let from = format!("data-figure=\"{key}\" data-value=\"");
    let at = page.find(&from).unwrap_or_else(|| panic!("no {key}")) + from.len();
    let text: String = page[at..].chars().take_while(|c| *c != '"').collect();
    text.parse().expect("a number")
}

#[test]
fn figures_are_the_databases_and_nothing_is_loaded() {
    let r = Recording::of(
        &["--procs", "4", "--label", "<b>label</b>"],
        &["steal-imbalance", "--tasks", "300", "--heavy", "30"],
    );
    r.again(&["--label", "two"], &["spawn-join", "--tasks", "20"]);
    r.text(&["--run", "1", "--report", "html", "-o", "report.html"]);
    let page = std::fs::read_to_string(r.dir.path().join("report.html")).expect("readable");
    let number = |sql: &str| r.number(sql) as f64;
    assert_eq!(
        figure(&page, "events"),
        number("SELECT events FROM run WHERE run = 1")
    );
    assert_eq!(
        figure(&page, "gs"),
        number("SELECT count(*) FROM g WHERE run = 1")
    );
    assert_eq!(
        figure(&page, "starts"),
        number("SELECT count(*) FROM event WHERE run = 1 AND kind = 11")
    );
    assert_eq!(
        figure(&page, "steals"),
        number("SELECT count(*) FROM steal WHERE run = 1")
    );
    assert_eq!(
        figure(&page, "stolen"),
        number("SELECT ifnull(sum(n), 0) FROM steal WHERE run = 1")
    );
    let longest = number("SELECT max(latency_ns) FROM wakeup WHERE run = 1");
    assert!((figure(&page, "latency_max_ns") / longest - 1.0).abs() < 2e-3);
    assert!(page.contains("&lt;b&gt;label&lt;&#x2f;b&gt;") && !page.contains("<b>label</b>"));
    assert!(page.contains("All runs of this database"));
    for loads in ["src=\"http", "href=\"http", "url(http", "@import"] {
        assert!(!page.contains(loads), "{loads}");
    }
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
}

/// A long run: only windows hold single switches, and the page stays small.
#[test]
fn a_page_does_not_grow_with_the_run() {
    let r = Recording::of(
        &["--procs", "2"],
        &["yield", "--tasks", "100", "--yields", "5000"],
    );
    assert!(r.number("SELECT events FROM run") > 1_000_000);
    let page = report(&r);
    assert!(page.len() < 20 << 20, "{} bytes", page.len());
    assert!(page.contains("the beginning"));
}

/// The browser, where the machine has one: `CHROME`, or one of the usual names.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "chromium-headless-shell",
    ];
    std::env::var_os("CHROME").map(PathBuf::from).or_else(|| {
        std::env::split_paths(&path)
            .flat_map(|dir| named.map(|name| dir.join(name)))
            .find(|p| p.is_file())
    })
}

/// The page's body as the browser has it after its scripts ran, and what they said on the console.
fn browse(browser: &Path, r: &Recording, hash: &str) -> (String, String) {
    let page = r.dir.path().join("report.html");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--dump-dom",
            "--virtual-time-budget=8000",
            "--enable-logging=stderr",
        ])
        .arg(format!(
            "--user-data-dir={}",
            r.dir.path().join("profile").display()
        ))
        .arg(format!("file://{}{hash}", page.display()))
        .output()
        .expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let body = dom
        .find("<body")
        .map_or("", |at| &dom[at..])
        .split('>')
        .next()
        .unwrap_or_default()
        .to_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    let console = said
        .lines()
        .filter(|l| l.contains("CONSOLE"))
        .collect::<Vec<_>>()
        .join("\n");
    (body, console)
}

fn attribute(body: &str, name: &str) -> i64 {
    let from = format!("data-{name}=\"");
    let at = body
        .find(&from)
        .unwrap_or_else(|| panic!("no {name} in {body}"))
        + from.len();
    body[at..]
        .chars()
        .take_while(|c| *c != '"')
        .collect::<String>()
        .parse()
        .expect("a number")
}

#[test]
fn a_real_browser_draws_and_zooms_the_timeline() {
    let Some(browser) = browser() else {
        eprintln!("skipped: there is no Chromium here (CHROME names one, `make test` installs it)");
        return;
    };
    let r = Recording::of(
        &["--procs", "4"],
        &["steal-imbalance", "--tasks", "300", "--heavy", "30"],
    );
    report(&r);
    let (whole, console) = browse(&browser, &r, "");
    assert_eq!(console, "");
    assert!(whole.contains("data-ready=\"yes\""), "{whole}");
    let (from, to) = (attribute(&whole, "from"), attribute(&whole, "to"));
    assert_eq!(from, r.number("SELECT min(ts) FROM event"));
    assert_eq!(to, r.number("SELECT max(ts) FROM event"));
    assert!(
        attribute(&whole, "drawn") > 300 && attribute(&whole, "rows") > 100,
        "{whole}"
    );
    let middle = (from + to) / 2;
    let (zoomed, console) = browse(
        &browser,
        &r,
        &format!("#zoom={}..{}", middle, middle + 50_000),
    );
    assert_eq!(console, "");
    assert_eq!(
        (attribute(&zoomed, "from"), attribute(&zoomed, "to")),
        (middle, middle + 50_000)
    );
    let (few, all) = (attribute(&zoomed, "drawn"), attribute(&whole, "drawn"));
    assert!(few > 0 && few < all, "{few} of {all}");
}
