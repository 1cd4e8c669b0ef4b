//! What the ring costs: transactions a second from one process's thread to another's, and how long a sleeper takes to
//! wake. `cargo run --release -p headgate-ring --example throughput`

use std::thread;
use std::time::{Duration, Instant};

use headgate_ring::message::{Object, ToControl, ToData, Upstream, UpstreamProtocol};
use headgate_ring::{ControlSession, DataSession, Operation, SessionError, Transaction, pair};

const TIMEOUT: Option<Duration> = Some(Duration::from_secs(10));

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for operations in [1, 100, 10_000] {
        let count = (200_000 / operations).clamp(20, 20_000);
        let (bytes, elapsed) = transactions(count as u64, operations)?;
        let seconds = elapsed.as_secs_f64();
        report(&format!(
            "{operations:>6} upserts each: {:>8.0} transactions/s, {:>9.0} operations/s, {:>6.1} MB/s, acknowledged",
            count as f64 / seconds,
            (count * operations) as f64 / seconds,
            bytes as f64 / seconds / 1e6,
        ));
    }
    let mut round_trips = wake_ups(20_000)?;
    round_trips.sort_unstable();
    let at = |share: f64| round_trips[(round_trips.len() as f64 * share) as usize].as_nanos() as f64 / 2000.0;
    report(&format!(
        "wake-up, half a round trip between two sleepers: median {:.1} µs, 99% {:.1} µs, 99.9% {:.1} µs",
        at(0.5),
        at(0.99),
        at(0.999),
    ));
    Ok(())
}

#[allow(clippy::print_stdout, reason = "a program that prints its figures")]
fn report(line: &str) {
    println!("{line}");
}

/// An upstream of five endpoints, as a Service of a small deployment gives.
fn transaction(generation: u64, operations: usize) -> Transaction {
    let operations = (0..operations).map(|i| {
        let endpoints = (1..=5).map(|n| ([10, 244, i as u8, n], 8080).into()).collect();
        Operation::Put(Object::Upstream(Upstream {
            name: format!("default/web-{i}:http"),
            protocol: UpstreamProtocol::default(),
            endpoints,
        }))
    });
    Transaction {
        generation,
        full: false,
        operations: operations.collect(),
    }
}

/// Sends transactions, each of which is received whole and acknowledged, up to four under way. Gives the bytes of
/// the operations and the time.
fn transactions(count: u64, operations: usize) -> Result<(u64, Duration), Box<dyn std::error::Error>> {
    let (mut control, mut data) = pair()?;
    let mut transactions: Vec<_> = (1..=count.min(50)).map(|n| transaction(n, operations)).collect();
    let size = |operation: &Operation| match operation {
        Operation::Put(object) => postcard::experimental::serialized_size(&ToData::Put(object.clone())),
        Operation::Delete(key) => postcard::experimental::serialized_size(&ToData::Delete(key.clone())),
    };
    let sizes: Result<Vec<usize>, _> = transactions[0].operations.iter().map(size).collect();
    let bytes = sizes?.iter().sum::<usize>() as u64 * count;
    let receiver = thread::spawn(move || acknowledge(&mut data, count));
    let started = Instant::now();
    let mut acknowledged = 0;
    for generation in 1..=count {
        let index = generation as usize % transactions.len();
        transactions[index].generation = generation;
        control.send_transaction(&transactions[index], TIMEOUT)?;
        while generation - acknowledged >= 4 {
            acknowledged = await_acknowledgement(&mut control)?;
        }
    }
    while acknowledged < count {
        acknowledged = await_acknowledgement(&mut control)?;
    }
    let elapsed = started.elapsed();
    receiver.join().map_err(|_| "the receiver panicked")??;
    Ok((bytes, elapsed))
}

fn acknowledge(data: &mut DataSession, count: u64) -> Result<(), SessionError> {
    for _ in 0..count {
        let transaction = data.receive_transaction(TIMEOUT)?.ok_or(SessionError::PeerGone)?;
        data.send(
            &ToControl::Ack {
                generation: transaction.generation,
            },
            TIMEOUT,
        )?;
    }
    Ok(())
}

fn await_acknowledgement(control: &mut ControlSession) -> Result<u64, Box<dyn std::error::Error>> {
    match control.receive(TIMEOUT)? {
        Some(ToControl::Ack { generation }) => Ok(generation),
        other => Err(format!("no acknowledgement but {other:?}").into()),
    }
}

/// Round trips in which each side sleeps while the other has its turn.
fn wake_ups(count: u64) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let (mut control, mut data) = pair()?;
    let echo = thread::spawn(move || acknowledge_begins(&mut data, count));
    let mut round_trips = Vec::with_capacity(count as usize);
    for generation in 1..=count {
        let started = Instant::now();
        control.send(
            &ToData::Begin {
                generation,
                full: false,
            },
            TIMEOUT,
        )?;
        await_acknowledgement(&mut control)?;
        round_trips.push(started.elapsed());
    }
    echo.join().map_err(|_| "the other side panicked")??;
    Ok(round_trips)
}

fn acknowledge_begins(data: &mut DataSession, count: u64) -> Result<(), SessionError> {
    for generation in 1..=count {
        data.receive(TIMEOUT)?;
        data.send(&ToControl::Ack { generation }, TIMEOUT)?;
    }
    Ok(())
}
