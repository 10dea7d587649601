//! The files of an export: one, or numbered ones when it grows beyond what viewers open. A file appears under its name when it is whole.
//! A device or a pipe has no names to number: it gets the export in one piece.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::report::place::{Part, Place};

/// How much is gathered before it is written.
const BUFFER: usize = 1 << 18;

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
