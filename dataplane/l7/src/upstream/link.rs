//! One connection to a pod.

use std::io;

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Parts, SendRequest};
use hyper::{Request, Response};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::body::Upload;
use crate::io::Io;
use crate::net::Stream;

/// A connection to a pod, by what it speaks; it closes when this is dropped.
pub(crate) enum Link {
    /// HTTP/1.1: carries one exchange at a time.
    H1(H1),
}

/// An HTTP/1.1 connection, and the task that drives it.
pub(crate) struct H1 {
    sender: SendRequest<Upload>,
    task: AbortHandle,
    upgraded: oneshot::Receiver<Parts<Io>>,
}

impl Drop for H1 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// Begins to speak HTTP/1.1 over a connection.
    pub(super) async fn http1(stream: Stream) -> io::Result<Self> {
        let handshake = Builder::new().handshake::<_, Upload>(Io::plain(stream)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        let (upgrade, upgraded) = oneshot::channel();
        let task = tokio::task::spawn_local(async move {
            // An error reaches whoever waits for the response; what is left of an orderly end is an upgrade, if any,
            // for whoever still waits for it.
            if let Ok(parts) = connection.without_shutdown().await {
                let _ = upgrade.send(parts);
            }
        });
        Ok(Self::H1(H1 {
            sender,
            task: task.abort_handle(),
            upgraded,
        }))
    }

    /// The task to end with which an exchange ends.
    pub(super) fn task(&self) -> AbortHandle {
        let Self::H1(link) = self;
        link.task.clone()
    }

    /// Whether another exchange can begin now.
    pub(super) fn is_ready(&self) -> bool {
        let Self::H1(link) = self;
        link.sender.is_ready()
    }

    /// Whether none can ever begin.
    pub(super) fn is_closed(&self) -> bool {
        let Self::H1(link) = self;
        link.sender.is_closed()
    }

    /// Waits until another exchange can begin; `false` if none ever can.
    pub(super) async fn ready(&mut self) -> bool {
        let Self::H1(link) = self;
        link.sender.ready().await.is_ok()
    }

    /// Sends a request; gives it back if nothing of it was sent.
    pub(super) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<> {
        let Self::H1(link) = self;
        link.sender.try_send_request(request)
    }

    /// Waits for the bytes of a connection that has become something else.
    pub(super) async fn upgraded(&mut self) -> Option<Parts<Io>> {
        let Self::H1(link) = self;
        (&mut link.upgraded).await.ok()
    }
}
