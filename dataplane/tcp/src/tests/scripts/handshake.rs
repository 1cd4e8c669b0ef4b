use super::scripts;

scripts! {
    // RFC 9293, section 3.5, figure 6.
    a_listener_answers: "
        0.0 < S 0:0 win 65535 <mss 1460,sackOK,wscale 7>
        0.0 > S. 0:0 ack 1 win 65535 <mss 1460,sackOK,wscale 1>
        0.1 none
        0.1 < . 1:1 ack 1 win 512
        0.1 accept
    ";
    // RFC 7323, section 2.2: the option in a SYN-ACK only where the SYN had it.
    no_scale_is_offered_to_a_peer_without: "
        0.0 < S 0:0 win 65535 <mss 1460,sackOK>
        0.0 > S. 0:0 ack 1 win 65535 <mss 1460,sackOK>
    ";
    // RFC 7323, section 3.2.
    timestamps_are_answered: "
        0.0 < S 0:0 win 65535 <mss 1460,TS val 77 ecr 0>
        0.0 > S. 0:0 ack 1
        0.1 < . 1:1 ack 1 win 512 <TS val 80 ecr @0.0>
        0.1 accept
        0.1 write 100
        0.1 > P. 1:101 ack 1 <TS val @0.1 ecr 80>
    ";
    // RFC 9293, MUST-15: 536 where the peer does not say.
    a_peer_that_says_no_mss_gets_536: "
        0.0 < S 0:0 win 65535
        0.0 > S. 0:0 ack 1
        0.1 < . 1:1 ack 1 win 65535
        0.1 accept
        0.1 write 600
        0.1 > . 1:537 ack 1
        0.1 > P. 537:601 ack 1
    ";
    // A peer's MSS of any size is survived: none makes segments of headers alone.
    an_mss_of_one_is_taken_for_sixty_four: "
        0.0 < S 0:0 win 65535 <mss 1>
        0.0 > S. 0:0 ack 1
        0.1 < . 1:1 ack 1 win 65535
        0.1 accept
        0.1 write 100
        0.1 > . 1:65 ack 1
        0.1 > P. 65:101 ack 1
    ";
    an_mss_above_ours_is_ours: "
        0.0 < S 0:0 win 65535 <mss 9000>
        0.0 > S. 0:0 ack 1
        0.1 < . 1:1 ack 1 win 65535
        0.1 accept
        0.1 write 1461
        0.1 > . 1:1461 ack 1
        0.1 > P. 1461:1462 ack 1
    ";
    // Our own answer does not follow at once.
    a_repeated_syn_is_answered_again: "
        0.0 < S 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        0.9 < S 0:0 win 65535 <mss 1460>
        0.9 > S. 0:0 ack 1
        1.1 < . 1:1 ack 1 win 512
        1.1 accept
    ";
    // RFC 6298, section 5.5, and Linux' five times. The client waits for us to speak, and its acknowledgement was lost.
    our_answer_is_sent_again: "
        0.0 < S 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        1.0 > S. 0:0 ack 1
        3.0 > S. 0:0 ack 1
        7.0 > S. 0:0 ack 1
        15.0 > S. 0:0 ack 1
        31.0 > S. 0:0 ack 1
        31.1 < . 1:1 ack 1 win 512
        31.1 accept
        31.1 write 10
        31.1 > P. 1:11 ack 1
    ";
    // Karn's algorithm: an answer that went twice gives no sample, and the first timeout is that of nobody known.
    an_answer_that_was_sent_again_measures_nothing: "
        0.0 < S 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        1.0 > S. 0:0 ack 1
        1.1 < . 1:1 ack 1 win 512
        1.1 accept
        1.1 write 10
        1.1 > P. 1:11 ack 1
        2.1 > P. 1:11 ack 1
    ";
    // The timestamps of what goes again are those of then.
    an_answer_that_is_sent_again_has_the_time_of_then: "
        0.0 < S 0:0 win 65535 <mss 1460,TS val 77 ecr 0>
        0.0 > S. 0:0 ack 1 <TS val @0.0 ecr 77>
        1.0 > S. 0:0 ack 1 <TS val @1.0 ecr 77>
        1.1 < R 1:1 ack 0
        1.1 idle
    ";
    // RFC 9293, section 3.10.7.4: a SYN-RECEIVED that acknowledges what was never sent is reset.
    an_acknowledgement_of_something_else_is_reset: "
        0.0 < S 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        0.1 < . 1:1 ack 2 win 512
        0.1 > R 2:2 ack 0
        0.1 none
    ";
    a_handshake_may_end_with_data: "
        0.0 < S 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        0.1 < P. 1:101 ack 1 win 512
        0.1 accept
        0.1 read 100
        0.11 > . 1:1 ack 101
    ";
    // The client's last acknowledgement is lost, its request is not.
    data_after_a_lost_acknowledgement_ends_the_handshake: "
        0.0 < S 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        0.1 < . 1461:2921 ack 1 win 512
        0.1 > . 1:1 ack 1
        0.1 accept
        0.1 < . 1:1461 ack 1 win 512
        0.1 > . 1:1 ack 2921
        0.1 read 2920
    ";
    a_reset_ends_a_handshake: "
        0.0 < S 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        0.1 < R 1:1 ack 0
        0.1 idle
    ";
    // RFC 5961, section 3.2.
    a_reset_with_a_wrong_number_does_not: "
        0.0 < S 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        0.1 < R 2:2 ack 0
        0.1 < . 1:1 ack 1 win 512
        0.1 accept
    ";
    a_handshake_is_forgotten_after_a_minute: "
        0.0 < S 0:0 win 65535 <mss 1460>
        0.0 > S. 0:0 ack 1
        1.0 > S. 0:0 ack 1
        3.0 > S. 0:0 ack 1
        7.0 > S. 0:0 ack 1
        15.0 > S. 0:0 ack 1
        31.0 > S. 0:0 ack 1
        62.9 count half_open 1
        63.1 count half_open 0
        63.1 count half_open_expired 1
        63.1 idle
    ";
    we_call: "
        0.0 connect
        0.0 > S 0:0 ack 0 win 65535 <mss 1460,sackOK,wscale 1>
        0.1 pending
        0.1 < S. 0:0 ack 1 win 65535 <mss 1460,sackOK,wscale 7>
        0.1 > . 1:1 ack 1
        0.1 accept
    ";
    // RFC 6298, section 5.7 and rule 2.1: a second, then twice that.
    our_syn_is_sent_again: "
        0.0 connect
        0.0 > S 0:0 ack 0
        1.0 > S 0:0 ack 0
        3.0 > S 0:0 ack 0
        7.0 > S 0:0 ack 0
        7.5 < S. 0:0 ack 1 win 65535 <mss 1460>
        7.5 > . 1:1 ack 1
        7.5 accept
        # What was learnt from lost SYNs says nothing of the path: ten segments.
        7.5 write 14600
        7.5 > . 1:1461 ack 1
        7.5 > . 1461:2921 ack 1
        7.5 > . 2921:4381 ack 1
        7.5 > . 4381:5841 ack 1
        7.5 > . 5841:7301 ack 1
        7.5 > . 7301:8761 ack 1
        7.5 > . 8761:10221 ack 1
        7.5 > . 10221:11681 ack 1
        7.5 > . 11681:13141 ack 1
        7.5 > P. 13141:14601 ack 1
    ";
    a_call_is_refused: "
        0.0 connect
        0.0 > S 0:0 ack 0
        0.1 < R. 0:0 ack 1
        0.1 refused ConnectionRefused
    ";
    // RFC 9293, section 3.10.7.3: only a reset that acknowledges our SYN.
    a_forged_refusal_is_left: "
        0.0 connect
        0.0 > S 0:0 ack 0
        0.1 < R. 0:0 ack 7
        0.1 < R 0:0 ack 0
        0.1 pending
        0.2 < S. 0:0 ack 1 win 65535 <mss 1460>
        0.2 > . 1:1 ack 1
        0.2 accept
    ";
    // Likewise, first.
    an_answer_to_another_call_is_reset: "
        0.0 connect
        0.0 > S 0:0 ack 0
        0.1 < S. 0:0 ack 7 win 65535 <mss 1460>
        0.1 > R 7:7 ack 0
        0.1 pending
    ";
    // RFC 9293, section 3.5, figure 7.
    both_call_at_once: "
        0.0 connect
        0.0 > S 0:0 ack 0
        0.1 < S 0:0 ack 0 win 65535 <mss 1460,sackOK,wscale 7>
        0.1 > S. 0:0 ack 1 <mss 1460,sackOK,wscale 1>
        0.1 pending
        0.2 < S. 0:0 ack 1 win 65535 <mss 1460,sackOK,wscale 7>
        0.2 accept
    ";
    nobody_waits_for_an_answer_any_more: "
        0.0 connect
        0.0 > S 0:0 ack 0
        0.1 drop
        0.1 idle
        0.2 < S. 0:0 ack 1 win 65535 <mss 1460>
        0.2 > R 1:1 ack 0
    ";
    // RFC 7323, section 2.3: a shift above 14 is 14.
    a_shift_above_fourteen: "
        0.0 < S 0:0 win 65535 <mss 1460,wscale 15>
        0.0 > S. 0:0 ack 1
        0.1 < . 1:1 ack 1 win 1
        0.1 accept
        0.1 write 16000
        0.1 > . 1:1461 ack 1
        0.1 > . 1461:2921 ack 1
        0.1 > . 2921:4381 ack 1
        0.1 > . 4381:5841 ack 1
        0.1 > . 5841:7301 ack 1
        0.1 > . 7301:8761 ack 1
        0.1 > . 8761:10221 ack 1
        0.1 > . 10221:11681 ack 1
        0.1 > . 11681:13141 ack 1
        0.1 > . 13141:14601 ack 1
        0.2 < . 1:1 ack 14601 win 1
        0.2 > P. 14601:16001 ack 1
        0.2 < . 1:1 ack 16001 win 1
    ";
    // Our first answer is lost: a first sample of the round trip came from the handshake, as the kernel's does.
    the_handshake_gives_a_sample: "
        0.000 < S 0:0 win 65535 <mss 1460>
        0.000 > S. 0:0 ack 1
        0.020 < P. 1:101 ack 1 win 65535
        0.020 accept
        0.020 read 100
        0.020 write 100
        0.020 > P. 1:101 ack 101
        0.240 > P. 1:101 ack 101
        0.260 < . 101:101 ack 101 win 65535
    ";
    // Karn's algorithm: of a SYN that was answered twice there is none.
    a_handshake_in_doubt_gives_none: "
        0.000 < S 0:0 win 65535 <mss 1460>
        0.000 > S. 0:0 ack 1
        0.500 < S 0:0 win 65535 <mss 1460>
        0.500 > S. 0:0 ack 1
        0.520 < P. 1:101 ack 1 win 65535
        0.520 accept
        0.520 read 100
        0.520 write 100
        0.520 > P. 1:101 ack 101
        1.520 > P. 1:101 ack 101
        1.540 < . 101:101 ack 101 win 65535
    ";
}
