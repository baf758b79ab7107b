//! The store against crashes and damage. Never needs fjall's word for what is on the disk.

use super::*;
use tempfile::TempDir;

fn slot(height: u64) -> Vec<u8> {
    (0..20 + height % 7).map(|n| (n * height) as u8).collect()
}

fn fill(store: &Store, heights: std::ops::RangeInclusive<u64>) {
    for height in heights {
        store.append(Height(height), &slot(height)).unwrap();
    }
}

/// A closed store of `slots` slots, and its one journal with no zeros behind the last record.
fn closed(slots: u64) -> (TempDir, PathBuf, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path()).unwrap();
    fill(&store, 1..=slots);
    drop(store);
    let journal = dir.path().join("db/0.jnl");
    let mut bytes = fs::read(&journal).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    (dir, journal, bytes)
}

#[track_caller]
fn check(dir: &Path, slots: u64) -> Recovery {
    let (store, recovery) = Store::open(dir).unwrap();
    assert_eq!(recovery.slots, slots);
    assert_eq!(store.last(), (slots > 0).then_some(Height(slots)));
    let expect: Vec<_> = (1..=slots).map(|n| (Height(n), slot(n))).collect();
    assert_eq!(store.iter().collect::<Result<Vec<_>, _>>().unwrap(), expect);
    recovery
}

/// Copies a closed store: each damage gets a fresh one. The journal may end where its data does.
fn copy(from: &Path, journal: &[u8]) -> TempDir {
    fn tree(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            if from.is_dir() {
                tree(&from, &to);
            } else if from.extension().is_none_or(|extension| extension != "jnl") {
                fs::copy(&from, &to).unwrap();
            }
        }
    }
    let to = tempfile::tempdir().unwrap();
    tree(from, to.path());
    fs::write(to.path().join("db/0.jnl"), journal).unwrap();
    to
}

#[test]
fn what_was_appended_is_there_after_opening_again() {
    let (dir, ..) = closed(30);
    assert_eq!(check(dir.path(), 30).cut, None);
    let (store, _) = Store::open(dir.path()).unwrap();
    fill(&store, 31..=33);
    assert_eq!(store.read(Height(32)).unwrap(), Some(slot(32)));
    assert_eq!(store.read(Height(34)).unwrap(), None);
    assert_eq!(store.read(Height(0)).unwrap(), None);
    assert_eq!(store.iter_from(Height(32)).count(), 2);
    drop(store);
    check(dir.path(), 33);
}

#[test]
fn only_the_next_slot_is_appended() {
    let (dir, ..) = closed(2);
    let (store, _) = Store::open(dir.path()).unwrap();
    for got in [0, 1, 2, 4, u64::MAX] {
        let refused = store.append(Height(got), b"x").unwrap_err();
        assert!(matches!(refused, StoreError::OutOfOrder { next: Height(3), .. }), "{refused}");
    }
    let long = vec![0; RECORD_BYTES_MAX + 1];
    assert!(matches!(store.append(Height(3), &long), Err(StoreError::TooLong { .. })));
    store.append_many(Height(3), &[&slot(3), &slot(4), &slot(5)]).unwrap();
    store.append_many(Height(6), &[]).unwrap();
    drop(store);
    check(dir.path(), 5);
}

#[test]
fn own_records_are_kept_and_replaced_beside_the_log() {
    let (dir, ..) = closed(3);
    let (store, _) = Store::open(dir.path()).unwrap();
    store.put_own(b"vote", b"one").unwrap();
    store.put_own(b"vote", b"two").unwrap();
    store.put_own(b"", b"").unwrap();
    assert!(store.put_own(&[0; NAME_BYTES_MAX + 1], b"").is_err());
    drop(store);
    check(dir.path(), 3);
    let (store, _) = Store::open(dir.path()).unwrap();
    assert_eq!(store.get_own(b"vote").unwrap().as_deref(), Some(b"two".as_slice()));
    assert_eq!(store.get_own(b"").unwrap().as_deref(), Some(b"".as_slice()));
    assert_eq!(store.get_own(b"veto").unwrap(), None);
}

#[test]
fn a_second_opening_is_told_that_the_store_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Store::open(dir.path()).unwrap();
    let refused = Store::open(dir.path()).err().unwrap();
    assert!(matches!(refused, StoreError::Busy { .. }));
    assert!(refused.to_string().contains("hint: "), "{refused}");
}

#[test]
fn a_journal_cut_at_any_byte_of_the_last_slot_loses_that_slot_alone() {
    let (dir, _, whole) = closed(4);
    let (_, _, before) = closed(3);
    assert_eq!(whole[..before.len()], before, "a store is the same bytes every time");
    for end in before.len()..whole.len() {
        for zeros in [0, 3000] {
            let torn = [&whole[..end], &vec![0; zeros]].concat();
            let dir = copy(dir.path(), &torn);
            let cut = check(dir.path(), 3).cut.map_or(0, |cut| cut.bytes);
            let written = torn[before.len()..].iter().rposition(|byte| *byte != 0);
            assert_eq!(cut, written.map_or(0, |at| at as u64 + 1), "cut at {end}");
            let (store, recovery) = Store::open(dir.path()).unwrap();
            assert_eq!(recovery.cut, None, "what is cut once is gone");
            fill(&store, 4..=6);
            drop(store);
            check(dir.path(), 6);
        }
    }
}

#[test]
fn a_long_write_whose_middle_never_reached_the_disk_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path()).unwrap();
    fill(&store, 1..=2);
    store.append(Height(3), &[7; 20_000]).unwrap();
    drop(store);
    let journal = dir.path().join("db/0.jnl");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[8192..12_288].fill(0);
    fs::write(&journal, bytes).unwrap();
    assert!(check(dir.path(), 2).cut.is_some());
}

#[test]
fn any_flipped_byte_of_the_journal_is_found_and_located() {
    let (dir, _, whole) = closed(4);
    let (_, _, three) = closed(3);
    let (_, _, two) = closed(2);
    let starts = [two.len(), three.len(), whole.len()];
    let mut located = 0;
    for at in two.len()..whole.len() {
        for flip in [1, 0x80] {
            let mut flipped = whole.clone();
            flipped[at] ^= flip;
            let dir = copy(dir.path(), &flipped);
            let height = 2 + starts.iter().filter(|start| **start <= at).count() as u64;
            match Store::open(dir.path()) {
                // The very last bytes: a write that lacks its end cannot be told from one that
                // was interrupted; it is reported, not hidden.
                Ok((_, Recovery { slots, cut: Some(_) })) => {
                    assert!((slots, height) == (3, 4) && at + 4 >= whole.len(), "byte {at}");
                }
                // Numbers of fjall's own that carry nothing of ours: all slots are as they were.
                Ok((store, Recovery { cut: None, .. })) => {
                    let slots: Vec<_> = store.iter().map(Result::unwrap).collect();
                    assert_eq!(slots, (1..=4).map(|n| (Height(n), slot(n))).collect::<Vec<_>>());
                }
                Err(StoreError::Corrupt { height: Some(said), .. }) => {
                    // A sequence number that leaps shows at the next slot, if not in its own.
                    assert!(said.0 == height || said.0 == height + 1, "byte {at}: {said}");
                    located += 1;
                }
                // fjall's own checksum, over a slot that is as it was.
                Err(other) => assert!(matches!(other, StoreError::Corrupt { .. }), "{other}"),
            }
        }
    }
    let flips = 2 * (whole.len() - two.len());
    assert!(located * 10 > flips * 7, "{located} of {flips} were located");
}

#[test]
fn damage_in_a_table_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path()).unwrap();
    fill(&store, 1..=200);
    store.keyspace.rotate_memtable_and_wait().unwrap();
    drop(store);
    let tables = dir.path().join("db/keyspaces/1/tables");
    let table = fs::read_dir(&tables).unwrap().next().unwrap().unwrap().file_name();
    let whole = fs::read(tables.join(&table)).unwrap();
    let mut found = 0;
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let dir = copy(dir.path(), &[]);
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(dir.path().join("db/keyspaces/1/tables").join(&table), flipped).unwrap();
        let slots = Store::open(dir.path())
            .and_then(|(store, _)| store.iter().collect::<Result<Vec<_>, _>>());
        match slots {
            Ok(slots) => assert!(slots.iter().all(|(at, bytes)| *bytes == slot(at.0))),
            Err(StoreError::Corrupt { .. }) => found += 1,
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(found > 20, "{found} of 60: the slots take up most of a table");
}

#[test]
fn a_creation_that_was_interrupted_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("db/keyspaces/0")).unwrap();
    fs::write(dir.path().join("db/0.jnl"), [0; 100]).unwrap();
    fs::write(dir.path().join("db/version"), []).unwrap();
    fs::write(dir.path().join("creating"), []).unwrap();
    check(dir.path(), 0);
    assert!(!dir.path().join("creating").exists());
    let (store, _) = Store::open(dir.path()).unwrap();
    fill(&store, 1..=2);
    drop(store);
    check(dir.path(), 2);
}

#[test]
fn a_store_without_its_version_is_not_taken_for_a_new_one() {
    let (dir, ..) = closed(2);
    fs::remove_file(dir.path().join("db/version")).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Corrupt { .. })));
}

#[test]
fn after_a_failed_write_nothing_more_is_written() {
    let (dir, ..) = closed(2);
    let (store, _) = Store::open(dir.path()).unwrap();
    store.writer.lock().unwrap().poisoned = true;
    assert!(matches!(store.append(Height(3), b"x"), Err(StoreError::Poisoned)));
    assert!(matches!(store.put_own(b"vote", b"x"), Err(StoreError::Poisoned)));
    assert_eq!(store.read(Height(2)).unwrap(), Some(slot(2)));
}

#[test]
fn a_full_disk_is_called_so() {
    let full = io_error(Path::new("x"), "write")(io::ErrorKind::StorageFull.into());
    assert!(matches!(full, StoreError::Full { .. }));
    let fixed = io_error(Path::new("x"), "open")(io::ErrorKind::ReadOnlyFilesystem.into());
    assert!(fixed.to_string().contains("copy the folder"), "{fixed}");
    let full = fjall::Error::Storage(fjall::LsmError::Io(io::ErrorKind::StorageFull.into()));
    assert!(matches!(fjall_error(Path::new("x"), full, None), StoreError::Full { .. }));
}

#[test]
fn r6_votes_are_there_until_their_slot_is() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path()).unwrap().0;
    let store = open();
    fill(&store, 1..=2);
    assert!(matches!(store.append_votes(Height(2), b"late"), Err(StoreError::OutOfOrder { .. })));
    store.append_votes(Height(3), b"one").unwrap();
    drop(store);
    let store = open();
    store.append_votes(Height(3), b"two").unwrap();
    assert_eq!(store.votes().unwrap(), [b"one", b"two"]);
    drop(store);
    let store = open();
    assert_eq!(store.votes().unwrap(), [b"one", b"two"]);
    store.append(Height(3), &slot(3)).unwrap();
    assert_eq!(store.votes().unwrap(), Vec::<Vec<u8>>::new());
    drop(store);
    assert_eq!(open().votes().unwrap(), Vec::<Vec<u8>>::new());
    check(dir.path(), 3);
}

/// What is in a log that begins after a slot and ends with another.
#[track_caller]
fn holds(store: &Store, base: u64, last: u64) {
    assert_eq!((store.base(), store.last()), (Height(base), Some(Height(last))));
    let heights: Vec<u64> = store.iter().map(|slot| slot.unwrap().0.0).collect();
    assert_eq!(heights, (base + 1..=last).collect::<Vec<_>>());
    assert_eq!(store.read(Height(base)).unwrap(), None);
    let first = store.iter_from(Height(1)).next().map(|first| first.unwrap().0);
    assert_eq!(first, (last > base).then_some(Height(base + 1)));
    // Nothing is left of the others.
    let keys = store.keyspace.range([LOG].to_vec()..=log_key(Height(base))).count();
    assert_eq!(keys, 0);
}

#[test]
fn a_pruned_log_begins_later_and_goes_on_as_before() {
    let (dir, ..) = closed(1_500);
    let (store, _) = Store::open(dir.path()).unwrap();
    store.prune(Height(1_400)).unwrap();
    store.prune(Height(1_000)).unwrap();
    store.prune(Height(9_000)).unwrap();
    fill(&store, 1_501..=1_510);
    holds(&store, 1_400, 1_510);
    drop(store);
    holds(&Store::open(dir.path()).unwrap().0, 1_400, 1_510);
}

#[test]
fn what_a_crash_leaves_of_pruned_slots_goes_at_the_next_start() {
    let (dir, ..) = closed(30);
    let (store, _) = Store::open(dir.path()).unwrap();
    let mut writer = store.writer().unwrap();
    store.write(&mut writer, &[(BASE.to_vec(), &20u64.to_be_bytes())]).unwrap();
    drop(writer);
    drop(store);
    holds(&Store::open(dir.path()).unwrap().0, 20, 30);
}

#[test]
fn a_log_can_begin_again_where_nobody_has_what_lies_between() {
    let (dir, ..) = closed(30);
    let (store, _) = Store::open(dir.path()).unwrap();
    store.append_votes(Height(31), b"votes").unwrap();
    assert!(matches!(store.begin_at(Height(30), &[]), Err(StoreError::OutOfOrder { .. })));
    let stones = [(Height(40), b"change".to_vec()), (Height(500), b"state".to_vec())];
    store.begin_at(Height(500), &stones).unwrap();
    holds(&store, 500, 500);
    assert_eq!(store.votes().unwrap(), Vec::<Vec<u8>>::new(), "they were about another slot");
    fill(&store, 501..=503);
    drop(store);
    let store = Store::open(dir.path()).unwrap().0;
    holds(&store, 500, 503);
    let after = |height| store.milestones(Height(height)).map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(after(0), stones);
    assert_eq!(after(40), stones[1..]);
    assert_eq!(store.milestone(Height(40)).unwrap(), Some(b"change".to_vec()));
}

#[test]
fn a_torn_write_after_a_pruning_is_cut_and_a_damaged_one_is_refused() {
    let (dir, ..) = closed(30);
    let (store, _) = Store::open(dir.path()).unwrap();
    store.prune(Height(20)).unwrap();
    fill(&store, 31..=32);
    drop(store);
    let journal = dir.path().join("db/0.jnl");
    let mut bytes = fs::read(&journal).unwrap();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    let torn = copy(dir.path(), &bytes[..bytes.len() - 3]);
    let (store, recovery) = Store::open(torn.path()).unwrap();
    assert!(recovery.cut.is_some());
    holds(&store, 20, 31);
    // A byte in a slot before the pruning: what follows was finished.
    let at = bytes.windows(slot(25).len()).position(|window| window == slot(25)).unwrap();
    bytes[at] ^= 1;
    let damaged = copy(dir.path(), &bytes);
    assert!(matches!(Store::open(damaged.path()), Err(StoreError::Corrupt { .. })));
}
