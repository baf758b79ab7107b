//! What a store's error means for a person: what is wrong, and what to do about it.
//! Never repeats what a server said at length, nor anything that is a secret.

use super::SourceError;
use crate::effects::buckets::Provider;
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error;
use std::io;
use std::sync::Arc;

/// The shortest secret that is looked for in messages: shorter ones are words like `true`.
const SECRET_BYTES_MIN: usize = 8;
/// The longest code of an error that is repeated.
const CODE_BYTES_MAX: usize = 64;
/// Who is asked for the credentials of a machine where none are set.
const METADATA: &[&str] = &["169.254.169.254", "metadata.google.internal"];
/// What `object_store` writes before the status of an answer.
const STATUS: &str = "Server returned non-2xx status code: ";

/// Who is asked, and what must not be said of it.
#[derive(Clone)]
pub(super) struct About {
    provider: Option<Provider>,
    bucket: String,
    secrets: Arc<[String]>,
}

impl std::fmt::Debug for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("About").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl About {
    pub(super) fn bucket<'a>(
        provider: Provider,
        bucket: &str,
        secrets: impl Iterator<Item = &'a String>,
    ) -> Self {
        let secrets = long(secrets.map(String::as_str));
        Self { provider: Some(provider), bucket: bucket.to_owned(), secrets }
    }

    pub(super) fn server<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        Self { provider: None, bucket: String::new(), secrets: long(secrets) }
    }

    pub(super) fn is_server(&self) -> bool {
        self.provider.is_none()
    }

    /// What an error means that came of asking for `shown`.
    pub(super) fn explain(&self, error: &object_store::Error, shown: &str) -> SourceError {
        let told = match error {
            object_store::Error::NotFound { .. } => self.missing(&answer(error), shown),
            object_store::Error::PermissionDenied { .. } => self.denied(403, error, shown),
            object_store::Error::Unauthenticated { .. } => self.denied(401, error, shown),
            other => self.other(other, shown),
        };
        SourceError::new(self.scrub(&told.message), self.scrub(&told.hint))
    }

    fn missing(&self, answer: &Answer, shown: &str) -> SourceError {
        let bucket = &self.bucket;
        if matches!(answer.code.as_deref(), Some("NoSuchBucket" | "ContainerNotFound")) {
            let hint = "look at its name, and at the account or endpoint that is asked";
            return SourceError::new(format!("there is no bucket `{bucket}`"), hint);
        }
        let hint = match self.provider {
            Some(_) => "look at its name: upper and lower case are different",
            None => "look at the address: the server says 404",
        };
        SourceError::new(format!("there is no object {shown}"), hint)
    }

    fn denied(&self, status: u16, error: &object_store::Error, shown: &str) -> SourceError {
        let code = answer(error).code.map(|code| format!(" {code}")).unwrap_or_default();
        SourceError::new(format!("{shown} may not be read: {status}{code}"), self.credentials())
    }

    /// What an error means that came of settings, before anybody was asked.
    pub(super) fn unasked(&self, error: &object_store::Error) -> SourceError {
        let root = chain(error).last().map(ToString::to_string).unwrap_or_default();
        let message = format!("the store of `{}` cannot be asked: {root}", self.bucket);
        SourceError::new(self.scrub(&message), self.credentials())
    }

    /// Where credentials go.
    fn credentials(&self) -> &'static str {
        match self.provider {
            Some(Provider::S3) => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to keys that may read it (or \
                 AWS_SKIP_SIGNATURE=true if it is public), or name a secret with `auth: { \
                 secretRef: NAME }`"
            }
            Some(Provider::Google) => {
                "set GOOGLE_SERVICE_ACCOUNT_KEY to an account that may read it (or \
                 GOOGLE_SKIP_SIGNATURE=true if it is public), or name a secret with `auth: { \
                 secretRef: NAME }`"
            }
            Some(Provider::Azure) => {
                "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY to those that may \
                 read it (or AZURE_SKIP_SIGNATURE=true if it is public), or name a secret with \
                 `auth: { secretRef: NAME }`"
            }
            None => "name a secret that holds `authorization` with `auth: { secretRef: NAME }`",
        }
    }

    fn other(&self, error: &object_store::Error, shown: &str) -> SourceError {
        let failure = Failure::of(error);
        let wrong = |what: String, hint: &str| SourceError::new(format!("{shown}: {what}"), hint);
        match failure {
            Failure::Status(status @ (401 | 403)) => self.denied(status, error, shown),
            Failure::Status(404) => self.missing(&answer(error), shown),
            Failure::Status(status) => {
                let code = answer(error).code.map(|code| format!(" {code}")).unwrap_or_default();
                let hint = match status {
                    300..=399 => "the bucket is in another region: set AWS_REGION",
                    500.. => "the store is in trouble: try again later",
                    _ => "look at the address and at the settings of the store",
                };
                wrong(format!("the store answered {status}{code}"), hint)
            }
            Failure::NoCredentials => SourceError::new(
                format!("{shown}: no credentials are set, and this machine has none of its own"),
                self.credentials(),
            ),
            Failure::Redirects => wrong(
                "too many redirects".into(),
                "name the address that they lead to, if they lead anywhere",
            ),
            Failure::Region => wrong(
                "the store sends us elsewhere and does not say where".into(),
                "the bucket is in another region: set AWS_REGION",
            ),
            Failure::NoLength => wrong(
                "the server does not say how long it is".into(),
                "download it to a file, or have it served with a Content-Length",
            ),
            Failure::Silence => wrong(
                "no answer in time".into(),
                "the store is slow or out of reach: look at the network, and try again",
            ),
            Failure::Refused(what) => wrong(
                format!("cannot connect: {what}"),
                "look at the host and the port, and whether the store is up",
            ),
            Failure::Name(what) => wrong(
                format!("the host is not known: {what}"),
                "look at the name of the host, and at the network",
            ),
            Failure::Tls(what) => wrong(
                format!("no secure connection: {what}"),
                "look at the address; a certificate of your own is trusted with SSL_CERT_FILE",
            ),
            Failure::PlainHttp => wrong(
                "plain HTTP is not spoken here".into(),
                "write http:// in the address if nobody may listen in, else use https://",
            ),
            Failure::Broken(what) => wrong(
                format!("the connection broke: {what}"),
                "try again: what was read before is not kept",
            ),
            Failure::Other(what) => wrong(what, "look at the address and the settings"),
        }
    }

    /// Strikes out every secret that is known.
    fn scrub(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }
}

fn long<'a>(secrets: impl Iterator<Item = &'a str>) -> Arc<[String]> {
    let long = secrets.filter(|secret| secret.len() >= SECRET_BYTES_MIN);
    // Addresses of endpoints are settings and no secrets; people need to see them.
    long.filter(|secret| !secret.contains("://")).map(str::to_owned).collect()
}

/// Whether a store answered at all.
pub(super) fn is_answer(error: &object_store::Error) -> bool {
    answer(error).status.is_some()
}

/// What a store answered.
#[derive(Default)]
struct Answer {
    status: Option<u16>,
    code: Option<String>,
}

/// The status of an answer and the code in it, as `object_store` writes them into its errors: the
/// types that hold them are its own.
fn answer(error: &object_store::Error) -> Answer {
    let Some(text) = chain(error).map(|error| error.to_string()).find(|text| text.contains(STATUS))
    else {
        return Answer::default();
    };
    let said = text.split_once(STATUS).map(|(_, said)| said).unwrap_or_default();
    let code = said.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let is_word = |code: &&str| {
        code.len() <= CODE_BYTES_MAX && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    Answer {
        status: said.get(..3).and_then(|status| status.parse().ok()),
        code: code.map(|(code, _)| code).filter(is_word).map(str::to_owned),
    }
}

/// Why there is no answer, or none that helps.
enum Failure {
    Status(u16),
    NoCredentials,
    Redirects,
    Region,
    NoLength,
    Silence,
    Refused(String),
    Name(String),
    Tls(String),
    PlainHttp,
    Broken(String),
    Other(String),
}

impl Failure {
    fn of(error: &object_store::Error) -> Self {
        let root = chain(error).last().map(ToString::to_string).unwrap_or_default();
        let says = |text: &str| chain(error).any(|error| error.to_string().contains(text));
        if METADATA.iter().any(|host| says(host)) {
            return Self::NoCredentials;
        }
        if let Some(status) = answer(error).status {
            return Self::Status(status);
        }
        if says("Content-Length Header missing") {
            return Self::NoLength;
        }
        if says("Received redirect without LOCATION") {
            return Self::Region;
        }
        if says("Range request not supported") || says("Received non-partial response") {
            return Self::Broken("the server cannot go on where it did".to_owned());
        }
        if says("too many redirects") {
            return Self::Redirects;
        }
        if says("URL scheme is not allowed") {
            return Self::PlainHttp;
        }
        let is_tls =
            |error: &(dyn Error + 'static)| error.is::<rustls::Error>() || holds_tls(error);
        if chain(error).any(is_tls) || says("tls handshake eof") {
            return Self::Tls(root);
        }
        if says("dns error") || says("failed to lookup address") {
            return Self::Name(root);
        }
        match chain(error).find_map(|error| error.downcast_ref::<HttpError>()).map(HttpError::kind)
        {
            Some(HttpErrorKind::Timeout) => Self::Silence,
            Some(HttpErrorKind::Connect) => Self::Refused(root),
            Some(HttpErrorKind::Request | HttpErrorKind::Interrupted | HttpErrorKind::Decode) => {
                Self::Broken(root)
            }
            _ => Self::Other(root),
        }
    }
}

/// An IO error may hold the one of TLS where `source` does not lead to it.
fn holds_tls(error: &(dyn Error + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.is_some_and(|inner| inner.is::<rustls::Error>())
}

/// An error and those that caused it.
fn chain(error: &object_store::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(secrets: &[&str]) -> About {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        About::bucket(Provider::S3, "lake", secrets.iter())
    }

    fn generic(source: impl Into<Box<dyn Error + Send + Sync>>) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: source.into() }
    }

    #[track_caller]
    fn check(error: &object_store::Error, expect: &str) {
        let told = about(&[]).explain(error, "s3://lake/x.csv").to_string();
        assert!(told.contains(expect), "{expect:?} is not in {told}");
        assert!(told.contains("; hint: "), "{told}");
    }

    #[test]
    fn failures_of_a_network_are_told_apart() {
        let http = |kind, what: &str| generic(HttpError::new(kind, io::Error::other(what)));
        let connect = HttpErrorKind::Connect;
        check(&http(connect, "dns error: failed to lookup address"), "the host is not known");
        check(&http(connect, "Connection refused (os error 111)"), "cannot connect: Connection");
        check(&http(HttpErrorKind::Timeout, "slow"), "no answer in time");
        check(&http(HttpErrorKind::Interrupted, "reset by peer"), "the connection broke: reset");
        let tls = io::Error::other(rustls::Error::HandshakeNotComplete);
        check(&generic(HttpError::new(connect, tls)), "no secure connection");
        check(&generic("URL scheme is not allowed"), "plain HTTP is not spoken");
        check(&generic("Content-Length Header missing from response"), "how long it is");
        check(&generic("Range request not supported by x"), "cannot go on where it did");
    }

    #[test]
    fn credentials_that_nobody_set_are_asked_for() {
        let metadata = "Error performing PUT http://169.254.169.254/latest/api/token in 1s";
        check(&generic(metadata), "no credentials are set");
        let told = about(&[]).unasked(&generic("Account must be specified")).to_string();
        assert!(told.contains("cannot be asked: Account") && told.contains("secretRef"), "{told}");
    }

    #[test]
    fn answers_of_a_store_are_told_by_status_and_code() {
        let answer = |status: &str, code: &str| {
            generic(format!("{STATUS}{status}: <Error><Code>{code}</Code><Key>hunter2</Key>"))
        };
        check(&answer("503 Slow Down", "SlowDown"), "answered 503 SlowDown");
        check(&answer("301 Moved Permanently", "PermanentRedirect"), "set AWS_REGION");
        check(&answer("403 Forbidden", "InvalidAccessKeyId"), "403 InvalidAccessKeyId");
        let told = about(&[]).explain(&answer("403 Forbidden", "a b\u{1b}"), "x").to_string();
        assert!(!told.contains("hunter2") && !told.contains('\u{1b}'), "{told}");
        let source = format!("{STATUS}404 Not Found: <Code>NoSuchBucket</Code>").into();
        let missing = object_store::Error::NotFound { path: "x".into(), source };
        check(&missing, "there is no bucket `lake`");
    }

    #[test]
    fn secrets_are_struck_out_wherever_a_library_puts_them() {
        let error = generic("cannot parse hunter2-hunter2 of true");
        let told = about(&["hunter2-hunter2", "true"]).explain(&error, "s3://lake/x").to_string();
        assert!(!told.contains("hunter2") && told.contains("true"), "{told}");
    }
}
