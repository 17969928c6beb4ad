use super::{is_child, is_nonblocking, run_in_child};
use crate::net::{TcpListener, TcpStream, UnixStream, transfer};
use std::fmt::Debug;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write};
use std::net;
use std::os::fd::AsFd;

/// On a thread, a call that blocks looks like one that waits well, so the calls themselves are tried here.
#[test]
fn no_call_blocks_on_a_blocking_descriptor() {
    fn would_block<T: Debug>(result: io::Result<T>) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    let (stream, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let datagrams = net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(!is_nonblocking(&stream) && !is_nonblocking(&datagrams));
    let mut buffer = [0; 8];
    for fd in [stream.as_fd(), datagrams.as_fd()] {
        would_block(transfer::recv(fd, &mut buffer));
        would_block(transfer::recv_vectored(fd, &mut [IoSliceMut::new(&mut buffer)]));
        would_block(transfer::peek(fd, &mut buffer));
        would_block(transfer::recv_from(fd, &mut buffer));
        would_block(transfer::peek_from(fd, &mut buffer));
    }
    let much = vec![0; 64 << 20];
    transfer::send(stream.as_fd(), &much).unwrap();
    while transfer::send(stream.as_fd(), &[0]).is_ok() {}
    would_block(transfer::send(stream.as_fd(), &much));
    would_block(transfer::send_vectored(stream.as_fd(), &[IoSlice::new(&much)]));

    let directory = super::Directory::new();
    let path = directory.path("reader");
    let _reader = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let address = socket2::SockAddr::unix(&path).unwrap();
    while transfer::send_to(sender.as_fd(), &[0], &address).is_ok() {}
    would_block(transfer::send_to(sender.as_fd(), &[0], &address));
}

#[test]
fn a_listener_stays_in_nonblocking_mode() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(is_nonblocking(&listener));
    listener.set_nonblocking(true).unwrap();
    listener.set_nonblocking(false).unwrap();
    assert!(is_nonblocking(listener.try_clone().unwrap()));
}

#[test]
fn writing_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
    // Rust programs start with the signal ignored; a child without that protection shows the difference.
    if !is_child() {
        run_in_child("transfer::writing_to_a_peer_that_is_gone_is_an_error_and_no_signal");
        return;
    }
    // SAFETY: the default action runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let (mut stream, peer) = UnixStream::pair().unwrap();
    drop(peer);
    assert_eq!(stream.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(stream.write_vectored(&[IoSlice::new(b"x")]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.shutdown(net::Shutdown::Write).unwrap();
    assert_eq!(stream.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}
