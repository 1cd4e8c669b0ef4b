//! The demo of packets, in a network of its own.

use std::{
    io::{Read, Write},
    net::{IpAddr, TcpListener, TcpStream},
};

use anyhow::{Context, Result};
use headgate_lab::{
    Gateway, Lab, LabOptions, Shop, address,
    client::{Curl, nc_tcp, nc_udp},
};

use super::report::{Report, Tally};
use super::steps::{SOON, pod};
use super::{Site, Stage, gateway_options, this_program};
use crate::flags::DemoOptions;

const PICTURE: &str = "
  clients              gateway                pods
  192.0.2.10…   c0 ─── g0  headgate  g1 ─── p0  10.244.1.11…  web-1 web-2 web-3 api-1 blog-1
  2001:db8:c::10…                               fd00:10:244:1::11…  echo-1 echo-2 echo-3

  Three network namespaces. The manifests are those of examples/; the clients are curl, openssl, nc and ping. Every
  packet between clients and pods goes through an AF_XDP socket of the gateway's two interfaces.
";

/// Builds it, with a gateway that runs.
pub(super) fn stage(options: &DemoOptions, report: &mut Report) -> Result<Stage> {
    report.line(PICTURE)?;
    let program = this_program()?;
    let lab = Lab::build(LabOptions::new(&program, &["lab", "pod"]))
        .context("the demo of packets; `headgate demo --port kernel` works without root and namespaces")?;
    let directory = options.keep.as_deref().unwrap_or_else(|| lab.directory());
    let shop = Shop::open(&lab, directory)?;
    let ports = Lab::PORTS.map(str::to_owned).to_vec();
    let ingress = vec![Shop::INGRESS.0, Shop::INGRESS.1];
    let gateway = Gateway::start(&lab, &gateway_options(&program, &shop, ports, ingress))?;
    let site = Box::new(lab);
    Ok(Stage { gateway, shop, site })
}

impl Site for Lab {
    fn ingress(&self) -> Vec<(&'static str, IpAddr)> {
        vec![("IPv4", Shop::INGRESS.0), ("IPv6", Shop::INGRESS.1)]
    }

    fn client(&self, n: u8) -> IpAddr {
        address::client(n).0
    }

    fn curl_to(&self, address: IpAddr) -> Curl<'_> {
        Curl::new(&self.clients).to(address)
    }

    fn explain(&self, _: &Shop, _: &mut Report) -> Result<()> {
        Ok(())
    }

    fn https(&self, stage: &Stage, report: &mut Report) -> Result<()> {
        https(stage, self, report)
    }

    fn beyond_http(&self, stage: &Stage, report: &mut Report) -> Result<()> {
        services(self, report)?;
        on_link(self, report)?;
        policies(stage, self, report)?;
        host(self, report)
    }

    fn leave(self: Box<Self>, report: &mut Report) -> Result<()> {
        leave(*self, report)
    }
}

const ECHO: [&str; 3] = ["echo-1", "echo-2", "echo-3"];

fn https(stage: &Stage, lab: &Lab, report: &mut Report) -> Result<()> {
    report.title("HTTPS: two hosts at one address, each with the certificate of its Secret")?;
    let ca = stage.shop.ca_file().display().to_string();
    let target = format!("{}:443", Shop::INGRESS.0);
    for host in ["shop.example.com", "blog.example.com"] {
        report.command(&format!(
            "openssl s_client -connect {target} -servername {host} -CAfile ca.pem"
        ))?;
        let arguments = [
            "s_client",
            "-connect",
            &target,
            "-servername",
            host,
            "-verify_hostname",
            host,
            "-CAfile",
            &ca,
        ];
        let said = lab.clients.run("openssl", &arguments, SOON)?.stdout;
        let line = |start: &str| {
            said.lines()
                .map(str::trim)
                .find(|l| l.starts_with(start))
                .unwrap_or("")
                .to_owned()
        };
        let verified = said.contains("Verify return code: 0 (ok)");
        report.expect(
            verified,
            &format!("{}, {}", line("subject="), line("Verify return code")),
        )?;
        report.command(&format!("curl https://{host}/"))?;
        let pod = pod(&stage.curl(), &format!("https://{host}/"))?;
        report.expect(
            pod.starts_with(if host.starts_with("shop") { "web-" } else { "blog-" }),
            &format!("from {pod}"),
        )?;
    }
    Ok(())
}

fn services(lab: &Lab, report: &mut Report) -> Result<()> {
    report.title("Services: TCP and UDP, packet by packet, IPv4 and IPv6")?;
    let clients = &lab.clients;
    for (family, to) in [("IPv4", Shop::ECHO.0), ("IPv6", Shop::ECHO.1)] {
        report.command(&format!("echo hello | nc {to} 7      (24 times), and with -u"))?;
        let (mut tcp, mut udp) = (Tally::default(), Tally::default());
        for _ in 0..24 {
            let answer = nc_tcp(clients, to, 7, "hello")?;
            tcp.count(answer.strip_suffix("\nhello").unwrap_or(&answer));
            let answer = nc_udp(clients, to, 7, "hello")?;
            udp.count(answer.strip_suffix(" hello").unwrap_or(&answer));
        }
        report.expect(tcp.is_of(&ECHO), &format!("TCP {family}  {tcp}"))?;
        report.expect(udp.is_of(&ECHO), &format!("UDP {family}  {udp}"))?;
    }
    Ok(())
}

fn on_link(lab: &Lab, report: &mut Report) -> Result<()> {
    report.title("Addresses on the clients' own link: Headgate answers ARP, NDP and pings for them")?;
    for to in [Shop::ECHO_ON_LINK.0, Shop::ECHO_ON_LINK.1] {
        report.command(&format!("ping -c 1 {to}; echo hello | nc {to} 7"))?;
        let pinged = lab
            .clients
            .run("ping", &["-c", "1", "-W", "2", &to.to_string()], SOON)?;
        report.expect(pinged.success(), "it answers pings")?;
        let answer = nc_tcp(&lab.clients, to, 7, "hello")?;
        let pod = answer.lines().next().unwrap_or_default();
        report.expect(ECHO.contains(&pod), &format!("connected to {pod}"))?;
    }
    Ok(())
}

fn policies(stage: &Stage, lab: &Lab, report: &mut Report) -> Result<()> {
    report.title("NetworkPolicies on packets, by the client's own address")?;
    let policy = "shop/echo-clients";
    for (from, to) in [
        (address::client(3).0, Shop::ECHO.0),
        (address::client(3).1, Shop::ECHO.1),
    ] {
        let before = stage.gateway.denied_by(policy)?;
        let command = format!("nc -w 1 -s {from} {to} 7");
        report.command(&format!("{command}      (excepted by {policy})"))?;
        let finished = lab
            .clients
            .run("sh", &["-c", &format!("printf x | {command}")], SOON)?;
        let denied = stage.gateway.denied_by(policy)? - before;
        report.expect(!finished.success() && finished.stdout.is_empty(), "timed out")?;
        report.expect(
            denied > 0,
            &format!("packets dropped and counted under {policy}: {denied}"),
        )?;
    }
    Ok(())
}

fn host(lab: &Lab, report: &mut Report) -> Result<()> {
    report.title("The gateway's own host stays reachable over the same interface")?;
    let target: IpAddr = address::GATEWAY_V4.into();
    let listener = lab
        .gateway
        .enter(|| TcpListener::bind((target, 22)))?
        .context("listening on port 22")?;
    report.command(&format!("nc {target} 22"))?;
    let greeting = std::thread::scope(|scope| {
        let server = scope.spawn(|| listener.accept()?.0.write_all(b"SSH-2.0-demo"));
        let connect = || TcpStream::connect_timeout(&(target, 22).into(), SOON);
        let mut greeting = String::new();
        lab.clients.enter(connect)??.read_to_string(&mut greeting)?;
        server
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        anyhow::Ok(greeting)
    })?;
    report.expect(greeting == "SSH-2.0-demo", &greeting)?;
    Ok(())
}

/// Takes the network down, after the gateway.
fn leave(lab: Lab, report: &mut Report) -> Result<()> {
    let links = lab.gateway.run_ok("ip", &["-details", "link", "show"])?;
    report.expect(
        !links.contains("prog/xdp"),
        "nothing is attached to the interfaces",
    )?;
    let path = lab.gateway.path();
    drop(lab);
    report.expect(!path.exists(), "the namespaces are gone")?;
    Ok(())
}
