//! Steps on the kernel's sockets, on this machine's loopback.

use std::net::TcpStream;

use anyhow::Result;

use super::super::{Loopback, Stage, report::Report};
use super::pod;

pub(in super::super) fn https(stage: &Stage, report: &mut Report) -> Result<()> {
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
pub(in super::super) fn leave(loopback: &Loopback, report: &mut Report) -> Result<()> {
    for port in [loopback.http, loopback.https] {
        let refused = TcpStream::connect((Loopback::INGRESS, port)).is_err();
        report.expect(
            refused,
            &format!("nobody listens at {}:{port}", Loopback::INGRESS),
        )?;
    }
    Ok(())
}
