//! The steps of the demo that hold whatever is below HTTP.

use std::time::{Duration, Instant};

use anyhow::Result;
use headgate_lab::{client::Curl, kill_and_wait, pod::Pattern, wait_until};

use super::{
    Stage,
    report::{Report, Tally},
};

const WEB: [&str; 3] = ["web-1", "web-2", "web-3"];
pub(super) const SOON: Duration = Duration::from_secs(10);

pub(super) fn http(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("HTTP: an Ingress, balanced over the ready pods of its Service")?;
    report.command("curl http://shop.example.com/      (24 times)")?;
    for (family, address) in stage.site.ingress() {
        let mut tally = Tally::default();
        for _ in 0..24 {
            tally.count(&pod(&stage.curl_to(address), "http://shop.example.com/")?);
        }
        report.expect(tally.is_of(&WEB), &format!("{family}  {tally}"))?;
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
    let client = stage.site.client(1);
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

pub(super) fn requests_denied(stage: &Stage, report: &mut Report) -> Result<()> {
    report.title("NetworkPolicies on requests, by the client's own address")?;
    for (n, status) in [(0, 200), (4, 403)] {
        let from = stage.site.client(n);
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
            tally.count(&pod(&stage.curl(), "http://shop.example.com/")?);
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

/// The pod that answers a request.
pub(super) fn pod(curl: &Curl<'_>, url: &str) -> Result<String> {
    Ok(curl.get(url)?.seen()?.pod)
}
