//! Lines of a node that runs: one for each thing that happens, or an object for programs. A screen
//! that cannot be written to stops no node, and never is a line half written.

use super::args::Format;
use super::exit::{Exit, Stop};
use super::names::Names;
use super::report::{Screen, json, prose};
use crate::domain::event::Event;
use crate::domain::state::State;
use crate::node::follow::LongAgo;
use crate::node::worker::News;
use serde_json::{Value, json};
use std::io;

/// What a node says.
pub(super) struct Lines<'a> {
    screen: &'a mut Screen,
    format: Format,
    /// What its objects are called.
    kind: &'static str,
    /// Why nothing more is written.
    broken: Option<io::Error>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(screen: &'a mut Screen, format: Format, kind: &'static str) -> Self {
        Self { screen, format, kind, broken: None }
    }

    /// Whether a program reads them.
    pub(super) fn is_data(&self) -> bool {
        self.format.is_data()
    }

    /// Says a line, or to programs an object.
    pub(super) fn say(&mut self, line: String, fields: Value) {
        if self.broken.is_some() {
            return;
        }
        let said = match self.format {
            Format::Json | Format::Yaml => {
                self.screen.data(&json::object(self.kind, fields), self.format)
            }
            Format::Name => Ok(()),
            Format::Table | Format::Wide => self.screen.line(line),
        };
        self.broken = said.and_then(|()| self.screen.flush()).err();
    }

    /// Says an event of the log.
    pub(super) fn event(&mut self, event: &Event, state: &State, names: &Names) {
        let plan = event.run().and_then(|run| state.runs().get(&run)).map(|run| &run.plan);
        let job = |id| plan.and_then(|plan| Some(plan.job(id)?.to_string())).unwrap_or_default();
        let stage = |block| plan.map(|plan| plan.name_of(block)).unwrap_or_default();
        let line = prose::told(event, names, &job, &stage);
        let mut fields = json::event(event, names);
        if let Value::Object(fields) = &mut fields {
            let kind = fields.remove("kind").unwrap_or_default();
            fields.insert("event".into(), kind);
        }
        self.say(line, fields);
    }

    /// Says what happens to the connection.
    pub(super) fn news(&mut self, news: &News) {
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

    /// Says that the log rests on who validated long ago.
    pub(super) fn long_ago(&mut self, long_ago: LongAgo) {
        let fields = json!({"event": "longAgo", "since": long_ago.since.0});
        self.say(prose::long_ago(long_ago), fields);
    }

    /// The node has ended well.
    pub(super) fn end(self) -> Result<Exit, Stop> {
        match self.broken {
            Some(error) => Err(error.into()),
            None => Ok(Exit::Done),
        }
    }
}
