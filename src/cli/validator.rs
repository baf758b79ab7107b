//! `ohc validator`: runs a validator of a network, and says what it sees. Decides nothing:
//! `node::validator` joins the parts, and the roles decide.

use super::Context;
use super::args;
use super::exit::{Exit, Stop};
use super::lines::Lines;
use super::names::Names;
use super::network;
use super::report::prose;
use super::signals::Signals;
use super::worker::stop;
use crate::base::canon::Canonical;
use crate::base::keys::PublicKey;
use crate::base::time::Millis;
use crate::domain::event::Event;
use crate::domain::state::State;
use crate::node::Clock;
use crate::node::apply::start_runtime;
use crate::node::home::Home;
use crate::node::inbox::Handle;
use crate::node::link;
use crate::node::network::{Config, Part};
use crate::node::validator::{self, Hooks, Sight};
use serde_json::{Value, json};

/// A log that grows is told of at most so often: who wants each slot asks for objects.
const EVERY_MS: u64 = 10_000;

/// Runs a validator until it is stopped.
pub(super) fn validator(args: &args::Validator, context: &mut Context) -> Result<Exit, Stop> {
    let config = Config::read(&args.config).map_err(network::stop)?;
    let Part::Validator { retained } = config.part else {
        let path = config.file.display();
        return Err(Stop::Error {
            exit: Exit::Usage,
            message: format!("{path} is the configuration of a worker"),
            hint: Some("`ohc worker --config` runs it".into()),
        });
    };
    let signals = Signals::start(context.quit);
    let runtime = start_runtime().map_err(|error| Stop::because(Exit::Failed, &error))?;
    let lines = Lines::new(&mut context.screen, args.output.format, "ValidatorEvent");
    let me = link::key(&config.key).map_err(|error| stop(&error))?.public();
    let names = Names::new(config.network.names.clone());
    let clock = Clock::start();
    let mut teller = Teller { lines, names: &names, me, settled: 0, told: None, clock };
    let mut begun = |handle: Handle| signals.serve(Some(handle));
    let mut watch = |sight: Sight<'_>| teller.see(&sight);
    let hooks = Hooks { begun: &mut begun, watch: &mut watch };
    let home = Home::at(&config.home);
    let node = (&home, config.key.as_path(), retained);
    let done = validator::validate(&config.network, node, &runtime, hooks);
    signals.serve(None);
    done.map_err(|error| stop(&error))?;
    teller.lines.say("stopped".to_owned(), json!({"event": "stopped"}));
    teller.lines.end()
}

/// Says what a validator sees, a line each.
struct Teller<'a> {
    lines: Lines<'a>,
    names: &'a Names,
    me: PublicKey,
    /// Blocks that were settled since the last line about the log.
    settled: usize,
    /// When that was.
    told: Option<Millis>,
    clock: Clock,
}

impl Teller<'_> {
    fn see(&mut self, sight: &Sight<'_>) {
        match sight {
            Sight::Ready(state) => {
                let (height, count) = (state.height(), state.validators().len());
                let is_one = state.validators().contains_key(&self.me);
                let what = match is_one {
                    true => format!("one of {count} validators"),
                    false if height.0 == 0 => "the log of the others is fetched".to_owned(),
                    false => format!(
                        "none of the {count} validators: `ohc stake bond` makes it one, from a \
                         boundary on"
                    ),
                };
                let line = format!("ready    at slot {height}, {what}");
                let fields = json!({"event": "ready", "height": height.0, "validators": count,
                    "counts": is_one});
                self.lines.say(line, fields);
            }
            Sight::Silent(from) => {
                let slots = match from {
                    None => "once enough slots are final".to_owned(),
                    Some(from) => format!("from slot {from} on"),
                };
                let line = format!(
                    "silent   a new home: what this key voted elsewhere is not known here; it \
                     votes {slots} (at once if its name, {}, stands in the file `voter` in the \
                     home: only if it has voted nowhere)",
                    self.me
                );
                self.lines.say(line, json!({"event": "silent", "from": from.map(|from| from.0)}));
            }
            Sight::Folded(state, events) => self.folded(state, events),
            Sight::News(news) => self.lines.news(news),
            Sight::Trouble(failure) => {
                let line = format!("trouble  a receipt could not be checked: {failure}");
                self.lines.say(line, json!({"event": "trouble", "why": failure.to_string()}));
            }
            Sight::Unsigned(error) => {
                let line = format!("trouble  a request to the store could not be signed: {error}");
                self.lines.say(line, json!({"event": "unsigned", "why": error.to_string()}));
            }
            Sight::LongAgo(long_ago) => self.lines.long_ago(*long_ago),
            Sight::Flooded(subject) => {
                let line = format!("flooded  {subject}: what is too much is dropped");
                self.lines.say(line, json!({"event": "flooded", "subject": subject}));
            }
            Sight::Evidence(evidence) => {
                let digest = evidence.digest().to_string();
                let line = format!("evidence a validator has said two things at once: {digest}");
                self.lines.say(line, json!({"event": "evidence", "digest": digest}));
            }
        }
    }

    fn folded(&mut self, state: &State, events: &[Event]) {
        let settled = events.iter().filter(|event| matches!(event, Event::Settled { .. })).count();
        self.settled += settled;
        for event in events.iter().filter(|event| is_of(event, &self.me)) {
            self.lines.event(event, state, self.names);
        }
        let height = state.height();
        if self.lines.is_data() {
            let events = events.len();
            let fields = json!({"event": "slot", "height": height.0, "events": events,
                "settled": settled});
            return self.lines.say(String::new(), fields);
        }
        let now = self.clock.now();
        if self.told.is_some_and(|told| now < told.after(EVERY_MS)) {
            return;
        }
        let blocks = prose::count(self.settled, "block");
        let line = format!("slot     {height}: {blocks} settled since the last line");
        (self.told, self.settled) = (Some(now), 0);
        self.lines.say(line, Value::Null);
    }
}

/// Whether an event is about the stake of this validator, or about coins that it pays for what it
/// did or did not do.
fn is_of(event: &Event, me: &PublicKey) -> bool {
    match event {
        Event::Absent { validator, .. }
        | Event::Lazy { validator, .. }
        | Event::Equivocated { validator, .. }
        | Event::Bonded { validator, .. }
        | Event::Unbonded { validator, .. }
        | Event::Joined { validator, .. }
        | Event::Left { validator }
        | Event::Locked { validator, .. }
        | Event::Unlocked { validator, .. } => validator == me,
        Event::Dismissed { by, .. } => by == me,
        _ => false,
    }
}
