use super::{OPEN, OPEN_TS, scripts};

scripts! {
    // RFC 9293, section 3.6, figure 12.
    we_close_first: format!("{OPEN}
        0.1 close
        0.1 > F. 1:1 ack 1
        0.2 < . 1:1 ack 2 win 1000
        0.3 < F. 1:1 ack 2 win 1000
        0.3 > . 2:2 ack 2
        0.3 eof
        0.3 drop
        0.3 count time_wait 1
        30.4 idle
    ");
    the_peer_closes_first: format!("{OPEN}
        0.1 < F. 1:1 ack 1 win 1000
        0.1 > . 1:1 ack 2
        0.1 eof
        0.2 drop
        0.2 > F. 1:1 ack 2
        0.3 < . 2:2 ack 2 win 1000
        0.3 idle
    ");
    // Figure 13.
    both_close_at_once: format!("{OPEN}
        0.1 close
        0.1 > F. 1:1 ack 1
        0.1 < F. 1:1 ack 1 win 1000
        0.1 > . 2:2 ack 2
        0.2 < . 2:2 ack 2 win 1000
        0.2 eof
        0.2 drop
        0.2 count time_wait 1
    ");
    a_fin_with_its_acknowledgement_in_one: format!("{OPEN}
        0.1 close
        0.1 > F. 1:1 ack 1
        0.2 < F. 1:1 ack 2 win 1000
        0.2 > . 2:2 ack 2
        0.2 eof
        0.2 drop
        0.2 count time_wait 1
    ");
    // Section 3.6: a side that has closed still takes what the other sends.
    half_closed_we_still_read: format!("{OPEN}
        0.1 close
        0.1 > F. 1:1 ack 1
        0.2 < . 1:1 ack 2 win 1000
        0.3 < P. 1:101 ack 2 win 1000
        0.3 read 100
        0.31 > . 2:2 ack 101
        0.4 < F. 101:101 ack 2 win 1000
        0.4 > . 2:2 ack 102
        0.4 eof
    ");
    half_closed_the_peer_still_reads: format!("{OPEN}
        0.1 < F. 1:1 ack 1 win 1000
        0.1 > . 1:1 ack 2
        0.1 eof
        0.2 write 100
        0.2 > P. 1:101 ack 2
        0.3 < . 2:2 ack 101 win 1000
        0.3 close
        0.3 > F. 101:101 ack 2
        0.4 < . 2:2 ack 102 win 1000
        0.4 drop
        0.4 idle
    ");
    the_last_data_carries_the_fin: format!("{OPEN}
        0.1 write 100
        0.1 > P. 1:101 ack 1
        0.1 write 50
        0.1 > P. 101:151 ack 1
        0.2 < . 1:1 ack 151 win 1000
    ");
    a_fin_that_is_lost_is_sent_again: format!("{OPEN}
        0.100 close
        0.100 > F. 1:1 ack 1
        0.320 > F. 1:1 ack 1
        0.340 < . 1:1 ack 2 win 1000
    ");
    // The peer did not see our acknowledgement of its FIN.
    a_fin_that_comes_again_is_acknowledged_again: format!("{OPEN}
        0.1 < F. 1:1 ack 1 win 1000
        0.1 > . 1:1 ack 2
        0.4 < F. 1:1 ack 1 win 1000
        0.4 > . 1:1 ack 2
        0.4 eof
    ");
    // Section 3.10.7.4, TIME-WAIT.
    time_wait_acknowledges_a_fin_again: format!("{OPEN}
        0.1 drop
        0.1 > F. 1:1 ack 1
        0.2 < F. 1:1 ack 2 win 1000
        0.2 > . 2:2 ack 2
        0.5 < F. 1:1 ack 2 win 1000
        0.5 > . 2:2 ack 2
    ");
    // RFC 1337.
    a_reset_does_not_end_time_wait: format!("{OPEN}
        0.1 drop
        0.1 > F. 1:1 ack 1
        0.2 < F. 1:1 ack 2 win 1000
        0.2 > . 2:2 ack 2
        0.3 < R 2:2 ack 0
        0.3 count time_wait 1
    ");
    // What was read to its end is at its end, whatever comes after.
    a_reset_after_the_end_does_not_take_it_back: format!("{OPEN}
        0.1 < FP. 1:11 ack 1 win 1000
        0.1 > . 1:1 ack 12
        0.1 read 10
        0.2 < R 12:12 ack 0
        0.2 eof
        0.2 broken ConnectionReset
    ");
    a_reset_does_not_end_time_wait_before_it_was_read: format!("{OPEN}
        0.1 close
        0.1 > F. 1:1 ack 1
        0.2 < FP. 1:11 ack 2 win 1000
        0.2 > . 2:2 ack 12
        0.3 < R 12:12 ack 0
        0.3 read 10
        0.3 eof
    ");
    // RFC 9293, section 3.6.1: a SYN beyond what was used opens the connection anew.
    time_wait_gives_way_to_a_new_call: format!("{OPEN}
        0.1 drop
        0.1 > F. 1:1 ack 1
        0.2 < F. 1:1 ack 2 win 1000
        0.2 > . 2:2 ack 2
        0.3 < S 100:100 win 65535 <mss 1460>
        0.3 > S. *:* ack 101
    ");
    an_old_syn_does_not_end_time_wait: format!("{OPEN}
        0.1 drop
        0.1 > F. 1:1 ack 1
        0.2 < F. 1:1 ack 2 win 1000
        0.2 > . 2:2 ack 2
        0.3 < S -100:-100 win 65535 <mss 1460>
        0.3 > . 2:2 ack 2
        0.3 count time_wait 1
    ");
    // RFC 6191, section 2: a later timestamp counts, whatever the number.
    time_wait_gives_way_to_a_later_timestamp: format!("{OPEN_TS}
        0.1 drop
        0.1 > F. 1:1 ack 1
        0.2 < F. 1:1 ack 2 win 1000 <TS val 300 ecr @0.1>
        0.2 > . 2:2 ack 2 <TS val @0.2 ecr 300>
        0.3 < S -100:-100 win 65535 <mss 1460,TS val 400 ecr 0>
        0.3 > S. *:* ack -99
    ");
    // What the peer sends before it has seen that nobody reads: it is taken, and thrown away.
    data_after_we_have_gone_is_acknowledged: format!("{OPEN}
        0.1 drop
        0.1 > F. 1:1 ack 1
        0.2 < . 1:1461 ack 2 win 1000
        0.2 < . 1461:2921 ack 2 win 1000
        0.2 > . 2:2 ack 2921
        0.3 < F. 2921:2921 ack 2 win 1000
        0.3 > . 2:2 ack 2922
        0.3 count time_wait 1
    ");
    a_peer_that_never_closes_is_reset_after_ten_seconds: format!("{OPEN}
        0.1 drop
        0.1 > F. 1:1 ack 1
        0.2 < . 1:1 ack 2 win 1000
        10.2 > R. 2:2 ack 1
        10.2 idle
    ");
    a_fin_out_of_order_waits_for_its_data: format!("{OPEN}
        0.1 < F. 11:11 ack 1 win 1000
        0.1 > . 1:1 ack 1
        0.1 nothing
        0.2 < P. 1:11 ack 1 win 1000
        0.2 > . 1:1 ack 12
        0.2 read 10
        0.2 eof
    ");
    data_and_fin_in_one: format!("{OPEN}
        0.1 < FP. 1:11 ack 1 win 1000
        0.1 > . 1:1 ack 12
        0.1 read 10
        0.1 eof
    ");
    // A peer that sends on after its FIN has lost its mind; what it says is not read.
    nothing_is_read_behind_a_fin: format!("{OPEN}
        0.1 < F. 1:1 ack 1 win 1000
        0.1 > . 1:1 ack 2
        0.2 < P. 2:12 ack 1 win 1000
        0.2 > . 1:1 ack 2
        0.2 eof
    ");
}
