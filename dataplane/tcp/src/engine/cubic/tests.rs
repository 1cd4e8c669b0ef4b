use super::*;

const MSS: u32 = 1_448;

/// Acknowledges a whole window each round trip.
fn rounds(cubic: &mut Cubic, rtt: Duration, count: u32, now: &mut Nanos) {
    for _ in 0..count {
        let window = cubic.window();
        let mut left = window;
        while left > 0 {
            let bytes = left.min(2 * MSS);
            cubic.grow(&growth(bytes, rtt), *now);
            left -= bytes;
        }
        *now = now.after(rtt);
    }
}

fn growth(bytes: u32, rtt: Duration) -> Growth {
    Growth {
        bytes,
        una: Seq(1),
        next: Seq(2),
        sample: None,
        smoothed: rtt,
    }
}

#[test]
fn slow_start_doubles_each_round_trip() {
    let (mut cubic, mut now) = (Cubic::new(MSS), Nanos(0));
    let start = cubic.window();
    rounds(&mut cubic, Duration::from_millis(50), 5, &mut now);
    assert_eq!(cubic.window(), start * 32);
}

/// The figures that RFC 9438 gives for the function itself, section 4.2: after K seconds the window is the peak again.
#[test]
fn the_peak_is_reached_again_after_k() {
    let (mut cubic, mut now) = (Cubic::new(MSS), Nanos(0));
    cubic.set_window(1_000 * MSS);
    cubic.reduce();
    cubic.set_window(cubic.threshold());
    assert!(cubic.window().abs_diff(700 * MSS) <= 1);
    let k = (300.0f64 / 0.4).cbrt();
    let rtt = Duration::from_millis(100);
    rounds(&mut cubic, rtt, (k / 0.1) as u32, &mut now);
    let window = cubic.window() / MSS;
    assert!((985..=1_002).contains(&window), "{window}");
    rounds(&mut cubic, rtt, 60, &mut now);
    assert!(
        cubic.window() / MSS > 1_080,
        "beyond the peak: {}",
        cubic.window() / MSS
    );
}

#[test]
fn on_short_paths_it_grows_no_slower_than_reno() {
    let (mut cubic, mut now) = (Cubic::new(MSS), Nanos(0));
    cubic.set_window(20 * MSS);
    cubic.reduce();
    cubic.set_window(cubic.threshold());
    rounds(&mut cubic, Duration::from_millis(1), 40, &mut now);
    // 14 + 0.53 a round until 20, then 1 a round.
    let window = cubic.window() / MSS;
    assert!((40..=52).contains(&window), "{window}");
}

#[test]
fn two_losses_in_a_row_give_room_to_others() {
    let mut cubic = Cubic::new(MSS);
    cubic.set_window(100 * MSS);
    cubic.reduce();
    cubic.set_window(cubic.threshold());
    cubic.reduce();
    assert!(
        (cubic.peak - f64::from(70 * MSS) * 0.85).abs() < 1.0,
        "{}",
        cubic.peak
    );
}

#[test]
fn what_was_learnt_ages() {
    let mut cubic = Cubic::new(MSS);
    cubic.set_window(1_000 * MSS);
    cubic.idle(Duration::from_secs(2), Duration::from_secs(1));
    assert_eq!(cubic.window(), 250 * MSS);
    cubic.idle(Duration::from_secs(3_600), Duration::from_secs(1));
    assert_eq!(cubic.window(), 10 * MSS);
}

/// RFC 9438, section 4.8: growth begins where the threshold is reached, by a twentieth a round trip at least.
#[test]
fn a_timeout_forgets_the_peak() {
    let rtt = Duration::from_millis(20);
    let (mut cubic, mut now) = (Cubic::new(MSS), Nanos(0));
    rounds(&mut cubic, rtt, 5, &mut now);
    cubic.time_out();
    cubic.set_window(cubic.threshold());
    let before = f64::from(cubic.window());
    rounds(&mut cubic, rtt, 10, &mut now);
    let grown = f64::from(cubic.window()) / before;
    assert!((1.05_f64.powi(9)..1.05_f64.powi(12)).contains(&grown), "{grown}");
}
