//! Fetching: asks validators for what is missing, on a thread of its own, one question at a time.
//! Never looks into a slot beyond its head: what comes back is said by whom, and judged by who
//! asked.

use super::Heard;
use super::sync::{self, Asker, Quest, Synced};
use crate::base::canon::{Canonical as _, Digest};
use crate::base::keys::{NetworkId, PublicKey};
use crate::base::limits::WIRE_BYTES_MAX;
use crate::base::time::Height;
use crate::domain::slot::Head;
use crate::effects::bus::Bus;
use crate::node::wire::{Answer, Ask, Pulse, Wire};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// So long one validator may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for one that is only asked how far it is.
const PULSE_PATIENCE: Duration = Duration::from_millis(500);

/// What is to be fetched.
#[derive(Debug)]
pub(super) enum Errand {
    /// Slots from this one on, from the first of these who has any, or else from any validator.
    /// Where their heads are known, those with these heads and no others.
    Slots { from: Height, heads: Vec<Digest>, peers: Vec<PublicKey>, ticket: u64 },
    /// A state to go on from, or what leads to a checkpoint.
    State { quest: Box<Quest>, ticket: u64 },
    /// How far these are.
    Pulses { peers: Vec<PublicKey> },
}

/// What was fetched.
#[derive(Debug)]
pub struct Fetched {
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// Slots that this validator, or one that is not known, gave to an errand, and the last that it
    /// has; some that were asked before it did not answer.
    Slots {
        by: Option<PublicKey>,
        slots: Vec<Vec<u8>>,
        last: Height,
        silent: Vec<PublicKey>,
        ticket: u64,
    },
    /// Nobody had any.
    None { silent: Vec<PublicKey>, ticket: u64 },
    /// Nobody has these any more, and some have a state to go on from.
    Pruned { silent: Vec<PublicKey>, ticket: u64 },
    /// What came of looking for a state.
    State { synced: Box<Synced>, ticket: u64 },
    /// How far a validator is.
    Pulse(PublicKey, Pulse),
    /// All have been asked how far they are.
    Asked,
}

/// Asks until it is dropped.
pub(super) struct Fetcher(Sender<Errand>);

impl Fetcher {
    pub(super) fn start<T: From<Heard> + Send + 'static>(
        bus: Bus,
        network: NetworkId,
        outbox: Sender<T>,
    ) -> Self {
        let (sender, errands) = mpsc::channel();
        std::thread::spawn(move || run(&bus, network, &errands, &outbox));
        Self(sender)
    }

    pub(super) fn send(&self, errand: Errand) {
        // The thread lives as long as this sender.
        drop(self.0.send(errand));
    }
}

fn run<T: From<Heard>>(
    bus: &Bus,
    network: NetworkId,
    errands: &Receiver<Errand>,
    outbox: &Sender<T>,
) {
    let wire = Wire::new(network);
    let tell = |what| outbox.send(Heard::Fetched(Fetched { what }).into());
    for errand in errands {
        let told = match errand {
            Errand::Slots { from, heads, peers, ticket } => {
                let asker = |peer: Option<&PublicKey>, what| ask(bus, &wire, peer, what, PATIENCE);
                tell(slots(&asker, (from, &heads), &peers, ticket))
            }
            Errand::State { quest, ticket } => {
                let asker = |peer: Option<&PublicKey>, what| ask(bus, &wire, peer, what, PATIENCE);
                let synced = Box::new(sync::sync(&asker, &quest));
                tell(What::State { synced, ticket })
            }
            Errand::Pulses { peers } => {
                pulses(bus, &wire, network, &peers, &mut |by, pulse| {
                    tell(What::Pulse(by, pulse)).is_ok()
                });
                tell(What::Asked)
            }
        };
        if told.is_err() {
            return;
        }
    }
}

fn slots(
    ask: Asker<'_>,
    (from, heads): (Height, &[Digest]),
    peers: &[PublicKey],
    ticket: u64,
) -> What {
    let mut silent = Vec::new();
    let (mut empty, mut is_pruned) = (None, false);
    for peer in peers.iter().copied().map(Some).chain([None]) {
        // Where it is known what comes, nobody is believed that there is nothing.
        if peer.is_none() && heads.is_empty() && (empty.is_some() || is_pruned) {
            break;
        }
        match ask(peer.as_ref(), Ask::Slots { from }) {
            Some(Answer::Slots { mut slots, last }) if !slots.is_empty() => {
                let head = |slot: &Vec<u8>| Head::of_bytes(slot).map(|head| head.digest());
                let mut known = slots.iter().zip(heads);
                if !known.all(|(slot, known)| head(slot) == Some(*known)) {
                    silent.extend(peer);
                    continue;
                }
                slots.truncate(if heads.is_empty() { slots.len() } else { heads.len() });
                return What::Slots { by: peer, slots, last, silent, ticket };
            }
            Some(Answer::Slots { last, .. }) => empty = Some((peer, last)),
            Some(Answer::Pruned { .. }) => is_pruned = true,
            Some(_) | None => silent.extend(peer),
        }
    }
    match empty {
        _ if is_pruned => What::Pruned { silent, ticket },
        Some((by, last)) => What::Slots { by, slots: Vec::new(), last, silent, ticket },
        None => What::None { silent, ticket },
    }
}

/// Asks all of these at once how far they are, until `said` has heard enough.
fn pulses(
    bus: &Bus,
    wire: &Wire,
    network: NetworkId,
    peers: &[PublicKey],
    said: &mut dyn FnMut(PublicKey, Pulse) -> bool,
) {
    let subjects: Vec<String> =
        peers.iter().map(|peer| wire.fetch_of(Some(peer), bus.inbox())).collect();
    let pulse = |peer: &PublicKey, answer: &[u8]| match wire.unframe(answer, WIRE_BYTES_MAX).ok()? {
        Answer::Pulse(pulse) => {
            pulse.verify(network).ok().filter(|pulse| pulse.author() == *peer).map(|p| *p.body())
        }
        _ => None,
    };
    let within = (WIRE_BYTES_MAX, PULSE_PATIENCE);
    bus.request_each(&subjects, &wire.frame(&Ask::Pulse), within, &mut |place, answer| {
        let peer = peers.get(place).copied();
        let heard = peer
            .zip(answer.ok())
            .and_then(|(peer, answer)| pulse(&peer, &answer).map(|pulse| (peer, pulse)));
        heard.is_none_or(|(peer, pulse)| said(peer, pulse))
    });
}

/// Asks one validator, or whichever hears it.
fn ask(
    bus: &Bus,
    wire: &Wire,
    peer: Option<&PublicKey>,
    ask: Ask,
    within: Duration,
) -> Option<Answer> {
    let subject = match peer {
        Some(_) => wire.fetch_of(peer, bus.inbox()),
        None => wire.fetch(bus.inbox()),
    };
    let answer = bus.request(&subject, wire.frame(&ask), WIRE_BYTES_MAX, within);
    wire.unframe(&answer.ok()?, WIRE_BYTES_MAX).ok()
}
