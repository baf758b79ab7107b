//! Hindsight: what must hold of a world when it is over. Its log is replayed with every check that
//! a stranger would make, its results are compared with honest work, and nothing costs twice.
//! Never looks at how it came about.

use crate::checker::Breach;
use crate::labour;
use crate::world::{End, World};
use ohc::base::canon::{Canonical, Digest};
use ohc::base::ids::{JobId, RunId};
use ohc::domain::command::{Command, Order, SignedOrder};
use ohc::domain::event::{Ending, Event, events_root};
use ohc::domain::job::job_key;
use ohc::domain::poh::{self, Chain};
use ohc::domain::slot::commands_root;
use ohc::domain::state::State;
use ohc::domain::state::run::{Run, Status};
use ohc::domain::verdict::Verification;

/// from genesis, with every check that a stranger would make.
pub fn replay(world: &World) -> Result<(), Breach> {
    let genesis = world.genesis();
    let (mut state, mut parent) = (State::new(genesis), genesis.digest());
    let params = poh::Params { hashes_per_tick: genesis.params.hashes_per_tick };
    for slot in world.slots() {
        let bad = |what: String| Breach { rule: "R-8", what };
        slot.check(genesis.network(), parent, state.validators())
            .map_err(|error| bad(error.to_string()))?;
        let from = state.place();
        poh::verify(from, &slot.poh, params, u64::MAX, 1)
            .map_err(|fault| bad(fault.to_string()))?;
        for order in &slot.commands {
            if !order.author.verifies(genesis.network(), &order.body, &order.signature) {
                return Err(bad(format!("{}: a forged command", slot.head.height)));
            }
        }
        let events = state.apply(slot.head.height, &slot.poh, &slot.commands);
        if events_root(&events) != slot.head.events {
            return Err(bad(format!("{}: other events", slot.head.height)));
        }
        parent = slot.head.digest();
    }
    if format!("{state:?}") == format!("{:?}", world.state()) {
        Ok(())
    } else {
        Err(Breach { rule: "R-8", what: "another state".to_owned() })
    }
}

/// One more slot with these commands.
fn one_more(state: &mut State, orders: &[SignedOrder]) -> Vec<Event> {
    let params = poh::Params { hashes_per_tick: state.params().hashes_per_tick };
    let poh = Chain::resume(state.place(), params).record(commands_root(orders));
    state.apply(state.height().next(), &poh, orders)
}

pub fn settled(state: &State, run: RunId) -> Option<&Run> {
    let run = state.runs().get(&run)?;
    matches!(run.status, Status::Ended { ending: Ending::Settled, .. }).then_some(run)
}

/// everything that settled is submitted once more, and costs no more than to ask for it.
pub fn reapply(world: &World) -> Result<(), Breach> {
    let mut state = world.state();
    for (who, want, end) in world.ends() {
        let Some(End::Finished(run)) = end else { continue };
        if settled(&state, run).is_none() {
            continue;
        }
        // A slot may give coins of a stake free, whatever is in it.
        let mut without = state.clone();
        one_more(&mut without, &[]);
        let command = Command::Submit(Box::new(want.submission.clone()));
        let nonce = state.nonce(&who.key()) + 1;
        let order = who.secret().seal(state.network(), Order { nonce, command });
        let events = one_more(&mut state, &[order]);
        let refund = want.submission.budget;
        let is_free = events.iter().any(|event| {
            matches!(event, Event::Ended { ending: Ending::Settled, refund: r, .. } if *r == refund)
        });
        let all_free = events.iter().all(|event| !matches!(event, Event::Leased { .. }));
        let asked = state.submission_fee(state.runs()[&run].results.len());
        let mut ledger = without.ledger().clone();
        ledger.burn(who.key(), asked).unwrap();
        if !is_free || !all_free || *state.ledger() != ledger {
            return Err(Breach { rule: "R-12", what: format!("{run} again: {events:?}") });
        }
    }
    Ok(())
}

/// Every result that settled is what honest workers get from the same sources; where a lie can
/// settle, this still holds for the runs that have everything checked.
pub fn honest(world: &World, lies: bool) -> Result<(), Breach> {
    let state = world.state();
    let is_full = |run: &&Run| {
        run.plan.dag.jobs.iter().all(|job| job.terms.verification == Verification::Full)
    };
    for run in state.runs().values().filter(|run| !lies || is_full(run)) {
        for (id, job) in (0u32..).map(JobId).zip(&run.plan.dag.jobs) {
            let Some(known) = run.result(id) else { continue };
            let key = job_key(&job.spec, &run.known_inputs(id).unwrap());
            if known.outputs != labour::honest(&job.spec, key) {
                return Err(Breach { rule: "R-10", what: format!("{} {job}", run.id) });
            }
        }
    }
    Ok(())
}

/// every validator that is up has folded the same, each for itself.
pub fn agree(world: &mut World) -> Result<(), Breach> {
    let until = world.now.after(10_000);
    while !world.is_even() && world.now < until {
        world.live(1)?;
    }
    let expect = format!("{:?}", world.state());
    for (index, state) in world.folds().enumerate() {
        if format!("{state:?}") != expect {
            let what = format!("validator {index} is at {}", state.height());
            return Err(Breach { rule: "R-7", what });
        }
    }
    Ok(())
}

pub fn last(world: &World) -> Digest {
    world.slots().last().map(|slot| slot.head.digest()).unwrap_or_default()
}
