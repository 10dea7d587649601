//! A process whose spool cannot be read: the run is finished without it, and says so. One folder that makes no sense must not keep the
//! other processes of the run from the database.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gmp_store::Store;
use gmp_store::entity::{Lost, Process};
use gmp_store::run::Run;
use gmp_trace::clock::Calibration;
use gmp_trace::spool::SpoolError;

use super::row;
use super::things::Things;
use crate::machine::Machine;
use crate::place;

/// A process of which nothing is in the database, or nothing more than there was before.
#[derive(Debug)]
pub struct Unread {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    NeverBegan,
    Gone,
    Damaged(String),
}

impl Unread {
    /// A process that ended, or had to go on unrecorded, before its spool was there.
    pub fn never_began(path: &Path) -> Unread {
        Unread {
            path: path.to_owned(),
            why: Why::NeverBegan,
        }
    }

    /// A process that an earlier recorder had begun to read and whose folder, `path`, is no more.
    pub fn gone(path: PathBuf) -> Unread {
        let why = Why::Gone;
        Unread { path, why }
    }

    /// What an error means for the process in `path`.
    ///
    /// # Errors
    /// The error itself if it does not say that the files are damaged: then another attempt may read them.
    pub fn damaged(path: &Path, error: anyhow::Error) -> anyhow::Result<Unread> {
        let is_damage = match error.downcast_ref::<SpoolError>() {
            Some(SpoolError::Format { .. }) => true,
            Some(SpoolError::Io { error, .. }) => error.kind() == ErrorKind::NotFound,
            None => false,
        };
        if !is_damage {
            return Err(error);
        }
        Ok(Unread {
            path: path.to_owned(),
            why: Why::Damaged(error.to_string()),
        })
    }

    /// Whether its files hold something that could not be read.
    pub fn is_damaged(&self) -> bool {
        matches!(self.why, Why::Damaged(_))
    }

    /// Makes the database say that the process was there and what became of its events, and completes the tables that rows of it refer to.
    /// `number`: its number in the run.
    pub fn note(
        &self,
        store: &Store,
        run: &Run,
        number: u32,
        calibration: Calibration,
        machine: &Machine,
    ) -> anyhow::Result<()> {
        let known = Process::all(store, run.run)?;
        if let Some(known) = known.iter().find(|p| p.process == number) {
            Things::new(store, run.run, number).finish_from_rows(known)?;
        } else {
            let identity = place::identity(&self.path).unwrap_or_default();
            row::new(run, number, identity, calibration, machine).insert(store)?;
        }
        Ok(Lost {
            run: run.run,
            process: number,
            m: None,
            before_m_seq: None,
            n: None,
            why: match &self.why {
                Why::NeverBegan => "the process never began to record".into(),
                Why::Gone => "the spool is gone".into(),
                Why::Damaged(what) => format!("damaged: {what}"),
            },
        }
        .insert(store)?)
    }
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pid = place::identity(&self.path).unwrap_or_default().0;
        match &self.why {
            Why::NeverBegan => write!(
                f,
                "process {pid} was not recorded: there was no room for its spool in {}, or it was killed before it began",
                self.path.parent().unwrap_or(&self.path).display()
            ),
            Why::Gone => write!(
                f,
                "process {pid} could not be read to its end: {} is gone",
                self.path.display()
            ),
            Why::Damaged(what) => write!(f, "process {pid} could not be read: {what}"),
        }
    }
}
