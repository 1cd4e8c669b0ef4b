use super::{OPEN, OPEN_BARE, OPEN_TS, scripts};

/// Ten segments under way, the connection's first.
const TEN: &str = "
    0.020 write 14600
    0.020 > . 1:1461 ack 1
    0.020 > . 1461:2921 ack 1
    0.020 > . 2921:4381 ack 1
    0.020 > . 4381:5841 ack 1
    0.020 > . 5841:7301 ack 1
    0.020 > . 7301:8761 ack 1
    0.020 > . 8761:10221 ack 1
    0.020 > . 10221:11681 ack 1
    0.020 > . 11681:13141 ack 1
    0.020 > P. 13141:14601 ack 1
";

scripts! {
    // RFC 8985, section 6.2: what was sent before something that arrived is lost once the reordering window is over; three
    // segments behind it, and there is none.
    three_segments_behind_a_hole_mean_a_loss: format!("{OPEN}{TEN}
        0.040 < . 1:1 ack 1 win 1000 <sack 1461:2921>
        0.040 < . 1:1 ack 1 win 1000 <sack 1461:4381>
        0.040 < . 1:1 ack 1 win 1000 <sack 1461:5841>
        0.040 > . 1:1461 ack 1
        0.060 < . 1:1 ack 14601 win 1000
    ");
    // Fewer, and the reordering window of a quarter of the least round trip (5 ms) decides.
    one_segment_behind_a_hole_means_a_loss_a_little_later: format!("{OPEN}{TEN}
        0.040 < . 1:1 ack 1 win 1000 <sack 1461:2921>
        0.045 > . 1:1461 ack 1
        0.060 < . 1:1 ack 14601 win 1000
    ");
    what_arrives_within_the_reordering_window_was_not_lost: format!("{OPEN}{TEN}
        0.040 < . 1:1 ack 1 win 1000 <sack 1461:2921>
        0.042 < . 1:1 ack 14601 win 1000
        0.5 count segments_out 11
    ");
    // Each hole by itself, in one round trip.
    two_holes_are_filled_in_one_round_trip: format!("{OPEN}{TEN}
        0.040 < . 1:1 ack 1 win 1000 <sack 1461:4381>
        0.040 < . 1:1 ack 1 win 1000 <sack 5841:7301 1461:4381>
        0.040 > . 1:1461 ack 1
        0.040 < . 1:1 ack 1 win 1000 <sack 5841:8761 1461:4381>
        0.040 < . 1:1 ack 1 win 1000 <sack 5841:14601 1461:4381>
        0.040 > . 4381:5841 ack 1
        0.060 < . 1:1 ack 4381 win 1000 <sack 5841:14601>
        0.060 < . 1:1 ack 14601 win 1000
    ");
    // RFC 8985: a retransmission that is lost too is seen by what was sent after it.
    a_lost_retransmission_is_sent_again_without_a_timeout: format!("{OPEN}{TEN}
        0.040 < . 1:1 ack 1 win 1000 <sack 1461:5841>
        0.040 > . 1:1461 ack 1
        0.041 < . 1:1 ack 1 win 1000 <sack 1461:14601>
        0.041 write 2920
        0.041 > . 14601:16061 ack 1
        0.041 > P. 16061:17521 ack 1
        0.061 < . 1:1 ack 1 win 1000 <sack 1461:16061>
        0.061 > . 1:1461 ack 1
        0.081 < . 1:1 ack 17521 win 1000
    ");
    // RFC 6582: three duplicates of a peer without SACK, and a part acknowledged in recovery.
    newreno_for_a_peer_without_blocks: format!("{OPEN_BARE}{TEN}
        0.040 < . 1:1 ack 1 win 65535
        0.040 < . 1:1 ack 1 win 65535
        0.040 < . 1:1 ack 1 win 65535
        0.040 > . 1:1461 ack 1
        0.060 < . 1:1 ack 4381 win 65535
        0.060 > . 4381:5841 ack 1
        0.080 < . 1:1 ack 14601 win 65535
    ");
    two_duplicates_are_no_loss: format!("{OPEN_BARE}{TEN}
        0.040 < . 1:1 ack 1 win 65535
        0.040 < . 1:1 ack 1 win 65535
        0.041 < . 1:1 ack 14601 win 65535
    ");
    // RFC 5681, section 2: with data, or with another window, an acknowledgement is no duplicate.
    a_window_update_is_no_duplicate: format!("{OPEN_BARE}{TEN}
        0.040 < . 1:1 ack 1 win 65534
        0.040 < . 1:1 ack 1 win 65533
        0.040 < . 1:1 ack 1 win 65532
        0.041 < . 1:1 ack 14601 win 65535
    ");
    // RFC 8985, section 7: the tail is lost; a probe after two round trips, and what a peer may delay.
    a_lost_tail_is_probed: format!("{OPEN}
        0.020 write 2920
        0.020 > . 1:1461 ack 1
        0.020 > P. 1461:2921 ack 1
        0.040 < . 1:1 ack 1461 win 1000
        0.260 > P. 1461:2921 ack 1
        0.280 < . 1:1 ack 2921 win 1000
    ");
    // More than one segment: two round trips and two milliseconds.
    a_lost_flight_is_probed_by_its_last: format!("{OPEN}{TEN}
        0.062 > P. 13141:14601 ack 1
        0.082 < . 1:1 ack 1 win 1000 <sack 13141:14601>
        0.082 > . 1:1461 ack 1
        0.102 < . 1:1 ack 14601 win 1000
    ");
    // RFC 8985, section 7.3: the probe is something new where there is something.
    a_probe_is_new_data_where_there_is_some: format!("{OPEN}
        0.020 write 20000
        0.020 > . 1:1461 ack 1
        0.020 > . 1461:2921 ack 1
        0.020 > . 2921:4381 ack 1
        0.020 > . 4381:5841 ack 1
        0.020 > . 5841:7301 ack 1
        0.020 > . 7301:8761 ack 1
        0.020 > . 8761:10221 ack 1
        0.020 > . 10221:11681 ack 1
        0.020 > . 11681:13141 ack 1
        0.020 > . 13141:14601 ack 1
        0.062 > . 14601:16061 ack 1
        0.063 < . 1:1 ack 16061 win 1000
        0.063 > . 16061:17521 ack 1
        0.063 > . 17521:18981 ack 1
        0.063 > P. 18981:20001 ack 1
        0.083 < . 1:1 ack 20001 win 1000
    ");
    // RFC 6298, section 5: the timeout, and twice that.
    timeouts_back_off: format!("{OPEN_BARE}
        0.020 write 100
        0.020 > P. 1:101 ack 1
        0.240 > P. 1:101 ack 1
        0.680 > P. 1:101 ack 1
        1.560 > P. 1:101 ack 1
        1.580 < . 1:1 ack 101 win 65535
    ");
    // After a timeout one segment, and slow start from there.
    a_timeout_begins_anew: format!("{OPEN_BARE}{TEN}
        0.240 > . 1:1461 ack 1
        0.260 < . 1:1 ack 1461 win 65535
        0.260 > . 1461:2921 ack 1
        0.260 > . 2921:4381 ack 1
        0.280 < . 1:1 ack 4381 win 65535
        0.280 > . 4381:5841 ack 1
        0.280 > . 5841:7301 ack 1
        0.280 > . 7301:8761 ack 1
        0.280 > . 8761:10221 ack 1
        0.300 < . 1:1 ack 14601 win 65535
    ");
    // RFC 5682: what was not sent again is acknowledged: the timeout was spurious, and the window is what it was.
    a_spurious_timeout_is_undone: format!("{OPEN_BARE}{TEN}
        0.240 > . 1:1461 ack 1
        0.250 write 8760
        0.250 < . 1:1 ack 1461 win 65535
        0.250 > . 14601:16061 ack 1
        0.250 > . 16061:17521 ack 1
        0.251 < . 1:1 ack 2921 win 65535
        0.252 < . 1:1 ack 14601 win 65535
        0.252 > . 17521:18981 ack 1
        0.252 > . 18981:20441 ack 1
        0.252 > . 20441:21901 ack 1
        0.252 > P. 21901:23361 ack 1
        0.270 < . 1:1 ack 23361 win 65535
    ");
    // RFC 3522: the timestamp says which of both was acknowledged.
    a_spurious_timeout_is_seen_by_its_timestamp: format!("{OPEN_TS}
        0.020 write 2896
        0.020 > . 1:1449 ack 1
        0.020 > P. 1449:2897 ack 1
        0.062 > P. 1449:2897 ack 1
        0.282 > . 1:1449 ack 1
        0.290 < . 1:1 ack 2897 win 1000 <TS val 300 ecr @0.020>
        0.290 write 28960
        0.290 > . 2897:4345 ack 1
        0.290 > . 4345:5793 ack 1
        0.290 > . 5793:7241 ack 1
        0.290 > . 7241:8689 ack 1
        0.290 > . 8689:10137 ack 1
        0.290 > . 10137:11585 ack 1
        0.290 > . 11585:13033 ack 1
        0.290 > . 13033:14481 ack 1
        0.290 > . 14481:15929 ack 1
        0.290 > . 15929:17377 ack 1
        0.290 > . 17377:18825 ack 1
        0.290 > . 18825:20273 ack 1
        0.310 < . 1:1 ack 17377 win 1000 <TS val 320 ecr @0.290>
        0.310 > . 20273:21721 ack 1
        0.310 > . 21721:23169 ack 1
        0.310 > . 23169:24617 ack 1
        0.310 > . 24617:26065 ack 1
        0.310 > . 26065:27513 ack 1
        0.310 > . 27513:28961 ack 1
        0.310 > . 28961:30409 ack 1
        0.310 > P. 30409:31857 ack 1
        0.330 < . 1:1 ack 31857 win 1000 <TS val 340 ecr @0.310>
    ");
    // RFC 2018, section 8: what was sacked may be dropped; after a timeout everything is sent that is not acknowledged.
    a_peer_that_takes_its_word_back: format!("{OPEN}
        0.020 write 2920
        0.020 > . 1:1461 ack 1
        0.020 > P. 1461:2921 ack 1
        0.040 < . 1:1 ack 1 win 1000 <sack 1461:2921>
        0.045 > . 1:1461 ack 1
        0.065 < . 1:1 ack 1461 win 1000
        0.285 > P. 1461:2921 ack 1
        0.305 < . 1:1 ack 2921 win 1000
    ");
    // SackBlocks of what was never sent, upside down, or of what is acknowledged say nothing.
    blocks_that_cannot_be_are_left: format!("{OPEN}
        0.020 write 1460
        0.020 > P. 1:1461 ack 1
        0.030 < . 1:1 ack 1 win 1000 <sack 5000:6000>
        0.030 < . 1:1 ack 1 win 1000 <sack 1461:1>
        0.030 < . 1:1 ack 1 win 1000 <sack -100:0>
        0.040 < . 1:1 ack 1461 win 1000
    ");
    // A block that ends within a segment says nothing of it.
    a_part_of_a_segment_is_not_sacked: format!("{OPEN}{TEN}
        0.040 < . 1:1 ack 1 win 1000 <sack 1461:2000>
        0.041 < . 1:1 ack 14601 win 1000
    ");
    // An acknowledgement of a part of a segment: the rest of it is still under way.
    a_part_of_a_segment_is_acknowledged: format!("{OPEN_BARE}
        0.020 write 1000
        0.020 > P. 1:1001 ack 1
        0.040 < . 1:1 ack 501 win 65535
        0.260 > P. 501:1001 ack 1
        0.280 < . 1:1 ack 1001 win 65535
    ");
    // An outage looks as a path that drops what is large (RFC 4821, section 7.7): full segments are tried again.
    segments_grow_again_after_an_outage: format!("{OPEN_BARE}
        0.020 write 1460
        0.020 > P. 1:1461 ack 1
        0.240 > P. 1:1461 ack 1
        0.680 > . 1:1025 ack 1
        1.560 > . 1:1025 ack 1
        3.320 > . 1:513 ack 1
        3.340 < . 1:1 ack 513 win 65535
        3.340 > . 513:1025 ack 1
        3.340 > P. 1025:1461 ack 1
        3.360 < . 1:1 ack 1461 win 65535
        3.360 write 600
        3.360 > . 1461:1973 ack 1
        3.360 > P. 1973:2061 ack 1
        3.380 < . 1:1 ack 2061 win 65535
        30.0 write 1000
        30.0 > . 2061:2573 ack 1
        30.0 > P. 2573:3061 ack 1
        30.02 < . 1:1 ack 3061 win 65535
        30.02 write 1460
        30.02 > P. 3061:4521 ack 1
        30.04 < . 1:1 ack 4521 win 65535
    ");
}
