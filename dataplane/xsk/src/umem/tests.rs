use std::collections::{HashSet, VecDeque};
use std::thread;

use proptest::prelude::*;

use super::*;

#[test]
fn a_frame_is_small_and_starts_empty() {
    assert!(size_of::<Frame>() <= 32, "{} bytes", size_of::<Frame>());
    let umem = Umem::heap(4);
    let mut cache = umem.cache();
    let frame = cache.take().expect("four are free");
    assert!(frame.is_empty());
    assert_eq!(frame.capacity(), FRAME_CAPACITY);
    assert_eq!(
        frame.data().as_ptr() as usize % 64,
        0,
        "a packet begins on a cache line"
    );
}

#[test]
fn a_packet_of_full_capacity_fits_and_one_byte_more_does_not() {
    let umem = Umem::heap(1);
    let mut frame = umem.cache().take().expect("one is free");
    let packet: Vec<u8> = (0..FRAME_CAPACITY).map(|i| i as u8).collect();
    frame.copy_from(&packet).expect("it fits");
    assert_eq!(frame.data(), packet);
    let long = vec![0; FRAME_CAPACITY + 1];
    assert_eq!(frame.copy_from(&long), Err(TooLong { len: long.len() }));
    assert_eq!(frame.data(), packet, "a refused packet changes nothing");
}

#[test]
#[should_panic(expected = "a packet of 1793 bytes")]
fn a_length_above_capacity_panics() {
    let umem = Umem::heap(1);
    umem.cache()
        .take()
        .expect("one is free")
        .set_len(FRAME_CAPACITY + 1);
}

#[test]
fn a_packet_found_elsewhere_in_its_frame_is_moved_to_the_usual_place() {
    let umem = Umem::heap(1);
    let mut frame = umem.cache().take().expect("one is free");
    frame.copy_from(&[7; 300]).expect("it fits");
    frame.data_mut()[100..300].fill(8);
    frame.set_len(200);
    frame.move_from(FRAME_HEADROOM + 100);
    assert_eq!(frame.data(), [8; 200]);
    frame.set_len(1);
    frame.move_from(FRAME_SIZE - 1);
    frame.move_from(0);
}

#[test]
fn frames_do_not_overlap() {
    let umem = Umem::heap(64);
    let mut cache = umem.cache();
    let mut frames: Vec<Frame> = std::iter::from_fn(|| cache.take()).collect();
    assert_eq!(frames.len(), 64);
    for (i, frame) in frames.iter_mut().enumerate() {
        frame.set_len(FRAME_CAPACITY);
        frame.data_mut().fill(i as u8);
    }
    for (i, frame) in frames.iter().enumerate() {
        assert!(frame.data().iter().all(|&byte| byte == i as u8));
    }
}

#[test]
fn every_way_of_giving_a_frame_up_frees_it() {
    let umem = Umem::heap(8);
    let mut cache = umem.cache();
    let put = cache.take().expect("eight are free");
    let dropped = cache.take().expect("seven are free");
    assert_eq!(umem.free_frames(), 6);
    cache.put(put);
    assert_eq!(umem.free_frames(), 7);
    drop(dropped);
    assert_eq!(umem.free_frames(), 8);
    drop(cache);
    assert_eq!(umem.free_frames(), 8);
}

#[test]
fn a_cache_takes_what_another_freed() {
    let umem = Umem::heap(16);
    let (mut one, mut other) = (umem.cache(), umem.cache());
    let all: Vec<Frame> = std::iter::from_fn(|| one.take()).collect();
    assert_eq!((all.len(), one.available(), other.available()), (16, 0, 0));
    assert!(other.take().is_none());
    drop(all);
    assert_eq!(other.available(), 16);
    assert!(other.take().is_some());
}

#[test]
fn a_foreign_frame_goes_home() {
    let (here, there) = (Umem::heap(2), Umem::heap(2));
    let mut cache = here.cache();
    let foreign = there.cache().take().expect("two are free");
    assert_eq!(there.free_frames(), 1);
    cache.put(foreign);
    assert_eq!((here.free_frames(), there.free_frames()), (2, 2));
}

#[test]
fn frames_passed_between_threads_all_come_back() {
    let umem = Umem::heap(2048);
    let (sender, receiver) = crossbeam::channel::bounded::<Frame>(256);
    let makers: Vec<_> = (0..2_u8)
        .map(|maker| {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut cache = umem.cache();
                for round in 0..20_000_u32 {
                    // The taker frees into its own cache, so the pool may be empty for a moment.
                    let mut frame = loop {
                        match cache.take() {
                            Some(frame) => break frame,
                            None => thread::yield_now(),
                        }
                    };
                    let mut packet = [maker; 64];
                    packet[..4].copy_from_slice(&round.to_be_bytes());
                    frame.copy_from(&packet).expect("64 bytes fit");
                    sender.send(frame).expect("the taker listens");
                }
            })
        })
        .collect();
    drop(sender);
    let mut cache = umem.cache();
    let mut next = [0_u32; 2];
    for frame in receiver {
        let maker = frame.data()[63];
        assert!(frame.data()[4..].iter().all(|&byte| byte == maker));
        assert_eq!(frame.data()[..4], next[usize::from(maker)].to_be_bytes());
        next[usize::from(maker)] += 1;
        cache.put(frame);
    }
    for maker in makers {
        maker.join().expect("the maker ends well");
    }
    assert_eq!(next, [20_000; 2]);
    assert_eq!(umem.free_frames(), 2048);
}

#[test]
fn a_descriptor_is_believed_once_and_from_its_own_ring() {
    let owners = Owners::new(4);
    let (first, second) = (owners.number_queue(), owners.number_queue());
    owners.lend(2, Holder::receive(first));
    assert_eq!(owners.kernel(), 1);
    assert!(
        !owners.reclaim(2, Holder::transmit(first)),
        "it was not to be sent"
    );
    assert!(
        !owners.reclaim(2, Holder::receive(second)),
        "it is another queue's"
    );
    assert!(!owners.reclaim(1, Holder::receive(first)), "it was never lent");
    assert!(
        !owners.reclaim(4, Holder::receive(first)),
        "there is no such frame"
    );
    assert!(owners.reclaim(2, Holder::receive(first)));
    assert!(!owners.reclaim(2, Holder::receive(first)), "it came back already");
    assert_eq!(owners.kernel(), 0);
}

#[derive(Clone, Debug)]
enum Operation {
    Take { cache: usize },
    Put { cache: usize },
    Drop,
    Renew { cache: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0..3_usize).prop_map(|cache| Operation::Take { cache }),
        3 => (0..3_usize).prop_map(|cache| Operation::Put { cache }),
        1 => Just(Operation::Drop),
        1 => (0..3_usize).prop_map(|cache| Operation::Renew { cache }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a model that only counts: whatever is done, each frame has one owner, and none is lost.
    #[test]
    fn caches_agree_with_a_model(operations in prop::collection::vec(operation(), 1..600)) {
        const FRAMES: u32 = 96;
        let umem = Umem::heap(FRAMES);
        let mut caches: Vec<FrameCache> = (0..3).map(|_| umem.cache()).collect();
        let mut taken: VecDeque<Frame> = VecDeque::new();
        for operation in operations {
            match operation {
                Operation::Take { cache } => {
                    let available = caches[cache].available();
                    match caches[cache].take() {
                        Some(frame) => taken.push_back(frame),
                        None => prop_assert_eq!(available, 0),
                    }
                }
                Operation::Put { cache } => if let Some(frame) = taken.pop_front() { caches[cache].put(frame) },
                Operation::Drop => drop(taken.pop_front()),
                Operation::Renew { cache } => caches[cache] = umem.cache(),
            }
            let distinct: HashSet<u32> = taken.iter().map(Frame::index).collect();
            prop_assert_eq!(distinct.len(), taken.len());
            prop_assert_eq!(umem.free_frames() + taken.len(), FRAMES as usize);
        }
    }
}
