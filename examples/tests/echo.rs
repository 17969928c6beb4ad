//! Runs the `echo` program as a user would: both clients, both modes, limits, signals and bad input.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ECHO: &str = env!("CARGO_BIN_EXE_echo");

fn echo(arguments: &str) -> Output {
    Command::new(ECHO).args(arguments.split_whitespace()).output().unwrap()
}

/// Runs the program through a shell that first does `setting`.
fn echo_under(setting: &str, arguments: &str) -> Output {
    Command::new("sh").args(["-c", &format!("{setting} && exec {ECHO} {arguments}")]).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// A run that verified all it sent.
#[track_caller]
fn assert_good(output: &Output, connections: &str) {
    let text = format!("{}\n{}", err(output), out(output));
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert_has(
        &out(output),
        &[connections, "every byte verified", "requests/s", "p99.9", "memory", "unstarted"],
    );
}

/// A run that was refused with this message, and without a panic.
#[track_caller]
fn assert_refused(output: &Output, message: &str) {
    assert!(!output.status.success(), "{}", out(output));
    assert!(output.status.code().is_some(), "{}", output.status);
    let text = err(output);
    assert_has(&text, &[message]);
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn both_sides_on_any_number_of_hubs() {
    for hubs in [1, 2, 4] {
        let output = echo(&format!("--hubs {hubs} --connections 300 --seconds 0.5"));
        assert_good(&output, "300 connections from greenlets");
        assert_has(&err(&output), &["serving on 127.0.0.1:", &format!("with {hubs} hubs")]);
    }
}

#[test]
fn started_greenlets_may_migrate() {
    assert_good(&echo("--migrate --hubs 4 --connections 300 --seconds 1"), "300 connections");
    let every =
        echo_under("export GREENHUB_MIGRATE=every", "--migrate --hubs 4 --connections 300 --seconds 1");
    assert_good(&every, "300 connections");
}

#[test]
fn plain_threads_can_be_the_client() {
    let output = echo("--client std --connections 100 --seconds 1 --pin");
    assert_good(&output, "100 connections from plain threads");
}

#[test]
fn messages_of_any_size() {
    for size in [1, 4096, 16_385, 1_000_000] {
        assert_good(&echo(&format!("--size {size} --connections 20 --seconds 0.3")), "20 connections");
        assert_good(
            &echo(&format!("--client std --size {size} --connections 5 --seconds 0.3")),
            "5 connections",
        );
    }
}

#[test]
fn progress_is_told_line_by_line() {
    let output = echo("--connections 50 --seconds 2.5");
    assert_good(&output, "50 connections");
    assert_has(&err(&output), &["requests verified", "hub 0: started", "live"]);
}

#[test]
fn the_soft_limit_is_raised_and_the_hard_one_is_named() {
    assert_good(&echo_under("ulimit -Sn 64", "--connections 200 --seconds 0.3"), "200 connections");
    let output = echo_under("ulimit -n 100", "--hubs 2 --connections 200 --seconds 0.3");
    assert_good(&output, "61 connections");
    assert_has(&err(&output), &["RLIMIT_NOFILE", "ulimit -Hn 239", "Going on with 61"]);
    assert_refused(&echo_under("ulimit -n 30", "--hubs 2"), "no room for a single connection");
}

#[test]
fn bad_input_gets_a_clear_answer() {
    assert_refused(&echo("--hubs 0"), "hubs(0): a runtime needs at least one hub");
    assert_refused(&echo("--hubs 5000"), "at most 4096 hubs");
    assert_refused(&echo("--listen"), "a value is required");
    assert_refused(&echo("--listen here"), "an address is HOST:PORT");
    assert_refused(&echo("--connect 127.0.0.1"), "an address is HOST:PORT");
    assert_refused(&echo("--listen 203.0.113.1:0"), "cannot listen on 203.0.113.1:0");
    assert_refused(&echo("--size 0"), "0 is not in");
    assert_refused(&echo_under("export GREENHUB_HUBS=many", "--seconds 1"), "GREENHUB_HUBS");
}

#[test]
fn a_port_in_use_is_said_to_be() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    assert_refused(&echo(&format!("--listen {address}")), "another program does");
}

#[test]
fn nobody_there_is_said_once() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for client in ["greenlets", "std"] {
        let output = echo(&format!("--connect {address} --client {client}"));
        assert_refused(&output, "cannot connect: Connection refused");
        assert_eq!(err(&output).matches("refused").count(), 1, "{}", err(&output));
    }
}

/// A running server, and the rest of what it says.
struct Serving {
    process: Child,
    address: SocketAddr,
}

impl Serving {
    fn start() -> Self {
        let mut process = Command::new(ECHO)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        // Somebody has to read the rest, or the server would find its pipe full or gone.
        thread::spawn(move || lines.for_each(drop));
        let address = first.split("serving on ").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.and_then(|text| text.parse().ok()).expect(&first);
        Self { process, address }
    }

    fn interrupt(self) -> Output {
        interrupt(&self.process);
        self.process.wait_with_output().unwrap()
    }
}

/// Ctrl-C.
fn interrupt(process: &Child) {
    let status = Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_server_alone_and_a_load_alone() {
    let server = Serving::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut reply = [0; 5];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"hello");
    for client in ["greenlets", "std"] {
        let arguments =
            format!("--connect {} --client {client} --connections 70 --seconds 0.5", server.address);
        let load = echo(&arguments);
        assert!(load.status.success(), "{}", err(&load));
        assert_has(&out(&load), &["70 connections from", "every byte verified", "p99.9"]);
    }
    drop(stream);
    let served = server.interrupt();
    assert!(served.status.success(), "{}", out(&served));
    assert_has(&out(&served), &["141 connections served, 0 of them broken off", "unstarted"]);
}

#[test]
fn ctrl_c_ends_with_the_summary() {
    let arguments = ["--connections", "100", "--seconds", "600"];
    let process =
        Command::new(ECHO).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(1500));
    let asked = Instant::now();
    interrupt(&process);
    let output = process.wait_with_output().unwrap();
    assert_good(&output, "100 connections");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[test]
fn a_load_that_dies_is_a_failure() {
    let arguments = ["--connections", "100", "--seconds", "600"];
    let process =
        Command::new(ECHO).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(1500));
    let child = children(process.id());
    assert_eq!(child.len(), 1, "{child:?}");
    assert!(Command::new("kill").args(["-KILL", &child[0]]).status().unwrap().success());
    assert_refused(
        &process.wait_with_output().unwrap(),
        "the load process died before it had a result: signal: 9",
    );
}

/// The processes that `parent` has started, from whichever of its threads.
fn children(parent: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default()
    };
    tasks.map(of_task).collect::<String>().split_whitespace().map(str::to_owned).collect()
}

/// A server in this test that echoes, but gives every connection's bytes to `treat` first, with their place. `None`
/// ends the connection.
fn untrue_server(treat: fn(u64, &mut [u8]) -> Option<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || -> std::io::Result<()> {
                let mut stream = stream?;
                let (mut at, mut buffer) = (0, [0; 4096]);
                loop {
                    let length = stream.read(&mut buffer)?;
                    let bytes = &mut buffer[..length];
                    if length == 0 || treat(at, bytes).is_none() {
                        return Ok(());
                    }
                    stream.write_all(bytes)?;
                    at += length as u64;
                }
            });
        }
    });
    address
}

#[test]
fn a_wrong_byte_fails_the_run_and_is_named() {
    let address = untrue_server(|at, bytes| {
        let wrong = 5_000_u64.checked_sub(at).and_then(|ahead| bytes.get_mut(ahead as usize));
        wrong.map_or(Some(()), |byte| {
            *byte ^= 4;
            Some(())
        })
    });
    for client in ["greenlets", "std"] {
        let output = echo(&format!("--connect {address} --client {client} --connections 3 --seconds 0.5"));
        assert_refused(&output, "byte 5000 came back as");
        assert_has(&err(&output), &["connection 2 to 127.0.0.1"]);
        assert_has(&out(&output), &["3 FAILED"]);
    }
}

#[test]
fn a_connection_closed_early_fails_the_run() {
    let address = untrue_server(|at, _bytes| (at < 10_000).then_some(()));
    let output = echo(&format!("--connect {address} --connections 3 --seconds 0.5"));
    assert_refused(&output, "the server closed the connection");
}
