use super::{A_MOMENT, Directory, is_child, is_nonblocking, run_in_child};
use crate::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use crate::reactor::testing::{Hub, everywhere, spawn};
use std::io::{ErrorKind, Read, Write};
use std::net;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const LOCAL: &str = "127.0.0.1:0";

#[test]
fn accept_waits_for_a_client() {
    everywhere(|| {
        let listener = TcpListener::bind(LOCAL).unwrap();
        let address = listener.local_addr().unwrap();
        let server = spawn(move || listener.accept().unwrap());
        thread::sleep(A_MOMENT);
        let client = net::TcpStream::connect(address).unwrap();
        let (stream, peer) = server.join().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(!is_nonblocking(&stream));
    });
}

#[test]
fn several_acceptors_on_clones_and_hubs_share_the_connections() {
    const EACH: usize = 25;
    let hubs = [Hub::start(), Hub::start()];
    let listener = Arc::new(TcpListener::bind(LOCAL).unwrap());
    let address = listener.local_addr().unwrap();
    let serve = |stream: TcpStream| (&stream).write_all(b"x").unwrap();
    let mut servers = Vec::new();
    for hub in &hubs {
        hub.enter(|| {
            let shared = listener.clone();
            servers.push(spawn(move || (0..EACH).for_each(|_| serve(shared.accept().unwrap().0))));
            let cloned = listener.try_clone().unwrap();
            servers.push(spawn(move || {
                cloned.into_incoming().take(EACH).for_each(|stream| serve(stream.unwrap()))
            }));
        });
    }
    for _ in 0..EACH * servers.len() {
        let mut client = net::TcpStream::connect(address).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 1);
    }
    for server in servers {
        server.join().unwrap();
    }
}

#[test]
fn incoming_gives_connection_after_connection() {
    everywhere(|| {
        let listener = TcpListener::bind(LOCAL).unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..3).map(|_| net::TcpStream::connect(address).unwrap()).collect();
        let served: Vec<_> =
            listener.incoming().take(3).map(|stream| stream.unwrap().peer_addr().unwrap()).collect();
        assert_eq!(served, clients.iter().map(|client| client.local_addr().unwrap()).collect::<Vec<_>>());
    });
}

#[test]
fn a_nonblocking_listener_gives_would_block_on_every_handle() {
    everywhere(|| {
        let listener = TcpListener::bind(LOCAL).unwrap();
        let handle = listener.try_clone().unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(handle.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let std = net::TcpListener::from(listener);
        assert!(is_nonblocking(&std));
    });
}

#[test]
fn a_listener_goes_to_std_in_blocking_mode_and_its_clone_does_not_block_on_it() {
    everywhere(|| {
        let listener = TcpListener::bind(LOCAL).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(format!("{listener:?}"), format!("{listener:?}"));
        let handle = listener.try_clone().unwrap();
        let std = net::TcpListener::from(listener);
        assert!(!is_nonblocking(&std));
        handle.set_nonblocking(true).unwrap();
        // Would hang if it trusted the descriptor to be in the mode it set.
        assert_eq!(handle.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        handle.set_nonblocking(false).unwrap();
        let server = spawn(move || handle.accept().unwrap());
        thread::sleep(A_MOMENT);
        let _client = net::TcpStream::connect(address).unwrap();
        server.join().unwrap();
        drop(std);
    });
}

#[test]
fn an_adopted_listener_keeps_mode_and_timeout() {
    everywhere(|| {
        let std = net::TcpListener::bind(LOCAL).unwrap();
        let address = std.local_addr().unwrap();
        socket2::SockRef::from(&std).set_read_timeout(Some(A_MOMENT)).unwrap();
        let listener = TcpListener::from(std);
        assert!(is_nonblocking(&listener));
        let start = Instant::now();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= A_MOMENT);
        let _client = net::TcpStream::connect(address).unwrap();
        assert_eq!(listener.accept().unwrap().0.read_timeout().unwrap(), Some(A_MOMENT));
        assert!(!is_nonblocking(OwnedFd::from(listener)));
    });
}

#[test]
fn listener_options_are_those_of_the_socket() {
    let listener = TcpListener::bind(LOCAL).unwrap();
    listener.set_ttl(42).unwrap();
    assert_eq!(listener.ttl().unwrap(), 42);
    assert!(listener.take_error().unwrap().is_none());
    assert!(listener.as_fd().try_clone_to_owned().is_ok());
    let error = TcpListener::bind(listener.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn local_listeners_accept_too() {
    everywhere(|| {
        let directory = Directory::new();
        let path = directory.path("listener");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let server = spawn(move || {
            let mut served = Vec::new();
            for stream in listener.into_iter().take(2) {
                let mut text = String::new();
                stream.unwrap().read_to_string(&mut text).unwrap();
                served.push(text);
            }
            served
        });
        thread::sleep(A_MOMENT);
        std::os::unix::net::UnixStream::connect(&path).unwrap().write_all(b"std").unwrap();
        UnixStream::connect(&path).unwrap().write_all(b"ours").unwrap();
        assert_eq!(server.join().unwrap(), ["std", "ours"]);
    });
}

#[test]
fn out_of_descriptors_accept_backs_off_reports_once_and_goes_on() {
    // In a child process, for the limit is the process's.
    if is_child() {
        everywhere(starve);
        return;
    }
    let errors = run_in_child("accept::out_of_descriptors_accept_backs_off_reports_once_and_goes_on");
    let reports: Vec<_> = errors.lines().filter(|line| line.starts_with("greenhub: ")).collect();
    // One occurrence on the plain thread, one on the hub.
    assert_eq!(reports.len(), 2, "{errors}");
    for report in reports {
        assert!(report.starts_with("greenhub: out of file descriptors (limit 64: raise it with ulimit -n) "));
        assert!(report.contains("while accepting on 127.0.0.1:") && report.ends_with("; trying again"));
    }
}

fn starve() {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let address = listener.local_addr().unwrap();
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: `limit` is valid for reading for the length of the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let client = net::TcpStream::connect(address).unwrap();
    let mut hoard: Vec<OwnedFd> = Vec::new();
    while let Ok(fd) = client.as_fd().try_clone_to_owned() {
        hoard.push(fd);
    }
    let server = spawn(move || listener.accept().unwrap());
    thread::sleep(Duration::from_millis(100));
    assert!(!server.is_finished());
    drop(hoard);
    server.join().unwrap();
}
