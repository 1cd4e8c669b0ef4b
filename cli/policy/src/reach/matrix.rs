//! The cells.

use anyhow::{Result, bail, ensure};
use headgate_ring::message::Protocol;
use serde::Serialize;

use super::groups::{self, Group};
use crate::classes::{EndpointClass, PAIRS, classes};
use crate::flags::{By, ReachFormat, ReachOptions};
use crate::ports::PortSet;
use crate::snapshot::PolicySnapshot;

/// The most rows of a picture or a table.
const ROWS: usize = 250;

/// The most rows of a document for programs.
const JSON_ROWS: usize = 2_000;

/// Who may connect to whom.
#[derive(Debug, Serialize)]
pub(super) struct Matrix {
    /// What rows stand for.
    pub(super) by: By,
    /// The ports that are asked about; all where none is named.
    pub(super) ports: PortSet,
    /// Rows and columns.
    pub(super) groups: Vec<Group>,
    /// A list for each row. Nothing is said about what those outside say to each other.
    pub(super) cells: Vec<Vec<Cell>>,
}

/// What the pods of one group may say to those of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cell {
    pub(super) allowed: Extent,
    /// What each of the one may say to each of the other, by each family of addresses.
    pub(super) ports: PortSet,
    /// What some of them may say to some, or by one family.
    #[serde(skip_serializing_if = "PortSet::is_empty")]
    pub(super) partly: PortSet,
}

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Extent {
    /// All ports that are asked about, to all.
    All,
    /// Some ports, or to some.
    Some,
    /// Nothing.
    None,
    /// One pod and itself.
    Itself,
    /// They cannot speak, or it is not looked at: addresses of different families, or both outside.
    Void,
}

/// Ports to ask about, one by one.
type Asked = Vec<(Protocol, u16)>;

impl Matrix {
    /// Looks at all pairs.
    ///
    /// # Errors
    /// When there are too many to look at, with what makes them fewer.
    pub(super) fn new(snapshot: &PolicySnapshot, options: &ReachOptions) -> Result<Self> {
        let known = |name: &&String| {
            let prefix = format!("{name}/");
            snapshot.endpoints.iter().any(|e| e.name.starts_with(&prefix))
        };
        if let Some(name) = options.namespaces.iter().find(|name| !known(name)) {
            bail!("--namespace {name}: there is no pod with an address in this namespace");
        }
        let classes = classes(&[snapshot]);
        let (by, groups) = groups::groups(snapshot, &classes, options.by, &options.namespaces);
        check_size(&groups, options)?;
        let mut ports = PortSet::default();
        for (protocol, port) in &options.ports {
            ports.add(&PortSet::single(*protocol, *port));
        }
        if ports.is_empty() {
            ports = PortSet::of_rule(None);
        }
        let look = Look {
            snapshot,
            classes: &classes,
            asked: &options.ports,
            ports: &ports,
        };
        let row = |from: &Group| groups.iter().map(|to| look.cell(from, to)).collect();
        let cells = groups.iter().map(row).collect();
        Ok(Self {
            by,
            ports,
            groups,
            cells,
        })
    }

    /// How many groups are pods or nodes; those outside follow.
    pub(super) fn inside(&self) -> usize {
        self.groups.iter().filter(|group| group.pods > 0).count()
    }

    /// What it shows, in one line.
    pub(super) fn caption(&self) -> String {
        let (mut pods, mut nodes) = (0, 0);
        for group in &self.groups {
            *if group.namespace.is_empty() {
                &mut nodes
            } else {
                &mut pods
            } += group.pods;
        }
        let nodes = if nodes == 0 {
            String::new()
        } else {
            format!(" and {nodes} nodes")
        };
        let by = match self.by {
            By::Pod => "",
            By::Workload => ", by workload",
            By::Namespace => ", by namespace",
        };
        let ports = if self.ports.is_everything() {
            "all TCP, UDP and SCTP ports".to_owned()
        } else {
            self.ports.to_string()
        };
        format!("{pods} pods{nodes}{by}; {ports}")
    }
}

impl Cell {
    /// Which ports, in words; those of a part in brackets.
    pub(super) fn words(&self) -> String {
        match (self.ports.is_empty(), self.partly.is_empty()) {
            (_, true) => self.ports.to_string(),
            (true, false) => format!("[{}]", self.partly),
            (false, false) => format!("{} [{}]", self.ports, self.partly),
        }
    }
}

fn check_size(groups: &[Group], options: &ReachOptions) -> Result<()> {
    let most = if options.format == ReachFormat::Json {
        JSON_ROWS
    } else {
        ROWS
    };
    let fewer = "--by workload or --by namespace, or --namespace NAME, make them fewer";
    ensure!(
        groups.len() <= most,
        "{} rows are more than the {most} that this format has room for; {fewer}",
        groups.len()
    );
    let kinds: usize = groups.iter().map(|group| group.classes.len()).sum();
    let outside: usize = groups
        .iter()
        .filter(|group| group.pods == 0)
        .map(|group| group.classes.len())
        .sum();
    ensure!(
        kinds * kinds - outside * outside <= PAIRS,
        "the policies tell {kinds} kinds of pods and addresses apart, and {PAIRS} pairs are the most that are looked \
         at; --namespace NAME makes them fewer"
    );
    Ok(())
}

/// What a cell is made from.
struct Look<'a> {
    snapshot: &'a PolicySnapshot,
    classes: &'a [EndpointClass],
    asked: &'a Asked,
    ports: &'a PortSet,
}

impl Look<'_> {
    fn cell(&self, from: &Group, to: &Group) -> Cell {
        let (mut every, mut some): (Option<PortSet>, PortSet) = (None, PortSet::default());
        for (from_class, count) in &from.classes {
            for (to_class, _) in &to.classes {
                // One pod of a group and itself.
                if from_class == to_class && std::ptr::eq(from, to) && *count == 1 {
                    continue;
                }
                let (from, to) = (&self.classes[*from_class], &self.classes[*to_class]);
                for spoken in from.speaks(self.snapshot, 0, to, self.asked) {
                    every = Some(every.map_or_else(|| spoken.ports.clone(), |e| e.and(&spoken.ports)));
                    some.add(&spoken.ports);
                }
            }
        }
        let ports = every.clone().unwrap_or_default();
        let allowed = match &every {
            None if std::ptr::eq(from, to) && from.pods == 1 => Extent::Itself,
            None => Extent::Void,
            Some(every) if every.covers(self.ports) => Extent::All,
            Some(_) if some.is_empty() => Extent::None,
            Some(_) => Extent::Some,
        };
        Cell {
            allowed,
            partly: some.without(&ports),
            ports,
        }
    }
}
