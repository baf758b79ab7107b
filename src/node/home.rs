//! The home of an embedded network: one folder that holds its keys, its log and its artifacts.
//! Never holds anything that cannot be rebuilt, but for the keys and the log.

use std::path::{Path, PathBuf};

/// The folder `.ohc` and what lies in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// The folder that was asked for, or `.ohc` beside the repository of `start`: at the root of
    /// its git repository if it is in one, else in `start` itself.
    #[must_use]
    pub fn find(asked: Option<&Path>, start: &Path) -> Self {
        if let Some(dir) = asked {
            return Self { dir: dir.to_path_buf() };
        }
        let start = start.canonicalize().unwrap_or_else(|_| start.to_path_buf());
        let root = start.ancestors().find(|dir| dir.join(".git").exists());
        Self { dir: root.unwrap_or(&start).join(".ohc") }
    }

    /// The home in a folder.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// The folder itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether a network was ever begun here.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.log().exists()
    }

    /// The log of slots.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The state after some slot, to start from.
    #[must_use]
    pub fn snapshot(&self) -> PathBuf {
        self.dir.join("snapshot")
    }

    /// The states that the log commits to, by the heights of their slots.
    #[must_use]
    pub fn handouts(&self) -> PathBuf {
        self.dir.join("handouts")
    }

    /// The artifacts, by digest.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.dir.join("artifacts")
    }

    /// The folder of the keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// What sources were found to be.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        self.dir.join("pins")
    }

    /// What was written down about each run while it happened.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.dir.join("runs")
    }

    /// The folder of the socket on which the process listens that has the log open.
    #[must_use]
    pub fn attach(&self) -> PathBuf {
        self.dir.join("attach")
    }

    /// The file of one key.
    #[must_use]
    pub fn key(&self, name: &str) -> PathBuf {
        self.keys().join(format!("{name}.pem"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_at_the_root_of_the_repository() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let deep = root.join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(Home::find(None, &deep).dir(), deep.join(".ohc"));
        std::fs::create_dir(root.join(".git")).unwrap();
        assert_eq!(Home::find(None, &deep).dir(), root.join(".ohc"));
        assert_eq!(Home::find(Some(Path::new("x")), &deep).dir(), Path::new("x"));
    }
}
