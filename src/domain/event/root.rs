//! What a slot commits to: its events. Where one of them is to be shown to whoever has no log it
//! stands beside the others, so that it can be without them. Never says which one that is.

use super::Event;
use crate::base::canon::{Canonical, Digest, Encode, Writer};

struct Events<'a>(&'a [Event]);

impl Encode for Events<'_> {
    fn encode(&self, w: &mut Writer) {
        self.0.encode(w);
    }
}

impl Canonical for Events<'_> {
    const TAG: &'static str = "ohc/events/1";
}

/// The event of a slot that shows something, and the digest of all its events.
struct Shown<'a> {
    event: &'a Event,
    all: Digest,
}

impl Encode for Shown<'_> {
    fn encode(&self, w: &mut Writer) {
        self.event.encode(w);
        self.all.encode(w);
    }
}

impl Canonical for Shown<'_> {
    const TAG: &'static str = "ohc/shown/1";
}

/// The digest of events, in their order.
#[must_use]
pub fn events_digest(events: &[Event]) -> Digest {
    Events(events).digest()
}

/// What a slot commits to where one of its events shows something to whoever has no log: from this
/// event and the digest of all, whoever has not the others can tell.
#[must_use]
pub fn shown_root(event: &Event, all: Digest) -> Digest {
    Shown { event, all }.digest()
}

/// What a slot commits to: the digest of its events, and the one of them that shows something by
/// itself, if there is one.
#[must_use]
pub fn events_root(events: &[Event]) -> Digest {
    let all = events_digest(events);
    let shown = events.iter().find(|event| event.is_milestone());
    shown.map_or(all, |event| shown_root(event, all))
}
