//! Tracks that the Gs of a spawn site share, one after the other: a G has its lane from its first interval to its last.
//!
//! The slices of a lane never overlap, which viewers need: a G gets a lane only if the one before had ended when it began.

use std::collections::HashMap;

use gmp_trace::ids::{GId, SiteId};

/// Lanes of a site.
const MOST: usize = 32;

/// Ids of tracks from here on are those of lanes. No process has so many Gs, and encoders have 40 bits for an id.
pub const FIRST_TRACK: u64 = 1 << 39;

#[derive(Debug)]
struct Lane {
    taken: bool,
    /// When the last slice on it ended.
    end: i64,
}

/// The lanes of a process.
#[derive(Debug, Default)]
pub struct Lanes {
    sites: HashMap<SiteId, Vec<Lane>>,
    of: HashMap<GId, Option<usize>>,
}

impl Lanes {
    /// The lane for an interval of a G; nothing if all were taken when the G was first seen. `last`: the G ends with it.
    pub fn of(&mut self, g: GId, site: SiteId, from: i64, to: i64, last: bool) -> Option<usize> {
        let lanes = self.sites.entry(site).or_default();
        let at = *self.of.entry(g).or_insert_with(|| {
            let free = lanes.iter().position(|l| !l.taken && l.end <= from);
            if free.is_none() && lanes.len() < MOST {
                lanes.push(Lane {
                    taken: false,
                    end: from,
                });
                return Some(lanes.len() - 1);
            }
            free
        });
        if last {
            self.of.remove(&g);
        }
        let lane = lanes.get_mut(at?)?;
        (lane.taken, lane.end) = (!last, lane.end.max(to));
        at
    }
}

/// The id of a lane's track.
pub fn track(site: SiteId, lane: usize) -> u64 {
    FIRST_TRACK + u64::from(site.0) * MOST as u64 + lane as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_taken_until_its_g_ends_and_slices_never_overlap() {
        let (mut lanes, site) = (Lanes::default(), SiteId(1));
        assert_eq!(lanes.of(GId(1), site, 0, 10, false), Some(0));
        assert_eq!(lanes.of(GId(2), site, 5, 8, true), Some(1));
        // The first lane is taken, the second was in use until 8.
        assert_eq!(lanes.of(GId(3), site, 7, 20, false), Some(2));
        assert_eq!(lanes.of(GId(4), site, 8, 9, true), Some(1));
        assert_eq!(lanes.of(GId(1), site, 10, 30, true), Some(0));
        assert_eq!(lanes.of(GId(5), site, 30, 31, true), Some(0));
        assert_eq!(lanes.of(GId(5), SiteId(2), 0, 1, true), Some(0));
    }

    #[test]
    fn a_g_that_finds_no_lane_never_gets_one() {
        let (mut lanes, site) = (Lanes::default(), SiteId(1));
        for g in 0..MOST as u64 {
            assert!(lanes.of(GId(g), site, 0, 10, false).is_some());
        }
        assert_eq!(lanes.of(GId(99), site, 0, 5, false), None);
        assert!(lanes.of(GId(0), site, 10, 11, true).is_some());
        assert_eq!(lanes.of(GId(99), site, 12, 15, false), None);
        assert_eq!(lanes.of(GId(100), site, 12, 15, false), Some(0));
    }
}
