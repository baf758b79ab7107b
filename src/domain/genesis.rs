//! Genesis: what a network agrees on before its first slot. Never changes afterwards.

use crate::base::amount::{Ohc, Price, SUPPLY};
use crate::base::canon::{Canonical, canonical_struct};
use crate::base::keys::{NetworkId, PublicKey};
use crate::base::limits::{RULES, STAKE_FLOOR_OHC, VALIDATORS_MAX};
use std::collections::BTreeSet;

/// The numbers of a network. Times are ticks; shares are parts per million.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Params {
    /// The version of the rules by which the log is folded ([`RULES`]).
    pub rules: u32,
    /// SHA-256 links between two ticks.
    pub hashes_per_tick: u64,
    /// Ticks that validators aim at in one second of wall time.
    pub ticks_per_second: u64,
    /// Nano-OhC per unit of work at which a block is reserved at first.
    pub base_price: Price,
    /// Gas of any block.
    pub gas_block: Ohc,
    /// Gas per artifact byte that validators check, in nano-OhC per KiB.
    pub gas_per_kib: Ohc,
    /// Gas per unit of work that is expected to be re-executed.
    pub gas_per_unit: Ohc,
    /// A lease's bond as a multiple of its price.
    pub bond_factor: u64,
    /// Share of the bond that a lapsed lease loses.
    pub lapse_ppm: u64,
    /// A lease lapses when its worker has been silent for so long.
    pub heartbeat_ticks: u64,
    /// An offer that nobody takes for so long is repriced by 1/8.
    pub reprice_ticks: u64,
    /// Validators that re-execute what an audit has drawn.
    pub committee: u32,
    /// Validators reveal their values of the beacon within so long.
    pub reveal_ticks: u64,
    /// The chain runs on for so long after the last of them until it makes a seed; if 0 they make
    /// one at once, with the hash at which they were asked for.
    pub beacon_ticks: u64,
    /// A validator says what it found within so long, beside what the work takes.
    pub verdict_ticks: u64,
    /// What a validator loses that was not there when it was its turn.
    pub absent_fine: Ohc,
    /// What a validator loses that agreed to what it had not re-executed.
    pub lazy_fine: Ohc,
    /// What is settled can be challenged for so long; never if 0.
    pub challenge_ticks: u64,
    /// The grace of a lease as a share of its time-out: what comes so much too late is paid less.
    pub grace_ppm: u64,
    /// Ticks after which the base price moves; 0 keeps it where it is.
    pub epoch_ticks: u64,
    /// The share of the work asked for that may stay unsold while the base price stands still.
    pub unfilled_ppm: u64,
    /// The base price never falls below this.
    pub base_price_min: Price,
    /// The base price never rises above this.
    pub base_price_max: Price,
    /// What a command costs its author beside what it is about, unless the fold has asked for it.
    pub order_fee: Ohc,
    /// What a refused command costs its author, unless it is a replay.
    pub reject_fee: Ohc,
    /// What a sealed bid puts at risk, as a share of the reserve.
    pub bid_bond_ppm: u64,
    /// Ticks after which validators come and go; never if 0.
    pub set_ticks: u64,
    /// Who signed two things at once is held to it for so long after the epoch in which it did;
    /// nobody is if 0.
    pub evidence_ticks: u64,
    /// What leaves a stake is locked for so long, and at risk.
    pub unbonding_ticks: u64,
    /// The share of its stake that a validator loses at least that signed two things at once.
    pub equivocation_ppm: u64,
    /// What is folded between two snapshots that the log commits to, in events, where a slot counts
    /// for 20 more; it commits to none if 0.
    pub snapshot_events: u64,
}
/// A number as it stands in the file of a genesis.
trait Written: Sized {
    fn write(&self) -> String;
    fn read(text: &str) -> Option<Self>;
}

impl Written for u64 {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Written for u32 {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Written for Ohc {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Written for Price {
    fn write(&self) -> String {
        self.nano_per_unit().to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().map(Self::new)
    }
}

/// The canonical bytes of the parameters, and their names and texts, from one list.
macro_rules! params {
    ($($field:ident),* $(,)?) => {
        canonical_struct!(Params { $($field),* });

        impl Params {
            /// Their names, in the order in which they are hashed.
            pub const NAMES: &[&str] = &[$(stringify!($field)),*];

            /// Each with its value as text: whole numbers, and amounts in decimal OhC.
            #[must_use]
            pub fn texts(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($field), self.$field.write())),*]
            }

            /// Sets the one of that name; whether there is one and the text is a value of it.
            #[must_use]
            pub fn set(&mut self, name: &str, text: &str) -> bool {
                match name {
                    $(stringify!($field) => match Written::read(text) {
                        Some(value) => self.$field = value,
                        None => return false,
                    },)*
                    _ => return false,
                }
                true
            }
        }
    };
}

params!(
    rules,
    hashes_per_tick,
    ticks_per_second,
    base_price,
    gas_block,
    gas_per_kib,
    gas_per_unit,
    bond_factor,
    lapse_ppm,
    heartbeat_ticks,
    reprice_ticks,
    committee,
    reveal_ticks,
    beacon_ticks,
    verdict_ticks,
    absent_fine,
    lazy_fine,
    challenge_ticks,
    grace_ppm,
    epoch_ticks,
    unfilled_ppm,
    base_price_min,
    base_price_max,
    order_fee,
    reject_fee,
    bid_bond_ppm,
    set_ticks,
    evidence_ticks,
    unbonding_ticks,
    equivocation_ppm,
    snapshot_events,
);

impl Params {
    /// The parameters of an embedded network: one machine, a chain that costs about 1 % of a core
    /// while there is work and nothing while there is none. Its base price stands still: a clock
    /// that mostly rests says nothing about demand, and a laptop is no market.
    #[must_use]
    pub const fn embedded() -> Self {
        Self {
            rules: RULES,
            hashes_per_tick: 1_000,
            ticks_per_second: 100,
            base_price: Price::new(1_000_000),
            gas_block: Ohc::from_nano(1_000_000),
            gas_per_kib: Ohc::from_nano(1_000),
            gas_per_unit: Ohc::from_nano(100_000),
            bond_factor: 4,
            lapse_ppm: 100_000,
            heartbeat_ticks: 1_000,
            reprice_ticks: 500,
            committee: 3,
            reveal_ticks: 100,
            beacon_ticks: 4,
            verdict_ticks: 500,
            absent_fine: Ohc::from_nano(10_000_000),
            lazy_fine: Ohc::from_nano(399_000_000_000),
            challenge_ticks: 0,
            grace_ppm: 250_000,
            epoch_ticks: 0,
            unfilled_ppm: 50_000,
            base_price_min: Price::new(1_000),
            base_price_max: Price::new(1_000_000_000),
            order_fee: Ohc::ZERO,
            reject_fee: Ohc::from_nano(100_000),
            bid_bond_ppm: 20_000,
            set_ticks: 0,
            evidence_ticks: 0,
            unbonding_ticks: 0,
            equivocation_ppm: 50_000,
            snapshot_events: 0,
        }
    }

    /// The parameters that a network of several validators begins with, unless its founders say
    /// otherwise.
    ///
    /// - *Chain.* As embedded: 0.1 million hashes a second are about 1 % of a core, and a page that
    ///   was checked costs others less still.
    /// - *Silence.* A worker's connection comes back within 4 s of NATS' longest pause, a worker
    ///   within a few seconds of its restart: 15 s without a heartbeat is neither.
    /// - *Repricing.* After 10 s without a bid, five times: a worker that is started when a run
    ///   stands unsold has a minute.
    /// - *Beacon.* Its validators answer within a slot or two. A delay that keeps the last of them
    ///   from knowing the seed would be four times as long as the second in which it may reveal
    ///   (verification.md §1.5), for each block of a chain; a shorter one would only let a
    ///   proposer choose. So there is none, and a fine instead: who keeps its value back chooses
    ///   between two seeds, once, and pays for it `absent_fine`: 0.01 % of the least stake, what
    ///   Cosmos takes for absence, and more than the bond of the blocks that it could save a friend
    ///   from being looked at (a bond is 4 prices; blocks cost about 0.1 OhC).
    /// - *Verdicts.* The inputs come out of an object store, which is waited for and asked again:
    ///   10 s beside twice the work's own time.
    /// - *Challenges.* 10 minutes: who lays canaries knows their answer before the run, and what
    ///   can be challenged is in the memory of every node until it cannot any more.
    /// - *Base price.* Moves each minute by an eighth at most: doubled in six minutes of demand
    ///   that is not met, and 5 % of unsold work keep it still.
    /// - *Lies.* `lazy_fine` is 1 % of the least stake: with one canary in a hundred audits,
    ///   looking is worth 3.99 OhC an audit.
    /// - *Fees.* A submission, a bid or a transfer costs 0.1 ‰ of an OhC, a plan of 100,000 jobs
    ///   an OhC. In a network of one's own nobody has to be kept from anything.
    /// - *Coming and going.* Each 10 minutes. Consensus shows a double vote within seconds; a day
    ///   is for people. While coins are locked the chain counts time, about a slot a second: a
    ///   network that mostly idles pays for a longer lock in bytes of its log, one whose clients
    ///   stay away for longer than a day should have it all the same.
    /// - *Snapshots.* So much is folded in about 50 ms, which is what is left to do for whoever
    ///   comes late and takes a snapshot.
    #[must_use]
    pub const fn network() -> Self {
        Self {
            heartbeat_ticks: 1_500,
            reprice_ticks: 1_000,
            beacon_ticks: 0,
            verdict_ticks: 1_000,
            absent_fine: Ohc::from_nano(3_990_000_000),
            challenge_ticks: 60_000,
            epoch_ticks: 6_000,
            set_ticks: 60_000,
            evidence_ticks: 8_640_000,
            unbonding_ticks: 9_000_000,
            order_fee: Ohc::from_nano(100_000),
            snapshot_events: 60_000,
            ..Self::embedded()
        }
    }
}

impl Params {
    /// Who may leave must be held to what it signed, and not be free before it is too old.
    fn check_set(&self) -> Result<(), GenesisError> {
        let comes_and_goes = self.set_ticks > 0;
        if (comes_and_goes && self.evidence_ticks == 0)
            || (self.evidence_ticks > 0 && self.equivocation_ppm == 0)
        {
            return Err(GenesisError::Zero);
        }
        if comes_and_goes && self.unbonding_ticks <= self.evidence_ticks {
            return Err(GenesisError::Unbonding);
        }
        Ok(())
    }
}

/// Who holds what at height 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allocation {
    /// The account.
    pub key: PublicKey,
    /// Free to spend.
    pub balance: Ohc,
    /// At risk for being a validator; zero for anybody else.
    pub stake: Ohc,
}
canonical_struct!(Allocation { key, balance, stake });

/// The first page of a network's history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Genesis {
    /// A name for people.
    pub name: String,
    /// 32 random bytes, so that two networks of one name differ.
    pub salt: [u8; 32],
    /// The numbers.
    pub params: Params,
    /// Who holds what; together exactly the supply.
    pub allocations: Vec<Allocation>,
}
canonical_struct!(Genesis { name, salt, params, allocations } tag "ohc/genesis/1");

/// Why a genesis cannot start a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The allocations are not the supply.
    #[error("the allocations do not add up to the supply of 72492272 OhC")]
    Supply,
    /// An account is listed twice.
    #[error("an account is allocated twice")]
    Twice,
    /// No validator, or too many.
    #[error("a network has 1 to 20 validators")]
    Validators,
    /// A stake that is not more than the floor.
    #[error("a validator's stake must be more than 39900 OhC")]
    Stake,
    /// A parameter that would stop the network.
    #[error("a parameter is zero that must not be")]
    Zero,
    /// Its log is folded by other rules.
    #[error("its log is kept by the rules {0}, and this ohc follows the rules {RULES}")]
    Rules(u32),
    /// A share of more than the whole.
    #[error("parameters whose names end in _ppm are shares: at most 1000000")]
    Share,
    /// Stake would be free while its validator can be held to what it signed.
    #[error("unbonding_ticks must be more than evidence_ticks where validators come and go")]
    Unbonding,
    /// The base price is not between its bounds.
    #[error("base_price must lie between base_price_min and base_price_max, and none may be 0")]
    Price,
}

impl Genesis {
    /// The name under which everything is signed.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        NetworkId(self.digest())
    }

    /// Checks what every node relies on.
    pub fn check(&self) -> Result<(), GenesisError> {
        let held = self.allocations.iter().flat_map(|a| [a.balance, a.stake]);
        if Ohc::sum(held) != Some(SUPPLY) {
            return Err(GenesisError::Supply);
        }
        let keys: BTreeSet<_> = self.allocations.iter().map(|a| a.key).collect();
        if keys.len() != self.allocations.len() {
            return Err(GenesisError::Twice);
        }
        let stakes = || self.allocations.iter().map(|a| a.stake).filter(|s| *s > Ohc::ZERO);
        if !(1..=VALIDATORS_MAX).contains(&stakes().count()) {
            return Err(GenesisError::Validators);
        }
        if stakes().any(|stake| Ohc::from_whole(STAKE_FLOOR_OHC).is_none_or(|floor| stake <= floor))
        {
            return Err(GenesisError::Stake);
        }
        let p = &self.params;
        if p.rules != RULES {
            return Err(GenesisError::Rules(p.rules));
        }
        // Two: the last link of a tick belongs to the tick, so a mix-in needs one before it.
        if p.hashes_per_tick < 2
            || [p.ticks_per_second, p.heartbeat_ticks, p.reprice_ticks].contains(&0)
            || [p.reveal_ticks, p.verdict_ticks].contains(&0)
            || p.committee == 0
        {
            return Err(GenesisError::Zero);
        }
        let shares = [p.lapse_ppm, p.grace_ppm, p.unfilled_ppm, p.bid_bond_ppm, p.equivocation_ppm];
        if shares.iter().any(|share| *share > 1_000_000) {
            return Err(GenesisError::Share);
        }
        p.check_set()?;
        let is_moving = p.epoch_ticks > 0;
        if is_moving && p.unfilled_ppm == 0 {
            return Err(GenesisError::Zero);
        }
        let is_within = p.base_price_min <= p.base_price && p.base_price <= p.base_price_max;
        if p.base_price_min == Price::new(0) || !is_within {
            return Err(GenesisError::Price);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::keys::SecretKey;

    fn genesis(stake_ohc: u64) -> Genesis {
        let stake = Ohc::from_whole(stake_ohc).unwrap();
        let key = |n| SecretKey::from_bytes(&[n; 32]).public();
        let rest = SUPPLY.checked_sub(stake).unwrap();
        Genesis {
            name: "test".into(),
            salt: [0; 32],
            params: Params::embedded(),
            allocations: vec![
                Allocation { key: key(1), balance: rest, stake: Ohc::ZERO },
                Allocation { key: key(2), balance: Ohc::ZERO, stake },
            ],
        }
    }

    #[test]
    fn a_stake_must_be_more_than_the_floor() {
        assert_eq!(genesis(39_901).check(), Ok(()));
        assert_eq!(genesis(39_900).check(), Err(GenesisError::Stake));
        assert_eq!(genesis(0).check(), Err(GenesisError::Validators));
    }

    #[test]
    fn parameters_that_would_stop_the_network_are_refused() {
        let with = |change: fn(&mut Params)| {
            let mut genesis = genesis(40_000);
            change(&mut genesis.params);
            genesis.check()
        };
        assert_eq!(with(|p| p.committee = 0), Err(GenesisError::Zero), "nothing is re-executed");
        assert_eq!(with(|p| p.heartbeat_ticks = 0), Err(GenesisError::Zero));
        assert_eq!(with(|p| p.lapse_ppm = 1_000_001), Err(GenesisError::Share));
        assert_eq!(with(|p| p.lapse_ppm = 1_000_000), Ok(()));
        assert_eq!(with(|p| p.grace_ppm = 1_000_001), Err(GenesisError::Share));
        assert_eq!(with(|p| p.bid_bond_ppm = 1_000_001), Err(GenesisError::Share));
        assert_eq!(with(|p| p.base_price_min = Price::new(0)), Err(GenesisError::Price));
        assert_eq!(with(|p| p.base_price_max = Price::new(999_999)), Err(GenesisError::Price));
        assert_eq!(with(|p| p.equivocation_ppm = 1_000_001), Err(GenesisError::Share));
        assert_eq!(with(|p| p.set_ticks = 9), Err(GenesisError::Zero), "nobody is held to it");
        let times = |evidence, unbonding| {
            let mut genesis = genesis(40_000);
            let p = &mut genesis.params;
            (p.set_ticks, p.evidence_ticks, p.unbonding_ticks) = (9, evidence, unbonding);
            genesis.check()
        };
        assert_eq!(times(20, 20), Err(GenesisError::Unbonding), "free while it can be accused");
        assert_eq!(times(20, 21), Ok(()));
        let never = |p: &mut Params| (p.epoch_ticks, p.unfilled_ppm) = (10, 0);
        assert_eq!(with(never), Err(GenesisError::Zero));
    }

    #[test]
    fn parameters_are_read_as_they_are_written() {
        let mut read = Params::embedded();
        for (name, text) in Params::network().texts() {
            assert!(read.set(name, &text), "{name}: {text}");
        }
        assert_eq!(read, Params::network());
        assert!(!read.set("hashes", "1") && !read.set("committee", "-1"));
        assert!(!read.set("lazy_fine", "1e3") && !read.set("base_price", ""));
        assert_eq!(read, Params::network(), "what is refused changes nothing");
        let mut network = genesis(40_000);
        network.params = read;
        assert_eq!(network.check(), Ok(()));
    }

    #[test]
    fn r1_the_allocations_are_the_supply() {
        let mut short = genesis(40_000);
        short.allocations[0].balance = Ohc::ZERO;
        assert_eq!(short.check(), Err(GenesisError::Supply));
        let mut twice = genesis(40_000);
        twice.allocations[1].key = twice.allocations[0].key;
        assert_eq!(twice.check(), Err(GenesisError::Twice));
    }
}
