//! The bus: messages between processes, over NATS. Knows bytes and subjects, and nothing of what
//! they mean; never believes, keeps or repeats a message.
//!
//! NATS loses, doubles and reorders, and so does this: a message that finds no room is dropped, and
//! one that is sent while the servers are away is refused. What is lost is told ([`News::Lost`]),
//! so that whoever follows something asks for what it missed. A connection that ends is made again
//! for ever, at growing intervals; only the first one has a bound.
//!
//! A message holds room of its subscription until it is dropped. So the sum of all bytes that wait
//! anywhere in this process is bounded, whatever channel they wait in.
//!
//! Its methods block, and are called outside the runtime, but for [`Bus::ask`] and
//! [`Bus::tell`].

mod connect;

pub use connect::{Login, Options, Tls};

use async_nats::connection::State;
use async_nats::{Client, RequestErrorKind};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// So long a message may wait for its place in the queue to the servers.
const QUEUE_WAIT: Duration = Duration::from_millis(250);
/// What a message costs beside its bytes.
const MESSAGE_OVERHEAD: usize = 256;

/// Why there is no bus, or a message does not get through.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// It is no address of a server.
    #[error(
        "{url:?} is not the address of a NATS server: {what}; hint: write it like \
         nats://127.0.0.1:4222, or tls://… for TLS"
    )]
    Address {
        /// What stands there.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file with a secret or a certificate cannot be used.
    #[error("cannot use {}: {what}; hint: check the path and who may read it", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Nobody answers.
    #[error(
        "no NATS server answers at {urls}: {what}; hint: is nats-server running there, and is the \
         address right?"
    )]
    Absent {
        /// Where it was looked for.
        urls: String,
        /// What came of the last attempt.
        what: String,
    },
    /// A server shows a certificate that nobody whom we trust has signed for it.
    #[error(
        "the NATS server at {urls} is not to be trusted: {what}; hint: name the authority that \
         signed its certificate (`tls: {{ ca: FILE }}` in network.yaml), and have the certificate \
         name this address"
    )]
    Untrusted {
        /// Where it is.
        urls: String,
        /// What is wrong with its certificate.
        what: String,
    },
    /// The servers do not know us.
    #[error(
        "the NATS server at {urls} lets us not in: {what}; hint: check the credentials that the \
         configuration names"
    )]
    Denied {
        /// Which servers.
        urls: String,
        /// What they say.
        what: String,
    },
    /// The server is too old.
    #[error("the NATS server has version {version}; hint: at least 2.10 is needed")]
    Old {
        /// Its version.
        version: String,
    },
    /// The server takes only smaller messages than a slot may be.
    #[error(
        "the NATS server takes messages of {most} bytes at most; hint: set its max_payload to \
         {needed} or more"
    )]
    Narrow {
        /// What it takes.
        most: usize,
        /// What is needed.
        needed: usize,
    },
    /// The connection is interrupted; it is being made again.
    #[error("the connection to NATS is interrupted")]
    Away,
    /// Nobody is there to answer.
    #[error("nobody answers on {subject}")]
    Nobody {
        /// The subject.
        subject: String,
    },
    /// No answer came in time.
    #[error("no answer came on {subject} in {} ms", .within.as_millis())]
    Silent {
        /// The subject.
        subject: String,
        /// What was waited for.
        within: Duration,
    },
    /// Longer than is allowed.
    #[error("a message of {bytes} bytes is longer than the {most} that are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// A subject that is none.
    #[error("{subject:?} is no subject")]
    Subject {
        /// What was given.
        subject: String,
    },
}

/// What happens to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It is there; what was sent before may have been missed.
    Up,
    /// It is not there, or not yet; it is being made.
    Down(String),
    /// Messages were dropped here, because they were not taken in time.
    Lost,
    /// The server refuses something that we asked for: a subject that is not for us.
    Refused(String),
}

/// One message.
#[derive(Debug)]
pub struct Message {
    /// The subject that it was sent to.
    pub subject: String,
    /// Where an answer is waited for.
    pub reply: Option<String>,
    /// What was said: nobody has looked at it yet.
    pub bytes: Vec<u8>,
    _room: Held,
}

/// Bytes that may wait.
#[derive(Debug)]
struct Room {
    left: AtomicUsize,
}

/// Bytes of a room that are taken, until this is dropped.
#[derive(Debug)]
struct Held {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    fn take(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let less = |left: usize| left.checked_sub(bytes);
        let taken = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        taken.is_ok().then(|| Held { room: self.clone(), bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.left.fetch_add(self.bytes, Ordering::SeqCst);
    }
}

/// Is told what happens to a connection. Must not block.
type Tell = Arc<dyn Fn(News) + Send + Sync>;

/// A connection to the servers. Clones are the same one.
#[derive(Clone)]
pub struct Bus {
    client: Client,
    runtime: Handle,
    tell: Tell,
    urls: String,
    inbox: String,
}

/// Messages come in while this is held.
#[derive(Debug)]
pub struct Subscription(JoinHandle<()>);

impl Drop for Subscription {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Bus {
    /// Connects; tries for as long as the options say, and tells why it has to wait. What happens
    /// to the connection afterwards is told too: from a thread of the runtime, so that `tell` must
    /// not block.
    pub fn connect(
        options: &Options,
        runtime: &Handle,
        tell: impl Fn(News) + Send + Sync + 'static,
    ) -> Result<Self, BusError> {
        let connected = Self::connect_until(options, runtime, tell, &Notify::new())?;
        connected.ok_or(BusError::Away)
    }

    /// The same, unless `halt` is notified before there is a connection: then there is none.
    pub fn connect_until(
        options: &Options,
        runtime: &Handle,
        tell: impl Fn(News) + Send + Sync + 'static,
        halt: &Notify,
    ) -> Result<Option<Self>, BusError> {
        super::install_tls();
        let tell: Tell = Arc::new(tell);
        let connected = runtime.block_on(async {
            tokio::select! {
                connected = connect::connect(options, &tell) => connected.map(Some),
                () = halt.notified() => Ok(None),
            }
        });
        let (urls, inbox) = (options.urls.join(", "), options.inbox.clone());
        Ok(connected?.map(|client| Self { client, runtime: runtime.clone(), tell, urls, inbox }))
    }

    /// Where the servers are.
    #[must_use]
    pub fn urls(&self) -> &str {
        &self.urls
    }

    /// What the subjects begin with on which answers come.
    #[must_use]
    pub fn inbox(&self) -> &str {
        &self.inbox
    }

    /// Whether the connection is there now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Sends a message to all that listen to a subject, or tells that it cannot: then nobody has
    /// it. Otherwise it may get there.
    pub fn publish(&self, subject: &str, bytes: Vec<u8>) -> Result<(), BusError> {
        if !self.is_up() {
            return Err(BusError::Away);
        }
        let (length, most) = (bytes.len(), self.client.max_payload());
        let sent = self.client.publish(subject.to_owned(), bytes.into());
        match self.runtime.block_on(async { timeout(QUEUE_WAIT, sent).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) if length > most => Err(BusError::TooLong { bytes: length, most }),
            Ok(Err(error)) => Err(self.of_kind(subject, &error.to_string())),
            Err(_) => Err(BusError::Away),
        }
    }

    /// Asks one of those that listen to a subject, and waits for the answer: so long, and for so
    /// many bytes at the most.
    pub fn request(
        &self,
        subject: &str,
        bytes: Vec<u8>,
        bytes_max: usize,
        within: Duration,
    ) -> Result<Vec<u8>, BusError> {
        self.runtime.block_on(self.ask(subject, bytes, bytes_max, within))
    }

    /// The same of several subjects at once: `answered` hears what comes of each, with its place,
    /// as it comes, and ends it by giving `false`.
    pub fn request_each(
        &self,
        subjects: &[String],
        bytes: &[u8],
        (bytes_max, within): (usize, Duration),
        answered: &mut dyn FnMut(usize, Result<Vec<u8>, BusError>) -> bool,
    ) {
        let asking = subjects.iter().enumerate().map(|(place, subject)| async move {
            (place, self.ask(subject, bytes.to_vec(), bytes_max, within).await)
        });
        let mut asking: FuturesUnordered<_> = asking.collect();
        self.runtime.block_on(async {
            while let Some((place, answer)) = asking.next().await {
                if !answered(place, answer) {
                    return;
                }
            }
        });
    }

    /// Sends as [`Bus::publish`] does, inside the runtime. What does not get through is lost.
    pub async fn tell(&self, subject: &str, bytes: Vec<u8>) {
        let sent = self.client.publish(subject.to_owned(), bytes.into());
        drop(timeout(QUEUE_WAIT, sent).await);
    }

    /// Asks as [`Bus::request`] does, inside the runtime.
    pub async fn ask(
        &self,
        subject: &str,
        bytes: Vec<u8>,
        bytes_max: usize,
        within: Duration,
    ) -> Result<Vec<u8>, BusError> {
        if !self.is_up() {
            return Err(BusError::Away);
        }
        let question = async_nats::Request::new().payload(bytes.into()).timeout(Some(within));
        let name = subject.to_owned();
        match self.client.send_request(subject.to_owned(), question).await {
            Ok(answer) if answer.payload.len() > bytes_max => {
                Err(BusError::TooLong { bytes: answer.payload.len(), most: bytes_max })
            }
            Ok(answer) => Ok(answer.payload.to_vec()),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::NoResponders => BusError::Nobody { subject: name },
                RequestErrorKind::TimedOut => BusError::Silent { subject: name, within },
                RequestErrorKind::InvalidSubject => BusError::Subject { subject: name },
                _ => BusError::Away,
            }),
        }
    }

    /// Listens to a subject, alone or as one of a group of which one gets each message. At most so
    /// many bytes of it wait; what finds no room is lost. `sink` must not block, and ends the
    /// subscription by giving `false`.
    pub fn subscribe(
        &self,
        subject: &str,
        group: Option<&str>,
        bytes_max: usize,
        sink: impl FnMut(Message) -> bool + Send + 'static,
    ) -> Result<Subscription, BusError> {
        let (subject, group) = (subject.to_owned(), group.map(str::to_owned));
        let name = subject.clone();
        let subscribed = self.runtime.block_on(async {
            let subscribing = async {
                match group {
                    Some(group) => self.client.queue_subscribe(subject, group).await,
                    None => self.client.subscribe(subject).await,
                }
            };
            timeout(QUEUE_WAIT, subscribing).await
        });
        let subscriber = match subscribed {
            Ok(Ok(subscriber)) => subscriber,
            Ok(Err(error)) => return Err(self.of_kind(&name, &error.to_string())),
            Err(_) => return Err(BusError::Away),
        };
        let room = Arc::new(Room { left: AtomicUsize::new(bytes_max) });
        let forwarding = forward(subscriber, room, sink, self.tell.clone());
        Ok(Subscription(self.runtime.spawn(forwarding)))
    }

    /// Waits until everything that was sent has left this process, but not longer than this.
    pub fn flush(&self, within: Duration) -> Result<(), BusError> {
        let flushed = self.runtime.block_on(async { timeout(within, self.client.flush()).await });
        if matches!(flushed, Ok(Ok(()))) { Ok(()) } else { Err(BusError::Away) }
    }

    /// The error of a call that failed at once: a bad subject, or a connection that has ended.
    fn of_kind(&self, subject: &str, what: &str) -> BusError {
        if what.contains("subject") {
            return BusError::Subject { subject: subject.to_owned() };
        }
        BusError::Away
    }
}

/// Hands on what comes in, as long as there is room for it.
async fn forward(
    mut subscriber: async_nats::Subscriber,
    room: Arc<Room>,
    mut sink: impl FnMut(Message) -> bool + Send + 'static,
    tell: Tell,
) {
    let mut is_losing = false;
    while let Some(message) = subscriber.next().await {
        let cost = message.payload.len() + message.subject.len() + MESSAGE_OVERHEAD;
        let Some(held) = room.take(cost) else {
            // Told once: whoever hears it has taken all that came before, so that there is room.
            if !std::mem::replace(&mut is_losing, true) {
                tell(News::Lost);
            }
            continue;
        };
        is_losing = false;
        let taken = sink(Message {
            subject: message.subject.to_string(),
            reply: message.reply.map(|reply| reply.to_string()),
            // A copy: what it came in holds on to all that came with it.
            bytes: message.payload.to_vec(),
            _room: held,
        });
        if !taken {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_taken_is_given_back_and_never_more_than_there_is() {
        let room = Arc::new(Room { left: AtomicUsize::new(10) });
        let (one, other) = (room.take(6), room.take(4));
        assert!(one.is_some() && other.is_some() && room.take(1).is_none());
        drop(one);
        assert!(room.take(7).is_none());
        assert!(room.take(6).is_some());
    }
}
