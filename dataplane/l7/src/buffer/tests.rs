use proptest::prelude::*;

use super::*;
use crate::h1::body::BodyWriter;

/// What may be done with two buffers between which bytes go.
#[derive(Clone, Debug)]
enum Operation {
    /// So many bytes are added to the first.
    Fill(usize),
    /// The first bytes of it go to the second, so many of 256 parts.
    Carry(usize),
    /// The same of the second are used.
    Consume(usize),
    Settle,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (1..20_000_usize).prop_map(Operation::Fill),
        prop_oneof![Just(256), 1..256_usize].prop_map(Operation::Carry),
        prop_oneof![Just(256), 1..256_usize].prop_map(Operation::Consume),
        Just(Operation::Settle),
    ]
}

proptest! {
    /// Whatever is moved by copies or by a trade: the bytes come out as they went in, once and in order.
    #[test]
    fn bytes_come_out_as_they_went_in(operations in prop::collection::vec(operation(), 1..60)) {
        let (mut spare, mut from, mut to) = (Spare::default(), Buffer::default(), Buffer::default());
        let (mut written, mut read) = (0_usize, 0_usize);
        let byte = |at: usize| u8::try_from(at % 251).expect("less than 251");
        for operation in operations {
            match operation {
                Operation::Fill(count) => {
                    from.fill(&mut spare).extend((written..written + count).map(byte));
                    written += count;
                }
                Operation::Carry(part) => {
                    let length = from.len() * part / 256;
                    if length > 0 {
                        BodyWriter::Raw.carry(length, &mut from, &mut to, &mut spare);
                    }
                }
                Operation::Consume(part) => {
                    let length = to.len() * part / 256;
                    let expected: Vec<u8> = (read..read + length).map(byte).collect();
                    prop_assert_eq!(&to.bytes()[..length], &expected[..]);
                    prop_assert_eq!(&to.bytes_mut()[..length], &expected[..]);
                    to.consume(length);
                    read += length;
                }
                Operation::Settle => {
                    from.settle(&mut spare);
                    to.settle(&mut spare);
                }
            }
            prop_assert_eq!(from.len() + to.len(), written - read);
        }
    }
}

#[test]
fn all_of_a_buffer_changes_hands_without_a_copy() {
    let (mut spare, mut from, mut to) = (Spare::default(), Buffer::default(), Buffer::default());
    from.fill(&mut spare).extend_from_slice(b"head and body");
    from.consume(9);
    let at = from.bytes().as_ptr();
    BodyWriter::Raw.carry(4, &mut from, &mut to, &mut spare);
    assert_eq!((to.bytes(), from.is_empty()), (&b"body"[..], true));
    assert_eq!(to.bytes().as_ptr(), at);
    // Behind something that waits there it is copied.
    from.fill(&mut spare).extend_from_slice(b" and soul");
    BodyWriter::Raw.carry(9, &mut from, &mut to, &mut spare);
    assert_eq!(to.bytes(), b"body and soul");
}

/// What is read as fast as it comes and never to the end, as a stream's body is whose reader is slower than its sender.
#[test]
fn what_never_empties_does_not_grow() {
    let mut buffer = Buffer::default();
    buffer.append(&[0; 64 << 10]);
    for _ in 0..1_000 {
        buffer.append(&[0; ROOM]);
        buffer.consume(ROOM);
        let made = buffer.append_with(ROOM, |room| Ok::<_, ()>(room.len()));
        assert_eq!(made, Ok(()));
        buffer.consume(ROOM);
    }
    assert_eq!(buffer.len(), 64 << 10);
    let memory = buffer.bytes.capacity();
    assert!(memory <= 512 << 10, "{memory} bytes of memory");
}
