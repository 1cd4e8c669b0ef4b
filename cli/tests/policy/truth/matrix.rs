//! Tables of who reaches whom.

use std::{net::IpAddr, str::FromStr};

use super::cluster::{Cluster, Pod};

/// A block of tables.
#[derive(Clone, Debug)]
pub(crate) struct Matrix(Vec<Table>);

#[derive(Clone, Debug)]
struct Table {
    /// Protocol and port.
    ports: Vec<(String, u16)>,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Allowed,
    DeniedByEgress,
    DeniedByIngress,
    NotAsked,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// `namespace/name`, unless one family of the pod is meant, or an address.
    pub(crate) name: Option<String>,
    /// One of each family at most.
    pub(crate) addresses: Vec<IpAddr>,
}

/// One cell for one protocol and port.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) protocol: String,
    pub(crate) port: u16,
    pub(crate) cell: Cell,
    /// Whether it is the first protocol and port of its table.
    pub(crate) first: bool,
}

impl Cell {
    fn is_denied(self) -> bool {
        matches!(self, Self::DeniedByEgress | Self::DeniedByIngress)
    }
}

impl Expectation {
    /// The addresses that it speaks of, one pair for each family that both ends have.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        self.from.addresses.iter().filter_map(|&from| {
            let to = self
                .to
                .addresses
                .iter()
                .find(|to| to.is_ipv4() == from.is_ipv4())?;
            Some((from, *to))
        })
    }
}

impl Matrix {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let tables = text.split("\n\n").map(Table::parse).collect::<Result<_, _>>()?;
        Ok(Self(tables))
    }

    /// Every cell, for the pods that there are.
    pub(crate) fn expectations(&self, cluster: &Cluster) -> Result<Vec<Expectation>, String> {
        let pods = cluster.pods();
        let mut all = Vec::new();
        for table in &self.0 {
            table.expand(&pods, &mut all)?;
        }
        Ok(all)
    }
}

impl Table {
    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let mut ports = Vec::new();
        let mut columns = Vec::new();
        for token in lines.next().unwrap_or_default().split_ascii_whitespace() {
            match ports_of(token) {
                Some(named) => ports.extend(named),
                None => columns.push(token.to_owned()),
            }
        }
        let row = |line: &str| {
            let mut tokens = line.split_ascii_whitespace();
            let from = tokens.next().unwrap_or_default().to_owned();
            let cells: Vec<Cell> = tokens.map(str::parse).collect::<Result<_, _>>()?;
            if cells.len() == columns.len() {
                Ok((from, cells))
            } else {
                Err(format!("{} columns and \"{line}\"", columns.len()))
            }
        };
        let rows: Vec<_> = lines.map(row).collect::<Result<_, _>>()?;
        if ports.is_empty() || columns.is_empty() || rows.is_empty() {
            return Err(format!("no table: \"{text}\""));
        }
        Ok(Self { ports, columns, rows })
    }

    fn expand(&self, pods: &[Pod], all: &mut Vec<Expectation>) -> Result<(), String> {
        let rows: Vec<&str> = self.rows.iter().map(|(from, _)| from.as_str()).collect();
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        let (rows, columns) = (ends(&rows, pods)?, ends(&columns, pods)?);
        for ((from, cells), row) in self.rows.iter().zip(rows) {
            for ((to, &cell), column) in self.columns.iter().zip(cells).zip(&columns) {
                for (from_end, to_end) in row.iter().flat_map(|f| column.iter().map(move |t| (f, t))) {
                    let own = from_end.addresses == to_end.addresses;
                    if own && from == to && pattern(from).is_none() && cell.is_denied() {
                        return Err(format!("{from} reaches itself"));
                    }
                    let cell = if own && cell != Cell::NotAsked {
                        Cell::Allowed
                    } else {
                        cell
                    };
                    self.expect(from_end, to_end, cell, all)?;
                }
            }
        }
        Ok(())
    }

    fn expect(&self, from: &End, to: &End, cell: Cell, all: &mut Vec<Expectation>) -> Result<(), String> {
        if cell == Cell::NotAsked {
            return Ok(());
        }
        for (index, (protocol, port)) in self.ports.iter().enumerate() {
            let expectation = Expectation {
                from: from.clone(),
                to: to.clone(),
                protocol: protocol.clone(),
                port: *port,
                cell,
                first: index == 0,
            };
            if expectation.pairs().next().is_none() {
                return Err(format!("{from:?} and {to:?} have no family in common: write -"));
            }
            all.push(expectation);
        }
        Ok(())
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "." => Ok(Self::Allowed),
            "E" => Ok(Self::DeniedByEgress),
            "I" => Ok(Self::DeniedByIngress),
            "-" => Ok(Self::NotAsked),
            other => Err(format!("\"{other}\" is none of . E I -")),
        }
    }
}

/// `TCP:80`, or `any`.
fn ports_of(token: &str) -> Option<Vec<(String, u16)>> {
    let protocols = ["TCP", "UDP", "SCTP"];
    if token == "any" {
        let both = |protocol: &str| [80, 81].map(|port| (protocol.to_owned(), port));
        return Some(protocols.into_iter().flat_map(both).collect());
    }
    let (protocol, port) = token.split_once(':')?;
    (protocols.contains(&protocol)).then_some(vec![(protocol.to_owned(), port.parse().ok()?)])
}

/// Who each label of a row or column stands for: names first, then patterns from left to right, each pod once.
fn ends(labels: &[&str], pods: &[Pod]) -> Result<Vec<Vec<End>>, String> {
    let mut taken: Vec<&str> = labels
        .iter()
        .map(|label| label.split(':').next().unwrap_or(label))
        .collect();
    let mut all = Vec::new();
    for label in labels {
        let Some((namespace, name)) = pattern(label) else {
            all.push(vec![end(label, pods)?]);
            continue;
        };
        let matching = pods.iter().filter(|pod| {
            let (of, called) = pod.name.split_once('/').unwrap_or_default();
            pod.on_pod_network && (namespace == "*" || namespace == of) && (name == "*" || name == called)
        });
        let matching: Vec<&Pod> = matching
            .filter(|pod| !taken.contains(&pod.name.as_str()))
            .collect();
        if matching.is_empty() {
            return Err(format!("{label} stands for nobody"));
        }
        taken.extend(matching.iter().map(|pod| pod.name.as_str()));
        all.push(matching.into_iter().map(whole).collect());
    }
    Ok(all)
}

fn pattern(label: &str) -> Option<(&str, &str)> {
    match label {
        "*" => Some(("*", "*")),
        _ => label
            .split_once('/')
            .filter(|(namespace, name)| *namespace == "*" || *name == "*"),
    }
}

fn whole(pod: &Pod) -> End {
    End {
        name: Some(pod.name.clone()),
        addresses: pod.addresses.clone(),
    }
}

fn end(label: &str, pods: &[Pod]) -> Result<End, String> {
    if let Ok(address) = label.parse() {
        return Ok(End {
            name: None,
            addresses: vec![address],
        });
    }
    let (name, family) = label
        .split_once(':')
        .map_or((label, None), |(name, family)| (name, Some(family)));
    let pod = pods
        .iter()
        .find(|pod| pod.name == name)
        .ok_or_else(|| format!("no pod {name}"))?;
    let of_family = |v4: bool| End {
        name: None,
        addresses: pod
            .addresses
            .iter()
            .copied()
            .filter(|a| a.is_ipv4() == v4)
            .collect(),
    };
    match family {
        None => Ok(whole(pod)),
        Some("v4") => Ok(of_family(true)),
        Some("v6") => Ok(of_family(false)),
        Some(other) => Err(format!("\"{other}\" is no family")),
    }
}
