use super::{OPEN, OPEN_TS, scripts};

scripts! {
    // RFC 7323, section 5.3: the timestamp of a segment outside of the window is not taken, or whoever knows the ports makes
    // everything of the peer look old.
    a_guessed_timestamp_does_not_make_the_peer_look_old: format!("{OPEN_TS}
        0.1 < . -1000000:-1000000 ack 1 win 1000 <TS val 1000000000 ecr @0.000>
        0.1 > . 1:1 ack 1 <TS val @0.100 ecr 120>
        0.7 < P. 1:101 ack 1 win 1000 <TS val 820 ecr @0.000>
        0.71 > . 1:1 ack 101 <TS val @0.710 ecr 820>
    ");
    // Nor that of one that acknowledges what was never sent (RFC 5961, section 5.2).
    a_timestamp_with_a_guessed_acknowledgement_is_not_taken: format!("{OPEN_TS}
        0.1 < . 1:1 ack 1000000 win 1000 <TS val 1000000000 ecr @0.000>
        0.1 > . 1:1 ack 1 <TS val @0.100 ecr 120>
        0.7 < P. 1:101 ack 1 win 1000 <TS val 820 ecr @0.000>
        0.71 > . 1:1 ack 101 <TS val @0.710 ecr 820>
    ");
    // RFC 9293, section 3.10.7.4: data that is sent again tells the window of now, if it acknowledges more.
    the_window_of_data_sent_again_counts: format!("{OPEN}
        0.1 < . 101:201 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 101:201>
        0.2 write 1000
        0.2 > P. 1:1001 ack 1 <sack 101:201>
        0.22 < . 1:101 ack 1001 win 0
        0.22 > . 1001:1001 ack 201
        0.3 write 10
    ");
    // RFC 9293, section 3.10.7.4, and RFC 7413 aside: data behind a SYN begins after it.
    data_of_a_syn_that_crossed_ours_begins_after_it: "
        0.000 connect
        0.000 > S 0:0
        0.010 < S 0:0 win 65535 <mss 1460>
        0.010 > S. 0:0 ack 1
        0.020 < S. 0:5 ack 1 win 65535
        0.020 accept
        0.030 > . 1:1 ack 6
        0.030 read 5
    ";
}
