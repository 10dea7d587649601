//! The files of an export: one, or numbered ones when it grows beyond what viewers open. A file appears under its name when it is whole.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::interrupted::{self, Cleaned};
use crate::report::output::refuse_database;

/// The files being written.
#[derive(Debug)]
pub struct Pieces {
    path: PathBuf,
    limit: u64,
    written: u64,
    out: BufWriter<File>,
    /// Those that are whole, still under their temporary names.
    done: Vec<PathBuf>,
    /// The temporary names are removed if a signal ends the program.
    cleaned: Vec<Cleaned>,
    finished: bool,
}

impl Pieces {
    /// Begins the first piece of what may become `path`, or `path` with numbers.
    pub fn create(path: &Path, limit: u64) -> anyhow::Result<Pieces> {
        refuse_database(path)?;
        let part = part(path, 1);
        let file =
            File::create(&part).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Pieces {
            path: path.to_owned(),
            limit,
            written: 0,
            out: BufWriter::with_capacity(1 << 18, file),
            done: Vec::new(),
            cleaned: vec![interrupted::clean(&part)],
            finished: false,
        })
    }

    /// Whether the piece has grown so far that another should begin.
    pub fn is_full(&self) -> bool {
        self.written >= self.limit
    }

    /// Begins the next piece.
    pub fn next(&mut self) -> std::io::Result<()> {
        self.out.flush()?;
        self.done.push(part(&self.path, self.done.len() + 1));
        let part = part(&self.path, self.done.len() + 1);
        self.cleaned.push(interrupted::clean(&part));
        let file = File::create(part)?;
        self.out = BufWriter::with_capacity(1 << 18, file);
        self.written = 0;
        Ok(())
    }

    /// Gives all pieces their names.
    pub fn finish(&mut self) -> anyhow::Result<Vec<PathBuf>> {
        let context = || format!("cannot write {}", self.path.display());
        self.out.flush().with_context(context)?;
        self.done.push(part(&self.path, self.done.len() + 1));
        let paths: Vec<PathBuf> = match self.done.len() {
            1 => vec![self.path.clone()],
            n => (1..=n).map(|i| numbered(&self.path, i)).collect(),
        };
        for (from, to) in self.done.iter().zip(&paths) {
            std::fs::rename(from, to).with_context(context)?;
        }
        self.finished = true;
        Ok(paths)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if !self.finished {
            // A failed export leaves nothing half-written; what cannot be removed is named by the error that brought us here.
            for i in 1..=self.done.len() + 1 {
                let _ = std::fs::remove_file(part(&self.path, i));
            }
        }
    }
}

fn part(path: &Path, i: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{i}.part"));
    PathBuf::from(name)
}

/// `trace.json` becomes `trace-2.json`.
fn numbered(path: &Path, i: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match path.extension() {
        Some(extension) => {
            path.with_file_name(format!("{stem}-{i}.{}", extension.to_string_lossy()))
        }
        None => path.with_file_name(format!("{stem}-{i}")),
    }
}
