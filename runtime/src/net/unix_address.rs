//! Addresses of local sockets, between std's type and the one the system calls take.

use socket2::SockAddr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A path as an address.
pub(super) fn from_path(path: &Path) -> io::Result<SockAddr> {
    if path.as_os_str().as_bytes().contains(&0) {
        let message = "paths must not contain interior null bytes";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    SockAddr::unix(path)
}

/// Std's address as the system calls take it.
pub(super) fn from_std(address: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return from_path(path);
    }
    match address.as_abstract_name() {
        Some(name) => {
            // An abstract name is one that begins with a null byte.
            let name = [&[0], name].concat();
            SockAddr::unix(PathBuf::from(std::ffi::OsString::from_vec(name)))
        }
        None => SockAddr::unix(""),
    }
}

/// The address a system call gave, as std's.
pub(super) fn to_std(address: &SockAddr) -> io::Result<SocketAddr> {
    if let Some(name) = address.as_abstract_namespace() {
        return SocketAddr::from_abstract_name(name);
    }
    // The empty path is the unnamed address.
    SocketAddr::from_pathname(address.as_pathname().unwrap_or(Path::new("")))
}
