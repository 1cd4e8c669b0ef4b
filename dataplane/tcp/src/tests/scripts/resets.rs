use super::{OPEN, scripts};

scripts! {
    the_very_next_reset_counts: format!("{OPEN}
        0.1 < R 1:1 ack 0
        0.1 error ConnectionReset
        0.1 broken ConnectionReset
        0.1 drop
        0.1 idle
    ");
    // What arrived before the reset can be read.
    data_before_a_reset_is_not_lost: format!("{OPEN}
        0.1 < P. 1:11 ack 1 win 1000
        0.1 < R 11:11 ack 0
        0.1 read 10
        0.1 error ConnectionReset
    ");
    // RFC 5961, section 3.2.
    a_reset_within_the_window_is_challenged: format!("{OPEN}
        0.1 < R 100:100 ack 0
        0.1 > . 1:1 ack 1
        0.1 nothing
        0.2 < R 1:1 ack 0
        0.2 error ConnectionReset
    ");
    // The peer closed, and our data met nobody: its reset has the number that we acknowledged then, which the FIN has taken.
    // As Linux takes it (`tcp_reset_check`).
    a_reset_with_the_number_of_the_fin_counts_after_it: format!("{OPEN}
        0.1 write 10
        0.1 > P. 1:11 ack 1
        0.11 < F. 1:1 ack 1 win 1000
        0.11 > . 11:11 ack 2
        0.12 < R 1:1 ack 0
        0.12 eof
        0.12 broken ConnectionReset
        0.12 drop
        0.12 idle
    ");
    a_reset_with_the_number_of_the_fin_ends_the_last_acknowledgement: format!("{OPEN}
        0.1 < F. 1:1 ack 1 win 1000
        0.1 > . 1:1 ack 2
        0.2 drop
        0.2 > F. 1:1 ack 2
        0.3 < R 1:1 ack 0
        0.3 idle
    ");
    a_reset_from_before_is_nothing_without_a_fin: format!("{OPEN}
        0.1 < P. 1:11 ack 1 win 1000
        0.1 read 10
        0.11 > . 1:1 ack 11
        0.2 < R 10:10 ack 0
        0.2 nothing
    ");
    a_reset_outside_of_the_window_is_nothing: format!("{OPEN}
        0.1 < R 200000:200000 ack 0
        0.1 < R 0:0 ack 0
        0.1 nothing
    ");
    challenges_are_rare: format!("{OPEN}
        0.1 < R 100:100 ack 0
        0.1 > . 1:1 ack 1
        0.2 < R 100:100 ack 0
        0.3 < R 101:101 ack 0
        0.7 < R 102:102 ack 0
        0.7 > . 1:1 ack 1
    ");
    // RFC 5961, section 4.2: a client that lost its state calls again, learns of the old connection and resets it.
    a_syn_in_an_established_connection_is_challenged: format!("{OPEN}
        0.1 < S 5000:5000 win 65535 <mss 1460>
        0.1 > . 1:1 ack 1
        0.2 < R 1:1 ack 0
        0.2 error ConnectionReset
        0.2 drop
        1.1 < S 5000:5000 win 65535 <mss 1460>
        1.1 > S. *:* ack 5001
    ");
    a_syn_from_before_is_challenged_too: format!("{OPEN}
        0.1 < S -5000:-5000 win 65535 <mss 1460>
        0.1 > . 1:1 ack 1
        0.2 nothing
    ");
    // RFC 5961, section 5.2.
    an_acknowledgement_of_what_was_not_sent_is_challenged: format!("{OPEN}
        0.1 < . 1:1 ack 2 win 1000
        0.1 > . 1:1 ack 1
        0.1 nothing
    ");
    an_ancient_acknowledgement_is_challenged_and_its_data_left: format!("{OPEN}
        0.1 < P. 1:11 ack -200000 win 1000
        0.1 > . 1:1 ack 1
        0.1 nothing
    ");
    an_acknowledgement_from_the_last_window_is_taken: format!("{OPEN}
        0.1 < P. 1:11 ack -1000 win 1000
        0.1 read 10
        0.11 > . 1:1 ack 11
    ");
    // RFC 9293, section 3.10.7.4, fifth: without ACK a segment is dropped.
    data_without_an_acknowledgement_is_left: format!("{OPEN}
        0.1 < P 1:11 ack 0 win 1000
        0.1 nothing
    ");
    we_reset: format!("{OPEN}
        0.1 abort
        0.1 > R. 1:1 ack 1
        0.1 idle
    ");
    // RFC 9293, section 3.10.7.1.
    a_stray_acknowledgement_is_reset_by_its_number: "
        0.0 < . 1:1 ack 0 win 1000
        0.0 > R 0:0 ack 0
    ";
    a_stray_segment_without_acknowledgement_is_reset_by_its_end: "
        0.0 < SF 0:10 ack 0 win 1000
        0.0 > R. 0:0 ack 12
    ";
    a_stray_reset_is_nothing: "
        0.0 < R 1:1 ack 0
        0.0 < R. 1:1 ack 1
    ";
    // A reset that crosses our data.
    data_under_way_dies_with_its_connection: format!("{OPEN}
        0.1 write 100
        0.1 > P. 1:101 ack 1
        0.1 < R. 1:1 ack 1
        0.1 error ConnectionReset
        0.1 drop
        0.1 idle
    ");
}
