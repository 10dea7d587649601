//! Changes to files, as bytes: what the targets take whose input is files that are too large to be mutated as they are.
//!
//! A change is the number of a file, an offset (32 bits, little-endian), a length, and so many bytes. With the highest bit of the number set
//! the file ends at the offset instead. Any bytes are a list of changes; a last one that is cut short has what is there of it.

/// One change to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch<'a> {
    /// The number of the file.
    pub file: u8,
    /// Where in it.
    pub offset: u32,
    /// What is to be there; nothing if the file is to end there.
    pub bytes: Option<&'a [u8]>,
}

/// In the number of a file: it ends at the offset.
const CUT: u8 = 0x80;

/// The changes that some bytes are.
pub fn read(mut data: &[u8]) -> impl Iterator<Item = Patch<'_>> {
    std::iter::from_fn(move || {
        let (&[file, a, b, c, d], rest) = data.split_first_chunk()?;
        let offset = u32::from_le_bytes([a, b, c, d]);
        if file & CUT != 0 {
            data = rest;
            return Some(Patch {
                file: file & !CUT,
                offset,
                bytes: None,
            });
        }
        let (&len, rest) = rest.split_first()?;
        let (bytes, rest) = rest.split_at(rest.len().min(len.into()));
        data = rest;
        Some(Patch {
            file,
            offset,
            bytes: Some(bytes),
        })
    })
}

/// The changes that make a file of zeros into `bytes`, appended to `out`.
pub fn write(out: &mut Vec<u8>, file: u8, bytes: &[u8]) {
    let mut at = 0;
    while let Some(skip) = bytes[at..].iter().position(|b| *b != 0) {
        at += skip;
        // Up to a gap of zeros that is longer than what it costs to begin anew.
        let rest = &bytes[at..];
        let gap = rest.windows(8).position(|w| w == [0; 8]);
        let len = gap.unwrap_or(rest.len()).min(255);
        out.push(file);
        out.extend((at as u32).to_le_bytes());
        out.push(len as u8);
        out.extend(&rest[..len]);
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_makes_the_file_again() {
        let mut file = vec![0; 2_000];
        file[3] = 1;
        file[100..700].fill(7);
        file[705] = 2;
        file[1_999] = 9;
        let mut patches = Vec::new();
        write(&mut patches, 4, &file);
        let mut made = vec![0; 2_000];
        for patch in read(&patches) {
            let at = patch.offset as usize;
            let bytes = patch.bytes.expect("no cut");
            made[at..at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(patch.file, 4);
        }
        assert!(made == file && patches.len() < 700);
    }

    #[test]
    fn a_change_that_is_cut_short_is_what_is_there() {
        let read = |data| read(data).collect::<Vec<_>>();
        let some = |bytes| Patch {
            file: 1,
            offset: 2,
            bytes,
        };
        assert_eq!(read(&[1, 2, 0, 0, 0, 9, 5]), [some(Some(&[5]))]);
        assert_eq!(read(&[0x81, 2, 0, 0, 0]), [some(None)]);
        assert_eq!(read(&[1, 2, 0, 0, 0]), []);
    }
}
