//! What must be answered to what, from the texts of the RFCs. Each script names the section that it is about.

mod closing;
mod congestion;
mod ecn;
mod handshake;
mod hostile;
mod loss;
mod receiving;
mod resets;
mod sending;
mod timestamps;

/// A test for each script.
macro_rules! scripts {
    ($($name:ident: $script:expr;)*) => {
        $(#[test]
        fn $name() {
            crate::tests::script::play(&$script);
        })*
    };
}
pub(crate) use scripts;

/// A connection that the peer opened, with SACK and a large window.
pub(super) const OPEN: &str = "
    0.000 < S 0:0 win 65535 <mss 1460,sackOK,wscale 7>
    0.000 > S. 0:0 ack 1
    0.020 < . 1:1 ack 1 win 1000
    0.020 accept
";
/// The same with timestamps.
pub(super) const OPEN_TS: &str = "
    0.000 < S 0:0 win 65535 <mss 1460,sackOK,TS val 100 ecr 0,wscale 7>
    0.000 > S. 0:0 ack 1
    0.020 < . 1:1 ack 1 win 1000 <TS val 120 ecr @0.000>
    0.020 accept
";
/// The same of a peer that knows no options.
pub(super) const OPEN_BARE: &str = "
    0.000 < S 0:0 win 65535 <mss 1460>
    0.000 > S. 0:0 ack 1
    0.020 < . 1:1 ack 1 win 65535
    0.020 accept
";
