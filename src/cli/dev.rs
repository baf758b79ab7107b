//! `ohc dev`: a whole network on this machine until Ctrl-C. Starts and watches nothing itself:
//! `node::dev` does.

use super::Context;
use super::args::Dev as Args;
use super::args::Format;
use super::exit::{Exit, Stop};
use super::home;
use super::network as files;
use super::report::Screen;
use super::report::json;
use crate::node::Clock;
use crate::node::dev::{Dev, DevError, Ended, Node, Wish};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often the nodes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) fn dev(args: &Args, context: &mut Context) -> Result<Exit, Stop> {
    let usual = || home::own(context).dir().join("dev");
    let folder = args.folder.clone().unwrap_or_else(usual);
    let program = std::env::current_exe().map_err(|error| Stop::failed(error.to_string(), None))?;
    let (validators, workers) = (args.validators, args.workers);
    let wish = Wish { folder: folder.clone(), validators, workers, program };
    let stops = stops(context.quit);
    let clock = Clock::start();
    let mut network = Dev::start(&wish).map_err(stop)?;
    let (screen, format) = (&mut context.screen, args.output.format);
    let (nodes, ended) = network.look().map_err(stop)?;
    ready(&folder, &network, &nodes, clock.seconds(), format, screen)?;
    let mut page = Page::new(screen, format);
    for ended in ended {
        page.tell(&ended, &folder, format, screen)?;
    }
    let ended = loop {
        match stops.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break Ok(()),
        }
        match network.look() {
            Ok((nodes, ended)) => {
                for ended in ended {
                    page.tell(&ended, &folder, format, screen)?;
                }
                page.show(&nodes, format, screen)?;
            }
            Err(error) => break Err(error),
        }
    };
    drop(page);
    let slow = network.stop();
    ended.map_err(stop)?;
    if !slow.is_empty() {
        let message = format!("{} did not end when asked to", slow.join(", "));
        let hint = "what they were doing goes on at the next start";
        return Err(Stop::failed(message, Some(hint.into())));
    }
    if !format.is_data() {
        screen.line("stopped: the log and all else is kept for the next time")?;
    }
    Ok(Exit::Done)
}

fn stop(error: DevError) -> Stop {
    match error {
        DevError::Network(error) => files::stop(error),
        error => Stop::because(Exit::Failed, &error),
    }
}

/// Tells of the first Ctrl-C or SIGTERM; the second ends the process at once.
fn stops(quit: fn(u8) -> !) -> Receiver<()> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Without one a signal does what it does to any process: it ends it.
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            let interrupt = signal(SignalKind::interrupt());
            let terminate = signal(SignalKind::terminate());
            let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else { return };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if sender.send(()).is_err() {
                    quit(Exit::Interrupted.code());
                }
            }
        });
    });
    receiver
}

fn ready(
    folder: &Path,
    network: &Dev,
    nodes: &[Node],
    seconds: f64,
    format: Format,
    screen: &mut Screen,
) -> Result<(), Stop> {
    let path = named(folder);
    match format {
        Format::Json | Format::Yaml => {
            let all: Vec<Value> = nodes.iter().map(object).collect();
            let fields = json!({"network": path.display().to_string(),
                "id": network.network.id().0.to_string(), "nats": network.network.nats,
                "seconds": seconds, "nodes": all});
            screen.data(&json::object("Dev", fields), format)?;
        }
        Format::Name => screen.line(path.display())?,
        Format::Table | Format::Wide => {
            let id = network.network.id().0.short();
            let nats = network.network.nats.join(", ");
            screen.line(format!("network {id} is ready, in {seconds:.1} s; nats at {nats}"))?;
            for node in nodes {
                screen.line(format!("  {}", line(node)))?;
            }
            screen.line(format!("ohc apply FILE -y --network {}", path.display()))?;
            screen.line("Ctrl-C stops all of it")?;
        }
    }
    Ok(screen.flush()?)
}

/// A folder as `--network` takes it for a path.
fn named(folder: &Path) -> PathBuf {
    if folder.is_absolute() || folder.starts_with(".") {
        return folder.to_path_buf();
    }
    Path::new(".").join(folder)
}

/// The network's state as one line: redrawn on a terminal, elsewhere when it changes.
struct Page {
    bar: Option<ProgressBar>,
    told: String,
}

impl Page {
    fn new(screen: &Screen, format: Format) -> Self {
        let is_live = screen.is_live && matches!(format, Format::Table | Format::Wide);
        let bar = is_live.then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}").ok();
            let bar = ProgressBar::new_spinner();
            style.into_iter().fold(bar, ProgressBar::with_style)
        });
        Self { bar, told: String::new() }
    }

    /// Says who has ended, and how it can be started again.
    fn tell(
        &self,
        ended: &Ended,
        folder: &Path,
        format: Format,
        screen: &mut Screen,
    ) -> Result<(), Stop> {
        let Ended { name, how, log, .. } = ended;
        let (kind, config) = (name.split('-').next().unwrap_or_default(), folder.join(name));
        let text = format!(
            "{name} ended with {how} ({}); the others go on, and `ohc {kind} --config {}` starts \
             it again",
            log.display(),
            config.display()
        );
        match (&self.bar, format) {
            (Some(bar), _) => bar.println(text),
            (None, Format::Json | Format::Yaml) => {
                let fields = json!({"name": name, "how": how, "log": log.display().to_string()});
                screen.data(&json::object("DevEnded", fields), format)?;
            }
            (None, Format::Name) => {}
            (None, Format::Table | Format::Wide) => screen.line(text)?,
        }
        Ok(screen.flush()?)
    }

    fn show(&mut self, nodes: &[Node], format: Format, screen: &mut Screen) -> Result<(), Stop> {
        let heights = || nodes.iter().filter_map(|node| node.height);
        let (last, up) = (heights().max().unwrap_or_default().0, heights().count());
        let text = format!("slot {last}, {up} validators answer");
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.tick();
            return Ok(());
        }
        if text == self.told {
            return Ok(());
        }
        match format {
            Format::Json | Format::Yaml => {
                let nodes: Vec<Value> = nodes.iter().map(object).collect();
                let fields = json!({"slot": last, "nodes": nodes});
                screen.data(&json::object("DevStatus", fields), format)?;
            }
            Format::Name => {}
            Format::Table | Format::Wide => screen.line(&text)?,
        }
        self.told = text;
        Ok(screen.flush()?)
    }
}

fn line(node: &Node) -> String {
    let height = node.height.map(|height| format!(", slot {}", height.0)).unwrap_or_default();
    format!("{:12} process {}{height}", node.name, node.process)
}

fn object(node: &Node) -> Value {
    json!({"name": node.name, "process": node.process, "slot": node.height.map(|h| h.0)})
}
