//! Who sends frames of HTTP/2 as they come to mind.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::super::http2_frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get,
    literal, post,
};
use super::plan::{below, rarely};
use headgate_tcp::TcpStream;
use headgate_tcp::network::Random;

/// Nothing, or a while.
pub(super) async fn pause(random: &mut Random, most: usize) {
    if most > 0 && rarely(random, 3) {
        sleep(Duration::from_millis(below(random, most) as u64)).await;
    }
}

/// Somebody who sends frames as they come to mind, to us as a client or as a pod.
pub(super) async fn hostile(stream: TcpStream, mut random: Random, asks: bool) {
    let (mut reads, mut writes) = tokio::io::split(stream);
    let reader = rarely(&mut random, 2)
        .then(|| tokio::task::spawn_local(async move { drop(reads.read_to_end(&mut Vec::new()).await) }));
    let mut bytes = frame(SETTINGS, 0, 0, []);
    if asks {
        bytes = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &bytes].concat();
    }
    for _ in 0..below(&mut random, 200) {
        bytes.extend(any(&mut random, asks));
        if rarely(&mut random, 5) {
            if writes.write_all(&std::mem::take(&mut bytes)).await.is_err() {
                break;
            }
            pause(&mut random, 3_000).await;
        }
    }
    if let Some(reader) = reader {
        reader.abort();
    }
}

/// A frame that may or may not be one that there may be.
fn any(random: &mut Random, asks: bool) -> Vec<u8> {
    let stream = if rarely(random, 10) {
        0
    } else {
        2 * below(random, 20) as u32 + 1
    };
    let flags = [0, END_STREAM, END_HEADERS, END_HEADERS | END_STREAM][below(random, 4)];
    let number = [0, 1, 100, 65_535, 1 << 20, (1 << 31) - 1][below(random, 6)];
    let stream_or_none = if rarely(random, 2) { stream } else { 0 };
    match below(random, 12) {
        0..4 => {
            let block = match below(random, 3) {
                _ if !asks => [&[0x88][..], &literal("content-length", "5")].concat(),
                0 => get(),
                1 => post(),
                _ => [post(), literal("content-length", "5")].concat(),
            };
            frame(HEADERS, flags | END_HEADERS, stream, block)
        }
        4..7 => frame(
            DATA,
            flags & END_STREAM,
            stream,
            vec![b'x'; below(random, 17_000)],
        ),
        7 => frame(RST_STREAM, 0, stream, [0, 0, 0, below(random, 10) as u8]),
        8 => frame(WINDOW_UPDATE, 0, stream_or_none, u32::to_be_bytes(number)),
        9 => frame(PING, flags & 1, 0, [7; 8]),
        10 => {
            let name = 1 + below(random, 6) as u8;
            frame(SETTINGS, 0, 0, [&[0, name][..], &number.to_be_bytes()].concat())
        }
        _ if rarely(random, 8) => frame(GOAWAY, 0, 0, [[0; 4], stream.to_be_bytes()].concat()),
        _ => frame(below(random, 12) as u8, 0, stream, vec![0; below(random, 20)]),
    }
}
