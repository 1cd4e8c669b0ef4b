//! Figures as people read them.
#![allow(clippy::print_stdout, reason = "printing is what a bench is for")]

/// The figures of one of the things compared, one for each round.
pub(crate) struct Row {
    name: String,
    figures: Vec<f64>,
}

impl Row {
    /// None yet.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            figures: Vec::new(),
        }
    }

    /// Adds a round's.
    pub(crate) fn push(&mut self, figure: f64) {
        self.figures.push(figure);
    }

    /// The lowest, the median and the highest.
    pub(crate) fn spread(&self) -> (f64, f64, f64) {
        let mut sorted = self.figures.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
        (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
    }

    /// The median of the ratios to another row, round by round: what drifts, drifts for both.
    pub(crate) fn ratio(&self, to: &Self) -> f64 {
        let mut ratios: Vec<f64> = self.figures.iter().zip(&to.figures).map(|(a, b)| a / b).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Prints rows with their ratio to the first.
pub(crate) fn table(title: &str, rows: &[Row]) {
    println!("{title}\n");
    println!("| what | median | lowest | highest | of the first |");
    println!("|---|---|---|---|---|");
    for row in rows {
        let (low, median, high) = row.spread();
        let ratio = rows.first().map_or(f64::NAN, |first| row.ratio(first));
        println!(
            "| {} | {median:.1} | {low:.1} | {high:.1} | {ratio:.2} |",
            row.name
        );
    }
    println!();
}
