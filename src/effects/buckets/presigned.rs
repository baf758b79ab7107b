//! Requests to a bucket that somebody else signs, for who has no credentials of it: both sides.
//! Never sends one anywhere but to the bucket that it knows, for all that it is given is a
//! signature; and never signs one that changes or deletes what is there.
//!
//! The store's own client makes each request without a signature. One is asked for, put into the
//! query, and the request goes out; what comes back is the client's to understand.

use crate::base::canon::canonical_enum;
use async_trait::async_trait;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpService};
use object_store::client::{HttpRequest, HttpResponse, ReqwestConnector};
use object_store::path::Path;
use object_store::signer::{HeaderName, Method, SignedUrlOptions, Signer};
use object_store::{ClientOptions, HeaderMap, HeaderValue};
use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How often somebody is asked for a signature, and the bucket whether it takes it.
const TURNS: usize = 6;
/// What a bucket answers to a query that is no signature, or a wrong one, or too old.
const UNTAKEN: [u16; 3] = [400, 401, 403];
/// So long a signed request may be made.
const SIGNED_FOR: Duration = Duration::from_secs(600);

/// A header that has an object written only where none is.
type Condition = (&'static str, &'static str);
/// That of S3.
pub(super) const OF_S3: Condition = ("if-none-match", "*");
/// That of Google.
pub(super) const OF_GOOGLE: Condition = ("x-goog-if-generation-match", "0");

/// What is done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Its bytes are read.
    Read,
    /// It is asked whether it is there.
    Look,
    /// It is written where nothing is.
    Create,
}
canonical_enum!(Act { 1 => Read, 2 => Look, 3 => Create });

/// Signs requests of others with credentials of a bucket.
#[derive(Debug)]
pub(in crate::effects) struct Signatory {
    signer: Arc<dyn Signer>,
    condition: Condition,
}

impl Signatory {
    pub(super) fn new(signer: Arc<dyn Signer>, condition: Condition) -> Self {
        Self { signer, condition }
    }

    /// The query with which the bucket takes such a request for this object, for a while. Who
    /// creates it is held to the condition: a header of that name is part of what is signed.
    pub(in crate::effects) async fn sign(
        &self,
        act: Act,
        object: &Path,
    ) -> object_store::Result<String> {
        let (name, value) = self.condition;
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        let (method, options) = match act {
            Act::Read => (Method::GET, SignedUrlOptions::new()),
            Act::Look => (Method::HEAD, SignedUrlOptions::new()),
            Act::Create => (Method::PUT, SignedUrlOptions::new().with_signed_header(name, value)),
        };
        let url = self.signer.signed_url_opts(method, object, SIGNED_FOR, &options).await?;
        Ok(url.query().unwrap_or_default().to_owned())
    }
}

/// Whoever has requests signed.
#[async_trait]
pub trait Presigner: Debug + Send + Sync + 'static {
    /// The query with which the bucket takes a request for the object at this path of its address,
    /// where somebody signs it this time.
    async fn presign(&self, act: Act, path: &str) -> Option<String>;
}

/// Connects to a bucket with signatures of somebody else.
#[derive(Debug, Clone)]
pub(in crate::effects) struct Connector(pub(in crate::effects) Arc<dyn Presigner>);

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
        let Some(act) = act(request.method().as_str(), request.headers()) else {
            let why = "nobody signs a request to change or delete what is there";
            return Err(HttpError::new(HttpErrorKind::Unknown, io::Error::other(why)));
        };
        let mut refused = None;
        for _ in 0..TURNS {
            let query = self.presigner.presign(act, request.uri().path()).await;
            let Some(signed) = query.and_then(|query| with_query(&request, &query)) else {
                continue;
            };
            let answer = self.client.execute(signed).await?;
            if !UNTAKEN.contains(&answer.status().as_u16()) {
                return Ok(answer);
            }
            refused = Some(answer);
        }
        let why = "no validator signs requests for this worker";
        refused.ok_or_else(|| HttpError::new(HttpErrorKind::Connect, io::Error::other(why)))
    }
}

/// What a request does, if it is one that somebody may sign.
fn act(method: &str, headers: &HeaderMap) -> Option<Act> {
    let is_condition = |(name, value): &Condition| {
        headers.get(*name).is_some_and(|found| found.as_bytes() == value.as_bytes())
    };
    match method {
        "GET" => Some(Act::Read),
        "HEAD" => Some(Act::Look),
        "PUT" if [OF_S3, OF_GOOGLE].iter().any(is_condition) => Some(Act::Create),
        _ => None,
    }
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
