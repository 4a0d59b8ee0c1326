use super::*;
use crate::CYCLE_PS;

/// Runs the source into the sink for `cycles`, from `start`.
fn wire(
    source: &mut XgmiiSource,
    cycles: std::ops::Range<u64>,
) -> (Vec<WireFrame>, Vec<WireError>) {
    let (mut sink, mut frames, mut errors) = (XgmiiSink::new(), vec![], vec![]);
    for cycle in cycles {
        let now = cycle * CYCLE_PS;
        let (data, ctrl) = source.next(now);
        match sink.push(now, data, ctrl) {
            Ok(frame) => frames.extend(frame),
            Err(error) => errors.push(error),
        }
    }
    (frames, errors)
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + len) as u8).collect()
}

#[test]
fn what_is_sent_arrives() {
    let mut source = XgmiiSource::new();
    let lengths = (0..300).chain([1514, 9216]);
    for len in lengths.clone() {
        source.send(WireFrame::new(0, payload(len)));
    }
    let (frames, errors) = wire(&mut source, 0..20_000);
    assert_eq!(errors, []);
    assert!(source.is_idle());
    assert!(frames.iter().all(|frame| frame.fcs_ok));
    assert!(
        frames
            .iter()
            .map(|frame| &frame.bytes)
            .eq(&lengths.map(payload).collect::<Vec<_>>())
    );
}

#[test]
fn gaps_are_twelve_on_average_for_every_length() {
    for len in 60..=68 {
        let mut source = XgmiiSource::new();
        for _ in 0..401 {
            source.send(WireFrame::new(0, payload(len)));
        }
        let (frames, errors) = wire(&mut source, 0..10_000);
        assert_eq!(errors, []);
        let octets = (frames[400].at - frames[0].at) / OCTET_PS;
        assert_eq!(octets, 400 * (8 + len as u64 + 4 + GAP));
    }
}

#[test]
fn a_frame_waits_for_its_time_in_either_lane() {
    let mut source = XgmiiSource::new();
    source.send(WireFrame::new(100 * CYCLE_PS + 1, payload(60)));
    source.send(WireFrame::new(200 * CYCLE_PS, payload(60)));
    assert_eq!(source.next_at(), Some(100 * CYCLE_PS));
    let (frames, errors) = wire(&mut source, 0..300);
    assert_eq!(errors, []);
    let starts: Vec<_> = frames.iter().map(|frame| frame.at).collect();
    assert_eq!(starts, [100 * CYCLE_PS + 4 * OCTET_PS, 200 * CYCLE_PS]);
    assert_eq!(frames[0].end, starts[0] + (8 + 64) * OCTET_PS);
    assert_eq!(source.next_at(), None);
}

#[test]
fn idle_cycles_may_be_left_out() {
    let run = |skip: bool| {
        let (mut source, mut sink, mut frames) = (XgmiiSource::new(), XgmiiSink::new(), vec![]);
        for n in 0..50 {
            source.send(WireFrame::new(n * n * 9_999, payload(60 + n as usize % 9)));
        }
        let mut now = 0;
        while now < 5_000 * CYCLE_PS {
            if skip && let Some(at) = source.next_at() {
                now = now.max(at);
            }
            let (data, ctrl) = source.next(now);
            frames.extend(sink.push(now, data, ctrl).expect("correct columns"));
            now += CYCLE_PS;
        }
        frames
    };
    assert_eq!(run(false).len(), 50);
    assert_eq!(run(false), run(true));
}

#[test]
fn faults_are_found() {
    let good = || WireFrame::new(0, payload(100));
    type Case = (Faults, fn(&WireError) -> bool);
    let cases: [Case; 4] = [
        (
            Faults {
                short_preamble: 2,
                ..Faults::default()
            },
            |error| {
                matches!(
                    error,
                    WireError::Preamble {
                        octet: SFD,
                        index: 5,
                        ..
                    }
                )
            },
        ),
        (
            Faults {
                no_sfd: true,
                ..Faults::default()
            },
            |error| {
                matches!(
                    error,
                    WireError::Preamble {
                        octet: PREAMBLE,
                        index: 7,
                        ..
                    }
                )
            },
        ),
        (
            Faults {
                error_at: Some(103),
                ..Faults::default()
            },
            |error| matches!(error, WireError::Control { octet: ERROR, .. }),
        ),
        (
            Faults {
                no_terminate: true,
                ..Faults::default()
            },
            |error| matches!(error, WireError::Control { octet: IDLE, .. }),
        ),
    ];
    for (faults, expected) in cases {
        let mut source = XgmiiSource::new();
        for frame in [good(), good().with_faults(faults), good()] {
            source.send(frame);
        }
        let (frames, errors) = wire(&mut source, 0..100);
        assert_eq!(frames.len(), 2, "{faults:?}");
        assert!(
            errors.len() == 1 && expected(&errors[0]),
            "{faults:?}: {errors:?}"
        );
    }

    let mut source = XgmiiSource::new();
    source.send(good().bad_fcs());
    let (frames, errors) = wire(&mut source, 0..100);
    assert!(errors.is_empty() && !frames[0].fcs_ok);
}

#[test]
fn gaps_that_are_too_short_are_found() {
    // Without deficit idle count a gap of 9 is 9 (length 63) again and again: 3 behind each time.
    let mut source = XgmiiSource::new();
    source.set_gap(9, false);
    for _ in 0..3 {
        source.send(WireFrame::new(0, payload(63)));
    }
    let (frames, errors) = wire(&mut source, 0..100);
    assert_eq!(frames.len(), 3);
    assert!(
        matches!(
            errors[..],
            [WireError::Deficit {
                gap: 9,
                deficit: 6,
                ..
            }]
        ),
        "{errors:?}"
    );

    let mut source = XgmiiSource::new();
    source.set_gap(5, false);
    source.send(WireFrame::new(0, payload(63)));
    source.send(WireFrame::new(0, payload(63)));
    let (frames, errors) = wire(&mut source, 0..100);
    assert_eq!(frames.len(), 2);
    assert!(
        matches!(errors[..], [WireError::Gap { gap: 5, .. }]),
        "{errors:?}"
    );
}

#[test]
fn nothing_on_the_pins_panics() {
    // A small generator, so that this does not depend on a crate's idea of randomness.
    let mut state = 0x5eed_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut sink = XgmiiSink::new();
    let (mut frames, mut errors) = (0, 0);
    for cycle in 0..200_000 {
        let mut data = [0; 8];
        let mut ctrl = 0;
        for (lane, octet) in data.iter_mut().enumerate() {
            (*octet, ctrl) = match random() % 8 {
                0 => (START, ctrl | 1 << lane),
                1 => (TERMINATE, ctrl | 1 << lane),
                2 => (IDLE, ctrl | 1 << lane),
                3 => (random() as u8, ctrl | 1 << lane),
                4 => (SFD, ctrl),
                _ => (PREAMBLE, ctrl),
            };
        }
        if random() % 4 == 0 {
            (data, ctrl) = ([START, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, SFD], 1);
        }
        match sink.push(cycle * CYCLE_PS, u64::from_le_bytes(data), ctrl) {
            Ok(Some(_)) => frames += 1,
            Ok(None) => {}
            Err(_) => errors += 1,
        }
    }
    assert!(
        frames > 10 && errors > 10_000,
        "{frames} frames, {errors} errors"
    );
}

#[test]
fn a_transmitter_that_is_reset_cuts_its_frame() {
    let mut source = XgmiiSource::new();
    source.send(WireFrame::new(0, payload(100)));
    let mut sink = XgmiiSink::new();
    for cycle in 0..5 {
        let now = cycle * CYCLE_PS;
        let (data, ctrl) = source.next(now);
        assert_eq!(sink.push(now, data, ctrl), Ok(None));
    }
    assert!(sink.cut(5 * CYCLE_PS));
    assert!(!sink.in_frame());
    assert!(!sink.cut(5 * CYCLE_PS), "nothing is left to be cut");
    // The next frame is as good as any, and nothing of the first is in it.
    let mut source = XgmiiSource::new();
    source.send(WireFrame::new(10 * CYCLE_PS, payload(64)));
    let frames: Vec<_> = (5..60)
        .filter_map(|cycle| {
            let (data, ctrl) = source.next(cycle * CYCLE_PS);
            sink.push(cycle * CYCLE_PS, data, ctrl).unwrap()
        })
        .collect();
    assert_eq!(frames.len(), 1);
    assert!(frames[0].fcs_ok && frames[0].bytes == payload(64));
}
