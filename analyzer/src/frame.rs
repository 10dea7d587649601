//! What the pass leaves of each G, as a polars frame, and its aggregates by spawn site.

use gmp_trace::ids::{GId, SiteId};
use polars::prelude::*;

/// The life of one G, times in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GLife {
    /// The G.
    pub g: GId,
    /// Where it was spawned; 0 if that is not known.
    pub site: SiteId,
    /// When it was first seen.
    pub from: i64,
    /// When it was last seen.
    pub to: i64,
    /// Time it ran.
    pub running: i64,
    /// Time it could have run.
    pub runnable: i64,
    /// Time it waited.
    pub waiting: i64,
    /// Time it was in system calls.
    pub syscall: i64,
    /// How often it was started.
    pub starts: u32,
    /// The longest time it was runnable.
    pub worst_latency: i64,
    /// Whether it ended.
    pub ended: bool,
}

/// Times of the Gs of one spawn site, in ns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteTimes {
    /// The site.
    pub site: SiteId,
    /// Its Gs.
    pub gs: u64,
    /// Starts.
    pub starts: u64,
    /// Time they ran, summed.
    pub running: i64,
    /// Time they could have run, summed.
    pub runnable: i64,
    /// Time they waited, summed.
    pub waiting: i64,
    /// Time they were in system calls, summed.
    pub syscall: i64,
    /// Running time of the median G.
    pub median_running: f64,
    /// The longest that one was runnable.
    pub worst_latency: i64,
}

/// The frame with a row for each G.
///
/// # Errors
/// None that a caller can cause.
pub fn gs(lives: &[GLife]) -> PolarsResult<DataFrame> {
    fn column<T>(name: &str, lives: &[GLife], get: impl Fn(&GLife) -> T) -> Column
    where
        Series: NamedFrom<Vec<T>, [T]>,
        Vec<T>: AsRef<[T]>,
    {
        Series::new(name.into(), lives.iter().map(get).collect::<Vec<T>>()).into()
    }
    DataFrame::new(
        lives.len(),
        vec![
            column("g", lives, |l| l.g.0),
            column("site", lives, |l| l.site.0),
            column("starts", lives, |l| u64::from(l.starts)),
            column("running", lives, |l| l.running),
            column("runnable", lives, |l| l.runnable),
            column("waiting", lives, |l| l.waiting),
            column("syscall", lives, |l| l.syscall),
            column("worst_latency", lives, |l| l.worst_latency),
        ],
    )
}

/// The times by spawn site, the site that ran longest first.
///
/// # Errors
/// None that a caller can cause.
#[allow(
    deprecated,
    reason = "what replaces them needs the lazy engine, which triples the time that polars takes to build"
)]
pub fn by_site(gs: &DataFrame) -> PolarsResult<Vec<SiteTimes>> {
    if gs.height() == 0 {
        return Ok(Vec::new());
    }
    let sums = ["starts", "running", "runnable", "waiting", "syscall"];
    let groups = |columns: &[&'static str]| {
        let columns: Vec<&'static str> = columns.to_vec();
        Ok::<_, PolarsError>(gs.group_by_stable(["site"])?.select(columns))
    };
    let sum = groups(&sums)?.sum()?;
    let count = groups(&["g"])?.count()?;
    let median = groups(&["running"])?.median()?;
    let worst = groups(&["worst_latency"])?.max()?;
    // `group_by_stable` gives the groups in the order of their first rows, the same each time.
    let site = sum.column("site")?.u32()?;
    let number = |frame: &DataFrame, name: &str| -> PolarsResult<Vec<i64>> {
        let column = frame.column(name)?.cast(&DataType::Int64)?;
        Ok(column.i64()?.iter().map(|v| v.unwrap_or(0)).collect())
    };
    let starts = number(&sum, "starts_sum")?;
    let running = number(&sum, "running_sum")?;
    let runnable = number(&sum, "runnable_sum")?;
    let waiting = number(&sum, "waiting_sum")?;
    let syscall = number(&sum, "syscall_sum")?;
    let gs_of = number(&count, "g_count")?;
    let worst = number(&worst, "worst_latency_max")?;
    let median = median.column("running_median")?.cast(&DataType::Float64)?;
    let median = median.f64()?;
    let mut sites: Vec<SiteTimes> = site
        .iter()
        .enumerate()
        .map(|(i, site)| SiteTimes {
            site: SiteId(site.unwrap_or(0)),
            gs: gs_of[i] as u64,
            starts: starts[i] as u64,
            running: running[i],
            runnable: runnable[i],
            waiting: waiting[i],
            syscall: syscall[i],
            median_running: median.get(i).unwrap_or(0.0),
            worst_latency: worst[i],
        })
        .collect();
    sites.sort_by_key(|s| (std::cmp::Reverse(s.running), s.site));
    Ok(sites)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_by_site() {
        let life = |g, site, running, worst_latency| GLife {
            g: GId(g),
            site: SiteId(site),
            running,
            starts: 2,
            worst_latency,
            ..GLife::default()
        };
        let lives = [life(1, 7, 10, 3), life(2, 9, 100, 1), life(3, 7, 30, 8)];
        let sites = gs(&lives).and_then(|f| by_site(&f)).expect("a frame");
        assert_eq!(sites.len(), 2);
        assert_eq!(
            (sites[0].site, sites[0].running, sites[0].gs),
            (SiteId(9), 100, 1)
        );
        let seven = &sites[1];
        assert_eq!(
            (seven.gs, seven.running, seven.starts, seven.worst_latency),
            (2, 40, 4, 8)
        );
        assert_eq!(seven.median_running, 20.0);
        assert_eq!(gs(&[]).and_then(|f| by_site(&f)).expect("a frame"), []);
    }
}
