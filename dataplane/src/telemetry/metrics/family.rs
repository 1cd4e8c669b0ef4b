//! Families of samples, as the exposition formats know them.

/// What kind of number a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// A value of now.
    Gauge,
    /// Counts by bucket, and a sum.
    Histogram,
}

impl Kind {
    /// As both formats spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label and its value.
pub type Label = (&'static str, String);

/// Samples of one name.
#[derive(Clone, Debug)]
pub struct Family {
    /// With `headgate_` in front and the unit at its end; without `_total`, which the formats put in different places.
    pub name: String,
    /// What its numbers are.
    pub kind: Kind,
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
    /// In the order of the family's.
    pub labels: Vec<Label>,
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

impl Family {
    /// A family without samples.
    #[must_use]
    pub fn new(name: &str, kind: Kind, help: impl Into<String>, labels: &[&'static str]) -> Self {
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
        let labels = self
            .labels
            .iter()
            .copied()
            .zip(values.iter().map(ToString::to_string));
        self.samples.push(Sample {
            labels: labels.collect(),
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
