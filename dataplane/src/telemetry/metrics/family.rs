//! Families of samples, as the exposition formats know them.

use std::sync::Arc;

use headgate_net::record::Latency;

/// What kind of number a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only grows while the process lives.
    Counter,
    /// A value of now.
    Gauge,
    /// Counts by bucket, and a sum.
    Histogram,
    /// A count and a sum.
    Summary,
}

impl FamilyKind {
    /// As both formats spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// Labels and their values as both formats write them: `a="x",b="y"`. A clone is cheap, so that the many samples of one
/// object are labelled once.
#[derive(Clone, Debug)]
pub struct LabelText(Arc<str>);

impl LabelText {
    /// Writes them; both formats escape values alike.
    #[must_use]
    pub fn new<'a>(labels: impl IntoIterator<Item = (&'static str, &'a str)>) -> Self {
        let mut text = String::new();
        for (name, value) in labels {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
            text.push_str("=\"");
            escape(value, true, &mut text);
            text.push('"');
        }
        Self(text.into())
    }

    /// As they are written, without braces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Writes a text with the escapes of both formats; the quotes of label values have them, and those of help texts in
/// OpenMetrics.
pub(super) fn escape(text: &str, quotes: bool, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\n', '"']) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'\n' => out.push_str("\\n"),
            b'"' if !quotes => out.push('"'),
            byte => out.extend(['\\', char::from(byte)]),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// Samples of one name.
#[derive(Clone, Debug)]
pub struct Family {
    /// With `headgate_` in front and the unit at its end; without `_total`, which the formats put in different places.
    pub name: String,
    /// What its numbers are.
    pub kind: FamilyKind,
    /// Base unit, which the name ends with.
    pub unit: Option<&'static str>,
    /// One sentence without a full stop.
    pub help: String,
    /// Names of its samples' labels.
    pub labels: Vec<&'static str>,
    /// In any order.
    pub samples: Vec<Sample>,
}

/// The numbers of one set of labels.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Names in the order of the family's; a label that says nothing is left out.
    pub labels: LabelText,
    /// One label more, whose values are known beforehand.
    pub by: Option<(&'static str, &'static str)>,
    /// The numbers.
    pub value: Value,
}

/// Numbers of a sample.
#[derive(Clone, Debug)]
pub enum Value {
    /// A count.
    Integer(u64),
    /// A measure.
    Float(f64),
    /// Of a histogram.
    Buckets(Buckets),
    /// Of a summary.
    Sum {
        /// How many things were measured.
        count: u64,
        /// What they measured together.
        sum: f64,
    },
}

/// Counts of a histogram.
#[derive(Clone, Debug)]
pub struct Buckets {
    /// Inclusive upper bound and count of this bucket alone, by bound; none has the bound of infinity.
    pub bounded: Vec<(f64, u64)>,
    /// Above all bounds.
    pub above: u64,
    /// Of all that was measured.
    pub sum: f64,
}

impl Buckets {
    /// 512 microseconds.
    const FINEST: usize = 9;

    /// Microseconds as seconds. A bucket ends at `2^n` microseconds, the last at none. Of the bounds one in `step` is
    /// shown, from 512 microseconds on if that is more than one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    pub fn of(latency: &Latency, step: usize) -> Self {
        let (last, bounded) = latency.buckets.split_last().expect("there is one");
        let mut buckets = Self {
            bounded: Vec::with_capacity(bounded.len() / step),
            above: 0,
            sum: latency.total_us as f64 / 1e6,
        };
        let mut count = 0;
        for (n, more) in bounded.iter().enumerate() {
            count += more;
            if step == 1 || (n >= Self::FINEST && (n - Self::FINEST).is_multiple_of(step)) {
                let bound = (1_u64 << n) as f64 / 1e6;
                buckets.bounded.push((bound, std::mem::take(&mut count)));
            }
        }
        buckets.above = count + last;
        buckets
    }
}

impl Family {
    /// A family without samples.
    #[must_use]
    pub fn new(name: &str, kind: FamilyKind, help: impl Into<String>, labels: &[&'static str]) -> Self {
        let unit = ["seconds", "bytes"]
            .into_iter()
            .find(|unit| name.ends_with(&format!("_{unit}")));
        Self {
            name: format!("headgate_{name}"),
            kind,
            unit,
            help: help.into(),
            labels: labels.to_vec(),
            samples: Vec::new(),
        }
    }

    /// Adds a sample with values for the family's labels.
    pub fn add(&mut self, values: &[&str], value: Value) {
        let labels = self.labels.iter().copied().zip(values.iter().copied());
        let labels = LabelText::new(labels);
        self.push(&labels, None, value);
    }

    /// Adds a sample with labels that were written before, and maybe one more.
    pub fn push(&mut self, labels: &LabelText, by: Option<(&'static str, &'static str)>, value: Value) {
        self.samples.push(Sample {
            labels: labels.clone(),
            by,
            value,
        });
    }

    /// Likewise; for chains.
    #[must_use]
    pub fn with(mut self, values: &[&str], value: Value) -> Self {
        self.add(values, value);
        self
    }
}
