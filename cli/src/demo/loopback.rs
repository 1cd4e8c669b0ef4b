//! The demo on the kernel's sockets, on this machine's loopback.

use std::{
    net::{IpAddr, Ipv4Addr, TcpStream},
    path::Path,
};

use anyhow::{Context, Result};
use headgate_lab::{Gateway, GatewayOptions, Namespace, Shop, Watchdog, client::Curl, free_port};

use super::report::Report;
use super::steps::pod;
use super::turn::Turn;
use super::{Site, Stage, gateway_options, this_program};
use crate::flags::DemoOptions;

const PICTURE: &str = "
  clients            gateway                      pods
  127.0.2.10…  ───  headgate at 127.0.0.10  ───  127.0.1.11…  web-1 web-2 web-3 api-1 blog-1

  All of it on this machine's loopback, without root, interfaces or namespaces. The manifests are those of examples/, with
  addresses of loopback; the client is curl. Connections are the kernel's, on both sides of the gateway.
";

/// On Linux all of 127.0.0.0/8 is this machine's; other systems have what is configured.
const MISSING: &str = if cfg!(target_os = "linux") {
    ""
} else {
    "; the demo uses 127.0.0.10, 127.0.1.11 to 127.0.1.15 and 127.0.2.10 to 127.0.2.14, each of which \
     `ifconfig lo0 alias ADDRESS/32` adds"
};

static HERE: Namespace = Namespace::current();

/// A place on this machine's loopback. Fields are dropped in this order.
struct Loopback {
    directory: tempfile::TempDir,
    /// Removes the directory if this process cannot, as at Ctrl-C; where there is no watchdog to be had, it is left.
    _watchdog: Option<Watchdog>,
    http: u16,
    https: u16,
    _turn: Turn,
}

/// Finds one, with a gateway that runs.
pub(super) fn stage(options: &DemoOptions, report: &mut Report) -> Result<Stage> {
    report.line(PICTURE)?;
    let program = this_program()?;
    let loopback = Loopback::find(Turn::take(report)?)?;
    let own = loopback.directory.path();
    let pods = [program.to_string_lossy().into_owned(), "lab".into(), "pod".into()];
    let shop = Shop::open_on_loopback(&pods, options.keep.as_deref().unwrap_or(own))?;
    let gateway = Gateway::start_in(&HERE, own, &loopback.gateway(&program, &shop))?;
    let site = Box::new(loopback);
    Ok(Stage { gateway, shop, site })
}

impl Loopback {
    const INGRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);

    /// At the usual ports for it, or at others where these are taken.
    fn find(turn: Turn) -> Result<Self> {
        let port = |preferred| {
            free_port(&[Self::INGRESS], preferred)
                .with_context(|| format!("finding a port to listen at on {}{MISSING}", Self::INGRESS))
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

    fn gateway(&self, program: &Path, shop: &Shop) -> GatewayOptions {
        let (ports, ingress) = (vec!["kernel".to_owned()], vec![Self::INGRESS.into()]);
        GatewayOptions {
            arguments: vec![
                format!("--http-port={}", self.http),
                format!("--https-port={}", self.https),
            ],
            ..gateway_options(program, shop, ports, ingress)
        }
    }
}

impl Site for Loopback {
    fn ingress(&self) -> Vec<(&'static str, IpAddr)> {
        vec![("IPv4", Self::INGRESS.into())]
    }

    fn client(&self, n: u8) -> IpAddr {
        Ipv4Addr::new(127, 0, 2, 10 + n).into()
    }

    fn curl_to(&self, _: IpAddr) -> Curl<'_> {
        Curl::new(&HERE)
            .to_ports(Self::INGRESS, self.http, self.https)
            .from(self.client(0))
    }

    fn explain(&self, shop: &Shop, report: &mut Report) -> Result<()> {
        let Self { http, https, .. } = self;
        let ip = Self::INGRESS;
        report.note(&format!(
            "curl stands for curl --connect-to :80:{ip}:{http} --connect-to :443:{ip}:{https} --cacert {} --interface {}",
            shop.ca_file().display(),
            self.client(0)
        ))?;
        Ok(())
    }

    fn https(&self, stage: &Stage, report: &mut Report) -> Result<()> {
        https(stage, report)
    }

    fn beyond_http(&self, _: &Stage, _: &mut Report) -> Result<()> {
        Ok(())
    }

    fn leave(self: Box<Self>, report: &mut Report) -> Result<()> {
        leave(&self, report)
    }
}

fn https(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title(
        "HTTPS: two hosts at one address, each with the certificate of its Secret, which curl verifies",
    )?;
    for (host, pods) in [("shop.example.com", "web-"), ("blog.example.com", "blog-")] {
        let url = format!("https://{host}/");
        report.command(&format!("curl {url}"))?;
        let pod = pod(&stage.curl(), &url)?;
        report.expect(pod.starts_with(pods), &format!("verified, from {pod}"))?;
    }
    let url = "https://nobody.example.com/";
    report.command(&format!("curl {url}"))?;
    let refused = stage
        .curl()
        .get(url)
        .is_err_and(|error| error.to_string().contains("SSL"));
    report.expect(
        refused,
        "no certificate has this name, and curl refuses the default one",
    )?;
    Ok(())
}

/// After the gateway has stopped.
fn leave(loopback: &Loopback, report: &mut Report) -> Result<()> {
    for port in [loopback.http, loopback.https] {
        let refused = TcpStream::connect((Loopback::INGRESS, port)).is_err();
        report.expect(
            refused,
            &format!("nobody listens at {}:{port}", Loopback::INGRESS),
        )?;
    }
    Ok(())
}
