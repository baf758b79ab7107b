//! Local sockets: a listener in a folder, and lines of bounded frames between two processes of one
//! user on one machine. Never looks inside a frame, and never answers one.
//!
//! A frame is its length (`u32`, little-endian) and so many bytes; a length beyond what the reader
//! is ready for ends the line before anything is allocated. The socket lies in a folder that only
//! its owner may enter (mode 0700) and is itself for its owner alone (0600), so that there is no
//! moment at which others could connect.
//!
//! The address of a socket has room for a path of about 100 bytes. A longer one is reached through
//! `/proc/self/fd`, where a folder that is open has a short name.

use super::{Peril, pass};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The socket's name in its folder.
const NAME: &str = "ohc.sock";
/// What fits into `sun_path` everywhere, with its end: 104 bytes on BSD and macOS, 108 on Linux.
const PATH_BYTES_MAX: usize = 103;

/// Why there is no line, or nothing more comes over it.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The other side is gone.
    #[error("the other process has hung up")]
    Closed,
    /// It says nothing for longer than we wait.
    #[error("the other process does not answer")]
    Silent,
    /// It sends what is no frame of ours.
    #[error("a frame of {bytes} bytes is longer than the {most} that are allowed")]
    TooLong {
        /// How long it says it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// The system refuses.
    #[error("cannot use the socket in {}: {source}", .folder.display())]
    Io {
        /// Where it lies.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Waits for other processes; its socket is removed when it goes.
#[derive(Debug)]
pub struct Listener {
    inner: UnixListener,
    folder: PathBuf,
}

/// A connection between two processes.
#[derive(Debug)]
pub struct Line(UnixStream);

impl Listener {
    /// Listens in `folder`, which is made for it. A socket that lies there is one that a killed
    /// process left: the caller is the only one that may listen here.
    pub fn bind(folder: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Io { folder: folder.to_owned(), source };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700)))
            .map_err(failed)?;
        let path = folder.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        pass(Peril::SocketCleared);
        let inner = at(folder, UnixListener::bind).map_err(failed)?;
        pass(Peril::SocketBound);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { inner, folder: folder.to_owned() })
    }

    /// Waits for the next process.
    pub fn accept(&self) -> Result<Line, SocketError> {
        let failed = |source| SocketError::Io { folder: self.folder.clone(), source };
        self.inner.accept().map(|(stream, _)| Line(stream)).map_err(failed)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // One that stays is removed by the next listener.
        let _ = fs::remove_file(self.folder.join(NAME));
    }
}

impl Line {
    /// Connects to whoever listens in `folder`; none if nobody does.
    pub fn connect(folder: &Path) -> Result<Option<Self>, SocketError> {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        match at(folder, UnixStream::connect) {
            Ok(stream) => Ok(Some(Self(stream))),
            // A socket that nobody listens on is left of a process that was killed.
            Err(error) if matches!(error.kind(), ConnectionRefused | NotFound) => Ok(None),
            Err(source) => Err(SocketError::Io { folder: folder.to_owned(), source }),
        }
    }

    /// Neither waits longer than this for the other side to speak, nor for it to listen.
    pub fn patience(&self, at_most: Duration) -> Result<(), SocketError> {
        let set = self.0.set_read_timeout(Some(at_most));
        set.and_then(|()| self.0.set_write_timeout(Some(at_most))).map_err(of_line)
    }

    /// A second handle, to hang up from another thread.
    pub fn handle(&self) -> Result<Self, SocketError> {
        self.0.try_clone().map(Self).map_err(of_line)
    }

    /// Ends the line for both sides.
    pub fn hang_up(&self) {
        // It may have ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// Sends one frame.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        let most = u32::MAX as usize;
        let length = u32::try_from(bytes.len())
            .map_err(|_| SocketError::TooLong { bytes: bytes.len(), most })?;
        let sent = self.0.write_all(&length.to_le_bytes());
        sent.and_then(|()| self.0.write_all(bytes)).map_err(of_line)
    }

    /// Receives one frame of at most so many bytes.
    pub fn receive(&mut self, bytes_max: usize) -> Result<Vec<u8>, SocketError> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).map_err(of_line)?;
        let bytes = u32::from_le_bytes(length) as usize;
        if bytes > bytes_max {
            return Err(SocketError::TooLong { bytes, most: bytes_max });
        }
        let mut frame = Vec::new();
        // Grows as bytes arrive: a length that is a lie reserves nothing.
        Read::by_ref(&mut self.0).take(bytes as u64).read_to_end(&mut frame).map_err(of_line)?;
        if frame.len() == bytes { Ok(frame) } else { Err(SocketError::Closed) }
    }
}

/// An error of a line that was there.
fn of_line(error: io::Error) -> SocketError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => SocketError::Silent,
        _ => SocketError::Closed,
    }
}

/// Does something with the socket in a folder, by a path that is short enough.
fn at<T>(folder: &Path, what: impl Fn(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let path = folder.join(NAME);
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return what(path);
    }
    let open = File::open(folder)?;
    what(Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ends of one line in a folder.
    fn line(folder: &Path) -> (Listener, Line, Line) {
        let listener = Listener::bind(folder).unwrap();
        let near = Line::connect(folder).unwrap().unwrap();
        let far = listener.accept().unwrap();
        (listener, near, far)
    }

    #[test]
    fn frames_arrive_whole_and_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let (_listener, mut near, mut far) = line(&dir.path().join("s"));
        for frame in [&b""[..], b"one", &[7; 60_000]] {
            near.send(frame).unwrap();
            assert_eq!(far.receive(60_000).unwrap(), frame);
        }
        drop(near);
        assert!(matches!(far.receive(9), Err(SocketError::Closed)));
    }

    #[test]
    fn r13_a_length_that_lies_ends_the_line_and_reserves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (_listener, mut near, mut far) = line(&dir.path().join("s"));
        near.0.write_all(&u32::MAX.to_le_bytes()).unwrap();
        let said = far.receive(1_000).unwrap_err();
        assert!(matches!(said, SocketError::TooLong { most: 1_000, .. }), "{said}");
        let (_other, mut near, mut far) = line(&dir.path().join("t"));
        near.0.write_all(&[9, 0, 0, 0, 1, 2]).unwrap();
        drop(near);
        assert!(matches!(far.receive(1_000), Err(SocketError::Closed)));
    }

    #[test]
    fn a_side_that_says_nothing_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let (_listener, _near, mut far) = line(&dir.path().join("s"));
        far.patience(Duration::from_millis(20)).unwrap();
        assert!(matches!(far.receive(9), Err(SocketError::Silent)));
    }

    #[test]
    fn the_socket_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("s");
        let _listener = Listener::bind(&folder).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(NAME))), (0o700, 0o600));
    }

    #[test]
    fn what_a_killed_process_left_is_replaced_and_a_listener_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("s");
        assert!(Line::connect(&folder).unwrap().is_none(), "there is no folder");
        fs::create_dir_all(&folder).unwrap();
        drop(UnixListener::bind(folder.join(NAME)).unwrap());
        assert!(Line::connect(&folder).unwrap().is_none(), "nobody listens");
        let (listener, ..) = line(&folder);
        drop(listener);
        assert!(!folder.join(NAME).exists());
    }

    #[test]
    fn a_folder_with_a_long_path_has_a_socket_too() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("long".repeat(30)).join("s");
        let (_listener, mut near, mut far) = line(&folder);
        near.send(b"x").unwrap();
        assert_eq!(far.receive(1).unwrap(), b"x");
    }
}
