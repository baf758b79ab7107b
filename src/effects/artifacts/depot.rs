//! The store that all nodes of a network reach: a bucket, or a folder that all of them mount.
//! Never says that an artifact is missing where it cannot know: a folder that is not mounted and a
//! bucket that is not there hold nothing either. So the store has a mark; what has none is away.

use super::presigned::{Act, ObjectRequest, Presigner};
use super::{ArtifactError, is_whole, place, read, whole};
use crate::base::canon::Digest;
use crate::effects::buckets::presigned::{Signable, Signatory, Unproven};
use crate::effects::buckets::{self, Bucket, Opening, Patience, Provider, Unopened};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    Error, GetResult, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion,
};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where every store says that it is one.
pub(super) const MARK: &str = "ohc-store";
/// What the mark says.
const MARKED: &[u8] = b"ohc artifacts 1\n";
/// Between one try and the next, beside what the store's own client waits.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];
/// Bytes that were read to be replaced are remembered so long.
const LOOKED_MAX: usize = 1_024;
/// The longest message of a store that is repeated.
const WHY_CHARS_MAX: usize = 200;

/// How a store is opened and asked.
#[derive(Clone, Default)]
pub struct Access {
    /// What opens it, by the names of `object_store`; the environment where there is nothing.
    pub settings: Option<Vec<(String, String)>>,
    /// How long it is waited for.
    pub patience: Patience,
    /// Who has each request signed, instead of what opens it.
    pub presigner: Option<Arc<dyn Presigner>>,
}

/// A store that many write to and nobody owns.
#[derive(Debug)]
pub(super) struct Depot {
    store: Arc<dyn ObjectStore>,
    shown: String,
    /// Signs requests of others, and where in the bucket this store begins.
    signatory: Option<(Signatory, Path)>,
    writing: Writing,
    /// Where it lies, if it is a folder, which may come and go while the path to it stays.
    folder: Option<PathBuf>,
    /// Whether its mark was seen.
    is_marked: AtomicBool,
    /// What was read to be replaced.
    looked: Mutex<Looked>,
}

/// Of bytes that were read, by name and tag, whether they were whole: the last so many.
#[derive(Debug, Default)]
struct Looked(VecDeque<((Digest, String), bool)>);

impl Looked {
    fn of(&self, seen: &(Digest, String)) -> Option<bool> {
        self.0.iter().find(|(known, _)| known == seen).map(|(_, is_whole)| *is_whole)
    }

    fn add(&mut self, seen: (Digest, String), is_whole: bool) {
        self.0.push_back((seen, is_whole));
        if self.0.len() > LOOKED_MAX {
            self.0.pop_front();
        }
    }
}

/// How one may write to a store.
#[derive(Debug)]
enum Writing {
    /// Not at all.
    Never,
    /// Where nothing is; and anywhere once the store has said that it cannot tell.
    Own { is_exclusive: AtomicBool },
    /// What others sign: where nothing is, or over bytes that are damaged.
    Presigned,
}

impl Depot {
    pub(super) fn open(url: &str, access: &Access) -> Result<Self, ArtifactError> {
        let wrong = |why: &str| ArtifactError::Address { url: url.into(), why: why.into() };
        let (scheme, rest) = url.split_once("://").unwrap_or(("file", url));
        let (mut folder, mut signatory) = (None, None);
        let (store, is_read_only): (Arc<dyn ObjectStore>, bool) = match scheme {
            "file" => {
                let path = absolute(rest).map_err(|error| wrong(&error.to_string()))?;
                let prefix = Path::from_absolute_path(&path);
                let prefix = prefix.map_err(|error| wrong(&error.to_string()))?;
                folder = Some(path);
                let files = LocalFileSystem::new().with_fsync(true);
                (Arc::new(PrefixStore::new(files, prefix)), false)
            }
            "http" | "https" => (server(url, access.patience, wrong)?, true),
            _ => match Provider::of(scheme) {
                Some(provider) => {
                    let (bucket, prefix) = bucket(provider, rest, access, wrong)?;
                    signatory = bucket.signatory.map(|signatory| (signatory, prefix.clone()));
                    (Arc::new(PrefixStore::new(bucket.store, prefix)), false)
                }
                None => return Err(wrong(&format!("nobody knows the scheme `{scheme}`"))),
            },
        };
        let writing = match (&access.presigner, &signatory) {
            (Some(_), None) => return Err(ArtifactError::Unsigned),
            (Some(_), Some(_)) => Writing::Presigned,
            (None, _) if is_read_only => Writing::Never,
            (None, _) => Writing::Own { is_exclusive: AtomicBool::new(true) },
        };
        let (shown, is_marked) = (url.to_owned(), AtomicBool::new(false));
        let looked = Mutex::default();
        Ok(Self { store, shown, signatory, writing, folder, is_marked, looked })
    }

    /// Signs a request for another, unless it would replace what is as it should be.
    pub(super) async fn presign(
        &self,
        request: ObjectRequest,
        may_begin: bool,
    ) -> Result<Option<String>, ArtifactError> {
        let Some((signatory, prefix)) = &self.signatory else {
            return Err(ArtifactError::Unsigned);
        };
        if may_begin {
            self.mark().await?;
        }
        let digest = request.artifact.unwrap_or_default();
        let failed = |error| self.away("sign a request for", digest, &error);
        let within = |place: Path| Path::from_iter(prefix.parts().chain(place.parts()));
        if matches!(request.act, Act::Create { .. } | Act::Replace { .. }) {
            self.check_mark("sign a request for", digest).await?;
            let proven = signatory.prove(&within(MARK.into()), MARKED).await;
            proven.map_err(|error| self.unproven(error, failed))?;
        }
        let tag;
        let what = match request.act {
            // The mark is as it should be wherever it is.
            Act::Create { .. } | Act::Replace { .. } if request.artifact.is_none() => {
                return Ok(None);
            }
            Act::Read => Signable::Read,
            Act::Look => Signable::Look,
            Act::Create { bytes } => Signable::Create(bytes),
            Act::Replace { bytes } => match self.damaged(digest).await? {
                Some(found) => {
                    tag = found;
                    Signable::Replace(bytes, &tag)
                }
                None => return Ok(None),
            },
        };
        signatory.sign(what, &within(request.place())).await.map(Some).map_err(failed)
    }

    fn unproven(&self, error: Unproven, away: impl Fn(Error) -> ArtifactError) -> ArtifactError {
        let why = error.to_string();
        let hint = match error {
            Unproven::Asked(error) => return away(error),
            Unproven::Conditions(_) | Unproven::Lengths(_) => {
                "give those who write credentials, or take another store"
            }
            Unproven::Headers(_) => "put deploy/s3/haproxy.cfg before it, which refuses those",
        };
        ArtifactError::Unheld { store: self.shown.clone(), why, hint }
    }

    /// The tag of the bytes that lie under a digest and have another one. They are read once: who
    /// asks may have gone away until that is done, and asks again.
    async fn damaged(&self, digest: Digest) -> Result<Option<String>, ArtifactError> {
        let failed = |error| self.away("read", digest, &error);
        let Some(tag) = self.store.head(&place(digest)).await.map_err(failed)?.e_tag else {
            return Ok(None);
        };
        let seen = (digest, tag);
        let known = self.looked.lock().unwrap_or_else(PoisonError::into_inner).of(&seen);
        if let Some(is_whole) = known {
            return Ok((!is_whole).then_some(seen.1));
        }
        let found = self.store.get(&place(digest)).await.map_err(failed)?;
        let Some(tag) = found.meta.e_tag.clone() else { return Ok(None) };
        let is_whole = is_whole(found, digest).await.map_err(failed)?;
        let seen = (digest, tag.clone());
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).add(seen, is_whole);
        Ok((!is_whole).then_some(tag))
    }

    /// Sets the mark where there is none.
    pub(super) async fn begin(&self) -> Result<(), ArtifactError> {
        self.patiently(|| self.mark()).await
    }

    /// Fails where nobody has begun it, or where it cannot be reached.
    pub(super) async fn check_begun(&self) -> Result<(), ArtifactError> {
        self.check_mark("look for", Digest::of(MARKED)).await
    }

    async fn mark(&self) -> Result<(), ArtifactError> {
        let failed = |error| self.away("begin with", Digest::of(MARKED), &error);
        match self.store.head(&MARK.into()).await {
            Ok(_) => return Ok(()),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        // Whoever else begins it writes the same.
        let put = self.store.put(&MARK.into(), PutPayload::from_static(MARKED)).await;
        put.map(drop).map_err(failed)
    }

    /// The bytes under a digest, checked.
    pub(super) async fn get(&self, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
        self.patiently(async || self.fetch(digest).await).await
    }

    /// Whether the bytes under a digest are its own, of which none are kept.
    pub(super) async fn look(&self, digest: Digest) -> Result<(), ArtifactError> {
        if self.folder.is_some() {
            return self.get(digest).await.map(drop);
        }
        self.patiently(async || {
            let found = self.found(digest).await?;
            match is_whole(found, digest).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(ArtifactError::Damaged { digest }),
                Err(error) => Err(self.away("read", digest, &error)),
            }
        })
        .await
    }

    /// Whether something lies under a digest.
    pub(super) async fn has(&self, digest: Digest) -> Result<bool, ArtifactError> {
        self.patiently(async || match self.lies(&place(digest)).await {
            Ok(true) => Ok(true),
            Ok(false) => self.check_mark("look for", digest).await.map(|()| false),
            Err(error) => Err(self.away("look for", digest, &error)),
        })
        .await
    }

    /// Whether something lies there. In a folder no thread is woken up to look.
    async fn lies(&self, place: &Path) -> object_store::Result<bool> {
        if let Some(folder) = &self.folder {
            return folder.join(place.as_ref()).try_exists().map_err(of_folder);
        }
        match self.store.head(place).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stores the bytes of a digest unless they are there; damaged ones are replaced.
    pub(super) async fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), ArtifactError> {
        if matches!(self.writing, Writing::Never) {
            return Err(self.gone("write", digest, "is one to read alone".into()));
        }
        self.patiently(async || self.put_once(digest, bytes).await).await
    }

    async fn put_once(&self, digest: Digest, bytes: &[u8]) -> Result<(), ArtifactError> {
        // Into a folder that is not mounted it would be written for nobody.
        if self.folder.is_some() || !self.is_marked.load(Ordering::Relaxed) {
            self.check_mark("write", digest).await?;
            self.is_marked.store(true, Ordering::Relaxed);
        }
        let may_cease = match &self.writing {
            Writing::Own { is_exclusive } => Some(is_exclusive),
            _ => None,
        };
        if may_cease.is_none_or(|is_exclusive| is_exclusive.load(Ordering::Relaxed)) {
            match self.write(digest, bytes, PutMode::Create).await {
                Ok(()) => return self.check_written(digest).await,
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
                // Some stores cannot: under a digest, the second writer writes the same.
                Err(error) => match may_cease.filter(|_| is_unable(&error)) {
                    Some(is_exclusive) => is_exclusive.store(false, Ordering::Relaxed),
                    None => return Err(self.away("write", digest, &error)),
                },
            }
        }
        match self.fetch(digest).await {
            Ok(_) => Ok(()),
            Err(
                ArtifactError::Missing { .. }
                | ArtifactError::Damaged { .. }
                | ArtifactError::TooLarge { .. },
            ) => {
                let written = self.write(digest, bytes, self.over(digest).await?).await;
                written.map_err(|error| self.away("write", digest, &error))?;
                self.check_written(digest).await
            }
            Err(error) => Err(error),
        }
    }

    /// How damaged bytes are replaced: those that are there now where somebody else signs it.
    async fn over(&self, digest: Digest) -> Result<PutMode, ArtifactError> {
        if !matches!(self.writing, Writing::Presigned) {
            return Ok(PutMode::Overwrite);
        }
        let found = self.store.head(&place(digest)).await;
        let e_tag = found.map_err(|error| self.away("replace", digest, &error))?.e_tag;
        Ok(PutMode::Update(UpdateVersion { e_tag, version: None }))
    }

    /// What was written into a folder is there only if the folder still is: it may have gone
    /// between the look at its mark and the write, and is then written again where it belongs.
    async fn check_written(&self, digest: Digest) -> Result<(), ArtifactError> {
        match self.folder {
            Some(_) => self.check_mark("write", digest).await,
            None => Ok(()),
        }
    }

    async fn write(&self, digest: Digest, bytes: &[u8], mode: PutMode) -> object_store::Result<()> {
        let payload = PutPayload::from(bytes.to_vec());
        self.store.put_opts(&place(digest), payload, mode.into()).await.map(drop)
    }

    async fn fetch(&self, digest: Digest) -> Result<Vec<u8>, ArtifactError> {
        if let Some(folder) = &self.folder {
            return match read(&folder.join(place(digest).as_ref()), digest) {
                Err(ArtifactError::Missing { .. }) => {
                    self.check_mark("read", digest).await?;
                    Err(ArtifactError::Missing { digest })
                }
                Err(ArtifactError::Io { source, .. }) => {
                    Err(self.away("read", digest, &of_folder(source)))
                }
                found => found,
            };
        }
        let bytes = whole(self.found(digest).await?, digest).await?;
        bytes.map_err(|error| self.away("read", digest, &error))
    }

    /// What lies under a digest, of which nothing is read yet.
    async fn found(&self, digest: Digest) -> Result<GetResult, ArtifactError> {
        match self.store.get(&place(digest)).await {
            Ok(found) => Ok(found),
            Err(Error::NotFound { .. }) => {
                self.check_mark("read", digest).await?;
                Err(ArtifactError::Missing { digest })
            }
            Err(error) => Err(self.away("read", digest, &error)),
        }
    }

    /// Whether this is the store at all.
    async fn check_mark(&self, doing: &'static str, digest: Digest) -> Result<(), ArtifactError> {
        match self.lies(&MARK.into()).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.is_marked.store(false, Ordering::Relaxed);
                Err(self.gone(doing, digest, format!("is not there: it has no {MARK}")))
            }
            Err(error) => Err(self.away(doing, digest, &error)),
        }
    }

    /// Tries again what may pass.
    async fn patiently<T>(
        &self,
        mut one: impl AsyncFnMut() -> Result<T, ArtifactError>,
    ) -> Result<T, ArtifactError> {
        for pause in PAUSES {
            match one().await {
                Err(error) if error.is_passing() => tokio::time::sleep(pause).await,
                other => return other,
            }
        }
        one().await
    }

    fn away(&self, doing: &'static str, digest: Digest, error: &Error) -> ArtifactError {
        let denied =
            matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. });
        let is_presigned = matches!(self.writing, Writing::Presigned);
        let mut cause = error as &(dyn std::error::Error + 'static);
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let why: String = cause.to_string().chars().take(WHY_CHARS_MAX).collect();
        let (why, hint) = match denied {
            true if is_presigned => (
                format!("takes no validator's signature: {why}"),
                "give this node the same AWS_REGION and AWS_ENDPOINT_URL as the validators, and \
                 look at their clocks and credentials",
            ),
            true => (
                format!("does not let us: {why}"),
                "give this node credentials in its environment (AWS_ACCESS_KEY_ID, …), and the \
                 folder its rights",
            ),
            false => (
                format!("is away: {why}"),
                "it is asked again; look at the network, and whether the store is up",
            ),
        };
        let store = self.shown.clone();
        // Another validator may sign what one of them does not.
        let is_passing = !denied || is_presigned;
        ArtifactError::Away { doing, digest, store, why, hint, is_passing }
    }

    fn gone(&self, doing: &'static str, digest: Digest, why: String) -> ArtifactError {
        let hint = "mount the folder, or look at its name in network.yaml; the first `ohc apply` \
                    to a network begins its store";
        let (store, is_passing) = (self.shown.clone(), !matches!(self.writing, Writing::Never));
        ArtifactError::Away { doing, digest, store, why, hint, is_passing }
    }
}

/// Whether a store says that it cannot do what was asked, rather than that it failed.
fn is_unable(error: &Error) -> bool {
    let says = |error: &Error| error.to_string().contains("NotImplemented");
    matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. }) || says(error)
}

/// What a file system says, as a store says it.
fn of_folder(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Error::PermissionDenied { path: String::new(), source: Box::new(error) }
        }
        _ => Error::Generic { store: "folder", source: Box::new(error) },
    }
}

/// A folder, which need not be there yet: it may be mounted later.
fn absolute(path: &str) -> io::Result<PathBuf> {
    let path = path.strip_prefix("localhost").unwrap_or(path);
    // It need not be there yet; where it leads back up (`..`) is for the system to say.
    let path = std::path::Path::new(path);
    let made = path.parent().zip(path.file_name());
    path.canonicalize().or_else(|_| {
        match made.map(|(parent, name)| (parent.canonicalize(), name)) {
            Some((Ok(parent), name)) => Ok(parent.join(name)),
            _ => std::path::absolute(path),
        }
    })
}

fn bucket(
    provider: Provider,
    rest: &str,
    access: &Access,
    wrong: impl Fn(&str) -> ArtifactError,
) -> Result<(Bucket, Path), ArtifactError> {
    let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.is_empty() {
        return Err(wrong("it names no bucket"));
    }
    if authority.contains('@') && (provider != Provider::Azure || authority.contains(':')) {
        return Err(wrong("a credential stands in it"));
    }
    let prefix = Path::parse(prefix.trim_end_matches('/'));
    let prefix = prefix.map_err(|error| wrong(&error.to_string()))?;
    let settings = access.settings.clone().unwrap_or_else(|| provider.environment());
    let presigner = access.presigner.clone();
    let (settings, patience) = (settings.as_slice(), access.patience);
    let opening = Opening { settings, is_strict: false, patience, presigner };
    let bucket = buckets::bucket(provider, authority, &opening).map_err(|error| match error {
        Unopened::Key(key) => wrong(&format!("nobody knows the setting {key}")),
        Unopened::Settings(error) => wrong(&error.to_string()),
    })?;
    Ok((bucket, prefix))
}

fn server(
    url: &str,
    patience: Patience,
    wrong: impl Fn(&str) -> ArtifactError,
) -> Result<Arc<dyn ObjectStore>, ArtifactError> {
    if url.contains('@') {
        return Err(wrong("a credential stands in it"));
    }
    let client = buckets::client(patience, url.starts_with("http://"));
    super::super::install_tls();
    let builder = HttpBuilder::new().with_url(url).with_client_options(client);
    let store = builder.with_retry(buckets::retry(patience)).build();
    Ok(Arc::new(store.map_err(|error| wrong(&error.to_string()))?))
}

#[cfg(test)]
mod tests;
