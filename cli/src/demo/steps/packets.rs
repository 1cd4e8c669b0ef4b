//! The steps of the demo, in their order.

use std::{
    io::{Read, Write},
    net::{IpAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use headgate_lab::{
    Shop, address,
    client::{nc_tcp, nc_udp},
    kill_and_wait,
    pod::Pattern,
    wait_until,
};

use super::{
    Stage,
    report::{Report, Tally},
};

const WEB: [&str; 3] = ["web-1", "web-2", "web-3"];
const ECHO: [&str; 3] = ["echo-1", "echo-2", "echo-3"];
const SOON: Duration = Duration::from_secs(10);

pub(super) fn http(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("HTTP: an Ingress, balanced over the ready pods of its Service")?;
    report.command("curl http://shop.example.com/      (24 times)")?;
    for (family, address) in [("IPv4", Shop::INGRESS.0), ("IPv6", Shop::INGRESS.1)] {
        let mut tally = Tally::default();
        for _ in 0..24 {
            tally.count(&pod(stage, address, "http://shop.example.com/")?);
        }
        report.expect(tally.is_of(&WEB), &format!("{family}  {tally}"))?;
    }
    Ok(())
}

pub(super) fn https(stage: &Stage, report: &mut Report) -> Result<()> {
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
        let said = stage.lab.clients.run("openssl", &arguments, SOON)?.stdout;
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
        let pod = pod(stage, Shop::INGRESS.0, &format!("https://{host}/"))?;
        report.expect(
            pod.starts_with(if host.starts_with("shop") { "web-" } else { "blog-" }),
            &format!("from {pod}"),
        )?;
    }
    Ok(())
}

pub(super) fn routes(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("Routes: by host and path element")?;
    for (url, status, pod, why) in [
        (
            "https://shop.example.com/api/orders",
            200,
            "api-1",
            "path /api goes to the Service api",
        ),
        (
            "https://shop.example.com/apis",
            200,
            "web-",
            "/apis is not below /api",
        ),
        (
            "https://shop.example.com/archive",
            503,
            "",
            "the Service archive has no ready pod",
        ),
        ("http://nobody.example.com/", 404, "", "no Ingress has this host"),
    ] {
        report.command(&format!("curl {url}"))?;
        let answer = stage.curl().get(url)?;
        let from = answer.header("x-pod").unwrap_or_default();
        let shown = if from.is_empty() {
            String::new()
        } else {
            format!(" from {from}")
        };
        report.expect(
            answer.status == status && from.starts_with(pod),
            &format!("{}{shown}: {why}", answer.status),
        )?;
    }
    Ok(())
}

pub(super) fn forwarded(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("What the pod sees of the client")?;
    let client = address::client(1).0;
    report.command(&format!(
        "curl --interface {client} https://shop.example.com/cart?id=7"
    ))?;
    let seen = stage
        .curl()
        .from(client)
        .get("https://shop.example.com/cart?id=7")?
        .seen()?;
    let client = client.to_string();
    for (name, value) in [
        ("host", "shop.example.com"),
        ("x-forwarded-for", client.as_str()),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", client.as_str()),
    ] {
        let got = seen.header(name).unwrap_or("missing");
        report.expect(got == value, &format!("{name}: {got}"))?;
    }
    Ok(())
}

pub(super) fn services(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("Services: TCP and UDP, packet by packet, IPv4 and IPv6")?;
    let clients = &stage.lab.clients;
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

pub(super) fn on_link(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("Addresses on the clients' own link: Headgate answers ARP, NDP and pings for them")?;
    for to in [Shop::ECHO_ON_LINK.0, Shop::ECHO_ON_LINK.1] {
        report.command(&format!("ping -c 1 {to}; echo hello | nc {to} 7"))?;
        let pinged = stage
            .lab
            .clients
            .run("ping", &["-c", "1", "-W", "2", &to.to_string()], SOON)?;
        report.expect(pinged.success(), "it answers pings")?;
        let answer = nc_tcp(&stage.lab.clients, to, 7, "hello")?;
        let pod = answer.lines().next().unwrap_or_default();
        report.expect(ECHO.contains(&pod), &format!("connected to {pod}"))?;
    }
    Ok(())
}

pub(super) fn policies(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("NetworkPolicies, by the client's own address")?;
    let policy = "shop/echo-clients";
    for (from, to) in [
        (address::client(3).0, Shop::ECHO.0),
        (address::client(3).1, Shop::ECHO.1),
    ] {
        let before = stage.gateway.denied_by(policy)?;
        let command = format!("nc -w 1 -s {from} {to} 7");
        report.command(&format!("{command}      (excepted by {policy})"))?;
        let finished = stage
            .lab
            .clients
            .run("sh", &["-c", &format!("printf x | {command}")], SOON)?;
        let denied = stage.gateway.denied_by(policy)? - before;
        report.expect(!finished.success() && finished.stdout.is_empty(), "timed out")?;
        report.expect(
            denied > 0,
            &format!("packets dropped and counted under {policy}: {denied}"),
        )?;
    }
    for (n, status) in [(0, 200), (4, 403)] {
        let from = address::client(n).0;
        report.command(&format!("curl --interface {from} https://shop.example.com/api"))?;
        let answer = stage.curl().from(from).get("https://shop.example.com/api")?;
        let why = if status == 200 {
            "shop/api-clients names this client"
        } else {
            "and not this one"
        };
        report.expect(answer.status == status, &format!("{}: {why}", answer.status))?;
    }
    Ok(())
}

pub(super) fn host(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("The gateway's own host stays reachable over the same interface")?;
    let target: IpAddr = address::GATEWAY_V4.into();
    let listener = stage
        .lab
        .gateway
        .enter(|| TcpListener::bind((target, 22)))?
        .context("listening on port 22")?;
    report.command(&format!("nc {target} 22"))?;
    let greeting = std::thread::scope(|scope| {
        let server = scope.spawn(|| listener.accept()?.0.write_all(b"SSH-2.0-demo"));
        let connect = || TcpStream::connect_timeout(&(target, 22).into(), SOON);
        let mut greeting = String::new();
        stage.lab.clients.enter(connect)??.read_to_string(&mut greeting)?;
        server
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        anyhow::Ok(greeting)
    })?;
    report.expect(greeting == "SSH-2.0-demo", &greeting)?;
    Ok(())
}

pub(super) fn change(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("A manifest changes while a download runs")?;
    let url = "https://shop.example.com/bytes/20000000?seed=1";
    report.command(&format!("curl --limit-rate 20M {url} | sha256sum"))?;
    std::thread::scope(|scope| {
        let download = scope.spawn(|| stage.curl().args(&["--limit-rate", "20M"]).sha256(url));
        let generation = stage.gateway.generation();
        report.command("delete web-3 from pods.yaml")?;
        stage.shop.without_pod("web-3")?;
        let changed = Instant::now();
        wait_until("the change is in force", SOON, || {
            stage.gateway.generation() > generation
        })?;
        report.note(&format!("in force after {} ms", changed.elapsed().as_millis()))?;
        let mut tally = Tally::default();
        for _ in 0..16 {
            tally.count(&pod(stage, Shop::INGRESS.0, "http://shop.example.com/")?);
        }
        report.expect(tally.is_of(&WEB[..2]), &format!("{tally}"))?;
        let sum = download
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let whole = sum == Pattern::new(20_000_000, 1).sha256();
        report.expect(whole, "the download went on, and its checksum is right")?;
        anyhow::Ok(())
    })
}

pub(super) fn restart(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("Each plane is killed")?;
    let (dataplane, controlplane) = stage.gateway.planes()?;
    let served = || {
        let curl = stage.curl().args(&["--max-time", "1"]);
        curl.get("http://shop.example.com/")
            .is_ok_and(|answer| answer.status == 200)
    };
    report.command("kill -9 controlplane")?;
    kill_and_wait(controlplane)?;
    report.expect(served(), "without it, requests are answered")?;
    wait_until("the control plane is back", SOON, || {
        stage.gateway.planes().is_ok()
    })?;
    report.command("kill -9 dataplane")?;
    let killed = Instant::now();
    kill_and_wait(dataplane)?;
    let back = wait_until("requests are answered again", SOON, served).is_ok();
    report.expect(
        back,
        &format!(
            "requests are answered again after {} ms",
            killed.elapsed().as_millis()
        ),
    )?;
    Ok(())
}

pub(super) fn counters(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("What the gateway counted")?;
    report.command("headgate status")?;
    let status = crate::status::text(stage.gateway.run_dir())?;
    for line in status.lines() {
        report.note(line)?;
    }
    Ok(())
}

/// Stops the gateway and takes the network down.
pub(super) fn leave(stage: Stage, report: &mut Report) -> Result<()> {
    report.title("SIGTERM")?;
    let Stage { gateway, shop, lab } = stage;
    let status = gateway.stop()?;
    report.expect(status.success(), "both planes ended")?;
    let links = lab.gateway.run_ok("ip", &["-details", "link", "show"])?;
    report.expect(
        !links.contains("prog/xdp"),
        "nothing is attached to the interfaces",
    )?;
    drop(shop);
    let path = lab.gateway.path();
    drop(lab);
    report.expect(!path.exists(), "the namespaces are gone")?;
    Ok(())
}

/// The pod that answers a request at the Ingress address.
fn pod(stage: &Stage, address: IpAddr, url: &str) -> Result<String> {
    Ok(stage.curl_to(address).get(url)?.seen()?.pod)
}
