//! What a world of the swarm is made of, from its seed. Never lets a fault depend on another: one
//! can be left out and the rest is the same.

use crate::adversary::{Nature, Temper};
use crate::dice::Dice;
use crate::ground::{STAKE, Who, ohc};
use crate::pipelines::{self, Checked};
use crate::world::{Cast, Weather};
use ohc::base::amount::Ohc;

#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    /// Which dice of this seed.
    pub roll: u64,
    pub validators: Vec<(Temper, u64)>,
    pub workers: Vec<(Nature, u64)>,
    pub wants: usize,
    pub weather: Weather,
    /// How long faults go on.
    pub storm_ms: u64,
    /// Whether they stop then, so that everything must settle.
    pub is_live: bool,
    purse: Ohc,
    checked: Checked,
}

impl Setup {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(!seed);
        let is_live = dice.percent(60);
        let checked = if dice.percent(50) { Checked::Full } else { Checked::Any };
        let poor = Ohc::from_nano(dice.below(2_000_000_000));
        let weather = |dice: &mut Dice| Weather { comings: comings(seed), ..weather(dice) };
        let mut validators = validators(&mut dice, is_live);
        if comings(seed) {
            // Of four one may be dishonest, of fewer none; what it has is no more than the others.
            validators.truncate(4);
            let bad = validators.iter().position(|(temper, _)| *temper != Temper::Honest);
            let bad = bad.filter(|_| validators.len() == 4);
            for (n, (temper, stake)) in validators.iter_mut().enumerate() {
                *temper = if bad == Some(n) { *temper } else { Temper::Honest };
                *stake = if bad.is_some() { STAKE } else { *stake };
            }
            let candidates = 1 + seed as usize % 2;
            validators.resize(validators.len() + candidates, (Temper::Honest, 0));
        }
        let is_large = validators.len() > 4; // everybody tells everybody everything
        Self {
            seed,
            roll: 0,
            is_live,
            checked,
            purse: if dice.percent(20) { poor } else { ohc(100) },
            workers: workers(&mut dice),
            wants: if is_large { 1 } else { dice.between(1, 3) as usize },
            weather: weather(&mut dice),
            storm_ms: dice.between(2, if is_large { 5 } else { 20 }) * 1_000,
            validators,
        }
    }

    /// The wants do not depend on how many of the others there are.
    pub fn cast(&self) -> Cast {
        let mut dice = Dice::new(self.seed.rotate_left(32));
        let wants = (0..self.wants).map(|_| pipelines::any(&mut dice, self.checked)).collect();
        let (validators, workers) = (self.validators.clone(), self.workers.clone());
        Cast { validators, workers, purse: self.purse, wants }
    }

    /// Whether a lie can settle: where not everything is checked, or not by honest validators,
    /// what a liar got through is as good as any other result.
    pub fn lies(&self) -> bool {
        let blind = self.validators.iter().filter(|(temper, _)| temper.lies()).count();
        let is_open = self.checked == Checked::Any || blind > 1;
        is_open && self.workers.iter().any(|(nature, _)| nature.lies())
    }

    /// How much there is of everything, to say which of two is the smaller one.
    pub fn size(&self) -> u64 {
        let w = &self.weather;
        let bad = |temper: &Temper| *temper != Temper::Honest;
        let judges = self.validators.iter().filter(|(temper, _)| bad(temper)).count();
        let villains = self.workers.iter().filter(|(n, _)| *n != Nature::Honest).count();
        let slow = w.delay_ms != Weather::CALM.delay_ms;
        let few = [w.crash, w.partition, w.clog, w.disk, w.mischief, w.comings];
        let faults = few.into_iter().chain([w.loss > 0, w.doubled > 0, slow]);
        let count = faults.filter(|fault| *fault).count() + judges + villains;
        let people = self.validators.len() + self.workers.len() + self.wants;
        self.storm_ms + 1_000 * (count + people) as u64
    }
}

/// Whether validators come and go in the world of a seed.
fn comings(seed: u64) -> bool {
    Dice::new(seed ^ 0x5ea7).percent(20)
}

/// Mostly few: a world with many takes long. At most a third of them is not honest, and none is
/// mute where everything must settle.
fn validators(dice: &mut Dice, is_live: bool) -> Vec<(Temper, u64)> {
    let count = match dice.below(200) {
        0 => 20,
        1..6 => 7,
        6..56 => 4,
        56..62 => dice.between(2, 3),
        _ => 1,
    };
    let even = dice.percent(70);
    let stake = |dice: &mut Dice| if even { STAKE } else { STAKE + dice.below(20_000) };
    let mut all: Vec<_> = (0..count).map(|_| (Temper::Honest, stake(dice))).collect();
    if count >= 4 && dice.percent(40) {
        let friend = Temper::Friend(Who::Worker(dice.below(4) as u8));
        let tempers = [Temper::Lazy, Temper::Accuser, friend, Temper::Mute];
        let kinds = if is_live { &tempers[..3] } else { &tempers[..] };
        let bad = if even { (count - 1) / 3 } else { 1 };
        for _ in 0..bad {
            all[dice.index(count as usize)].0 = *dice.pick(kinds);
        }
    }
    all
}

/// Honest workers always, villains often.
fn workers(dice: &mut Dice) -> Vec<(Nature, u64)> {
    let villains = [Nature::WrongWeights, Nature::Withholder, Nature::Silent, Nature::LiarFailure];
    let mut workers = vec![Nature::Honest; dice.between(1, 3) as usize];
    for _ in 0..dice.below(3) {
        workers.push(*dice.pick(&villains));
    }
    workers.into_iter().map(|nature| (nature, nature.ask(dice))).collect()
}

fn weather(dice: &mut Dice) -> Weather {
    Weather {
        delay_ms: (0, *dice.pick(&[3, 100, 700])),
        loss: dice.below(30),
        doubled: dice.below(30),
        misfortune_ms: *dice.pick(&[100, 400, 2_000]),
        crash: dice.percent(70),
        partition: dice.percent(50),
        clog: dice.percent(50),
        disk: dice.percent(50),
        mischief: dice.percent(50),
        comings: false,
        acts_before_sync: false,
    }
}
