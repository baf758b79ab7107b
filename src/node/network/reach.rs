//! What it takes to reach a network: `network.yaml`. Never says who we are on it.

use super::fields::{self, Fields};
use super::{Document, NETWORK_FILE, NetworkError, folder, named, page, place};
use crate::base::canon::Digest;
use crate::base::keys::{NetworkId, PublicKey};
use crate::domain::genesis::Genesis;
use crate::domain::milestone::Checkpoint;
use crate::effects::bus::{self, Login, Options};
use crate::node::wire::inbox;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Addresses of NATS that are tried.
const NATS_MAX: usize = 64;

/// How a connection to NATS is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of those who may sign the server's, in PEM; the system's if there are none.
    pub ca: Option<PathBuf>,
    /// The certificate that says who we are, in PEM.
    pub cert: Option<PathBuf>,
    /// Its key, in PEM.
    pub key: Option<PathBuf>,
}

/// What it takes to reach a network, and to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// What people call it.
    pub name: String,
    /// The file that said so.
    pub file: PathBuf,
    /// The first page of its history.
    pub genesis: Genesis,
    /// The servers of NATS, any of which will do.
    pub nats: Vec<String>,
    /// Where its artifacts are: an address as of a source, that of a folder or bucket.
    pub store: String,
    /// A file with credentials for NATS: a seed of an nkey, or a JWT and its seed.
    pub credentials: Option<PathBuf>,
    /// How the connection is secured; plain if it says nothing.
    pub tls: Option<Tls>,
    /// What people call some of its keys.
    pub names: BTreeMap<PublicKey, String>,
    /// What its log must lead by, for who joins: where there is none the genesis alone is believed.
    pub checkpoint: Option<Checkpoint>,
    /// Whether validators sign the requests of workers and clients to the store, unless a node says
    /// something else.
    pub is_presigned: bool,
    /// Bytes of artifacts that this node keeps copies of, at the most; no bound for who only asks.
    pub cache: Option<u64>,
}

/// What the file says; nothing in it is missing where no fault was reported.
struct Draft {
    name: Option<String>,
    id: Option<Digest>,
    genesis: Option<PathBuf>,
    store: Option<String>,
    nats: Option<Vec<String>>,
    names: BTreeMap<PublicKey, String>,
    checkpoint: Option<Checkpoint>,
    credentials: Option<PathBuf>,
    tls: Option<Tls>,
    is_presigned: Option<bool>,
}

impl Network {
    /// The network of a `network.yaml`, or of the folder that it lies in, with its genesis, which
    /// can start one.
    pub fn read(path: &Path) -> Result<Self, NetworkError> {
        let file = if path.is_dir() { path.join(NETWORK_FILE) } else { path.to_owned() };
        let base = folder(&file).to_owned();
        const KNOWN: &[&str] = &[
            "name",
            "id",
            "genesis",
            "nats",
            "store",
            "presigned",
            "checkpoint",
            "credentials",
            "tls",
            "names",
        ];
        let draft = fields::read(&file, (Document::Network, KNOWN), |fields| {
            Some(Draft {
                name: fields.maybe("name", "a name", named),
                id: fields.maybe("id", "64 hex digits", |text| text.parse().ok()),
                genesis: fields.needed_text("genesis").map(|text| base.join(text)),
                store: fields.needed_text("store").map(|text| place(&base, &text)),
                nats: servers(fields),
                names: known_keys(fields),
                checkpoint: fields.checkpoint(),
                credentials: fields.path("credentials", &base),
                tls: tls(fields, &base),
                is_presigned: presigned(fields),
            })
        })?;
        let Draft { name, id: asked, genesis: path, store, nats, .. } = draft;
        let Draft { names, checkpoint, credentials, tls, is_presigned, .. } = draft;
        let is_presigned = is_presigned.unwrap_or_default();
        let (path, store) = (path.unwrap_or_default(), store.unwrap_or_default());
        let genesis = page::read(&path)?;
        let found = genesis.network().0;
        if let Some(asked) = asked.filter(|asked| *asked != found) {
            return Err(NetworkError::Other { path, by: file, asked, found });
        }
        let (name, nats) = (name.unwrap_or(genesis.name.clone()), nats.unwrap_or_default());
        Ok(Self {
            name,
            file,
            genesis,
            nats,
            store,
            credentials,
            tls,
            names,
            checkpoint,
            is_presigned,
            cache: None,
        })
    }

    /// How the node with that key connects, and how long it tries at first.
    pub fn bus(&self, key: &PublicKey, patience: Duration) -> Result<Options, NetworkError> {
        let login = match &self.credentials {
            None => Login::Anyone,
            Some(path) if fields::text(path)?.contains("BEGIN NATS USER JWT") => {
                Login::Credentials(path.clone())
            }
            Some(path) => Login::Nkey(path.clone()),
        };
        let tls = match self.tls.clone() {
            None => bus::Tls::default(),
            Some(Tls { ca, cert, key }) => {
                bus::Tls { is_required: true, is_first: false, authorities: ca, own: cert.zip(key) }
            }
        };
        let name = self.names.get(key).cloned().unwrap_or_else(|| key.short());
        let (urls, inbox) = (self.nats.clone(), inbox(key));
        Ok(Options { urls, login, tls, name, inbox, patience, no_echo: false })
    }

    /// Under which everything on it is signed.
    #[must_use]
    pub fn id(&self) -> NetworkId {
        self.genesis.network()
    }
}

fn presigned(fields: &mut Fields<'_>) -> Option<bool> {
    let is_presigned = fields.maybe("presigned", "true or false", |text| text.parse().ok())?;
    let is_s3 = fields.text("store").is_some_and(|store| store.starts_with("s3://"));
    if is_presigned && !is_s3 {
        let node = fields.needed("presigned")?;
        let hint = "take it away, and give workers and clients what opens the store";
        fields.wrong(node, "validators sign requests to stores at s3:// alone", hint);
    }
    Some(is_presigned)
}

fn servers(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let node = fields.needed("nats")?;
    let items = node.items();
    if items.is_empty() || items.len() > NATS_MAX {
        let message = format!("`nats` is a list of 1 to {NATS_MAX} servers");
        fields.wrong(node, message, "such as [\"nats://127.0.0.1:4222\"]");
        return None;
    }
    let is_server = |text: &str| {
        let known = ["nats://", "tls://"].iter().any(|scheme| text.starts_with(scheme));
        (known && !text.contains('@')).then(|| text.to_owned())
    };
    let what = "nats://HOST:PORT or tls://HOST:PORT, without a password";
    items.iter().map(|item| fields.parsed("nats", item, what, is_server)).collect()
}

fn known_keys(fields: &mut Fields<'_>) -> BTreeMap<PublicKey, String> {
    let mut names = BTreeMap::new();
    let Some(node) = fields.get("names") else { return names };
    for (key, value) in node.entries() {
        let name = named(&key.text);
        let public = fields.parsed(&key.text, value, "64 hex digits", |text| text.parse().ok());
        if let (Some(name), Some(public)) = (name, public) {
            names.insert(public, name);
        }
    }
    names
}

pub(super) fn tls(fields: &mut Fields<'_>, base: &Path) -> Option<Tls> {
    let node = fields.get("tls")?;
    let known = ["ca", "cert", "key"];
    let [ca, cert, key] = fields.below(node, &known, |f| known.map(|name| f.path(name, base)));
    if cert.is_some() != key.is_some() {
        fields.wrong(node, "`cert` and `key` belong together", "name both files, or none");
    }
    Some(Tls { ca, cert, key })
}
