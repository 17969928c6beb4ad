//! The network inside greenlets: echo over all hubs, limits, kills, and streams that outlive things.

mod common;

use common::{everywhere, inside};
use greenhub::net::{Shutdown, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Echoes until the other side closes.
fn echo(mut stream: impl Read + Write) -> usize {
    let (mut total, mut buffer) = (0, [0; 4096]);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return total,
            count => {
                stream.write_all(&buffer[..count]).unwrap();
                total += count;
            }
        }
    }
}

fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 + seed * 7) as u8).collect()
}

#[test]
fn every_byte_comes_back_over_many_connections_on_all_hubs() {
    everywhere(|world| {
        world.run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            const CONNECTIONS: usize = 60;
            let server = greenhub::spawn(move || {
                let served: Vec<_> = (0..CONNECTIONS)
                    .map(|_| {
                        let (stream, _) = listener.accept().unwrap();
                        greenhub::spawn(move || echo(stream))
                    })
                    .collect();
                served.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>()
            });
            let clients: Vec<_> = (0..CONNECTIONS)
                .map(|n| {
                    greenhub::spawn(move || {
                        let mut stream = TcpStream::connect(address).unwrap();
                        let mut total = 0;
                        for round in 0..10 {
                            let sent = pattern(n + round, 100 * round + 1);
                            stream.write_all(&sent).unwrap();
                            let mut back = vec![0; sent.len()];
                            stream.read_exact(&mut back).unwrap();
                            assert_eq!(back, sent);
                            total += sent.len();
                        }
                        total
                    })
                })
                .collect();
            let sent: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
            assert_eq!(server.join().unwrap(), sent);
        });
    });
}

#[test]
fn large_transfers_flow_both_ways_at_once() {
    inside(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = greenhub::spawn(move || echo(listener.accept().unwrap().0));
        let sent = pattern(3, 3 << 20);
        let (writer, reader) = (Arc::new(stream), sent.clone());
        let sending = greenhub::spawn({
            let writer = writer.clone();
            move || {
                (&*writer).write_all(&reader).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            }
        });
        let mut back = Vec::new();
        (&*writer).read_to_end(&mut back).unwrap();
        assert!(back == sent, "what came back differs");
        sending.join().unwrap();
        assert_eq!(server.join().unwrap(), sent.len());
    });
}

#[test]
fn std_clients_on_plain_threads_talk_to_greenlets() {
    everywhere(|world| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = world.runtime.spawn(move || {
            let served: Vec<_> = (0..4)
                .map(|_| {
                    let (stream, _) = listener.accept().unwrap();
                    greenhub::spawn(move || echo(stream))
                })
                .collect();
            served.into_iter().for_each(|handle| _ = handle.join().unwrap());
        });
        std::thread::scope(|threads| {
            for n in 0..4 {
                threads.spawn(move || {
                    let mut stream = std::net::TcpStream::connect(address).unwrap();
                    for round in 0..20 {
                        let sent = pattern(n, 500 + round);
                        stream.write_all(&sent).unwrap();
                        let mut back = vec![0; sent.len()];
                        stream.read_exact(&mut back).unwrap();
                        assert_eq!(back, sent);
                    }
                });
            }
        });
        server.join().unwrap();
    });
}

#[test]
fn read_timeouts_and_enclosing_timeouts_both_hold() {
    inside(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(3))).unwrap();
        let start = Instant::now();
        let error = stream.read(&mut [0; 4]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        assert!(start.elapsed() >= Duration::from_millis(3));
        stream.set_read_timeout(None).unwrap();
        assert!(greenhub::timeout(Duration::from_millis(3), || stream.read(&mut [0; 4])).is_err());
        // Neither hurt the stream.
        other.write_all(b"late").unwrap();
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"late");
    });
}

#[test]
fn a_reader_that_is_killed_takes_nothing_from_the_next_one() {
    inside(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (mut other, _) = listener.accept().unwrap();
        for round in 0..10_u8 {
            let shared = stream.clone();
            let victim = greenhub::spawn(move || {
                (&*shared).read_exact(&mut [0; 1]).unwrap();
                unreachable!("nothing was sent");
            });
            greenhub::sleep(Duration::from_micros(300));
            victim.kill();
            assert!(victim.join().unwrap_err().is_killed());
            other.write_all(&[round]).unwrap();
            let mut byte = [0];
            (&*stream).read_exact(&mut byte).unwrap();
            assert_eq!(byte[0], round);
        }
    });
}

#[test]
fn several_acceptors_share_one_listener_fairly_enough() {
    inside(|| {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let acceptors: Vec<_> = (0..8)
            .map(|_| {
                let listener = listener.clone();
                greenhub::spawn(move || {
                    for _ in 0..10 {
                        let (mut stream, _) = listener.accept().unwrap();
                        stream.write_all(b"x").unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..80 {
            let mut byte = [0];
            TcpStream::connect(address).unwrap().read_exact(&mut byte).unwrap();
        }
        acceptors.into_iter().for_each(|acceptor| acceptor.join().unwrap());
    });
}

#[test]
fn a_refused_connection_and_a_used_port_are_clear_errors() {
    inside(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(TcpStream::connect("no address at all").is_err());
    });
}

#[test]
fn a_connect_that_gets_no_answer_is_ended_by_timeout_and_kill() {
    inside(|| {
        // A full backlog: further connects wait in SYN.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut filling = Vec::new();
        while let Ok(Ok(stream)) =
            greenhub::timeout(Duration::from_millis(20), || TcpStream::connect(address))
        {
            filling.push(stream);
            assert!(filling.len() < 100, "the backlog is endless");
        }
        let error = TcpStream::connect_timeout(&address, Duration::from_millis(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let victim = greenhub::spawn(move || TcpStream::connect(address).map(drop));
        greenhub::sleep(Duration::from_millis(3));
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
    });
}

#[test]
fn datagrams_and_local_sockets_work_between_greenlets() {
    inside(|| {
        let (one, two) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let to = two.local_addr().unwrap();
        let receiver = greenhub::spawn(move || {
            let mut bytes = [0; 64];
            let (count, from) = two.recv_from(&mut bytes).unwrap();
            two.send_to(&bytes[..count], from).unwrap();
        });
        greenhub::yield_now();
        one.send_to(b"datagram", to).unwrap();
        let mut bytes = [0; 64];
        assert_eq!(one.recv(&mut bytes).unwrap(), 8);
        assert_eq!(&bytes[..8], b"datagram");
        receiver.join().unwrap();

        let path = std::env::temp_dir().join(format!("greenhub-test-{}", std::process::id()));
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path).unwrap();
        let server = greenhub::spawn(move || echo(listener.accept().unwrap().0));
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"local").unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"local");
        drop(stream);
        assert_eq!(server.join().unwrap(), 5);
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn a_stream_outlives_its_runtime_and_serves_the_next() {
    let _alone = common::alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let one = common::stay(2).builder().build().unwrap();
    let (mut client, mut served) = one.run(|| {
        let client = TcpStream::connect(address).unwrap();
        let (mut served, _) = listener.accept().unwrap();
        // Registered with this runtime's hubs.
        assert!(greenhub::timeout(Duration::from_millis(2), || served.read(&mut [0; 1])).is_err());
        (client, served)
    });
    assert!(one.shutdown_timeout(Duration::from_secs(20)));
    // On a plain thread.
    client.write_all(b"1").unwrap();
    served.read_exact(&mut [0; 1]).unwrap();
    let two = common::roam(2).builder().build().unwrap();
    two.run(|| {
        let reader = greenhub::spawn(move || {
            let mut byte = [0];
            served.read_exact(&mut byte).unwrap();
            byte[0]
        });
        greenhub::sleep(Duration::from_millis(2));
        client.write_all(b"2").unwrap();
        assert_eq!(reader.join().unwrap(), b'2');
    });
    assert!(two.shutdown_timeout(Duration::from_secs(20)));
}

#[test]
fn names_are_looked_up_without_holding_up_the_hub() {
    inside(|| {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = greenhub::spawn(move || listener.accept().unwrap().1);
        let stream = TcpStream::connect(("localhost", address.port())).unwrap();
        assert_eq!(server.join().unwrap(), stream.local_addr().unwrap());
    });
}

/// A descriptor stays registered where it was first waited for. When that hub goes, whoever waits on another runtime's hub
/// must hear of it at once: the rest of the shutdown may take long.
#[test]
fn a_stream_shared_with_a_runtime_that_ends_slowly_is_not_forgotten() {
    const LONG: Duration = Duration::from_secs(10);
    let runtime = || greenhub::runtime::Builder::new().hubs(1).build().unwrap();
    let (ending, staying) = (runtime(), runtime());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = Arc::new(TcpStream::from(listener.accept().unwrap().0));

    ending.run(|| {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!((&*stream).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        stream.set_read_timeout(None).unwrap();
    });
    // The shutdown waits for this job, and the job for the reader.
    let (has_read, wait_for_reader) = std::sync::mpsc::channel();
    let (job_says, from_job) = std::sync::mpsc::channel();
    let job = ending.spawn(move || {
        greenhub::unblock(move || {
            job_says.send(Ok(())).unwrap();
            job_says.send(wait_for_reader.recv_timeout(LONG)).unwrap();
        })
    });
    from_job.recv().unwrap().unwrap();
    let reader = staying.spawn(move || {
        let read = (&*stream).read(&mut [0]).unwrap();
        has_read.send(()).unwrap();
        read
    });
    std::thread::sleep(Duration::from_millis(10));
    let shutdown = std::thread::spawn(move || ending.shutdown_timeout(2 * LONG));
    std::thread::sleep(Duration::from_millis(50));
    peer.write_all(&[1]).unwrap();
    assert_eq!(from_job.recv().unwrap(), Ok(()), "the reader was told only when the job had given up");
    assert_eq!(reader.join().unwrap(), 1);
    assert!(shutdown.join().unwrap());
    // Killed, if the shutdown was the first to reach it.
    let _either = job.join();
    assert!(staying.shutdown_timeout(LONG));
}
