//! Agreement in a world so small that all of it is looked at: four validators, two slots that may
//! be proposed, two voting rounds. The real machines are driven by every choice of who hears what
//! in which order, what is lost, and what a liar says to whom.
//!
//! A round has three phases: proposal, prevotes, precommits. In each, every honest validator hears
//! any subset of what was said, prevotes forwards or backwards, and of the liar whatever he likes,
//! another thing than the others hear; then its time-outs pass. What it missed of the first round's
//! prevotes it may hear in the second. Two worlds whose validators are in the same situation are
//! one. What is asserted is of the messages, and so of whoever hears them in any order later: no
//! two slots can ever get precommits of more than 2/3 of the stake. As no validator
//! precommits twice in a round, that takes two rounds: worlds in which the first can make nothing
//! final are left.

mod local;

use crate::ground::{Who, genesis, ohc};
use local::{Said, Situation, Step};
use ohc::base::canon::{Canonical, Digest};
use ohc::base::keys::PublicKey;
use ohc::base::time::{Height, Millis};
use ohc::domain::command::{Command, Order};
use ohc::domain::event::events_root;
use ohc::domain::poh::{self, Chain};
use ohc::domain::slot::{Draft, Slot, commands_root};
use ohc::domain::state::State;
use ohc::domain::vote::{Kind, Proposal, Vote};
use ohc::role::Machine;
use ohc::role::consensus::{Consensus, Input, Message, Output};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The phases that are looked at: those of the first round, and of the second.
const PHASES: [(u32, Phase); 5] = [
    (0, Phase::Proposal),
    (0, Phase::Prevotes),
    (0, Phase::Precommits),
    (1, Phase::Proposal),
    (1, Phase::Prevotes),
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    Proposal,
    Prevotes,
    Precommits,
}

/// Who is what in a world.
pub struct Cast {
    /// The validators in the order of their turns.
    pub keys: [Who; 4],
    /// Which of them lie.
    pub liars: BTreeSet<usize>,
    /// A planted bug: who has forgotten what it voted for when the second round begins.
    pub forgets: Option<usize>,
}

/// What all worlds have in common: the state, and the two slots.
struct Stage {
    state: State,
    parent: Digest,
    cast: Cast,
    drafts: [Draft; 2],
    slots: [Arc<Slot>; 2],
    signed: RefCell<BTreeMap<Said, Message>>,
    /// Situations by what they are, and the shortest way to each.
    known: BTreeMap<(usize, Situation), usize>,
    situations: Vec<(Situation, Vec<Step>)>,
    /// What a validator comes to by what it may hear.
    steps: BTreeMap<(usize, usize, Vec<Said>), Vec<usize>>,
}

impl Stage {
    fn new(liars: &[usize], forgets: Option<usize>) -> Self {
        let genesis = genesis(4, ohc(0));
        let (state, parent) = (State::new(&genesis), genesis.network().0);
        let mut keys: Vec<Who> = (0..4).map(Who::Validator).collect();
        keys.sort_by_key(|who| who.key());
        let is_first = |who: &Who| {
            let mut machine = Consensus::new(who.secret(), Millis(0), (&state, parent), 1);
            let mut out = Vec::new();
            machine.handle(Millis(0), &state, Input::Begin, &mut out);
            out.contains(&Output::Propose)
        };
        let first = keys.iter().position(is_first).unwrap();
        keys.rotate_left(first);
        let keys: [Who; 4] = keys.try_into().unwrap();
        let drafts = [0, 1].map(|value| draft(&state, keys[value].key(), value as u64));
        let slots = drafts.clone().map(|draft| Arc::new(complete(&state, parent, draft)));
        let cast = Cast { keys, liars: liars.iter().copied().collect(), forgets };
        let (signed, known, situations, steps) = Default::default();
        Self { state, parent, cast, drafts, slots, signed, known, situations, steps }
    }

    fn honest(&self) -> impl Iterator<Item = usize> + use<> {
        let liars = self.cast.liars.clone();
        (0..4).filter(move |n| !liars.contains(n))
    }

    fn head(&self, value: Option<usize>) -> Option<Digest> {
        value.map(|value| self.slots[value].head.digest())
    }

    /// What somebody says, signed once.
    fn message(&self, said: Said) -> Message {
        self.signed.borrow_mut().entry(said).or_insert_with(|| self.sign(said)).clone()
    }

    fn sign(&self, said: Said) -> Message {
        let (height, network) = (Height(1), self.state.network());
        let key = self.cast.keys[said.author()].secret();
        match said {
            Said::Proposal { round, value, valid, .. } => {
                let slot = self.slots[value].clone();
                let proposal = Proposal { height, round, head: slot.head.digest(), valid };
                Message::Proposal { proposal: key.seal(network, proposal), slot }
            }
            Said::Vote { round, kind, value, .. } => {
                let head = self.head(value);
                Message::Vote(key.seal(network, Vote { height, round, kind, head }))
            }
        }
    }

    /// Goes a way from the beginning, as the real machine of this validator.
    fn walk(&self, who: usize, way: &[Step], soup: &BTreeSet<Said>) -> Situation {
        let mut walker = local::Walker::new(self, who);
        way.iter().for_each(|step| walker.step(*step));
        walker.situation(way, soup)
    }

    fn known(&mut self, who: usize, way: Vec<Step>, soup: &BTreeSet<Said>) -> usize {
        let situation = self.walk(who, &way, soup);
        let next = self.situations.len();
        let index = *self.known.entry((who, situation.clone())).or_insert(next);
        if index == next {
            self.situations.push((situation, way));
        }
        index
    }

    /// All that can become of a validator in a phase, where these were said by the honest.
    fn after(
        &mut self,
        who: usize,
        from: usize,
        phase: usize,
        soup: &BTreeSet<Said>,
    ) -> Vec<usize> {
        let heard: Vec<Said> = local::concerns(PHASES[phase], who, soup);
        let key = (phase * 4 + who, from, heard.clone());
        if let Some(known) = self.steps.get(&key) {
            return known.clone();
        }
        let way = self.situations[from].1.clone();
        let way = local::forget(&self.cast, who, phase, way);
        let mut after = BTreeSet::new();
        for more in local::choices(&self.cast, PHASES[phase], &heard) {
            let way = way.iter().copied().chain(more).chain([Step::Wait(PHASES[phase])]).collect();
            after.insert(self.known(who, way, soup));
        }
        let after: Vec<usize> = after.into_iter().collect();
        self.steps.insert(key, after.clone());
        after
    }

    /// The slots that can be final if everybody hears what he likes.
    fn finals(&self, world: &[usize]) -> BTreeSet<usize> {
        // Three of four are more than 2/3, two are not.
        let is_final =
            |value: &usize| (0..2).any(|round| self.precommits(world, round, *value).0 >= 3);
        (0..2).filter(is_final).collect()
    }

    /// How many precommit to a slot in a round, liars too; and how many more may still do.
    fn precommits(&self, world: &[usize], round: u32, value: usize) -> (usize, usize) {
        let votes = |index: &usize| {
            let said = self.situations[*index].0.said.iter();
            let votes = said.filter_map(|said| match said {
                Said::Vote { round: r, kind: Kind::Precommit, value, .. } if *r == round => {
                    Some(*value)
                }
                _ => None,
            });
            votes.collect::<Vec<_>>()
        };
        let all: Vec<Vec<Option<usize>>> = world.iter().map(votes).collect();
        let same = all.iter().filter(|votes| votes.contains(&Some(value))).count();
        let open = all.iter().filter(|votes| votes.is_empty()).count();
        (same + self.cast.liars.len(), open)
    }

    /// Whether the first round can make a slot final, now or later.
    fn is_open(&self, world: &[usize]) -> bool {
        let sum = |(here, open)| here + open;
        (0..2).any(|value| sum(self.precommits(world, 0, value)) >= 3)
    }
}

/// What was seen of a world.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    worlds: usize,
    /// Which slots can become final.
    finals: BTreeSet<usize>,
    /// Which are decided by somebody.
    decided: BTreeSet<usize>,
    /// Whether both of them can in one world.
    is_broken: bool,
}

/// Looks at all of it.
fn explore(liars: &[usize], forgets: Option<usize>) -> Seen {
    let mut stage = Stage::new(liars, forgets);
    let honest: Vec<usize> = stage.honest().collect();
    let begin: Vec<usize> =
        honest.iter().map(|who| stage.known(*who, vec![], &BTreeSet::new())).collect();
    let (mut worlds, mut seen) = (BTreeSet::from([begin]), Seen::default());
    for phase in 0..PHASES.len() {
        let mut next = BTreeSet::new();
        for world in worlds {
            let said = |index: &usize| stage.situations[*index].0.said.clone();
            let soup: BTreeSet<Said> = world.iter().flat_map(said).collect();
            let each: Vec<Vec<usize>> = honest
                .iter()
                .zip(&world)
                .map(|(who, from)| stage.after(*who, *from, phase, &soup))
                .collect();
            next.extend(product(&each));
        }
        for world in &next {
            let decided = world.iter().filter_map(|index| stage.situations[*index].0.decided);
            let (finals, decided) = (stage.finals(world), decided.collect::<BTreeSet<usize>>());
            seen.is_broken |= finals.len() > 1 || decided.len() > 1;
            assert!(decided.is_subset(&finals), "nobody decides what has no precommits");
            seen.finals.extend(finals);
            seen.decided.extend(decided);
        }
        seen.worlds += next.len();
        if seen.is_broken {
            break;
        }
        worlds = next.into_iter().filter(|world| stage.is_open(world)).collect();
    }
    seen
}

/// Every choice of one of each.
fn product(each: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let more = |all: Vec<Vec<usize>>, one: &Vec<usize>| {
        let longer = |start: &Vec<usize>| {
            let start = start.clone();
            one.iter().map(move |index| start.iter().copied().chain([*index]).collect())
        };
        all.iter().flat_map(longer).collect()
    };
    each.iter().fold(vec![vec![]], more)
}

/// A draft with a transfer of its own.
fn draft(state: &State, proposer: PublicKey, value: u64) -> Draft {
    let command = Command::Transfer { to: proposer, amount: ohc(1 + value) };
    let order = Who::Bank.secret().seal(state.network(), Order { nonce: 1, command });
    let params = poh::Params { hashes_per_tick: state.params().hashes_per_tick };
    let commands = vec![order];
    let poh = Chain::resume(state.place(), params).record(commands_root(&commands));
    Draft { height: Height(1), proposer, poh: poh.into_iter().collect(), commands }
}

fn complete(state: &State, parent: Digest, draft: Draft) -> Slot {
    let events = state.clone().apply(draft.height, &draft.poh, &draft.commands);
    let head = draft.head(parent, events_root(&events));
    let Draft { poh, commands, .. } = draft;
    Slot { head, poh, commands, certificate: Default::default() }
}

#[test]
fn r7_in_a_world_of_two_slots_and_two_rounds_nothing_makes_two_final() {
    // Who lies proposes in the first round, in the second, or in none of the two.
    let explore = |liars: &'static [usize]| std::thread::spawn(move || explore(liars, None));
    let all = [&[0usize][..], &[1], &[2]].map(explore).map(|one| one.join().unwrap());
    for (liar, seen) in all.iter().enumerate() {
        assert!(!seen.is_broken, "R-7: liar {liar}: {seen:?}");
        assert!(!seen.decided.is_empty() && seen.worlds > 1_000, "liar {liar}: {seen:?}");
    }
    assert_eq!(all[0].finals, BTreeSet::from([0, 1]), "who proposes both can get either");
}

#[test]
fn r7_two_of_four_that_lie_make_two_slots_final_in_a_small_world() {
    assert!(explore(&[0, 1], None).is_broken);
}

#[test]
fn r7_a_validator_that_forgets_what_it_voted_for_is_seen_in_a_small_world() {
    assert!(explore(&[0], Some(2)).is_broken);
}
