//! Named cases, one rule each, and a swarm of worlds that nobody has thought of.
//! Never asserts how something came about, only what must hold.

use crate::adversary::Nature;
use crate::checker::Breach;
use crate::dice::Dice;
use crate::ground::{Who, ohc, pin, submission};
use crate::labour;
use crate::pipelines::{self, Checked, Want, chain, fan, iris};
use crate::world::{Cast, End, Weather, World};
use ohc::base::amount::Ohc;
use ohc::base::canon::{Canonical, Digest};
use ohc::base::ids::{JobId, LeaseId, RunId};
use ohc::domain::command::{Command, Order};
use ohc::domain::event::{Ending, Event, events_root};
use ohc::domain::job::job_key;
use ohc::domain::poh::{self, Chain};
use ohc::domain::slot::commands_root;
use ohc::domain::state::State;
use ohc::domain::state::run::{Run, Status};
use ohc::domain::verdict::Verification;

/// A year would not change it: so long a calm world may take at most.
const PATIENCE_MS: u64 = 30 * 60 * 1_000;

/// Any cast: honest workers always, villains often.
fn cast(dice: &mut Dice, checked: Checked) -> Cast {
    let villains = [Nature::WrongWeights, Nature::Withholder, Nature::Silent, Nature::LiarFailure];
    let mut workers = Vec::new();
    for _ in 0..dice.between(1, 3) {
        workers.push(Nature::Honest);
    }
    for _ in 0..dice.below(3) {
        workers.push(*dice.pick(&villains));
    }
    let workers = workers.into_iter().map(|nature| (nature, nature.ask(dice))).collect();
    let wants = (0..dice.between(1, 3)).map(|_| pipelines::any(dice, checked)).collect();
    let purse = if dice.percent(20) { Ohc::from_nano(dice.below(2_000_000_000)) } else { ohc(100) };
    Cast { workers, purse, wants, mischief: dice.percent(50) }
}

/// Names the seed if a world ends in a panic.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the world of SEED={} broke", self.0);
        }
    }
}

/// A world of this seed, and whether a lie can settle in it: where not everything is checked, what
/// a liar got through is as good as any other result.
fn world(seed: u64, weather: Weather) -> (World, bool) {
    let mut dice = Dice::new(seed);
    let checked = if dice.percent(50) { Checked::Full } else { Checked::Any };
    let cast = cast(&mut dice, checked);
    let lies = checked == Checked::Any && cast.workers.iter().any(|(nature, _)| nature.lies());
    (World::new(dice.roll(), weather, cast), lies)
}

/// One world of the swarm: faults for a while, then calm until everybody has an answer.
fn swarm(seed: u64) -> Result<World, Breach> {
    let mut dice = Dice::new(!seed);
    let storm = Weather {
        delay_ms: (0, *dice.pick(&[3, 100, 700])),
        loss: dice.below(30),
        doubled: dice.below(30),
        misfortune_ms: *dice.pick(&[150, 900, 4_000]),
        acts_before_sync: false,
    };
    let (mut world, lies) = world(seed, storm);
    world.live(dice.between(2, 25) * 1_000)?;
    if dice.percent(60) {
        world.calm_down();
        let waiting = world.finish(PATIENCE_MS)?;
        if !waiting.is_empty() {
            return Err(Breach { rule: "liveness", what: waiting.join(", ") });
        }
        if !lies {
            reapply(&world)?;
        }
    }
    honest(&world, lies)?;
    replay(&world)?;
    Ok(world)
}

/// from genesis, with every check that a stranger would make.
fn replay(world: &World) -> Result<(), Breach> {
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

/// One more slot with this command.
fn one_more(state: &mut State, order: ohc::domain::command::SignedOrder) -> Vec<Event> {
    let params = poh::Params { hashes_per_tick: state.params().hashes_per_tick };
    let orders = [order];
    let poh = Chain::resume(state.place(), params).record(commands_root(&orders));
    state.apply(state.height().next(), &poh, &orders)
}

fn settled(state: &State, run: RunId) -> Option<&Run> {
    let run = state.runs().get(&run)?;
    matches!(run.status, Status::Ended { ending: Ending::Settled, .. }).then_some(run)
}

/// everything that settled is submitted once more.
fn reapply(world: &World) -> Result<(), Breach> {
    let mut state = world.state();
    for (who, want, end) in world.ends() {
        let Some(End::Finished(run)) = end else { continue };
        if settled(&state, run).is_none() {
            continue;
        }
        let before = state.ledger().clone();
        let command = Command::Submit(Box::new(want.submission.clone()));
        let nonce = state.nonce(&who.key()) + 1;
        let order = who.secret().seal(state.network(), Order { nonce, command });
        let events = one_more(&mut state, order);
        let refund = want.submission.budget;
        let is_free = events.iter().any(|event| {
            matches!(event, Event::Ended { ending: Ending::Settled, refund: r, .. } if *r == refund)
        });
        let all_free = events.iter().all(|event| !matches!(event, Event::Leased { .. }));
        if !is_free || !all_free || *state.ledger() != before {
            return Err(Breach { rule: "R-12", what: format!("{run} again: {events:?}") });
        }
    }
    Ok(())
}

/// Every result that settled is what honest workers get from the same sources; where a lie can
/// settle, this still holds for the runs that have everything checked.
fn honest(world: &World, lies: bool) -> Result<(), Breach> {
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

fn last(world: &World) -> Digest {
    world.slots().last().map(|slot| slot.head.digest()).unwrap_or_default()
}

#[track_caller]
fn check(world: Result<World, Breach>, seed: u64) -> World {
    match world {
        Ok(world) => world,
        Err(Breach { rule, what }) => panic!("SEED={seed}: {rule} does not hold: {what}"),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn the_swarm_keeps_every_rule_and_everybody_gets_an_answer() {
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("SEEDS").unwrap_or(300)).collect(),
    };
    let (odd, even): (Vec<u64>, Vec<u64>) = seeds.into_iter().partition(|seed| seed % 2 == 1);
    let run = |seeds: Vec<u64>| {
        for seed in seeds {
            let _named = Named(seed);
            check(swarm(seed), seed);
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(move || run(odd));
        run(even);
        other.join().unwrap();
    });
}

#[test]
fn r8_the_same_seed_writes_the_same_log() {
    for seed in 1..6 {
        let (once, again) = (check(swarm(seed), seed), check(swarm(seed), seed));
        assert_eq!(last(&once), last(&again));
        assert!(once.slots().count() > 3);
    }
    assert_ne!(last(&check(swarm(1), 1)), last(&check(swarm(2), 2)));
}

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
    let cast =
        Cast { workers: workers.collect(), purse: ohc(100), wants: vec![want], mischief: false };
    World::new(seed, weather, cast)
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
    let weather = Weather { misfortune_ms: 1, ..Weather::CALM };
    let mut quiet = one(&[Nature::Honest; 2], "iris", iris("iris", FULL, 1), Weather::CALM);
    let results = |state: &State| -> Vec<Vec<Digest>> {
        state.runs()[&RunId(1)].results.iter().map(|r| r.clone().unwrap().outputs).collect()
    };
    let expect = results(&finished(&mut quiet));
    let mut world = one(&[Nature::Honest; 2], "iris", iris("iris", FULL, 1), weather);
    world.only_mischief();
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
    let weather = Weather { misfortune_ms: 300, ..Weather::CALM };
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
