//! A socket that takes one line per connection, so that scripts can look at the NIC and break things.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;

/// Longest line, bytes.
const MAX_LINE: usize = 64;
/// Most connections at a time; more wait.
const MAX_CONNECTIONS: usize = 8;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `stats`: the summary so far, as JSON.
    Stats,
    /// `link up` and `link down`: plug in and pull the cable.
    Link(bool),
    /// `memory revoke` and `memory restore`: take the client's memory away from the NIC and give it
    /// back.
    Revoke(bool),
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["stats"] => Ok(Self::Stats),
            ["link", "up"] => Ok(Self::Link(true)),
            ["link", "down"] => Ok(Self::Link(false)),
            ["memory", "revoke"] => Ok(Self::Revoke(true)),
            ["memory", "restore"] => Ok(Self::Revoke(false)),
            _ => {
                Err("error: say stats, link up, link down, memory revoke or memory restore".into())
            }
        }
    }
}

/// The socket and its connections.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    connections: Vec<Connection>,
}

struct Connection {
    stream: UnixStream,
    line: Vec<u8>,
}

/// What a connection has come to.
enum State {
    Waiting,
    Line(String),
    Over,
}

impl Control {
    /// Listens at `path`.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn listen(path: &Path) -> Result<Self, Error> {
        let listener = UnixListener::bind(path)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|source| Error::Socket {
                path: path.to_path_buf(),
                source,
            })?;
        Ok(Self {
            listener,
            path: path.to_path_buf(),
            connections: vec![],
        })
    }

    /// What to poll for reading.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let room = self.connections.len() < MAX_CONNECTIONS;
        let listener = room.then_some(self.listener.as_fd());
        let connections = self.connections.iter().map(|c| c.stream.as_fd());
        listener.into_iter().chain(connections)
    }

    /// Takes what has arrived; `answer` does each command and says the answer.
    ///
    /// # Errors
    /// What `answer` returns. A connection that fails is closed, which is all that its other end asks.
    pub fn serve(
        &mut self,
        mut answer: impl FnMut(Command) -> Result<String, Error>,
    ) -> Result<(), Error> {
        while self.connections.len() < MAX_CONNECTIONS {
            let Ok((stream, _)) = self.listener.accept() else {
                break;
            };
            if stream.set_nonblocking(true).is_ok() {
                let line = vec![];
                self.connections.push(Connection { stream, line });
            }
        }
        let mut fault = None;
        self.connections.retain_mut(|connection| {
            let mut text = match connection.receive() {
                State::Waiting => return true,
                State::Over => return false,
                State::Line(line) => match line.parse().map(&mut answer) {
                    Ok(Ok(text)) => text,
                    Ok(Err(error)) => {
                        fault = Some(error);
                        return false;
                    }
                    Err(usage) => usage,
                },
            };
            let _ = writeln!(text);
            // The answer fits a socket's buffer; who does not read it does not want it.
            let _ = connection.stream.write_all(text.as_bytes());
            false
        });
        fault.map_or(Ok(()), Err)
    }
}

impl Connection {
    fn receive(&mut self) -> State {
        let mut buffer = [0; MAX_LINE];
        match self.stream.read(&mut buffer) {
            Ok(0) => return State::Over,
            Ok(len) => self.line.extend_from_slice(&buffer[..len]),
            Err(e) if is_later(&e) => return State::Waiting,
            Err(_) => return State::Over,
        }
        match self.line.iter().position(|b| *b == b'\n') {
            Some(end) => State::Line(String::from_utf8_lossy(&self.line[..end]).into_owned()),
            None if self.line.len() > MAX_LINE => State::Over,
            None => State::Waiting,
        }
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_one_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let mut control = Control::listen(&path).unwrap();
        let mut answers = vec![];
        for line in ["link down\n", "memory  restore\n", "nonsense\n", "stats\n"] {
            let mut stream = UnixStream::connect(&path).unwrap();
            let (first, rest) = line.split_at(3);
            for part in [first, rest] {
                stream.write_all(part.as_bytes()).unwrap();
                control.serve(|c| Ok(format!("{c:?}"))).unwrap();
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answers.push(answer);
        }
        assert_eq!(answers[0], "Link(false)\n");
        assert_eq!(answers[1], "Revoke(false)\n");
        assert!(answers[2].starts_with("error: say stats"), "{}", answers[2]);
        assert_eq!(answers[3], "Stats\n");
        drop(control);
        assert!(!path.exists());
    }

    #[test]
    fn a_line_without_end_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let mut control = Control::listen(&dir.path().join("control")).unwrap();
        let mut stream = UnixStream::connect(dir.path().join("control")).unwrap();
        stream.write_all(&[b'x'; 1000]).unwrap();
        for _ in 0..3 {
            control.serve(|_| panic!("a command")).unwrap();
        }
        assert!(control.connections.is_empty());
    }
}
