use super::{A_MOMENT, is_nonblocking};
use crate::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use crate::reactor::testing::{everywhere, spawn};
use std::io::ErrorKind;
use std::net;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

const LOCAL: &str = "127.0.0.1:0";

#[test]
fn datagrams_go_to_std_and_back() {
    everywhere(|| {
        for local in [LOCAL, "[::1]:0"] {
            let Ok(theirs) = net::UdpSocket::bind(local) else {
                assert_ne!(local, LOCAL);
                continue;
            };
            let ours = UdpSocket::bind(local).unwrap();
            let address = theirs.local_addr().unwrap();
            let echo = thread::spawn(move || {
                let mut buffer = [0; 64];
                let (n, from) = theirs.recv_from(&mut buffer).unwrap();
                thread::sleep(A_MOMENT);
                for _ in 0..2 {
                    theirs.send_to(&buffer[..n], from).unwrap();
                }
            });
            assert_eq!(ours.send_to(b"ping", address).unwrap(), 4);
            let mut buffer = [0; 64];
            assert_eq!(ours.peek_from(&mut buffer[..2]).unwrap(), (2, address));
            assert_eq!(ours.recv_from(&mut buffer).unwrap(), (4, address));
            ours.connect(address).unwrap();
            assert_eq!(ours.peer_addr().unwrap(), address);
            assert_eq!(ours.peek(&mut buffer).unwrap(), 4);
            assert_eq!(ours.recv(&mut buffer).unwrap(), 4);
            assert_eq!(&buffer[..4], b"ping");
            echo.join().unwrap();
        }
    });
}

#[test]
fn a_closed_port_is_reported_to_the_connected_socket_and_reading_goes_on() {
    everywhere(|| {
        let ours = UdpSocket::bind(LOCAL).unwrap();
        let closed = net::UdpSocket::bind(LOCAL).unwrap();
        let address = closed.local_addr().unwrap();
        ours.connect(address).unwrap();
        drop(closed);
        let handle = ours.try_clone().unwrap();
        let reader = spawn(move || handle.recv(&mut [0]).unwrap_err().kind());
        thread::sleep(A_MOMENT);
        assert_eq!(ours.send(b"x").unwrap(), 1);
        assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionRefused);
        let reopened = net::UdpSocket::bind(address).unwrap();
        let handle = ours.try_clone().unwrap();
        let reader = spawn(move || handle.recv(&mut [0; 8]).unwrap());
        thread::sleep(A_MOMENT);
        reopened.send_to(b"back", ours.local_addr().unwrap()).unwrap();
        assert_eq!(reader.join().unwrap(), 4);
    });
}

#[test]
fn timeouts_and_modes_are_std_s() {
    everywhere(|| {
        let ours = UdpSocket::bind(LOCAL).unwrap();
        ours.set_read_timeout(Some(A_MOMENT)).unwrap();
        ours.set_write_timeout(Some(A_MOMENT)).unwrap();
        assert_eq!(ours.read_timeout().unwrap(), ours.write_timeout().unwrap());
        let start = Instant::now();
        assert_eq!(ours.recv_from(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= A_MOMENT);
        let zero = ours.set_read_timeout(Some(Duration::ZERO));
        assert_eq!(zero.unwrap_err().kind(), ErrorKind::InvalidInput);
        ours.set_nonblocking(true).unwrap();
        assert_eq!(ours.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(is_nonblocking(net::UdpSocket::from(ours)));
    });
}

#[test]
fn options_are_those_of_the_socket() {
    let ours = UdpSocket::bind(LOCAL).unwrap();
    ours.set_broadcast(true).unwrap();
    ours.set_ttl(42).unwrap();
    ours.set_multicast_ttl_v4(43).unwrap();
    ours.set_multicast_loop_v4(false).unwrap();
    assert!(ours.broadcast().unwrap() && !ours.multicast_loop_v4().unwrap());
    assert_eq!((ours.ttl().unwrap(), ours.multicast_ttl_v4().unwrap()), (42, 43));
    assert!(ours.take_error().unwrap().is_none());
    let group = Ipv4Addr::new(224, 0, 0, 123);
    ours.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    ours.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    if let Ok(ours) = UdpSocket::bind("[::1]:0") {
        ours.set_multicast_loop_v6(false).unwrap();
        assert!(!ours.multicast_loop_v6().unwrap());
        let group: Ipv6Addr = "ff02::123".parse().unwrap();
        // Interface 0 is whichever the system prefers; there may be none. What std says is right.
        let std = net::UdpSocket::bind("[::1]:0").unwrap();
        let kind = |result: std::io::Result<()>| result.map_err(|error| error.raw_os_error());
        assert_eq!(kind(ours.join_multicast_v6(&group, 0)), kind(std.join_multicast_v6(&group, 0)));
        assert_eq!(kind(ours.leave_multicast_v6(&group, 0)), kind(std.leave_multicast_v6(&group, 0)));
    }
}

#[test]
fn sending_to_no_address_fails_as_with_std() {
    let (ours, std) = (UdpSocket::bind(LOCAL).unwrap(), net::UdpSocket::bind(LOCAL).unwrap());
    let none: &[net::SocketAddr] = &[];
    let (error, expected) = (ours.send_to(b"", none).unwrap_err(), std.send_to(b"", none).unwrap_err());
    assert_eq!((error.kind(), error.to_string()), (expected.kind(), expected.to_string()));
    assert_eq!(ours.send(b"x").unwrap_err().raw_os_error(), std.send(b"x").unwrap_err().raw_os_error());
}

#[test]
fn conversions_keep_the_socket() {
    let ours = UdpSocket::bind(LOCAL).unwrap();
    let address = ours.local_addr().unwrap();
    let text = format!("{ours:?}");
    let std = net::UdpSocket::from(ours);
    assert_eq!(text, format!("{std:?}"));
    let ours = UdpSocket::from(OwnedFd::from(UdpSocket::from(std)));
    let raw = ours.as_raw_fd();
    assert_eq!(ours.into_raw_fd(), raw);
    // SAFETY: `into_raw_fd` has just given this descriptor away.
    let ours = unsafe { UdpSocket::from_raw_fd(raw) };
    assert_eq!(ours.local_addr().unwrap(), address);
}
