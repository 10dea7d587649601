//! Perfetto's protobuf form: a tree of tracks (process, with its Ps and counters, then "Ms" and "Gs"), slices with facts, arrows by id.
//!
//! Times are `CLOCK_BOOTTIME`, Perfetto's own default, so that the trace lies beside others of the same boot. Names are written once for
//! each piece and referred to by number.

use std::collections::HashMap;
use std::io::{Result, Write};

use prost::Message;

use super::pieces::Pieces;
use super::proto::{
    COUNTER, CounterDescriptor, DebugAnnotation, EventName, INSTANT, InternedData,
    ProcessDescriptor, SLICE_BEGIN, SLICE_END, TracePacket, TrackDescriptor, TrackEvent,
};
use super::{Arg, Encoder, Slice, Track};

/// The one sequence that all packets belong to.
const SEQUENCE: u32 = 1;
/// `SEQ_INCREMENTAL_STATE_CLEARED`
const CLEARED: u32 = 1;
/// `SEQ_NEEDS_INCREMENTAL_STATE`
const NEEDS: u32 = 2;
/// `TrackDescriptor.ChildTracksOrdering.EXPLICIT`
const EXPLICIT: i32 = 3;

/// Writes protobuf.
#[derive(Debug)]
pub struct Perfetto {
    started: i64,
    names: HashMap<String, u64>,
}

/// The groups that tracks are shown in.
#[derive(Clone, Copy)]
enum Group {
    Process = 0,
    Ms = 1,
    Gs = 2,
}

fn group_uuid(process: u32, group: Group) -> u64 {
    1 + (u64::from(process) << 8) + group as u64
}

fn uuid(process: u32, track: Track) -> u64 {
    let (kind, id) = match track {
        Track::P(p) => (1, u64::from(p)),
        Track::M(m) => (2, u64::from(m)),
        Track::G(g) => (3, g),
        Track::Spans(g) => (4, g),
        Track::Counter(c) => (5, u64::from(c)),
    };
    (u64::from(process) << 44) | (kind << 40) | (id & 0xff_ffff_ffff) | (1 << 60)
}

impl Perfetto {
    /// For a run that started at this time of `CLOCK_BOOTTIME`.
    pub fn new(started: i64) -> Perfetto {
        Perfetto {
            started,
            names: HashMap::new(),
        }
    }

    fn packet(&self, out: &mut Pieces, packet: &TracePacket) -> Result<()> {
        // A trace is a message whose field 1 repeats: each packet is its key, its length and itself.
        let bytes = packet.encode_length_delimited_to_vec();
        out.write_all(&[0x0a])?;
        out.write_all(&bytes)
    }

    fn descriptor(&self, out: &mut Pieces, descriptor: TrackDescriptor) -> Result<()> {
        let packet = TracePacket {
            trusted_packet_sequence_id: SEQUENCE,
            track_descriptor: Some(descriptor),
            ..TracePacket::default()
        };
        self.packet(out, &packet)
    }

    fn event(
        &mut self,
        out: &mut Pieces,
        ts: i64,
        name: Option<&str>,
        mut event: TrackEvent,
    ) -> Result<()> {
        let mut interned_data = None;
        if let Some(name) = name {
            let next = self.names.len() as u64 + 1;
            let iid = match self.names.get(name) {
                Some(iid) => *iid,
                None => {
                    self.names.insert(name.to_owned(), next);
                    let event_names = vec![EventName {
                        iid: next,
                        name: name.to_owned(),
                    }];
                    interned_data = Some(InternedData { event_names });
                    next
                }
            };
            event.name_iid = Some(iid);
        }
        let packet = TracePacket {
            timestamp: Some((self.started + ts).max(0) as u64),
            trusted_packet_sequence_id: SEQUENCE,
            sequence_flags: Some(NEEDS),
            track_event: Some(event),
            interned_data,
            track_descriptor: None,
        };
        self.packet(out, &packet)
    }
}

impl Encoder for Perfetto {
    fn begin(&mut self, out: &mut Pieces, processes: &[(u32, String)], note: &str) -> Result<()> {
        self.names.clear();
        let first = TracePacket {
            trusted_packet_sequence_id: SEQUENCE,
            sequence_flags: Some(CLEARED),
            ..TracePacket::default()
        };
        self.packet(out, &first)?;
        let note = format!("{note}; made by {}", out.mark());
        for (process, name) in processes {
            let process_uuid = group_uuid(*process, Group::Process);
            self.descriptor(
                out,
                TrackDescriptor {
                    uuid: process_uuid,
                    process: Some(ProcessDescriptor {
                        pid: *process as i32,
                        process_name: name.clone(),
                    }),
                    description: Some(note.clone()),
                    child_ordering: Some(EXPLICIT),
                    ..TrackDescriptor::default()
                },
            )?;
            for (rank, group, name) in [(1 << 20, Group::Ms, "Ms"), (1 << 21, Group::Gs, "Gs")] {
                self.descriptor(
                    out,
                    TrackDescriptor {
                        uuid: group_uuid(*process, group),
                        name: Some(name.into()),
                        parent_uuid: Some(process_uuid),
                        child_ordering: Some(EXPLICIT),
                        sibling_order_rank: Some(rank),
                        ..TrackDescriptor::default()
                    },
                )?;
            }
        }
        Ok(())
    }

    fn end(&mut self, _out: &mut Pieces) -> Result<()> {
        Ok(())
    }

    fn track(
        &mut self,
        out: &mut Pieces,
        process: u32,
        track: Track,
        name: &str,
        rank: u32,
    ) -> Result<()> {
        let group = match track {
            // Ps are what one looks at first: they lie open.
            Track::P(_) | Track::Counter(_) => Group::Process,
            Track::M(_) => Group::Ms,
            Track::G(_) | Track::Spans(_) => Group::Gs,
        };
        self.descriptor(
            out,
            TrackDescriptor {
                uuid: uuid(process, track),
                name: Some(name.to_owned()),
                parent_uuid: Some(group_uuid(process, group)),
                counter: matches!(track, Track::Counter(_)).then_some(CounterDescriptor {}),
                sibling_order_rank: Some(rank as i32),
                ..TrackDescriptor::default()
            },
        )
    }

    fn slice(&mut self, out: &mut Pieces, process: u32, s: &Slice<'_>) -> Result<()> {
        let track_uuid = uuid(process, s.track);
        let debug_annotations = s
            .args
            .iter()
            .map(|(name, arg)| {
                let (int_value, string_value) = match arg {
                    Arg::Number(n) => (Some(*n), None),
                    Arg::Text(t) => (None, Some(t.clone())),
                };
                DebugAnnotation {
                    name: (*name).to_owned(),
                    int_value,
                    string_value,
                }
            })
            .collect();
        let begin = TrackEvent {
            r#type: SLICE_BEGIN,
            track_uuid,
            debug_annotations,
            terminating_flow_ids: s.flow.into_iter().collect(),
            ..TrackEvent::default()
        };
        self.event(out, s.from, Some(s.name), begin)?;
        let end = TrackEvent {
            r#type: SLICE_END,
            track_uuid,
            ..TrackEvent::default()
        };
        self.event(out, s.to, None, end)
    }

    fn wake(
        &mut self,
        out: &mut Pieces,
        process: u32,
        track: Track,
        ts: i64,
        name: &str,
        flow: u64,
    ) -> Result<()> {
        let event = TrackEvent {
            r#type: INSTANT,
            track_uuid: uuid(process, track),
            flow_ids: vec![flow],
            ..TrackEvent::default()
        };
        self.event(out, ts, Some(name), event)
    }

    fn counter(
        &mut self,
        out: &mut Pieces,
        process: u32,
        track: Track,
        _name: &str,
        ts: i64,
        value: i64,
    ) -> Result<()> {
        let event = TrackEvent {
            r#type: COUNTER,
            track_uuid: uuid(process, track),
            counter_value: Some(value),
            ..TrackEvent::default()
        };
        self.event(out, ts, None, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_have_uuids_of_their_own() {
        let tracks = [
            Track::P(1),
            Track::M(1),
            Track::G(1),
            Track::Spans(1),
            Track::Counter(1),
            Track::G(2_000_000),
        ];
        let mut seen = std::collections::HashSet::new();
        for process in 1..=3 {
            assert!(tracks.iter().all(|t| seen.insert(uuid(process, *t))));
            for group in [Group::Process, Group::Ms, Group::Gs] {
                assert!(seen.insert(group_uuid(process, group)));
            }
        }
    }
}
