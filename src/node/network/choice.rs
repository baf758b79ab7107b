//! Which network is meant: by a name that this user gave it, by its files, or by what was chosen
//! before. Never guesses: a name that nobody knows is an error.

use super::fields::{self, Fields, quoted};
use super::founding::SEED_FILE;
use super::{Document, NETWORK_FILE, Network, NetworkError, folder, named};
use crate::domain::manifest::suggest;
use crate::domain::milestone::Checkpoint;
use crate::effects::draft::Draft;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What means the network in this process, whatever was chosen before.
pub const EMBEDDED: &str = "embedded";

/// What a user calls a network, and who the user is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its `network.yaml`.
    pub network: PathBuf,
    /// The key that pays.
    pub key: Option<PathBuf>,
    /// Credentials for NATS that take the place of the network's.
    pub credentials: Option<PathBuf>,
    /// A checkpoint that takes the place of the network's.
    pub checkpoint: Option<Checkpoint>,
}

/// All contexts of a user: `~/.config/ohc/config.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contexts {
    /// The one that is meant where nothing is said.
    pub current: Option<String>,
    /// By name.
    pub all: BTreeMap<String, Context>,
}

/// What the environment says about files.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The file of the contexts, if there can be one.
    pub config: Option<PathBuf>,
    /// The folder of what programs keep.
    pub data: Option<PathBuf>,
    /// `OHC_NETWORK`
    pub network: Option<String>,
}

impl Surroundings {
    /// Those of this process: `OHC_CONFIG`, else `ohc/config.yaml` in `XDG_CONFIG_HOME` or
    /// `~/.config`; `XDG_DATA_HOME` or `~/.local/share`; `OHC_NETWORK`.
    #[must_use]
    pub fn of_process() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let below = |name: &str, usual: &str| {
            let home = || set("HOME").map(|home| PathBuf::from(home).join(usual));
            set(name).map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home)
        };
        let usual = || below("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("ohc/config.yaml"));
        Self {
            config: set("OHC_CONFIG").map(PathBuf::from).or_else(usual),
            data: below("XDG_DATA_HOME", ".local/share"),
            network: set("OHC_NETWORK").and_then(|name| name.into_string().ok()),
        }
    }
}

/// The network that is meant, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// What it is and how it is reached, with the credentials of the context.
    pub network: Network,
    /// What the user calls it.
    pub name: String,
    /// The key that pays, if there is one.
    pub key: Option<PathBuf>,
    /// Where this user's copy of the log and of artifacts is.
    pub home: PathBuf,
}

/// The network that was `asked` for by a name or a path, else that of `OHC_NETWORK`, else the
/// current context; none where none of them is set, or where they say `embedded`.
pub fn choose(asked: Option<&str>, around: &Surroundings) -> Result<Option<Chosen>, NetworkError> {
    let asked = asked.or(around.network.as_deref());
    if asked.is_some_and(is_path) {
        return by_path(asked.map(Path::new).unwrap_or(Path::new(".")), around).map(Some);
    }
    let contexts = Contexts::read(around)?;
    let Some(name) = asked.or(contexts.current.as_deref()).filter(|name| *name != EMBEDDED) else {
        return Ok(None);
    };
    let context = contexts.get(name)?;
    let mut network = Network::read(&context.network)?;
    network.credentials = context.credentials.clone().or(network.credentials);
    network.checkpoint = context.checkpoint.or(network.checkpoint);
    let home = home(name, &network, around);
    Ok(Some(Chosen { network, name: name.to_owned(), key: context.key.clone(), home }))
}

/// Whether a text names files rather than a context.
fn is_path(text: &str) -> bool {
    text.contains('/') || text.starts_with('.') || text.ends_with(".yaml")
}

/// A network by its files; the key of the client that was founded with it lies beside them.
fn by_path(path: &Path, around: &Surroundings) -> Result<Chosen, NetworkError> {
    let mut network = Network::read(path)?;
    let beside = |file: &str| {
        Some(folder(&network.file).join("client").join(file)).filter(|path| path.exists())
    };
    let (key, seed) = (beside("key.pem"), beside(SEED_FILE));
    network.credentials = network.credentials.or(seed);
    let (name, home) = (network.name.clone(), home(&network.name, &network, around));
    Ok(Chosen { network, name, key, home })
}

/// Networks of one name may follow each other: their logs are not one.
fn home(name: &str, network: &Network, around: &Surroundings) -> PathBuf {
    let data = around.data.clone().unwrap_or_else(|| folder(&network.file).join("client"));
    data.join("ohc/networks").join(format!("{name}-{}", network.id().0.short()))
}

impl Contexts {
    /// The contexts of this user; none where there is no file.
    pub fn read(around: &Surroundings) -> Result<Self, NetworkError> {
        let Some(path) = around.config.as_deref().filter(|path| path.exists()) else {
            return Ok(Self::default());
        };
        let base = folder(path);
        let known = &["current-context", "contexts"];
        fields::read(path, (Document::Contexts, known), |fields| {
            let current = fields.maybe("current-context", "a name", named);
            Some(Self { current, all: contexts(fields, base) })
        })
    }

    /// The context of a name.
    pub fn get(&self, name: &str) -> Result<&Context, NetworkError> {
        self.all.get(name).ok_or_else(|| {
            let near = suggest(name, self.all.keys().map(String::as_str));
            let is_here = Path::new(name).join(NETWORK_FILE).is_file();
            let near = is_here.then(|| format!("did you mean the folder `./{name}`?")).or(near);
            let near = near.map(|near| format!(" ({near})"));
            NetworkError::Unknown { name: name.to_owned(), near }
        })
    }

    /// Takes a network in under a name, whose files are read first; another one of that name is
    /// replaced. Without a `key` it is that of the client who lies beside them.
    pub fn add(
        &mut self,
        name: &str,
        path: &Path,
        (key, checkpoint): (Option<&Path>, Option<Checkpoint>),
    ) -> Result<Network, NetworkError> {
        if named(name).is_none() || name == EMBEDDED {
            return Err(NetworkError::Name { name: name.to_owned() });
        }
        let network = Network::read(path)?;
        let whole = |path: &Path| {
            path.canonicalize().map_err(|source| NetworkError::Io {
                doing: "find",
                path: path.to_owned(),
                source,
            })
        };
        let beside = |file: &str| {
            Some(folder(&network.file).join("client").join(file)).filter(|path| path.exists())
        };
        let key = key.map(Path::to_owned).or_else(|| beside("key.pem"));
        let key = key.map(|key| whole(&key)).transpose()?;
        let credentials = beside(SEED_FILE).map(|seed| whole(&seed)).transpose()?;
        let context = Context { network: whole(&network.file)?, key, credentials, checkpoint };
        self.all.insert(name.to_owned(), context);
        Ok(network)
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self, around: &Surroundings) -> Result<(), NetworkError> {
        let nowhere = || NetworkError::Founding {
            what: "there is no place for a configuration: HOME is not set".into(),
            hint: "set HOME, or OHC_CONFIG to a file",
        };
        let path = around.config.as_deref().ok_or_else(nowhere)?;
        let failed =
            |source: io::Error| NetworkError::Io { doing: "write", path: path.to_owned(), source };
        fs::create_dir_all(folder(path)).map_err(failed)?;
        Draft::of(path, self.text().as_bytes()).and_then(Draft::place).map_err(failed)
    }

    fn text(&self) -> String {
        let mut text = String::from("# Networks that this user knows; `ohc network` writes it.\n");
        if let Some(current) = &self.current {
            let _ = writeln!(text, "current-context: {current}");
        }
        text.push_str(if self.all.is_empty() { "contexts: {}\n" } else { "contexts:\n" });
        for (name, Context { network, key, credentials, checkpoint }) in &self.all {
            let _ = writeln!(text, "  {name}:");
            let lines = [("network", Some(network)), ("key", key.as_ref())];
            for (key, path) in lines.into_iter().chain([("credentials", credentials.as_ref())]) {
                if let Some(path) = path {
                    let _ = writeln!(text, "    {key}: {}", quoted(&path.display().to_string()));
                }
            }
            if let Some(checkpoint) = checkpoint {
                let _ = writeln!(text, "    checkpoint: \"{checkpoint}\"");
            }
        }
        text
    }
}

fn contexts(fields: &mut Fields<'_>, base: &Path) -> BTreeMap<String, Context> {
    let Some(node) = fields.get("contexts") else { return BTreeMap::new() };
    let names = node.entries().iter().map(|(key, node)| (key.text.clone(), node));
    let known = ["network", "key", "credentials", "checkpoint"];
    let one = |(name, node)| {
        let context = fields.below(node, &known, |fields| {
            let network = fields.needed_text("network").map(|text| base.join(text))?;
            let (key, credentials) = (fields.path("key", base), fields.path("credentials", base));
            let checkpoint = fields.checkpoint();
            Some(Context { network, key, credentials, checkpoint })
        });
        context.map(|context| (name, context))
    };
    let contexts: Vec<_> = names.map(one).collect();
    contexts.into_iter().flatten().collect()
}
