use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::*;

fn describes<I: Id>(metrics: &mut HashSet<(String, &'static str)>) {
    for (place, id) in I::VARIANTS.iter().enumerate() {
        assert_eq!(id.index(), place);
        let help = id.help();
        assert!(help.len() > 10 && !help.ends_with('.'), "{}: {help:?}", id.name());
        assert!(
            metrics.insert((id.metric().to_owned(), id.value())),
            "{} is there twice",
            id.metric()
        );
    }
}

#[test]
fn every_count_is_described_and_has_a_metric_of_its_own() {
    let mut metrics = HashSet::new();
    describes::<PacketCount>(&mut metrics);
    describes::<Loop>(&mut metrics);
    describes::<WorkerGauge>(&mut metrics);
    describes::<Class>(&mut metrics);
    describes::<HttpCount>(&mut metrics);
    describes::<HttpGauge>(&mut metrics);
    describes::<TcpCount>(&mut metrics);
    describes::<TcpGauge>(&mut metrics);
    describes::<QueueCount>(&mut metrics);
    describes::<ServiceCount>(&mut metrics);
    describes::<RouteCount>(&mut metrics);
    describes::<UpstreamCount>(&mut metrics);
    describes::<UpstreamGauge>(&mut metrics);
}

#[test]
fn what_one_thread_counts_another_reads() {
    let record = Arc::new(WorkerRecord::default());
    let writer = Arc::clone(&record);
    std::thread::spawn(move || {
        for _ in 0..1_000 {
            writer.packets.count(PacketCount::Forwarded);
        }
        writer.packets.add(PacketCount::ToL7, 7);
        writer.now.set(WorkerGauge::Flows, 3);
    })
    .join()
    .unwrap();
    assert_eq!(record.packets.get(PacketCount::Forwarded), 1_000);
    assert_eq!(record.packets.snapshot()[PacketCount::ToL7], 7);
    assert_eq!(record.now.get(WorkerGauge::Flows), 3);
}

#[test]
fn blocks_of_two_workers_share_no_cache_line() {
    assert_eq!(align_of::<WorkerRecord>() % 64, 0);
    assert_eq!(size_of::<Block<PacketCount, 10>>() % 64, 0);
}

/// The bounds are inclusive: bucket `n` ends at `2^n` microseconds.
#[test]
fn durations_fall_into_the_bucket_that_ends_at_or_above_them() {
    for (duration, bucket) in [
        (Duration::ZERO, 0),
        (Duration::from_micros(1), 0),
        (Duration::from_nanos(1_001), 1),
        (Duration::from_micros(2), 1),
        (Duration::from_micros(3), 2),
        (Duration::from_micros(1_024), 10),
        (Duration::from_micros(1_025), 11),
        (Duration::from_secs(1_000), Histogram::BUCKETS - 1),
    ] {
        let histogram = Histogram::default();
        histogram.record(duration);
        let latency = histogram.snapshot();
        assert_eq!(latency.buckets[bucket], 1, "{duration:?} in {latency:?}");
        assert_eq!(latency.count(), 1);
    }
}

#[test]
fn a_status_of_another_version_is_read() {
    let text = r#"{"clients": 3, "news": {"a": []}, "counters": {"denied": 2, "later": 1, "requests": {"success": 5}}}"#;
    // The map of a flattened status holds what is not a number, too.
    let status: L7Status = serde_json::from_str(text).unwrap();
    assert_eq!(status.now[HttpGauge::Clients], 3);
    assert_eq!(status.counters.events[HttpCount::Denied], 2);
    assert_eq!(status.counters.requests[Class::Success], 5);
    let again: L7Status = serde_json::from_str(&serde_json::to_string(&status).unwrap()).unwrap();
    assert_eq!(again, status);
}

#[test]
fn denials_are_there_for_every_reader() {
    let record = DenialRecord::default();
    for name in ["a/x", "b/y"] {
        record.add(Arc::new(Denied {
            policy: name.to_owned(),
            direction: headgate_ring::message::Direction::Ingress,
            packets: Count::default(),
        }));
    }
    for _ in 0..2 {
        let mut names = Vec::new();
        record.each(|denied| names.push(denied.policy.clone()));
        assert_eq!(names, ["a/x", "b/y"]);
    }
}

#[test]
fn counts_of_a_number_begin_anew_with_its_next_holder() {
    let (numbers, slab) = (
        crate::number::Numbers::default(),
        Slab::<ServiceRecord>::default(),
    );
    let (a, b) = (numbers.give(), numbers.give());
    slab.make_room(numbers.end());
    slab.of(&a).count(ServiceCount::Flows);
    slab.at(a.index() as u16).add(ServiceCount::Flows, 2);
    assert_eq!(slab.read(&a).unwrap().get(ServiceCount::Flows), 3);
    assert!(slab.read(&b).is_none(), "nothing was counted of it");
    let index = a.index();
    drop(a);
    let c = numbers.give();
    assert_eq!(c.index(), index);
    assert!(slab.read(&c).is_none(), "those of the holder before are not its");
    slab.of(&c).count(ServiceCount::Denied);
    assert_eq!(slab.read(&c).unwrap().get(ServiceCount::Flows), 0);
    assert_eq!(slab.read(&c).unwrap().get(ServiceCount::Denied), 1);
}

/// A worker that hears of a number for which there is no room counts all the same, and nobody sees it.
#[test]
fn numbers_without_room_share_a_block_that_is_not_read() {
    let (numbers, slab) = (
        crate::number::Numbers::default(),
        Slab::<ServiceRecord>::default(),
    );
    let all: Vec<_> = (0..=Slab::<ServiceRecord>::MOST)
        .map(|_| numbers.give())
        .collect();
    slab.of(&all[70]).count(ServiceCount::Flows);
    assert!(slab.read(&all[70]).is_none(), "no room was made");
    slab.make_room(numbers.end());
    let (within, beyond) = (&all[Slab::<ServiceRecord>::MOST - 1], all.last().unwrap());
    for number in [within, beyond] {
        slab.of(number).count(ServiceCount::Flows);
    }
    slab.at(u16::MAX).count(ServiceCount::Flows);
    assert_eq!(slab.read(within).unwrap().get(ServiceCount::Flows), 1);
    assert!(slab.read(beyond).is_none());
}

/// What rests takes no room: a writer that may allocate makes it with the first thing that it counts.
#[test]
fn room_can_be_made_by_the_first_thing_that_is_counted() {
    let (numbers, slab) = (
        crate::number::Numbers::default(),
        Slab::<ServiceRecord>::default(),
    );
    let all: Vec<_> = (0..=Slab::<ServiceRecord>::MOST)
        .map(|_| numbers.give())
        .collect();
    assert_eq!(format!("{slab:?}"), "Slab(0 parts)");
    for number in [&all[70], &all[70], all.last().unwrap()] {
        slab.of_any(number).count(ServiceCount::Flows);
    }
    assert_eq!(slab.read(&all[70]).unwrap().get(ServiceCount::Flows), 2);
    assert!(
        slab.read(all.last().unwrap()).is_none(),
        "there is no room for so many"
    );
    assert_eq!(format!("{slab:?}"), "Slab(1 parts)");
}

/// A reader beside a writer that changes holders sees counts of its own holder alone, and never fewer than before.
#[test]
fn readers_never_see_the_counts_of_another_holder() {
    let (numbers, slab) = (
        crate::number::Numbers::default(),
        Arc::new(Slab::<ServiceRecord>::default()),
    );
    slab.make_room(1);
    let (to_writer, given) = std::sync::mpsc::channel::<crate::number::Number>();
    let writer = Arc::clone(&slab);
    let thread = std::thread::spawn(move || {
        for number in given {
            for _ in 0..1_000 {
                writer.of(&number).count(ServiceCount::Flows);
            }
        }
    });
    for _ in 0..200 {
        let number = loop {
            // The one before is free only when the writer has let it go.
            let number = numbers.give();
            if number.index() == 0 {
                break number;
            }
            drop(number);
            std::thread::yield_now();
        };
        to_writer.send(number.clone()).unwrap();
        let mut last = 0;
        while last < 1_000 {
            let now = slab
                .read(&number)
                .map_or(0, |record| record.get(ServiceCount::Flows));
            assert!(now >= last && now <= 1_000, "{now} after {last}");
            last = now;
        }
    }
    drop(to_writer);
    thread.join().unwrap();
}
