//! Names that the server makes up.

/// Letters and digits of `k8s.io/apimachinery/pkg/util/rand`: none that make words or look like others.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// A generated name has so many letters behind its prefix, which is cut so that 63 are not exceeded.
const RANDOM: usize = 5;
const LONGEST_PREFIX: usize = 63 - RANDOM;

/// A name for `generateName`.
pub(super) fn generated(prefix: &str) -> String {
    let prefix: String = prefix.chars().take(LONGEST_PREFIX).collect();
    let suffix = random::<RANDOM>().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    prefix + &suffix.iter().collect::<String>()
}

/// A random UID, RFC 9562 version 4.
pub(crate) fn uid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    bytes
}
