//! A store that all nodes reach, in a folder: missing and away are told apart, and what somebody
//! changed is refused. Never asks a store of another machine.

use super::super::Artifacts;
use super::*;
use std::fs;
use std::path::{Path as File, PathBuf};

struct Net {
    dir: tempfile::TempDir,
}

impl Net {
    fn node(&self, name: &str) -> Artifacts {
        let url = format!("file://{}", self.dir.path().join("shared").display());
        let here = self.dir.path().join(name);
        Artifacts::open_shared(&here, &url, &Access::default()).unwrap()
    }

    fn file(&self, node: &str, digest: Digest) -> PathBuf {
        self.dir.path().join(node).join(place(digest).as_ref())
    }
}

fn run<T>(test: impl AsyncFnOnce(Net) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(Net { dir: tempfile::tempdir().unwrap() }))
}

fn is_away<T>(result: Result<T, ArtifactError>) -> bool {
    match result {
        Err(error) => {
            assert!(error.to_string().contains("; hint: "), "{error}");
            error.is_passing()
        }
        Ok(_) => false,
    }
}

#[test]
fn what_one_node_puts_another_gets_and_keeps() {
    run(async |net: Net| {
        let (worker, validator) = (net.node("worker"), net.node("validator"));
        worker.begin().await.unwrap();
        worker.begin().await.unwrap();
        let digest = worker.put(b"model").await.unwrap();
        assert!(validator.has(digest).await.unwrap());
        assert_eq!(validator.get(digest).await.unwrap(), b"model");
        fs::remove_file(net.file("shared", digest)).unwrap();
        assert_eq!(validator.get(digest).await.unwrap(), b"model", "it was not kept");
        let other = net.node("other");
        assert!(matches!(other.get(digest).await, Err(ArtifactError::Missing { .. })));
        assert!(!other.has(digest).await.unwrap());
    });
}

#[test]
fn a_store_that_is_away_is_not_an_artifact_that_is_missing() {
    run(async |net: Net| {
        let (worker, validator) = (net.node("worker"), net.node("validator"));
        let never = Digest::of(b"never");
        assert!(is_away(worker.put(b"model").await), "nobody has begun it");
        assert!(is_away(validator.get(never).await));
        worker.begin().await.unwrap();
        let digest = worker.put(b"model").await.unwrap();
        assert!(matches!(validator.get(never).await, Err(ArtifactError::Missing { .. })));

        let (there, gone) = (net.dir.path().join("shared"), net.dir.path().join("unmounted"));
        fs::rename(&there, &gone).unwrap();
        fs::create_dir(&there).unwrap();
        assert!(is_away(validator.get(digest).await), "an empty mount point is no store");
        assert!(is_away(validator.has(digest).await));
        for writer in [&net.node("late"), &worker] {
            assert!(is_away(writer.put(b"result").await));
        }
        assert_eq!(fs::read_dir(&there).unwrap().count(), 0, "something was written for nobody");
        fs::remove_dir(&there).unwrap();
        fs::rename(&gone, &there).unwrap();
        assert_eq!(validator.get(digest).await.unwrap(), b"model");
    });
}

#[test]
fn it_is_asked_again_before_one_gives_up() {
    run(async |net: Net| {
        let worker = net.node("worker");
        worker.begin().await.unwrap();
        let digest = worker.put(b"model").await.unwrap();
        let (there, gone) = (net.dir.path().join("shared"), net.dir.path().join("unmounted"));
        fs::rename(&there, &gone).unwrap();
        let other = net.node("other");
        let back = async {
            tokio::time::sleep(PAUSES[0] / 2).await;
            fs::rename(&gone, &there).unwrap();
        };
        let (got, ()) = futures_util::join!(other.get(digest), back);
        assert_eq!(got.unwrap(), b"model");
    });
}

#[test]
fn a_wrong_byte_is_refused_and_healed_by_who_has_the_right_ones() {
    run(async |net: Net| {
        let (worker, validator) = (net.node("worker"), net.node("validator"));
        worker.begin().await.unwrap();
        let digest = worker.put(b"model").await.unwrap();
        for damage in [b"modem".as_slice(), b"", b"model and more"] {
            fs::write(net.file("shared", digest), damage).unwrap();
            let got = validator.get(digest).await;
            assert!(matches!(got, Err(ArtifactError::Damaged { .. })), "{got:?}");
            assert!(!net.file("validator", digest).exists(), "it was kept");
        }
        net.node("second").put(b"model").await.unwrap();
        assert_eq!(validator.get(digest).await.unwrap(), b"model");
        fs::write(net.file("validator", digest), b"modem").unwrap();
        assert_eq!(validator.get(digest).await.unwrap(), b"model", "the copy here was damaged");
    });
}

#[test]
fn what_lies_here_is_shared_and_what_others_shared_need_not_lie_here() {
    run(async |net: Net| {
        let here = net.dir.path().join("client");
        let alone = Artifacts::open(&here).unwrap();
        let digest = alone.put(b"rows").await.unwrap();
        let client = net.node("client");
        client.begin().await.unwrap();
        client.share(digest).await.unwrap();
        assert_eq!(net.node("worker").get(digest).await.unwrap(), b"rows");
        assert!(net.node("elsewhere").is_shared(digest).await.unwrap());
        fs::write(net.file("shared", digest), b"rots").unwrap();
        assert!(!net.node("elsewhere").is_shared(digest).await.unwrap(), "it is something else");
        net.node("client").share(digest).await.unwrap();
        assert!(net.node("elsewhere").is_shared(digest).await.unwrap());
        let missing = net.node("elsewhere").share(Digest::of(b"never")).await;
        assert!(matches!(missing, Err(ArtifactError::Missing { .. })));
        let local = alone.share(digest).await;
        assert!(local.is_ok(), "where there is no network there is nothing to share");
        assert!(alone.is_shared(Digest::of(b"never")).await.unwrap());
    });
}

#[test]
fn addresses_that_are_no_store_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for (url, expect) in [
        ("ftp://host/x", "scheme `ftp`"),
        ("s3:///x", "names no bucket"),
        ("s3://me:hunter2@lake/x", "credential"),
        ("https://me:hunter2@host/x", "credential"),
        ("s3://lake/a//b", "hint"),
    ] {
        let opened = Artifacts::open_shared(dir.path(), url, &Access::default());
        let said = opened.map(drop).unwrap_err().to_string();
        assert!(said.contains(expect) && said.contains("; hint: "), "{url}: {said}");
    }
    assert!(File::new(dir.path()).exists());
}
