//! Addresses of local sockets, between std's type and the one the system calls take.

use socket2::SockAddr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

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
    if let Some(abstract_address) = abstract_names::from_std(address) {
        return abstract_address;
    }
    SockAddr::unix("")
}

/// The address a system call gave, as std's.
pub(super) fn to_std(address: &SockAddr) -> io::Result<SocketAddr> {
    if let Some(abstract_address) = abstract_names::to_std(address) {
        return abstract_address;
    }
    // The empty path is the unnamed address.
    SocketAddr::from_pathname(address.as_pathname().unwrap_or(Path::new("")))
}

/// Names that are no paths.
#[cfg(target_os = "linux")]
mod abstract_names {
    use socket2::SockAddr;
    use std::ffi::OsString;
    use std::io;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::net::SocketAddr;

    pub(super) fn from_std(address: &SocketAddr) -> Option<io::Result<SockAddr>> {
        // An abstract name is one that begins with a null byte.
        address.as_abstract_name().map(|name| SockAddr::unix(OsString::from_vec([&[0], name].concat())))
    }

    pub(super) fn to_std(address: &SockAddr) -> Option<io::Result<SocketAddr>> {
        address.as_abstract_namespace().map(SocketAddr::from_abstract_name)
    }
}

/// Other systems have none.
#[cfg(not(target_os = "linux"))]
mod abstract_names {
    use socket2::SockAddr;
    use std::io;
    use std::os::unix::net::SocketAddr;

    pub(super) fn from_std(_address: &SocketAddr) -> Option<io::Result<SockAddr>> {
        None
    }

    pub(super) fn to_std(_address: &SockAddr) -> Option<io::Result<SocketAddr>> {
        None
    }
}
