//! Agreement by messages: validators on a network that delays, loses, doubles and cuts, with
//! crashes in the worst places and some that lie. Some have more stake than others: heads
//! do not count. Every vote is real; what is folded are transfers.
//! Never looks into a machine: an outside record of what was sent and decided is what is held
//! against the rules.

mod byzantine;
mod deaths;
mod seat;

use crate::dice::Dice;
use crate::ground::{STAKE, ohc, staked};
use byzantine::Temper;
use ohc::base::canon::{Canonical, Decode, Digest, Encode};
use ohc::base::keys::PublicKey;
use ohc::base::time::{Height, Millis};
use ohc::domain::genesis::Genesis;
use ohc::domain::slot::Slot;
use ohc::domain::vote::{Evidence, Kind};
use ohc::role::consensus::{Message, Output};
use seat::Seat;
use std::collections::{BTreeMap, BTreeSet};

/// How bad the network and the machines are.
#[derive(Clone, Copy)]
struct Weather {
    loss: u64,
    doubled: u64,
    delay_ms: u64,
    crash: u64,
    /// Whether it is cut in two now and then.
    is_cut: bool,
}

/// What one liar says beside its part: two that answer each other would never end.
const LIES_MAX: usize = 400;

const CALM: Weather = Weather { loss: 0, doubled: 0, delay_ms: 5, crash: 0, is_cut: false };

#[derive(Clone)]
enum Item {
    Deliver(usize, Vec<u8>),
    Wake(usize, u64),
    Restart(usize),
    CatchUp(usize),
    Kill(usize, u64),
    Cut,
}

struct Council {
    genesis: Genesis,
    dice: Dice,
    weather: Weather,
    now: Millis,
    seats: Vec<Seat>,
    queue: BTreeMap<(Millis, u64), Item>,
    sequence: u64,
    /// The side of the cut that each seat is on.
    sides: Vec<bool>,
    /// The slot of each height, as the first honest validator decided it.
    agreed: Vec<Digest>,
    /// What honest validators voted, each in the order of its key.
    votes: BTreeMap<(PublicKey, Height, u32, Kind), Option<Digest>>,
    /// What was sent so far, for those who say it again.
    said: Vec<Vec<u8>>,
    /// The slots that were proposed in each round, for those who say two things.
    proposed: BTreeMap<(Height, u32), Vec<Digest>>,
    accused: BTreeSet<PublicKey>,
    target: u64,
    /// How long a seat is up before it is killed, on average, and how long a start takes.
    lives: Option<(u64, u64)>,
    /// A planted bug: nothing that was said is written down.
    forgets: bool,
}

type Held = Result<(), String>;

/// A validator, and its stake in whole OhC.
type Member = (Temper, u64);

fn equal(tempers: &[Temper]) -> Vec<Member> {
    tempers.iter().map(|temper| (*temper, STAKE)).collect()
}

impl Council {
    /// Validators of equal stake.
    fn new(seed: u64, tempers: &[Temper], weather: Weather, target: u64) -> Self {
        Self::of(seed, &equal(tempers), weather, target)
    }

    /// `members` are the validators in their order; a twin has two seats.
    fn of(seed: u64, members: &[Member], weather: Weather, target: u64) -> Self {
        let stakes: Vec<u64> = members.iter().map(|(_, stake)| *stake).collect();
        let genesis = staked(&stakes, ohc(0));
        let mut seats = Vec::new();
        for (who, (temper, _)) in (0..).zip(members) {
            for _ in 0..if *temper == Temper::Twin { 2 } else { 1 } {
                seats.push(Seat::new(who, *temper, &genesis));
            }
        }
        let sides = (0..seats.len()).map(|n| n % 2 == 0).collect();
        let mut council = Self {
            genesis,
            dice: Dice::new(seed),
            weather,
            now: Millis(0),
            seats,
            queue: BTreeMap::new(),
            sequence: 0,
            sides,
            agreed: Vec::new(),
            votes: BTreeMap::new(),
            said: Vec::new(),
            proposed: BTreeMap::new(),
            accused: BTreeSet::new(),
            target,
            lives: None,
            forgets: false,
        };
        for seat in 0..council.seats.len() {
            let at = council.dice.below(20);
            council.at(at, Item::Restart(seat));
            council.at(300, Item::CatchUp(seat));
        }
        council.at(1, Item::Cut);
        council
    }

    fn at(&mut self, delay: u64, item: Item) {
        self.sequence += 1;
        self.queue.insert((self.now.after(delay), self.sequence), item);
    }

    /// Runs until everybody that can has all slots, or the time is over.
    fn live(&mut self, ms: u64) -> Held {
        let end = self.now.after(ms);
        while let Some(((at, _), item)) = self.queue.pop_first() {
            if at > end {
                self.sequence += 1;
                self.queue.insert((at, self.sequence), item);
                break;
            }
            self.now = at;
            self.happen(item)?;
            if self.is_done() {
                break;
            }
        }
        self.now = self.now.max(end.min(self.now));
        Ok(())
    }

    fn is_done(&self) -> bool {
        let mut honest = self.seats.iter().filter(|seat| seat.temper == Temper::Honest);
        honest.all(|seat| seat.height() >= self.target)
    }

    fn happen(&mut self, item: Item) -> Held {
        match item {
            Item::Deliver(to, bytes) => {
                let said = Message::from_bytes(&bytes);
                let Ok(message) = said else { return Ok(()) };
                if self.seats[to].lies < LIES_MAX {
                    let lies = self.seats[to].answer(&message, &mut self.dice, &self.said);
                    self.seats[to].lies += lies.len();
                    lies.into_iter().for_each(|lie| self.spread(to, lie.to_bytes()));
                }
                let out = self.seats[to].hear(self.now, message);
                self.perform(to, out)
            }
            Item::Wake(seat, life) if self.seats[seat].life == life => {
                self.seats[seat].alarm = None;
                let out = self.seats[seat].wake(self.now);
                self.perform(seat, out)
            }
            Item::Wake(..) => Ok(()),
            Item::Kill(seat, life) if self.seats[seat].life == life => {
                self.seats[seat].machine = None;
                let start = self.lives.map_or(0, |(_, start)| start);
                self.at(start, Item::Restart(seat));
                Ok(())
            }
            Item::Kill(..) => Ok(()),
            Item::Restart(seat) => {
                if let Some((mean, _)) = self.lives {
                    // As often in one moment as in any other.
                    let share = self.dice.between(1, 1_000) as f64 / 1_000.0;
                    let up = (-share.ln() * mean as f64) as u64;
                    let life = self.seats[seat].life + 1;
                    self.at(up, Item::Kill(seat, life));
                }
                let out = self.seats[seat].start(self.now, &self.genesis);
                self.perform(seat, out)
            }
            Item::CatchUp(seat) => self.catch_up(seat),
            Item::Cut => {
                for side in &mut self.sides {
                    *side = self.weather.is_cut && self.dice.percent(50);
                }
                let next = self.dice.between(200, 3_000);
                self.at(next, Item::Cut);
                Ok(())
            }
        }
    }

    /// Does what a machine wants, in its order; the machine may crash on the way.
    fn perform(&mut self, seat: usize, out: Vec<Output>) -> Held {
        let mut out: std::collections::VecDeque<Output> = out.into();
        while let Some(output) = out.pop_front() {
            if self.dice.below(1_000) < self.weather.crash {
                return self.crash(seat);
            }
            match output {
                Output::Record(_) if self.forgets => {}
                Output::Record(entries) => self.seats[seat].journal.extend(entries),
                Output::Send(message) => self.send(seat, &message)?,
                Output::Propose => {
                    let more = self.seats[seat].propose(self.now, &mut self.dice);
                    out.extend(more);
                }
                Output::Decided(slot) => {
                    self.observe(seat, &slot)?;
                    out.extend(self.seats[seat].take(self.now, *slot));
                }
                Output::Evidence(evidence) => self.accuse(seat, &evidence)?,
                Output::Behind(_) => self.catch_up_soon(seat),
            }
        }
        if self.seats[seat].wants(self.target) {
            let more = self.seats[seat].begin(self.now);
            return self.perform(seat, more);
        }
        let Seat { life, alarm, .. } = self.seats[seat];
        if let Some(at) = self.seats[seat].deadline()
            && alarm.is_none_or(|alarm| at < alarm)
        {
            self.seats[seat].alarm = Some(at);
            self.at(at.since(self.now), Item::Wake(seat, life));
        }
        Ok(())
    }

    fn crash(&mut self, seat: usize) -> Held {
        self.seats[seat].machine = None;
        let delay = self.dice.between(1, 2_000);
        self.at(delay, Item::Restart(seat));
        Ok(())
    }

    fn accuse(&mut self, seat: usize, evidence: &Evidence) -> Held {
        let guilty = evidence.proves(self.genesis.network()).map(|(key, _)| key);
        let guilty = guilty.ok_or("evidence that proves nothing")?;
        let is_honest = |s: &Seat| s.key() == guilty && s.temper == Temper::Honest;
        if self.seats[seat].temper == Temper::Honest && self.seats.iter().any(is_honest) {
            return Err("R-6: an honest validator is accused".to_owned());
        }
        self.accused.insert(guilty);
        Ok(())
    }

    fn send(&mut self, from: usize, message: &Message) -> Held {
        let seat = &self.seats[from];
        if let (Message::Vote(vote), Temper::Honest) = (message, seat.temper) {
            let (body, key) = (vote.body, vote.author);
            let place = (key, body.height, body.round, body.kind);
            let before = self.votes.insert(place, body.head);
            if key == seat.key() && before.is_some_and(|head| head != body.head) {
                return Err(format!("R-6: {key:?} voted twice: {body:?}"));
            }
        }
        if seat.is_silent() {
            return Ok(());
        }
        self.list(message);
        match self.seats[from].temper {
            Temper::Equivocator => self.say_two_things(from, message),
            _ => self.spread(from, message.to_bytes()),
        }
        Ok(())
    }

    /// Says one thing to every other seat, and another to the rest; where messages are doubled,
    /// some hear both.
    fn say_two_things(&mut self, from: usize, message: &Message) {
        let place = match message {
            Message::Vote(vote) => (vote.body.height, vote.body.round),
            Message::Proposal { proposal, .. } => (proposal.body.height, proposal.body.round),
            Message::Polka(_) | Message::Passed(_) => (message.height(), 0),
        };
        let heads = self.proposed.get(&place).cloned().unwrap_or_default();
        if let Message::Vote(vote) = message
            && vote.body.head.is_some_and(|head| !heads.contains(&head))
        {
            // A proposer votes first: its vote waits for what it is for.
            self.seats[from].ahead = Some(message.clone());
            return;
        }
        let Some(both) = self.seats[from].twist(message, &heads) else {
            return self.spread(from, message.to_bytes());
        };
        both.iter().for_each(|one| self.list(one));
        let both = both.map(|one| one.to_bytes());
        for to in 0..self.seats.len() {
            self.pass(from, to, &both[to % 2]);
            if self.dice.percent(self.weather.doubled) {
                self.pass(from, to, &both[1 - to % 2]);
            }
        }
        if let Some(vote) = self.seats[from].ahead.take() {
            self.say_two_things(from, &vote);
        }
    }

    /// Notes what is proposed.
    fn list(&mut self, message: &Message) {
        if let Message::Proposal { proposal, .. } = message {
            let place = (proposal.body.height, proposal.body.round);
            let heads = self.proposed.entry(place).or_default();
            if !heads.contains(&proposal.body.head) {
                heads.push(proposal.body.head);
            }
        }
    }

    fn spread(&mut self, from: usize, bytes: Vec<u8>) {
        (0..self.seats.len()).for_each(|to| self.pass(from, to, &bytes));
        self.said.push(bytes);
    }

    /// Sends to one of the others what may or may not reach it.
    fn pass(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let is_through = self.sides[from] == self.sides[to];
        if to == from || !is_through || self.dice.percent(self.weather.loss) {
            return;
        }
        for _ in 0..1 + u64::from(self.dice.percent(self.weather.doubled)) {
            let delay = 1 + self.dice.below(self.weather.delay_ms);
            self.at(delay, Item::Deliver(to, bytes.to_vec()));
        }
    }

    /// An honest validator has decided a slot.
    fn observe(&mut self, seat: usize, slot: &Slot) -> Held {
        let Seat { state, parent, temper, .. } = &self.seats[seat];
        slot.check(state.network(), *parent, state.validators())
            .map_err(|error| format!("R-7: {}: {error}", slot.head.height))?;
        if *temper != Temper::Honest {
            return Ok(());
        }
        let (index, head) = (slot.head.height.0 as usize - 1, slot.head.digest());
        match self.agreed.get(index) {
            Some(other) if *other != head => Err(format!("R-7: two slots {}", slot.head.height)),
            Some(_) => Ok(()),
            None => {
                self.agreed.push(head);
                Ok(())
            }
        }
    }

    fn catch_up_soon(&mut self, seat: usize) {
        self.at(20, Item::CatchUp(seat));
    }

    /// Fetches from somebody what is final there.
    fn catch_up(&mut self, seat: usize) -> Held {
        let delay = self.dice.between(200, 600);
        self.at(delay, Item::CatchUp(seat));
        let other = self.dice.index(self.seats.len());
        let is_there = self.sides[seat] == self.sides[other] && self.seats[other].machine.is_some();
        if !is_there || self.seats[seat].machine.is_none() {
            return Ok(());
        }
        while let Some(slot) = self.seats[other].log.get(self.seats[seat].log.len()).cloned() {
            self.observe(seat, &slot)?;
            let out = self.seats[seat].take(self.now, slot);
            self.perform(seat, out)?;
            if self.seats[seat].machine.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// A council from its beginning to its end: a storm, then calm, and everybody has everything.
fn convene(seed: u64, members: &[Member], storm: Weather, target: u64) -> Result<Council, String> {
    let mut council = Council::of(seed, members, storm, target);
    council.live(6_000)?;
    council.weather = CALM;
    council.sides.fill(true);
    council.live(120_000)?;
    if council.is_done() {
        return Ok(council);
    }
    let heights: Vec<_> = council.seats.iter().map(Seat::height).collect();
    Err(format!("liveness: {heights:?} of {target}"))
}

/// The validators, the weather and the length of a council that nobody has thought of. Who lies has
/// less than 1/3 of the stake together, and may be half of all heads.
fn drawn(seed: u64) -> (Vec<Member>, Weather, u64) {
    let mut dice = Dice::new(seed ^ 0x9e37_79b9);
    let (count, target) = match dice.below(20) {
        0 => (20, 2),
        1..=4 => (7, 3),
        _ => (4, 4),
    };
    let most = *dice.pick(&[1, 3, 10]);
    let stakes: Vec<u64> = (0..count).map(|_| STAKE * dice.between(1, most)).collect();
    let kinds = [Temper::Twin, Temper::Silent, Temper::Forger, Temper::Stale, Temper::Equivocator];
    let (all, mut lying): (u64, u64) = (stakes.iter().sum(), 0);
    let (mut liars, first) = (dice.below(count / 2 + 1), dice.index(stakes.len()));
    let mut members: Vec<Member> =
        stakes.into_iter().map(|stake| (Temper::Honest, stake)).collect();
    members.rotate_left(first);
    for (temper, stake) in &mut members {
        if liars > 0 && 3 * (lying + *stake) < all {
            (*temper, lying, liars) = (*dice.pick(&kinds), lying + *stake, liars - 1);
        }
    }
    let shift = dice.index(members.len());
    members.rotate_right(shift);
    let weather = Weather {
        loss: *dice.pick(&[0, 5, 30]),
        doubled: *dice.pick(&[0, 20]),
        delay_ms: *dice.pick(&[2, 30, 400]),
        crash: *dice.pick(&[0, 5, 20]),
        is_cut: dice.percent(40),
    };
    (members, weather, target)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn r7_up_to_a_third_of_the_stake_may_lie_and_all_others_agree() {
    let (first, count) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (1, number("SEEDS").unwrap_or(300)),
    };
    let next = std::sync::atomic::AtomicU64::new(first);
    let run = || {
        loop {
            let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if seed >= first + count {
                return Ok(());
            }
            let (members, weather, target) = drawn(seed);
            if let Err(what) = convene(seed, &members, weather, target) {
                return Err(format!("SEED={seed}: {what}; {members:?}"));
            }
        }
    };
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(run);
        (run(), other.join().unwrap())
    });
    assert_eq!(one.and(other), Ok(()));
}

/// So many liars, then honest ones.
fn among(liars: usize, temper: Temper, count: usize) -> Vec<Temper> {
    [vec![temper; liars], vec![Temper::Honest; count - liars]].concat()
}

/// The fewest of so many that break it: as many as two quorums have in common at least.
const BREAKING: [(usize, usize); 3] = [(2, 4), (3, 7), (8, 20)];

#[test]
fn r7_as_many_twins_as_two_quorums_share_break_it_and_fewer_do_not() {
    let held = |twins, count| {
        // As the theory says: on either side of a cut there is a quorum of keys.
        let mut council = Council::new(1, &among(twins, Temper::Twin, count), CALM, 2);
        council.queue.retain(|_, item| !matches!(item, Item::Cut));
        council.sides = (0..council.seats.len()).map(|n| n % 2 == 0).collect();
        council.live(20_000)?;
        council.sides.fill(true);
        council.live(60_000)?;
        assert!(council.is_done());
        Ok::<(), String>(())
    };
    for (twins, count) in BREAKING {
        assert!(
            held(twins, count).is_err_and(|what| what.starts_with("R-7")),
            "{twins} of {count}"
        );
        assert_eq!(held(twins - 1, count), Ok(()), "{} of {count}", twins - 1);
    }
}

#[test]
fn r7_as_many_that_say_two_things_break_it_and_fewer_do_not() {
    let held = |liars, count| {
        (0..4).try_for_each(|seed| {
            // Whoever proposes the first slot is one of them in some.
            let mut members = equal(&among(liars, Temper::Equivocator, count));
            members.rotate_right(seed * count / 4);
            convene(seed as u64, &members, CALM, 2).map(drop)
        })
    };
    for (liars, count) in BREAKING {
        let broken = held(liars, count).unwrap_err();
        assert!(broken.starts_with("R-7"), "{liars} of {count}: {broken}");
        // A third of the stake would be enough to stop it.
        assert_eq!(held((count - 1) / 3, count), Ok(()), "{count}");
    }
}

#[test]
fn a_third_that_is_silent_stops_it_and_its_return_starts_it_again() {
    for (silent, count) in [(2, 4), (3, 7), (7, 20)] {
        let mut council = Council::new(1, &among(silent, Temper::Silent, count), CALM, 3);
        council.live(30_000).unwrap();
        assert!(council.agreed.is_empty(), "{} are no quorum of {count}", count - silent);
        council.seats.iter_mut().for_each(|seat| seat.temper = Temper::Honest);
        council.live(60_000).unwrap();
        assert!(council.is_done(), "{count}");
    }
}

#[test]
fn r7_who_holds_a_third_of_the_stake_stops_it_alone_and_who_holds_less_does_not() {
    let agreed = |silent: u64| {
        let mut members = equal(&among(1, Temper::Silent, 5));
        members[0].1 = silent;
        let mut council = Council::of(1, &members, CALM, 2);
        council.live(30_000).unwrap();
        council.agreed.len()
    };
    assert_eq!(agreed(2 * STAKE), 0, "exactly two thirds of the stake are no quorum");
    assert_eq!(agreed(2 * STAKE - 1), 2);
}

#[test]
fn r6_who_says_two_things_is_found_out_and_nobody_else_is_accused() {
    for liar in [Temper::Twin, Temper::Equivocator] {
        let members = equal(&[Temper::Honest, liar, Temper::Honest, Temper::Honest]);
        let weather = Weather { delay_ms: 40, doubled: 20, ..CALM };
        let found = (1..20).filter(|seed| {
            let council = convene(*seed, &members, weather, 3).unwrap();
            !council.accused.is_empty()
        });
        assert!(found.count() > 10, "{liar:?}: who votes twice is seen by most");
    }
}

#[test]
fn r6_a_vote_that_is_not_durable_before_it_leaves_is_seen() {
    let storm = Weather { loss: 10, doubled: 10, delay_ms: 30, crash: 40, is_cut: false };
    let twice = |seed: &u64| {
        let mut council = Council::new(*seed, &[Temper::Honest; 4], storm, 4);
        council.forgets = true;
        council.live(20_000).is_err_and(|what| what.starts_with("R-6"))
    };
    assert!((1..60).any(|seed| twice(&seed)));
}

#[test]
fn a_slot_that_counts_time_that_has_not_passed_is_not_voted_for() {
    let votes_for_it = |ticks: u64, now: u64| {
        let mut council = Council::new(1, &[Temper::Honest; 4], CALM, 1);
        let genesis = council.genesis.clone();
        council.seats.iter_mut().for_each(|seat| drop(seat.start(Millis(0), &genesis)));
        let mut out = council.seats.iter_mut().map(|seat| seat.begin(Millis(0)));
        let proposer = out.position(|out| out.contains(&Output::Propose)).unwrap();
        drop(out);
        let draft = council.seats[proposer].draft_of(ticks, &mut council.dice);
        let out = council.seats[proposer].say(Millis(now), draft);
        let said = out.into_iter().find_map(|output| match output {
            Output::Send(message @ Message::Proposal { .. }) => Some(message),
            _ => None,
        });
        let heard = council.seats[(proposer + 1) % 4].hear(Millis(now), said.unwrap());
        heard.iter().any(|output| matches!(output, Output::Send(Message::Vote(_))))
    };
    // 100 ticks are a second.
    assert!(votes_for_it(50, 1) && votes_for_it(100, 500));
    assert!(!votes_for_it(51, 1) && !votes_for_it(100, 300));
}

#[test]
fn the_same_seed_agrees_in_the_same_way() {
    let heads = |seed| {
        let (members, weather, target) = drawn(seed);
        convene(seed, &members, weather, target).unwrap().agreed
    };
    assert_eq!(heads(5), heads(5));
    assert_ne!(heads(5), heads(6));
}
