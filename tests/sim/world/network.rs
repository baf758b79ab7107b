//! The network between hosts: messages are late, lost, doubled and overtake each other; links are
//! cut, in one direction or both; the traffic of a host is held back and comes all at once.
//! Never looks into a message.

use crate::dice::Dice;
use std::collections::BTreeSet;

/// Where a role lives. What villains send without a role comes from outside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Host {
    Validator(usize),
    Desk(usize),
    Seat(usize),
    Outside,
}

/// What becomes of a message that arrives now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passage {
    Open,
    Held,
    Cut,
}

#[derive(Default)]
pub struct Network {
    cuts: BTreeSet<(Host, Host)>,
    clogs: BTreeSet<Host>,
}

impl Network {
    pub fn passage(&self, from: Host, to: Host) -> Passage {
        if from == to || self.is_whole() {
            Passage::Open
        } else if self.cuts.contains(&(from, to)) {
            Passage::Cut
        } else if self.clogs.contains(&from) || self.clogs.contains(&to) {
            Passage::Held
        } else {
            Passage::Open
        }
    }

    /// Whether two hosts hear each other now.
    pub fn joins(&self, one: Host, other: Host) -> bool {
        let is_open = |from, to| self.passage(from, to) == Passage::Open;
        is_open(one, other) && is_open(other, one)
    }

    pub fn is_whole(&self) -> bool {
        self.cuts.is_empty() && self.clogs.is_empty()
    }

    /// Cuts the hosts into two sets; half of the time only one of them does not hear the other.
    pub fn part(&mut self, hosts: &[Host], dice: &mut Dice) {
        let (here, there): (Vec<Host>, Vec<Host>) = hosts.iter().partition(|_| dice.percent(50));
        let both_ways = dice.percent(50);
        for from in &here {
            for to in &there {
                self.cuts.insert((*from, *to));
                if both_ways {
                    self.cuts.insert((*to, *from));
                }
            }
        }
    }

    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    pub fn clog(&mut self, host: Host, clogged: bool) {
        if clogged {
            self.clogs.insert(host);
        } else {
            self.clogs.remove(&host);
        }
    }

    pub fn clear(&mut self) {
        self.cuts.clear();
        self.clogs.clear();
    }
}
