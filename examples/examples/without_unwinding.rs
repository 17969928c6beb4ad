//! Kill and timeout in a program built with `panic = "abort"`, where nothing can unwind: calls that give an
//! `io::Result` report them, everything else runs on. Prints what happens in this build, and checks it.
//!
//! ```sh
//! cargo run --profile abort --example without_unwinding
//! ```

use greenhub::net::{TcpListener, TcpStream};
use std::io::{self, Read};
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    greenhub::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (silent_peer, _) = listener.accept()?;

        let read = greenhub::timeout(Duration::from_millis(20), || client.read(&mut [0; 16]));
        println!("a read when its time is up: {read:?}");

        let start = Instant::now();
        let slept =
            greenhub::timeout(Duration::from_millis(5), || greenhub::sleep(Duration::from_millis(30)));
        println!("a sleep when its time is up: {slept:?} after {:?}", start.elapsed());

        let reader = greenhub::spawn(move || client.read(&mut [0; 16]));
        greenhub::sleep(Duration::from_millis(20));
        reader.kill();
        let killed = reader.join();
        println!("a read whose greenlet is killed: {killed:?}");

        let unstarted = greenhub::spawn_later(Duration::from_secs(60), || "never");
        unstarted.kill();
        let unstarted = unstarted.join();
        println!("a greenlet killed before its start: {unstarted:?}");
        drop(silent_peer);

        if cfg!(panic = "abort") {
            assert_eq!(read.expect("nothing unwinds").unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(slept.is_ok() && start.elapsed() >= Duration::from_millis(30), "it slept to its end");
            assert_eq!(killed.expect("nothing unwinds").unwrap_err().kind(), io::ErrorKind::Other);
        } else {
            assert!(read.is_err() && slept.is_err());
            assert!(killed.unwrap_err().is_killed());
        }
        assert!(unstarted.unwrap_err().is_killed());
        Ok(())
    })
}
