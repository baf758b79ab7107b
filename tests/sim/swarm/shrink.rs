//! Shrinking: what can be taken from a failing world so that it still fails. Never changes a
//! seed: what is left is said as what is left out.

use super::setup::Setup;
use crate::adversary::{Nature, Temper};
use crate::checker::Breach;
use std::collections::BTreeSet;

/// Kinds of faults that can be left out, by name.
const FAULTS: [&str; 11] = [
    "mischief",
    "comings",
    "disk",
    "clog",
    "partition",
    "doubled",
    "loss",
    "delay",
    "judges",
    "villains",
    "crash",
];

/// Runs of one shrinking: a world that stands still takes long to say so.
const RUNS_MAX: u64 = 150;

/// Leaves something more out of a world that is like this now.
type Step = Box<dyn Fn(&mut Trim, &Setup)>;

/// How many dice are tried before something counts as needed.
const ROLLS: u64 = 3;

/// What is left out of the world of a seed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trim {
    without: BTreeSet<String>,
    validators: Option<usize>,
    workers: Option<usize>,
    wants: Option<usize>,
    storm_ms: Option<u64>,
    /// Other dice: what is left out changes every roll after it, and with it the luck.
    roll: u64,
}

impl Trim {
    pub fn apply(&self, mut setup: Setup) -> Setup {
        setup.roll = self.roll;
        setup.validators.truncate(self.validators.unwrap_or(usize::MAX));
        // Fewer stand fewer that are not honest.
        let (mut bad, most) = (0, (setup.validators.len() - 1) / 3);
        for (temper, _) in &mut setup.validators {
            bad += usize::from(*temper != Temper::Honest);
            *temper = if bad > most { Temper::Honest } else { *temper };
        }
        setup.workers.truncate(self.workers.unwrap_or(usize::MAX));
        setup.wants = setup.wants.min(self.wants.unwrap_or(usize::MAX));
        setup.storm_ms = setup.storm_ms.min(self.storm_ms.unwrap_or(u64::MAX));
        let weather = &mut setup.weather;
        for fault in &self.without {
            match fault.as_str() {
                "mischief" => weather.mischief = false,
                "comings" => weather.comings = false,
                "disk" => weather.disk = false,
                "clog" => weather.clog = false,
                "partition" => weather.partition = false,
                "doubled" => weather.doubled = 0,
                "loss" => weather.loss = 0,
                "delay" => weather.delay_ms = (0, 2),
                "crash" => weather.crash = false,
                "judges" => setup.validators.iter_mut().for_each(|(t, _)| *t = Temper::Honest),
                _ => setup.workers.iter_mut().for_each(|(n, _)| *n = Nature::Honest),
            }
        }
        setup
    }

    /// The line that replays a seed with this left out.
    pub fn line(&self, seed: u64) -> String {
        let mut words = Vec::new();
        if !self.without.is_empty() {
            let names: Vec<&str> = self.without.iter().map(String::as_str).collect();
            words.push(format!("without={}", names.join(",")));
        }
        let sizes =
            [("validators", self.validators), ("workers", self.workers), ("wants", self.wants)];
        for (name, size) in sizes {
            words.extend(size.map(|size| format!("{name}={size}")));
        }
        words.extend(self.storm_ms.map(|ms| format!("storm={ms}")));
        words.extend((self.roll > 0).then(|| format!("roll={}", self.roll)));
        format!("SEED={seed} TRIM='{}' just sim", words.join(" "))
    }

    /// Reads what `line` says.
    pub fn read(text: &str) -> Option<Self> {
        let mut trim = Self::default();
        for word in text.split_whitespace() {
            match word.split_once('=')? {
                ("without", names) => {
                    trim.without = names.split(',').map(str::to_owned).collect();
                }
                ("validators", size) => trim.validators = Some(size.parse().ok()?),
                ("workers", size) => trim.workers = Some(size.parse().ok()?),
                ("wants", size) => trim.wants = Some(size.parse().ok()?),
                ("storm", ms) => trim.storm_ms = Some(ms.parse().ok()?),
                ("roll", roll) => trim.roll = roll.parse().ok()?,
                _ => return None,
            }
        }
        trim.without.iter().all(|name| FAULTS.contains(&name.as_str())).then_some(trim)
    }

    /// One step smaller each: half of everything, a kind of fault less, faults for half as long.
    fn steps() -> Vec<Step> {
        let less = |count: usize| count.div_ceil(2).min(count - 1).max(1);
        let mut all: Vec<Step> = vec![
            Box::new(|trim, _| trim.validators = Some(1)),
            Box::new(|trim, _| trim.wants = Some(1)),
            Box::new(|trim, _| trim.workers = Some(1)),
            Box::new(move |trim, now| trim.validators = Some(less(now.validators.len()))),
            Box::new(move |trim, now| trim.wants = Some(less(now.wants))),
            Box::new(move |trim, now| trim.workers = Some(less(now.workers.len()))),
        ];
        for name in FAULTS {
            all.push(Box::new(move |trim, _| trim.without.extend([name.to_owned()])));
        }
        for (part, whole) in [(1, 2), (3, 4), (9, 10)] {
            all.push(Box::new(move |trim, now| trim.storm_ms = Some(now.storm_ms * part / whole)));
        }
        all
    }
}

/// The least that still breaks the same rule: whatever can be left out is, until nothing can.
pub fn shrink(
    seed: u64,
    mut trim: Trim,
    mut breach: Breach,
    run: impl Fn(&Trim) -> Option<Breach>,
) -> (Trim, Breach) {
    let setup = |trim: &Trim| trim.apply(Setup::new(seed));
    let (mut is_smaller, mut left) = (true, RUNS_MAX);
    while std::mem::take(&mut is_smaller) {
        for step in Trim::steps() {
            let (mut less, now) = (trim.clone(), setup(&trim));
            step(&mut less, &now);
            if setup(&less).size() >= now.size() {
                continue;
            }
            let rolled = (0..ROLLS.min(left)).map(|roll| Trim { roll, ..less.clone() });
            left = left.saturating_sub(ROLLS);
            let fails = |trim: Trim| {
                let found = run(&trim)?;
                (found.rule == breach.rule).then_some((trim, found))
            };
            if let Some((less, found)) = { rolled }.find_map(fails) {
                (trim, breach, is_smaller) = (less, found, true);
            }
        }
    }
    (trim, breach)
}
