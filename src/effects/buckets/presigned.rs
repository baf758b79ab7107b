//! Requests to an S3 that somebody else signs, for who has no credentials of it: both sides.
//! Never sends one anywhere but to the bucket that it knows, for all that it is given is a
//! signature; and never signs one that deletes, or that changes what is as it should be.
//!
//! The store's own client makes each request without a signature. One is asked for, put into the
//! query, and the request goes out; what comes back is the client's to understand.

use super::sigv4;
use crate::base::canon::canonical_enum;
use async_trait::async_trait;
use object_store::aws::AmazonS3;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpService, ReqwestConnector,
};
use object_store::path::Path;
use object_store::signer::{Method, Signer as _};
use object_store::{ClientOptions, Error, HeaderMap, HeaderValue};
use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::sleep;

/// How often somebody is asked for a signature, and the bucket whether it takes it.
const TURNS: usize = 6;
/// Between one turn and the next; then twice as long, up to the most.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// What a bucket answers to a query that is no signature, or a wrong one, or too old.
const UNTAKEN: [u16; 3] = [400, 401, 403];
/// What it answers where a condition does not hold.
const UNMET: u16 = 412;
/// What it answers to a header that is not signed and should be.
const FORBIDDEN: u16 = 403;
/// What it answers a write with that it has made.
const MADE: [u16; 2] = [200, 204];
/// What it answers to what it does not know.
const UNKNOWN: u16 = 501;
/// So long a signed request may be made.
const SIGNED_FOR: Duration = Duration::from_secs(600);
/// What a signature may consist of. Anything else would be a request for something else.
const PARTS: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// Has an object written only where none is.
const IF_NONE: &str = "if-none-match";
/// Has an object written only over the one with this tag.
const IF_SAME: &str = "if-match";
/// How many bytes a request brings.
const LENGTH: &str = "content-length";
/// Has a write be a copy of another object.
const COPY: &str = "x-amz-copy-source";
/// The same to a store that reads `_` as `-`; nothing to others.
const COPY_TOO: &str = "x_amz_copy_source";

/// What is done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Its bytes are read.
    Read,
    /// It is asked whether it is there.
    Look,
    /// It is written where nothing is.
    Create {
        /// So many bytes.
        bytes: u64,
    },
    /// It is written where damaged bytes are.
    Replace {
        /// So many bytes.
        bytes: u64,
    },
}
canonical_enum!(Act { 1 => Read, 2 => Look, 3 => Create { bytes }, 4 => Replace { bytes } });

/// A request that can be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::effects) enum Signable<'a> {
    Read,
    Look,
    /// So many bytes.
    Create(u64),
    /// So many bytes over what has this tag.
    Replace(u64, &'a str),
}

impl Signable<'_> {
    fn method(self) -> Method {
        match self {
            Self::Read => Method::GET,
            Self::Look => Method::HEAD,
            Self::Create(_) | Self::Replace(..) => Method::PUT,
        }
    }

    /// Of a write its length, and the header under whose condition alone it is made.
    fn write(self) -> Option<(u64, (&'static str, String))> {
        match self {
            Self::Read | Self::Look => None,
            Self::Create(bytes) => Some((bytes, (IF_NONE, "*".into()))),
            Self::Replace(bytes, tag) => Some((bytes, (IF_SAME, tag.into()))),
        }
    }
}

/// Why a store has not proven that it holds signatures to what they are for.
#[derive(Debug, thiserror::Error)]
pub(in crate::effects) enum Unproven {
    /// It says neither that it does nor that it does not.
    #[error(transparent)]
    Asked(#[from] Error),
    /// It writes whatever the condition is; it answers this.
    #[error("it writes over what is there although it must not (status {0}, not {UNMET})")]
    Conditions(u16),
    /// It takes more bytes than were signed; it answers this.
    #[error("it takes more bytes than were signed (status {0}, not {FORBIDDEN})")]
    Lengths(u16),
    /// It looks at headers that nobody signed; it answers this.
    #[error("it takes headers that nobody signed, as one to copy (status {0}, not {FORBIDDEN})")]
    Headers(u16),
}

/// Signs requests of others with credentials of a bucket.
#[derive(Debug)]
pub(in crate::effects) struct Signatory {
    bucket: Arc<AmazonS3>,
    client: HttpClient,
    is_proven: OnceCell<()>,
}

/// A write that a store must refuse, and how it does.
struct Trial {
    what: Signable<'static>,
    /// A header that is not signed.
    more: Option<(&'static str, &'static str)>,
    expect: &'static [u16],
    /// What is wrong where it does not.
    wrong: fn(u16) -> Unproven,
}

impl Signatory {
    pub(super) fn new(
        bucket: Arc<AmazonS3>,
        options: &ClientOptions,
    ) -> object_store::Result<Self> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(Self { bucket, client, is_proven: OnceCell::new() })
    }

    /// The query with which the bucket takes such a request for this object, for a while.
    pub(in crate::effects) async fn sign(
        &self,
        what: Signable<'_>,
        object: &Path,
    ) -> object_store::Result<String> {
        Ok(self.signed(what, object).await?.1)
    }

    /// The address of an object, and such a query.
    async fn signed(
        &self,
        what: Signable<'_>,
        object: &Path,
    ) -> object_store::Result<(String, String)> {
        let credential = self.bucket.credentials().get_credential().await?;
        let url = self.bucket.signed_url(what.method(), object, SIGNED_FOR).await?.to_string();
        let (address, query) = url.split_once('?').unwrap_or((&url, ""));
        let Some((bytes, (condition, value))) = what.write() else {
            return Ok((address.to_owned(), query.to_owned()));
        };
        let bytes = bytes.to_string();
        let headers = [(condition, value.as_str()), (LENGTH, bytes.as_str())];
        let query = sigv4::query(&url, what.method().as_str(), &headers, &credential);
        // It was another one a moment ago.
        let query = query.ok_or_else(|| failed("its credentials change".into()))?;
        Ok((address.to_owned(), query))
    }

    /// Whether this store holds signatures to what they are for. Not all do: some know no
    /// conditions, and some take headers that nobody signed. Asked once, by writes over an object
    /// that is there, all of which it must refuse; they would give it the bytes that it has.
    pub(in crate::effects) async fn prove(
        &self,
        object: &Path,
        bytes: &'static [u8],
    ) -> Result<(), Unproven> {
        let proven = self.is_proven.get_or_try_init(async || {
            for trial in trials(bytes.len() as u64) {
                let status = self.try_write(&trial, object, bytes).await?;
                let tells = match trial.more {
                    Some(_) => status < 500,
                    None => MADE.contains(&status) || [UNKNOWN, UNMET].contains(&status),
                };
                match trial.expect.contains(&status) {
                    true => {}
                    false if tells => return Err((trial.wrong)(status)),
                    false => {
                        return Err(failed(format!("a write over what is there: {status}")).into());
                    }
                }
            }
            Ok(())
        });
        proven.await.copied()
    }

    async fn try_write(
        &self,
        trial: &Trial,
        object: &Path,
        bytes: &'static [u8],
    ) -> object_store::Result<u16> {
        let mut request = HttpRequest::new(HttpRequestBody::from(bytes.to_vec()));
        *request.method_mut() = trial.what.method();
        let (address, query) = self.signed(trial.what, object).await?;
        let uri = format!("{address}?{query}").parse();
        *request.uri_mut() = uri.map_err(|error| failed(format!("{error}")))?;
        let condition = trial.what.write().map(|(_, condition)| condition);
        let more = trial.more.map(|(name, value)| (name, value.to_owned()));
        for (name, value) in condition.into_iter().chain(more) {
            let value = HeaderValue::try_from(value).map_err(|error| failed(error.to_string()))?;
            request.headers_mut().insert(name, value);
        }
        let answer = self.client.execute(request).await;
        Ok(answer.map_err(|error| failed(error.to_string()))?.status().as_u16())
    }
}

/// What a store must refuse that has an object of so many bytes.
fn trials(bytes: u64) -> [Trial; 5] {
    // That to copy tells a store that does not look at it from one that looks for the source.
    let copy = |name| Some((name, "/ohc/ohc"));
    let (create, less) = (Signable::Create(bytes), Signable::Create(bytes.saturating_sub(1)));
    let conditions = Unproven::Conditions;
    let headers = Unproven::Headers;
    let over = Signable::Replace(bytes, "\"0\"");
    [
        Trial { what: create, more: None, expect: &[UNMET], wrong: conditions },
        Trial { what: over, more: None, expect: &[UNMET], wrong: conditions },
        Trial { what: less, more: None, expect: &[FORBIDDEN], wrong: Unproven::Lengths },
        Trial { what: create, more: copy(COPY), expect: &[FORBIDDEN], wrong: headers },
        Trial { what: create, more: copy(COPY_TOO), expect: &[FORBIDDEN, UNMET], wrong: headers },
    ]
}

fn failed(why: String) -> Error {
    Error::Generic { store: "S3", source: why.into() }
}

/// Whoever has requests signed.
#[async_trait]
pub trait Presigner: Debug + Send + Sync + 'static {
    /// The query with which the bucket takes a request for the object at this path of its address,
    /// where somebody signs it: each turn somebody else.
    async fn presign(&self, act: Act, path: &str, turn: usize) -> Option<String>;
}

/// Connects to a bucket with signatures of somebody else.
#[derive(Debug, Clone)]
pub(super) struct Connector(pub(super) Arc<dyn Presigner>);

/// A connection.
#[derive(Debug)]
struct Service {
    client: HttpClient,
    presigner: Arc<dyn Presigner>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Service { client, presigner: self.0.clone() }))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let bytes = request.body().content_length() as u64;
        let Some(act) = act(request.method().as_str(), request.headers(), bytes) else {
            let why = "nobody signs a request to change or delete what is there";
            return Err(HttpError::new(HttpErrorKind::Unknown, io::Error::other(why)));
        };
        let (mut refused, mut pause) = (None, PAUSE);
        for turn in 0..TURNS {
            if turn > 0 {
                sleep(pause).await;
                pause = PAUSE_MAX.min(pause * 2);
            }
            let query = self.presigner.presign(act, request.uri().path(), turn).await;
            let query = query.filter(|query| is_signature(act, query));
            let Some(signed) = query.and_then(|query| with_query(&request, &query)) else {
                continue;
            };
            let answer = self.client.execute(signed).await?;
            if !UNTAKEN.contains(&answer.status().as_u16()) {
                return Ok(answer);
            }
            refused = Some(answer);
        }
        let why = "no validator signs this request (their logs say why)";
        refused.ok_or_else(|| HttpError::new(HttpErrorKind::Connect, io::Error::other(why)))
    }
}

/// What a request does, if it is one that somebody may sign.
fn act(method: &str, headers: &HeaderMap, bytes: u64) -> Option<Act> {
    match method {
        "GET" => Some(Act::Read),
        "HEAD" => Some(Act::Look),
        "PUT" if headers.get(IF_NONE).is_some_and(|tag| tag == "*") => Some(Act::Create { bytes }),
        "PUT" if headers.contains_key(IF_SAME) => Some(Act::Replace { bytes }),
        _ => None,
    }
}

/// Whether a query is a signature of such a request and nothing else.
fn is_signature(act: Act, query: &str) -> bool {
    let headers = match act {
        Act::Read | Act::Look => "host",
        Act::Create { .. } => "content-length%3Bhost%3Bif-none-match",
        Act::Replace { .. } => "content-length%3Bhost%3Bif-match",
    };
    let mut left = PARTS.to_vec();
    let are_known = query.split('&').all(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = left.iter().position(|part| *part == name);
        place.map(|place| left.swap_remove(place)).is_some()
            && (name != "X-Amz-SignedHeaders" || value == headers)
    });
    are_known && left.iter().all(|part| *part == "X-Amz-Security-Token")
}

/// The same request with this query, if it can be one.
fn with_query(request: &HttpRequest, query: &str) -> Option<HttpRequest> {
    let uri = request.uri();
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let signed = format!("{scheme}://{authority}{}?{query}", uri.path()).parse().ok()?;
    let mut request = request.clone();
    *request.uri_mut() = signed;
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_has_a_condition_and_a_length_or_is_none() {
        let one = |name: &'static str, value: &str| Some((7, (name, value.to_owned())));
        assert_eq!(Signable::Create(7).write(), one(IF_NONE, "*"));
        assert_eq!(Signable::Replace(7, "\"5eed\"").write(), one(IF_SAME, "\"5eed\""));
        assert_eq!(Signable::Read.write(), None);
        assert_eq!(Signable::Look.write(), None);
    }

    #[test]
    fn a_query_that_asks_for_something_else_is_no_signature() {
        let parts = |headers: &str| {
            let value = |part| if part == "X-Amz-SignedHeaders" { headers } else { "x" };
            let pairs = PARTS.map(|part| format!("{part}={}", value(part)));
            pairs.join("&")
        };
        let read = parts("host");
        let written = |condition: &str| parts(&format!("content-length%3Bhost%3B{condition}"));
        let create = written("if-none-match");
        assert!(is_signature(Act::Read, &read) && is_signature(Act::Look, &read));
        let act = Act::Create { bytes: 7 };
        assert!(is_signature(act, &create) && !is_signature(act, &read));
        assert!(is_signature(Act::Replace { bytes: 7 }, &written("if-match")));
        let without = |part| read.replace(&format!("{part}=x&"), "");
        assert!(is_signature(Act::Read, &without("X-Amz-Security-Token")));
        for other in [
            String::new(),
            without("X-Amz-Date"),
            format!("{read}&versionId=1"),
            format!("uploadId=1&{read}"),
            format!("torrent&{read}"),
            format!("{read}&X-Amz-Date=x"),
            read.replace("=host", "=host%3Bx-amz-copy-source"),
        ] {
            assert!(!is_signature(Act::Read, &other), "{other}");
        }
    }
}
