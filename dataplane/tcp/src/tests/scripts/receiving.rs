use super::{OPEN, OPEN_BARE, scripts};

scripts! {
    // RFC 9293, section 3.8.6.3: a lone segment's acknowledgement waits for company; ten milliseconds here.
    an_acknowledgement_waits_for_data_to_travel_with: format!("{OPEN}
        0.1 < P. 1:101 ack 1 win 1000
        0.1 read 100
        0.105 write 10
        0.105 > P. 1:11 ack 101
        0.12 < . 101:101 ack 11 win 1000
    ");
    an_acknowledgement_does_not_wait_for_ever: format!("{OPEN}
        0.1 < P. 1:101 ack 1 win 1000
        0.11 > . 1:1 ack 101
    ");
    two_full_segments_are_acknowledged_at_once: format!("{OPEN}
        0.1 < . 1:1461 ack 1 win 1000
        0.1 < . 1461:2921 ack 1 win 1000
        0.1 > . 1:1 ack 2921
    ");
    // RFC 5681, section 4.2, and RFC 2018, section 4.
    a_hole_is_told_at_once: format!("{OPEN}
        0.1 < . 1461:2921 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 1461:2921>
        0.1 nothing
        0.2 < . 1:1461 ack 1 win 1000
        0.2 > . 1:1 ack 2921
        0.2 read 2920
    ");
    // RFC 2018, section 4: the block that changed last stands first, then the others by their age.
    the_latest_block_stands_first: format!("{OPEN}
        0.1 < . 1001:1501 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 1001:1501>
        0.1 < . 3001:3501 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 3001:3501 1001:1501>
        0.1 < . 5001:5501 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 5001:5501 3001:3501 1001:1501>
        0.1 < . 1501:2001 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 1001:2001 5001:5501 3001:3501>
    ");
    blocks_that_touch_are_one: format!("{OPEN}
        0.1 < . 1001:1501 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 1001:1501>
        0.1 < . 2001:2501 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 2001:2501 1001:1501>
        0.1 < . 1501:2001 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 1001:2501>
        0.1 < . 1:1001 ack 1 win 1000
        0.1 > . 1:1 ack 2501
        0.1 read 2500
    ");
    at_most_four_blocks_are_told: format!("{OPEN}
        0.1 < . 1001:1101 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 1001:1101>
        0.1 < . 2001:2101 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 2001:2101 1001:1101>
        0.1 < . 3001:3101 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 3001:3101 2001:2101 1001:1101>
        0.1 < . 4001:4101 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 4001:4101 3001:3101 2001:2101 1001:1101>
        0.1 < . 5001:5101 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 5001:5101 4001:4101 3001:3101 2001:2101>
    ");
    // A peer that did not ask for blocks gets none.
    no_blocks_without_the_option: format!("{OPEN_BARE}
        0.1 < . 1461:2921 ack 1 win 1000
        0.1 > . 1:1 ack 1
    ");
    // RFC 2883, section 4: what came twice is told once.
    a_duplicate_is_told: format!("{OPEN}
        0.1 < P. 1:101 ack 1 win 1000
        0.11 > . 1:1 ack 101
        0.2 < P. 1:101 ack 1 win 1000
        0.2 > . 1:1 ack 101 <sack 1:101>
        0.2 read 100
        0.2 nothing
    ");
    // Section 4.1.1, with a hole: the duplicate stands in front of the block.
    a_duplicate_beside_a_hole: format!("{OPEN}
        0.1 < . 1:1001 ack 1 win 1000
        0.11 > . 1:1 ack 1001
        0.2 < . 2001:3001 ack 1 win 1000
        0.2 > . 1:1 ack 1001 <sack 2001:3001>
        0.2 < . 501:1001 ack 1 win 1000
        0.2 > . 1:1 ack 1001 <sack 501:1001 2001:3001>
    ");
    // Section 4.2.2: a duplicate within a block.
    a_duplicate_within_a_block: format!("{OPEN}
        0.2 < . 1001:2001 ack 1 win 1000
        0.2 > . 1:1 ack 1 <sack 1001:2001>
        0.2 < . 1001:2001 ack 1 win 1000
        0.2 > . 1:1 ack 1 <sack 1001:2001 1001:2001>
    ");
    what_overlaps_is_taken_once: format!("{OPEN}
        0.1 < . 1:101 ack 1 win 1000
        0.1 < . 51:151 ack 1 win 1000
        0.1 > . 1:1 ack 151 <sack 51:101>
        0.1 read 150
        0.1 nothing
    ");
    // The window closes as the reader stops; nothing beyond it is taken (here a window of 64 KiB, its first 65,535).
    nothing_beyond_the_window_is_taken: format!("{OPEN}
        0.1 < . 65001:66001 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 65001:65536>
        0.1 < . 67001:68001 ack 1 win 1000
        0.1 > . 1:1 ack 1 <sack 65001:65536>
        0.1 count beyond_window 1
    ");
    // RFC 9293, section 3.8.6.2.2: news of a window that opened far enough.
    a_window_that_opens_is_told: format!("{OPEN}
        0.1 < . 1:30001 ack 1 win 1000
        0.1 < . 30001:60001 ack 1 win 1000
        0.1 > . 1:1 ack 60001 win 2768
        0.2 read 2000
        0.2 read 58000
        0.2 > . 1:1 ack 60001 win 32768
    ");
    // A keep-alive probe of the peer.
    a_probe_is_answered: format!("{OPEN}
        1.0 < . 0:0 ack 1 win 1000
        1.0 > . 1:1 ack 1
    ");
    a_probe_with_a_byte_is_answered: format!("{OPEN}
        1.0 < . 0:1 ack 1 win 1000
        1.0 > . 1:1 ack 1 <sack 0:1>
    ");
    // Urgent data is data (RFC 6093): the flag is left alone.
    urgent_data_is_read_as_data: format!("{OPEN}
        0.1 < P. 1:11 ack 1 win 1000
        0.1 read 10
        0.11 > . 1:1 ack 11
    ");
}
