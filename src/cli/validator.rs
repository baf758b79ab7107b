//! `ohc validator`: runs a validator of a network, and says what it sees. Decides nothing:
//! `node::validator` joins the parts, and the roles decide.

use super::Context;
use super::args::{self, Format};
use super::exit::{Exit, Stop};
use super::network;
use super::report::{Screen, json};
use super::signals::Signals;
use super::worker::stop;
use crate::base::canon::Canonical;
use crate::base::time::Millis;
use crate::domain::event::Event;
use crate::domain::state::State;
use crate::node::Clock;
use crate::node::apply::start_runtime;
use crate::node::home::Home;
use crate::node::inbox::Handle;
use crate::node::network::{Config, Part};
use crate::node::validator::{self, Hooks, News, Sight};
use serde_json::{Value, json};
use std::io;

/// A log that grows is told of at most so often: who wants each slot asks for objects.
const EVERY_MS: u64 = 10_000;

/// Runs a validator until it is stopped.
pub(super) fn validator(args: &args::Validator, context: &mut Context) -> Result<Exit, Stop> {
    let config = Config::read(&args.config).map_err(network::stop)?;
    if config.part != Part::Validator {
        let path = config.file.display();
        return Err(Stop::Error {
            exit: Exit::Usage,
            message: format!("{path} is the configuration of a worker"),
            hint: Some("`ohc worker --config` runs it".into()),
        });
    }
    let signals = Signals::start(context.quit);
    let runtime = start_runtime().map_err(|error| Stop::because(Exit::Failed, &error))?;
    let (format, screen) = (args.output.format, &mut context.screen);
    let mut teller =
        Teller { screen, format, settled: 0, told: None, clock: Clock::start(), broken: None };
    let mut begun = |handle: Handle| signals.serve(Some(handle));
    let mut watch = |sight: Sight<'_>| teller.see(&sight);
    let hooks = Hooks { begun: &mut begun, watch: &mut watch };
    let home = Home::at(&config.home);
    let done = validator::validate(&config.network, (&home, &config.key), &runtime, hooks);
    signals.serve(None);
    done.map_err(|error| stop(&error))?;
    teller.say("stopped".to_owned(), json!({"event": "stopped"}));
    match teller.broken {
        Some(error) => Err(error.into()),
        None => Ok(Exit::Done),
    }
}

/// Says what a validator sees, a line each.
struct Teller<'a> {
    screen: &'a mut Screen,
    format: Format,
    /// Blocks that were settled since the last line about the log.
    settled: usize,
    /// When that was.
    told: Option<Millis>,
    clock: Clock,
    /// Why nothing more is written.
    broken: Option<io::Error>,
}

impl Teller<'_> {
    /// Says a line, or to programs an object.
    fn say(&mut self, line: String, fields: Value) {
        if self.broken.is_some() {
            return;
        }
        let said = match self.format {
            Format::Json | Format::Yaml => {
                self.screen.data(&json::object("ValidatorEvent", fields), self.format)
            }
            Format::Name => Ok(()),
            Format::Table | Format::Wide => self.screen.line(line),
        };
        // A screen that cannot be written to stops no validator.
        self.broken = said.and_then(|()| self.screen.flush()).err();
    }

    fn see(&mut self, sight: &Sight<'_>) {
        match sight {
            Sight::Ready(state) => {
                let (height, count) = (state.height(), state.validators().len());
                let line = format!("ready    at slot {height}, one of {count} validators");
                self.say(line, json!({"event": "ready", "height": height.0, "validators": count}));
            }
            Sight::Folded(state, events) => self.folded(state, events),
            Sight::News(news) => self.news(news),
            Sight::Trouble(failure) => {
                let line = format!("trouble  a receipt could not be checked: {failure}");
                self.say(line, json!({"event": "trouble", "why": failure.to_string()}));
            }
            Sight::Evidence(evidence) => {
                let digest = evidence.digest().to_string();
                let line = format!("evidence a validator has said two things at once: {digest}");
                self.say(line, json!({"event": "evidence", "digest": digest}));
            }
        }
    }

    fn news(&mut self, news: &News) {
        let (word, why) = match news {
            News::Up => ("online", String::new()),
            News::Down(why) => ("offline", why.clone()),
            News::Refused(why) => ("refused", why.clone()),
            // It is caught up with.
            News::Lost => return,
        };
        let line = format!("{word:<8} {why}").trim_end().to_owned();
        self.say(line, json!({"event": word, "why": why}));
    }

    fn folded(&mut self, state: &State, events: &[Event]) {
        let settled = events.iter().filter(|event| matches!(event, Event::Settled { .. })).count();
        self.settled += settled;
        let height = state.height();
        if self.format.is_data() {
            let events = events.len();
            let fields = json!({"event": "slot", "height": height.0, "events": events,
                "settled": settled});
            return self.say(String::new(), fields);
        }
        let now = self.clock.now();
        if self.told.is_some_and(|told| now < told.after(EVERY_MS)) {
            return;
        }
        let line =
            format!("slot     {height}: {} blocks settled since the last line", self.settled);
        (self.told, self.settled) = (Some(now), 0);
        self.say(line, Value::Null);
    }
}
