use crate::net::{
    Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream, ToSocketAddrs,
};
use std::fmt::Debug;
use std::io;

fn list<A: ToSocketAddrs + ?Sized>(address: &A) -> Result<Vec<SocketAddr>, (io::ErrorKind, String)> {
    let list = address.to_socket_addrs().map(Iterator::collect);
    list.map_err(|error: io::Error| (error.kind(), error.to_string()))
}

/// Our answer is std's.
#[track_caller]
fn same<A: ToSocketAddrs + std::net::ToSocketAddrs + Debug + ?Sized>(address: &A) {
    let expected = std::net::ToSocketAddrs::to_socket_addrs(address).map(Iterator::collect);
    let expected = expected.map_err(|error| (error.kind(), error.to_string()));
    assert_eq!(list(address), expected, "{address:?}");
}

#[test]
fn every_form_gives_what_std_gives() {
    let v4: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let v6: SocketAddr = "[::1]:80".parse().unwrap();
    same(&v4);
    same(&&v6);
    same(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
    same(&SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 2, 3));
    same(&(v4.ip(), 1));
    same(&(Ipv4Addr::LOCALHOST, 1));
    same(&(Ipv6Addr::LOCALHOST, 1));
    same(&("127.0.0.1", 1));
    same(&("::1", 1));
    same(&(String::from("localhost"), 1));
    same("127.0.0.1:80");
    same("[::1]:80");
    same(&String::from("localhost:80"));
    same(&&[v4, v6][..]);
    same(&&[][..]);
}

#[test]
fn what_is_no_address_fails_as_with_std() {
    same("");
    same("localhost");
    same("localhost:");
    same("localhost:99999");
    same("127.0.0.1:http");
    same(&("not a name", 1));
    same("with\0zero:80");
}

#[test]
fn a_name_can_be_bound_and_connected_to() {
    let listener = TcpListener::bind("localhost:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let stream = TcpStream::connect(("localhost", port)).unwrap();
    assert_eq!(stream.peer_addr().unwrap().port(), port);
}
