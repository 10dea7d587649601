//! The database's file: one that holds a trace database or nothing, and that nobody else writes to.

use std::fs::Metadata;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::Context;
use gmp_store::StoreError;
use gmp_store::store::{self, Found};

/// Makes sure that the output is a trace database or nothing; anything else goes away only with `force`.
pub fn prepare(output: &Path, force: bool) -> anyhow::Result<()> {
    check(output)?;
    match store::look(output) {
        Ok(Found::Trace | Found::Nothing) => Ok(()),
        Err(StoreError::NotOurs { path }) => {
            if !force {
                anyhow::bail!(
                    "{} exists and is no trace database; choose another -o, or --force to replace it",
                    path.display()
                );
            }
            std::fs::remove_file(&path)
                .with_context(|| format!("cannot replace {}", path.display()))
        }
        Err(e) => Err(e.into()),
    }
}

/// Refuses what can hold no database: a folder, a stream, a device, and a file into which what the program prints goes, which would be
/// written over the rows. A link counts as what it leads to; nothing at all is fine.
pub fn check(output: &Path) -> anyhow::Result<()> {
    if output == Path::new("-") {
        anyhow::bail!(
            "-o -: a database cannot be a stream; name a file (`./-` for one with this name)"
        );
    }
    if output.as_os_str().as_bytes().ends_with(b"/") {
        // SQLite would make a file without the slash.
        anyhow::bail!(
            "-o {}: this is the name of a folder; name a file in it",
            output.display()
        );
    }
    let Ok(found) = std::fs::metadata(output) else {
        // Whatever else is wrong with it is told by who opens it.
        return match output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
                anyhow::bail!(
                    "-o {}: there is no folder {}",
                    output.display(),
                    parent.display()
                )
            }
            _ => Ok(()),
        };
    };
    let is = |what: &str| Err(anyhow::anyhow!("-o {}: {what}", output.display()));
    let kind = found.file_type();
    if kind.is_dir() {
        is("this is a folder; name a file in it")
    } else if kind.is_fifo() || kind.is_socket() {
        is("this is a stream, and a database cannot be one; name a file")
    } else if !kind.is_file() {
        is("this is a device, and a database cannot be one; name a file")
    } else if is_stream(&std::io::stdout(), &found) {
        is(
            "standard output goes into this file, and would be written over the database; name another",
        )
    } else if is_stream(&std::io::stderr(), &found) {
        is(
            "standard error goes into this file, and would be written over the database; name another",
        )
    } else {
        Ok(())
    }
}

/// Whether an open stream writes to this file.
fn is_stream(stream: &impl AsFd, file: &Metadata) -> bool {
    let to = stream
        .as_fd()
        .try_clone_to_owned()
        .and_then(|fd| std::fs::File::from(fd).metadata());
    to.is_ok_and(|to| (to.dev(), to.ino()) == (file.dev(), file.ino()))
}
