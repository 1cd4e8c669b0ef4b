//! The two formats: Prometheus' text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>) and
//! OpenMetrics 1.0 (<https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>).
//!
//! They differ in where a counter's `_total` stands (OpenMetrics has it at samples alone), in the line for a unit, in the
//! escapes of help texts, and in the line for the end.

use std::fmt::{self, Write};

use super::family::{Buckets, Family, FamilyKind, Sample, Value, escape};

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

    /// What a client that sends this header `Accept` wants (RFC 9110, section 12.5.1): the format of the greater weight,
    /// OpenMetrics where it is named with the same, and Prometheus' where neither is wanted
    /// (<https://prometheus.io/docs/instrumenting/content_negotiation/>, "Selection of Format").
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let (open, named) = weight(accept, "application", "openmetrics-text", "1.0.0");
        let (plain, _) = weight(accept, "text", "plain", "0.0.4");
        if open > 0.0 && (open > plain || (open >= plain && named)) {
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
                self::sample(out, family, sample)?;
            }
        }
        match self {
            Self::Prometheus => Ok(()),
            Self::OpenMetrics => out.write_str("# EOF\n"),
        }
    }

    fn head(self, family: &Family, out: &mut String) -> fmt::Result {
        let total = match (self, family.kind) {
            (Self::Prometheus, FamilyKind::Counter) => "_total",
            _ => "",
        };
        let name = &family.name;
        writeln!(out, "# TYPE {name}{total} {}", family.kind.name())?;
        if let (Self::OpenMetrics, Some(unit)) = (self, family.unit) {
            writeln!(out, "# UNIT {name} {unit}")?;
        }
        write!(out, "# HELP {name}{total} ")?;
        escape(&family.help, self == Self::OpenMetrics, out);
        out.write_char('\n')
    }
}

/// How much a header `Accept` wants a format, by the most specific range that it falls under, and whether that range
/// names it. A range with another version is another format's; other parameters, such as the character set or how names
/// are escaped, make no difference, as no name here needs an escape.
fn weight(accept: &str, kind: &str, subtype: &str, version: &str) -> (f32, bool) {
    let mut best = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let (mut q, mut other, mut versioned) = (1.0, false, 0);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim().to_ascii_lowercase().as_str() {
                "q" => q = value.trim().parse::<f32>().unwrap_or(0.0),
                "version" => {
                    other |= value.trim().trim_matches('"') != version;
                    versioned = 1;
                }
                _ => {}
            }
        }
        let specific = match name.split_once('/') {
            Some((k, s)) if k == kind && s == subtype => 3 + versioned,
            Some((k, "*")) if k == kind => 2,
            Some(("*", "*")) => 1,
            _ => 0,
        };
        if !other && specific > best.0 {
            best = (specific, q);
        }
    }
    (best.1, best.0 > 2)
}

/// Writes a sample, or those of a histogram or summary.
fn sample(out: &mut String, family: &Family, sample: &Sample) -> fmt::Result {
    let total = if family.kind == FamilyKind::Counter {
        "_total"
    } else {
        ""
    };
    match &sample.value {
        Value::Integer(value) => {
            series(out, &family.name, total, sample, None);
            writeln!(out, " {value}")
        }
        Value::Float(value) => {
            series(out, &family.name, total, sample, None);
            writeln!(out, " {value}")
        }
        Value::Sum { count, sum } => {
            series(out, &family.name, "_sum", sample, None);
            writeln!(out, " {sum}")?;
            series(out, &family.name, "_count", sample, None);
            writeln!(out, " {count}")
        }
        Value::Buckets(buckets) => histogram(out, &family.name, sample, buckets),
    }
}

/// Cumulative counts, the last of which has the bound `+Inf` and equals `_count`.
fn histogram(out: &mut String, name: &str, sample: &Sample, buckets: &Buckets) -> fmt::Result {
    let mut count = 0;
    for (bound, more) in &buckets.bounded {
        count += more;
        series(out, name, "_bucket", sample, Some(&canonical(*bound)));
        writeln!(out, " {count}")?;
    }
    count += buckets.above;
    series(out, name, "_bucket", sample, Some("+Inf"));
    writeln!(out, " {count}")?;
    series(out, name, "_sum", sample, None);
    writeln!(out, " {}", buckets.sum)?;
    series(out, name, "_count", sample, None);
    writeln!(out, " {count}")
}

/// A bound as OpenMetrics wants it ("Canonical Numbers"): as Go's `%g` writes it, and with `.0` where it would look like an
/// integer. Bounds are label values, which are compared as texts.
pub(super) fn canonical(bound: f64) -> String {
    let text = format!("{bound:e}");
    let (digits, exponent) = text.split_once('e').expect("the format has an exponent");
    let exponent = exponent.parse::<i32>().expect("the exponent is a number");
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let point = if bound.fract() == 0.0 { ".0" } else { "" };
    format!("{bound}{point}")
}

/// Name and labels of a line.
fn series(out: &mut String, name: &str, suffix: &str, sample: &Sample, bound: Option<&str>) {
    out.push_str(name);
    out.push_str(suffix);
    let labels = sample.labels.as_str();
    let more = sample.by.into_iter().chain(bound.map(|bound| ("le", bound)));
    let mut separator = "{";
    if !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        separator = ",";
    }
    for (name, value) in more {
        // Neither has anything to escape.
        for part in [separator, name, "=\"", value, "\""] {
            out.push_str(part);
        }
        separator = ",";
    }
    if separator == "," {
        out.push('}');
    }
}
