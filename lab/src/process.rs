//! Child processes that end with what holds them.

#[cfg(all(target_os = "linux", not(feature = "portable")))]
#[path = "process/by_descriptor.rs"]
mod exit;
#[cfg(any(not(target_os = "linux"), feature = "portable"))]
#[path = "process/by_looking.rs"]
mod exit;

use std::{
    fs,
    io::{self, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{OnceLock, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use exit::Exit;

/// A running child; dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    exit: Exit,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// What a child that has ended left behind.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Finished {
    /// Whether it exited with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

impl Process {
    /// Starts a child; its standard output and error are collected until it ends.
    ///
    /// # Errors
    ///
    /// When the program is not there or cannot be started.
    pub fn spawn(name: &str, mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn_from_keeper(command).with_context(|| format!("starting `{name}`"))?;
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self::new(name, child, stdout, stderr)
    }

    /// Starts a child whose standard output and error go to the end of a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or the program cannot be started.
    pub fn spawn_logged(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let open = || fs::OpenOptions::new().create(true).append(true).open(log);
        let file = open().with_context(|| format!("opening {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = spawn_from_keeper(command).with_context(|| format!("starting `{name}`"))?;
        Self::new(name, child, None, None)
    }

    /// Starts a child and waits until it has printed `line`; later output goes nowhere.
    ///
    /// # Errors
    ///
    /// When it ends or `deadline` passes before that, with what it wrote to standard error.
    pub fn spawn_until(
        name: &str,
        mut command: Command,
        line: &'static str,
        deadline: Duration,
    ) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn_from_keeper(command).with_context(|| format!("starting `{name}`"))?;
        let stderr = child.stderr.take().map(collect);
        let (seen, ready) = mpsc::channel();
        let output = child.stdout.take().context("a child without standard output")?;
        thread::spawn(move || {
            for read in io::BufRead::lines(io::BufReader::new(output)).map_while(Result::ok) {
                if read == line {
                    let _ = seen.send(());
                }
            }
        });
        let mut process = Self::new(name, child, None, stderr)?;
        if ready.recv_timeout(deadline).is_err() {
            process.kill();
            let said = process.stderr.take().map(joined).unwrap_or_default();
            bail!(
                "`{name}` did not say `{line}` within {deadline:?}; it said: {}",
                said.trim()
            );
        }
        Ok(process)
    }

    fn new(
        name: &str,
        child: Child,
        stdout: Option<JoinHandle<Vec<u8>>>,
        stderr: Option<JoinHandle<Vec<u8>>>,
    ) -> Result<Self> {
        let exit = Exit::of_child(pid_of(child.id())?).context("watching a child")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            exit,
            stdout,
            stderr,
        })
    }

    /// The child's process id: of the program itself, what entered the namespace has become it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end; kills the child when `deadline` passes before it.
    ///
    /// # Errors
    ///
    /// When the deadline passed.
    pub fn finish(mut self, deadline: Duration) -> Result<Finished> {
        let in_time = self.wait_for_end(deadline)?;
        if !in_time {
            self.kill();
        }
        let status = self.child.wait().context("waiting for a child")?;
        let stdout = self.stdout.take().map(joined).unwrap_or_default();
        let stderr = self.stderr.take().map(joined).unwrap_or_default();
        if !in_time {
            bail!(
                "`{}` did not end within {deadline:?}; it said: {stdout}{stderr}",
                self.name
            );
        }
        Ok(Finished {
            status,
            stdout,
            stderr,
        })
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// When the child has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.exit
            .signal(signal)
            .with_context(|| format!("sending {signal:?} to `{}`", self.name))
    }

    /// Whether the child ends within `deadline`.
    ///
    /// # Errors
    ///
    /// When the kernel cannot say.
    pub fn wait_for_end(&self, deadline: Duration) -> Result<bool> {
        Ok(self.exit.within(deadline)?)
    }

    fn kill(&mut self) {
        // The only error is that it has ended already.
        let _ = self.child.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` holds, looking again every few milliseconds.
///
/// For conditions that nothing announces: a listening socket of another process, a counter that reaches a value.
///
/// # Errors
///
/// Naming `what`, when it does not hold within `deadline`.
pub fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    let end = Instant::now() + deadline;
    while !condition() {
        if Instant::now() >= end {
            bail!("not within {deadline:?}: {what}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Kills a process with SIGKILL, which need not be a child of this one, and waits until it is gone; one that is gone
/// already is no error.
///
/// # Errors
///
/// Without privileges, or when it does not die.
pub fn kill_and_wait(id: u32) -> Result<()> {
    let pid = pid_of(id)?;
    let exit = match Exit::of_any(pid) {
        Ok(exit) => exit,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("watching process {id}")),
    };
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error).with_context(|| format!("killing process {id}")),
    }
    if !exit.within(Duration::from_secs(5))? {
        bail!("process {id} did not die of SIGKILL within 5 s");
    }
    Ok(())
}

/// Starts children from one thread that lives as long as this process: the kernel sends a child its parent-death
/// signal when the *thread* that started it ends.
pub(crate) fn spawn_from_keeper(command: Command) -> io::Result<Child> {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    static KEEPER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (requests, inbox) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        requests
    });
    let (answer, started) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts children is gone");
    keeper.send((command, answer)).map_err(|_| gone())?;
    started.recv().map_err(|_| gone())?
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        // What was read before an error is still worth showing.
        let _ = from.read_to_end(&mut all);
        all
    })
}

fn joined(collector: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&collector.join().unwrap_or_default()).into_owned()
}

fn pid_of(id: u32) -> Result<Pid> {
    i32::try_from(id)
        .ok()
        .and_then(Pid::from_raw)
        .with_context(|| format!("{id} is no process id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_status_are_collected() {
        let finished = Process::spawn("sh", shell("echo out; echo err >&2; exit 3"))
            .and_then(|p| p.finish(Duration::from_secs(10)))
            .unwrap();
        assert_eq!(
            (finished.stdout.as_str(), finished.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert_eq!(finished.status.code(), Some(3));
    }

    #[test]
    fn a_child_past_its_deadline_is_killed() {
        let process = Process::spawn("cat", shell("exec tail -f /dev/null")).unwrap();
        let id = process.id();
        let error = process.finish(Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn a_child_that_ends_before_it_is_ready_says_why() {
        let error =
            Process::spawn_until("sh", shell("echo no >&2"), "ready", Duration::from_secs(10)).unwrap_err();
        assert!(error.to_string().contains("it said: no"), "{error}");
    }

    #[test]
    fn children_outlive_the_thread_that_asked_for_them() {
        let process = thread::spawn(|| {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "tail", "-f", "/dev/null"]);
            Process::spawn("tail", command).unwrap()
        })
        .join()
        .unwrap();
        assert!(!process.wait_for_end(Duration::from_millis(50)).unwrap());
    }
}
