//! The flags of `headgate run`: those of both planes, each once.

use std::{ffi::OsString, time::Duration};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, parser::ValueSource};

/// What each plane is started with. The flags were checked by the planes' own definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunOptions {
    pub(crate) dataplane: Vec<OsString>,
    pub(crate) controlplane: Vec<OsString>,
    /// How long the dataplane may drain.
    pub(crate) drain_time: Duration,
}

fn dataplane() -> Command {
    headgate_dataplane::Options::augment_args(Command::new("dataplane"))
}

fn controlplane() -> Command {
    headgate_kubernetes::PlaneOptions::augment_args(Command::new("controlplane"))
}

impl Args for RunOptions {
    fn augment_args(mut command: Command) -> Command {
        let (dataplane, controlplane) = (dataplane(), controlplane());
        for argument in controlplane.get_arguments().chain(dataplane.get_arguments()) {
            // A flag that both have, such as `--run-dir`, means the same to both.
            if !command
                .get_arguments()
                .any(|there| there.get_id() == argument.get_id())
            {
                command = command.arg(argument.clone());
            }
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RunOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        // Checks that hold between flags are the planes'.
        let dataplane_options = headgate_dataplane::Options::from_arg_matches(matches)?;
        headgate_kubernetes::PlaneOptions::from_arg_matches(matches)?;
        let mut options = Self {
            dataplane: given(&dataplane(), matches),
            controlplane: given(&controlplane(), matches),
            drain_time: dataplane_options.drain_time,
        };
        if dataplane_options.on_sockets() {
            options.suit_sockets(matches);
        }
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl RunOptions {
    /// Has the control plane know that there are no packets.
    fn suit_sockets(&mut self, matches: &ArgMatches) {
        if matches.value_source("ingress_addresses") != Some(ValueSource::CommandLine) {
            // The kernel knows the host's addresses; there is none that only Headgate has.
            let all = ["0.0.0.0", "::"].map(|address| format!("--ingress-address={address}").into());
            self.controlplane.extend(all);
        }
        if !matches.get_flag("loopback_endpoints") {
            self.controlplane.push("--loopback-endpoints".into());
        }
    }
}

/// The flags of `plane` that the user gave, as they would be written on its own command line.
fn given(plane: &Command, matches: &ArgMatches) -> Vec<OsString> {
    plane
        .get_arguments()
        .filter(|argument| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine))
        .flat_map(|argument| written(argument, matches))
        .collect()
}

fn written(argument: &Arg, matches: &ArgMatches) -> Vec<OsString> {
    let Some(long) = argument.get_long() else {
        return Vec::new();
    };
    let flag = format!("--{long}");
    if matches!(argument.get_action(), ArgAction::SetTrue | ArgAction::SetFalse) {
        return vec![flag.into()];
    }
    let values = matches.get_raw(argument.get_id().as_str()).into_iter().flatten();
    values
        .map(|value| {
            let mut one = OsString::from(format!("{flag}="));
            one.push(value);
            one
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> RunOptions {
        let command = RunOptions::augment_args(Command::new("run"));
        let matches = command.try_get_matches_from(line.split(' ')).unwrap();
        RunOptions::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn each_plane_gets_its_own_flags() {
        let options = parse("run --manifests m --port a0 --port a1 --huge-pages --ingress-address 192.0.2.1");
        assert_eq!(options.dataplane, ["--port=a0", "--port=a1", "--huge-pages"]);
        assert_eq!(
            options.controlplane,
            ["--manifests=m", "--ingress-address=192.0.2.1"]
        );
    }

    #[test]
    fn on_the_kernels_sockets_all_addresses_serve_where_none_is_named() {
        let options = parse("run --manifests m --port kernel");
        let all = [
            "--manifests=m",
            "--ingress-address=0.0.0.0",
            "--ingress-address=::",
            "--loopback-endpoints",
        ];
        assert_eq!(options.controlplane, all);
        let options = parse("run --manifests m --port kernel --ingress-address 127.0.0.1");
        assert_eq!(
            options.controlplane,
            [
                "--manifests=m",
                "--ingress-address=127.0.0.1",
                "--loopback-endpoints"
            ]
        );
        let options = parse("run --manifests m --port a0 --ingress-address 192.0.2.1");
        assert!(!options.controlplane.contains(&"--loopback-endpoints".into()));
    }

    #[test]
    fn a_common_flag_goes_to_both() {
        let options = parse("run --manifests m --port a0 --run-dir /tmp/x");
        assert!(
            options.dataplane.contains(&"--run-dir=/tmp/x".into()),
            "{options:?}"
        );
        assert!(
            options.controlplane.contains(&"--run-dir=/tmp/x".into()),
            "{options:?}"
        );
    }

    #[test]
    fn what_a_plane_is_given_it_can_parse() {
        let options = parse("run --manifests m --port a0 --tcp-timeout 90s --source-ports 61000-62000");
        let matches = dataplane()
            .try_get_matches_from([OsString::from("dataplane")].into_iter().chain(options.dataplane));
        let dataplane = headgate_dataplane::Options::from_arg_matches(&matches.unwrap()).unwrap();
        assert_eq!(dataplane.ports, ["a0"]);
        assert_eq!(dataplane.tcp_timeout.as_secs(), 90);
    }
}
