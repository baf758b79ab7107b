//! Objects of S3, Google Cloud Storage, Azure and web servers as a source, through `object_store`.
//! Never waits or tries again without a bound, and never speaks plain HTTP unless it is told to.

use super::address::{Place, Provider};
use super::explain::{About, is_answer};
use super::{Object, Secret, SourceError, too_many};
use crate::base::limits::{SOURCE_FILES_MAX, SOURCE_NAMES_MAX};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, HeaderMap, HeaderValue, ObjectMeta, ObjectStore,
    ObjectStoreExt, RetryConfig,
};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

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

/// A store that is asked over the network.
#[derive(Debug)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    folder: String,
    about: About,
}

/// The bytes of an object on their way.
pub(super) struct Body {
    pub(super) stream: BoxStream<'static, object_store::Result<Bytes>>,
    pub(super) about: About,
}

impl Remote {
    pub(super) fn open(
        place: &Place,
        secret: Option<&Secret>,
        patience: Patience,
    ) -> Result<Self, SourceError> {
        super::super::install_tls();
        let (store, folder, about) = match place {
            Place::Bucket { provider, authority, folder } => {
                let settings = settings(*provider, secret);
                let about = About::bucket(*provider, authority, settings.iter().map(|(_, v)| v));
                let known = secret.map(Secret::name);
                let store = bucket(*provider, authority, &settings, known, patience, &about)?;
                (store, folder.clone(), about)
            }
            Place::Server { root } => {
                let about = About::server(secret.iter().flat_map(|s| s.settings()).map(|(_, v)| v));
                (server(root, secret, patience, &about)?, String::new(), about)
            }
            Place::Folder(_) => {
                return Err(SourceError::new("a folder is not asked over a network", "use a path"));
            }
        };
        Ok(Self { store, folder, about })
    }

    /// The object of a name. Who answers no question about it is asked for its bytes, to learn why.
    pub(super) async fn one(&self, root: &str, name: &str) -> Result<Object, SourceError> {
        let shown = super::shown(root, name);
        let key = self.key(&shown, name)?;
        let meta = match self.store.head(&key).await {
            Err(error) if is_answer(&error) => self.store.get(&key).await.map(|got| got.meta),
            other => other,
        };
        let meta = meta.map_err(|error| self.about.explain(&error, &shown))?;
        Ok(object(name, &meta))
    }

    /// The objects below the folder that are wanted, in no order.
    pub(super) async fn all(
        &self,
        root: &str,
        wants: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Object>, SourceError> {
        let shown = super::shown(root, "");
        let folder = self.key(&shown, "")?;
        let mut listed = self.store.list(Some(&folder));
        let (mut objects, mut seen) = (Vec::new(), 0usize);
        while let Some(meta) = listed.next().await {
            let meta = meta.map_err(|error| self.about.explain(&error, &shown))?;
            seen += 1;
            if seen > SOURCE_NAMES_MAX {
                return Err(SourceError::new(
                    format!("more than {SOURCE_NAMES_MAX} objects lie below {shown}"),
                    "name a prefix that is closer to the objects",
                ));
            }
            let key = meta.location.as_ref();
            let Some(name) = key.strip_prefix(&self.folder) else { continue };
            if wants(name) {
                objects.push(object(name, &meta));
            }
            if objects.len() > SOURCE_FILES_MAX {
                return Err(too_many(root));
            }
        }
        Ok(objects)
    }

    /// Asks for the bytes of an object.
    pub(super) async fn get(&self, shown: &str, object: &Object) -> Result<Body, SourceError> {
        let key = self.key(shown, &object.name)?;
        let got = self.store.get_opts(&key, GetOptions::default()).await;
        let got = got.map_err(|error| self.about.explain(&error, shown))?;
        if got.meta.size != object.bytes {
            return Err(SourceError::new(
                format!("{shown} changed while it was read"),
                "wait until nobody writes it, and try again",
            ));
        }
        Ok(Body { stream: got.into_stream(), about: self.about.clone() })
    }

    /// A key as the store takes it. Of a server's names the escapes are undone: they are made again
    /// when it is asked.
    fn key(&self, shown: &str, name: &str) -> Result<Path, SourceError> {
        let key = format!("{}{name}", self.folder);
        let key = match self.about.is_server() {
            true => Path::from_url_path(&key),
            false => Path::parse(&key),
        };
        key.map_err(|error| {
            let hint = "leave out empty names and dots between the slashes";
            SourceError::new(format!("{shown} is no name of an object: {error}"), hint)
        })
    }
}

fn object(name: &str, meta: &ObjectMeta) -> Object {
    // A weak tag promises the same meaning, not the same bytes.
    let tag = meta.e_tag.as_ref().filter(|tag| !tag.starts_with("W/")).map(|t| format!("etag {t}"));
    let mark = tag.or_else(|| meta.version.as_ref().map(|version| format!("version {version}")));
    Object { name: name.to_owned(), bytes: meta.size, mark }
}

/// What a store is told, by the names of `object_store`: all of a secret, or else of the
/// environment.
fn settings(provider: Provider, secret: Option<&Secret>) -> Vec<(String, String)> {
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    if let Some(secret) = secret {
        return secret.settings().map(own).collect();
    }
    let prefix = match provider {
        Provider::S3 => "AWS_",
        Provider::Google => "GOOGLE_",
        Provider::Azure => "AZURE_",
    };
    let mut settings: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(key, value)| key.starts_with(prefix) && !value.is_empty())
        .map(|(key, value)| (key.to_ascii_lowercase(), value))
        .collect();
    settings.sort();
    settings
}

fn bucket(
    provider: Provider,
    authority: &str,
    settings: &[(String, String)],
    secret: Option<&str>,
    patience: Patience,
    about: &About,
) -> Result<Arc<dyn ObjectStore>, SourceError> {
    // Who sets an endpoint of plain HTTP has said that it is to be spoken.
    let is_plain = settings
        .iter()
        .any(|(key, value)| ENDPOINTS.contains(&key.as_str()) && value.starts_with("http://"));
    let (client, retry) = (client(patience, is_plain), retry(patience));
    let failed = |error| about.unasked(&error);
    Ok(match provider {
        Provider::S3 => {
            let mut builder = AmazonS3Builder::new().with_client_options(client);
            for (key, value) in known::<AmazonS3ConfigKey>(settings, secret, provider)? {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.with_bucket_name(authority).with_retry(retry).build().map_err(failed)?)
        }
        Provider::Google => {
            let mut builder = GoogleCloudStorageBuilder::new().with_client_options(client);
            for (key, value) in known::<GoogleConfigKey>(settings, secret, provider)? {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.with_bucket_name(authority).with_retry(retry).build().map_err(failed)?)
        }
        Provider::Azure => {
            let mut builder = MicrosoftAzureBuilder::new().with_client_options(client);
            for (key, value) in known::<AzureConfigKey>(settings, secret, provider)? {
                builder = builder.with_config(key, value);
            }
            let builder = match authority.split_once('@') {
                Some((container, account)) if !account.contains('.') => {
                    builder.with_container_name(container).with_account(account)
                }
                Some(_) => builder.with_url(format!("abfss://{authority}/")),
                None => builder.with_container_name(authority),
            };
            Arc::new(builder.with_retry(retry).build().map_err(failed)?)
        }
    })
}

/// The settings that a store knows. What else lies in the environment is not meant for it; what
/// else lies in a secret is a slip.
fn known<K: FromStr>(
    settings: &[(String, String)],
    secret: Option<&str>,
    provider: Provider,
) -> Result<Vec<(K, String)>, SourceError> {
    let mut known = Vec::new();
    for (key, value) in settings {
        match (key.parse(), secret) {
            (Ok(key), _) => known.push((key, value.clone())),
            (Err(_), None) => {}
            (Err(_), Some(secret)) => {
                let example = match provider {
                    Provider::S3 => "aws_access_key_id, aws_secret_access_key, aws_region",
                    Provider::Google => "google_service_account_key",
                    Provider::Azure => "azure_storage_account_name, azure_storage_account_key",
                };
                return Err(SourceError::new(
                    format!("the secret `{secret}` has the key `{key}`, which says nothing here"),
                    format!("its keys are such as {example}"),
                ));
            }
        }
    }
    Ok(known)
}

fn server(
    root: &str,
    secret: Option<&Secret>,
    patience: Patience,
    about: &About,
) -> Result<Arc<dyn ObjectStore>, SourceError> {
    let mut client = client(patience, root.starts_with("http://"));
    if let Some(secret) = secret {
        let mut headers = HeaderMap::new();
        for (key, value) in secret.settings() {
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong_header(secret))?;
            value.set_sensitive(true);
            match key {
                "authorization" => headers.insert("authorization", value),
                _ => return Err(wrong_header(secret)),
            };
        }
        client = client.with_default_headers(headers);
    }
    let builder = HttpBuilder::new().with_url(root).with_client_options(client);
    let store = builder.with_retry(retry(patience)).build();
    Ok(Arc::new(store.map_err(|error| about.explain(&error, root))?))
}

fn wrong_header(secret: &Secret) -> SourceError {
    SourceError::new(
        format!("the secret `{}` is not one for a web server", secret.name()),
        "its one key is authorization, such as authorization=Bearer …",
    )
}

fn client(patience: Patience, is_plain: bool) -> ClientOptions {
    ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(concat!("ohc/", env!("CARGO_PKG_VERSION"))))
        .with_allow_http(is_plain)
        .with_connect_timeout(patience.connect)
        // A large object takes as long as it takes: what is bounded is silence.
        .with_timeout_disabled()
        .with_read_timeout(patience.silence)
}

fn retry(patience: Patience) -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: PAUSE_MAX, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: patience.retries, retry_timeout: RESUME_WITHIN }
}
