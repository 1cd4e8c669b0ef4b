//! What a client far away gets of a path that delays, loses and reorders, through Headgate and through nginx and haproxy on
//! the kernel's TCP, over the same line, with the same positions lost.
#![allow(clippy::print_stdout, reason = "printing is what a bench is for")]

mod contest;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use headgate_lab::Impairment;

use crate::bed::{Bed, GATEWAY_CORE};
use contest::Contest;

/// Round trips in milliseconds, shares of lost and of reordered frames in percent, and bytes: of `--grid`.
const GRID: ([u64; 5], [f64; 4], [f64; 2], [u64; 2]) = (
    [0, 20, 50, 100, 200],
    [0.0, 0.1, 1.0, 3.0],
    [0.0, 1.0],
    [20_000_000, 200_000],
);
/// Less says nothing of a path.
const LEAST_BYTES: u64 = 200_000;
/// What no cell of this bed surpasses, in bits a second, and the round trip of one without delay, in seconds.
const MOST_RATE: f64 = 500e6;
const LEAST_RTT: f64 = 0.000_5;
const MSS_BITS: f64 = 1_448.0 * 8.0;

/// Options of the goodput measurement.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GoodputOptions {
    /// The program under measurement
    #[arg(long, default_value = "target/release/headgate")]
    headgate: PathBuf,
    /// Rounds of each cell, interleaved; each has other losses, the same for all
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Bytes of each transfer
    #[arg(long, value_delimiter = ',', default_value = "20000000")]
    bytes: Vec<u64>,
    /// Round trips in milliseconds
    #[arg(long, value_delimiter = ',', default_value = "0,20,50,100")]
    rtt: Vec<u64>,
    /// Shares of frames that are lost, in percent
    #[arg(long, value_delimiter = ',', default_value = "0,0.1,1,3")]
    loss: Vec<f64>,
    /// Shares of frames that others overtake, in percent
    #[arg(long, value_delimiter = ',', default_value = "0,1")]
    reorder: Vec<f64>,
    /// Uploads instead of downloads
    #[arg(long)]
    upload: bool,
    /// Over TLS, a handshake for each transfer
    #[arg(long)]
    tls: bool,
    /// Without haproxy
    #[arg(long)]
    only_nginx: bool,
    /// Round trips of 0 to 200 ms, all losses and reorderings, 20 MB and 200 KB: in place of these options
    #[arg(long)]
    grid: bool,
    /// About how many seconds a transfer may take: less is transferred where CUBIC would take longer
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    rtt: u64,
    loss: f64,
    reorder: f64,
    pub(crate) bytes: u64,
}

impl Cell {
    pub(crate) fn line(&self, seed: u64) -> Impairment {
        Impairment {
            loss: self.loss / 100.0,
            reorder: self.reorder / 100.0,
            delay: Duration::from_micros(self.rtt * 500),
            seed,
            ..Impairment::NONE
        }
    }

    /// So many bytes that CUBIC takes about so long, by Reno's rate at this loss (RFC 9438, section 5.1, has both).
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts far below 2^52"
    )]
    fn bounded(self, seconds: f64) -> Self {
        let rtt = (self.rtt as f64 / 1e3).max(LEAST_RTT);
        let window = 1.3 / (self.loss / 100.0).sqrt();
        let rate = (window * MSS_BITS / rtt).min(MOST_RATE);
        let most = (rate * seconds / 8.0) as u64;
        Self {
            bytes: self.bytes.min(most.max(LEAST_BYTES)),
            ..self
        }
    }
}

/// Measures, and prints a table: a line for each cell.
///
/// # Errors
///
/// When the bed cannot be built, or a transfer fails.
pub(crate) fn run(options: &GoodputOptions) -> Result<()> {
    let cells = cells(options);
    let bed = Bed::new(&options.headgate)?;
    let most = cells.iter().map(|cell| cell.bytes).max().unwrap_or_default();
    let contest = Contest::begin(&bed, most, (options.upload, options.tls), options.only_nginx)?;
    println!(
        "Mbit/s of {}{} by curl, medians of {} interleaved rounds, in each of which the same positions are lost for all; \
         the line is a thread of this program between two TAP devices; the kernel's ends use CUBIC; gateway on core \
         {GATEWAY_CORE}; \"of nginx\" is the median of the rounds' ratios\n",
        if options.upload { "uploads" } else { "downloads" },
        if options.tls { " over TLS" } else { "" },
        options.rounds
    );
    println!(
        "| bytes | RTT | loss | reordered | Headgate | nginx | haproxy | of nginx |\n|---|---|---|---|---|---|---|---|"
    );
    let mut ratios = Vec::new();
    for cell in &cells {
        let figures = measure(&contest, cell, options.rounds)?;
        let ratio = median(
            figures[0]
                .iter()
                .zip(&figures[1])
                .map(|(ours, theirs)| ours / theirs),
        );
        let [ours, nginx, haproxy] = figures.map(|figures| median(figures.into_iter()));
        let haproxy = if haproxy.is_nan() {
            "–".to_owned()
        } else {
            format!("{haproxy:.1}")
        };
        println!(
            "| {} | {} ms | {}% | {}% | {ours:.1} | {nginx:.1} | {haproxy} | {ratio:.2} |",
            cell.bytes, cell.rtt, cell.loss, cell.reorder
        );
        ratios.push((cell.loss, ratio));
    }
    summarize(&ratios);
    contest.stop()
}

fn cells(options: &GoodputOptions) -> Vec<Cell> {
    let (rtts, losses, reorders, sizes) = if options.grid {
        (&GRID.0[..], &GRID.1[..], &GRID.2[..], &GRID.3[..])
    } else {
        (
            &options.rtt[..],
            &options.loss[..],
            &options.reorder[..],
            &options.bytes[..],
        )
    };
    let mut cells = Vec::new();
    for &bytes in sizes {
        for &rtt in rtts {
            for &loss in losses {
                for &reorder in reorders {
                    let cell = Cell {
                        rtt,
                        loss,
                        reorder,
                        bytes,
                    };
                    cells.push(cell.bounded(options.seconds));
                }
            }
        }
    }
    cells
}

/// How many cells reach what they should.
fn summarize(ratios: &[(f64, f64)]) {
    let lossy = || ratios.iter().filter(|(loss, _)| *loss > 0.0);
    println!(
        "\n{} of {} cells at 0.95 of nginx or more; {} of {} with loss above 1.1",
        ratios.iter().filter(|(_, ratio)| *ratio >= 0.95).count(),
        ratios.len(),
        lossy().filter(|(_, ratio)| *ratio > 1.1).count(),
        lossy().count()
    );
}

/// Figures of each contestant, by round.
fn measure(contest: &Contest<'_>, cell: &Cell, rounds: u64) -> Result<[Vec<f64>; 3]> {
    let mut figures = [const { Vec::new() }; 3];
    for round in 1..=rounds {
        for (i, figures) in figures.iter_mut().enumerate() {
            if let Some(speed) = contest.transfer(i, cell, round)? {
                figures.push(speed);
            }
        }
    }
    Ok(figures)
}

/// Not a number where there is none.
fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
