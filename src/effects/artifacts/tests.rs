//! The store of a directory: what is put is found, and what is damaged is not handed out. Never
//! asks a store of another machine.

use super::*;
use std::fs::File;

fn run<T>(test: impl AsyncFnOnce(Artifacts, &Path) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(test(Artifacts::open(&dir.path().join("store")).unwrap(), dir.path()))
}

fn file(dir: &Path, digest: Digest) -> PathBuf {
    dir.join("store").join(place(digest).as_ref())
}

#[track_caller]
fn check(name: &str, plain: bool) {
    assert_eq!(check_names(["other", name].into_iter()).is_ok(), plain, "{name:?}");
}

#[test]
fn what_is_put_is_found_under_its_digest_by_another_process() {
    run(async |store, dir| {
        for bytes in [b"".as_slice(), b"model", &[7; 100_000]] {
            assert!(!store.has(Digest::of(bytes)).await.unwrap());
            let digest = store.put(bytes).await.unwrap();
            assert_eq!(digest, Digest::of(bytes));
            let other = Artifacts::open(&dir.join("store")).unwrap();
            assert!(other.has(digest).await.unwrap());
            assert_eq!(other.get(digest).await.unwrap(), bytes);
            assert_eq!(other.put(bytes).await.unwrap(), digest);
        }
    });
}

#[test]
fn missing_and_damaged_are_told_apart_and_damage_is_healed() {
    run(async |store, dir| {
        let digest = Digest::of(b"model");
        let missing = store.get(digest).await.unwrap_err();
        assert!(matches!(missing, ArtifactError::Missing { .. }));
        store.put(b"model").await.unwrap();
        for damage in [b"modem".as_slice(), b"", b"model and more"] {
            fs::write(file(dir, digest), damage).unwrap();
            let damaged = store.get(digest).await.unwrap_err();
            assert!(matches!(damaged, ArtifactError::Damaged { .. }), "{damaged}");
            assert!(damaged.to_string().contains("hint: "));
            store.put(b"model").await.unwrap();
            assert_eq!(store.get(digest).await.unwrap(), b"model");
        }
    });
}

#[test]
fn what_is_known_to_be_there_is_not_written_again() {
    run(async |store, dir| {
        let digest = store.put(b"model").await.unwrap();
        fs::remove_file(file(dir, digest)).unwrap();
        store.put(b"model").await.unwrap();
        assert!(!file(dir, digest).exists(), "the second put touched the disk");
        // A read that misses it ends that.
        store.get(digest).await.unwrap_err();
        store.put(b"model").await.unwrap();
        assert!(file(dir, digest).exists());
    });
}

#[test]
fn a_giant_is_refused_before_it_is_read() {
    run(async |store, dir| {
        let digest = store.put(b"model").await.unwrap();
        let giant = File::create(file(dir, digest)).unwrap();
        giant.set_len(ARTIFACT_BYTES_MAX as u64 + 1).unwrap();
        let refused = store.get(digest).await.unwrap_err();
        assert!(matches!(refused, ArtifactError::TooLarge { .. }));
        store.put(b"model").await.unwrap();
        assert_eq!(store.get(digest).await.unwrap(), b"model");
    });
}

#[test]
fn many_that_put_the_same_at_once_all_succeed() {
    run(async |store, dir| {
        let others: Vec<_> = (0..8).map(|_| Artifacts::open(&dir.join("store")).unwrap()).collect();
        let puts = others.iter().map(|other| other.put(b"same"));
        for put in futures_util::future::join_all(puts).await {
            assert_eq!(put.unwrap(), Digest::of(b"same"));
        }
        assert_eq!(store.get(Digest::of(b"same")).await.unwrap(), b"same");
    });
}

#[test]
fn outputs_are_published_whole_with_the_card_last() {
    run(async |store, dir| {
        let out = dir.join("out/iris");
        let digest = store.put(b"model").await.unwrap();
        let files = [
            ("model.bin", Content::Artifact(digest)),
            ("notes.txt", Content::Bytes(b"notes".to_vec())),
        ];
        store.publish(&out, &files, ("card.json", b"{}")).await.unwrap();
        assert_eq!(fs::read(out.join("model.bin")).unwrap(), b"model");
        assert_eq!(fs::read(out.join("notes.txt")).unwrap(), b"notes");
        assert_eq!(fs::read(out.join("card.json")).unwrap(), b"{}");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 3, "no draft is left");

        // The same again touches nothing.
        let before = fs::metadata(out.join("card.json")).unwrap().modified().unwrap();
        store.publish(&out, &files, ("card.json", b"{}")).await.unwrap();
        let after = fs::metadata(out.join("card.json")).unwrap().modified().unwrap();
        assert_eq!(before, after);

        // A missing artifact leaves what is there as it is.
        let gone = [("model.bin", Content::Artifact(Digest::of(b"gone")))];
        let failed = store.publish(&out, &gone, ("card.json", b"[]")).await;
        assert!(matches!(failed, Err(ArtifactError::Missing { .. })));
        assert_eq!(fs::read(out.join("card.json")).unwrap(), b"{}");
    });
}

#[test]
fn a_publication_that_fails_half_way_leaves_no_card() {
    run(async |store, dir| {
        let out = dir.join("out");
        let files =
            |text: &str| [("a", Content::Bytes(text.into())), ("b", Content::Bytes(text.into()))];
        store.publish(&out, &files("old"), ("card", b"old")).await.unwrap();
        fs::remove_file(out.join("b")).unwrap();
        fs::create_dir_all(out.join("b/in the way")).unwrap();
        let failed = store.publish(&out, &files("new"), ("card", b"new")).await.unwrap_err();
        assert!(failed.to_string().contains("hint: "), "{failed}");
        assert!(!out.join("card").exists(), "the old card tells of files that have changed");
    });
}

#[test]
fn a_name_never_leads_elsewhere() {
    check("card.json", true);
    for bad in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a/", "./a", "other"] {
        check(bad, false);
    }
}
