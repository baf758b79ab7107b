//! Object stores of S3, Google Cloud Storage, Azure and web servers: how one is opened.
//! Never asks for an object, never waits or tries again without a bound, and never speaks plain
//! HTTP unless it is told to.

pub(super) mod presigned;
mod sigv4;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientOptions, HeaderValue, ObjectStore, RetryConfig};
use presigned::{Connector, Presigner, Signatory};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Whose buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    /// Amazon S3, or what speaks like it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// How long a store is waited for, and how often it is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes, whenever some are due.
    pub silence: Duration,
    /// How often a request that failed for no fault of ours is made again.
    pub retries: usize,
}

impl Default for Patience {
    fn default() -> Self {
        let (connect, silence) = (Duration::from_secs(5), Duration::from_secs(30));
        Self { connect, silence, retries: 3 }
    }
}

/// The settings that say who is asked.
const ENDPOINTS: &[&str] = &[
    "aws_endpoint",
    "aws_endpoint_url",
    "aws_endpoint_url_s3",
    "azure_endpoint",
    "azure_storage_endpoint",
    "base_url",
    "endpoint",
    "endpoint_url",
    "google_base_url",
];
/// The longest pause before a request is made again.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How old a read may be and still be taken up again where it broke. Tries are what is bounded.
const RESUME_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Why no bucket can be asked.
#[derive(Debug)]
pub(super) enum Unopened {
    /// A setting that was made for this store says nothing to it.
    Key(String),
    /// The settings do not do.
    Settings(object_store::Error),
}

impl Provider {
    /// That of an address' scheme.
    pub(super) fn of(scheme: &str) -> Option<Self> {
        match scheme.to_ascii_lowercase().as_str() {
            "s3" | "s3a" => Some(Self::S3),
            "gs" => Some(Self::Google),
            "az" | "abfs" | "abfss" | "azure" | "adl" => Some(Self::Azure),
            _ => None,
        }
    }

    /// What the environment says of it, by the names of `object_store`.
    pub(super) fn environment(self) -> Vec<(String, String)> {
        let prefix = match self {
            Self::S3 => "AWS_",
            Self::Google => "GOOGLE_",
            Self::Azure => "AZURE_",
        };
        let mut settings: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(key, value)| key.starts_with(prefix) && !value.is_empty())
            .map(|(key, value)| (key.to_ascii_lowercase(), value))
            .collect();
        settings.sort();
        settings
    }
}

/// A bucket or container.
pub(super) struct Bucket {
    /// What is in it.
    pub(super) store: Arc<dyn ObjectStore>,
    /// Signs requests of others: with credentials of an S3.
    pub(super) signatory: Option<Signatory>,
}

/// How a bucket is opened.
pub(super) struct Opening<'a> {
    /// What opens it, by the names of `object_store`.
    pub(super) settings: &'a [(String, String)],
    /// Whether they were made for it: then one that says nothing to it is a slip. Those that come
    /// from the environment are passed over.
    pub(super) is_strict: bool,
    /// How long it is waited for.
    pub(super) patience: Patience,
    /// Who has each request to an S3 signed, instead of credentials.
    pub(super) presigner: Option<Arc<dyn Presigner>>,
}

/// The bucket or container of that name.
pub(super) fn bucket(
    provider: Provider,
    authority: &str,
    opening: &Opening<'_>,
) -> Result<Bucket, Unopened> {
    super::install_tls();
    let Opening { settings, is_strict, patience, .. } = *opening;
    // Who sets an endpoint of plain HTTP has said that it is to be spoken.
    let is_plain = settings
        .iter()
        .any(|(key, value)| ENDPOINTS.contains(&key.as_str()) && value.starts_with("http://"));
    let (client, retry) = (client(patience, is_plain), retry(patience));
    let (connector, options) = (opening.presigner.clone().map(Connector), client.clone());
    let failed = Unopened::Settings;
    Ok(match provider {
        Provider::S3 => {
            let mut builder = AmazonS3Builder::new().with_client_options(client);
            for (key, value) in known::<AmazonS3ConfigKey>(settings, is_strict)? {
                builder = builder.with_config(key, value);
            }
            if let Some(connector) = connector {
                builder = builder.with_skip_signature(true).with_http_connector(connector);
            }
            let store = builder.with_bucket_name(authority).with_retry(retry).build();
            let store = Arc::new(store.map_err(failed)?);
            let signatory = Signatory::new(store.clone(), &options).map_err(failed)?;
            Bucket { store, signatory: Some(signatory) }
        }
        Provider::Google => {
            let mut builder = GoogleCloudStorageBuilder::new().with_client_options(client);
            for (key, value) in known::<GoogleConfigKey>(settings, is_strict)? {
                builder = builder.with_config(key, value);
            }
            let store = builder.with_bucket_name(authority).with_retry(retry).build();
            Bucket { store: Arc::new(store.map_err(failed)?), signatory: None }
        }
        Provider::Azure => {
            let mut builder = MicrosoftAzureBuilder::new().with_client_options(client);
            for (key, value) in known::<AzureConfigKey>(settings, is_strict)? {
                builder = builder.with_config(key, value);
            }
            let builder = match authority.split_once('@') {
                Some((container, account)) if !account.contains('.') => {
                    builder.with_container_name(container).with_account(account)
                }
                Some(_) => builder.with_url(format!("abfss://{authority}/")),
                None => builder.with_container_name(authority),
            };
            let store = builder.with_retry(retry).build().map_err(failed)?;
            Bucket { store: Arc::new(store), signatory: None }
        }
    })
}

/// The settings that a store knows.
fn known<K: FromStr>(
    settings: &[(String, String)],
    is_strict: bool,
) -> Result<Vec<(K, String)>, Unopened> {
    let mut known = Vec::new();
    for (key, value) in settings {
        match key.parse() {
            Ok(key) => known.push((key, value.clone())),
            Err(_) if is_strict => return Err(Unopened::Key(key.clone())),
            Err(_) => {}
        }
    }
    Ok(known)
}

/// How a server is spoken to.
pub(super) fn client(patience: Patience, is_plain: bool) -> ClientOptions {
    ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(concat!("ohc/", env!("CARGO_PKG_VERSION"))))
        .with_allow_http(is_plain)
        .with_connect_timeout(patience.connect)
        // A large object takes as long as it takes: what is bounded is silence.
        .with_timeout_disabled()
        .with_read_timeout(patience.silence)
}

/// How often it is asked again.
pub(super) fn retry(patience: Patience) -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: PAUSE_MAX, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: patience.retries, retry_timeout: RESUME_WITHIN }
}
