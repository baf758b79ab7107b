//! A copy of the log of a network, and what follows from it: slots are verified, folded and kept.
//! Never takes a slot on trust, and never changes its state for one that turns out to be a lie.
//!
//! Heads are chained by digests, so the certificate of the last slot of a batch stands for all
//! before it, as long as the validators stay the same. It is checked before anything is folded:
//! the validators who have to sign are those of the state that the batch follows. Where the fold
//! shows that they change, what comes after is checked against the new ones.
//!
//! Where a checkpoint is to come, no slot before it is taken but those that lead there (`pin`).
//!
//! Commands and the Proof-of-History chain are not checked again: more than 2/3 of the stake have
//! signed that they did.

use crate::base::amount::Ohc;
use crate::base::canon::{Canonical, Decode, Digest, Encode};
use crate::base::keys::{NetworkId, PublicKey, Signature};
use crate::base::time::Height;
use crate::domain::command::SignedOrder;
use crate::domain::event::Event;
use crate::domain::milestone::{Checkpoint, Milestone};
use crate::domain::slot::{Head, Slot};
use crate::domain::state::State;
use crate::domain::vote::Vote;
use crate::effects::store::{Store, StoreError};
use crate::node::boot::Booted;
use crate::node::handouts::{self, Maker};
use crate::node::snapshot::Keeper;
use crate::role::Verifiers;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many certificates are worth getting to know the validators, which takes as long as ten checks
/// of each.
const CERTIFICATES_MANY: u32 = 20;

/// Heads of slots that are asked for at a time: more of them than fit into one answer.
const HEADS_MAX: usize = 8_192;

/// Why slots were not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// They are not of this log: whoever said so lies, or is of another network.
    #[error("slot {height} is not of this log: {what}")]
    Lie {
        /// The first that is not.
        height: Height,
        /// Why.
        what: String,
    },
    /// There are slots between ours and the first of these.
    #[error("slot {height} cannot follow slot {after}")]
    Gap {
        /// The first of these.
        height: Height,
        /// Our last one.
        after: Height,
    },
    /// The validators have signed what our fold does not give: another version of the rules.
    #[error(
        "the validators have signed events of slot {height} that this program does not derive; \
         hint: is it the version that the network runs?"
    )]
    Diverged {
        /// Which slot.
        height: Height,
    },
    /// The validators show a history without the checkpoint.
    #[error(
        "the checkpoint {checkpoint} is not in the history that is shown here: {}; nothing of it \
         was taken; hint: ask people whom you trust for what `ohc network checkpoint` prints. If \
         it is this one, whoever answers signs another history; if not, correct `checkpoint:`",
        .found.map_or_else(
            || format!("no change of its validators is slot {}", checkpoint.height),
            |found| format!("slot {} has the head {found}", checkpoint.height))
    )]
    Elsewhere {
        /// What should be there.
        checkpoint: Checkpoint,
        /// What is, if it was said.
        found: Option<Digest>,
    },
    /// The log here does not have the checkpoint, or does not lead there.
    #[error(
        "the log of this home does not have the checkpoint {checkpoint}: {}; hint: if the \
         checkpoint is right, move the folder `log` of the home away, and it is fetched again; if \
         not, correct `checkpoint:` to what `ohc network checkpoint` prints elsewhere",
        .found.map_or_else(
            || format!("it has no change of the validators in slot {} that leads there",
                checkpoint.height),
            |found| format!("its slot {} has the head {found}", checkpoint.height))
    )]
    Astray {
        /// What should be there.
        checkpoint: Checkpoint,
        /// What is, if anything.
        found: Option<Digest>,
    },
    /// The state cannot be kept.
    #[error("cannot keep the state to go on from: {0}; hint: check the home's folder and its disk")]
    Handout(String),
    /// The log cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a log that goes so far has a checkpoint, or has not come to it.
pub fn stands(store: &Store, last: Height, checkpoint: Checkpoint) -> Result<(), Refusal> {
    let Checkpoint { height, .. } = checkpoint;
    if height > last {
        return Ok(());
    }
    let stone = store.milestone(height)?.and_then(|stone| Milestone::from_bytes(&stone).ok());
    if stone.as_ref().and_then(Milestone::checkpoint) == Some(checkpoint) {
        return Ok(());
    }
    let head = |slot: Vec<u8>| Head::of_bytes(&slot).map(|head| head.digest());
    let found = match stone {
        Some(stone) => Some(stone.head.digest()),
        None => store.read(height)?.and_then(head),
    };
    Err(Refusal::Astray { checkpoint, found: found.filter(|found| *found != checkpoint.head) })
}

/// Is shown each slot as it is folded: its commands, the state after it, and what was derived; of a
/// state that is gone on from there are neither commands nor events.
pub type Watch<'a> = &'a mut dyn FnMut(&[SignedOrder], &State, &[Event]);

/// A copy of the log.
pub struct Replica {
    network: NetworkId,
    state: State,
    parent: Digest,
    store: Arc<Store>,
    keeper: Keeper,
    /// Certificates that were looked at, and who signed them, once that was often.
    certificates: u32,
    verifiers: Verifiers,
    /// What makes states for others, if anything does.
    maker: Option<Maker>,
    /// What it is to lead to.
    checkpoint: Option<Checkpoint>,
    /// The heads up to there, the last of them that of the checkpoint.
    pins: Vec<Digest>,
}

/// A slot and the bytes that it was read from.
struct Read<'a> {
    slot: Slot,
    bytes: &'a [u8],
    head: Digest,
}

impl Replica {
    /// The copy that a home holds.
    #[must_use]
    pub fn new(booted: Booted) -> Self {
        let Booted { genesis, state, parent, store, checkpoint, keeper, .. } = booted;
        Self {
            network: genesis.network(),
            state,
            parent,
            store,
            keeper,
            certificates: 0,
            verifiers: Verifiers::default(),
            maker: None,
            checkpoint,
            pins: Vec::new(),
        }
    }

    /// The checkpoint that is still to come.
    #[must_use]
    pub fn awaited(&self) -> Option<Checkpoint> {
        self.checkpoint.filter(|checkpoint| checkpoint.height > self.state.height())
    }

    /// Whether no slot can be taken: which ones lead to the checkpoint is not known.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.awaited().is_some() && self.pins.is_empty()
    }

    /// The checkpoint, if it came after this slot, and who signs from there on.
    pub(super) fn passed(&self, after: Height) -> Option<(Checkpoint, BTreeMap<PublicKey, Ohc>)> {
        let checkpoint = self.checkpoint.filter(|checkpoint| checkpoint.height > after)?;
        let stone = self.store.milestone(checkpoint.height).ok()??;
        match Milestone::from_bytes(&stone).ok()?.event {
            Event::SetChanged { now, .. } => Some((checkpoint, now)),
            _ => None,
        }
    }

    /// From now on the slots with these heads are taken, the last of which is the checkpoint.
    pub(super) fn pin(&mut self, heads: Vec<Digest>) {
        self.pins = heads;
    }

    /// The heads that lead to the checkpoint, from this slot on: of as many as come at a time.
    pub(super) fn heads(&self, from: Height) -> &[Digest] {
        let to = self.awaited().map_or(Height(0), |checkpoint| checkpoint.height);
        let left = usize::try_from(to.next().0.saturating_sub(from.0)).unwrap_or(usize::MAX);
        let begin = self.pins.len().checked_sub(left).unwrap_or(self.pins.len());
        let heads = self.pins.get(begin..).unwrap_or_default();
        heads.get(..HEADS_MAX).unwrap_or(heads)
    }

    /// Whether a slot leads to the checkpoint that is awaited, or comes after it.
    fn leads(&self, height: Height, head: Digest) -> bool {
        let is_after = self.awaited().is_none_or(|checkpoint| checkpoint.height < height);
        is_after || self.heads(height).first() == Some(&head)
    }

    /// Has states made for others, of which at least so many slots are kept.
    pub fn hand_out(&mut self, retained: Option<u64>) {
        let handouts = self.keeper.handouts().clone();
        self.maker = Some(Maker::start(handouts, self.store.clone(), retained));
    }

    /// What follows from it.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The digest of the head of its last slot.
    #[must_use]
    pub fn parent(&self) -> Digest {
        self.parent
    }

    /// Where it is kept.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The height of the slot that comes next.
    #[must_use]
    pub fn next(&self) -> Height {
        self.state.height().next()
    }

    /// The state, the digest of the head of the last slot, the store, and what takes snapshots.
    pub(in crate::node) fn into_parts(self) -> (State, Digest, Arc<Store>, Keeper) {
        (self.state, self.parent, self.store, self.keeper)
    }

    /// Ends: takes a snapshot if the next start would be slow without. Gives the state and the
    /// digest of the head of the last slot.
    #[must_use]
    pub fn finish(mut self) -> (State, Digest) {
        self.keeper.finish(&self.state, self.parent);
        (self.state, self.parent)
    }

    /// Takes consecutive slots; those that it has are passed over. All that were taken are durable
    /// when this returns, also if it returns a refusal of a later one. Gives how many they are.
    pub fn take<B: AsRef<[u8]>>(
        &mut self,
        slots: &[B],
        watch: Watch<'_>,
    ) -> Result<usize, Refusal> {
        let read = self.read(slots)?;
        let mut rest = read.as_slice();
        while !rest.is_empty() {
            let certified = self.certified(rest)?;
            let folded = self.fold(rest.get(..certified).unwrap_or_default(), watch)?;
            rest = rest.get(folded..).unwrap_or_default();
        }
        Ok(read.len())
    }

    /// Whether a slot that does not follow yet is one that the validators of now have signed.
    #[must_use]
    pub fn is_final(&self, bytes: &[u8]) -> bool {
        let Ok(slot) = Slot::from_bytes(bytes) else { return false };
        let is_signed = |key: &PublicKey, vote: &Vote, signature: &Signature| {
            self.verifiers.verifies(key, self.network, vote, signature)
        };
        slot.check_content(slot.head.parent).is_ok()
            && slot.check_certificate(self.state.validators(), &is_signed).is_ok()
    }

    /// Takes a slot that this node has taken part in making final: its part of the agreement has
    /// tried it on this log, and has checked each signature in its certificate. Gives whether it is
    /// the next one.
    pub fn take_decided(
        &mut self,
        slot: Slot,
        bytes: &[u8],
        watch: Watch<'_>,
    ) -> Result<bool, Refusal> {
        let is_next = slot.head.height == self.next() && slot.head.parent == self.parent;
        // Who agrees with those of another history has decided nothing.
        if !is_next || self.awaited().is_some() {
            return Ok(false);
        }
        let head = slot.head.digest();
        Ok(self.fold(&[Read { slot, bytes, head }], watch)? == 1)
    }

    /// Goes on from a state that the log commits to: these are its bytes, the milestone and the way
    /// to it have been seen to hold. What the log here had before is given up.
    pub fn adopt(
        &mut self,
        milestone: &Milestone,
        bytes: &[u8],
        way: &[Milestone],
    ) -> Result<(), Refusal> {
        let height = milestone.head.height;
        let state = State::restore(bytes).map_err(|_| Refusal::Diverged { height })?;
        let parent = handouts::signed_head(self.network, milestone, &state)
            .map_err(|what| Refusal::Lie { height, what })?;
        let kept = self.keeper.handouts().save(milestone, bytes);
        kept.map_err(|error| Refusal::Handout(error.to_string()))?;
        let stones = way.iter().chain([milestone]);
        let stones: Vec<_> = stones.map(|each| (each.head.height, each.to_bytes())).collect();
        self.store.begin_at(height, &stones)?;
        self.keeper.forget();
        (self.state, self.parent) = (state, parent);
        Ok(())
    }

    /// The slots that are new, each of which follows the one before.
    fn read<'a, B: AsRef<[u8]>>(&self, slots: &'a [B]) -> Result<Vec<Read<'a>>, Refusal> {
        let (mut next, mut parent) = (self.next(), self.parent);
        let mut read = Vec::new();
        for bytes in slots.iter().map(AsRef::as_ref) {
            // What is there already need not be read.
            if read.is_empty() && Head::of_bytes(bytes).is_some_and(|head| head.height < next) {
                continue;
            }
            let lie = |height, what: String| Refusal::Lie { height, what };
            let slot = Slot::from_bytes(bytes).map_err(|error| lie(next, error.to_string()))?;
            let height = slot.head.height;
            if height > next && read.is_empty() {
                return Err(Refusal::Gap { height, after: self.state.height() });
            }
            if height != next {
                return Err(lie(next, format!("slot {height} stands in its place")));
            }
            slot.check_content(parent).map_err(|error| lie(height, error.to_string()))?;
            parent = slot.head.digest();
            if !self.leads(height, parent) {
                return Err(lie(height, "it does not lead to the checkpoint".to_owned()));
            }
            next = next.next();
            read.push(Read { slot, bytes, head: parent });
        }
        Ok(read)
    }

    /// How many of these slots the validators of now have made final: all, or the first.
    fn certified(&mut self, slots: &[Read<'_>]) -> Result<usize, Refusal> {
        let (network, validators) = (self.network, self.state.validators());
        self.certificates = self.certificates.saturating_add(1);
        if self.certificates >= CERTIFICATES_MANY {
            self.verifiers.follow(validators);
        }
        let verifiers = &self.verifiers;
        let is_signed = |key: &PublicKey, vote: &Vote, signature: &Signature| {
            verifiers.verifies(key, network, vote, signature)
        };
        let is_final = |read: &Read<'_>| read.slot.check_certificate(validators, &is_signed);
        if slots.last().is_some_and(|last| is_final(last).is_ok()) {
            return Ok(slots.len());
        }
        match slots.first() {
            Some(first) => is_final(first).map(|()| 1).map_err(|error| Refusal::Lie {
                height: first.slot.head.height,
                what: error.to_string(),
            }),
            None => Ok(0),
        }
    }

    /// Folds slots that are final up to the first after which there are other validators, and
    /// keeps them. Gives how many they are.
    fn fold(&mut self, slots: &[Read<'_>], watch: Watch<'_>) -> Result<usize, Refusal> {
        let first = self.next();
        let validators = self.state.validators().clone();
        let (mut kept, mut last) = (Vec::new(), Vec::new());
        let (mut milestones, mut given, awaited) = (Vec::new(), None, self.awaited());
        for Read { slot, bytes, head } in slots {
            self.keeper.count(&last);
            let height = slot.head.height;
            let events = self.state.fold(slot).map_err(|_| Refusal::Diverged { height })?;
            watch(&slot.commands, &self.state, &events);
            self.parent = *head;
            kept.push(*bytes);
            let milestone = Milestone::of(slot, &events);
            if let Some(checkpoint) = awaited.filter(|awaited| awaited.height == height)
                && milestone.as_ref().and_then(Milestone::checkpoint) != Some(checkpoint)
            {
                return Err(Refusal::Elsewhere { checkpoint, found: None });
            }
            if let Some(milestone) = milestone {
                milestones.push((height, milestone.to_bytes()));
                // They are of no use to who makes nothing of them.
                let state = self.state.take_committed();
                given = state.map(|state| (milestone, state)).or(given);
            }
            last = events;
            if self.state.validators() != &validators {
                break;
            }
        }
        self.store.append_all(first, &kept, &milestones)?;
        if let (Some(maker), Some((milestone, state))) = (&self.maker, given) {
            maker.give(milestone, state);
        }
        self.keeper.folded(&last, &self.state, self.parent);
        Ok(kept.len())
    }
}
