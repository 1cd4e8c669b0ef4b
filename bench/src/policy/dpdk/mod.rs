//! DPDK's ACL library (`librte_acl`), in a process of its own: `bench/peers/acl.c`, built on the spot.

mod file;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::{
    contender::{BUSY, Contender, FLOOD, Pattern, Question},
    expand::Expansion,
};

static SOURCE: &str = include_str!("../../../peers/acl.c");

/// The program, ready to be run.
pub(super) struct Program {
    directory: TempDir,
}

/// How the library is told the rules; see `bench/peers/acl.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// The pod's address is a field of every rule.
    Tuple,
    /// A hash table takes pods to guards, whose number is a field of every rule.
    Guard,
}

impl Rules {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tuple => "DPDK ACL, 5-tuples",
            Self::Guard => "DPDK ACL, pods hashed",
        }
    }
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seconds,
            rules,
            bytes,
        } = self;
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let megabytes = *bytes as f64 / 1e6;
        write!(f, "{rules} rules built in {seconds:.1} s, {megabytes:.0} MB")
    }
}

/// What the library may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Megabytes of address space of the process.
    pub(super) megabytes: u64,
    /// Seconds to build.
    pub(super) seconds: u64,
}

/// The library with rules in it.
pub(super) struct Acl {
    rules: Rules,
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What it says of its size.
    pub(super) built: Built,
}

/// How large the library's tables are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Built {
    pub(super) seconds: f64,
    pub(super) rules: u64,
    pub(super) bytes: u64,
}

/// What the library was seen to need for building, at least, for each rule of the two ACLs together.
const BYTES_A_RULE: u64 = 3_000;

/// `scalar` or `simd`, and packets for each call.
const WAYS: [(&str, u32); 4] = [("scalar", 1), ("simd", 1), ("scalar", 32), ("simd", 32)];

impl Program {
    /// Compiles it.
    ///
    /// # Errors
    ///
    /// In one line, what is missing.
    pub(super) fn build() -> Result<Self> {
        let flags = Command::new("pkg-config").args(["--cflags", "libdpdk"]).output();
        let flags = flags.context("pkg-config: install the package")?;
        ensure!(flags.status.success(), "install the package libdpdk-dev");
        let directory = TempDir::new()?;
        let source = directory.path().join("acl.c");
        std::fs::write(&source, SOURCE)?;
        let mut command = Command::new("cc");
        command.args(String::from_utf8(flags.stdout)?.split_ascii_whitespace());
        // After the package's own -march, which is an old one.
        command.args(["-O3", "-march=native", "-o"]);
        command.arg(directory.path().join("acl")).arg(&source);
        command.args(["-lrte_acl", "-lrte_hash", "-lrte_eal"]);
        let output = command.output().context("cc: install the package gcc")?;
        ensure!(
            output.status.success(),
            "acl.c does not compile: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Self { directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Has the library build the rules.
    ///
    /// # Errors
    ///
    /// In one line, why it does not.
    pub(super) fn start(
        &self,
        rules: Rules,
        limits: Limits,
        expansion: &Expansion,
        question: &Question,
    ) -> Result<Acl> {
        let tuples = expansion.rules_of_pods() as u64;
        if rules == Rules::Tuple && tuples * BYTES_A_RULE > limits.megabytes << 20 {
            bail!("{tuples} rules, and it takes some {BYTES_A_RULE} bytes to build each");
        }
        let input = self.path("rules");
        let mut out = BufWriter::new(File::create(&input)?);
        file::write(&mut out, expansion, &question.connections, &question.allowed)?;
        out.flush()?;
        let mode = match rules {
            Rules::Tuple => "tuple",
            Rules::Guard => "guard",
        };
        // The library's own heap is reserved at once, the rest is for building.
        let heap = limits.megabytes / 3;
        let mut child = Command::new("prlimit")
            .arg(format!("--as={}", limits.megabytes << 20))
            .arg(self.path("acl"))
            .arg(&input)
            .args([mode, &heap.to_string(), &limits.seconds.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("prlimit: install the package util-linux")?;
        let questions = child.stdin.take().context("no pipe")?;
        let mut answers = BufReader::new(child.stdout.take().context("no pipe")?);
        let built = match built(&mut answers) {
            Ok(built) => built,
            Err(error) => {
                child.wait()?;
                return Err(error);
            }
        };
        Ok(Acl {
            rules,
            child,
            questions,
            answers,
            built,
        })
    }
}

fn built(answers: &mut impl BufRead) -> Result<Built> {
    let line = line(answers)?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words[..] {
        ["built", seconds, rules, bytes] => Ok(Built {
            seconds: seconds.parse()?,
            rules: rules.parse()?,
            bytes: bytes.parse()?,
        }),
        ["failed", stage, number, seconds] => {
            let reason = std::io::Error::from_raw_os_error(number.parse()?);
            bail!("it fails to {stage} after {seconds} s: {reason}")
        }
        _ => bail!("it does not end in the given time"),
    }
}

/// The next line that is ours; the library says things, too.
fn line(answers: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    loop {
        line.clear();
        if answers.read_line(&mut line)? == 0 || !line.starts_with("EAL:") {
            return Ok(line);
        }
    }
}

impl Contender for Acl {
    fn ways(&self) -> Vec<String> {
        let by = self.rules.name();
        let name = |(algorithm, batch): (&str, u32)| match batch {
            1 => format!("{by}, {algorithm}, one at a time"),
            _ => format!("{by}, {algorithm}, {batch} at a time"),
        };
        WAYS.map(name).to_vec()
    }

    fn measure(&mut self, way: usize, pattern: Pattern, _question: &Question) -> Result<f64> {
        let (algorithm, batch) = WAYS[way];
        let count = match pattern {
            Pattern::Busy => BUSY,
            Pattern::Flood => FLOOD,
        };
        writeln!(self.questions, "{count} {algorithm} {batch}")?;
        let answer = line(&mut self.answers)?;
        let (nanos, wrong) = answer
            .trim_end()
            .split_once(' ')
            .with_context(|| format!("an answer of the library: {answer:?}"))?;
        ensure!(
            wrong == "0",
            "{wrong} of {count} verdicts of DPDK's ACL differ from Headgate's"
        );
        Ok(nanos.parse()?)
    }
}

impl Drop for Acl {
    fn drop(&mut self) {
        // Fails where it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
