//! Objects of S3, Google Cloud Storage, Azure and web servers as a source, through `object_store`.
//! Never holds more of one than a piece.

use super::address::Place;
use super::explain::{About, is_answer};
use super::{Object, Secret, SourceError, too_many};
use crate::base::limits::{SOURCE_FILES_MAX, SOURCE_NAMES_MAX};
use crate::effects::buckets::{Opening, Patience, Provider, Unopened, bucket, client, retry};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{GetOptions, HeaderMap, HeaderValue, ObjectMeta, ObjectStore, ObjectStoreExt};
use std::sync::Arc;

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
        let (store, folder, about) = match place {
            Place::Bucket { provider, authority, folder } => {
                let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
                // All of a secret, or else of the environment.
                let settings = match secret {
                    Some(secret) => secret.settings().map(own).collect(),
                    None => provider.environment(),
                };
                let about = About::bucket(*provider, authority, settings.iter().map(|(_, v)| v));
                let (settings, is_strict) = (settings.as_slice(), secret.is_some());
                let opening = Opening { settings, is_strict, patience, presigner: None };
                let bucket = bucket(*provider, authority, &opening);
                let bucket = bucket.map_err(|error| unopened(error, *provider, secret, &about))?;
                (bucket.store, folder.clone(), about)
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

/// What it means that a bucket cannot be asked.
fn unopened(
    error: Unopened,
    provider: Provider,
    secret: Option<&Secret>,
    about: &About,
) -> SourceError {
    let key = match error {
        Unopened::Key(key) => key,
        Unopened::Settings(error) => return about.unasked(&error),
    };
    let example = match provider {
        Provider::S3 => "aws_access_key_id, aws_secret_access_key, aws_region",
        Provider::Google => "google_service_account_key",
        Provider::Azure => "azure_storage_account_name, azure_storage_account_key",
    };
    let name = secret.map(Secret::name).unwrap_or_default();
    SourceError::new(
        format!("the secret `{name}` has the key `{key}`, which says nothing here"),
        format!("its keys are such as {example}"),
    )
}

fn server(
    root: &str,
    secret: Option<&Secret>,
    patience: Patience,
    about: &About,
) -> Result<Arc<dyn ObjectStore>, SourceError> {
    super::super::install_tls();
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
