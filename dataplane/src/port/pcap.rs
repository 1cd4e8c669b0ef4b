//! Capture files (the classic pcap format, <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>), read into
//! frames and written from packets.

use std::io::{self, Read, Write};
use std::time::Duration;

/// Microseconds and nanoseconds, as a file of the reader's byte order begins.
const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
/// Version 2.4, no time zone, no accuracy, packets of any length, Ethernet.
const LINKTYPE_ETHERNET: u32 = 1;
const SNAP_LENGTH: u32 = 262_144;

/// Why a file is no capture that this reader understands.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// The file could not be read to its end.
    #[error("reading the capture: {0}")]
    Io(#[from] io::Error),
    /// Neither byte order of either magic number; pcapng is another format.
    #[error("not a pcap file: it begins with {0:#010x} (pcapng can be converted by `editcap -F pcap`)")]
    Magic(u32),
    /// Another link type.
    #[error("link type {0} of the capture is not Ethernet (1)")]
    LinkType(u32),
    /// A record longer than any packet, which is how a damaged file looks.
    #[error("a record of {0} bytes: the capture is damaged")]
    Length(u32),
}

/// One packet of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Since the epoch.
    pub time: Duration,
    /// From the Ethernet header on, as far as it was captured.
    pub packet: Vec<u8>,
}

/// Reads a whole capture.
///
/// # Errors
/// When it is not a pcap file of Ethernet frames, or cut off.
pub fn read(mut from: impl Read) -> Result<Vec<Record>, PcapError> {
    let mut header = [0; 24];
    from.read_exact(&mut header)?;
    let magic = u32::from_le_bytes(word(&header, 0));
    let (number, nanos): (fn([u8; 4]) -> u32, bool) = match magic {
        MAGIC_MICROS => (u32::from_le_bytes, false),
        MAGIC_NANOS => (u32::from_le_bytes, true),
        _ if magic.swap_bytes() == MAGIC_MICROS => (u32::from_be_bytes, false),
        _ if magic.swap_bytes() == MAGIC_NANOS => (u32::from_be_bytes, true),
        _ => return Err(PcapError::Magic(magic)),
    };
    // The upper bits say whether frames end with a checksum.
    let link_type = number(word(&header, 20)) & 0x0fff_ffff;
    if link_type != LINKTYPE_ETHERNET {
        return Err(PcapError::LinkType(link_type));
    }
    let mut records = Vec::new();
    let mut record = [0; 16];
    while read_record_header(&mut from, &mut record)? {
        let [seconds, fraction, length] = [0, 4, 8].map(|at| number(word(&record, at)));
        if length > SNAP_LENGTH {
            return Err(PcapError::Length(length));
        }
        let mut packet = vec![0; length as usize];
        from.read_exact(&mut packet)?;
        let nanos = if nanos {
            u64::from(fraction)
        } else {
            u64::from(fraction) * 1000
        };
        let time = Duration::from_secs(seconds.into()) + Duration::from_nanos(nanos);
        records.push(Record { time, packet });
    }
    Ok(records)
}

/// False at the end of the file; an error inside a header.
fn read_record_header(from: &mut impl Read, header: &mut [u8; 16]) -> io::Result<bool> {
    let first = loop {
        match from.read(header) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    if first > 0 {
        from.read_exact(&mut header[first..])?;
    }
    Ok(first > 0)
}

fn word(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

/// Writes a capture with times in nanoseconds.
pub struct Writer<W> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Writes the file's header.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn new(mut to: W) -> io::Result<Self> {
        let versions = 2_u32 | (4 << 16);
        for number in [MAGIC_NANOS, versions, 0, 0, SNAP_LENGTH, LINKTYPE_ETHERNET] {
            to.write_all(&number.to_le_bytes())?;
        }
        Ok(Self { to })
    }

    /// Adds a packet; `time` is since the epoch.
    ///
    /// # Errors
    /// Those of the file, or a packet longer than the format allows.
    pub fn write(&mut self, time: Duration, packet: &[u8]) -> io::Result<()> {
        let length = u32::try_from(packet.len())
            .ok()
            .filter(|length| *length <= SNAP_LENGTH);
        let length =
            length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "packet too long for pcap"))?;
        // The format's own limit: seconds end in 2106.
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        for number in [seconds, time.subsec_nanos(), length, length] {
            self.to.write_all(&number.to_le_bytes())?;
        }
        self.to.write_all(packet)
    }

    /// Gives the file back, flushed.
    ///
    /// # Errors
    /// Those of flushing.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }
}
