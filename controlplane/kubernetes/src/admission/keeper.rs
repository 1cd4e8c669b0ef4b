//! Keeps the certificate in a Secret, and tells API servers whom to trust.
//!
//! Whoever comes first makes the Secret; the holder of the Lease makes each next certificate, and writes `caBundle`. All
//! look at the Secret from time to time, and show what it holds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headgate_controlplane::model::ObjectName;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::stock::Stock;
use super::{Rotation, Shown};
use crate::access::ApiConnection;
use crate::backoff::Backoff;
use crate::call::send;
use crate::reply::Failure;

/// Between attempts where the API server does not do what it is asked.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What is kept, and for whom.
pub(super) struct KeeperTask {
    pub(super) connection: ApiConnection,
    pub(super) service: ObjectName,
    pub(super) configuration: String,
    pub(super) rotation: Rotation,
    pub(super) shown: Arc<Shown>,
    /// Whether this gateway holds the Lease.
    pub(super) leads: watch::Receiver<bool>,
}

/// Does so for ever.
pub(super) async fn keep(task: KeeperTask) {
    let mut leads = task.leads.clone();
    let mut backoff = Backoff::between(PAUSES);
    let mut keeper = Keeping {
        task,
        shows: None,
        announced: None,
        complaint: None,
    };
    loop {
        let pause = match keeper.look().await {
            Ok(()) => {
                backoff.reset();
                keeper.complaint = None;
                backoff.spread(keeper.task.rotation.look)
            }
            // Somebody else was faster: what they have written is as good.
            Err(Failure::Conflict(_)) => backoff.pause(),
            Err(failure) => {
                keeper.complain(&failure).await;
                backoff.pause()
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            Ok(()) = leads.changed() => {}
        }
    }
}

struct Keeping {
    task: KeeperTask,
    /// What is shown now.
    shows: Option<Stock>,
    /// Whom API servers have been told to trust, and since when.
    announced: Option<(String, Instant)>,
    complaint: Option<String>,
}

impl Keeping {
    async fn look(&mut self) -> Result<(), Failure> {
        let host = format!("{}.{}.svc", self.task.service.name, self.task.service.namespace);
        let leads = *self.task.leads.borrow();
        let (now, rotation) = (SystemTime::now(), self.task.rotation);
        let made = |error: rcgen::Error| Failure::Invalid(format!("cannot make a certificate: {error}"));
        let secret = match send(
            &self.task.connection,
            Method::GET,
            &self.secret_path(),
            "",
            &Value::Null,
        )
        .await
        {
            Ok(secret) => secret,
            Err(Failure::Missing) => {
                let stock = Stock::fresh(&host, now, &rotation).map_err(made)?;
                self.create(&stock).await?;
                return if leads {
                    self.announce(&stock).await
                } else {
                    Ok(())
                };
            }
            Err(failure) => return Err(failure),
        };
        let stock = Stock::of_secret(&secret).filter(|stock| stock.is_good(&host, now));
        if let Some(stock) = &stock {
            self.show(stock)?;
        }
        if !leads {
            return stock.map(|_| ()).ok_or_else(|| {
                let text = format!(
                    "Secret {} has none for {host} that can be used",
                    self.task.service
                );
                Failure::Invalid(text + ": the leader makes another")
            });
        }
        let Some(stock) = stock else {
            let fresh = Stock::fresh(&host, now, &rotation).map_err(made)?;
            return self.replace(secret, fresh).await;
        };
        // A certificate is made in time also where nobody can be told of it.
        let told = self.announce(&stock).await;
        let successor = stock.successor(&host, now, &rotation, self.is_announced(&stock));
        match successor.map_err(made)? {
            Some(successor) => self.replace(secret, successor).await,
            None => told,
        }
    }

    async fn create(&mut self, stock: &Stock) -> Result<(), Failure> {
        let ObjectName { namespace, name } = &self.task.service;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"namespace": namespace, "name": name},
            "data": stock.data(),
        });
        let all = format!("/api/v1/namespaces/{namespace}/secrets");
        send(
            &self.task.connection,
            Method::POST,
            &all,
            "application/json",
            &secret,
        )
        .await?;
        tracing::info!(
            "made a certificate for the admission webhook, in Secret {}",
            self.task.service
        );
        self.show(stock)
    }

    async fn replace(&mut self, mut secret: Value, stock: Stock) -> Result<(), Failure> {
        secret["data"] = stock.data();
        let path = self.secret_path();
        send(
            &self.task.connection,
            Method::PUT,
            &path,
            "application/json",
            &secret,
        )
        .await?;
        let what = if stock.next().is_some() {
            "made the next certificate for the admission webhook"
        } else {
            "the admission webhook has another certificate"
        };
        tracing::info!("{what}, in Secret {}", self.task.service);
        self.show(&stock)?;
        self.announce(&stock).await
    }

    fn show(&mut self, stock: &Stock) -> Result<(), Failure> {
        if self.shows.as_ref().map(Stock::current) != Some(stock.current()) {
            let certified = stock.current().certified().map_err(Failure::Invalid)?;
            self.task.shown.show(certified);
        }
        self.shows = Some(stock.clone());
        Ok(())
    }

    /// Tells API servers whom to trust, where they do not know.
    async fn announce(&mut self, stock: &Stock) -> Result<(), Failure> {
        let bundle = stock.bundle();
        let path = format!(
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{}",
            self.task.configuration
        );
        let configuration = match send(&self.task.connection, Method::GET, &path, "", &Value::Null).await {
            Err(Failure::Missing) => {
                let text = format!(
                    "there is no ValidatingWebhookConfiguration {}: nobody asks the admission webhook",
                    self.task.configuration
                );
                return Err(Failure::Invalid(text));
            }
            other => other?,
        };
        let patch = patch(&configuration, &STANDARD.encode(&bundle));
        if patch.as_array().is_some_and(|changes| !changes.is_empty()) {
            let kind = "application/json-patch+json";
            send(&self.task.connection, Method::PATCH, &path, kind, &patch).await?;
        }
        if self.announced.as_ref().is_none_or(|(known, _)| *known != bundle) {
            self.announced = Some((bundle, Instant::now()));
        }
        Ok(())
    }

    fn is_announced(&self, stock: &Stock) -> bool {
        let announced = self.announced.as_ref();
        announced.is_some_and(|(bundle, since)| {
            *bundle == stock.bundle() && since.elapsed() >= self.task.rotation.overlap
        })
    }

    fn secret_path(&self) -> String {
        let ObjectName { namespace, name } = &self.task.service;
        format!("/api/v1/namespaces/{namespace}/secrets/{name}")
    }

    async fn complain(&mut self, failure: &Failure) {
        let complaint = format!("the admission webhook's certificate: {failure}");
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!("{complaint}; it is tried again");
            self.complaint = Some(complaint);
        }
        if matches!(failure, Failure::Unauthorized(_) | Failure::Unreachable(_)) {
            self.task.connection.renew().await;
        }
    }
}

/// What makes a configuration trust these authorities alone. It does nothing where webhooks have changed places.
fn patch(configuration: &Value, bundle: &str) -> Value {
    let webhooks = configuration["webhooks"].as_array().into_iter().flatten();
    let mut changes = Vec::new();
    for (place, webhook) in webhooks.enumerate() {
        if webhook["clientConfig"]["caBundle"].as_str() != Some(bundle) {
            let field = |field: &str| format!("/webhooks/{place}/{field}");
            changes.push(json!({"op": "test", "path": field("name"), "value": webhook["name"]}));
            changes.push(json!({"op": "add", "path": field("clientConfig/caBundle"), "value": bundle}));
        }
    }
    json!(changes)
}
