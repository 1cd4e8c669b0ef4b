//! Echoes that say who answered.

use std::rc::Rc;

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream, UdpSocket},
};

/// Writes `name\n` to each connection, then sends back what comes.
pub(super) async fn tcp(listener: TcpListener, name: Rc<str>) {
    while let Ok((stream, _)) = listener.accept().await {
        // A client that goes away ends its own echo only.
        tokio::task::spawn_local(greet_and_echo(stream, name.clone()));
    }
}

async fn greet_and_echo(mut stream: TcpStream, name: Rc<str>) -> std::io::Result<()> {
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}

/// Answers each datagram with `name `, then the datagram.
pub(super) async fn udp(socket: UdpSocket, name: Rc<str>) {
    let mut buffer = vec![0; 65_536];
    loop {
        // An error here is an ICMP message about an earlier answer.
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let mut answer = format!("{name} ").into_bytes();
        answer.extend_from_slice(&buffer[..length]);
        let _ = socket.send_to(&answer, peer).await;
    }
}
