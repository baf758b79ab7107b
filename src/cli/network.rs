//! `ohc network`: founds networks, shows them, and remembers what they are called. Talks to
//! nobody: these are files; only for a checkpoint it looks how far the network is.

use super::Context;
use super::args::{Format, Found, NetworkVerb};
use super::exit::{Exit, Stop};
use super::home;
use super::report::Screen;
use super::report::json;
use super::report::sheet::{Sheet, numbers, words};
use crate::base::amount::Ohc;
use crate::domain::genesis::Params;
use crate::domain::milestone::Checkpoint;
use crate::node::network::{
    self, Chosen, Contexts, EMBEDDED, Founding, Network, NetworkError, Surroundings,
};
use crate::node::view::LastChange;
use serde_json::{Map, Value, json};
use std::path::Path;

pub(super) fn network(verb: &NetworkVerb, context: &mut Context) -> Result<Exit, Stop> {
    let format = verb.output().format;
    if let NetworkVerb::Show { .. } = verb {
        let chosen = chosen(context)?;
        return show(&chosen, format, &mut context.screen).map(|()| Exit::Done);
    }
    if let NetworkVerb::Checkpoint { .. } = verb {
        return checkpoint(format, context).map(|()| Exit::Done);
    }
    let screen = &mut context.screen;
    match verb {
        NetworkVerb::Init(args) => init(args, screen)?,
        NetworkVerb::Show { .. } | NetworkVerb::Checkpoint { .. } => {}
        NetworkVerb::Add { name, path, key, checkpoint, .. } => {
            add(name, path, (key.as_deref(), *checkpoint), format, screen)?;
        }
        NetworkVerb::Use { name, .. } => use_it(name, format, screen)?,
        NetworkVerb::List { .. } => list(format, screen)?,
    }
    Ok(Exit::Done)
}

/// The network that is meant; `None` if it is the one in this process.
pub(super) fn meant(context: &Context) -> Result<Option<Chosen>, Stop> {
    network::choose(context.network.as_deref(), &Surroundings::of_process()).map_err(stop)
}

fn chosen(context: &Context) -> Result<Chosen, Stop> {
    meant(context)?.ok_or_else(|| Stop::Error {
        exit: Exit::Usage,
        message: "no network is meant".into(),
        hint: Some("--network NAME|PATH names one; `ohc network init` founds one".into()),
    })
}

/// What is wrong with a network's files: at its place, where it is in a text.
pub(super) fn stop(error: NetworkError) -> Stop {
    let exit = match error {
        NetworkError::Name { .. }
        | NetworkError::Unknown { .. }
        | NetworkError::Misplaced { .. }
        | NetworkError::Founding { .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    match error {
        NetworkError::Faults { path, text, faults } => {
            Stop::Manifest { path: path.display().to_string(), text, faults, exit }
        }
        error => Stop::because(exit, &error),
    }
}

fn init(args: &Found, screen: &mut Screen) -> Result<(), Stop> {
    let Found { out, name, validators, workers, nats, store, output } = args;
    let founding = Founding {
        out: out.clone(),
        name: name.clone(),
        validators: *validators,
        workers: *workers,
        nats: nats.clone(),
        store: store.clone(),
    };
    let founded = network::found(&founding).map_err(stop)?;
    let id = founded.network.id().0;
    let shown = |path: &Path| path.display().to_string();
    match output.format {
        Format::Json | Format::Yaml => {
            let nodes: Vec<String> = founded.nodes.iter().map(|node| shown(node)).collect();
            let fields = json!({"name": name, "id": id.to_string(), "folder": shown(out),
                "nodes": nodes, "client": shown(&founded.client)});
            screen.data(&json::object("Founded", fields), output.format)?;
        }
        Format::Name => screen.line(name)?,
        Format::Table | Format::Wide => {
            let folder = out.display();
            screen.line(format!("{name}: founded in {folder}, network {}", id.short()))?;
            screen.line(format!(
                "{validators} validators and {workers} workers, each with its key in a folder of \
                 its own; {folder}/client/key.pem owns the rest"
            ))?;
            screen.line("")?;
            screen
                .line("Start a server of NATS (`nats-server`), then on each machine its node:")?;
            for (kind, count) in [("validator", validators), ("worker", workers)] {
                if *count > 0 {
                    screen.line(format!("  ohc {kind} --config {folder}/{kind}-1"))?;
                }
            }
            screen.line("and wherever a pipeline is:")?;
            screen.line(format!("  ohc apply FILE --network {}", relative(out)))?;
        }
    }
    Ok(())
}

/// A folder as `--network` takes it for a path.
fn relative(out: &Path) -> String {
    let text = out.display().to_string();
    if text.contains('/') || text.starts_with('.') { text } else { format!("./{text}") }
}

fn show(chosen: &Chosen, format: Format, screen: &mut Screen) -> Result<(), Stop> {
    let Chosen { network, name, key, home } = chosen;
    let genesis = &network.genesis;
    let stakes = genesis.allocations.iter().filter(|a| a.stake > Ohc::ZERO);
    let total = Ohc::sum(stakes.clone().map(|a| a.stake)).unwrap_or_default();
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for validator in stakes {
        let known = network.names.get(&validator.key).cloned();
        let known = known.unwrap_or_else(|| validator.key.short());
        let share = share(validator.stake, total);
        let key = validator.key.to_string();
        items.push(json!({"name": known, "key": key, "stake": json::ohc(validator.stake)}));
        rows.push(vec![known, validator.stake.to_string(), share, key]);
    }
    if !matches!(format, Format::Table | Format::Wide) {
        let fields = json!({"name": name, "id": network.id().0.to_string(),
            "nats": network.nats, "store": network.store, "home": home.display().to_string(),
            "checkpoint": network.checkpoint.map(|checkpoint| checkpoint.to_string()),
            "key": key.as_ref().map(|key| key.display().to_string()),
            "params": params(&genesis.params)});
        let columns = vec![words("validator")];
        let sheet = Sheet { kind: "Network", columns, rows, items, fields, none: "" };
        return Ok(screen.sheet(sheet, format)?);
    }
    screen.line(format!("{name}: network {}", network.id().0))?;
    screen.line(format!("  nats   {}", network.nats.join(", ")))?;
    screen.line(format!("  store  {}", network.store))?;
    let payer = key.as_ref().map_or_else(|| "none".into(), |key| key.display().to_string());
    screen.line(format!("  key    {payer}"))?;
    if let Some(checkpoint) = network.checkpoint {
        screen.line(format!("  by     checkpoint {checkpoint}"))?;
    }
    screen.line(format!("  home   {}\n", home.display()))?;
    let columns = vec![words("validator"), numbers("stake"), numbers("share"), words("key").wide()];
    let fields = json!({});
    let none = "no validators";
    screen.sheet(Sheet { kind: "Network", columns, rows, items, fields, none }, format)?;
    screen.line("")?;
    for (name, value) in genesis.params.texts() {
        screen.line(format!("{name:18} {value}"))?;
    }
    Ok(())
}

fn params(params: &Params) -> Value {
    let texts = params.texts().into_iter();
    Value::Object(texts.map(|(name, text)| (name.to_owned(), text.into())).collect::<Map<_, _>>())
}

/// A share of the whole in percent, rounded down to a tenth.
fn share(part: Ohc, whole: Ohc) -> String {
    let tenths = u128::from(part.nano()) * 1_000 / u128::from(whole.nano()).max(1);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Prints where the validators changed last, as far as the network is now.
fn checkpoint(format: Format, context: &mut Context) -> Result<(), Stop> {
    let name = chosen(context)?.name;
    let (view, _) = home::open(&home::wanted(context)?)?;
    let last = view.last_change().map_err(|error| home::stop(&error))?;
    let found = match last {
        LastChange::At(checkpoint) => Some(checkpoint),
        LastChange::Never => None,
        LastChange::Unknown => {
            let hint = "ask where all of it is, or move the folder `log` of the home away";
            let message = "this copy of the log begins after the last change of the validators";
            return Err(Stop::failed(message, Some(hint.into())));
        }
        LastChange::Elsewhere => {
            let message = "another process has the log of this home open";
            return Err(Stop::failed(message, Some("ask again when it is over".into())));
        }
    };
    let (text, screen) = (found.map(|found| found.to_string()), &mut context.screen);
    match (format, text) {
        (Format::Json | Format::Yaml, text) => {
            let fields = json!({"name": name, "checkpoint": text,
                "height": view.state.height().0});
            screen.data(&json::object("Checkpoint", fields), format)?;
        }
        (_, Some(text)) => screen.line(text)?,
        (Format::Name, None) => {}
        (Format::Table | Format::Wide, None) => screen.line(format!(
            "{name}: the validators are those of the genesis: who joins needs no checkpoint"
        ))?,
    }
    Ok(())
}

fn add(
    name: &str,
    path: &Path,
    given: (Option<&Path>, Option<Checkpoint>),
    format: Format,
    screen: &mut Screen,
) -> Result<(), Stop> {
    let around = Surroundings::of_process();
    let mut contexts = Contexts::read(&around).map_err(stop)?;
    let network = contexts.add(name, path, given).map_err(stop)?;
    // The first one is what is meant: there is no other.
    let is_first = contexts.all.len() == 1 && contexts.current.is_none();
    contexts.current = contexts.current.or_else(|| is_first.then(|| name.to_owned()));
    contexts.save(&around).map_err(stop)?;
    let context = contexts.get(name).map_err(stop)?;
    let key = context.key.as_ref().map(|key| key.display().to_string());
    match format {
        Format::Json | Format::Yaml => {
            let fields = json!({"name": name, "id": network.id().0.to_string(), "key": key,
                "current": contexts.current.as_deref() == Some(name)});
            screen.data(&json::object("Context", fields), format)?;
        }
        Format::Name => screen.line(name)?,
        Format::Table | Format::Wide => {
            let payer = key.map_or_else(
                || "no key pays there: --key FILE names one".to_owned(),
                |key| format!("{key} pays there"),
            );
            screen.line(format!("{name}: network {}; {payer}", network.id().0.short()))?;
            if is_first {
                screen.line(format!(
                    "It is the one that is meant now, until `ohc network use {EMBEDDED}`"
                ))?;
            }
        }
    }
    Ok(())
}

fn use_it(name: &str, format: Format, screen: &mut Screen) -> Result<(), Stop> {
    let around = Surroundings::of_process();
    let mut contexts = Contexts::read(&around).map_err(stop)?;
    if name != EMBEDDED {
        contexts.get(name).map_err(stop)?;
    }
    contexts.current = Some(name.to_owned()).filter(|name| name != EMBEDDED);
    contexts.save(&around).map_err(stop)?;
    match format {
        Format::Json | Format::Yaml => {
            screen
                .data(&json::object("Context", json!({"name": name, "current": true})), format)?;
        }
        Format::Name => screen.line(name)?,
        Format::Table | Format::Wide => {
            screen.line(format!("{name} is meant where nothing else is said"))?;
        }
    }
    Ok(())
}

fn list(format: Format, screen: &mut Screen) -> Result<(), Stop> {
    let contexts = Contexts::read(&Surroundings::of_process()).map_err(stop)?;
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for (name, context) in &contexts.all {
        let is_current = contexts.current.as_ref() == Some(name);
        let file = context.network.display().to_string();
        let id = match Network::read(&context.network) {
            Ok(network) => network.id().0.to_string(),
            Err(_) => "its files cannot be read".into(),
        };
        let key = context.key.as_ref().map(|key| key.display().to_string());
        items.push(json!({"name": name, "current": is_current, "id": id, "network": file,
            "key": key}));
        let mark = if is_current { "*" } else { "" };
        let id = id.chars().take(12).collect();
        rows.push(vec![name.clone(), mark.into(), id, file, key.unwrap_or_default()]);
    }
    let columns =
        vec![words("name"), words("meant"), words("id"), words("network"), words("key").wide()];
    let none = "no network has a name yet: `ohc network add NAME PATH` gives one";
    let sheet = Sheet { kind: "ContextList", columns, rows, items, fields: json!({}), none };
    Ok(screen.sheet(sheet, format)?)
}
