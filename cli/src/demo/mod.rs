//! `headgate demo`: the gateway at work, in a network of its own.

mod report;
mod steps;

use std::{
    net::IpAddr,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use headgate_lab::{Gateway, GatewayOptions, Lab, LabOptions, Shop, client::Curl};

use crate::flags::DemoOptions;
use report::Report;

const PICTURE: &str = "
  clients              gateway                pods
  192.0.2.10…   c0 ─── g0  headgate  g1 ─── p0  10.244.1.11…  web-1 web-2 web-3 api-1 blog-1
  2001:db8:c::10…                               fd00:10:244:1::11…  echo-1 echo-2 echo-3

  Three network namespaces. The manifests are those of examples/; the clients are curl, openssl, nc and ping. Every
  packet between clients and pods goes through an AF_XDP socket of the gateway's two interfaces.
";

/// What the steps play on. Fields are dropped in this order.
struct Stage {
    gateway: Gateway,
    shop: Shop,
    lab: Lab,
}

/// Runs every step; the exit code says whether all expectations held.
pub(crate) fn run(options: &DemoOptions) -> Result<ExitCode> {
    let started = Instant::now();
    let mut report = Report::new();
    report.line("Headgate's demo")?;
    report.line(PICTURE)?;
    let stage = Stage::build(options)?;
    report.note(&format!("ready after {:.1} s\n", started.elapsed().as_secs_f64()))?;
    let played = play(&stage, &mut report);
    if let Some(directory) = &options.keep {
        std::fs::write(directory.join("headgate.log"), stage.gateway.log())
            .with_context(|| format!("writing the log to {}", directory.display()))?;
    }
    if played.is_err() || report.failed() > 0 {
        report.line(&format!("\nWhat the gateway logged:\n{}", stage.gateway.log()))?;
    }
    played?;
    steps::leave(stage, &mut report)?;
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
    for step in [
        steps::http,
        steps::https,
        steps::routes,
        steps::forwarded,
        steps::services,
        steps::on_link,
        steps::policies,
        steps::host,
        steps::change,
        steps::counters,
        steps::restart,
    ] {
        step(stage, report)?;
    }
    Ok(())
}

impl Stage {
    fn build(options: &DemoOptions) -> Result<Self> {
        let program = std::env::current_exe().context("finding this program's own file")?;
        let lab = Lab::build(LabOptions::new(&program, &["lab", "pod"]))?;
        let directory = options.keep.as_deref().unwrap_or_else(|| lab.directory());
        let shop = Shop::open(&lab, directory)?;
        let gateway = Gateway::start(&lab, &gateway_options(&program, &shop))?;
        Ok(Self { gateway, shop, lab })
    }

    /// A curl among the clients that trusts the demo's authority and reaches every host at the Ingress address.
    fn curl(&self) -> Curl<'_> {
        self.curl_to(Shop::INGRESS.0)
    }

    fn curl_to(&self, address: IpAddr) -> Curl<'_> {
        let ca = self.shop.ca_file().display().to_string();
        Curl::new(&self.lab.clients)
            .to(address)
            .args(&["--cacert", &ca])
            .deadline(Duration::from_secs(20))
    }
}

fn gateway_options(program: &Path, shop: &Shop) -> GatewayOptions {
    GatewayOptions {
        program: program.to_owned(),
        manifests: shop.manifests().to_owned(),
        ingress: vec![Shop::INGRESS.0, Shop::INGRESS.1],
        log: "info".to_owned(),
        arguments: Vec::new(),
    }
}
