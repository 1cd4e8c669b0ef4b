//! The file or standard output of `--flow-log`, on a thread of its own: a disk that is full or slow, or a reader that
//! is gone or does not read, holds up nobody else.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Batches that may wait for the writer.
const WAITING: usize = 64;
/// How often the path is looked at: a file that was renamed or removed is made anew.
const LOOK: Duration = Duration::from_secs(1);
/// How often a writer that fails says so.
const COMPLAIN: Duration = Duration::from_secs(60);
/// How long the end waits for a writer that is held up.
const PATIENCE: Duration = Duration::from_secs(1);

/// `--flow-log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `-`.
    Stdout,
    /// A file that lines are added to.
    File(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("-"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("give a file, or - for standard output".into()),
            "-" => Ok(Self::Stdout),
            path => Ok(Self::File(path.into())),
        }
    }
}

/// Lines, and how many.
struct Batch {
    text: Vec<u8>,
    lines: u64,
}

/// Counts of lines.
#[derive(Debug, Default)]
pub(super) struct WrittenLines {
    pub(super) written: AtomicU64,
    pub(super) unwritten: AtomicU64,
}

/// Gives lines to the writer.
pub(super) struct Writer {
    batches: Option<SyncSender<Batch>>,
    counts: Arc<WrittenLines>,
    thread: Option<JoinHandle<()>>,
    next: Batch,
}

impl Writer {
    /// Opens the target.
    ///
    /// # Errors
    /// When the file cannot be opened, or there is no thread to be had.
    pub(super) fn start(target: Target, counts: Arc<WrittenLines>) -> io::Result<Self> {
        let mut output = Output::open(target)?;
        let (batches, taken) = sync_channel::<Batch>(WAITING);
        let theirs = Arc::clone(&counts);
        let work = move || write_all(&taken, &mut output, &theirs);
        let thread = std::thread::Builder::new()
            .name("headgate-flow-file".into())
            .spawn(work)?;
        Ok(Self {
            batches: Some(batches),
            counts,
            thread: Some(thread),
            next: Batch::empty(),
        })
    }

    /// Adds a line, without its end.
    pub(super) fn line(&mut self, line: &[u8]) {
        self.next.text.extend_from_slice(line);
        self.next.text.push(b'\n');
        self.next.lines += 1;
    }

    /// Passes on what was added, or counts it as lost where too much waits.
    pub(super) fn flush(&mut self) {
        if self.next.lines == 0 {
            return;
        }
        let batch = std::mem::replace(&mut self.next, Batch::empty());
        let Some(batches) = &self.batches else { return };
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = batches.try_send(batch) {
            self.counts.unwritten.fetch_add(batch.lines, Ordering::Relaxed);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush();
        drop(self.batches.take());
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + PATIENCE;
        // One that writes to a pipe that nobody reads would never end; the process does.
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !thread.is_finished() {
            tracing::warn!("the flow log's reader does not read; its last lines are lost");
        } else if thread.join().is_err() {
            tracing::error!("the thread of the flow log's file had panicked");
        }
    }
}

impl Batch {
    fn empty() -> Self {
        Self {
            text: Vec::new(),
            lines: 0,
        }
    }
}

fn write_all(batches: &Receiver<Batch>, output: &mut Output, counts: &WrittenLines) {
    let mut complained: Option<Instant> = None;
    while let Ok(batch) = batches.recv() {
        match output.write(&batch.text) {
            Ok(()) => _ = counts.written.fetch_add(batch.lines, Ordering::Relaxed),
            Err(error) => {
                counts.unwritten.fetch_add(batch.lines, Ordering::Relaxed);
                if complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
                    complained = Some(Instant::now());
                    tracing::error!(
                        "the flow log cannot be written: {error}; lines are lost, traffic is not"
                    );
                }
            }
        }
    }
}

enum Output {
    Stdout,
    File(LogFile),
}

struct LogFile {
    path: PathBuf,
    file: File,
    looked: Instant,
    /// A write has ended in the middle of a line.
    torn: bool,
}

impl Output {
    fn open(target: Target) -> io::Result<Self> {
        Ok(match target {
            Target::Stdout => Self::Stdout,
            Target::File(path) => Self::File(LogFile {
                file: open(&path)?,
                path,
                looked: Instant::now(),
                torn: false,
            }),
        })
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text)?;
                out.flush()
            }
            Self::File(log) => log.write(text),
        }
    }
}

impl LogFile {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.reopen_if_moved()?;
        }
        if std::mem::take(&mut self.torn) {
            self.add(b"\n")?;
        }
        self.add(text)
    }

    /// A disk that fills up leaves a part of a line behind, which must not run into the next one.
    fn add(&mut self, text: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(text);
        self.torn = written.is_err();
        written
    }

    fn reopen_if_moved(&mut self) -> io::Result<()> {
        let place = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let here = self.file.metadata().map(place)?;
        let there = std::fs::metadata(&self.path).map(place);
        if there.is_ok_and(|there| there == here) {
            return Ok(());
        }
        self.file = open(&self.path)?;
        self.torn = false;
        Ok(())
    }
}

/// For the group to read, as the sockets are; addresses of clients are nobody else's business.
fn open(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}
