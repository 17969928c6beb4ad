use super::{A_MOMENT, Directory, is_nonblocking};
use crate::net::{Shutdown, UnixDatagram, UnixListener, UnixStream};
use crate::reactor::testing::{everywhere, spawn};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

fn abstract_address(name: &str) -> SocketAddr {
    let thread = thread::current().id();
    SocketAddr::from_abstract_name(format!("greenhub-{name}-{}-{thread:?}", std::process::id())).unwrap()
}

#[test]
fn a_pair_talks_both_ways() {
    everywhere(|| {
        let (one, other) = UnixStream::pair().unwrap();
        let echo = spawn(move || {
            let mut text = Vec::new();
            (&other).read_to_end(&mut text).unwrap();
            (&other).write_all(&text).unwrap();
        });
        let data = vec![7; 4 << 20];
        (&one).write_all(&data).unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        (&one).read_to_end(&mut back).unwrap();
        assert!(back == data);
        echo.join().unwrap();
    });
}

#[test]
fn streams_connect_by_path_and_by_abstract_name() {
    everywhere(|| {
        let directory = Directory::new();
        let path = directory.path("listener");
        let by_path = net::UnixListener::bind(&path).unwrap();
        let stream = UnixStream::connect(&path).unwrap();
        assert!(!is_nonblocking(&stream));
        assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
        assert!(stream.local_addr().unwrap().is_unnamed());
        by_path.accept().unwrap();
        UnixStream::connect_addr(&SocketAddr::from_pathname(&path).unwrap()).unwrap();

        let name = abstract_address("stream");
        let by_name = UnixListener::bind_addr(&name).unwrap();
        let stream = UnixStream::connect_addr(&name).unwrap();
        assert_eq!(stream.peer_addr().unwrap().as_abstract_name(), name.as_abstract_name());
        by_name.accept().unwrap();
    });
}

#[test]
fn connecting_fails_as_with_std() {
    let directory = Directory::new();
    let missing = directory.path("missing");
    let (long, zero) = (directory.path(&"x".repeat(200)), directory.path("x\0y"));
    for path in [&missing, &long, &zero] {
        let (error, expected) =
            (UnixStream::connect(path).unwrap_err(), net::UnixStream::connect(path).unwrap_err());
        assert_eq!((error.kind(), error.raw_os_error()), (expected.kind(), expected.raw_os_error()));
    }
    let unnamed = SocketAddr::from_pathname("").unwrap();
    let (error, expected) = (UnixStream::connect_addr(&unnamed), net::UnixStream::connect_addr(&unnamed));
    assert_eq!(error.unwrap_err().raw_os_error(), expected.unwrap_err().raw_os_error());
}

#[test]
fn connecting_waits_while_the_queue_of_connections_is_full() {
    everywhere(|| {
        let directory = Directory::new();
        let path = directory.path("listener");
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let listener = net::UnixListener::from(OwnedFd::from(socket));
        let _first = UnixStream::connect(&path).unwrap();
        let second = spawn(move || UnixStream::connect(&path).unwrap());
        thread::sleep(A_MOMENT);
        assert!(!second.is_finished());
        listener.accept().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn stream_options_and_vectored_forms_are_std_s() {
    everywhere(|| {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let handle = one.try_clone().unwrap();
        one.set_read_timeout(Some(A_MOMENT)).unwrap();
        one.set_write_timeout(Some(A_MOMENT)).unwrap();
        assert_eq!(one.read_timeout().unwrap(), handle.write_timeout().unwrap());
        let start = Instant::now();
        assert_eq!((&handle).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= A_MOMENT);
        assert_eq!(one.write_all(&vec![0; 8 << 20]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let zero = one.set_write_timeout(Some(Duration::ZERO));
        assert_eq!(zero.unwrap_err().kind(), ErrorKind::InvalidInput);
        one.set_nonblocking(true).unwrap();
        assert_eq!(one.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(one.take_error().unwrap().is_none());

        assert_eq!(other.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"c")]).unwrap(), 3);
        let (mut head, mut tail) = ([0; 1], [0; 4]);
        let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        assert_eq!(one.read_vectored(&mut buffers).unwrap(), 3);
        assert_eq!((&head, &tail[..2]), (b"a", &b"bc"[..]));
    });
}

#[test]
fn shutdown_wakes_a_blocked_reader() {
    everywhere(|| {
        let (one, _other) = UnixStream::pair().unwrap();
        let handle = one.try_clone().unwrap();
        let reader = spawn(move || (&handle).read(&mut [0]).unwrap());
        thread::sleep(A_MOMENT);
        one.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
    });
}

#[test]
fn conversions_keep_the_connection() {
    let (one, mut other) = UnixStream::pair().unwrap();
    let text = format!("{one:?}");
    let std = net::UnixStream::from(one);
    assert_eq!(text, format!("{std:?}"));
    let one = UnixStream::from(OwnedFd::from(UnixStream::from(std)));
    let raw = one.as_raw_fd();
    assert_eq!(one.into_raw_fd(), raw);
    // SAFETY: `into_raw_fd` has just given this descriptor away.
    let mut one = unsafe { UnixStream::from_raw_fd(raw) };
    one.write_all(b"x").unwrap();
    assert_eq!(other.read(&mut [0; 8]).unwrap(), 1);

    let directory = Directory::new();
    let listener = UnixListener::bind(directory.path("listener")).unwrap();
    let text = format!("{listener:?}");
    let std = net::UnixListener::from(listener);
    assert!(!is_nonblocking(&std));
    assert_eq!(text, format!("{std:?}"));
    let listener = UnixListener::from(std);
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.try_clone().unwrap().accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(listener.take_error().unwrap().is_none());
    assert!(is_nonblocking(OwnedFd::from(listener)));
}

#[test]
fn datagrams_go_to_std_and_back_by_every_kind_of_address() {
    everywhere(|| {
        let directory = Directory::new();
        let (path, their_path) = (directory.path("ours"), directory.path("theirs"));
        let ours = UnixDatagram::bind(&path).unwrap();
        let theirs = net::UnixDatagram::bind(&their_path).unwrap();
        let mut buffer = [0; 16];

        assert_eq!(ours.send_to(b"one", &their_path).unwrap(), 3);
        let (length, from) = theirs.recv_from(&mut buffer).unwrap();
        assert_eq!((length, from.as_pathname()), (3, Some(&*path)));
        ours.connect(&their_path).unwrap();
        assert_eq!(ours.send(b"four").unwrap(), 4);
        assert_eq!(theirs.recv(&mut buffer).unwrap(), 4);
        assert_eq!(ours.peer_addr().unwrap().as_pathname(), Some(&*their_path));

        let reader = spawn(move || {
            let mut buffer = [0; 16];
            let (length, from) = ours.recv_from(&mut buffer).unwrap();
            (ours, length, from)
        });
        thread::sleep(A_MOMENT);
        theirs.send_to(b"back", &path).unwrap();
        let (ours, length, from) = reader.join().unwrap();
        assert_eq!((length, from.as_pathname()), (4, Some(&*their_path)));
        assert_eq!(ours.local_addr().unwrap().as_pathname(), Some(&*path));

        let name = abstract_address("datagram");
        let named = UnixDatagram::bind_addr(&name).unwrap();
        let unbound = UnixDatagram::unbound().unwrap();
        unbound.send_to_addr(b"x", &name).unwrap();
        assert!(named.recv_from(&mut buffer).unwrap().1.is_unnamed());
        unbound.connect_addr(&name).unwrap();
        unbound.send(b"xy").unwrap();
        assert_eq!(named.recv(&mut buffer).unwrap(), 2);
        let reader = UnixDatagram::bind(directory.path("reader")).unwrap();
        named.send_to(b"abc", directory.path("reader")).unwrap();
        let (length, from) = reader.recv_from(&mut buffer).unwrap();
        assert_eq!((length, from.as_abstract_name()), (3, name.as_abstract_name()));
    });
}

#[test]
fn a_sender_of_datagrams_waits_for_room() {
    everywhere(|| {
        let directory = Directory::new();
        let path = directory.path("reader");
        let reader = net::UnixDatagram::bind(&path).unwrap();
        for connected in [false, true] {
            let sender = UnixDatagram::unbound().unwrap();
            let filler = net::UnixDatagram::unbound().unwrap();
            filler.set_nonblocking(true).unwrap();
            let mut queued = 0;
            while filler.send_to(b"x", &path).is_ok() {
                queued += 1;
            }
            sender.set_write_timeout(Some(A_MOMENT)).unwrap();
            assert_eq!(sender.send_to(b"x", &path).unwrap_err().kind(), ErrorKind::WouldBlock);
            sender.set_write_timeout(None).unwrap();
            let to = path.clone();
            let waiting = spawn(move || match connected {
                true => {
                    sender.connect(to).unwrap();
                    sender.send(b"x").unwrap()
                }
                false => sender.send_to(b"x", to).unwrap(),
            });
            thread::sleep(A_MOMENT);
            assert!(!waiting.is_finished());
            for _ in 0..queued {
                reader.recv(&mut [0]).unwrap();
            }
            assert_eq!(waiting.join().unwrap(), 1);
            reader.recv(&mut [0]).unwrap();
        }
    });
}

#[test]
fn datagram_options_are_std_s() {
    everywhere(|| {
        let (one, other) = UnixDatagram::pair().unwrap();
        one.set_read_timeout(Some(A_MOMENT)).unwrap();
        one.set_write_timeout(Some(A_MOMENT)).unwrap();
        assert_eq!(one.read_timeout().unwrap(), one.write_timeout().unwrap());
        let start = Instant::now();
        assert_eq!(one.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= A_MOMENT);
        while one.send(b"x").is_ok() {}
        other.set_nonblocking(true).unwrap();
        while other.recv(&mut [0]).is_ok() {}
        let handle = other.try_clone().unwrap();
        handle.set_nonblocking(false).unwrap();
        let reader = spawn(move || handle.recv(&mut [0]).unwrap());
        thread::sleep(A_MOMENT);
        other.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
        assert!(other.recv_from(&mut [0]).unwrap().1.is_unnamed());
        assert!(other.take_error().unwrap().is_none());
        let text = format!("{one:?}");
        let std = net::UnixDatagram::from(one);
        assert_eq!(text, format!("{std:?}"));
        drop(UnixDatagram::from(std));
    });
}
