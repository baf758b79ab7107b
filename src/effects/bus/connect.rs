//! How a connection to the servers is made: where they are, who we are, whom we trust. Never shows
//! a secret, and never tries for ever to make the first one.

use super::{BusError, News, Tell};
use crate::base::limits::WIRE_BYTES_MAX;
use async_nats::{
    Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError,
};
use std::error::Error;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// One attempt.
const ATTEMPT: Duration = Duration::from_secs(3);
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A server that says nothing for two of these is gone.
const PING: Duration = Duration::from_secs(5);
/// Messages that wait for the connection.
const QUEUE: usize = 1_024;
/// A file with a secret is not longer than this.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Who we are to the servers.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Login {
    /// They ask nobody.
    #[default]
    Anyone,
    /// A file with a JWT and the seed that belongs to it (`.creds`).
    Credentials(PathBuf),
    /// A file with the seed of an nkey.
    Nkey(PathBuf),
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A word that all share.
    Token(String),
}

impl Login {
    /// What a file with credentials holds: a JWT and its seed, or the seed of an nkey alone.
    pub fn of_file(path: &Path) -> Result<Self, BusError> {
        let has_token = secret(path)?.contains("-----BEGIN NATS USER JWT-----");
        Ok(match has_token {
            true => Self::Credentials(path.to_owned()),
            false => Self::Nkey(path.to_owned()),
        })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("Anyone"),
            Self::Credentials(path) => f.debug_tuple("Credentials").field(path).finish(),
            Self::Nkey(path) => f.debug_tuple("Nkey").field(path).finish(),
            Self::Password { user, .. } => write!(f, "Password({user:?}, …)"),
            Self::Token(_) => f.write_str("Token(…)"),
        }
    }
}

/// Whom we trust, and what we show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// No connection without it, whatever the address says.
    pub is_required: bool,
    /// It begins before the server says anything.
    pub is_first: bool,
    /// Certificates of those who vouch for the servers, in place of the system's.
    pub authorities: Option<PathBuf>,
    /// Our own certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// How to connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The servers: one of them is enough.
    pub urls: Vec<String>,
    /// Who we are.
    pub login: Login,
    /// How it is kept secret.
    pub tls: Tls,
    /// What the servers call us in their lists.
    pub name: String,
    /// What the subjects begin with on which answers come: so that nobody else may read them.
    pub inbox: String,
    /// How long the first connection is tried for.
    pub patience: Duration,
    /// Whether what this connection sends does not come back to it.
    pub no_echo: bool,
}

/// The first connection. A server that does not let us in, or that will never do, ends it at once.
pub(super) async fn connect(options: &Options, tell: &Tell) -> Result<Client, BusError> {
    let servers = addresses(options)?;
    let urls = options.urls.join(", ");
    let (mut pause, mut last) = (Duration::from_millis(50), None);
    let trying = async {
        loop {
            let attempt = prepare(options, tell)?.connect(servers.as_slice()).await;
            let error = match attempt {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            let (urls, what) = (urls.clone(), error.to_string());
            match error.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                    return Err(BusError::Denied { urls, what });
                }
                ConnectErrorKind::Tls | ConnectErrorKind::ServerParse => {
                    return Err(BusError::Absent { urls, what });
                }
                _ if is_of_certificate(&error) => {
                    return Err(BusError::Untrusted { urls, what });
                }
                _ => {}
            }
            if last.as_ref() != Some(&what) {
                tell(News::Down(what.clone()));
            }
            last = Some(what);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    };
    let tried = timeout(options.patience, trying).await;
    let what = last.unwrap_or_else(|| "it does not answer".to_owned());
    let client = tried.unwrap_or(Err(BusError::Absent { urls, what }))?;
    let server = client.server_info();
    if !client.is_server_compatible(2, 10, 0) {
        return Err(BusError::Old { version: server.version });
    }
    if server.max_payload < WIRE_BYTES_MAX {
        return Err(BusError::Narrow { most: server.max_payload, needed: WIRE_BYTES_MAX });
    }
    Ok(client)
}

/// Whether there is a server, but none that may be believed: the one kind of error that rustls
/// has for `std::io`.
fn is_of_certificate(error: &ConnectError) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        let of_io = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if of_io == Some(io::ErrorKind::InvalidData) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn addresses(options: &Options) -> Result<Vec<ServerAddr>, BusError> {
    let parse = |url: &String| {
        let wrong = |what: String| BusError::Address { url: url.clone(), what };
        let address: ServerAddr =
            url.parse().map_err(|error: std::io::Error| wrong(error.to_string()))?;
        if address.is_websocket() {
            return Err(wrong("websockets are not supported".to_owned()));
        }
        Ok(address)
    };
    if options.urls.is_empty() {
        let what = "there is none".to_owned();
        return Err(BusError::Address { url: String::new(), what });
    }
    options.urls.iter().map(parse).collect()
}

fn prepare(options: &Options, tell: &Tell) -> Result<ConnectOptions, BusError> {
    let listener = tell.clone();
    let mut nats = match &options.login {
        Login::Anyone => ConnectOptions::new(),
        Login::Credentials(path) => ConnectOptions::with_credentials(&secret(path)?)
            .map_err(|error| BusError::File { path: path.clone(), what: error.to_string() })?,
        Login::Nkey(path) => ConnectOptions::with_nkey(secret(path)?.trim().to_owned()),
        Login::Password { user, password } => {
            ConnectOptions::with_user_and_password(user.clone(), password.clone())
        }
        Login::Token(token) => ConnectOptions::with_token(token.clone()),
    };
    nats = nats
        .name(&options.name)
        .custom_inbox_prefix(&options.inbox)
        .connection_timeout(ATTEMPT)
        .ping_interval(PING)
        .client_capacity(QUEUE)
        .require_tls(options.tls.is_required)
        .reconnect_delay_callback(pause)
        .event_callback(move |event| {
            if let Some(news) = news(event) {
                listener(news);
            }
            std::future::ready(())
        });
    if options.no_echo {
        nats = nats.no_echo();
    }
    if options.tls.is_first {
        nats = nats.tls_first();
    }
    if let Some(path) = &options.tls.authorities {
        readable(path)?;
        nats = nats.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &options.tls.own {
        readable(certificate)?;
        readable(key)?;
        nats = nats.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(nats)
}

/// How long it waits before this attempt to connect, of which the first is number 1: not at all,
/// then longer and longer.
fn pause(attempt: usize) -> Duration {
    let Some(again) = attempt.checked_sub(2) else { return Duration::ZERO };
    let exponent = u32::try_from(again).unwrap_or(u32::MAX);
    Duration::from_millis(10_u64.saturating_mul(2_u64.saturating_pow(exponent))).min(PAUSE_MAX)
}

/// What a refusal comes from.
const TOGETHER: &str = "the key, the seed by which NATS knows it and network.yaml have to belong \
                        together, and the server's users be those of that network";

fn news(event: Event) -> Option<News> {
    match event {
        Event::Connected => Some(News::Up),
        Event::Disconnected => Some(News::Down("the connection has ended".to_owned())),
        Event::Closed => Some(News::Down("the connection is closed".to_owned())),
        Event::SlowConsumer(_) | Event::ServerError(ServerError::SlowConsumer(_)) => {
            Some(News::Lost)
        }
        Event::ServerError(error) => Some(News::Refused(format!("{error}; hint: {TOGETHER}"))),
        // An attempt to connect again that failed, and the end of one that is about to end.
        Event::ClientError(_) | Event::LameDuckMode | Event::Draining => None,
    }
}

fn readable(path: &Path) -> Result<(), BusError> {
    std::fs::File::open(path).map(drop).map_err(|error| of_file(path, &error))
}

fn secret(path: &Path) -> Result<String, BusError> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| of_file(path, &error))
}

fn of_file(path: &Path, error: &std::io::Error) -> BusError {
    BusError::File { path: path.to_owned(), what: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_a_bound() {
        let ms = |attempt| pause(attempt).as_millis();
        assert_eq!([ms(0), ms(1), ms(2), ms(3), ms(6), ms(99)], [0, 0, 10, 20, 160, 2_000]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let logins = [
            Login::Password { user: "ada".into(), password: "hidden".into() },
            Login::Token("hidden".into()),
        ];
        assert!(logins.iter().all(|login| !format!("{login:?}").contains("hidden")));
    }

    #[test]
    fn what_is_no_address_is_said_to_be_none() {
        let with = |urls: &[&str]| {
            let urls = urls.iter().map(|url| (*url).to_owned()).collect();
            addresses(&Options { urls, ..Options::default() })
        };
        assert!(with(&["nats://127.0.0.1:4222", "tls://nats.example", "127.0.0.1"]).is_ok());
        for bad in [&["http://127.0.0.1"][..], &[], &["ws://127.0.0.1"], &["nats://["]] {
            let error = with(bad).unwrap_err();
            assert!(error.to_string().contains("hint: write it like"), "{error}");
        }
    }
}
