//! Secrets: what a source's `secretRef` stands for, from the environment or from a file that only
//! its owner can read. Never shows a value, not even to a debugger's print.

use super::SourceError;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file of one secret, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Bits of a file's mode that let others than its owner at it.
const OTHERS: u32 = 0o077;

/// Settings of a store by the names that `object_store` gives them, in lower case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    name: String,
    settings: BTreeMap<String, String>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.settings.keys().collect();
        f.debug_struct("Secret").field("name", &self.name).field("keys", &keys).finish()
    }
}

impl Secret {
    /// The secret of a name: `OHC_SECRET_NAME_KEY` of the environment, and below it the lines
    /// `key=value` of `~/.config/ohc/secrets/NAME`.
    pub fn find(name: &str) -> Result<Self, SourceError> {
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        let folder = match (std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME")) {
            (Some(config), _) if !config.is_empty() => Some(PathBuf::from(config)),
            (_, Some(home)) => Some(PathBuf::from(home).join(".config")),
            (_, None) => None,
        };
        let file = folder.map(|folder| folder.join("ohc/secrets").join(name));
        Self::read(name, std::env::vars_os().filter_map(text), file.as_deref())
    }

    fn read(
        name: &str,
        variables: impl Iterator<Item = (String, String)>,
        file: Option<&Path>,
    ) -> Result<Self, SourceError> {
        let mut settings = match file {
            Some(file) => from_file(name, file)?,
            None => BTreeMap::new(),
        };
        let prefix = format!("OHC_SECRET_{}_", name.to_ascii_uppercase().replace('-', "_"));
        for (key, value) in variables {
            if let Some(key) = key.strip_prefix(&prefix) {
                settings.insert(key.to_ascii_lowercase(), value);
            }
        }
        if settings.is_empty() {
            let file = file.map(|file| format!(", or write key=value into {}", file.display()));
            return Err(SourceError::new(
                format!("there is no secret `{name}`"),
                format!("set {prefix}AWS_ACCESS_KEY_ID and so on{}", file.unwrap_or_default()),
            ));
        }
        Ok(Self { name: name.to_owned(), settings })
    }

    /// The name, which is no secret.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its keys and values.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

fn from_file(name: &str, path: &Path) -> Result<BTreeMap<String, String>, SourceError> {
    let failed = |error: std::io::Error| {
        SourceError::new(
            format!("cannot read the secret `{name}` in {}: {error}", path.display()),
            "check the file and its permissions",
        )
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & OTHERS != 0 {
        return Err(SourceError::new(
            format!("the secret `{name}` can be read by others than its owner"),
            format!("chmod 600 {}", path.display()),
        ));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let mut settings = BTreeMap::new();
    for (number, line) in (1u32..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|(key, _)| !key.trim().is_empty())
        else {
            return Err(SourceError::new(
                format!("line {number} of the secret `{name}` is not key=value"),
                "write one setting on each line, such as aws_access_key_id=…",
            ));
        };
        settings.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn variables(all: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        all.iter().map(own).collect::<Vec<_>>().into_iter()
    }

    fn write(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lake");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let (_dir, path) = write("# of the lake\nAWS_ACCESS_KEY_ID = a\naws_region=b\n\n", 0o600);
        let env = [("OHC_SECRET_MY_LAKE_AWS_REGION", "c"), ("OHC_SECRET_OTHER_AWS_REGION", "d")];
        let secret = Secret::read("my-lake", variables(&env), Some(&path)).unwrap();
        let settings: Vec<_> = secret.settings().collect();
        assert_eq!(settings, [("aws_access_key_id", "a"), ("aws_region", "c")]);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o644, 0o640, 0o604, 0o620] {
            let (_dir, path) = write("aws_region=hunter2", mode);
            let error = Secret::read("lake", variables(&[]), Some(&path)).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_missing_or_malformed_is_told_without_its_text() {
        let error = Secret::read("lake", variables(&[]), None).unwrap_err();
        assert!(error.to_string().contains("OHC_SECRET_LAKE_AWS_ACCESS_KEY_ID"), "{error}");
        let (_dir, path) = write("a=b\nhunter2\n", 0o600);
        let error = Secret::read("lake", variables(&[]), Some(&path)).unwrap_err();
        assert!(error.to_string().contains("line 2") && !error.to_string().contains("hunter2"));
    }

    #[test]
    fn a_secret_does_not_print_its_values() {
        let env = [("OHC_SECRET_LAKE_AWS_SECRET_ACCESS_KEY", "hunter2")];
        let secret = Secret::read("lake", variables(&env), None).unwrap();
        let shown = format!("{secret:?}");
        assert!(shown.contains("aws_secret_access_key") && !shown.contains("hunter2"), "{shown}");
    }
}
