//! What numbers stand for in a process of a run: the places where Gs were spawned and objects made, names of Ms, strings.

use gmp_store::entity::{M, Object, Site, Text};
use gmp_store::{Store, StoreError};
use gmp_trace::event::Event;
use gmp_trace::ids::{GId, MId, ObjectId, SiteId, StringId};
use rustc_hash::FxHashMap;

/// The names of one process.
#[derive(Debug, Default)]
pub struct Names {
    sites: FxHashMap<SiteId, (String, String)>,
    objects: FxHashMap<ObjectId, (String, SiteId)>,
    ms: FxHashMap<MId, M>,
    strings: FxHashMap<StringId, String>,
    /// The site of each G that lives or, if asked to keep all, lived.
    gs: FxHashMap<GId, SiteId>,
}

impl Names {
    /// Reads those of a process.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn of(store: &Store, run: u32, process: u32) -> Result<Names, StoreError> {
        let mut names = Names::default();
        for s in Site::all(store, run)?
            .into_iter()
            .filter(|s| s.process == process)
        {
            let file = s.file.rsplit('/').next().unwrap_or(&s.file);
            let short = format!("{file}:{}", s.line);
            let long = format!("{}:{}:{}", s.file, s.line, s.col);
            names.sites.insert(SiteId(s.site), (short, long));
        }
        for o in Object::all(store, run)?
            .into_iter()
            .filter(|o| o.process == process)
        {
            let site = SiteId(o.site.unwrap_or(0));
            names
                .objects
                .insert(ObjectId(o.object as u64), (o.kind, site));
        }
        for m in M::all(store, run)?
            .into_iter()
            .filter(|m| m.process == process)
        {
            names.ms.insert(MId(m.m), m);
        }
        for t in Text::all(store, run)?
            .into_iter()
            .filter(|t| t.process == process)
        {
            names.strings.insert(StringId(t.string), t.text);
        }
        Ok(names)
    }

    /// Learns from an event where a G was spawned.
    pub fn learn(&mut self, event: &Event) {
        if let Event::Spawn { g, site, .. } = event {
            self.gs.insert(*g, *site);
        }
    }

    /// Forgets a G that ended.
    pub fn forget(&mut self, g: GId) {
        self.gs.remove(&g);
    }

    /// Where a G was spawned.
    pub fn site_of(&self, g: GId) -> SiteId {
        self.gs.get(&g).copied().unwrap_or(SiteId(0))
    }

    /// `file.rs:12`, or `?`.
    pub fn site(&self, site: SiteId) -> &str {
        self.sites.get(&site).map_or("?", |(short, _)| short)
    }

    /// The whole path, line and column, or `?`.
    pub fn long_site(&self, site: SiteId) -> &str {
        self.sites.get(&site).map_or("?", |(_, long)| long)
    }

    /// `channel 3, made at file.rs:12`.
    pub fn object(&self, object: ObjectId) -> String {
        match self.objects.get(&object) {
            Some((kind, site)) => format!("{kind} {} made at {}", object.0, self.site(*site)),
            None => format!("object {}", object.0),
        }
    }

    /// The thread of an M.
    pub fn m(&self, m: MId) -> Option<&M> {
        self.ms.get(&m)
    }

    /// A string.
    pub fn string(&self, string: StringId) -> &str {
        self.strings.get(&string).map_or("", String::as_str)
    }
}
