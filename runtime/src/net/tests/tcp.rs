use super::{A_MOMENT, is_nonblocking};
use crate::net::{Shutdown, TcpListener, TcpStream};
use crate::reactor::testing::{everywhere, spawn};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const LOCAL: &str = "127.0.0.1:0";

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn pair_with_std() -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind(LOCAL).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn a_client_of_ours_and_a_server_of_std_echo_on_both_families() {
    everywhere(|| {
        for local in [LOCAL, "[::1]:0"] {
            let Ok(listener) = net::TcpListener::bind(local) else {
                assert_ne!(local, LOCAL);
                eprintln!("no IPv6 here");
                continue;
            };
            let address = listener.local_addr().unwrap();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = Vec::new();
                stream.read_to_end(&mut buffer).unwrap();
                stream.write_all(&buffer).unwrap();
            });
            let mut client = TcpStream::connect(address).unwrap();
            assert_eq!(client.peer_addr().unwrap(), address);
            assert!(!is_nonblocking(&client));
            client.write_all(b"over there and back").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut back = String::new();
            client.read_to_string(&mut back).unwrap();
            assert_eq!(back, "over there and back");
            server.join().unwrap();
        }
    });
}

#[test]
fn a_server_of_ours_and_a_client_of_std_move_more_than_the_buffers_hold() {
    everywhere(|| {
        let listener = TcpListener::bind(LOCAL).unwrap();
        let address = listener.local_addr().unwrap();
        let data: Vec<u8> = (0..8 << 20).map(|i: u32| (i % 251) as u8).collect();
        let expected = data.clone();
        let client = thread::spawn(move || {
            let mut stream = net::TcpStream::connect(address).unwrap();
            let mut read = Vec::new();
            stream.read_to_end(&mut read).unwrap();
            stream.write_all(&read).unwrap();
            read
        });
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(server.peer_addr().unwrap(), peer);
        (&server).write_all(&data).unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        (&server).read_to_end(&mut back).unwrap();
        assert!(back == expected && client.join().unwrap() == expected);
    });
}

#[test]
fn one_reads_while_another_writes_through_the_same_stream() {
    everywhere(|| {
        let (ours, theirs) = pair();
        let ours = Arc::new(ours);
        let echo = spawn(move || {
            let mut buffer = [0; 1000];
            loop {
                match (&theirs).read(&mut buffer).unwrap() {
                    0 => return,
                    n => (&theirs).write_all(&buffer[..n]).unwrap(),
                }
            }
        });
        let writer = {
            let ours = ours.clone();
            spawn(move || {
                for i in 0..2000_u32 {
                    (&*ours).write_all(&i.to_be_bytes()).unwrap();
                }
                ours.shutdown(Shutdown::Write).unwrap();
            })
        };
        for i in 0..2000_u32 {
            let mut buffer = [0; 4];
            (&*ours).read_exact(&mut buffer).unwrap();
            assert_eq!(u32::from_be_bytes(buffer), i);
        }
        assert_eq!((&*ours).read(&mut [0]).unwrap(), 0);
        writer.join().unwrap();
        echo.join().unwrap();
    });
}

#[test]
fn short_reads_and_late_data_lose_nothing() {
    // Ping-pong of small messages: each read is short, so the next one waits before it calls.
    everywhere(|| {
        let (mut ours, mut theirs) = pair_with_std();
        let peer = thread::spawn(move || {
            let mut buffer = [0; 64];
            for round in 0..500_usize {
                let n = theirs.read(&mut buffer).unwrap();
                if round % 50 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
                theirs.write_all(&buffer[..n]).unwrap();
            }
            theirs.read_exact(&mut buffer[..1]).unwrap();
            theirs.write_all(b"end").unwrap();
        });
        let mut buffer = [0; 64];
        for round in 0..500_u32 {
            ours.write_all(&round.to_be_bytes()).unwrap();
            assert_eq!(ours.read(&mut buffer).unwrap(), 4);
            assert_eq!(buffer[..4], round.to_be_bytes());
        }
        // The last bytes and the end of the stream may be one event.
        ours.write_all(b"?").unwrap();
        peer.join().unwrap();
        thread::sleep(A_MOMENT);
        assert_eq!(ours.read(&mut buffer).unwrap(), 3);
        assert_eq!(ours.read(&mut buffer).unwrap(), 0);
    });
}

#[test]
fn data_beyond_urgent_data_is_read() {
    everywhere(|| {
        let (mut ours, mut theirs) = pair_with_std();
        let mut buffer = [0; 64];
        ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        ours.read(&mut buffer).unwrap_err();
        ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        theirs.write_all(b"before").unwrap();
        socket2::SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
        theirs.write_all(b"after").unwrap();
        thread::sleep(A_MOMENT);
        let start = Instant::now();
        assert_eq!(ours.read(&mut buffer).unwrap(), 6);
        assert_eq!(ours.read(&mut buffer).unwrap(), 5);
        assert!(start.elapsed() < Duration::from_secs(5), "found only by the last try");
    });
}

#[test]
fn vectored_reads_and_writes_fill_their_buffers_in_order() {
    everywhere(|| {
        let (mut ours, mut theirs) = pair_with_std();
        let written = ours.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")]).unwrap();
        assert_eq!(written, 5);
        let mut buffer = [0; 5];
        theirs.read_exact(&mut buffer).unwrap();
        theirs.write_all(&buffer).unwrap();
        thread::sleep(A_MOMENT);
        let (mut one, mut other) = ([0; 3], [0; 3]);
        let read = ours.read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)]);
        assert_eq!(read.unwrap(), 5);
        assert_eq!((&one, &other[..2]), (b"abc", &b"de"[..]));
        // More buffers than the kernel takes at once are not refused.
        let many = vec![IoSlice::new(b"x"); 3000];
        assert_eq!(ours.write_vectored(&many).unwrap(), 1024);
    });
}

#[test]
fn peek_waits_and_leaves_the_data() {
    everywhere(|| {
        let (ours, mut theirs) = pair_with_std();
        let writer = thread::spawn(move || {
            thread::sleep(A_MOMENT);
            theirs.write_all(b"ab").unwrap();
            theirs
        });
        let mut buffer = [0; 8];
        assert_eq!(ours.peek(&mut buffer).unwrap(), 2);
        assert_eq!(ours.peek(&mut buffer[..1]).unwrap(), 1);
        assert_eq!((&ours).read(&mut buffer).unwrap(), 2);
        drop(writer.join().unwrap());
        assert_eq!(ours.peek(&mut buffer).unwrap(), 0);
    });
}

#[test]
fn timeouts_end_calls_as_std_ends_them_and_hold_for_all_handles() {
    everywhere(|| {
        let (ours, theirs) = pair_with_std();
        theirs.set_read_timeout(Some(A_MOMENT)).unwrap();
        let expected = (&theirs).read(&mut [0]).unwrap_err();

        let handle = ours.try_clone().unwrap();
        assert_eq!(ours.read_timeout().unwrap(), None);
        ours.set_read_timeout(Some(A_MOMENT)).unwrap();
        ours.set_write_timeout(Some(A_MOMENT)).unwrap();
        assert_eq!(handle.read_timeout().unwrap(), Some(A_MOMENT));
        for stream in [&ours, &handle] {
            let start = Instant::now();
            let error = { stream }.read(&mut [0]).unwrap_err();
            assert!(start.elapsed() >= A_MOMENT);
            assert_eq!((error.kind(), error.raw_os_error()), (expected.kind(), expected.raw_os_error()));
            let start = Instant::now();
            let error = { stream }.write_all(&vec![0; 64 << 20]).unwrap_err();
            assert!(start.elapsed() >= A_MOMENT);
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
        let zero = Some(Duration::ZERO);
        let expected = theirs.set_read_timeout(zero).unwrap_err().kind();
        assert_eq!(expected, ErrorKind::InvalidInput);
        assert_eq!(ours.set_read_timeout(zero).unwrap_err().kind(), expected);
        assert_eq!(ours.set_write_timeout(zero).unwrap_err().kind(), expected);
        ours.set_read_timeout(None).unwrap();
        assert_eq!(handle.read_timeout().unwrap(), None);
    });
}

#[test]
fn shutdown_wakes_a_blocked_reader_and_a_blocked_writer() {
    everywhere(|| {
        let (ours, _theirs) = pair_with_std();
        let ours = Arc::new(ours);
        let reader = spawn({
            let ours = ours.clone();
            move || (&*ours).read(&mut [0]).unwrap()
        });
        let writer = spawn({
            let ours = ours.clone();
            move || (&*ours).write_all(&vec![0; 64 << 20]).unwrap_err().kind()
        });
        thread::sleep(A_MOMENT);
        ours.shutdown(Shutdown::Both).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
        assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn shutdown_of_reading_alone_wakes_the_reader() {
    everywhere(|| {
        let (ours, _theirs) = pair_with_std();
        let handle = ours.try_clone().unwrap();
        let reader = spawn(move || (&handle).read(&mut [0]).unwrap());
        thread::sleep(A_MOMENT);
        ours.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
    });
}

#[test]
fn a_reset_reaches_the_blocked_reader() {
    everywhere(|| {
        let (mut ours, theirs) = pair_with_std();
        let reader = spawn(move || ours.read(&mut [0]).unwrap_err().kind());
        thread::sleep(A_MOMENT);
        socket2::SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
        drop(theirs);
        assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn nonblocking_gives_would_block_on_every_handle_until_it_is_turned_off() {
    everywhere(|| {
        let (ours, mut theirs) = pair_with_std();
        let handle = ours.try_clone().unwrap();
        ours.set_nonblocking(true).unwrap();
        assert_eq!((&handle).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(ours.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(is_nonblocking(&handle));
        handle.set_nonblocking(false).unwrap();
        assert!(!is_nonblocking(&ours));
        let reader = spawn(move || (&ours).read(&mut [0]).unwrap());
        thread::sleep(A_MOMENT);
        theirs.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn a_duplicate_in_the_other_mode_changes_nothing() {
    everywhere(|| {
        let (ours, mut theirs) = pair_with_std();
        let duplicate = net::TcpStream::from(ours.as_fd().try_clone_to_owned().unwrap());
        duplicate.set_nonblocking(true).unwrap();
        let reader = spawn(move || (&ours).read(&mut [0; 8]).unwrap());
        thread::sleep(A_MOMENT);
        theirs.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn connecting_fails_as_with_std() {
    everywhere(|| {
        let closed = net::TcpListener::bind(LOCAL).unwrap().local_addr().unwrap();
        let expected = net::TcpStream::connect(closed).unwrap_err();
        let error = TcpStream::connect(closed).unwrap_err();
        assert_eq!((error.kind(), error.raw_os_error()), (expected.kind(), expected.raw_os_error()));
        let error = TcpStream::connect_timeout(&closed, Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

        let expected = net::TcpStream::connect_timeout(&closed, Duration::ZERO).unwrap_err();
        let error = TcpStream::connect_timeout(&closed, Duration::ZERO).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (expected.kind(), expected.to_string()));

        let none: &[net::SocketAddr] = &[];
        let (expected, error) =
            (net::TcpStream::connect(none).unwrap_err(), TcpStream::connect(none).unwrap_err());
        assert_eq!((error.kind(), error.to_string()), (expected.kind(), expected.to_string()));
    });
}

#[test]
fn connecting_tries_each_address() {
    everywhere(|| {
        let closed = net::TcpListener::bind(LOCAL).unwrap().local_addr().unwrap();
        let listener = net::TcpListener::bind(LOCAL).unwrap();
        let open = listener.local_addr().unwrap();
        let stream = TcpStream::connect(&[closed, open][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let limit = Duration::from_secs(5);
        assert_eq!(TcpStream::connect_timeout(&open, limit).unwrap().peer_addr().unwrap(), open);
    });
}

#[test]
fn a_connection_nobody_answers_times_out() {
    // A full queue of connections on the loopback drops what follows, so that connecting waits.
    everywhere(|| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&LOCAL.parse::<net::SocketAddr>().unwrap().into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let limit = Duration::from_millis(50);
        let mut kept = Vec::new();
        let start = loop {
            let start = Instant::now();
            match TcpStream::connect_timeout(&address, limit) {
                Ok(stream) => kept.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    break start;
                }
            }
        };
        assert!(start.elapsed() >= limit && start.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn options_are_those_of_the_socket() {
    everywhere(|| {
        let (ours, _theirs) = pair();
        ours.set_nodelay(true).unwrap();
        assert!(ours.nodelay().unwrap());
        ours.set_ttl(42).unwrap();
        assert_eq!(ours.ttl().unwrap(), 42);
        assert!(ours.take_error().unwrap().is_none());
        let std = net::TcpStream::from(ours);
        assert!(std.nodelay().unwrap() && std.ttl().unwrap() == 42);
    });
}

#[test]
fn conversions_keep_the_connection_its_mode_and_its_timeouts() {
    everywhere(|| {
        let (ours, mut theirs) = pair_with_std();
        // Registered, so that a conversion has something to undo.
        ours.set_read_timeout(Some(A_MOMENT)).unwrap();
        (&ours).read(&mut [0]).unwrap_err();

        let std = net::TcpStream::from(ours);
        assert_eq!(std.read_timeout().unwrap(), Some(A_MOMENT));
        assert!(!is_nonblocking(&std));
        let ours = TcpStream::from(std);
        assert_eq!((&ours).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);

        let ours = TcpStream::from(OwnedFd::from(ours));
        ours.set_nonblocking(true).unwrap();
        let raw = ours.as_raw_fd();
        assert_eq!(raw, ours.into_raw_fd());
        // SAFETY: `into_raw_fd` has just given this descriptor away.
        let mut ours = unsafe { TcpStream::from_raw_fd(raw) };
        let start = Instant::now();
        assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() < A_MOMENT);
        theirs.write_all(b"x").unwrap();
        ours.set_nonblocking(false).unwrap();
        assert_eq!(ours.read(&mut [0]).unwrap(), 1);
        let text = format!("{ours:?}");
        assert_eq!(text, format!("{:?}", net::TcpStream::from(ours)));
    });
}
