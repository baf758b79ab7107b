//! Named cases, one rule each. Never asserts how something came about, only what must hold.

use crate::adversary::{Nature, Temper};
use crate::ground::{STAKE, Who, ohc, pin, submission};
use crate::hindsight::{honest, reapply, replay, settled};
use crate::pipelines::{Want, chain, fan, iris};
use crate::world::{Cast, End, Weather, World};
use ohc::base::amount::Ohc;
use ohc::base::canon::Digest;
use ohc::base::ids::{LeaseId, RunId};
use ohc::domain::event::Event;
use ohc::domain::state::State;
use ohc::domain::state::run::Status;

/// So long a calm world may take at most, in its own time.
const PATIENCE_MS: u64 = 30 * 60 * 1_000;

/// A world of these workers and one pipeline with an ample budget; its name is in its text.
fn one(natures: &[Nature], name: &str, manifest: String, weather: Weather) -> World {
    one_of(11, natures, name, manifest, weather)
}

fn one_of(seed: u64, natures: &[Nature], name: &str, manifest: String, weather: Weather) -> World {
    let ask = |n: u64| 600_000 + 10_000 * n;
    let workers = (0u64..).zip(natures).map(|(n, nature)| match nature {
        Nature::Honest => (Nature::Honest, ask(n)),
        // Cheap enough to win at first, not so cheap that a bad record does not matter.
        villain => (*villain, 550_000),
    });
    let pins = vec![pin("flowers")];
    let want = Want { name: name.to_owned(), submission: submission(manifest, pins, ohc(50)) };
    let (validators, workers) = (vec![(Temper::Honest, STAKE)], workers.collect());
    World::new(seed, weather, Cast { validators, workers, purse: ohc(100), wants: vec![want] })
}

const FULL: &str = "  defaults: { verification: full, retry: { maxAttempts: 6 } }\n  \
                    run: { limits: { jobsPerBlock: 1 } }\n";

#[track_caller]
fn finished(world: &mut World) -> State {
    let waiting = world.finish(PATIENCE_MS).unwrap();
    assert!(waiting.is_empty(), "{waiting:?}");
    replay(world).unwrap();
    honest(world, false).unwrap();
    let state = world.state();
    for (_, _, end) in world.ends() {
        let Some(End::Finished(run)) = end else { panic!("{end:?}") };
        assert!(settled(&state, run).is_some(), "{:?}", state.runs()[&run].status);
    }
    state
}

fn count(world: &World, of: impl Fn(&Event) -> bool) -> usize {
    world.checker.events.iter().filter(|event| of(event)).count()
}

fn settlements(world: &World) -> usize {
    count(world, |event| matches!(event, Event::Settled { .. }))
}

#[test]
fn r1_a_pipeline_costs_its_client_what_the_others_got() {
    let mut world = one(&[Nature::Honest; 3], "iris", iris("iris", FULL, 1), Weather::CALM);
    let state = finished(&mut world);
    let run = &state.runs()[&RunId(1)];
    let (reward, gas) = run.spent();
    let Status::Ended { refund, .. } = run.status else { panic!() };
    assert_eq!(Ohc::sum([reward, gas, refund]), Some(run.budget));
    assert_eq!(state.ledger().holds().count(), 0);
    world.checker.count(state.ledger()).unwrap();
}

#[test]
fn r3_every_message_twice_settles_every_block_once() {
    let weather = Weather { doubled: 100, delay_ms: (0, 3_000), ..Weather::CALM };
    let mut world = one(&[Nature::Honest; 3], "fan", fan("fan", FULL, 1, 8), weather);
    let state = finished(&mut world);
    assert_eq!(state.runs().len(), 1, "one submission, one run");
    assert_eq!(settlements(&world), 10);
    assert!(count(&world, |event| matches!(event, Event::Rejected { .. })) > 0);
}

#[test]
fn r3_a_client_that_hears_nothing_submits_once() {
    let weather = Weather { loss: 60, delay_ms: (0, 5_000), ..Weather::CALM };
    let mut world = one(&[Nature::Honest; 2], "chain", chain("chain", FULL, 1, 3, false), weather);
    world.live(60_000).unwrap();
    world.calm_down();
    world.finish(PATIENCE_MS).unwrap();
    // It may have paused: bids are lost as well. But it began once.
    assert_eq!(world.state().runs().len(), 1);
}

#[test]
fn r4_a_silent_worker_loses_its_lease_before_anybody_else_gets_it() {
    let natures = [Nature::Honest, Nature::Silent];
    let mut world = one(&natures, "chain", chain("chain", FULL, 1, 2, false), Weather::CALM);
    finished(&mut world);
    let again = |event: &Event| matches!(event, Event::Leased { lease, .. } if lease.attempt > 1);
    assert!(count(&world, |event| matches!(event, Event::Lapsed { .. })) > 0);
    assert!(count(&world, again) > 0);
}

#[test]
fn r5_what_is_forged_or_spam_changes_nothing() {
    let weather = Weather { misfortune_ms: 1, mischief: true, ..Weather::CALM };
    let mut quiet = one(&[Nature::Honest; 2], "iris", iris("iris", FULL, 1), Weather::CALM);
    let results = |state: &State| -> Vec<Vec<Digest>> {
        state.runs()[&RunId(1)]
            .results
            .iter()
            .map(|r| r.as_ref().unwrap().outputs.clone())
            .collect()
    };
    let expect = results(&finished(&mut quiet));
    let mut world = one(&[Nature::Honest; 2], "iris", iris("iris", FULL, 1), weather);
    world.live(5_000).unwrap();
    world.calm_down();
    let state = finished(&mut world);
    assert!(count(&world, |event| matches!(event, Event::Rejected { .. })) > 50);
    assert_eq!(results(&state), expect);
    assert_eq!(count(&world, |event| matches!(event, Event::Slashed { .. })), 0);
}

#[test]
fn r9_every_receipt_is_drawn_in_a_later_slot_than_its_own() {
    let mut world = one(&[Nature::Honest; 3], "fan", fan("fan", FULL, 1, 6), Weather::CALM);
    finished(&mut world);
    let mut state = State::new(world.genesis());
    let mut delivered: Vec<LeaseId> = Vec::new();
    let mut drawn = 0;
    for slot in world.slots() {
        let before = std::mem::take(&mut delivered);
        for event in state.apply(slot.head.height, &slot.poh, &slot.commands) {
            match event {
                Event::Delivered { lease, .. } => delivered.push(lease),
                Event::Drawn { lease, .. } => {
                    assert!(before.contains(&lease), "{lease}");
                    drawn += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!(drawn, 8);
}

#[test]
fn r10_wrong_weights_are_slashed_and_the_honest_result_is_what_settles() {
    let natures = [Nature::Honest, Nature::WrongWeights];
    let mut world = one(&natures, "iris", iris("iris", FULL, 1), Weather::CALM);
    let state = finished(&mut world);
    let slashed = count(&world, |event| matches!(event, Event::Slashed { .. }));
    assert!(slashed > 0);
    assert!(state.ledger().burned() > Ohc::ZERO);
    let liar = Who::Worker(1).key();
    assert!(state.cache().values().all(|known| known.worker != liar));
}

#[test]
fn a_result_that_nobody_can_read_is_slashed_even_if_nothing_is_audited() {
    let natures = [Nature::Honest, Nature::Withholder];
    let spec = FULL.replace("full", "none");
    let mut world = one(&natures, "chain", chain("chain", &spec, 1, 2, false), Weather::CALM);
    finished(&mut world);
    assert!(count(&world, |event| matches!(event, Event::Slashed { .. })) > 0);
}

#[test]
fn a_failure_that_is_a_lie_is_slashed_even_if_nothing_is_audited() {
    let natures = [Nature::Honest, Nature::LiarFailure];
    let spec = FULL.replace("full", "none");
    let mut world = one(&natures, "chain", chain("chain", &spec, 1, 2, false), Weather::CALM);
    finished(&mut world);
    assert!(count(&world, |event| matches!(event, Event::Slashed { .. })) > 0);
}

#[test]
fn r11_every_worker_gets_at_least_its_ask_and_at_most_the_reserve() {
    let natures = [Nature::Honest; 5];
    let mut world = one(&natures, "fan", fan("fan", FULL, 1, 12), Weather::CALM);
    finished(&mut world);
    let mut prices = std::collections::BTreeSet::new();
    for event in &world.checker.events {
        if let Event::Leased { price, work, .. } = event {
            let unit = price.nano() / work.units();
            assert!((600_000..=1_000_000).contains(&unit), "{unit}");
            prices.insert(unit);
        }
    }
    assert!(prices.len() > 1, "the market makes prices: {prices:?}");
}

#[test]
fn r12_a_settled_pipeline_is_free() {
    let mut world = one(&[Nature::Honest; 2], "iris", iris("iris", FULL, 1), Weather::CALM);
    finished(&mut world);
    reapply(&world).unwrap();
}

#[test]
fn r14_a_node_that_crashes_all_the_time_loses_nothing() {
    let weather = Weather { misfortune_ms: 60, crash: true, ..Weather::CALM };
    let mut world = one(&[Nature::Honest; 3], "fan", fan("fan", FULL, 1, 12), weather);
    world.live(60_000).unwrap();
    let before = settlements(&world);
    world.calm_down();
    finished(&mut world);
    assert!(world.crashes() > 20, "{} crashes", world.crashes());
    assert!(before > 0);
    assert_eq!(settlements(&world), 14);
}

#[test]
fn honest_people_practically_never_pay_for_refused_commands() {
    let weather =
        Weather { delay_ms: (0, 100), loss: 20, doubled: 20, misfortune_ms: 0, ..Weather::CALM };
    let (mut refused, mut paid, mut settled) = (0, 0, 0);
    for seed in 0..20 {
        let mut world = one_of(seed, &[Nature::Honest; 3], "fan", fan("fan", FULL, 1, 12), weather);
        finished(&mut world);
        settled += settlements(&world);
        for event in &world.checker.events {
            match event {
                Event::Charged { refused, .. } => paid += refused,
                Event::Rejected { .. } => refused += 1,
                _ => {}
            }
        }
    }
    assert!(refused > 20, "{refused} copies were refused");
    assert!(paid * 100 <= settled as u32, "{paid} fees for {settled} blocks");
}

#[test]
fn replicas_settle_whatever_the_weather_and_a_liar_among_them_gains_nothing() {
    let weather =
        Weather { delay_ms: (0, 50), loss: 10, doubled: 10, misfortune_ms: 3_000, ..Weather::CALM };
    let spec = FULL.replace("full", "{ replicate: 2 }");
    for seed in 0..8 {
        let natures = [Nature::Honest, Nature::Honest, Nature::WrongWeights];
        let mut world = one_of(seed, &natures, "fan", fan("fan", &spec, 1, 6), weather);
        world.live(20_000).unwrap();
        world.calm_down();
        let state = finished(&mut world);
        let liar = Who::Worker(2).key();
        assert!(state.cache().values().all(|known| known.worker != liar), "{seed}");
    }
}

#[test]
fn workers_take_part_in_sealed_auctions_by_themselves() {
    let weather = Weather { delay_ms: (0, 200), loss: 10, doubled: 10, ..Weather::CALM };
    let spec = "  defaults: { verification: full, market: { auction: sealed, window: 3s } }\n";
    for seed in 0..4 {
        let manifest = chain("chain", spec, 1, 3, false);
        let mut world = one_of(seed, &[Nature::Honest; 3], "chain", manifest, weather);
        finished(&mut world);
        let told = count(&world, |event| matches!(event, Event::BidTold { .. }));
        let lost = count(&world, |event| matches!(event, Event::BidLost { .. }));
        assert!(told >= 2 && lost * 4 <= told, "{seed}: {told} told, {lost} lost");
    }
}
