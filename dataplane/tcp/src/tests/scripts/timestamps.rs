use super::{OPEN_TS, scripts};

scripts! {
    // RFC 7323, section 5.3: a segment from before is acknowledged and left.
    an_old_segment_is_left: format!("{OPEN_TS}
        0.1 < P. 1:11 ack 1 win 1000 <TS val 200 ecr @0.0>
        0.1 read 10
        0.11 > . 1:1 ack 11
        0.2 < P. 11:21 ack 1 win 1000 <TS val 199 ecr @0.0>
        0.2 > . 1:1 ack 11
        0.2 nothing
    ");
    // Section 5.3, R1: but not a reset.
    an_old_reset_counts: format!("{OPEN_TS}
        0.2 < R 1:1 ack 0 <TS val 1 ecr 0>
        0.2 error ConnectionReset
    ");
    // Section 4.3: the echo is of the earliest segment that is not acknowledged yet.
    the_echo_is_of_the_first_of_a_delayed_acknowledgement: format!("{OPEN_TS}
        0.1 < . 1:101 ack 1 win 1000 <TS val 200 ecr @0.0>
        0.102 < . 101:151 ack 1 win 1000 <TS val 202 ecr @0.0>
        0.11 > . 1:1 ack 151 <TS val @0.11 ecr 200>
    ");
    // And of the last one in order where there is a hole.
    the_echo_is_of_the_last_in_order: format!("{OPEN_TS}
        0.1 < . 1:101 ack 1 win 1000 <TS val 200 ecr @0.0>
        0.11 > . 1:1 ack 101 <TS val @0.11 ecr 200>
        0.2 < . 201:301 ack 1 win 1000 <TS val 300 ecr @0.0>
        0.2 > . 1:1 ack 101 <TS val @0.2 ecr 200,sack 201:301>
    ");
    segments_are_shorter_by_the_option: format!("{OPEN_TS}
        0.1 write 1500
        0.1 > . 1:1449 ack 1
        0.1 > P. 1449:1501 ack 1
        0.12 < . 1:1 ack 1501 win 1000 <TS val 220 ecr @0.1>
    ");
    // Three blocks fit beside timestamps.
    three_blocks_beside_timestamps: format!("{OPEN_TS}
        0.1 < . 1001:1101 ack 1 win 1000 <TS val 200 ecr @0.0>
        0.1 > . 1:1 ack 1 <sack 1001:1101>
        0.1 < . 2001:2101 ack 1 win 1000 <TS val 200 ecr @0.0>
        0.1 > . 1:1 ack 1 <sack 2001:2101 1001:1101>
        0.1 < . 3001:3101 ack 1 win 1000 <TS val 200 ecr @0.0>
        0.1 > . 1:1 ack 1 <sack 3001:3101 2001:2101 1001:1101>
        0.1 < . 4001:4101 ack 1 win 1000 <TS val 200 ecr @0.0>
        0.1 > . 1:1 ack 1 <sack 4001:4101 3001:3101 2001:2101>
    ");
    // SackBlocks beside data make it shorter, so that the packet still fits.
    data_beside_blocks_is_shorter: format!("{OPEN_TS}
        0.1 < . 1001:1101 ack 1 win 1000 <TS val 200 ecr @0.0>
        0.1 > . 1:1 ack 1 <sack 1001:1101>
        0.1 write 1500
        0.1 > . 1:1437 ack 1 <sack 1001:1101>
        0.1 > P. 1437:1501 ack 1 <sack 1001:1101>
        0.12 < . 1:1 ack 1501 win 1000 <TS val 220 ecr @0.1>
    ");
    // A middlebox takes the option away: what comes without is taken, as Linux does.
    a_segment_without_the_option_is_taken: format!("{OPEN_TS}
        0.1 < P. 1:11 ack 1 win 1000
        0.1 read 10
        0.11 > . 1:1 ack 11
    ");
    // Half of the numbers are older than the other half (section 5.2).
    a_clock_that_jumped_is_old: format!("{OPEN_TS}
        0.1 < P. 1:11 ack 1 win 1000 <TS val 4000000000 ecr @0.0>
        0.1 > . 1:1 ack 1 <TS val @0.1 ecr 120>
        0.1 nothing
    ");
}
