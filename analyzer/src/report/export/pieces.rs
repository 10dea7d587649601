//! The files of an export: one, or numbered ones when it grows beyond what viewers open. A file appears under its name when it is whole.
//! A device or a pipe has no names to number: it gets the export in one piece.
//!
//! An export takes the place of an earlier one of the same name, all of it: what is left of more pieces, or of a single one, would be taken for a
//! part of the new one. A numbered file is removed only if it says itself that it is that piece; others may merely have such a name.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::report::place::{Part, Place};

/// How much is gathered before it is written.
const BUFFER: usize = 1 << 18;

/// A piece says which it is within its first bytes, so many.
const HEAD: u64 = 1 << 16;

/// The files being written.
#[derive(Debug)]
pub struct Pieces {
    /// As the user wrote it.
    path: PathBuf,
    /// Where the only piece goes, and beside it numbered ones; none if it is a stream.
    file: Option<PathBuf>,
    limit: u64,
    written: u64,
    out: BufWriter<File>,
    /// The pieces, the one that is being written last.
    parts: Vec<Part>,
}

impl Pieces {
    /// Begins the first piece of what may become `path`, or `path` with numbers.
    pub fn create(path: &Path, limit: u64) -> anyhow::Result<Pieces> {
        let (opened, file, parts) = match Place::of(path)? {
            Place::Stream(stream) => (stream, None, Vec::new()),
            Place::File(file) => {
                let (opened, part) =
                    Part::of(&file).with_context(|| format!("cannot write {}", path.display()))?;
                (opened, Some(file), vec![part])
            }
        };
        Ok(Pieces {
            path: path.to_owned(),
            file,
            limit,
            written: 0,
            out: BufWriter::with_capacity(BUFFER, opened),
            parts,
        })
    }

    /// Whether the piece has grown so far that another should begin.
    pub fn is_full(&self) -> bool {
        self.file.is_some() && self.written >= self.limit
    }

    /// The bytes of a stream, if it is larger than what would have been split.
    pub fn too_large(&self) -> Option<u64> {
        (self.file.is_none() && self.written > self.limit).then_some(self.written)
    }

    /// What the piece that is being written has to say of itself near its beginning.
    pub fn mark(&self) -> String {
        mark(self.parts.len().max(1))
    }

    /// Begins the next piece.
    pub fn next(&mut self) -> std::io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        self.out.flush()?;
        let (opened, part) = Part::of(file)?;
        self.parts.push(part);
        self.out = BufWriter::with_capacity(BUFFER, opened);
        self.written = 0;
        Ok(())
    }

    /// Gives all pieces their names, which are returned.
    pub fn finish(mut self) -> anyhow::Result<Vec<PathBuf>> {
        let context = |path: &Path| format!("cannot write {}", path.display());
        self.out.flush().with_context(|| context(&self.path))?;
        let Some(file) = self.file else {
            return Ok(Vec::new());
        };
        if self.parts.len() == 1 {
            for part in self.parts {
                part.become_file(&file)
                    .with_context(|| context(&self.path))?;
            }
            if remove_from(&file, 2)? > 0 {
                remove_from(&file, 1)?;
            }
            return Ok(vec![self.path]);
        }
        let mut pieces = Vec::new();
        for (i, part) in (1..).zip(self.parts) {
            let path = numbered(&file, i);
            match Place::of(&path)? {
                Place::File(file) => pieces.push((part, file, path)),
                // All of them or none: so this is known before the first gets its name.
                Place::Stream(_) => anyhow::bail!(
                    "{} is to be a piece of the trace, and is no file: choose another -o",
                    path.display()
                ),
            }
        }
        let mut paths = Vec::new();
        for (part, file, path) in pieces {
            part.become_file(&file).with_context(|| context(&path))?;
            paths.push(path);
        }
        if file.exists() {
            remove(&file)?;
        }
        remove_from(&file, paths.len() + 1)?;
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

/// Removes pieces of an earlier export from the `first` on, as far as there are; how many.
fn remove_from(path: &Path, first: usize) -> anyhow::Result<usize> {
    let mut n = 0;
    loop {
        let piece = numbered(path, first + n);
        if !says(&piece, &mark(first + n)) {
            return Ok(n);
        }
        remove(&piece)?;
        n += 1;
    }
}

fn remove(old: &Path) -> anyhow::Result<()> {
    std::fs::remove_file(old).with_context(|| {
        format!(
            "the trace is written, but {} of an earlier one is still there",
            old.display()
        )
    })
}

/// How a piece says which it is.
fn mark(i: usize) -> String {
    format!("gmp-analyze, piece {i}.")
}

/// Whether a file has this near its beginning.
fn says(path: &Path, mark: &str) -> bool {
    let mut head = Vec::new();
    // What is no regular file may keep a reader waiting.
    let read = std::fs::metadata(path).is_ok_and(|m| m.is_file())
        && (File::open(path))
            .and_then(|f| f.take(HEAD).read_to_end(&mut head))
            .is_ok();
    read && (head.windows(mark.len())).any(|part| part == mark.as_bytes())
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
