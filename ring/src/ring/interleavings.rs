//! Every interleaving of two threads, and every value that the memory model lets a load see.

use std::sync::Arc;

use loom::sync::Notify;
use loom::thread;

use super::*;

/// A ring of 16 words, four records of a word each: smaller than sessions may have, since each word multiplies what
/// there is to explore.
fn ring() -> (RingWriter, Reader) {
    let layout = Layout {
        to_data: 128,
        to_control: 128,
    };
    let memory = Arc::new(Mapping::heap(CONTROL + 16));
    let at = |mut lane: Lane| {
        // The control block, and the data right behind it.
        (lane.control, lane.data) = (0, CONTROL);
        lane
    };
    let mut writer = layout.writer(Arc::clone(&memory), Towards::ToData, 1);
    let mut reader = layout.reader(memory, Towards::ToData, 1);
    (writer.lane, reader.lane) = (at(writer.lane), at(reader.lane));
    (writer, reader)
}

fn explore(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();

    builder.max_branches = 10_000;
    builder.check(test);
}

/// A reader that goes to sleep while a record is written is woken, and sees the record whole.
#[test]
fn a_reader_is_woken() {
    explore(|| {
        let (mut writer, mut reader) = ring();
        let bell = Arc::new(Notify::new());
        let rung = Arc::clone(&bell);
        let writing = thread::spawn(move || {
            assert_eq!(writer.write(true, b"headgate").unwrap(), 8);
            if writer.reader_waits() {
                rung.notify();
            }
        });
        let mut message = reader.read().unwrap();
        if message.is_none() {
            reader.set_waits();
            message = reader.read().unwrap();
        }
        // Loom's bell may wake without a ring.
        while message.is_none() {
            bell.wait();
            message = reader.read().unwrap();
        }
        assert_eq!(message.unwrap().as_slice(), b"headgate");
        writing.join().unwrap();
    });
}

/// A writer that goes to sleep before a full ring while it is read is woken, and nothing that it then writes meets what
/// the reader wipes.
#[test]
fn a_writer_is_woken() {
    explore(|| {
        let (mut writer, mut reader) = ring();
        for _ in 0..4 {
            assert_eq!(writer.write(true, b"headgate").unwrap(), 8);
        }
        let bell = Arc::new(Notify::new());
        let rung = Arc::clone(&bell);
        let reading = thread::spawn(move || {
            for _ in 0..4 {
                assert!(reader.read().unwrap().is_some());
                if reader.writer_waits() {
                    rung.notify();
                }
            }
            reader
        });
        let mut taken = writer.write(true, b"ringring").unwrap();
        if taken == 0 {
            writer.set_waits();
            taken = writer.write(true, b"ringring").unwrap();
        }
        while taken == 0 {
            bell.wait();
            taken = writer.write(true, b"ringring").unwrap();
        }
        assert_eq!(taken, 8);
        let mut reader = reading.join().unwrap();
        assert_eq!(reader.read().unwrap().unwrap().as_slice(), b"ringring");
    });
}
