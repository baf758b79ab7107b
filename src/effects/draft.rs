//! Files that take their place whole or not at all: they are written beside it first.
//! Never writes through a link: a folder that somebody else made may have one where a draft is to
//! be, to a file that is none of their business.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file that is being written beside its place, under the name of it and `.new`. Removed if it
/// does not take its place.
#[derive(Debug)]
pub struct Draft {
    file: BufWriter<File>,
    at: PathBuf,
    place: PathBuf,
    is_placed: bool,
}

impl Draft {
    /// An empty one. What an earlier process left there goes.
    pub fn create(place: &Path) -> io::Result<Self> {
        let at = beside(place);
        match fs::remove_file(&at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = BufWriter::new(File::create_new(&at)?);
        Ok(Self { file, at, place: place.to_owned(), is_placed: false })
    }

    /// One that has these bytes, durable.
    pub fn of(place: &Path, bytes: &[u8]) -> io::Result<Self> {
        let mut draft = Self::create(place)?;
        draft.write_all(bytes)?;
        draft.sync()?;
        Ok(draft)
    }

    /// Makes what was written durable.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }

    /// Takes the place of what is there: a link is replaced, and what it leads to stays.
    pub fn place(mut self) -> io::Result<()> {
        self.file.flush()?;
        fs::rename(&self.at, &self.place)?;
        self.is_placed = true;
        Ok(())
    }

    /// Removes what an earlier process left beside a file. One that stays goes with the next.
    pub fn sweep(place: &Path) {
        let _ = fs::remove_file(beside(place));
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_placed {
            // On a full disk it is in the way of whoever wants to make room.
            let _ = fs::remove_file(&self.at);
        }
    }
}

fn beside(place: &Path) -> PathBuf {
    let mut at = place.as_os_str().to_owned();
    at.push(".new");
    at.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_old_bytes_or_all_the_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("card.json");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        Draft::of(&place, b"old").unwrap().place().unwrap();
        let mut draft = Draft::create(&place).unwrap();
        draft.write_all(b"half").unwrap();
        drop(draft);
        assert_eq!((fs::read(&place).unwrap(), names()), (b"old".to_vec(), 1));
        fs::write(beside(&place), "what a crash left").unwrap();
        Draft::of(&place, b"new").unwrap().place().unwrap();
        assert_eq!((fs::read(&place).unwrap(), names()), (b"new".to_vec(), 1));
    }

    #[cfg(unix)]
    #[test]
    fn what_a_link_leads_to_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let [place, victim] = ["card.json", "victim"].map(|name| folder.path().join(name));
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, beside(&place)).unwrap();
        std::os::unix::fs::symlink(&victim, &place).unwrap();
        Draft::of(&place, b"theirs").unwrap().place().unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
        assert_eq!(fs::read(&place).unwrap(), b"theirs");
        assert!(!place.is_symlink());
    }
}
