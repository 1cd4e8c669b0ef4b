//! Explicit congestion notification (RFC 3168).

use super::scripts;
use crate::StackConfig;
use crate::tests::config;
use crate::tests::script::play_with;

/// A connection that the peer opened and that it asked for.
const OPEN_ECN: &str = "
    0.000 < SEW 0:0 win 65535 <mss 1460,sackOK,wscale 7>
    0.000 > S.E 0:0 ack 1
    0.020 < . 1:1 ack 1 win 1000
    0.020 accept
    0.020 count ecn_connections 1
";

/// Fourteen segments to send, ten of them under way.
const FOURTEEN: &str = "
    0.020 write 20440
    0.020 > [ect0] . 1:1461 ack 1
    0.020 > [ect0] . 1461:2921 ack 1
    0.020 > [ect0] . 2921:4381 ack 1
    0.020 > [ect0] . 4381:5841 ack 1
    0.020 > [ect0] . 5841:7301 ack 1
    0.020 > [ect0] . 7301:8761 ack 1
    0.020 > [ect0] . 8761:10221 ack 1
    0.020 > [ect0] . 10221:11681 ack 1
    0.020 > [ect0] . 11681:13141 ack 1
    0.020 > [ect0] . 13141:14601 ack 1
";

scripts! {
    // Section 6.1.1: a SYN with one of the two flags asks for nothing.
    one_flag_of_two_asks_for_nothing: "
        0.0 < SE 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        0.1 < R 1:1 ack 0
        0.2 < SW 10:10 win 65535 <mss 1460>
        0.2 > S. *:* ack 11
        0.2 count ecn_connections 0
    ";
    // Likewise: a SYN is never sent as one that may be marked, so something between writes over the field.
    a_syn_whose_field_was_written_over_is_answered_without: "
        0.0 < [ect0] SEW 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        0.1 < . 1:1 ack 1 win 512
        0.1 accept
        0.1 write 100
        0.1 > P. 1:101 ack 1
        0.2 < . 1:1 ack 101 win 512
    ";
    a_syn_that_was_marked_is_answered_without: "
        0.0 < [ce] SEW 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        0.1 < . 1:1 ack 1 win 512
        0.1 accept
    ";
    our_answer_that_is_sent_again_still_agrees: "
        0.0 < SEW 0:0 win 65535 <mss 1460>
        0.0 > S.E 0:0 ack 1
        1.0 > S.E 0:0 ack 1
        1.1 < SEW 0:0 win 65535 <mss 1460>
        1.1 > S.E 0:0 ack 1
        1.2 < . 1:1 ack 1 win 512
        1.2 accept
        1.2 write 100
        1.2 > [ect0] P. 1:101 ack 1
        1.3 < . 1:1 ack 101 win 512
    ";
    // Section 6.1.1.1, the example: the client asks, hears nothing, and asks no more.
    a_client_that_gives_up_asking_is_answered_so: "
        0.0 < SEW 0:0 win 65535 <mss 1460>
        0.0 > S.E 0:0 ack 1
        0.9 < S 0:0 win 65535 <mss 1460>
        0.9 > S. 0:0 ack 1
        1.0 < . 1:1 ack 1 win 512
        1.0 accept
        1.0 write 100
        1.0 > P. 1:101 ack 1
        1.1 < [ce] P. 1:101 ack 101 win 512
        1.11 > . 101:101 ack 101
        1.11 count marks 0
    ";
    // Sections 6.1.2 and 6.1.4: data may be marked; acknowledgements and a FIN without data may not.
    data_may_be_marked_and_nothing_else: format!("{OPEN_ECN}
        0.030 < [ect0] P. 1:101 ack 1 win 1000
        0.040 > . 1:1 ack 101
        0.040 write 100
        0.040 > [ect0] P. 1:101 ack 101
        0.060 < . 101:101 ack 101 win 1000
        0.060 close
        0.060 > F. 101:101 ack 101
        0.080 < F. 101:101 ack 102 win 1000
        0.080 > . 102:102 ack 102
    ");
    a_fin_with_data_is_data: format!("{OPEN_ECN}
        0.020 write 29200
        0.020 close
        0.020 > [ect0] . 1:1461 ack 1
        0.020 > [ect0] . 1461:2921 ack 1
        0.020 > [ect0] . 2921:4381 ack 1
        0.020 > [ect0] . 4381:5841 ack 1
        0.020 > [ect0] . 5841:7301 ack 1
        0.020 > [ect0] . 7301:8761 ack 1
        0.020 > [ect0] . 8761:10221 ack 1
        0.020 > [ect0] . 10221:11681 ack 1
        0.020 > [ect0] . 11681:13141 ack 1
        0.020 > [ect0] . 13141:14601 ack 1
        0.040 < . 1:1 ack 14601 win 1000
        0.040 > [ect0] . 14601:16061 ack 1
        0.040 > [ect0] . 16061:17521 ack 1
        0.040 > [ect0] . 17521:18981 ack 1
        0.040 > [ect0] . 18981:20441 ack 1
        0.040 > [ect0] . 20441:21901 ack 1
        0.040 > [ect0] . 21901:23361 ack 1
        0.040 > [ect0] . 23361:24821 ack 1
        0.040 > [ect0] . 24821:26281 ack 1
        0.040 > [ect0] . 26281:27741 ack 1
        0.040 > [ect0] FP. 27741:29201 ack 1
        0.060 < R 1:1 ack 0
    ");
    // Section 6.1.5: what is sent again, for a loss or as a probe, may not; nor does it tell that the window was reduced.
    what_is_sent_again_may_not_be_marked: format!("{OPEN_ECN}
        0.020 write 1460
        0.020 > [ect0] P. 1:1461 ack 1
        0.040 < .E 1:1 ack 1 win 1000
        0.240 > P. 1:1461 ack 1
        0.260 < .E 1:1 ack 1461 win 1000
        0.260 write 100
        0.260 > [ect0] P.W 1461:1561 ack 1
        0.280 < . 1:1 ack 1561 win 1000
        0.280 count mark_reductions 1
    ");
    // Section 6.1.2: a reduction for any reason is told with the next new data.
    a_loss_is_told_too: format!("{OPEN_ECN}
        0.020 write 7300
        0.020 > [ect0] . 1:1461 ack 1
        0.020 > [ect0] . 1461:2921 ack 1
        0.020 > [ect0] . 2921:4381 ack 1
        0.020 > [ect0] . 4381:5841 ack 1
        0.020 > [ect0] P. 5841:7301 ack 1
        0.040 < . 1:1 ack 1 win 1000 <sack 1461:5841>
        0.040 > . 1:1461 ack 1
        0.060 < . 1:1 ack 7301 win 1000
        0.060 write 2920
        0.060 > [ect0] .W 7301:8761 ack 1
        0.060 > [ect0] P. 8761:10221 ack 1
        0.080 < . 1:1 ack 10221 win 1000
        0.080 count mark_reductions 0
    ");
    // Section 6.1.6.
    a_probe_of_a_closed_window_may_not_be_marked: format!("{OPEN_ECN}
        0.020 write 1460
        0.020 > [ect0] P. 1:1461 ack 1
        0.040 < .E 1:1 ack 1461 win 0
        0.040 write 1000
        0.260 > . 1460:1460 ack 1
        0.280 < . 1:1 ack 1461 win 1000
        0.280 > [ect0] P.W 1461:2461 ack 1
        0.300 < . 1:1 ack 2461 win 1000
    ");
    // Section 6.1.3: every acknowledgement tells of a mark until the peer says that it has reduced its window. The first does
    // not wait, nor does the one after that, for the peer's window may be of one segment.
    a_mark_is_told_until_the_peer_says_that_it_knows: format!("{OPEN_ECN}
        0.030 < [ce] P. 1:101 ack 1 win 1000
        0.030 > .E 1:1 ack 101
        0.040 < [ect0] P. 101:201 ack 1 win 1000
        0.050 > .E 1:1 ack 201
        0.050 write 100
        0.050 > [ect0] P.E 1:101 ack 201
        0.060 < [ce] P. 201:301 ack 101 win 1000
        0.070 > .E 101:101 ack 301
        0.080 < [ect0] PW. 301:401 ack 101 win 1000
        0.080 > . 101:101 ack 401
        0.090 < [ect0] P. 401:501 ack 101 win 1000
        0.100 > . 101:101 ack 501
        0.100 count marks 2
        0.100 count mark_reductions 0
    ");
    // Likewise: what says so may be marked itself.
    what_says_so_may_be_marked_itself: format!("{OPEN_ECN}
        0.030 < [ce] P. 1:101 ack 1 win 1000
        0.030 > .E 1:1 ack 101
        0.040 < [ce] PW. 101:201 ack 1 win 1000
        0.040 > .E 1:1 ack 201
        0.050 < PW. 201:301 ack 1 win 1000
        0.050 > . 1:1 ack 301
    ");
    // What comes with ECT(1) (RFC 8311) is data as any.
    the_other_value_is_no_mark: format!("{OPEN_ECN}
        0.030 < [ect1] P. 1:101 ack 1 win 1000
        0.040 > . 1:1 ack 101
    ");
    // Two segments are acknowledged at once, and the second is what was marked.
    one_mark_of_two_segments_is_told: format!("{OPEN_ECN}
        0.030 < [ect0] . 1:1461 ack 1 win 1000
        0.030 < [ce] . 1461:2921 ack 1 win 1000
        0.030 > .E 1:1 ack 2921
    ");
    // Out of order is in the window.
    a_mark_behind_a_hole_is_told: format!("{OPEN_ECN}
        0.030 < [ce] . 1461:2921 ack 1 win 1000
        0.030 > .E 1:1 ack 1 <sack 1461:2921>
        0.040 < . 1:1461 ack 1 win 1000
        0.040 > .E 1:1 ack 2921
    ");
    // Section 6.1.5: whoever guesses must not slow a peer down; section 6.1.4: nor does what carries no data.
    marks_outside_of_the_window_and_of_acknowledgements_are_left: format!("{OPEN_ECN}
        0.030 < [ect0] P. 1:101 ack 1 win 1000
        0.040 > . 1:1 ack 101
        0.050 < [ce] P. 1:101 ack 1 win 1000
        0.050 > . 1:1 ack 101 <sack 1:101>
        0.060 < [ce] P. 999999:1000099 ack 1 win 1000
        0.060 > . 1:1 ack 101
        0.070 < [ce] . 101:101 ack 1 win 1000
        0.080 < [ect0] P. 101:201 ack 1 win 1000
        0.090 > . 1:1 ack 201
    ");
    // Section 6.1.6: a probe has the exact number, and counts.
    a_mark_of_a_probe_of_our_closed_window_is_told: format!("{OPEN_ECN}
        0.030 < . 1:32769 ack 1 win 1000
        0.030 < . 32769:65536 ack 1 win 1000
        0.040 > . 1:1 ack 65536 win 0
        0.050 < [ce] . 65536:65537 ack 1 win 1000
        0.050 > .E 1:1 ack 65536 win 0
    ");
    // Nothing was agreed: what a broken router writes is not read.
    marks_and_flags_mean_nothing_where_nothing_was_agreed: format!("{}
        0.030 < [ce] P. 1:101 ack 1 win 1000
        0.040 > . 1:1 ack 101
        0.040 write 100
        0.040 > P. 1:101 ack 101
        0.060 < .E 101:101 ack 101 win 1000
        0.060 write 100
        0.060 > P. 101:201 ack 101
        0.080 < PW. 101:201 ack 201 win 1000
        0.090 > . 201:201 ack 201
        0.090 count marks 0
        0.090 count mark_reductions 0
    ", super::OPEN);
    // Section 6.1.2: seven tenths of ten segments, once, and the peer is told once; it repeats itself until then. Nothing is
    // sent again.
    the_window_is_reduced_once_and_the_peer_is_told: format!("{OPEN_ECN}{FOURTEEN}
        0.040 < .E 1:1 ack 1461 win 1000
        0.040 < .E 1:1 ack 2921 win 1000
        0.040 < .E 1:1 ack 4381 win 1000
        0.040 < .E 1:1 ack 5841 win 1000
        0.040 > [ect0] .W 14601:16061 ack 1
        0.040 < .E 1:1 ack 7301 win 1000
        0.040 > [ect0] . 16061:17521 ack 1
        0.050 < .E 1:1 ack 14601 win 1000
        0.050 > [ect0] . 17521:18981 ack 1
        0.050 > [ect0] P. 18981:20441 ack 1
        0.060 < . 1:1 ack 16061 win 1000
        0.070 < . 1:1 ack 20441 win 1000
        0.070 count mark_reductions 1
    ");
    // What told of it was marked: another round trip, another reduction.
    a_mark_of_the_next_round_trip_is_another: format!("{OPEN_ECN}{FOURTEEN}
        0.040 < .E 1:1 ack 14601 win 1000
        0.040 > [ect0] .W 14601:16061 ack 1
        0.040 > [ect0] . 16061:17521 ack 1
        0.040 > [ect0] . 17521:18981 ack 1
        0.040 > [ect0] P. 18981:20441 ack 1
        0.060 < .E 1:1 ack 16061 win 1000
        0.060 < .E 1:1 ack 20441 win 1000
        0.060 count mark_reductions 2
        0.060 write 1460
        0.060 > [ect0] PW. 20441:21901 ack 1
        0.080 < . 1:1 ack 21901 win 1000
    ");
    // We do not ask by ourselves.
    we_do_not_ask: "
        0.0 connect
        0.0 > S 0:0 ack 0
        0.1 < S.E 0:0 ack 1 win 65535 <mss 1460>
        0.1 > . 1:1 ack 1
        0.1 accept
        0.1 write 100
        0.1 > P. 1:101 ack 1
        0.2 < . 1:1 ack 101 win 512
        0.2 count ecn_connections 0
    ";
}

fn asks(text: &str) {
    let config = StackConfig {
        ask_ecn: true,
        ..config()
    };
    play_with(config, text);
}

#[test]
fn we_ask_and_the_peer_agrees() {
    asks(
        "
        0.0 connect
        0.0 > SEW 0:0 ack 0
        0.1 < S.E 0:0 ack 1 win 65535 <mss 1460>
        0.1 > . 1:1 ack 1
        0.1 accept
        0.1 count ecn_connections 1
        0.1 write 100
        0.1 > [ect0] P. 1:101 ack 1
        0.2 < [ce] P.E 1:101 ack 101 win 512
        0.2 > .E 101:101 ack 101
        0.2 count mark_reductions 1
        ",
    );
}

/// Section 6.1.1, and 6.1.1.2: an old peer sends the flags back as they came.
#[test]
fn we_ask_and_the_peer_does_not_agree() {
    for answer in ["S.", "S.W", "S.EW"] {
        asks(&format!(
            "
            0.0 connect
            0.0 > SEW 0:0 ack 0
            0.1 < {answer} 0:0 ack 1 win 65535 <mss 1460>
            0.1 > . 1:1 ack 1
            0.1 accept
            0.1 count ecn_connections 0
            0.1 write 100
            0.1 > P. 1:101 ack 1
            0.2 < [ce] P.E 1:101 ack 101 win 512
            0.21 > . 101:101 ack 101
            0.21 count mark_reductions 0
            "
        ));
    }
}

/// Section 6.1.1.1: what lies between may drop a SYN that asks. Who has sent one that does not sends nothing that may be marked,
/// and has promised to tell of marks by the one that did (section 6.1.1).
#[test]
fn we_ask_once() {
    for (answer, told) in [("S.", ""), ("S.E", "E")] {
        asks(&format!(
            "
            0.0 connect
            0.0 > SEW 0:0 ack 0
            1.0 > S 0:0 ack 0
            3.0 > S 0:0 ack 0
            3.1 < {answer} 0:0 ack 1 win 65535 <mss 1460>
            3.1 > . 1:1 ack 1
            3.1 accept
            3.1 write 100
            3.1 > P. 1:101 ack 1
            3.2 < [ect0] . 1:1461 ack 101 win 512
            3.2 < [ce] . 1461:2921 ack 101 win 512
            3.2 > .{told} 101:101 ack 2921
            "
        ));
    }
}

/// Section 3.5 of RFC 9293, figure 7: our answer to a SYN that crossed ours does not agree.
#[test]
fn both_ask_at_once() {
    asks(
        "
        0.0 connect
        0.0 > SEW 0:0 ack 0
        0.1 < SEW 0:0 ack 0 win 65535 <mss 1460>
        0.1 > S. 0:0 ack 1
        0.2 < S. 0:0 ack 1 win 65535 <mss 1460>
        0.2 accept
        0.2 write 100
        0.2 > P. 1:101 ack 1
        0.3 < . 1:1 ack 101 win 512
        ",
    );
}
