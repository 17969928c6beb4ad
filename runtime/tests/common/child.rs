//! Child processes: this very test program again, to run one test in a process of its own.

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const VARIABLE: &str = "GREENHUB_TEST_CHILD";

/// How long a child may take.
const LIMIT: Duration = Duration::from_secs(50);

/// Whether this process is the child of the test `name`.
pub(crate) fn is_child(name: &str) -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value == name)
}

/// Runs the test `name` of this program in a process of its own, where [`is_child`] is true, and gives how it ended and
/// what it printed.
pub(crate) fn run(name: &str, settings: impl FnOnce(&mut Command)) -> Output {
    let _alone = super::alone();
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(VARIABLE, name);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    settings(&mut command);
    let mut child = command.spawn().expect("the child starts");
    let stdout = drain(child.stdout.take().expect("piped"));
    let stderr = drain(child.stderr.take().expect("piped"));
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().expect("the child can be killed");
            let _ended = child.wait();
            panic!("the child of {name} hangs; it printed {}", text(&stderr.join().expect("read")));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Output { status, stdout: stdout.join().expect("read"), stderr: stderr.join().expect("read") }
}

/// As [`run`], and the child must succeed.
#[track_caller]
pub(crate) fn succeed(name: &str, settings: impl FnOnce(&mut Command)) -> Output {
    let output = run(name, settings);
    assert!(
        output.status.success(),
        "the child of {name} ended with {}:\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).expect("the child's output can be read");
        all
    })
}

/// What a child printed, as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
