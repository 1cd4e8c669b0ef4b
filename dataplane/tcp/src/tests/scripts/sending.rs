use super::{OPEN, OPEN_BARE, scripts};

scripts! {
    // RFC 6928, section 2: ten segments.
    the_initial_window_is_ten_segments: format!("{OPEN}
        0.02 write 20000
        0.02 > . 1:1461 ack 1
        0.02 > . 1461:2921 ack 1
        0.02 > . 2921:4381 ack 1
        0.02 > . 4381:5841 ack 1
        0.02 > . 5841:7301 ack 1
        0.02 > . 7301:8761 ack 1
        0.02 > . 8761:10221 ack 1
        0.02 > . 10221:11681 ack 1
        0.02 > . 11681:13141 ack 1
        0.02 > . 13141:14601 ack 1
        # Slow start: two for two.
        0.04 < . 1:1 ack 2921 win 1000
        0.04 > . 14601:16061 ack 1
        0.04 > . 16061:17521 ack 1
        0.04 > . 17521:18981 ack 1
        0.04 > P. 18981:20001 ack 1
        0.06 < . 1:1 ack 20001 win 1000
    ");
    // Nagle is off: small writes leave at once.
    small_writes_do_not_wait: format!("{OPEN}
        0.02 write 10
        0.02 > P. 1:11 ack 1
        0.02 write 10
        0.02 > P. 11:21 ack 1
        0.04 < . 1:1 ack 21 win 1000
    ");
    // RFC 9293, section 3.8.6.2.1: no more than the window.
    the_window_bounds_what_is_sent: format!("{OPEN_BARE}
        0.1 < . 1:1 ack 1 win 2920
        0.1 write 5000
        0.1 > . 1:1461 ack 1
        0.1 > . 1461:2921 ack 1
        0.12 < . 1:1 ack 2921 win 2920
        0.12 > . 2921:4381 ack 1
        0.12 > P. 4381:5001 ack 1
        0.14 < . 1:1 ack 5001 win 2920
    ");
    // Silly windows: a few bytes of room are not worth a segment while something is under way.
    a_silly_window_is_waited_for: format!("{OPEN_BARE}
        0.1 write 5000
        0.1 > . 1:1461 ack 1
        0.1 > . 1461:2921 ack 1
        0.1 > . 2921:4381 ack 1
        0.1 > P. 4381:5001 ack 1
        0.12 < . 1:1 ack 5001 win 100
        0.12 write 3000
        0.13 < . 1:1 ack 5001 win 1460
        0.13 > . 5001:6461 ack 1
        0.15 < . 1:1 ack 6461 win 1500
        0.15 > . 6461:7921 ack 1
        0.17 < . 1:1 ack 7921 win 1500
        0.17 > P. 7921:8001 ack 1
        0.19 < . 1:1 ack 8001 win 1500
    ");
    // RFC 9293, section 3.8.6.1: a closed window is asked for, less and less often.
    a_closed_window_is_probed: format!("{OPEN_BARE}
        0.100 < . 1:1 ack 1 win 0
        0.100 write 100
        0.320 > . 0:0 ack 1
        0.330 < . 1:1 ack 1 win 0
        0.760 > . 0:0 ack 1
        0.770 < . 1:1 ack 1 win 0
        1.640 > . 0:0 ack 1
        1.650 < . 1:1 ack 1 win 65535
        1.650 > P. 1:101 ack 1
        1.670 < . 1:1 ack 101 win 65535
    ");
    // The window opened, and the news of it was lost: the probe brings it.
    lost_news_of_a_window_comes_with_the_answer_to_a_probe: format!("{OPEN_BARE}
        0.100 < . 1:1 ack 1 win 0
        0.100 write 100
        0.320 > . 0:0 ack 1
        0.340 < . 1:1 ack 1 win 1000
        0.340 > P. 1:101 ack 1
        0.360 < . 1:1 ack 101 win 1000
    ");
    // What is left of a window that is small for good is used after a timeout (section 3.8.6.2.1, override).
    a_small_window_is_used_after_a_timeout: format!("{OPEN_BARE}
        0.100 < . 1:1 ack 1 win 20
        0.100 write 100
        0.320 > . 1:21 ack 1
        0.340 < . 1:1 ack 21 win 20
        0.560 > . 21:41 ack 1
        0.580 < . 1:1 ack 41 win 1000
        0.580 > P. 41:101 ack 1
        0.600 < . 1:1 ack 101 win 1000
    ");
    // An old segment does not close the window again (section 3.10.7.4, SND.WL1 and SND.WL2).
    an_old_segment_says_nothing_of_the_window: format!("{OPEN_BARE}
        0.1 < P. 1:11 ack 1 win 65535
        0.1 read 10
        0.11 > . 1:1 ack 11
        0.12 < . 1:1 ack 1 win 0
        0.12 > . 1:1 ack 11
        0.12 write 100
        0.12 > P. 1:101 ack 11
        0.14 < . 11:11 ack 101 win 65535
    ");
    // The peer takes back what it offered: what is beyond is not sent, what was sent is not lost.
    a_window_that_shrinks: format!("{OPEN_BARE}
        0.1 write 2920
        0.1 > . 1:1461 ack 1
        0.1 > P. 1461:2921 ack 1
        0.1 write 1460
        0.1 > P. 2921:4381 ack 1
        0.11 < . 1:1 ack 1461 win 100
        0.12 < . 1:1 ack 4381 win 65535
    ");
    // Windows are scaled by the peer's word.
    a_scaled_window: format!("{OPEN}
        0.1 < . 1:1 ack 1 win 12
        0.1 write 2000
        0.1 > . 1:1461 ack 1
        0.12 < . 1:1 ack 1461 win 12
        0.12 > P. 1461:2001 ack 1
        0.14 < . 1:1 ack 2001 win 12
    ");
    keep_alive_asks_after_silence: format!("{OPEN}
        45.02 > . 0:0 ack 1
        45.04 < . 1:1 ack 1 win 1000
        90.04 > . 0:0 ack 1
        90.06 < . 1:1 ack 1 win 1000
    ");
    a_silent_peer_is_given_up: format!("{OPEN}
        45.02 > . 0:0 ack 1
        60.02 > . 0:0 ack 1
        75.02 > . 0:0 ack 1
        90.02 > R. 1:1 ack 1
        90.02 error TimedOut
        90.02 drop
        90.02 idle
    ");
    // After a pause of a second the window is what it was, halved for each timeout (RFC 2861).
    what_was_learnt_ages: format!("{OPEN}
        0.02 write 14600
        0.02 > . 1:1461 ack 1
        0.02 > . 1461:2921 ack 1
        0.02 > . 2921:4381 ack 1
        0.02 > . 4381:5841 ack 1
        0.02 > . 5841:7301 ack 1
        0.02 > . 7301:8761 ack 1
        0.02 > . 8761:10221 ack 1
        0.02 > . 10221:11681 ack 1
        0.02 > . 11681:13141 ack 1
        0.02 > P. 13141:14601 ack 1
        0.04 < . 1:1 ack 14601 win 1000
        # The window is twenty segments, and ten again after two seconds.
        2.04 write 16060
        2.04 > . 14601:16061 ack 1
        2.04 > . 16061:17521 ack 1
        2.04 > . 17521:18981 ack 1
        2.04 > . 18981:20441 ack 1
        2.04 > . 20441:21901 ack 1
        2.04 > . 21901:23361 ack 1
        2.04 > . 23361:24821 ack 1
        2.04 > . 24821:26281 ack 1
        2.04 > . 26281:27741 ack 1
        2.04 > . 27741:29201 ack 1
        2.06 < . 1:1 ack 29201 win 1000
        2.06 > P. 29201:30661 ack 1
        2.08 < . 1:1 ack 30661 win 1000
    ");
}
