//! The server that is nothing but an epoll loop.

use crate::epoll::Epoll;
use crate::peer::{BUFFER, Sample, listening};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

/// The listener's number; connections have theirs from one.
const LISTENER: usize = 0;

pub(super) fn serve(sample: &Sample) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listening(listener.local_addr()?);
    let mut epoll = Epoll::new(1024)?;
    epoll.add(&listener, LISTENER)?;
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut ready = Vec::new();
    let mut buffer = [0; BUFFER];
    loop {
        ready.clear();
        ready.extend(epoll.wait(-1)?);
        for &number in &ready {
            if number == LISTENER {
                let (stream, _) = listener.accept()?;
                connections.push(Some(stream));
                if let Some(Some(stream)) = connections.last() {
                    epoll.add(stream, connections.len())?;
                }
            } else if let Some(stream) = &mut connections[number - 1]
                && !echo(stream, &mut buffer, sample)
            {
                connections[number - 1] = None;
            }
        }
    }
}

/// Answers what can be read; whether the client is still there.
fn echo(stream: &mut TcpStream, buffer: &mut [u8], sample: &Sample) -> bool {
    match stream.read(buffer) {
        Ok(length @ 1..) => {
            sample.answer();
            stream.write_all(&buffer[..length]).is_ok()
        }
        Ok(0) | Err(_) => false,
    }
}
