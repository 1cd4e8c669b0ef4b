//! Runs the stand-in until it is interrupted: to look around with kubectl.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, Result};
use clap::Parser;
use headgate_apiserver::{Age, ApiServer, Authorization, Settings};

/// A stand-in for the Kubernetes API server, for tests: objects in memory, and no controllers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// At which port; 0 for any that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The version to be: 1.20 to 1.36.
    #[arg(long, default_value = "1.34")]
    age: Age,
    /// Let roles and bindings decide who may do what.
    #[arg(long)]
    rbac: bool,
    /// Where to write a kubeconfig for the administrator.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
}

fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let arguments = Arguments::parse();
    let authorization = if arguments.rbac {
        Authorization::Rbac
    } else {
        Authorization::AllowAll
    };
    let (address, port, age) = (arguments.address, arguments.port, arguments.age);
    let server = ApiServer::start(Settings {
        address,
        port,
        age,
        authorization,
        ..Settings::default()
    })?;
    let file = &arguments.kubeconfig;
    std::fs::write(file, server.kubeconfig()).with_context(|| format!("writing {}", file.display()))?;
    tracing::info!("listening at {}", server.url());
    // Until a signal ends the process.
    let (_never, wait) = mpsc::channel::<()>();
    let _ = wait.recv();
    Ok(())
}
