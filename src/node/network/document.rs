//! Which of our files one is, by the keys that it has. Never says whether it is a good one.

use crate::domain::manifest::node::Node;

/// A file that may be given for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The `config.yaml` of a validator or a worker.
    Node,
    /// A `network.yaml`.
    Network,
    /// A `genesis.yaml`.
    Genesis,
    /// The networks that somebody knows.
    Contexts,
    /// A manifest.
    Pipeline,
}

/// Keys that stand together in one of them alone.
const MARKS: &[(&[&str], Document)] = &[
    (&["apiVersion"], Document::Pipeline),
    (&["metadata", "spec"], Document::Pipeline),
    (&["key", "home"], Document::Node),
    (&["kind", "network"], Document::Node),
    (&["genesis", "nats"], Document::Network),
    (&["genesis", "store"], Document::Network),
    (&["salt", "allocations"], Document::Genesis),
    (&["params", "allocations"], Document::Genesis),
    (&["contexts"], Document::Contexts),
    (&["current-context"], Document::Contexts),
];

impl Document {
    /// What a file seems to be; none where its keys do not tell.
    pub(super) fn of(file: &Node) -> Option<Self> {
        let has = |name: &&str| file.entries().iter().any(|(key, _)| key.text == **name);
        let found = MARKS.iter().find(|(names, _)| names.iter().all(&has));
        found.map(|(_, document)| *document)
    }

    /// What it is, in words.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Node => "the configuration of a node",
            Self::Network => "the file of a network",
            Self::Genesis => "the genesis of a network",
            Self::Contexts => "the list of the networks that you know",
            Self::Pipeline => "the manifest of a pipeline",
        }
    }

    /// What to do where this one was given and another one is wanted.
    pub(super) const fn instead_of(self, wanted: Self) -> &'static str {
        match (self, wanted) {
            (Self::Pipeline, _) => "`ohc apply` takes it",
            (_, Self::Node) => {
                "give the `config.yaml` of the node: `ohc network init` writes a folder with one \
                 for each"
            }
            (_, Self::Network) => "give the `network.yaml` that the founders gave out",
            (_, Self::Genesis) => "name the `genesis.yaml` that the founders gave out",
            (_, Self::Contexts) => {
                "move it away: `ohc network add NAME PATH` begins a list of networks"
            }
            (_, Self::Pipeline) => "give a manifest",
        }
    }
}
