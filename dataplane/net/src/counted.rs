//! Closed sets that are counted, one count for each element.

use strum::{EnumMessage, EnumProperty, VariantArray};

/// A list of what is counted together.
pub trait Id: Copy + VariantArray + EnumMessage + EnumProperty + Into<&'static str> {
    /// The place in the list.
    fn index(self) -> usize;

    /// The list.
    #[must_use]
    fn all() -> &'static [Self] {
        Self::VARIANTS
    }

    /// As `headgate status` and metrics spell it; never changes once released.
    fn name(self) -> &'static str {
        self.into()
    }

    /// What it counts, in one sentence without a full stop.
    fn help(self) -> String {
        let words = self.get_documentation().unwrap_or_default().split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    }

    /// The name in metrics, see [`table`](crate::record::table).
    fn metric(self) -> &'static str {
        self.get_str("metric").unwrap_or_else(|| self.name())
    }

    /// Whether it is a value of now in a list of counters.
    fn is_gauge(self) -> bool {
        self.get_bool("gauge").unwrap_or_default()
    }

    /// The value of the label that tells variants of one metric apart.
    fn value(self) -> &'static str {
        self.get_str("value").unwrap_or_else(|| self.name())
    }
}
