//! `headgate demo`: the gateway at work, in a network of its own, or without privileges on this machine's loopback.

#[cfg(target_os = "linux")]
mod lab;
#[cfg(not(target_os = "linux"))]
#[path = "no_lab.rs"]
mod lab;
mod loopback;
mod report;
mod steps;
mod turn;

use std::{
    net::IpAddr,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use headgate_lab::{Gateway, GatewayOptions, Objects, Shop, client::Curl};

use crate::flags::{DemoOptions, DemoPort};
use report::Report;

/// What the steps play on. Fields are dropped in this order.
struct Stage {
    gateway: Gateway,
    shop: Shop,
    site: Box<dyn Site>,
}

/// A place that the gateway stands in: a lab, or this machine's loopback.
trait Site: Sync {
    /// Where Ingresses are served, with the names of the families.
    fn ingress(&self) -> Vec<(&'static str, IpAddr)>;

    /// The address of a client, counted from 0.
    fn client(&self, n: u8) -> IpAddr;

    /// A curl among the clients that reaches every host at this Ingress address.
    fn curl_to(&self, address: IpAddr) -> Curl<'_>;

    /// What a reader must know to type the commands.
    fn explain(&self, shop: &Shop, report: &mut Report) -> Result<()>;

    /// Shows HTTPS.
    fn https(&self, stage: &Stage, report: &mut Report) -> Result<()>;

    /// Shows what there is besides HTTP.
    fn beyond_http(&self, stage: &Stage, report: &mut Report) -> Result<()>;

    /// Takes itself down, after the gateway.
    fn leave(self: Box<Self>, report: &mut Report) -> Result<()>;
}

/// A part of the demo.
type Step = fn(&Stage, &mut Report) -> Result<()>;

/// Runs every step; the exit code says whether all expectations held.
pub(crate) fn run(options: &DemoOptions) -> Result<ExitCode> {
    let started = Instant::now();
    let mut report = Report::new();
    report.line("Headgate's demo")?;
    let stage = match options.port {
        Some(DemoPort::Kernel) => loopback::stage(options, &mut report)?,
        None => lab::stage(options, &mut report)?,
    };
    report.note(&format!("ready after {:.1} s", started.elapsed().as_secs_f64()))?;
    stage.site.explain(&stage.shop, &mut report)?;
    let played = play(&stage, &mut report);
    if let Some(directory) = &options.keep {
        std::fs::write(directory.join("headgate.log"), stage.gateway.log())
            .with_context(|| format!("writing the log to {}", directory.display()))?;
    }
    if played.is_err() || report.failed() > 0 {
        report.line(&format!("\nWhat the gateway logged:\n{}", stage.gateway.log()))?;
    }
    played?;
    leave(stage, &mut report)?;
    let (passed, failed) = (report.passed(), report.failed());
    let seconds = started.elapsed().as_secs_f64();
    report.line(&format!(
        "\n{passed} expectations held and {failed} did not, in {seconds:.1} s"
    ))?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn play(stage: &Stage, report: &mut Report) -> Result<()> {
    let play = |steps: &[Step], report: &mut Report| steps.iter().try_for_each(|step| step(stage, report));
    play(&[steps::http], report)?;
    stage.site.https(stage, report)?;
    play(&[steps::routes, steps::forwarded], report)?;
    stage.site.beyond_http(stage, report)?;
    let rest: [Step; 4] = [
        steps::requests_denied,
        steps::change,
        steps::counters,
        steps::restart,
    ];
    play(&rest, report)
}

/// Stops the gateway and takes down what it stood on.
fn leave(stage: Stage, report: &mut Report) -> Result<()> {
    report.title("SIGTERM")?;
    let Stage { gateway, shop, site } = stage;
    let status = gateway.stop()?;
    report.expect(status.success(), "both planes ended")?;
    drop(shop);
    site.leave(report)
}

impl Stage {
    /// A curl among the clients that trusts the demo's authority and reaches every host at the first Ingress address.
    fn curl(&self) -> Curl<'_> {
        self.curl_to(self.site.ingress()[0].1)
    }

    fn curl_to(&self, address: IpAddr) -> Curl<'_> {
        let ca = self.shop.ca_file().display().to_string();
        let curl = self.site.curl_to(address).args(&["--cacert", &ca]);
        curl.deadline(Duration::from_secs(20))
    }
}

fn this_program() -> Result<std::path::PathBuf> {
    std::env::current_exe().context("finding this program's own file")
}

fn gateway_options(program: &Path, shop: &Shop, ports: Vec<String>, ingress: Vec<IpAddr>) -> GatewayOptions {
    GatewayOptions {
        program: program.to_owned(),
        ports,
        objects: Objects::Directory(shop.manifests().to_owned()),
        ingress,
        log: "info".to_owned(),
        arguments: Vec::new(),
    }
}
