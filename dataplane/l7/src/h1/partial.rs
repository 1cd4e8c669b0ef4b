//! Heads that come in pieces.

/// How far a head was parsed that has not ended. Without it, one that comes a byte at a time would be parsed from its start for
/// each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartialHead(usize);

impl PartialHead {
    /// Whether to parse `bytes`, which begin with the head: at first, and then when another line has ended, since only that can be
    /// the head's end, or what a part of one is refused for.
    pub(crate) fn is_worth_parsing(self, bytes: &[u8]) -> bool {
        let ends_a_line = |bytes: &[u8]| bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
        match self.0 {
            0 => !bytes.is_empty(),
            parsed => ends_a_line(&bytes[parsed..]),
        }
    }

    /// It was parsed, and has not ended.
    pub(crate) fn has_not_ended(&mut self, bytes: usize) {
        self.0 = bytes;
    }

    /// Whether nothing of it was parsed.
    pub(crate) fn is_new(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::PartialHead;

    #[test]
    fn a_head_that_comes_a_byte_at_a_time_is_parsed_once_for_each_line() {
        let field = format!("x-a: {}\r\n", "b".repeat(3_000));
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", field.repeat(10));
        let (mut partial, mut parsed) = (PartialHead::default(), 0);
        for end in 1..head.len() {
            if partial.is_worth_parsing(&head.as_bytes()[..end]) {
                parsed += 1;
                partial.has_not_ended(end);
            }
        }
        // The first byte, and the two of each line's end but for the last.
        assert_eq!(parsed, 1 + 2 * 11 + 1);
        assert!(partial.is_worth_parsing(head.as_bytes()));
        assert!(PartialHead::default().is_new() && !partial.is_new());
        assert!(!PartialHead::default().is_worth_parsing(b""));
    }
}
