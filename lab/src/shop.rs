//! The example manifests, alive: the pods that they name, the Secrets that they want.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

#[cfg(target_os = "linux")]
use crate::Lab;
use crate::{Namespace, Pod, PodSpec, tls::Authority};

const MANIFESTS: [(&str, &str); 5] = [
    (
        "00-namespace.yaml",
        include_str!("../../examples/00-namespace.yaml"),
    ),
    ("pods.yaml", include_str!("../../examples/pods.yaml")),
    ("services.yaml", include_str!("../../examples/services.yaml")),
    ("ingress.yaml", include_str!("../../examples/ingress.yaml")),
    ("policies.yaml", include_str!("../../examples/policies.yaml")),
];

/// The pods of `pods.yaml`, in its order; a pod's number gives its addresses.
const PODS: [&str; 8] = [
    "web-1", "web-2", "web-3", "api-1", "blog-1", "echo-1", "echo-2", "echo-3",
];

/// Where the pods of the manifests listen.
const POD_PORT: u16 = 8080;

/// The shop of `examples/` in a lab: servers run, and its manifests lie in a directory where they can be changed.
#[derive(Debug)]
pub struct Shop {
    /// The servers, by the order of `pods.yaml`.
    pub pods: Vec<Pod>,
    /// Signed the certificates of both hosts.
    pub authority: Authority,
    manifests: PathBuf,
    ca_file: PathBuf,
}

impl Shop {
    /// Where its Ingresses are served: IPv4 and IPv6.
    pub const INGRESS: (IpAddr, IpAddr) = crate::address::vip(0);
    /// Where its Service `echo` is served, TCP and UDP port 7: IPv4 and IPv6.
    pub const ECHO: (IpAddr, IpAddr) = crate::address::vip(1);
    /// Where its Service `echo-on-link` is served, TCP and UDP port 7: IPv4 and IPv6.
    pub const ECHO_ON_LINK: (IpAddr, IpAddr) = crate::address::on_link_vip(0);

    /// Starts the servers and writes the manifests below `directory`.
    ///
    /// # Errors
    ///
    /// When a server does not start or a file cannot be written.
    #[cfg(target_os = "linux")]
    pub fn open(lab: &Lab, directory: &Path) -> Result<Self> {
        let pods = (1..)
            .zip(PODS)
            .map(|(n, name)| lab.start_pod(&PodSpec::new(name, n)))
            .collect::<Result<_>>()?;
        Self::with(pods, directory, |_, text| text.to_owned())
    }

    /// The same on this machine's loopback, without any privilege: pods at 127.0.1.11 and up, clients at 127.0.2.10 and up.
    /// What only packets bring, the echo pods, is in the manifests alone. Pods run `program first…`, as in
    /// `LabOptions`.
    ///
    /// # Errors
    ///
    /// When a server does not start or a file cannot be written.
    pub fn open_on_loopback(program: &[String], directory: &Path) -> Result<Self> {
        let of_http = PODS.iter().filter(|name| !name.starts_with("echo"));
        let numbered = || (11..).zip(of_http.clone());
        let addresses: Vec<_> = numbered().map(|(n, _)| Ipv4Addr::new(127, 0, 1, n)).collect();
        let port = free_port(&addresses, POD_PORT).context("a port for the pods")?;
        let start = |((n, name), address): ((u8, &&str), &Ipv4Addr)| {
            let spec = PodSpec {
                http: vec![port],
                tcp: Vec::new(),
                udp: Vec::new(),
                ..PodSpec::new(name, n)
            };
            Pod::start_at(&Namespace::current(), program, &spec, vec![(*address).into()])
        };
        let pods = numbered().zip(&addresses).map(start).collect::<Result<_>>()?;
        Self::with(pods, directory, |name, text| on_loopback(name, text, port))
    }

    /// Manifests as `adapt` makes them of those of the examples.
    fn with(pods: Vec<Pod>, directory: &Path, adapt: impl Fn(&str, &str) -> String) -> Result<Self> {
        let manifests = directory.join("manifests");
        fs::create_dir_all(&manifests).with_context(|| format!("making {}", manifests.display()))?;
        let authority = Authority::new("Headgate lab authority")?;
        let ca_file = directory.join("ca.pem");
        fs::write(&ca_file, authority.certificate())
            .with_context(|| format!("writing {}", ca_file.display()))?;
        let shop = Self {
            pods,
            authority,
            manifests,
            ca_file,
        };
        for (name, text) in MANIFESTS {
            shop.write(name, &adapt(name, text))?;
        }
        for name in ["shop", "blog"] {
            let issued = shop.authority.issue(&[&format!("{name}.example.com")])?;
            shop.write(
                &format!("{name}-tls.yaml"),
                &issued.secret("shop", &format!("{name}-tls")),
            )?;
        }
        Ok(shop)
    }

    /// The directory of manifests.
    #[must_use]
    pub fn manifests(&self) -> &Path {
        &self.manifests
    }

    /// The authority's certificate, for `curl --cacert`.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Replaces a file of the manifests as editors and `kubectl` do: written beside it, then renamed.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let (path, beside) = (
            self.manifests.join(name),
            self.manifests.join(format!(".{name}.new")),
        );
        fs::write(&beside, text).with_context(|| format!("writing {}", beside.display()))?;
        fs::rename(&beside, &path)
            .with_context(|| format!("renaming {} to {}", beside.display(), path.display()))
    }

    /// The text of a file of the manifests.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.manifests.join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// Removes a file of the manifests.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.manifests.join(name);
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))
    }

    /// Takes a pod out of `pods.yaml`; its server goes on.
    ///
    /// # Errors
    ///
    /// When the pod is not there.
    pub fn without_pod(&self, name: &str) -> Result<()> {
        let text = self.read("pods.yaml")?;
        let documents: Vec<&str> = text.split("---\n").collect();
        let line = format!("\n  name: {name}\n");
        let kept: Vec<&str> = documents.iter().filter(|d| !d.contains(&line)).copied().collect();
        anyhow::ensure!(kept.len() + 1 == documents.len(), "pods.yaml has no pod {name}");
        self.write("pods.yaml", &kept.join("---\n"))
    }
}

/// A manifest of the examples with the addresses of loopback, and with the pods' port.
fn on_loopback(name: &str, text: &str, port: u16) -> String {
    let text = text.replace(&POD_PORT.to_string(), &port.to_string());
    match name {
        "pods.yaml" => {
            let lines = text.lines().filter(|line| !line.contains("- ip: fd00:"));
            let kept: String = lines.flat_map(|line| [line, "\n"]).collect();
            kept.replace("10.244.1.", "127.0.1.")
        }
        "policies.yaml" => text.replace("192.0.2.", "127.0.2."),
        _ => text,
    }
}

/// `preferred`, or else another port, that nobody listens at on any of these addresses now.
///
/// # Errors
///
/// When there is none.
pub fn free_port(addresses: &[Ipv4Addr], preferred: u16) -> io::Result<u16> {
    let is_free = |port: u16| -> io::Result<Vec<TcpListener>> {
        addresses
            .iter()
            .map(|address| TcpListener::bind((*address, port)))
            .collect()
    };
    if is_free(preferred).is_ok() {
        return Ok(preferred);
    }
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..16 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        match is_free(port) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}
