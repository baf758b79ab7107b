//! Addresses: where a source lies, from the text of its `url`.
//! Never opens anything, and never accepts a credential in an address.

use super::SourceError;
use crate::effects::buckets::Provider;
use globset::{GlobBuilder, GlobMatcher};
use std::path::{Path, PathBuf};

/// Words in the names of query parameters that carry credentials.
const SECRET_WORDS: &[&str] = &["signature", "token", "secret", "password", "credential", "apikey"];
/// Schemes that are read.
const SCHEMES: &str = "a path beside the manifest, file://, s3://, gs://, az:// or https://";

/// Where a source lies.
#[derive(Debug, Clone)]
pub struct Address {
    /// What kind of place.
    pub(super) place: Place,
    /// What is written before the names: `s3://lake/rows/`, `data/`, or nothing.
    pub(super) root: String,
    /// Which of the names below.
    pub(super) select: Select,
}

/// What is asked for bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// This folder.
    Folder(PathBuf),
    /// A bucket or container, and the folder of keys in it, with a `/` at its end unless empty.
    Bucket { provider: Provider, authority: String, folder: String },
    /// A server: the address of its root, with the query of the source.
    Server { root: String },
}

/// Which of the names below a root.
#[derive(Debug, Clone)]
pub(super) enum Select {
    /// This one.
    One(String),
    /// Those that match.
    Matching(GlobMatcher),
    /// All.
    All,
}

impl Address {
    /// The address that a text means in a manifest that lies in `base`.
    pub fn parse(url: &str, base: &Path) -> Result<Self, SourceError> {
        refuse_secrets(url)?;
        let Some((scheme, rest)) = url.split_once("://") else {
            return Self::local(url, base, url);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => match rest.strip_prefix("localhost").unwrap_or(rest) {
                path if path.starts_with('/') => Self::local(url, Path::new("/"), path),
                _ => Err(SourceError::new(
                    format!("{url} names a machine"),
                    "write file:/// and the whole path, with three slashes",
                )),
            },
            "s3" | "s3a" => Self::bucket(Provider::S3, url, rest),
            "gs" => Self::bucket(Provider::Google, url, rest),
            "az" | "abfs" | "abfss" | "azure" | "adl" => Self::bucket(Provider::Azure, url, rest),
            "http" | "https" => Self::server(url),
            _ => Err(SourceError::new(
                format!("sources of scheme `{scheme}` cannot be read"),
                format!("use {SCHEMES}"),
            )),
        }
    }

    fn local(url: &str, base: &Path, path: &str) -> Result<Self, SourceError> {
        let (folder, select) = divide(url, path)?;
        // A file may be called as if it were a pattern.
        let literal = matches!(select, Select::Matching(_)) && base.join(path).is_file();
        let (folder, select) = match path.rsplit_once('/') {
            Some((before, name)) if literal => {
                (path.get(..=before.len()).unwrap_or_default(), Select::One(name.into()))
            }
            None if literal => ("", Select::One(path.into())),
            _ => (folder, select),
        };
        let root = url.get(..url.len() - (path.len() - folder.len())).unwrap_or_default();
        Ok(Self { place: Place::Folder(base.join(folder)), root: root.to_owned(), select })
    }

    fn bucket(provider: Provider, url: &str, rest: &str) -> Result<Self, SourceError> {
        let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
        let is_account = provider == Provider::Azure && !authority.contains(':');
        if authority.contains('@') && !is_account {
            return Err(in_the_address());
        }
        if authority.is_empty() {
            return Err(SourceError::new(
                format!("{url} names no bucket"),
                "write the bucket first, as in s3://bucket/rows.csv",
            ));
        }
        if !rest.contains('/') {
            return Err(SourceError::new(
                format!("{url} names a bucket and nothing in it"),
                format!("{url}/ reads all that is in it"),
            ));
        }
        let (folder, select) = divide(url, key)?;
        let root = url.get(..url.len() - (key.len() - folder.len())).unwrap_or_default();
        let (authority, folder) = (authority.to_owned(), folder.to_owned());
        let place = Place::Bucket { provider, authority, folder };
        Ok(Self { place, root: root.to_owned(), select })
    }

    fn server(url: &str) -> Result<Self, SourceError> {
        let wrong = |what: &str, hint: &str| SourceError::new(format!("{url} {what}"), hint);
        let parsed = url::Url::parse(url).map_err(|error| {
            wrong(&format!("is no address: {error}"), "write it as https://host/file.csv")
        })?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(in_the_address());
        }
        if parsed.path().ends_with('/') || parsed.path().contains('*') {
            return Err(wrong("names no file", "a web server tells no list: name one file"));
        }
        let mut root = parsed.clone();
        root.set_path("/");
        root.set_fragment(None);
        let name = parsed.path().trim_start_matches('/').to_owned();
        let shown = format!("{}/", &parsed[..url::Position::BeforePath]);
        Ok(Self {
            place: Place::Server { root: root.to_string() },
            root: shown,
            select: Select::One(name),
        })
    }

    /// Whether it lies in a file system of this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.place, Place::Folder(_))
    }
}

/// The folder before the first wildcard, and what is looked for in it.
fn divide<'a>(url: &str, path: &'a str) -> Result<(&'a str, Select), SourceError> {
    let wildcard = path.find(['*', '?', '[', '{']);
    let before = path.get(..wildcard.unwrap_or(path.len())).unwrap_or_default();
    let folder = before.rfind('/').and_then(|end| path.get(..=end)).unwrap_or_default();
    let name = path.get(folder.len()..).unwrap_or_default();
    let select = match wildcard {
        None if name.is_empty() => Select::All,
        None => Select::One(name.to_owned()),
        Some(_) => {
            let glob = GlobBuilder::new(name).literal_separator(true).build();
            let glob = glob.map_err(|error| {
                SourceError::new(
                    format!("{url} is no pattern: {}", error.kind()),
                    "`*` stands for a part of a name, `**` for folders, `{a,b}` for either",
                )
            })?;
            Select::Matching(glob.compile_matcher())
        }
    };
    Ok((folder, select))
}

/// A query that signs is a credential: it would lie in the manifest, the log and the lock.
fn refuse_secrets(url: &str) -> Result<(), SourceError> {
    let Some((_, query)) = url.split_once('?').filter(|_| url.contains("://")) else {
        return Ok(());
    };
    let is_secret = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
        let name = name.replace(['-', '_'], "");
        name == "sig" || SECRET_WORDS.iter().any(|word| name.contains(word))
    };
    if query.split(['&', '#']).any(is_secret) { Err(in_the_address()) } else { Ok(()) }
}

fn in_the_address() -> SourceError {
    SourceError::new(
        "a credential stands in the address of a source",
        "manifests are public: put it into the environment (AWS_ACCESS_KEY_ID, …), or name a \
         secret with `auth: { secretRef: NAME }`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(url: &str) -> Address {
        Address::parse(url, Path::new("/base")).unwrap()
    }

    #[track_caller]
    fn bad(url: &str, expect: &str) {
        let error = Address::parse(url, Path::new("/base")).unwrap_err();
        assert!(error.to_string().contains(expect), "{url}: {error}");
    }

    fn folder(path: &str) -> Place {
        Place::Folder(path.into())
    }

    fn bucket(provider: Provider, authority: &str, folder: &str) -> Place {
        Place::Bucket { provider, authority: authority.into(), folder: folder.into() }
    }

    #[test]
    fn paths_and_addresses_are_divided_before_the_first_wildcard() {
        for (url, place, root) in [
            ("iris.csv", folder("/base/"), ""),
            ("data/iris.csv", folder("/base/data/"), "data/"),
            ("data/", folder("/base/data/"), "data/"),
            ("/abs/x.csv", folder("/abs/"), "/abs/"),
            ("data/y=*/x.csv", folder("/base/data/"), "data/"),
            ("file:///tmp/a/*.csv", folder("/tmp/a/"), "file:///tmp/a/"),
            ("s3://lake/x.csv", bucket(Provider::S3, "lake", ""), "s3://lake/"),
            ("s3a://lake/a/b/", bucket(Provider::S3, "lake", "a/b/"), "s3a://lake/a/b/"),
            ("gs://lake/a/p-?.csv", bucket(Provider::Google, "lake", "a/"), "gs://lake/a/"),
            ("az://box/x", bucket(Provider::Azure, "box", ""), "az://box/"),
            (
                "abfss://box@acme.dfs.core.windows.net/a/x",
                bucket(Provider::Azure, "box@acme.dfs.core.windows.net", "a/"),
                "abfss://box@acme.dfs.core.windows.net/a/",
            ),
        ] {
            let address = good(url);
            assert_eq!((address.place, address.root.as_str()), (place, root), "{url}");
        }
    }

    #[test]
    fn a_server_keeps_the_query_and_shows_none_of_it() {
        let address = good("https://host:8443/a%20b/x.csv?part=2#top");
        assert_eq!(address.root, "https://host:8443/");
        assert_eq!(address.place, Place::Server { root: "https://host:8443/?part=2".into() });
        assert!(matches!(address.select, Select::One(name) if name == "a%20b/x.csv"));
    }

    #[test]
    fn one_star_stays_in_its_folder_and_two_cross_folders() {
        let matches = |url: &str, name: &str| match good(url).select {
            Select::Matching(glob) => glob.is_match(name),
            _ => panic!("{url} is no pattern"),
        };
        assert!(matches("d/*.csv", "a.csv") && !matches("d/*.csv", "e/a.csv"));
        assert!(matches("d/**/*.csv", "e/f/a.csv") && matches("d/dt={1,2}/x", "dt=2/x"));
    }

    #[test]
    fn a_file_that_is_called_like_a_pattern_is_that_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a[1].csv"), "").unwrap();
        let one = |url: &str| Address::parse(url, dir.path()).unwrap();
        assert!(matches!(one("a[1].csv").select, Select::One(name) if name == "a[1].csv"));
        assert!(matches!(one("a[2].csv").select, Select::Matching(_)));
    }

    #[test]
    fn credentials_in_an_address_are_refused_and_not_repeated() {
        for url in [
            "s3://AKIA:hunter2@lake/x.csv",
            "https://me:hunter2@host/x.csv",
            "https://hunter2@host/x.csv",
            "az://box:hunter2@acme/x.csv",
            "https://lake.s3.amazonaws.com/x.csv?X-Amz-Signature=hunter2",
            "https://acme.blob.core.windows.net/box/x.csv?sv=1&sig=hunter2",
            "https://host/x.csv?access_token=hunter2",
            "https://host/x.csv?api_key=hunter2",
            "s3://lake/x.csv?X-Amz-Security-Token=hunter2",
        ] {
            bad(url, "secretRef");
            let error = Address::parse(url, Path::new("/base")).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_can() {
        bad("ftp://host/x.csv", "s3://");
        bad("file://host/x.csv", "three slashes");
        bad("s3:///x.csv", "bucket");
        bad("s3://lake", "s3://lake/");
        bad("https://host/", "name one file");
        bad("https://host/*.csv", "name one file");
        bad("https://[host/x.csv", "is no address");
        bad("data/[.csv", "pattern");
    }
}
