//! `ohc ledger`: every movement of money since the genesis, and where all of it lies now.
//! Folds the log again; never reckons what the ledger does not say.

use super::Context;
use super::args::{Format, Ledger, LedgerFormat};
use super::exit::{Exit, Stop};
use super::home;
use super::names::Names;
use super::report::json;
use super::report::sheet::{Sheet, numbers, words};
use super::subject;
use crate::base::amount::{Ohc, SUPPLY};
use crate::base::ids::RunId;
use crate::base::keys::PublicKey;
use crate::base::time::Height;
use crate::domain::event::Event;
use crate::domain::ledger::{Hold, Movement, Place, Posting};
use crate::domain::state::State;
use crate::node::history::{self, Page};
use crate::node::view::View;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt::Write as _;

/// Movements that are shown where nobody says how many, and that a spreadsheet gets.
const SHOWN: u32 = 1_000;
const ALL: u32 = 1_000_000;

/// One line of the ledger.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The slot; 0 is the genesis.
    pub(super) height: Height,
    /// What the money was for.
    pub(super) what: What,
    /// How it moved.
    pub(super) posting: Posting,
    /// What the account that was asked for has afterwards.
    pub(super) balance: Option<Ohc>,
}

/// What money moves for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A client's money for a run.
    Budget,
    /// The most that a block may cost, out of its run's budget.
    Reserve,
    /// What was set aside for a block and is not needed.
    Rest,
    /// A worker's pay.
    Reward,
    /// A validator's pay.
    Gas,
    /// What could not be divided.
    Remainder,
    /// What is left of a budget.
    Refund,
    /// What a worker puts at risk.
    Bond,
    /// A bond that is back.
    Return,
    /// A bond, or a part of it, that is lost.
    Forfeit,
    /// What an objection that did not hold cost.
    Fine,
    /// What a command costs beside what it is about.
    Fee,
    /// What somebody puts at risk who says that a settled result is false.
    Deposit,
    /// Coins of a stake waited to count, began to, left it, or are free.
    Stake,
    /// A gift.
    Transfer,
}

impl What {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Reserve => "reserve",
            Self::Rest => "rest",
            Self::Reward => "reward",
            Self::Gas => "gas",
            Self::Remainder => "remainder",
            Self::Refund => "refund",
            Self::Bond => "bond",
            Self::Return => "return",
            Self::Forfeit => "forfeit",
            Self::Fine => "fine",
            Self::Fee => "fee",
            Self::Deposit => "deposit",
            Self::Stake => "stake",
            Self::Transfer => "transfer",
        }
    }

    /// The same before the name of what it was for.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Budget => "locked for",
            Self::Reserve => "set aside for",
            Self::Rest => "not needed for",
            Self::Reward => "paid for computing",
            Self::Gas => "paid for checking",
            Self::Remainder => "could not be divided:",
            Self::Refund => "came back from",
            Self::Bond => "at risk for",
            Self::Return => "at risk no more:",
            Self::Forfeit => "forfeited by",
            Self::Fine => "fined",
            Self::Fee => "paid as a fee",
            Self::Deposit => "at risk for the challenge of",
            Self::Stake => "moved for the stake of",
            Self::Transfer => "transferred",
        }
    }

    /// What a posting was for, given the events of its slot.
    pub(super) fn of(posting: &Posting, events: &[Event]) -> Self {
        match (posting.from, posting.to, posting.kind) {
            (.., Movement::Transferred) => Self::Transfer,
            (.., Movement::Fined) => Self::Fine,
            (.., Movement::Fee) => Self::Fee,
            (Place::Hold(Hold::Stake(_) | Hold::Unbonding { .. }), ..)
            | (_, Place::Hold(Hold::Stake(_) | Hold::Unbonding { .. }), _) => Self::Stake,
            (_, Place::Hold(Hold::Escrow(_)), Movement::Pending) => Self::Budget,
            (_, Place::Hold(Hold::Reward(_)), _) => Self::Reserve,
            (_, Place::Hold(Hold::Bond(_) | Hold::Tender { .. }), _) => Self::Bond,
            (_, Place::Hold(Hold::Challenge(_)), _) => Self::Deposit,
            (Place::Hold(Hold::Escrow(_)), ..) => Self::Refund,
            (
                Place::Hold(Hold::Bond(_) | Hold::Tender { .. } | Hold::Challenge(_)),
                _,
                Movement::Voided,
            ) => Self::Return,
            (Place::Hold(Hold::Bond(_) | Hold::Tender { .. } | Hold::Challenge(_)), ..) => {
                Self::Forfeit
            }
            (Place::Hold(Hold::Reward(_)), _, Movement::Voided) => Self::Rest,
            (Place::Hold(Hold::Reward(_)), Place::Treasury, _) => Self::Remainder,
            (Place::Hold(Hold::Reward(block)), to, _) => {
                let is_worker = |event: &Event| match event {
                    Event::Settled { lease, worker, reward, .. } => {
                        lease.block == block
                            && to == Place::Account(*worker)
                            && *reward == posting.amount
                    }
                    _ => false,
                };
                if events.iter().any(is_worker) { Self::Reward } else { Self::Gas }
            }
            _ => Self::Transfer,
        }
    }
}

/// `run-1`, `run-1/3` or `run-1/3#1`.
pub(super) fn hold_name(hold: Hold) -> String {
    match hold {
        Hold::Escrow(run) => run.to_string(),
        Hold::Reward(block) | Hold::Tender { block, .. } => block.to_string(),
        Hold::Bond(lease) | Hold::Challenge(lease) => lease.to_string(),
        Hold::Stake(key) | Hold::Unbonding { validator: key, .. } => key.short(),
    }
}

/// A place of money for people: the name of an account, or what is pending.
pub(super) fn place_name(place: Place, names: &Names) -> String {
    match place {
        Place::Account(key) => names.of(&key),
        Place::Stake(key) => format!("stake of {}", names.of(&key)),
        Place::Hold(Hold::Stake(key)) => format!("pending stake of {}", names.of(&key)),
        Place::Hold(Hold::Unbonding { validator: key, .. }) => {
            format!("unbonding stake of {}", names.of(&key))
        }
        Place::Hold(Hold::Escrow(run)) => format!("escrow {run}"),
        Place::Hold(Hold::Reward(block)) => format!("reserve {block}"),
        Place::Hold(Hold::Bond(lease)) => format!("bond {lease}"),
        Place::Hold(Hold::Tender { block, worker: key }) => {
            format!("bid of {} for {block}", names.of(&key))
        }
        Place::Hold(Hold::Challenge(lease)) => format!("challenge {lease}"),
        Place::Treasury => "treasury".to_owned(),
        Place::Burned => "burned".to_owned(),
    }
}

const fn movement(kind: Movement) -> &'static str {
    match kind {
        Movement::Transferred => "transferred",
        Movement::Pending => "pending",
        Movement::Posted => "posted",
        Movement::Voided => "voided",
        Movement::Fined => "fined",
        Movement::Fee => "fee",
    }
}

/// Which entries are wanted.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) account: Option<PublicKey>,
    pub(super) run: Option<RunId>,
    /// Only the last so many.
    pub(super) limit: usize,
}

/// The wanted entries of a log, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct Entries {
    filter: Filter,
    balance: Ohc,
    /// The last of them.
    pub(super) kept: VecDeque<Entry>,
    /// How many there were before those.
    pub(super) left_out: u64,
}

impl Entries {
    /// Entries from a genesis on, with which `balance` the account began.
    pub(super) fn new(filter: Filter, balance: Ohc) -> Self {
        Self { filter, balance, ..Self::default() }
    }

    /// Takes what one slot did.
    pub(super) fn take(&mut self, page: &Page<'_>) {
        for posting in &page.trace.postings {
            let balance = match self.filter.account.map(Place::Account) {
                Some(account) if posting.from == account => {
                    self.balance = self.balance.checked_sub(posting.amount).unwrap_or_default();
                    Some(self.balance)
                }
                Some(account) if posting.to == account => {
                    self.balance = self.balance.checked_add(posting.amount).unwrap_or_default();
                    Some(self.balance)
                }
                Some(_) => continue,
                None => None,
            };
            if self.filter.run.is_some_and(|run| posting.hold().and_then(Hold::run) != Some(run)) {
                continue;
            }
            if self.kept.len() >= self.filter.limit {
                self.kept.pop_front();
                self.left_out += 1;
            }
            if self.filter.limit > 0 {
                let what = What::of(posting, page.events);
                let height = page.slot.head.height;
                self.kept.push_back(Entry { height, what, posting: *posting, balance });
            }
        }
    }
}

pub(super) fn ledger(args: &Ledger, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    let (view, names) = home::open(&home)?;
    let account = match &args.account {
        Some(name) => Some(subject::account(name, &view.state, &names)?),
        None => None,
    };
    let run = match args.run {
        Some(run) => Some(subject::run(run, &view.state)?.id),
        None => None,
    };
    let began = match account {
        Some(account) => balance_of(&view, account)?,
        None => Ohc::ZERO,
    };
    let limit = args.limit.unwrap_or(match args.output {
        LedgerFormat::Shown(_) => SHOWN,
        LedgerFormat::Csv => ALL,
    });
    let filter = Filter { account, run, limit: limit as usize };
    let mut entries = Entries::new(filter, began);
    let state = history::fold(&view, &mut |page| entries.take(page));
    let state = state.map_err(|error| home::stop(&error))?;
    let LedgerFormat::Shown(format) = args.output else {
        context.screen.bytes(&csv(&entries, &names))?;
        return Ok(Exit::Done);
    };
    let is_table = matches!(format, Format::Table | Format::Wide) && !entries.kept.is_empty();
    let left_out = entries.left_out;
    context.screen.sheet(sheet(&entries, &state, &names), format)?;
    if is_table {
        if left_out > 0 {
            context.screen.line(format!("{left_out} earlier: --limit shows more"))?;
        }
        context.screen.line(totals_text(&Totals::of(&state)))?;
    }
    home::tell_base(&view, format, context)?;
    Ok(Exit::Done)
}

/// What an account began with, where the log begins.
pub(super) fn balance_of(view: &View, account: PublicKey) -> Result<Ohc, Stop> {
    let first = view.first().map_err(|error| home::stop(&error))?;
    Ok(first.ledger().account(&account).balance)
}

fn sheet(entries: &Entries, state: &State, names: &Names) -> Sheet {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for entry in &entries.kept {
        let Entry { height, what, posting, balance } = entry;
        let (from, to) = (place_name(posting.from, names), place_name(posting.to, names));
        let of = posting.hold().map(hold_name);
        items.push(json!({
            "height": height.0, "what": what.word(), "of": of, "state": movement(posting.kind),
            "from": from, "to": to, "amount": json::ohc(posting.amount),
            "balance": balance.map(json::ohc),
        }));
        let mut row = vec![height.to_string(), what.word().to_owned(), of.unwrap_or_default()];
        row.extend([from, to, posting.amount.to_string(), movement(posting.kind).to_owned()]);
        row.extend(balance.as_ref().map(ToString::to_string));
        rows.push(row);
    }
    let mut columns = vec![
        numbers("slot"),
        words("what"),
        words("of").wide(),
        words("debit"),
        words("credit"),
        numbers("amount"),
        words("state"),
    ];
    if entries.filter.account.is_some() {
        columns.push(numbers("balance"));
    }
    let account = entries.filter.account.map(|key| names.of(&key));
    let run = entries.filter.run.map(|run| run.to_string());
    let fields = json!({
        "account": account, "run": run, "left_out": entries.left_out,
        "totals": totals_json(&Totals::of(state)),
    });
    Sheet { kind: "PostingList", columns, rows, items, fields, none: "no money has moved" }
}

/// One line per posting, for spreadsheets.
fn csv(entries: &Entries, names: &Names) -> String {
    let mut text = "height,what,of,state,debit,credit,amount\n".to_owned();
    for Entry { height, what, posting, .. } in &entries.kept {
        let of = posting.hold().map(hold_name).unwrap_or_default();
        let (from, to) = (place_name(posting.from, names), place_name(posting.to, names));
        let (what, kind) = (what.word(), movement(posting.kind));
        let _ = writeln!(text, "{height},{what},{of},{kind},{from},{to},{}", posting.amount);
    }
    text
}

/// Where all the money lies.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    balances: Ohc,
    pending: Ohc,
    stakes: Ohc,
    treasury: Ohc,
    burned: Ohc,
}

impl Totals {
    /// Panics if they are not the supply.
    fn of(state: &State) -> Self {
        let ledger = state.ledger();
        let sum = |amounts: &mut dyn Iterator<Item = Ohc>| Ohc::sum(amounts).unwrap_or_default();
        let totals = Self {
            balances: sum(&mut ledger.accounts().map(|(_, account)| account.balance)),
            pending: sum(&mut ledger.holds().map(|(_, amount)| amount)),
            stakes: sum(&mut ledger.accounts().map(|(_, account)| account.stake)),
            treasury: ledger.treasury(),
            burned: ledger.burned(),
        };
        let Self { balances, pending, stakes, treasury, burned } = totals;
        let all = Ohc::sum([balances, pending, stakes, treasury, burned]);
        assert!(all == Some(SUPPLY), "R-1: the totals of the ledger are the supply");
        totals
    }
}

fn totals_json(totals: &Totals) -> Value {
    json!({
        "balances": json::ohc(totals.balances), "pending": json::ohc(totals.pending),
        "stakes": json::ohc(totals.stakes), "treasury": json::ohc(totals.treasury),
        "burned": json::ohc(totals.burned), "supply": json::ohc(SUPPLY),
    })
}

fn totals_text(totals: &Totals) -> String {
    let Totals { balances, pending, stakes, treasury, burned } = totals;
    format!(
        "supply {SUPPLY} OhC = balances {balances} + pending {pending} + stakes {stakes}\n\
         {:8}+ treasury {treasury} + burned {burned}",
        ""
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{BlockId, LeaseId};

    const BLOCK: BlockId = BlockId { run: RunId(1), index: 2 };
    const LEASE: LeaseId = LeaseId { block: BLOCK, attempt: 1 };

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    #[track_caller]
    fn check(kind: Movement, from: Place, to: Place, expect: What) {
        let (reward, gas) = (Ohc::from_nano(70), Ohc::from_nano(9));
        let events = [Event::Settled { lease: LEASE, worker: key(7), reward, gas }];
        let posting = Posting { kind, from, to, amount: reward };
        assert_eq!(What::of(&posting, &events), expect);
    }

    #[test]
    fn every_movement_says_what_it_was_for() {
        let (client, worker) = (Place::Account(key(1)), Place::Account(key(7)));
        let escrow = Place::Hold(Hold::Escrow(BLOCK.run));
        let reserve = Place::Hold(Hold::Reward(BLOCK));
        let bond = Place::Hold(Hold::Bond(LEASE));
        check(Movement::Transferred, client, worker, What::Transfer);
        check(Movement::Pending, client, escrow, What::Budget);
        check(Movement::Pending, escrow, reserve, What::Reserve);
        check(Movement::Pending, worker, bond, What::Bond);
        check(Movement::Posted, reserve, worker, What::Reward);
        check(Movement::Posted, reserve, client, What::Gas);
        check(Movement::Posted, reserve, Place::Treasury, What::Remainder);
        check(Movement::Voided, reserve, escrow, What::Rest);
        check(Movement::Voided, escrow, client, What::Refund);
        check(Movement::Voided, bond, worker, What::Return);
        check(Movement::Posted, bond, Place::Burned, What::Forfeit);
        check(Movement::Posted, bond, client, What::Forfeit);
        check(Movement::Fined, client, Place::Burned, What::Fine);
    }

    #[test]
    fn a_posting_is_about_the_block_rather_than_its_budget() {
        let (escrow, reserve) = (Hold::Escrow(BLOCK.run), Hold::Reward(BLOCK));
        for (from, to) in [(escrow, reserve), (reserve, escrow)] {
            let (from, to) = (Place::Hold(from), Place::Hold(to));
            let posting = Posting { kind: Movement::Voided, from, to, amount: Ohc::ZERO };
            assert_eq!(posting.hold(), Some(reserve));
        }
    }
}
