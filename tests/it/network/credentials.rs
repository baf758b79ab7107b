//! What is a client's alone: workers compute from a bucket that only the client may read, and never
//! see what opens it. A real S3 of another make.

use super::lab::Lab;
use super::outages::digests;
use crate::site::{Ran, Site};
use crate::sources::buckets::S3;
use crate::sources::{from, thirds};
use std::fs;
use std::path::Path;

/// Whether a text stands in a file below a folder.
fn stands(folder: &Path, text: &str) -> bool {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.into_iter().any(|entry| match entry.path() {
        path if path.is_dir() => stands(&path, text),
        path => fs::read(path)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes())),
    })
}

#[test]
fn workers_need_no_credentials_of_the_bucket_that_a_client_reads() {
    let site = Site::new();
    thirds(&site, "objects/dt=1");
    let s3 = S3::start(&site.path("objects"));
    let endpoint = format!("http://127.0.0.1:{}", s3.port);
    from(&site, "lake.yaml", "s3://lake/dt=*/a-?.csv");
    let Some(mut lab) = Lab::start(site, 1, 1) else { return };
    lab.run("worker-1");
    let apply = |settings: &[(&str, &str)]| {
        let mut command = lab.command(&["apply", "lake.yaml", "-y", "-o", "json"]);
        command.env("HOME", lab.site.path("")).env_remove("XDG_CONFIG_HOME");
        Ran::of(command.envs(settings.iter().copied()).spawn().unwrap())
    };
    let known = [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_REGION", "us-east-1")];
    let id = ("AWS_ACCESS_KEY_ID", s3.id.as_str());
    let wrong = apply(&[known[0], known[1], id, ("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2")]);
    assert_eq!(wrong.code(), Some(1), "who may not read it cannot begin: {}", wrong.out());
    let ran = apply(&[known[0], known[1], id, ("AWS_SECRET_ACCESS_KEY", &s3.key)]);
    assert_eq!(ran.code(), Some(0), "{}\n{}", ran.err(), lab.logs());
    digests(&ran.last());
    // Nothing of what opens it is anywhere where others are: not in their logs, nor in the store.
    for secret in [&s3.key, &s3.id] {
        assert!(!stands(&lab.folder, secret), "it was told");
    }
}
