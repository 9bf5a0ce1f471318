//! A node's log, read while it is written: JSON, one object a line.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A line of the log, and when it was read.
#[derive(Debug, Clone)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// The object, or the bare text as a JSON string.
    pub value: Value,
}

impl Line {
    /// The message.
    pub fn message(&self) -> &str {
        self.value["message"].as_str().unwrap_or_default()
    }

    /// A field of the event, or of one of the spans around it.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let spans = self.value["spans"].as_array().into_iter().flatten();
        let mut places = std::iter::once(&self.value).chain(spans);
        places.find_map(|place| place.get(name))
    }
}

/// What a node has logged so far. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    count: watch::Receiver<usize>,
}

impl Log {
    /// Reads a node's output on a thread of its own until it ends.
    pub fn follow(output: impl Read + Send + 'static) -> Self {
        let lines: Arc<Mutex<Vec<Line>>> = Arc::default();
        let (sender, count) = watch::channel(0);
        let shared = lines.clone();
        std::thread::spawn(move || {
            for text in BufReader::new(output).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                let mut lines = shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                lines.push(Line { at: Instant::now(), value });
                let _ = sender.send(lines.len());
            }
        });
        Self { lines, count }
    }

    /// Waits until the node's output has ended and is read.
    pub async fn finished(&self) {
        let mut count = self.count.clone();
        while count.changed().await.is_ok() {}
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.since(0)
    }

    /// The lines from the `from`-th on.
    pub fn since(&self, from: usize) -> Vec<Line> {
        let lines = self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        lines.get(from..).unwrap_or_default().to_vec()
    }

    /// The first line from the `from`-th on that fits, as soon as there is one.
    pub async fn wait_for(
        &self,
        from: usize,
        limit: Duration,
        fits: impl Fn(&Line) -> bool,
    ) -> Option<(usize, Line)> {
        let mut count = self.count.clone();
        let mut seen = from;
        let search = async {
            loop {
                count.borrow_and_update();
                for line in self.since(seen) {
                    seen += 1;
                    if fits(&line) {
                        return Some((seen, line));
                    }
                }
                if count.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::time::timeout(limit, search).await.ok().flatten()
    }

    /// Everything as text, for a failing test's message.
    pub fn text(&self) -> String {
        let lines = self.lines();
        let last = lines.iter().rev().take(60).rev();
        last.map(|line| format!("{}\n", line.value)).collect()
    }
}
