//! A certificate in files that somebody else replaces, as cert-manager's and kubelet's Secrets are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Shown;
use super::pair::CertificatePair;

/// Between two looks at the files.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// Shows what the files hold, for ever. What cannot be used is told once, and the certificate of before stays.
pub(super) async fn follow(certificate: PathBuf, key: PathBuf, look: Duration, shown: Arc<Shown>) {
    let mut last = None;
    let mut consequence = "until it is mended nobody is answered";
    loop {
        // Small files; a mount that hangs holds nothing up but this.
        let paths = (certificate.clone(), key.clone());
        let read = tokio::task::spawn_blocking(move || read(&paths.0, &paths.1)).await;
        let read = read.unwrap_or_else(|_| Err("reading was cut off".to_owned()));
        if last.as_ref() != Some(&read) {
            let certified = match &read {
                Ok(pair) => pair.certified(),
                Err(error) => Err(error.clone()),
            };
            match certified {
                Ok(certified) => {
                    shown.show(certified);
                    consequence = "the certificate of before stays";
                }
                Err(error) => tracing::error!(
                    "--validating-webhook-certificate, --validating-webhook-key: {error}; {consequence}"
                ),
            }
            last = Some(read);
        }
        sleep(look).await;
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertificatePair, String> {
    let text = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error: io::Error| format!("{}: {error}", path.display()))
    };
    Ok(CertificatePair {
        chain: text(certificate)?,
        key: text(key)?,
    })
}
