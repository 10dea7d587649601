//! One event as bytes: the kind, the ticks since the event before, the arguments; all but the kind as unsigned LEB128.
//!
//! Decoding is total: any bytes give an event or an error, never a panic, and no allocation.

use crate::event::{BadField, Event, Kind, MAX_ARGS};

/// The most bytes that one record takes.
pub const MAX_RECORD: usize = 1 + 10 + MAX_ARGS * 10;

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end in the middle of it.
    #[error("the record is cut short")]
    Short,
    /// No kind has this number; a newer version may.
    #[error("{0} is no kind of event that this version knows")]
    Kind(u8),
    /// A number does not end after 10 bytes, or is larger than 64 bits.
    #[error("a number is too long")]
    Long,
    /// An argument has no meaning.
    #[error(transparent)]
    Field(#[from] BadField),
}

/// Writes a record at `out`, which has room for [`MAX_RECORD`] bytes; returns its length.
///
/// # Safety
/// `out` is valid for writes of [`MAX_RECORD`] bytes.
#[inline(always)]
pub unsafe fn encode(out: *mut u8, dt: u64, event: &Event) -> usize {
    // SAFETY: a record has at most `MAX_ARGS` arguments, checked where the vocabulary is made, so all writes are within MAX_RECORD.
    unsafe {
        *out = event.kind() as u8;
        let mut at = put(out, 1, dt);
        event.args(|arg| at = put(out, at, arg));
        at
    }
}

/// [`encode`] into an array.
pub fn encode_into(out: &mut [u8; MAX_RECORD], dt: u64, event: &Event) -> usize {
    // SAFETY: the array has the room.
    unsafe { encode(out.as_mut_ptr(), dt, event) }
}

/// # Safety
/// `out + at` is valid for writes of 10 bytes.
#[inline(always)]
unsafe fn put(out: *mut u8, mut at: usize, mut value: u64) -> usize {
    // SAFETY: the caller's contract; 64 bits take at most 10 groups of 7.
    unsafe {
        while value >= 0x80 {
            *out.add(at) = value as u8 | 0x80;
            value >>= 7;
            at += 1;
        }
        *out.add(at) = value as u8;
    }
    at + 1
}

/// Reads the record at the start of `bytes`: the ticks since the event before, the event, the record's length.
///
/// # Errors
/// Why the bytes are no record.
pub fn decode(bytes: &[u8]) -> Result<(u64, Event, usize), DecodeError> {
    let (&kind, _) = bytes.split_first().ok_or(DecodeError::Short)?;
    let kind = Kind::from_u8(kind).ok_or(DecodeError::Kind(kind))?;
    let mut at = 1;
    let dt = take(bytes, &mut at)?;
    let event = Event::decode(kind, || take(bytes, &mut at))?;
    Ok((dt, event, at))
}

fn take(bytes: &[u8], at: &mut usize) -> Result<u64, DecodeError> {
    let mut value = 0u64;
    for group in 0..10 {
        let byte = *bytes.get(*at).ok_or(DecodeError::Short)?;
        *at += 1;
        let bits = u64::from(byte & 0x7f);
        if group == 9 && bits > 1 {
            return Err(DecodeError::Long);
        }
        value |= bits << (7 * group);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DecodeError::Long)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_event() -> impl Strategy<Value = Event> {
        (
            0..Kind::ALL.len(),
            proptest::collection::vec(any::<u64>(), MAX_ARGS),
        )
            .prop_map(|(kind, raw)| {
                let kind = Kind::ALL[kind];
                // Words that mean nothing in their field are brought down until they do.
                let mut raws = raw.into_iter();
                let mut shift = 0;
                let words: Vec<u64> = raws.by_ref().collect();
                loop {
                    let mut at = 0;
                    let event: Result<Event, DecodeError> = Event::decode(kind, || {
                        at += 1;
                        Ok(words[at - 1].checked_shr(shift).unwrap_or(0))
                    });
                    match event {
                        Ok(event) => return event,
                        Err(_) => shift += 1,
                    }
                }
            })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(event in any_event(), dt in any::<u64>()) {
            let mut bytes = [0u8; MAX_RECORD];
            let len = encode_into(&mut bytes, dt, &event);
            prop_assert_eq!(decode(&bytes[..len]), Ok((dt, event, len)));
            for cut in 0..len {
                prop_assert!(decode(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn any_bytes_give_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..150)) {
            if let Ok((_, _, len)) = decode(&bytes) {
                prop_assert!(len <= bytes.len());
            }
        }

        #[test]
        fn columns_and_text_say_the_same(event in any_event()) {
            let kind = event.kind();
            let mut texts = Vec::new();
            event.texts(|name, text| texts.push((name, text)));
            let back = Event::from_texts(kind, |name| texts.iter().find(|(n, _)| *n == name).map(|(_, t)| t.as_str()));
            prop_assert_eq!(back, Ok(event));
            let (mut columns, mut fits) = (Vec::new(), true);
            event.columns(|column, value| columns.push((column, value)));
            event.args(|raw| fits &= i64::try_from(raw).is_ok());
            if kind != Kind::Counters && fits {
                let get = |c| columns.iter().find(|(column, _)| *column == c).and_then(|(_, v)| *v);
                prop_assert_eq!(Event::from_columns(kind, get), Some(event));
            }
        }
    }
}
