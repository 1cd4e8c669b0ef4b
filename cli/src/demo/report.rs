//! What the demo prints.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

/// Counts expectations and shows them.
pub(super) struct Report {
    out: Box<dyn Write>,
    colour: bool,
    passed: u32,
    failed: u32,
}

impl Report {
    /// To standard output, in colour where a person looks.
    pub(super) fn new() -> Self {
        let out = io::stdout();
        // https://no-color.org
        let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self::to(Box::new(out), colour)
    }

    fn to(out: Box<dyn Write>, colour: bool) -> Self {
        Self {
            out,
            colour,
            passed: 0,
            failed: 0,
        }
    }

    pub(super) fn passed(&self) -> u32 {
        self.passed
    }

    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// Opens a step.
    pub(super) fn title(&mut self, text: &str) -> io::Result<()> {
        let shown = self.painted("1", text);
        self.line(&format!("\n{shown}"))
    }

    /// A command that a reader could type.
    pub(super) fn command(&mut self, text: &str) -> io::Result<()> {
        let shown = self.painted("2", &format!("  $ {text}"));
        self.line(&shown)
    }

    /// Something worth knowing that is no expectation.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        self.line(&format!("    {text}"))
    }

    /// An expectation and what came of it.
    pub(super) fn expect(&mut self, held: bool, text: &str) -> io::Result<()> {
        let mark = if held {
            self.passed += 1;
            self.painted("32", "ok  ")
        } else {
            self.failed += 1;
            self.painted("31", "FAIL")
        };
        self.line(&format!("    {mark} {text}"))
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Which pods answered and how often.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<String, u32>);

impl Tally {
    pub(super) fn count(&mut self, pod: &str) {
        *self.0.entry(pod.to_owned()).or_default() += 1;
    }

    /// Whether exactly these pods answered.
    pub(super) fn is_of(&self, pods: &[&str]) -> bool {
        self.0.keys().eq(pods)
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        for (pod, count) in &self.0 {
            let separator = if text.is_empty() { "" } else { "   " };
            write!(
                text,
                "{separator}{pod} {} {count}",
                "#".repeat((*count).min(24) as usize)
            )?;
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_draws_each_pod() {
        let mut tally = Tally::default();
        for pod in ["b", "a", "b"] {
            tally.count(pod);
        }
        assert_eq!(tally.to_string(), "a # 1   b ## 2");
        assert!(tally.is_of(&["a", "b"]) && !tally.is_of(&["a"]) && !tally.is_of(&["a", "b", "c"]));
    }

    #[test]
    fn expectations_are_counted() {
        let mut report = Report::to(Box::new(io::sink()), false);
        report.expect(true, "one").unwrap();
        report.expect(false, "two, which is to fail").unwrap();
        assert_eq!((report.passed(), report.failed()), (1, 1));
    }
}
