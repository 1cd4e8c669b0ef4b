//! Which cores workers and L7 stages are pinned to.

use crate::options::Options;
use crate::start::RunError;

/// There is a bit for each stage where somebody notes whom to wake.
const MOST_STAGES: usize = 64;

/// The cores of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cores {
    /// By worker; `None` where the kernel chooses.
    pub(super) workers: Vec<Option<usize>>,
    /// By stage; empty where each worker has its own.
    pub(super) stages: Vec<usize>,
}

/// The cores that this process may use.
pub(super) fn usable() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.iter().map(|core| core.id).collect()
}

/// Shares cores out by the flags; each worker needs a queue of `port`, which has fewest.
pub(super) fn share(
    options: &Options,
    usable: &[usize],
    (port, queues): (&str, u32),
) -> Result<Cores, RunError> {
    let stages = for_stages(options, usable)?;
    let available: Vec<usize> = match &options.cores {
        Some(cores) => cores.0.clone(),
        None => without(usable, &stages),
    };
    let workers = options
        .workers
        .map_or_else(|| available.len().clamp(1, queues as usize), usize::from);
    if workers > queues as usize {
        return Err(RunError::Queues {
            wanted: workers,
            port: port.to_owned(),
            queues,
        });
    }
    if options.cores.is_some() && workers > available.len() {
        return Err(RunError::Cores {
            workers,
            cores: available.len(),
        });
    }
    let workers: Vec<_> = (0..workers.min(64))
        .map(|index| available.get(index).copied())
        .collect();
    match workers.iter().flatten().find(|core| stages.contains(core)) {
        Some(core) => Err(RunError::SharedCore(*core)),
        None => Ok(Cores { workers, stages }),
    }
}

/// Those of `--l7-cores`, which has been checked for repetitions.
fn for_stages(options: &Options, usable: &[usize]) -> Result<Vec<usize>, RunError> {
    let Some(cores) = &options.l7_cores else {
        return Ok(Vec::new());
    };
    if cores.0.len() > MOST_STAGES {
        return Err(RunError::Stages {
            wanted: cores.0.len(),
            most: MOST_STAGES,
        });
    }
    match cores.0.iter().find(|core| !usable.contains(core)) {
        Some(core) => Err(RunError::NoCore {
            core: *core,
            usable: listed(usable),
        }),
        None => Ok(cores.0.clone()),
    }
}

fn without(cores: &[usize], taken: &[usize]) -> Vec<usize> {
    let left = cores.iter().filter(|core| !taken.contains(core));
    left.copied().collect()
}

/// As the flags have it: `0-3,8`.
fn listed(cores: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut sorted = cores.to_vec();
    sorted.sort_unstable();
    for core in sorted {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            _ => ranges.push((core, core)),
        }
    }
    let range = |(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        options: Options,
    }

    /// With eight cores, and a port of four queues.
    fn shared_out(flags: &str) -> Result<Cores, String> {
        let words = ["headgate", "--port", "g0"]
            .into_iter()
            .chain(flags.split_whitespace());
        let program = Program::try_parse_from(words).map_err(|error| error.to_string())?;
        let usable: Vec<usize> = (0..8).collect();
        share(&program.options, &usable, ("g0", 4)).map_err(|error| error.to_string())
    }

    fn cores(workers: &[usize], stages: &[usize]) -> Result<Cores, String> {
        Ok(Cores {
            workers: workers.iter().copied().map(Some).collect(),
            stages: stages.to_vec(),
        })
    }

    #[test]
    fn workers_take_the_cores_that_stages_leave() {
        assert_eq!(shared_out(""), cores(&[0, 1, 2, 3], &[]));
        assert_eq!(shared_out("--l7-cores 0,2-3"), cores(&[1, 4, 5, 6], &[0, 2, 3]));
        assert_eq!(shared_out("--l7-cores 0-6"), cores(&[7], &[0, 1, 2, 3, 4, 5, 6]));
        assert_eq!(shared_out("--workers 2 --l7-cores 5,4"), cores(&[0, 1], &[5, 4]));
        assert_eq!(shared_out("--cores 6,7 --l7-cores 0"), cores(&[6, 7], &[0]));
        // A core that is named for workers and that none of them takes may be a stage's.
        assert_eq!(
            shared_out("--cores 0-2 --workers 2 --l7-cores 2"),
            cores(&[0, 1], &[2])
        );
    }

    /// Who asks for that gets it: the kernel shares the cores out.
    #[test]
    fn where_stages_leave_none_workers_are_not_pinned() {
        let all = shared_out("--workers 2 --l7-cores 0-7").unwrap();
        assert_eq!(all.workers, [None, None]);
        assert_eq!(shared_out("--l7-cores 0-7").unwrap().workers, [None]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_do() {
        for (flags, said) in [
            (
                "--l7-cores 8",
                "core 8, which is not there or not for this process; there are 0-7",
            ),
            ("--l7-cores 2,1-3", "core 2 stands there twice"),
            ("--l7-cores 3-1", "3-1 runs backwards"),
            ("--l7-cores x", "\"x\" is not the number of a core"),
            ("--cores 0-3 --l7-cores 3", "core 3 is a worker's by --cores"),
            ("--workers 5 --l7-cores 7", "--workers 4"),
            ("--cores 0 --workers 2 --l7-cores 7", "--cores names 1"),
        ] {
            let error = shared_out(flags).unwrap_err();
            assert!(error.contains(said), "{flags}: {error}");
        }
    }

    #[test]
    fn more_stages_than_there_can_be() {
        let words = ["headgate", "--port", "g0", "--l7-cores", "0-64"];
        let program = Program::try_parse_from(words).unwrap();
        let usable: Vec<usize> = (0..128).collect();
        let error = share(&program.options, &usable, ("g0", 4)).unwrap_err();
        assert!(error.to_string().contains("65 cores"), "{error}");
    }

    #[test]
    fn cores_are_told_as_flags_have_them() {
        assert_eq!(listed(&[9, 0, 1, 3, 2]), "0-3,9");
        assert_eq!(listed(&[]), "");
    }
}
