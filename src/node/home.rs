//! The home of an embedded network: one folder that holds its keys, its log and its artifacts.
//! Never holds anything that cannot be rebuilt, but for the keys and the log.

use std::path::{Path, PathBuf};

/// Folders below that are looked into for another home.
const NEAR_MAX: usize = 1_000;

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

    /// Another home that was begun nearby: in a folder above, or in one right below.
    #[must_use]
    pub fn near(&self, start: &Path) -> Option<Self> {
        let start = start.canonicalize().ok()?;
        let root = self.dir.parent().unwrap_or(&start);
        let below = [&start, root].map(|folder| std::fs::read_dir(folder).into_iter().flatten());
        let below = below.into_iter().flatten().flatten().take(NEAR_MAX).map(|entry| entry.path());
        let folders = start.ancestors().map(Path::to_path_buf).chain(below);
        let homes = folders.map(|folder| Self::at(&folder.join(".ohc")));
        homes.into_iter().find(|home| home.exists() && home.dir != self.dir)
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

    /// The file that says whose votes are in the log: those of a validator.
    #[must_use]
    pub fn voter(&self) -> PathBuf {
        self.dir.join("voter")
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

    #[test]
    fn another_home_is_found_above_and_right_below() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (deep, begun) = (root.join("a/b"), root.join("a/.ohc"));
        std::fs::create_dir_all(&deep).unwrap();
        let near = |start: &Path| Home::find(None, start).near(start);
        assert_ne!(near(&deep), Some(Home::at(&begun)));
        std::fs::create_dir_all(begun.join("log")).unwrap();
        let found = Some(Home::at(&begun));
        assert_eq!([near(&root), near(&deep)], [found.clone(), found]);
        // Where a repository moves it to its root.
        std::fs::create_dir(root.join(".git")).unwrap();
        assert_eq!(near(&root.join("a")), Some(Home::at(&begun)));
    }
}
