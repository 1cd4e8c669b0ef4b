//! A strict reader of both formats, written from their specifications and from nothing of the writer.

use std::collections::{HashMap, HashSet};

use super::Format;

type Labels = Vec<(String, String)>;

/// An exposition as it was read.
pub(super) struct Parsed {
    samples: Vec<(String, Labels, f64)>,
}

#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    help: bool,
    unit: bool,
}

impl Parsed {
    pub(super) fn parse(text: &str, format: Format) -> Result<Self, String> {
        let open = format == Format::OpenMetrics;
        let text = text.strip_suffix('\n').ok_or("the last line has no end")?;
        let mut lines: Vec<&str> = text.split('\n').collect();
        if open && lines.pop() != Some("# EOF") {
            return Err("no # EOF at the end".into());
        }
        let mut reader = Reader {
            open,
            ..Reader::default()
        };
        for line in lines {
            reader.line(line).map_err(|error| format!("{error}: {line}"))?;
        }
        reader.finish()?;
        Ok(Self {
            samples: reader.samples,
        })
    }

    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let matches = |there: &Labels| {
            there.len() == labels.len()
                && labels
                    .iter()
                    .all(|(n, v)| there.iter().any(|(m, w)| n == m && v == w))
        };
        let mut found = self.samples.iter().filter(|(n, l, _)| n == name && matches(l));
        found.next().map(|(_, _, value)| *value)
    }

    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn samples_of(&self, name: &str) -> usize {
        self.samples.iter().filter(|(n, ..)| n == name).count()
    }
}

#[derive(Default)]
struct Reader {
    open: bool,
    family: Family,
    done: HashSet<String>,
    series: HashSet<String>,
    samples: Vec<(String, Labels, f64)>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        match line.strip_prefix("# ") {
            Some(comment) => self.comment(comment),
            None if line.starts_with('#') || line.is_empty() => Err("a line that is nothing".into()),
            None => self.sample(line),
        }
    }

    fn comment(&mut self, comment: &str) -> Result<(), String> {
        let mut words = comment.splitn(3, ' ');
        let (what, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest = words.next().ok_or("a comment that ends early")?;
        is_name(name)?;
        if name != self.family.name {
            // All lines of a family stand together.
            if !self.done.insert(name.to_owned()) {
                return Err("a family that comes twice".into());
            }
            self.family = Family {
                name: name.to_owned(),
                ..Family::default()
            };
        }
        let family = &mut self.family;
        let first = match what {
            "TYPE" => {
                if !["counter", "gauge", "histogram", "summary"].contains(&rest) {
                    return Err("an unknown type".into());
                }
                std::mem::replace(&mut family.kind, rest.to_owned()).is_empty()
            }
            "HELP" => {
                unescape(rest, self.open)?;
                !std::mem::replace(&mut family.help, true)
            }
            "UNIT" if self.open => {
                if !name.ends_with(&format!("_{rest}")) {
                    return Err("the unit is not the name's suffix".into());
                }
                !std::mem::replace(&mut family.unit, true)
            }
            _ => return Err("an unknown comment".into()),
        };
        first.then_some(()).ok_or_else(|| "it stands there twice".into())
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let end = line.find(['{', ' ']).ok_or("no value")?;
        let name = &line[..end];
        is_name(name)?;
        self.belongs(name)?;
        let (labels, rest) = if line.as_bytes()[end] == b'{' {
            labels(&line[end + 1..])?
        } else {
            (Vec::new(), &line[end..])
        };
        let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
        let value: f64 = value.parse().map_err(|_| "no number")?;
        if self.family.kind == "counter" && value < 0.0 {
            return Err("a negative counter".into());
        }
        if !self
            .series
            .insert(line[..line.rfind(' ').unwrap_or(end)].to_owned())
        {
            return Err("a series that comes twice".into());
        }
        self.samples.push((name.to_owned(), labels, value));
        Ok(())
    }

    /// Whether a sample's name is one of the family at hand.
    fn belongs(&self, name: &str) -> Result<(), String> {
        let family = &self.family;
        let suffix = name
            .strip_prefix(family.name.as_str())
            .ok_or("a sample of another family")?;
        let suffixes: &[&str] = match (family.kind.as_str(), self.open) {
            ("counter", true) => &["_total"],
            ("counter" | "gauge", _) => &[""],
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            ("summary", _) => &["_sum", "_count"],
            _ => return Err("a sample before its type".into()),
        };
        if family.kind == "counter" && !name.ends_with("_total") {
            return Err("a counter without _total".into());
        }
        suffixes
            .contains(&suffix)
            .then_some(())
            .ok_or_else(|| "a suffix of another type".into())
    }

    /// Buckets grow by bound and up to `+Inf`, which is the count.
    fn finish(&self) -> Result<(), String> {
        let mut histograms: HashMap<(String, Labels), Vec<(f64, f64)>> = HashMap::new();
        for (name, labels, value) in &self.samples {
            if let Some(name) = name.strip_suffix("_bucket") {
                let (bound, rest): (Labels, Labels) = labels.iter().cloned().partition(|(n, _)| n == "le");
                let bound = bound
                    .first()
                    .ok_or("a bucket without bound")?
                    .1
                    .replace("+Inf", "inf");
                let bound = bound.parse::<f64>().map_err(|_| "a bound that is no number")?;
                histograms
                    .entry((name.to_owned(), rest))
                    .or_default()
                    .push((bound, *value));
            }
        }
        for ((name, labels), buckets) in histograms {
            if !buckets
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
            {
                return Err(format!("{name}: buckets that do not grow"));
            }
            let (bound, last) = *buckets.last().ok_or("no bucket")?;
            let count = self
                .samples
                .iter()
                .find(|(n, l, _)| *n == format!("{name}_count") && *l == labels);
            if bound != f64::INFINITY || count.map(|(.., count)| *count) != Some(last) {
                return Err(format!("{name}: +Inf is not the count"));
            }
        }
        Ok(())
    }
}

fn is_name(name: &str) -> Result<(), String> {
    let good = |(place, c): (usize, char)| {
        c.is_ascii_alphabetic() || c == '_' || c == ':' || (place > 0 && c.is_ascii_digit())
    };
    let all = !name.is_empty() && name.chars().enumerate().all(good);
    all.then_some(()).ok_or_else(|| format!("{name:?} is no name"))
}

/// Labels up to the brace, and what is behind it.
fn labels(mut text: &str) -> Result<(Labels, &str), String> {
    let mut labels: Labels = Vec::new();
    loop {
        let (name, rest) = text.split_once("=\"").ok_or("a label without value")?;
        is_name(name)?;
        if labels.iter().any(|(there, _)| there == name) {
            return Err("a label that comes twice".into());
        }
        let mut escaped = false;
        let end = rest.find(|c| {
            let end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            end
        });
        let end = end.ok_or("a value without end")?;
        labels.push((name.to_owned(), unescape(&rest[..end], true)?));
        let rest = &rest[end + 1..];
        match rest.split_at_checked(1) {
            Some((",", rest)) => text = rest,
            Some(("}", rest)) => return Ok((labels, rest)),
            _ => return Err("labels without end".into()),
        }
    }
}

fn unescape(text: &str, quotes: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quotes) {
            ('\\', _) => out.push(match characters.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if quotes => '"',
                other => return Err(format!("the escape {other:?}")),
            }),
            ('"', true) => return Err("a quote without escape".into()),
            (c, _) => out.push(c),
        }
    }
    Ok(out)
}
