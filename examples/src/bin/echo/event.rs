//! What the load reports while it runs, and how that crosses a pipe: one line an event, a word and what it means.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What the load has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// So many connections are open, and have had their first echo.
    Opening(u64),
    /// All that will be open are, and wait for the word to begin.
    Ready(u64),
    /// So many requests so far.
    Running(u64),
    /// Something the reader should know: what a limit cut.
    Note(String),
    /// Something went wrong: a byte, or a connection.
    Failure(String),
    /// The end.
    Ended(Outcome),
}

/// What came of a load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Connections that were opened and had their first echo.
    pub(crate) connections: u64,
    /// Requests measured: sent, echoed, every byte verified.
    pub(crate) requests: u64,
    /// Bytes sent, echoed and verified, those of the opening included.
    pub(crate) bytes: u64,
    /// From the beginning of the measured time to the last request's end.
    pub(crate) elapsed: Duration,
    /// How long requests took.
    pub(crate) latency: Latency,
    /// Connections that failed.
    pub(crate) failures: u64,
}

/// How long requests took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    pub(crate) max: Duration,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A message is one line, whatever an error's text contains.
        let line = |text: &str| text.replace(['\n', '\r'], " ");
        match self {
            Self::Opening(connections) => write!(f, "opening {connections}"),
            Self::Ready(connections) => write!(f, "ready {connections}"),
            Self::Running(requests) => write!(f, "running {requests}"),
            Self::Note(text) => write!(f, "note {}", line(text)),
            Self::Failure(text) => write!(f, "failure {}", line(text)),
            Self::Ended(outcome) => {
                let numbers = outcome.to_numbers().map(|number| number.to_string());
                write!(f, "ended {}", numbers.join(" "))
            }
        }
    }
}

/// A line that is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoEvent;

impl FromStr for Event {
    type Err = NoEvent;

    fn from_str(line: &str) -> Result<Self, NoEvent> {
        let (word, rest) = line.split_once(' ').ok_or(NoEvent)?;
        let number = || rest.parse().map_err(|_not_a_number| NoEvent);
        Ok(match word {
            "opening" => Self::Opening(number()?),
            "ready" => Self::Ready(number()?),
            "running" => Self::Running(number()?),
            "note" => Self::Note(rest.to_owned()),
            "failure" => Self::Failure(rest.to_owned()),
            "ended" => {
                let numbers: Result<Vec<u64>, _> = rest.split(' ').map(str::parse).collect();
                let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
                Self::Ended(Outcome::from_numbers(numbers.ok_or(NoEvent)?))
            }
            _ => return Err(NoEvent),
        })
    }
}

impl Outcome {
    fn to_numbers(&self) -> [u64; 9] {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let Latency { p50, p99, p999, max } = self.latency;
        [
            self.connections,
            self.requests,
            self.bytes,
            self.failures,
            nanos(self.elapsed),
            nanos(p50),
            nanos(p99),
            nanos(p999),
            nanos(max),
        ]
    }

    fn from_numbers(numbers: [u64; 9]) -> Self {
        let [connections, requests, bytes, failures, times @ ..] = numbers;
        let [elapsed, p50, p99, p999, max] = times.map(Duration::from_nanos);
        let latency = Latency { p50, p99, p999, max };
        Self { connections, requests, bytes, elapsed, latency, failures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_survives_the_pipe() {
        let latency = Latency {
            p50: Duration::from_nanos(1),
            p99: Duration::from_nanos(2),
            p999: Duration::from_nanos(3),
            max: Duration::from_secs(4),
        };
        let outcome = Outcome {
            connections: 5,
            requests: 6,
            bytes: 7,
            elapsed: Duration::from_secs(8),
            latency,
            failures: 9,
        };
        for event in [
            Event::Opening(1),
            Event::Ready(2),
            Event::Running(3),
            Event::Note("a limit: 5".into()),
            Event::Failure("connection 3, byte 17".into()),
            Event::Ended(outcome),
        ] {
            assert_eq!(event.to_string().parse(), Ok(event));
        }
    }

    #[test]
    fn a_text_stays_on_its_line() {
        assert_eq!(Event::Note("two\nlines".into()).to_string(), "note two lines");
    }

    #[test]
    fn other_lines_are_no_events() {
        for line in ["", "ready", "ready x", "ended 1 2 3", "thread 'main' panicked"] {
            assert_eq!(line.parse::<Event>(), Err(NoEvent), "{line}");
        }
    }
}
