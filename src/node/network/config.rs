//! What one node is: its `config.yaml`. Never opens its key or its home.

use super::fields::{self, Fields};
use super::reach::tls;
use super::{CONFIG_FILE, Document, Network, NetworkError, folder};
use crate::base::amount::Price;
use crate::domain::classes::Classes;
use crate::domain::manifest::bytes;
use crate::node::worker::Hours;
use std::path::{Path, PathBuf};

/// Copies of artifacts that a node keeps where it does not say how much.
const CACHE_BYTES: u64 = 10 << 30;
/// What stands at `classes`.
const CLASSES: &str = "kinds of jobs as `uses:` names them, with commas: train,evaluate";

/// What a node does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// It agrees on the log, of which it keeps at least so many slots; all where it does not say.
    Validator {
        /// Slots.
        retained: Option<u64>,
    },
    /// It computes.
    Worker(Fleet),
}

/// What a worker offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// What it asks for a unit of work; the network's base price where it does not say.
    pub ask: Option<Price>,
    /// Units of work that it takes on at a time.
    pub capacity: Option<u64>,
    /// The kinds of jobs that it takes on; all where it does not say.
    pub classes: Option<Classes>,
    /// Blocks that it computes at a time.
    pub threads: Option<usize>,
    /// When in a day it takes on work, in UTC.
    pub hours: Option<Hours>,
    /// Blocks after which it ends.
    pub blocks_max: Option<u64>,
    /// Whether validators sign its requests to the store.
    pub is_presigned: Option<bool>,
}

/// The `config.yaml` of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file.
    pub file: PathBuf,
    /// What it does.
    pub part: Part,
    /// The network that it belongs to.
    pub network: Network,
    /// The file of its key.
    pub key: PathBuf,
    /// The folder of its log and its copies of artifacts.
    pub home: PathBuf,
}

impl Config {
    /// The node of a `config.yaml`, or of the folder that it lies in. Credentials and a checkpoint
    /// that it names take the place of the network's.
    pub fn read(path: &Path) -> Result<Self, NetworkError> {
        let file = if path.is_dir() { path.join(CONFIG_FILE) } else { path.to_owned() };
        let base = folder(&file).to_owned();
        const KNOWN: &[&str] = &[
            "kind",
            "network",
            "key",
            "home",
            "checkpoint",
            "credentials",
            "tls",
            "ask",
            "capacity",
            "classes",
            "threads",
            "hours",
            "maxBlocks",
            "presigned",
            "retainSlots",
            "cache",
        ];
        let (part, network, (key, home), checkpoint, credentials, tls, cache) =
            fields::read(&file, (Document::Node, KNOWN), |fields| {
                let network = fields.needed_text("network").map(|text| base.join(text));
                let key = fields.needed_text("key").map(|text| base.join(text));
                let home = fields.needed_text("home").map(|text| base.join(text));
                let credentials = fields.path("credentials", &base);
                let checkpoint = fields.checkpoint();
                let (tls, part) = (tls(fields, &base), part(fields));
                let size = "a number of bytes with its unit, such as 10GiB";
                let cache = fields.maybe("cache", size, bytes);
                Some((part?, network?, (key?, home?), checkpoint, credentials, tls, cache))
            })?;
        let mut network = Network::read(&network)?;
        network.credentials = credentials.or(network.credentials);
        network.tls = tls.or(network.tls);
        network.checkpoint = checkpoint.or(network.checkpoint);
        network.cache = Some(cache.unwrap_or(CACHE_BYTES));
        Ok(Self { file, part, network, key, home })
    }
}

fn part(fields: &mut Fields<'_>) -> Option<Part> {
    let node = fields.needed("kind")?;
    let price = |text: &str| text.parse().ok().map(Price::new);
    let fleet = Fleet {
        ask: fields.maybe("ask", "a whole number of nano-OhC per unit of work", price),
        capacity: fields.maybe("capacity", "a whole number of units of work", |t| t.parse().ok()),
        classes: fields.maybe("classes", CLASSES, Classes::read),
        threads: fields.maybe("threads", "a number from 1 to 256", |text| {
            text.parse().ok().filter(|threads| (1..=256).contains(threads))
        }),
        hours: fields.maybe("hours", "two times in UTC, such as 22:00-06:00", Hours::read),
        blocks_max: fields.maybe("maxBlocks", "a whole number from 1 on", |text| {
            text.parse().ok().filter(|blocks| *blocks > 0)
        }),
        is_presigned: fields.maybe("presigned", "true or false", |text| text.parse().ok()),
    };
    let retained = fields.maybe("retainSlots", "a whole number of slots", |t| t.parse().ok());
    match node.text() {
        Some("validator") if fleet == Fleet::default() => Some(Part::Validator { retained }),
        Some("validator") => {
            let hint = "take `ask`, `capacity`, `classes`, `threads`, `hours`, `maxBlocks` and \
                        `presigned` away: they are a worker's";
            fields.wrong(node, "a validator sells no work", hint);
            None
        }
        Some("worker") if retained.is_some() => {
            let hint = "take `retainSlots` away: it is a validator's";
            fields.wrong(node, "a worker hands on no log", hint);
            None
        }
        Some("worker") => Some(Part::Worker(fleet)),
        _ => {
            fields.wrong(node, "`kind` is validator or worker", "write one of them");
            None
        }
    }
}
