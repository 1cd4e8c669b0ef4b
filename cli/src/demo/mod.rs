//! `headgate demo`: the gateway at work, in a network of its own, or without privileges on this machine's loopback.

mod report;
mod steps;
mod turn;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use headgate_lab::{
    Gateway, GatewayOptions, Lab, LabOptions, Namespace, Shop, Watchdog, address, client::Curl, free_port,
};

use crate::flags::DemoOptions;
use report::Report;
use turn::Turn;

const PICTURE: &str = "
  clients              gateway                pods
  192.0.2.10…   c0 ─── g0  headgate  g1 ─── p0  10.244.1.11…  web-1 web-2 web-3 api-1 blog-1
  2001:db8:c::10…                               fd00:10:244:1::11…  echo-1 echo-2 echo-3

  Three network namespaces. The manifests are those of examples/; the clients are curl, openssl, nc and ping. Every
  packet between clients and pods goes through an AF_XDP socket of the gateway's two interfaces.
";

const PICTURE_OF_LOOPBACK: &str = "
  clients            gateway                      pods
  127.0.2.10…  ───  headgate at 127.0.0.10  ───  127.0.1.11…  web-1 web-2 web-3 api-1 blog-1

  All of it on this machine's loopback, without root, interfaces or namespaces. The manifests are those of examples/, with
  addresses of loopback; the client is curl. Connections are the kernel's, on both sides of the gateway.
";

/// What the steps play on. Fields are dropped in this order.
struct Stage {
    gateway: Gateway,
    shop: Shop,
    site: Site,
}

enum Site {
    Lab(Lab),
    Loopback(Loopback),
}

/// A place on this machine's loopback. Fields are dropped in this order.
struct Loopback {
    directory: tempfile::TempDir,
    /// Removes the directory if this process cannot, as at Ctrl-C; where there is no watchdog to be had, it is left.
    _watchdog: Option<Watchdog>,
    http: u16,
    https: u16,
    _turn: Turn,
}

impl Loopback {
    const INGRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);

    /// At the usual ports for it, or at others where these are taken.
    fn find(turn: Turn) -> Result<Self> {
        let port = |preferred| {
            free_port(&[Self::INGRESS], preferred)
                .with_context(|| format!("finding a port to listen at on {}", Self::INGRESS))
        };
        let directory = tempfile::Builder::new().prefix("headgate-demo-").tempdir()?;
        Ok(Self {
            _watchdog: Watchdog::over(directory.path()).ok(),
            directory,
            http: port(8080)?,
            https: port(8443)?,
            _turn: turn,
        })
    }
}

/// A part of the demo.
type Step = fn(&Stage, &mut Report) -> Result<()>;

/// Runs every step; the exit code says whether all expectations held.
pub(crate) fn run(options: &DemoOptions) -> Result<ExitCode> {
    let started = Instant::now();
    let mut report = Report::new();
    report.line("Headgate's demo")?;
    let on_loopback = options.port.is_some();
    report.line(if on_loopback { PICTURE_OF_LOOPBACK } else { PICTURE })?;
    let stage = if on_loopback {
        Stage::on_loopback(options, Turn::take(&mut report)?)?
    } else {
        Stage::in_lab(options)?
    };
    report.note(&format!("ready after {:.1} s", started.elapsed().as_secs_f64()))?;
    stage.explain(&mut report)?;
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
    match &stage.site {
        Site::Lab(lab) => steps::packets::https(stage, lab, report)?,
        Site::Loopback(_) => steps::sockets::https(stage, report)?,
    }
    play(&[steps::routes, steps::forwarded], report)?;
    if let Site::Lab(lab) = &stage.site {
        steps::packets::services(lab, report)?;
        steps::packets::on_link(lab, report)?;
        steps::packets::policies(stage, lab, report)?;
        steps::packets::host(lab, report)?;
    }
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
    match site {
        Site::Lab(lab) => steps::packets::leave(lab, report),
        Site::Loopback(loopback) => steps::sockets::leave(&loopback, report),
    }
}

impl Stage {
    fn in_lab(options: &DemoOptions) -> Result<Self> {
        let program = this_program()?;
        let lab = Lab::build(LabOptions::new(&program, &["lab", "pod"])).context(
            "the demo of packets; `headgate demo --port kernel` works without root and namespaces",
        )?;
        let directory = options.keep.as_deref().unwrap_or_else(|| lab.directory());
        let shop = Shop::open(&lab, directory)?;
        let ports = Lab::PORTS.map(str::to_owned).to_vec();
        let ingress = vec![Shop::INGRESS.0, Shop::INGRESS.1];
        let gateway = Gateway::start(&lab, &gateway_options(&program, &shop, ports, ingress))?;
        Ok(Self {
            gateway,
            shop,
            site: Site::Lab(lab),
        })
    }

    fn on_loopback(options: &DemoOptions, turn: Turn) -> Result<Self> {
        let program = this_program()?;
        let loopback = Loopback::find(turn)?;
        let own = loopback.directory.path();
        let pods = [program.to_string_lossy().into_owned(), "lab".into(), "pod".into()];
        let shop = Shop::open_on_loopback(&pods, options.keep.as_deref().unwrap_or(own))?;
        let (ports, ingress) = (vec!["kernel".to_owned()], vec![Loopback::INGRESS.into()]);
        let options = GatewayOptions {
            arguments: vec![
                format!("--http-port={}", loopback.http),
                format!("--https-port={}", loopback.https),
            ],
            ..gateway_options(&program, &shop, ports, ingress)
        };
        let gateway = Gateway::start_in(&Namespace::current(), own, &options)?;
        Ok(Self {
            gateway,
            shop,
            site: Site::Loopback(loopback),
        })
    }

    /// What a reader must know to type the commands.
    fn explain(&self, report: &mut Report) -> Result<()> {
        if let Site::Loopback(Loopback { http, https, .. }) = &self.site {
            let ip = Loopback::INGRESS;
            report.note(&format!(
                "curl stands for curl --connect-to :80:{ip}:{http} --connect-to :443:{ip}:{https} --cacert {} --interface {}",
                self.shop.ca_file().display(),
                self.client(0)
            ))?;
        }
        Ok(())
    }

    /// Where Ingresses are served, with the names of the families.
    fn ingress(&self) -> Vec<(&'static str, IpAddr)> {
        match self.site {
            Site::Lab(_) => vec![("IPv4", Shop::INGRESS.0), ("IPv6", Shop::INGRESS.1)],
            Site::Loopback(_) => vec![("IPv4", Loopback::INGRESS.into())],
        }
    }

    /// The address of a client, counted from 0.
    fn client(&self, n: u8) -> IpAddr {
        match self.site {
            Site::Lab(_) => address::client(n).0,
            Site::Loopback(_) => Ipv4Addr::new(127, 0, 2, 10 + n).into(),
        }
    }

    /// A curl among the clients that trusts the demo's authority and reaches every host at the first Ingress address.
    fn curl(&self) -> Curl<'_> {
        self.curl_to(self.ingress()[0].1)
    }

    fn curl_to(&self, address: IpAddr) -> Curl<'_> {
        let curl = match &self.site {
            Site::Lab(lab) => Curl::new(&lab.clients).to(address),
            Site::Loopback(here) => Curl::new(&HERE)
                .to_ports(Loopback::INGRESS, here.http, here.https)
                .from(self.client(0)),
        };
        let ca = self.shop.ca_file().display().to_string();
        curl.args(&["--cacert", &ca]).deadline(Duration::from_secs(20))
    }
}

static HERE: Namespace = Namespace::current();

fn this_program() -> Result<std::path::PathBuf> {
    std::env::current_exe().context("finding this program's own file")
}

fn gateway_options(program: &Path, shop: &Shop, ports: Vec<String>, ingress: Vec<IpAddr>) -> GatewayOptions {
    GatewayOptions {
        program: program.to_owned(),
        ports,
        manifests: shop.manifests().to_owned(),
        ingress,
        log: "info".to_owned(),
        arguments: Vec::new(),
    }
}
