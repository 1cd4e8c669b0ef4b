//! The two formats: Prometheus' text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>) and
//! OpenMetrics 1.0 (<https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>).
//!
//! They differ in where a counter's `_total` stands (OpenMetrics has it at samples alone), in the line for a unit, in the
//! escapes of help texts, and in the line for the end.

use std::fmt::{self, Write};

use super::family::{Buckets, Family, Kind, Label, Sample, Value};

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Version 0.0.4.
    Prometheus,
    /// Version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// For the header `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What a client that sends this header `Accept` wants (RFC 9110, section 12.5.1): OpenMetrics where it names it with a
    /// weight that is no smaller than that of plain text.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let weight = |types: &[&str]| {
            let ranges = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default().to_ascii_lowercase();
                let mut weight = 1.0;
                for part in parts {
                    if let Some(q) = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")) {
                        weight = q.trim().parse::<f32>().unwrap_or(0.0);
                    }
                }
                types.contains(&name.as_str()).then_some(weight)
            });
            ranges.fold(0.0_f32, f32::max)
        };
        let open = weight(&["application/openmetrics-text"]);
        if open > 0.0 && open >= weight(&["text/plain"]) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Writes every family that has samples.
    #[must_use]
    pub fn render(self, families: &[Family]) -> String {
        let mut out = String::with_capacity(64 << 10);
        // Writing to a string cannot fail.
        let _ = self.write(families, &mut out);
        out
    }

    fn write(self, families: &[Family], out: &mut String) -> fmt::Result {
        for family in families.iter().filter(|family| !family.samples.is_empty()) {
            self.head(family, out)?;
            for sample in &family.samples {
                self.sample(family, sample, out)?;
            }
        }
        match self {
            Self::Prometheus => Ok(()),
            Self::OpenMetrics => out.write_str("# EOF\n"),
        }
    }

    fn head(self, family: &Family, out: &mut String) -> fmt::Result {
        let total = match (self, family.kind) {
            (Self::Prometheus, Kind::Counter) => "_total",
            _ => "",
        };
        let name = &family.name;
        writeln!(out, "# TYPE {name}{total} {}", family.kind.name())?;
        if let (Self::OpenMetrics, Some(unit)) = (self, family.unit) {
            writeln!(out, "# UNIT {name} {unit}")?;
        }
        write!(out, "# HELP {name}{total} ")?;
        escape(&family.help, self == Self::OpenMetrics, out)?;
        out.write_char('\n')
    }

    fn sample(self, family: &Family, sample: &Sample, out: &mut String) -> fmt::Result {
        let name = &family.name;
        let suffix = if family.kind == Kind::Counter {
            "_total"
        } else {
            ""
        };
        match &sample.value {
            Value::Integer(value) => {
                series(out, name, suffix, &sample.labels, None)?;
                writeln!(out, " {value}")
            }
            Value::Float(value) => {
                series(out, name, suffix, &sample.labels, None)?;
                writeln!(out, " {value}")
            }
            Value::Buckets(buckets) => histogram(out, name, &sample.labels, buckets),
        }
    }
}

/// Cumulative counts, the last of which has the bound `+Inf` and equals `_count`.
fn histogram(out: &mut String, name: &str, labels: &[Label], buckets: &Buckets) -> fmt::Result {
    let mut count = 0;
    for (bound, more) in &buckets.bounded {
        count += more;
        series(out, name, "_bucket", labels, Some(&bound_text(*bound)))?;
        writeln!(out, " {count}")?;
    }
    count += buckets.above;
    series(out, name, "_bucket", labels, Some("+Inf"))?;
    writeln!(out, " {count}")?;
    series(out, name, "_sum", labels, None)?;
    writeln!(out, " {}", buckets.sum)?;
    series(out, name, "_count", labels, None)?;
    writeln!(out, " {count}")
}

/// OpenMetrics wants bounds to be floats that look like floats.
fn bound_text(bound: f64) -> String {
    let text = bound.to_string();
    if text.contains(['.', 'e']) {
        text
    } else {
        text + ".0"
    }
}

fn series(out: &mut String, name: &str, suffix: &str, labels: &[Label], bound: Option<&str>) -> fmt::Result {
    out.write_str(name)?;
    out.write_str(suffix)?;
    let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
    let mut separator = '{';
    for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        write!(out, "{separator}{name}=\"")?;
        escape(value, true, out)?;
        out.write_char('"')?;
        separator = ',';
    }
    if separator == ',' {
        out.write_char('}')?;
    }
    Ok(())
}

fn escape(text: &str, quotes: bool, out: &mut String) -> fmt::Result {
    for character in text.chars() {
        match character {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '"' if quotes => out.write_str("\\\"")?,
            other => out.write_char(other)?,
        }
    }
    Ok(())
}
