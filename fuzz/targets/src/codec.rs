//! Records of events: [`gmp_trace::codec`].

use gmp_trace::codec::{self, MAX_RECORD};
use gmp_trace::event::Event;

/// Reads record after record. Each that is one is written again in at most as many bytes, and read from them as the same.
pub fn codec(mut data: &[u8]) {
    while let Ok((dt, event, len)) = codec::decode(data) {
        let written = encode(dt, &event);
        assert!(written.len() <= len, "{event:?} grew from {len} bytes");
        assert_eq!(
            codec::decode(&written),
            Ok((dt, event, written.len())),
            "what was written is read"
        );
        data = &data[len..];
    }
}

/// A record as bytes; the codec's own function writes through a pointer, for the sake of the runtime.
fn encode(dt: u64, event: &Event) -> Vec<u8> {
    let mut out = [0; MAX_RECORD];
    let len = codec::encode_into(&mut out, dt, event);
    out[..len].to_vec()
}
