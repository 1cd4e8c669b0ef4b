//! Markdown to cases.

use std::{fs, path::Path};

use serde_json::Value;

use super::cluster::{Cluster, Key, objects};
use super::matrix::Matrix;

/// A heading of a page and what stands below it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// `page: heading`.
    pub(crate) name: String,
    /// What it starts from.
    pub(crate) cluster: Cluster,
    /// Each with the line where it begins, from 1.
    pub(crate) steps: Vec<(usize, Step)>,
}

/// A block.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Objects that come or change.
    Apply(Vec<(Key, Value)>),
    /// Objects that go.
    Delete(Vec<Key>),
    /// What holds now.
    Expect(Matrix),
    /// Which policies have a say in a connection.
    Policies(Vec<Asked>),
}

/// From and to, protocol and port, and the policies, sorted.
pub(crate) type Asked = ((String, String), (String, u16), Vec<String>);

/// Reads a page; errors begin with the line.
pub(super) fn read(path: &Path) -> Result<Vec<Case>, String> {
    let text = fs::read_to_string(path).map_err(|e| format!(" {e}"))?;
    let title = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut base = Cluster::default();
    let mut cases: Vec<Case> = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((at, line)) = lines.next() {
        let wrong = |reason: String| format!("{at}: {reason}");
        if let Some(heading) = line.strip_prefix("## ") {
            cases.push(Case {
                name: format!("{title}: {heading}"),
                cluster: base.clone(),
                steps: Vec::new(),
            });
        } else if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .collect();
            let step = step(kind, &block.join("\n")).map_err(wrong)?;
            match (cases.last_mut(), step) {
                (_, None) => {}
                (Some(case), Some(step)) => case.steps.push((at, step)),
                (None, Some(Step::Apply(objects))) => base.apply(objects),
                (None, Some(_)) => return Err(wrong(format!("a block {kind} before the first case"))),
            }
        } else if cases.is_empty() {
            for file in links(line).filter(|file| file.ends_with(".yaml")) {
                let file = path.with_file_name(file);
                let yaml =
                    fs::read_to_string(&file).map_err(|e| wrong(format!("{}: {e}", file.display())))?;
                base.apply(objects(&yaml).map_err(wrong)?);
            }
        }
    }
    cases.retain(|case| !case.steps.is_empty());
    Ok(cases)
}

/// `None` for a block that is there to be read by people only.
fn step(kind: &str, text: &str) -> Result<Option<Step>, String> {
    Ok(Some(match kind {
        "yaml" => Step::Apply(objects(text)?),
        "delete" => Step::Delete(
            text.lines()
                .map(|line| Key::parse(line).ok_or_else(|| format!("\"{line}\" names no object")))
                .collect::<Result<_, _>>()?,
        ),
        "matrix" => Step::Expect(Matrix::parse(text)?),
        "policies" => Step::Policies(text.lines().map(asked).collect::<Result<_, _>>()?),
        _ => return Ok(None),
    }))
}

/// Reads `FROM TO PROTOCOL:PORT POLICY…`.
fn asked(line: &str) -> Result<Asked, String> {
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (Some(from), Some(to), Some(port)) = (words.next(), words.next(), words.next()) else {
        return Err(format!("\"{line}\" is no question"));
    };
    let port = port
        .split_once(':')
        .and_then(|(protocol, port)| Some((protocol.to_owned(), port.parse().ok()?)));
    let port = port.ok_or_else(|| format!("no PROTOCOL:PORT in \"{line}\""))?;
    Ok(((from, to), port, words.collect()))
}

/// The targets of a line's links.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
}
