//! Sources in buckets: a whole S3 of another make, and one answer each in the manner of Google and
//! Azure. Never asks a real cloud, and never uses a credential of the machine.

use super::server::Server;
use super::{from, thirds};
use crate::site::{Site, python};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// An S3 server with the objects of a folder, until it is dropped.
pub(crate) struct S3 {
    folder: PathBuf,
    child: Child,
    pub(crate) port: u64,
    pub(crate) id: String,
    pub(crate) key: String,
}

impl S3 {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// One that is not as strict as it should be, or slow, or keeps what is put: see
    /// `tests/peers/s3.py`.
    pub(crate) fn start_with(folder: &Path, options: &[&str]) -> Self {
        let mut command = python("s3.py");
        command.arg(folder).args(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        let (port, id, key) = (ready["port"].as_u64().unwrap(), text("id"), text("key"));
        Self { folder: folder.to_owned(), child, port, id, key }
    }

    /// Stands still, or goes on.
    pub(crate) fn signal(&self, what: Signal) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(process, what).unwrap();
    }

    /// Kills it, and starts it again with what it has kept: the same server to all.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let [port, id, key] =
            [format!("port={}", self.port), format!("id={}", self.id), format!("key={}", self.key)];
        *self = Self::start_with(&self.folder, &["kept", &port, &id, &key]);
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // Its standard input ends with the child, and so does it; this only makes haste.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command that knows no credential but those given.
fn command(site: &Site, args: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = site.command(args);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|cloud| name.starts_with(cloud)) {
            command.env_remove(name);
        }
    }
    command.env("HOME", site.path("")).env_remove("XDG_CONFIG_HOME");
    command.envs(settings.iter().copied());
    command
}

fn said(command: &mut Command) -> (Option<i32>, String) {
    let ran = command.output().unwrap();
    (ran.status.code(), String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
}

#[test]
fn objects_of_a_bucket_are_read_and_every_refusal_is_explained() {
    let site = Site::new();
    thirds(&site, "objects/dt=1");
    let s3 = S3::start(&site.path("objects"));
    let endpoint = format!("http://127.0.0.1:{}", s3.port);
    let good = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", s3.id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", s3.key.as_str()),
    ];

    from(&site, "lake.yaml", "s3://lake/dt=*/a-?.csv");
    let (code, text) = said(&mut command(&site, &["apply", "lake.yaml", "-o", "json"], &good));
    assert_eq!(code, Some(0), "{text}");
    let lock = std::fs::read_to_string(site.path("ohc.lock")).unwrap();
    assert!(lock.contains("\"files\": 3") && lock.contains("\"rows\": 150"), "{lock}");

    from(&site, "lake.yaml", "s3://lake/dt=1/a-1.csv");
    let (code, text) = said(&mut command(&site, &["plan", "lake.yaml"], &good));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("3 → 1 file, "), "{text}");

    let wrong = [good[0], good[1], good[2], ("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2")];
    let unknown = [good[0], good[1], ("AWS_ACCESS_KEY_ID", "AKIANOBODY"), good[3]];
    for (url, settings, expect) in [
        ("s3://lake/none.csv", &good, "there is no object s3://lake/none.csv"),
        ("s3://lake/dt=2/*.csv", &good, "nothing matches s3://lake/dt=2/*.csv"),
        ("s3://none/a.csv", &good, "there is no bucket `none`"),
        ("s3://none/a-*.csv", &good, "there is no bucket `none`"),
        ("s3://lake/dt=1/a-1.csv", &wrong, "may not be read: 403"),
        ("s3://lake/dt=1/*.csv", &unknown, "may not be read: 403"),
    ] {
        from(&site, "lake.yaml", url);
        let (code, text) = said(&mut command(&site, &["plan", "lake.yaml"], settings));
        assert_eq!(code, Some(1), "{url}: {text}");
        for expect in [expect, "lake.yaml:21:5", "hint: "] {
            assert!(text.contains(expect), "{url}: {expect:?} is not in {text}");
        }
        assert!(!text.contains("hunter2") && !text.contains(&s3.key), "{text}");
    }
    with_a_secret_file(&site, &endpoint, &s3);
}

/// The keys of a secret's file open what the environment does not.
fn with_a_secret_file(site: &Site, endpoint: &str, s3: &S3) {
    use std::os::unix::fs::PermissionsExt;
    let folder = site.path(".config/ohc/secrets");
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!(
        "aws_endpoint_url={endpoint}\naws_region=us-east-1\naws_access_key_id={}\n\
         aws_secret_access_key={}\n",
        s3.id, s3.key
    );
    std::fs::write(folder.join("lake"), text).unwrap();
    let url = "url: \"s3://lake/dt=1/*.csv\", auth: { secretRef: lake }";
    site.vary("lake.yaml", "url: data/iris.csv", url);
    let plan = ["plan", "lake.yaml"];
    std::fs::set_permissions(folder.join("lake"), PermissionsExt::from_mode(0o644)).unwrap();
    let (code, text) = said(&mut command(site, &plan, &[]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("can be read by others") && text.contains("chmod 600"), "{text}");
    std::fs::set_permissions(folder.join("lake"), PermissionsExt::from_mode(0o600)).unwrap();
    let (code, text) = said(&mut command(site, &plan, &[]));
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn google_and_azure_are_asked_where_the_settings_say() {
    let site = Site::new();
    let server = Server::of(&std::fs::read(site.path("data/iris.csv")).unwrap());
    let (google, azure) = (server.url(""), server.url("/account"));
    for (url, settings, expect) in [
        (
            "gs://lake/a/iris.csv",
            vec![("GOOGLE_BASE_URL", google.as_str()), ("GOOGLE_SKIP_SIGNATURE", "true")],
            "/lake/a%2Firis%2Ecsv",
        ),
        (
            "az://lake/a/iris.csv",
            vec![
                ("AZURE_STORAGE_ENDPOINT", azure.as_str()),
                ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
                ("AZURE_SKIP_SIGNATURE", "true"),
            ],
            "/account/lake/a/iris.csv",
        ),
        (
            "abfss://lake@account.dfs.core.windows.net/a/iris.csv",
            vec![("AZURE_STORAGE_ENDPOINT", azure.as_str()), ("AZURE_SKIP_SIGNATURE", "true")],
            "/account/lake/a/iris.csv",
        ),
    ] {
        from(&site, "cloud.yaml", url);
        let (code, text) = said(&mut command(&site, &["plan", "cloud.yaml"], &settings));
        let asked = server.asked();
        assert_eq!(code, Some(0), "{url}: {text} {asked:?}");
        assert!(!asked.is_empty() && asked.iter().all(|asked| asked.path == expect), "{asked:?}");
    }
}
