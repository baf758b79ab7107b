//! A disk: what was appended is lost in a crash unless it was synced; the record that was being
//! written may be torn, a bit of the tail may turn, and a full disk takes nothing.
//! Never says which record is bad: whoever reads finds out by its digest.

use ohc::base::canon::{Decode, Digest, Encode};
use ohc::domain::slot::Slot;

struct Record {
    bytes: Vec<u8>,
    sum: Digest,
    /// What only the world knows.
    is_bad: bool,
}

impl Record {
    fn new(slot: &Slot) -> Self {
        let bytes = slot.to_bytes();
        Self { sum: Digest::of(&bytes), bytes, is_bad: false }
    }

    fn read(&self) -> Option<Slot> {
        let is_whole = Digest::of(&self.bytes) == self.sum;
        is_whole.then(|| Slot::from_bytes(&self.bytes).ok()).flatten()
    }
}

/// The disk would not take it.
#[derive(Debug)]
pub struct Full;

#[derive(Default)]
pub struct Disk {
    durable: Vec<Record>,
    unsynced: Vec<Record>,
    pub is_full: bool,
}

impl Disk {
    pub fn append(&mut self, slot: &Slot) -> Result<(), Full> {
        if self.is_full {
            return Err(Full);
        }
        self.unsynced.push(Record::new(slot));
        Ok(())
    }

    pub fn sync(&mut self) {
        self.durable.append(&mut self.unsynced);
    }

    /// The power goes. If the head was writing, `torn` of the first unsynced record may be there.
    pub fn crash(&mut self, torn: Option<u64>) {
        let writing = self.unsynced.drain(..).next();
        if let (Some(mut record), Some(torn)) = (writing, torn) {
            record.bytes.truncate(torn as usize % record.bytes.len());
            record.is_bad = true;
            self.durable.push(record);
        }
    }

    /// One bit of the last record turns.
    pub fn rot(&mut self, bit: u64) {
        if let Some(last) = self.durable.last_mut() {
            let at = bit as usize % (last.bytes.len() * 8);
            last.bytes[at / 8] ^= 1 << (at % 8);
            last.is_bad = true;
        }
    }

    /// What a node finds when it starts: everything up to the first record that is not whole,
    /// which is cut off with all that follows.
    pub fn recover(&mut self) -> Vec<Slot> {
        let slots: Vec<Slot> = self.durable.iter().map_while(Record::read).collect();
        self.durable.truncate(slots.len());
        slots
    }

    /// Slots that outlive a crash. Only the last record can be damaged.
    pub fn durable(&self) -> usize {
        let is_bad = self.durable.last().is_some_and(|last| last.is_bad);
        self.durable.len() - usize::from(is_bad)
    }

    /// Slots that are there as long as nothing happens.
    pub fn written(&self) -> usize {
        self.durable() + self.unsynced.len()
    }
}

#[test]
fn what_is_torn_or_rotten_is_cut_off_and_the_rest_is_read() {
    use crate::controls::slots;
    let slots = slots(4);
    let filled = || {
        let mut disk = Disk::default();
        slots.iter().take(3).for_each(|slot| disk.append(slot).unwrap());
        disk.sync();
        disk
    };
    for damage in 0..2_000 {
        let mut rotten = filled();
        rotten.rot(damage * 7);
        assert_eq!(rotten.recover(), slots[..2]);
        let mut torn = filled();
        torn.append(&slots[3]).unwrap();
        torn.crash(Some(damage));
        assert_eq!(torn.recover(), slots[..3]);
        assert_eq!(torn.written(), 3);
    }
}
