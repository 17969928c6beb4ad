//! One connection of the load: send, receive, verify. The same code for greenlets and threads; what differs is
//! whose streams it is given.

use super::run::Run;
use crate::pattern::{Mismatch, Pattern};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// A message is sent and awaited in pieces of this size, which the socket buffers on the way hold. With more in flight,
/// an echo that is written while nobody reads would stop both sides for good.
const PIECE: usize = 16 << 10;

/// After this long without an answer a connection has failed. Nothing healthy takes as long, even on a machine with
/// other things to do; without a limit one lost byte would be a run that never ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A TCP stream, greenhub's or std's.
pub(crate) trait Stream: Read + Write + Sized {
    /// Connects, and limits what every further call may take.
    fn connect(address: &SocketAddr) -> io::Result<Self>;
    /// Sends the end of the stream.
    fn finish(&self) -> io::Result<()>;
}

macro_rules! stream {
    ($stream:ty) => {
        impl Stream for $stream {
            fn connect(address: &SocketAddr) -> io::Result<Self> {
                let stream = Self::connect_timeout(address, PATIENCE)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(stream)
            }

            fn finish(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    };
}

stream!(greenhub::net::TcpStream);
stream!(std::net::TcpStream);

/// Opens connection `index`, verifies a first echo, calls `opened`, waits for the word to begin, and goes on until
/// the end. `opened` is called in any case.
pub(crate) fn converse<S: Stream>(run: &Run, index: usize, opened: impl FnOnce()) {
    let began = Conversation::<S>::open(run, index);
    match &began {
        Ok(_) => run.has_opened(),
        Err(trouble) => run.could_not_open(index, trouble),
    }
    opened();
    if let Ok(conversation) = began {
        run.wait_for_the_word();
        if let Err(trouble) = conversation.until_the_end(run, index) {
            run.has_failed(index, &trouble);
        }
        run.has_ended();
    }
}

/// Why a connection failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A call failed.
    Call { call: &'static str, at: u64, error: io::Error },
    /// A byte came back wrong.
    Wrong(Mismatch),
    /// The server closed the connection too early.
    Closed { at: u64 },
    /// More came back than was sent.
    TooMuch { at: u64 },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { call, at, error } if error.kind() == io::ErrorKind::WouldBlock => {
                write!(f, "byte {at}: no answer within {PATIENCE:?} ({call}: {error})")
            }
            Self::Call { call: "connect", error, .. } => write!(f, "cannot connect: {error}"),
            Self::Call { call, at, error } => write!(f, "byte {at}: {call}: {error}"),
            Self::Wrong(Mismatch { at, expected, found }) => {
                write!(f, "byte {at} came back as {found:#04x}, and was {expected:#04x}")
            }
            Self::Closed { at } => write!(f, "byte {at}: the server closed the connection"),
            Self::TooMuch { at } => write!(f, "byte {at} came back and was never sent"),
        }
    }
}

impl Trouble {
    fn call(call: &'static str, at: u64) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Call { call, at, error }
    }
}

struct Conversation<S> {
    stream: S,
    pattern: Pattern,
    /// How many bytes have come back.
    at: u64,
    piece: Vec<u8>,
}

impl<S: Stream> Conversation<S> {
    /// Connects and verifies one echo.
    fn open(run: &Run, index: usize) -> Result<Self, Trouble> {
        let stream = S::connect(&run.target(index)).map_err(Trouble::call("connect", 0))?;
        let pattern = Pattern::new(run.seed, index as u64);
        let mut conversation = Self { stream, pattern, at: 0, piece: vec![0; run.size.min(PIECE)] };
        conversation.exchange(run.size)?;
        Ok(conversation)
    }

    fn until_the_end(mut self, run: &Run, index: usize) -> Result<(), Trouble> {
        let mut begun = Instant::now();
        while !run.is_over() {
            self.exchange(run.size)?;
            let ended = Instant::now();
            run.lane(index).record(ended - begun, ended);
            begun = ended;
        }
        run.lane(index).add_bytes(self.at);
        self.stream.finish().map_err(Trouble::call("shutdown", self.at))?;
        match self.stream.read(&mut self.piece).map_err(Trouble::call("read", self.at))? {
            0 => Ok(()),
            _ => Err(Trouble::TooMuch { at: self.at }),
        }
    }

    /// Sends a message of `size` bytes, and verifies its echo.
    fn exchange(&mut self, size: usize) -> Result<(), Trouble> {
        let mut left = size;
        while left > 0 {
            let piece = left.min(PIECE);
            self.exchange_piece(piece)?;
            left -= piece;
        }
        Ok(())
    }

    fn exchange_piece(&mut self, length: usize) -> Result<(), Trouble> {
        let piece = &mut self.piece[..length];
        self.pattern.fill(self.at, piece);
        self.stream.write_all(piece).map_err(Trouble::call("write", self.at))?;
        let mut received = 0;
        while received < length {
            let place = self.at + received as u64;
            let part = &mut piece[received..];
            match self.stream.read(part) {
                Ok(0) => return Err(Trouble::Closed { at: place }),
                Ok(read) => {
                    self.pattern.check(place, &part[..read]).map_err(Trouble::Wrong)?;
                    received += read;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Trouble::call("read", place)(error)),
            }
        }
        self.at += length as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A server in memory, which does to the bytes what it is told.
    struct Mirror {
        bytes: VecDeque<u8>,
        spoil: fn(usize, u8) -> u8,
        sent: usize,
        swallow: bool,
    }

    impl Mirror {
        fn new(spoil: fn(usize, u8) -> u8) -> Conversation<Self> {
            let stream = Self { bytes: VecDeque::new(), spoil, sent: 0, swallow: false };
            Conversation { stream, pattern: Pattern::new(1, 1), at: 0, piece: vec![0; PIECE] }
        }
    }

    impl Read for Mirror {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // Odd lengths, as TCP may give them.
            let length = buffer.len().min(1000);
            self.bytes.read(&mut buffer[..length])
        }
    }

    impl Write for Mirror {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            for &byte in bytes {
                if !self.swallow {
                    self.bytes.push_back((self.spoil)(self.sent, byte));
                }
                self.sent += 1;
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Mirror {
        fn connect(_address: &SocketAddr) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn finish(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn messages_larger_than_a_piece_come_through() {
        let mut conversation = Mirror::new(|_place, byte| byte);
        conversation.exchange(3 * PIECE + 5).unwrap();
        conversation.exchange(1).unwrap();
        assert_eq!(conversation.at, 3 * PIECE as u64 + 6);
    }

    #[test]
    fn a_spoilt_byte_is_named() {
        let mut conversation = Mirror::new(|place, byte| if place == PIECE + 1234 { byte ^ 1 } else { byte });
        let trouble = conversation.exchange(2 * PIECE).unwrap_err();
        let text = trouble.to_string();
        assert!(matches!(trouble, Trouble::Wrong(_)), "{text}");
        assert!(text.starts_with(&format!("byte {} came back as", PIECE + 1234)), "{text}");
    }

    #[test]
    fn a_connection_that_ends_early_is_noticed() {
        let mut conversation = Mirror::new(|_place, byte| byte);
        conversation.exchange(10).unwrap();
        conversation.stream.swallow = true;
        let trouble = conversation.exchange(10).unwrap_err();
        assert_eq!(trouble.to_string(), "byte 10: the server closed the connection");
    }
}
