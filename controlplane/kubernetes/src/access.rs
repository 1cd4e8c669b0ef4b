//! How the API server is reached, and as whom.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::{AuthInfo, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use secrecy::ExposeSecret;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tower::ServiceBuilder;
use tower::util::{AndThenLayer, MapRequestLayer};

use super::refusal::with_retry_after;
use super::token::{TokenFile, TokenFileError, UnusableToken, bearer};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection of HTTP/2 over which nothing comes for this long is asked for a sign of life, and is given up after as
/// long again: a server that hangs, and a path that has gone, show nothing else. client-go has the like.
const SILENCE: Duration = Duration::from_secs(15);
/// Credentials are read again at most as often as this, and are waited for at most as long.
const RENEWAL: Duration = Duration::from_secs(5);

/// Where the address and the credentials are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The service account of the pod.
    InCluster,
    /// A kubeconfig.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// One of its contexts, if not the current one.
        context: Option<String>,
    },
}

/// Why the API server cannot even be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Not in a pod, or in one without a token.
    #[error(
        "cannot read the pod's service account: {}; in a pod KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are set \
         and its token is mounted, elsewhere --kubeconfig names the cluster",
        chain(.0)
    )]
    InCluster(#[from] InClusterError),
    /// The kubeconfig.
    #[error("{}: {}", .path.display(), chain(.source))]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// Certificates, a key, an exec plugin.
    #[error("cannot use the credentials: {}", chain(.0))]
    Client(#[from] Box<kube::Error>),
    /// A token that is written in the kubeconfig.
    #[error("the token of the kubeconfig {0}")]
    Token(#[from] UnusableToken),
    /// A token in a file.
    #[error("{}: {source}", .path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TokenFileError,
    },
    /// What makes headers of the credentials gives up on them: nothing else has not been looked at.
    #[error(
        "cannot use the credentials: the token that the plugin of the kubeconfig gives has a line break or a control \
         character in it, which no header can carry"
    )]
    GivenToken,
    /// `tls-server-name` of a kubeconfig.
    #[error("tls-server-name \"{0}\" is not a name")]
    ServerName(String),
    /// An exec plugin that hangs, or a file system.
    #[error("the credentials were not read within {0:?}: an exec plugin of the kubeconfig does not end")]
    Slow(Duration),
    /// Of reading credentials on another thread.
    #[error("reading the credentials was cut off")]
    CutOff,
}

/// An error with what caused it, each part once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        // rustls leads programmers to its documentation, when a server that is killed does not say goodbye.
        let part = part
            .split_once(": https://docs.rs/")
            .map_or(part.as_str(), |(part, _)| part);
        if !text.contains(part) {
            text.push_str(": ");
            text.push_str(part);
        }
        cause = error.source();
    }
    text
}

impl Access {
    /// A client with the credentials as they are now. Reads files, and may run an exec plugin.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub async fn connect(&self) -> Result<Client, AccessError> {
        let config = self.config().await?;
        // An exec plugin is waited for; the watches go on meanwhile.
        tokio::task::spawn_blocking(move || client(config))
            .await
            .map_err(|error| match error.is_panic() {
                true => AccessError::GivenToken,
                false => AccessError::CutOff,
            })?
    }

    async fn config(&self) -> Result<Config, AccessError> {
        let mut config = match self {
            Self::InCluster => Config::incluster()?,
            Self::Kubeconfig { path, context } => {
                let wrong = |source| AccessError::Kubeconfig {
                    path: path.clone(),
                    source: Box::new(source),
                };
                let options = KubeConfigOptions {
                    context: context.clone(),
                    ..KubeConfigOptions::default()
                };
                let file = Kubeconfig::read_from(path).map_err(wrong)?;
                Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(wrong)?
            }
        };
        let agent = HeaderValue::from_static(concat!("headgate/", env!("CARGO_PKG_VERSION")));
        config.headers.push((USER_AGENT, agent));
        Ok(config)
    }
}

/// All requests share a connection of HTTP/2, where the server has it.
fn client(mut config: Config) -> Result<Client, AccessError> {
    let token_file = tokens(&mut config.auth_info)?;
    let token = token_file.map(|file| MapRequestLayer::new(move |request| file.sign(request)));
    if config.proxy_url.is_some() {
        let builder = ClientBuilder::try_from(config)
            .map_err(Box::new)?
            .with_layer(&AndThenLayer::new(with_retry_after));
        return Ok(match token {
            Some(token) => builder.with_layer(&token).build(),
            None => builder.build(),
        });
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(SILENCE));
    tcp.set_connect_timeout(Some(CONNECT));
    let tls = config.rustls_client_config().map_err(Box::new)?;
    let mut https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let resolved = name
            .clone()
            .try_into()
            .map_err(|_| AccessError::ServerName(name.clone()))?;
        https = https.with_server_name_resolver(FixedServerNameResolver::new(resolved));
    }
    let http: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(SILENCE)
        .http2_keep_alive_timeout(SILENCE)
        .build(https.enable_all_versions().wrap_connector(tcp));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(token)
        .option_layer(config.auth_layer().map_err(Box::new)?)
        .layer(config.extra_headers_layer().map_err(Box::new)?)
        .and_then(with_retry_after)
        .map_err(tower::BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}

/// Looks at the tokens that are written down, of which the client's library takes every byte for a part. A file, if there is
/// one, is taken out: it is read here.
fn tokens(user: &mut AuthInfo) -> Result<Option<TokenFile>, AccessError> {
    if let Some(token) = &user.token {
        let text = token.expose_secret().trim().to_owned();
        bearer(&text)?;
        user.token = Some(text.into());
    }
    // In the library's order.
    let other = user.auth_provider.is_some()
        || (user.username.is_some() && user.password.is_some())
        || user.token.is_some();
    let Some(path) = user.token_file.take_if(|_| !other).map(PathBuf::from) else {
        return Ok(None);
    };
    user.exec = None;
    let file = TokenFile::open(&path, std::time::Instant::now());
    file.map(Some)
        .map_err(|source| AccessError::TokenFile { path, source })
}

/// A client that is made anew when the server does not know it any more: a kubeconfig's token or certificate may have
/// been replaced, an exec plugin may give another. (Token and authorities of a pod are read again without that.)
#[derive(Clone)]
pub(crate) struct ApiConnection {
    access: Access,
    client: Arc<Mutex<Client>>,
    renewal: Arc<Mutex<Renewal>>,
    /// Counts how often the server was found to be back.
    back: Arc<watch::Sender<u64>>,
}

/// Credentials that are read again.
struct Renewal {
    /// When that was tried last.
    at: Instant,
    /// It goes on although nobody waits for it any more: a plugin that hangs is not started a second time.
    under_way: Option<JoinHandle<Result<Client, AccessError>>>,
}

impl ApiConnection {
    pub(crate) async fn open(access: Access, patience: Duration) -> Result<Self, AccessError> {
        let client = timeout(patience, access.connect())
            .await
            .map_err(|_| AccessError::Slow(patience))??;
        let renewal = Renewal {
            at: Instant::now(),
            under_way: None,
        };
        Ok(Self {
            access,
            client: Arc::new(Mutex::new(client)),
            renewal: Arc::new(Mutex::new(renewal)),
            back: Arc::default(),
        })
    }

    /// The server answers again: whoever waits for that need not wait longer.
    pub(crate) fn is_back(&self) {
        self.back.send_modify(|times| *times += 1);
    }

    /// Waits for somebody else to find the server back.
    pub(crate) async fn until_back(&self) {
        // The sender is kept here.
        let _ = self.back.subscribe().changed().await;
    }

    /// The client to ask with.
    pub(crate) async fn client(&self) -> Client {
        self.client.lock().await.clone()
    }

    /// The server has refused the credentials, or TLS has failed.
    pub(crate) async fn renew(&self) {
        let mut renewal = self.renewal.lock().await;
        if renewal.at.elapsed() < RENEWAL {
            return;
        }
        renewal.at = Instant::now();
        let mut running = match renewal.under_way.take() {
            Some(running) => running,
            None => {
                let access = self.access.clone();
                tokio::spawn(async move { access.connect().await })
            }
        };
        match timeout(RENEWAL, &mut running)
            .await
            .map(|done| done.unwrap_or(Err(AccessError::CutOff)))
        {
            Ok(Ok(client)) => *self.client.lock().await = client,
            Ok(Err(error)) => tracing::warn!("{error}; going on with the credentials of before"),
            Err(_) => {
                tracing::warn!(
                    "{}; going on with the credentials of before",
                    AccessError::Slow(RENEWAL)
                );
                renewal.under_way = Some(running);
                // Who has waited for this meanwhile does not wait again.
                renewal.at = Instant::now();
            }
        }
    }
}
