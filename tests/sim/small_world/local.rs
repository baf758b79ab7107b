//! One validator of a small world: what it can hear in a phase, and in which situation it is after
//! it. Never knows what others are in.

use super::{Cast, Phase, Stage};
use ohc::base::canon::Canonical;
use ohc::base::time::Millis;
use ohc::domain::vote::Kind;
use ohc::role::Machine;
use ohc::role::consensus::{Consensus, Input, Message, Output};
use std::collections::{BTreeMap, BTreeSet};

/// Time-outs that may pass in one phase.
const ALARMS_MAX: usize = 3;

/// Something that a validator says; `value` is one of the two slots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Said {
    Proposal { author: usize, round: u32, value: usize, valid: Option<u32> },
    Vote { author: usize, round: u32, kind: Kind, value: Option<usize> },
}

impl Said {
    pub fn author(&self) -> usize {
        let (Self::Proposal { author, .. } | Self::Vote { author, .. }) = self;
        *author
    }

    /// What an honest validator says one thing about.
    fn place(&self) -> (u32, Option<Kind>) {
        match self {
            Self::Proposal { round, .. } => (*round, None),
            Self::Vote { round, kind, .. } => (*round, Some(*kind)),
        }
    }
}

/// What happens to a validator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Hear(Said),
    /// Time-outs pass until it has done its part in this phase.
    Wait((u32, Phase)),
    /// It starts again, and nothing of what it did was written down.
    Forget,
}

/// What there is to know of a validator for all that can come.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Situation {
    /// What it has said.
    pub said: Vec<Said>,
    /// The round that it is in, as it says itself.
    place: String,
    pub decided: Option<usize>,
    /// The slots that it has heard of in the second round. What it heard in the first, and with
    /// which reason a slot was proposed again, shows in what it voted for.
    proposals: BTreeSet<usize>,
    late: Late,
}

/// What prevotes of the first round can do that come late.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Late {
    /// They change nothing any more: it has heard three for this.
    Polka(Option<usize>),
    /// These were said by the honest, and may come. Of a liar the first word counts, where his word
    /// can make a difference.
    Open { others: BTreeSet<Said>, lies: BTreeMap<usize, Option<usize>> },
    /// None comes any more.
    Over,
}

/// The real machine on its way.
pub struct Walker<'a> {
    stage: &'a Stage,
    who: usize,
    machine: Consensus,
    now: Millis,
    said: Vec<Said>,
    decided: Option<usize>,
}

impl<'a> Walker<'a> {
    pub fn new(stage: &'a Stage, who: usize) -> Self {
        let (key, now) = (stage.cast.keys[who].secret(), Millis(0));
        let machine = Consensus::new(key, now, (&stage.state, stage.parent), 1);
        let mut this = Self { stage, who, machine, now, said: Vec::new(), decided: None };
        this.tell(Input::Begin);
        this
    }

    fn forget(&mut self) {
        let (stage, key) = (self.stage, self.stage.cast.keys[self.who].secret());
        self.machine = Consensus::new(key, self.now, (&stage.state, stage.parent), 1);
        self.tell(Input::Begin);
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Hear(said) => self.tell(Input::Message(self.stage.message(said))),
            Step::Forget => self.forget(),
            Step::Wait(phase) => {
                for _ in 0..ALARMS_MAX {
                    let Some(at) = self.machine.deadline(&self.stage.state) else { return };
                    if self.decided.is_some() || self.is_past(phase) {
                        return;
                    }
                    self.now = self.now.max(at);
                    self.tell(Input::Wake);
                }
            }
        }
    }

    /// Whether it has done its part in a phase: it has voted, or entered the next round.
    fn is_past(&self, (round, phase): (u32, Phase)) -> bool {
        let kind = match phase {
            Phase::Proposal => Kind::Prevote,
            Phase::Prevotes => Kind::Precommit,
            Phase::Precommits => {
                return format!("{:?}", self.machine).ends_with(&format!(", {})", round + 1));
            }
        };
        let is_it = |said: &Said| {
            matches!(said,
            Said::Vote { round: r, kind: k, .. } if (*r, *k) == (round, kind))
        };
        self.said.iter().any(is_it)
    }

    fn tell(&mut self, input: Input) {
        let mut out = Vec::new();
        self.machine.handle(self.now, &self.stage.state, input, &mut out);
        for output in out {
            match output {
                Output::Send(message) => self.note(&message),
                Output::Propose => {
                    let draft = self.stage.drafts[self.who.min(1)].clone();
                    self.tell(Input::Drafted(draft));
                }
                Output::Decided(slot) => {
                    let heads = self.stage.slots.iter().map(|slot| slot.head.digest());
                    self.decided = heads.into_iter().position(|head| head == slot.head.digest());
                }
                Output::Record(_) | Output::Evidence(_) | Output::Behind(_) => {}
            }
        }
    }

    /// Takes down what it says, once: what is said again changes nothing.
    fn note(&mut self, message: &Message) {
        let value = |head| {
            let mut slots = self.stage.slots.iter();
            slots.position(|slot| Some(slot.head.digest()) == head)
        };
        let author = self.who;
        let said = match message {
            Message::Proposal { proposal, .. } => {
                let body = proposal.body;
                let value = value(Some(body.head)).unwrap();
                Said::Proposal { author, round: body.round, value, valid: body.valid }
            }
            Message::Vote(vote) => {
                let body = vote.body;
                Said::Vote { author, round: body.round, kind: body.kind, value: value(body.head) }
            }
            Message::Polka(_) | Message::Passed(_) => return,
        };
        if self.said.contains(&said) {
            return;
        }
        let is_twice = self.said.iter().any(|other| other.place() == said.place());
        let may = self.stage.cast.forgets == Some(self.who);
        assert!(may || !is_twice, "R-6: {said:?} after {:?}", self.said);
        self.said.push(said);
    }

    /// Where it is, when the honest have said this.
    pub fn situation(self, way: &[Step], soup: &BTreeSet<Said>) -> Situation {
        let reached = way.iter().rev().find_map(|step| match step {
            Step::Wait(phase) => Some(*phase),
            _ => None,
        });
        let is_second = reached.is_some_and(|(round, _)| round == 1);
        let (mut proposals, mut heard) = (BTreeSet::new(), BTreeMap::new());
        for step in way {
            match step {
                Step::Hear(Said::Proposal { round: 1, value, .. }) => proposals.extend([*value]),
                Step::Hear(Said::Vote { author, round: 0, kind: Kind::Prevote, value }) => {
                    heard.entry(*author).or_insert(*value);
                }
                _ => {}
            }
        }
        let late = if is_second { Late::Over } else { self.late(heard, soup) };
        let place = format!("{:?}", self.machine);
        let (said, decided) = (self.said, self.decided);
        Situation { said, place, decided, proposals, late }
    }

    fn late(&self, heard: BTreeMap<usize, Option<usize>>, soup: &BTreeSet<Said>) -> Late {
        let is_prevote =
            |said: &&Said| matches!(said, Said::Vote { round: 0, kind: Kind::Prevote, .. });
        let value = |said: &Said| match said {
            Said::Vote { value, .. } => *value,
            Said::Proposal { value, .. } => Some(*value),
        };
        let own = self.said.iter().filter(is_prevote).map(value);
        let heard_all: Vec<Option<usize>> = own.chain(heard.values().copied()).collect();
        let count = |all: &[Option<usize>], one| all.iter().filter(|other| **other == one).count();
        let slots = || [Some(0), Some(1)].into_iter();
        if let Some(polka) = slots().find(|slot| count(&heard_all, *slot) >= 3) {
            return Late::Polka(polka);
        }
        let others: BTreeSet<Said> = soup.iter().filter(is_prevote).copied().collect();
        let honest: Vec<Option<usize>> = others.iter().map(value).collect();
        let liars = &self.stage.cast.liars;
        let is_open = slots().any(|slot| (3 - liars.len()..3).contains(&count(&honest, slot)));
        let lies = heard.into_iter().filter(|(author, _)| is_open && liars.contains(author));
        // Who waits for more prevotes is as one that has heard none.
        let is_stuck = self
            .said
            .iter()
            .all(|said| !matches!(said, Said::Vote { round: 0, kind: Kind::Precommit, .. }));
        let lies = if is_stuck { BTreeMap::new() } else { lies.collect() };
        Late::Open { others, lies }
    }
}

/// What of all that was said by the honest a validator may hear in a phase.
pub fn concerns((round, phase): (u32, Phase), who: usize, soup: &BTreeSet<Said>) -> Vec<Said> {
    let of_phase = |said: &Said| match (*said, phase) {
        (Said::Proposal { round: r, .. }, Phase::Proposal) => r == round,
        // Prevotes of the first round that come late.
        (Said::Vote { round: 0, kind: Kind::Prevote, .. }, Phase::Proposal) => round == 1,
        (Said::Vote { round: r, kind: Kind::Prevote, .. }, Phase::Prevotes) => r == round,
        (Said::Vote { round: r, kind: Kind::Precommit, .. }, Phase::Precommits) => r == round,
        _ => false,
    };
    soup.iter().filter(|said| said.author() != who && of_phase(said)).copied().collect()
}

/// Everything that a validator can hear in a phase.
pub fn choices(cast: &Cast, (round, phase): (u32, Phase), honest: &[Said]) -> Vec<Vec<Step>> {
    match phase {
        Phase::Proposal => proposals(cast, round, honest),
        Phase::Prevotes => votes(cast, (round, Kind::Prevote), honest),
        Phase::Precommits => votes(cast, (round, Kind::Precommit), honest),
    }
}

/// Any subset of the honest votes and any word of each liar, forwards and backwards.
fn votes(cast: &Cast, (round, kind): (u32, Kind), honest: &[Said]) -> Vec<Vec<Step>> {
    let mut all: Vec<Vec<Said>> = subsets(honest);
    for author in &cast.liars {
        let words = [None, Some(0), Some(1)];
        let lies = words.map(|value| Said::Vote { author: *author, round, kind, value });
        let with = |lie: &Said| {
            let lie = *lie;
            all.iter().map(move |some| some.iter().copied().chain([lie]).collect::<Vec<_>>())
        };
        let more: Vec<Vec<Said>> = lies.iter().flat_map(with).collect();
        all.extend(more);
    }
    let backwards: Vec<Vec<Said>> = all
        .iter()
        .filter(|some| some.len() > 1 && kind == Kind::Prevote)
        .map(|some| some.iter().rev().copied().collect())
        .collect();
    all.extend(backwards);
    all.into_iter().map(heard).collect()
}

/// A proposal or none, and in the second round before or after it what is late of the first.
fn proposals(cast: &Cast, round: u32, honest: &[Said]) -> Vec<Vec<Step>> {
    let is_proposal = |said: &&Said| matches!(said, Said::Proposal { .. });
    let proposer = round as usize;
    let mut offers: Vec<Vec<Said>> = vec![vec![]];
    offers.extend(honest.iter().filter(is_proposal).map(|said| vec![*said]));
    if cast.liars.contains(&proposer) {
        let earlier = (0..round).map(Some).chain([None]);
        let lie = |(value, valid)| Said::Proposal { author: proposer, round, value, valid };
        offers.extend(earlier.flat_map(|v| [(0, v), (1, v)]).map(lie).map(|said| vec![said]));
    }
    let late: Vec<Said> = honest.iter().filter(|said| !is_proposal(said)).copied().collect();
    let mut lates: Vec<Vec<Said>> = vec![vec![]];
    if round == 1 {
        lates.push(late.clone());
        for author in &cast.liars {
            let lie = |value| Said::Vote { author: *author, round: 0, kind: Kind::Prevote, value };
            let with = |value| late.iter().copied().chain([lie(Some(value))]).collect();
            lates.extend([0, 1].map(with));
        }
    }
    let mut all = Vec::new();
    for offer in &offers {
        for late in &lates {
            all.push(heard(offer.iter().chain(late).copied().collect()));
            if !offer.is_empty() && !late.is_empty() {
                all.push(heard(late.iter().chain(offer).copied().collect()));
            }
        }
    }
    all
}

fn heard(said: Vec<Said>) -> Vec<Step> {
    said.into_iter().map(Step::Hear).collect()
}

fn subsets(items: &[Said]) -> Vec<Vec<Said>> {
    let more = |all: Vec<Vec<Said>>, item: &Said| {
        let with = all.iter().map(|some| some.iter().copied().chain([*item]).collect());
        let with: Vec<Vec<Said>> = with.collect();
        all.into_iter().chain(with).collect()
    };
    items.iter().fold(vec![vec![]], more)
}

/// Who forgets knows only the last phase when the second round begins: others say that again.
pub fn forget(cast: &Cast, who: usize, phase: usize, mut way: Vec<Step>) -> Vec<Step> {
    if cast.forgets != Some(who) || phase != 3 {
        return way;
    }
    let is_last = |step: &&Step| match step {
        Step::Hear(Said::Vote { kind, .. }) => *kind == Kind::Precommit,
        Step::Wait((_, phase)) => *phase == Phase::Precommits,
        Step::Hear(_) | Step::Forget => false,
    };
    let again: Vec<Step> = way.iter().filter(is_last).copied().collect();
    way.push(Step::Forget);
    way.extend(again);
    way
}
