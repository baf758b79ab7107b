//! Who comes and who goes in a world where the set of validators changes, and who is shown to have
//! signed two things. Never lets so much happen that nobody honest is left.

use super::network::Host;
use super::{Weather, World};
use crate::adversary::Temper;
use crate::ground::{Who, ohc, staked};
use ohc::base::amount::Ohc;
use ohc::base::canon::Digest;
use ohc::base::keys::PublicKey;
use ohc::base::time::Height;
use ohc::domain::command::{Command, Order};
use ohc::domain::genesis::{Genesis, Params};
use ohc::domain::vote::{Evidence, Kind, Vote};

impl World {
    /// Where validators come and go, an epoch of the set is two seconds.
    pub(super) fn genesis_of(stakes: &[u64], purse: Ohc, weather: Weather) -> Genesis {
        let mut genesis = staked(stakes, purse);
        if stakes.len() > 1 {
            genesis.params.order_fee = Params::network().order_fee;
        }
        if weather.comings {
            let (set_ticks, evidence_ticks, unbonding_ticks) = (200, 500, 700);
            // Here the beacon waits for the chain; elsewhere it does not.
            let params = Params { beacon_ticks: 4, ..genesis.params };
            genesis.params = Params { set_ticks, evidence_ticks, unbonding_ticks, ..params };
            genesis.check().unwrap();
        }
        genesis
    }

    /// What counts of a validator's stake for the next slot.
    pub(super) fn stake(&self, node: usize) -> u128 {
        let stake = self.truth.validators().get(&Who::Validator(node as u8).key());
        stake.map_or(0, |stake| u128::from(stake.nano()))
    }

    /// Whether a node is the one validator there is, as far as it knows.
    pub(super) fn is_alone(&self, node: usize) -> bool {
        let (state, key) = (&self.nodes[node].state, Who::Validator(node as u8).key());
        state.is_alone() && state.validators().contains_key(&key)
    }

    /// Somebody bonds, unbonds or is accused.
    pub(super) fn coming(&mut self) {
        if !self.weather.comings {
            return;
        }
        let node = self.dice.index(self.nodes.len());
        let said = if self.dice.percent(10) { self.accusation() } else { self.change(node) };
        if let Some((who, command)) = said {
            let nonce = self.truth.nonce(&who.key()) + 1;
            let order = who.secret().seal(self.truth.network(), Order { nonce, command });
            self.send(Host::Outside, &order);
        }
        let delay = self.dice.between(50, 3_000);
        self.at(delay, super::Item::Coming);
    }

    fn change(&mut self, node: usize) -> Option<(Who, Command)> {
        let who = Who::Validator(node as u8);
        let own = self.truth.stake_of(&who.key());
        let may_leave = self.staying() > if self.is_honest() { 0 } else { 4 };
        let command = match (own.counts > Ohc::ZERO, self.dice.below(3)) {
            (false, _) => Command::Bond { amount: ohc(39_900 + self.dice.between(1, 10_000)) },
            (true, 0) if may_leave => Command::Unbond { amount: own.stake },
            (true, 1) => Command::Unbond { amount: ohc(self.dice.between(1, 200)) },
            (true, _) => Command::Bond { amount: ohc(self.dice.between(1, 9)) },
        };
        Some((who, command))
    }

    fn is_honest(&self) -> bool {
        self.nodes.iter().all(|node| node.temper == Temper::Honest)
    }

    /// How many validators are to stay, as far as is known.
    fn staying(&self) -> usize {
        let keys = self.truth.validators().keys();
        let stays = |key: &&PublicKey| {
            let own = self.truth.stake_of(key);
            own.leaving == Ohc::ZERO && !own.is_jailed
        };
        keys.filter(stays).count()
    }

    /// One validator of three or more, once in a world.
    fn accusation(&mut self) -> Option<(Who, Command)> {
        let validators = (0..self.nodes.len()).map(|n| Who::Validator(n as u8));
        let all: Vec<Who> =
            validators.filter(|who| self.truth.validators().contains_key(&who.key())).collect();
        let is_jailed = |n: usize| self.truth.stake_of(&Who::Validator(n as u8).key()).is_jailed;
        let height = self.dice.below(self.agreed.len() as u64 + 1);
        let culprit = *self.dice.pick(&all);
        let least = if self.is_honest() { 3 } else { 5 };
        if all.len() < least || self.staying() < least || (0..self.nodes.len()).any(is_jailed) {
            return None;
        }
        let vote = |n| {
            let (height, head) = (Height(height), Some(Digest([n; 32])));
            let vote = Vote { height, round: 0, kind: Kind::Prevote, head };
            culprit.secret().seal(self.truth.network(), vote)
        };
        let evidence = Evidence::Votes { one: vote(1), other: vote(2) };
        Some((Who::Bank, Command::Accuse(Box::new(evidence))))
    }
}
