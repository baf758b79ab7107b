//! A disk: what was appended is lost in a crash unless it was synced.
//! Never reorders what it keeps.

use ohc::domain::slot::Slot;

#[derive(Default)]
pub struct Disk {
    durable: Vec<Slot>,
    unsynced: Vec<Slot>,
}

impl Disk {
    pub fn append(&mut self, slot: Slot) {
        self.unsynced.push(slot);
    }

    pub fn sync(&mut self) {
        self.durable.append(&mut self.unsynced);
    }

    pub fn crash(&mut self) {
        self.unsynced.clear();
    }

    /// What a reader finds now; after a crash, only what is durable.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.durable.iter().chain(&self.unsynced)
    }
}
