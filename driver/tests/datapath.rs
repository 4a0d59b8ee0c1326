//! Frames in both directions, interrupts and doorbells, against a virtio network function in software.

mod common;

use common::bench::{Bench, DATA_VALID, HDR_PLAIN, frame};
use common::function::Sent;
use common::packed::Wish;
use driver::{Feature, Options, TxCompletion};
use stack::{CsumState, Frag, NetDeviceOps, PagePool, SkBuff};

#[test]
fn frames_arrive_without_a_copy() {
    let mut bench = Bench::new(Options::default());
    for n in 0..1000usize {
        let sent = frame(60 + n % 1455, n as u8);
        let hdr = if n % 2 == 0 { DATA_VALID } else { HDR_PLAIN };
        assert!(bench.dev.borrow_mut().receive(hdr, &sent));
        assert!(bench.interrupts());
        let got = bench.napi(64);
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].data(), sent);
        assert!(got[0].is_in(&bench.net.borrow().rx_pool()));
        let csum = if n % 2 == 0 {
            CsumState::Unnecessary
        } else {
            CsumState::None
        };
        assert_eq!(got[0].csum, csum);
    }
    let stats = *bench.net.borrow().stats();
    assert_eq!(
        (stats.rx_packets, stats.rx_csum_valid, stats.interrupts),
        (1000, 500, 1000)
    );
    bench.assert_clean();
}

#[test]
fn a_burst_costs_one_interrupt() {
    let mut bench = Bench::new(Options::default());
    for n in 0..200 {
        assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, n)));
    }
    assert_eq!(bench.dev.borrow().messages.len(), 1);
    assert!(bench.interrupts());
    let mut rx = Vec::new();
    for expected in [64, 64, 64, 8] {
        rx.clear();
        assert_eq!(bench.net.poll(64, &mut rx), expected);
    }
    // What arrives before the interrupt is on again is found by the last look.
    assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, 0)));
    assert!(!bench.net.complete());
    assert_eq!(bench.napi(64).len(), 1);
    assert_eq!(bench.dev.borrow().messages.len(), 0);
    assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, 0)));
    assert_eq!(bench.dev.borrow().messages.len(), 1);
    let stats = *bench.net.borrow().stats();
    assert_eq!(
        (
            stats.interrupts,
            stats.complete_races,
            stats.polls_exhausted
        ),
        (1, 1, 3)
    );
}

#[test]
fn no_interrupt_while_polling() {
    for features in [Feature::BASIC, !Feature::EVENT_IDX] {
        let mut bench = Bench::new(Options {
            features,
            ..Options::default()
        });
        assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, 0)));
        assert!(bench.interrupts());
        for n in 0..100 {
            assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, n)));
        }
        assert_eq!(bench.dev.borrow().messages.len(), 0);
        assert_eq!(bench.napi(64).len(), 101);
    }
}

#[test]
fn a_completion_during_complete_is_not_lost() {
    for features in [Feature::BASIC, !Feature::EVENT_IDX] {
        let mut bench = Bench::new(Options {
            features,
            ..Options::default()
        });
        let skb = bench.skb(64, 0);
        bench.net.start_xmit(skb).unwrap();
        bench.net.flush();
        assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, 0)));
        assert!(bench.interrupts());
        let mut rx = Vec::new();
        assert_eq!(bench.net.poll(64, &mut rx), 1);
        bench.dev.borrow_mut().transmit();
        assert!(!bench.net.complete(), "no interrupt will come for it");
        bench.napi(64);
        assert_eq!(bench.net.borrow().stats().tx_completed, 1);
    }
}

#[test]
fn a_stopped_queue_is_not_woken_for_one_descriptor() {
    let mut bench = Bench::new(Options {
        tx_queue_size: 40,
        ..Options::default()
    });
    let full = |bench: &mut Bench| {
        let skb = bench.skb(64, 0);
        bench.net.start_xmit(skb).is_err()
    };
    while !full(&mut bench) {}
    bench.dev.borrow_mut().transmit_up_to(8);
    bench.napi(64);
    assert!(full(&mut bench), "9 of 40 are free");
    bench.dev.borrow_mut().transmit_up_to(1);
    bench.napi(64);
    assert!(!full(&mut bench), "10 of 40 are free");
}

#[test]
fn frames_leave_with_the_header_in_front() {
    let mut bench = Bench::new(Options::default());
    for n in 0..1000usize {
        let skb = bench.skb(60 + n % 1455, n as u8);
        let expected = skb.data().to_vec();
        bench.net.start_xmit(skb).unwrap();
        bench.net.flush();
        bench.dev.borrow_mut().transmit();
        assert_eq!(
            bench.sent(),
            [Sent {
                hdr: [0; 12],
                frame: expected,
                ndesc: 1
            }]
        );
        if bench.interrupts() {
            assert!(bench.napi(64).is_empty());
        }
    }
    let pool = bench.net.tx_pool();
    assert_eq!(pool.available(), pool.count(), "all buffers came back");
    let stats = *bench.net.borrow().stats();
    assert_eq!(
        (stats.tx_packets, stats.tx_completed, stats.tx_kicks),
        (1000, 1000, 1000)
    );
    bench.assert_clean();
}

#[test]
fn more_frames_one_doorbell() {
    let mut bench = Bench::new(Options::default());
    for n in 0..50 {
        let skb = bench.skb(64, n);
        bench.net.start_xmit(skb).unwrap();
    }
    assert_eq!(bench.dev.borrow().doorbells[1], 0);
    bench.net.flush();
    bench.net.flush();
    assert_eq!(bench.dev.borrow().doorbells[1], 1);
    bench.dev.borrow_mut().set_wish(1, Wish::Never);
    let skb = bench.skb(64, 0);
    bench.net.start_xmit(skb).unwrap();
    bench.net.flush();
    assert_eq!(bench.dev.borrow().doorbells[1], 1);
    let stats = *bench.net.borrow().stats();
    assert_eq!((stats.tx_kicks, stats.tx_kicks_suppressed), (1, 1));
}

#[test]
fn a_full_queue_stops_and_is_woken() {
    for (features, tx_completion) in [
        (Feature::BASIC, TxCompletion::Interrupt),
        (Feature::BASIC, TxCompletion::WhenStopped),
        (!Feature::EVENT_IDX, TxCompletion::Interrupt),
        (
            !(Feature::EVENT_IDX | Feature::IN_ORDER),
            TxCompletion::WhenStopped,
        ),
    ] {
        let options = Options {
            features,
            tx_completion,
            tx_queue_size: 11,
            ..Options::default()
        };
        let mut bench = Bench::new(options);
        let mut skb = bench.skb(64, 0);
        for n in 1.. {
            match bench.net.start_xmit(skb) {
                Ok(()) => skb = bench.skb(64, n),
                Err(back) => {
                    skb = back;
                    break;
                }
            }
        }
        let stats = *bench.net.borrow().stats();
        assert_eq!(
            (stats.tx_packets, stats.tx_busy, stats.tx_stopped),
            (10, 1, 1)
        );
        assert_eq!(bench.dev.borrow().messages.len(), 0);
        bench.dev.borrow_mut().transmit();
        assert!(bench.interrupts(), "nothing wakes the stack");
        bench.napi(64);
        bench.net.start_xmit(skb).unwrap();
        bench.net.flush();
        bench.dev.borrow_mut().transmit();
        assert_eq!(bench.sent().len(), 11);
        assert_eq!(bench.net.borrow().stats().tx_woken, 1);
        bench.assert_clean();
    }
}

/// Fills the transmit queue of 11; returns what does not fit, if anything.
fn fill(bench: &mut Bench, frames: u8) -> Option<SkBuff> {
    (0..frames).find_map(|n| {
        let skb = bench.skb(64, n);
        bench.net.start_xmit(skb).err()
    })
}

#[test]
fn a_device_quicker_than_the_doorbell_does_not_stop_the_queue() {
    for tx_completion in [TxCompletion::Interrupt, TxCompletion::WhenStopped] {
        let mut bench = Bench::new(Options {
            tx_completion,
            tx_queue_size: 11,
            ..Options::default()
        });
        bench.dev.borrow_mut().transmit_at_doorbell = 100;
        assert!(fill(&mut bench, 100).is_none(), "no interrupt is to come");
        bench.net.flush();
        assert_eq!(bench.sent().len(), 100);
        let stats = *bench.net.borrow().stats();
        assert_eq!((stats.tx_packets, stats.tx_busy), (100, 0));
        assert_eq!(stats.tx_stopped, stats.tx_woken);
        bench.assert_clean();
    }
}

#[test]
fn a_flush_that_takes_back_what_the_interrupt_announces_says_so() {
    let mut bench = Bench::new(Options {
        tx_completion: TxCompletion::WhenStopped,
        tx_queue_size: 11,
        ..Options::default()
    });
    let skb = fill(&mut bench, 11).expect("full");
    assert!(!bench.net.tx_ready());
    bench.dev.borrow_mut().transmit();
    bench.net.flush();
    assert!(!bench.interrupts(), "nothing is left to be polled for");
    assert!(bench.net.tx_ready());
    bench.net.start_xmit(skb).unwrap();
    bench.assert_clean();
}

#[test]
fn checksum_is_left_to_the_device_or_done() {
    for offload in [true, false] {
        let features = if offload {
            Feature::BASIC
        } else {
            !Feature::CSUM
        };
        let mut bench = Bench::new(Options {
            features,
            ..Options::default()
        });
        let mut skb = bench.skb(60, 0x11);
        skb.csum = CsumState::Partial {
            start: 34,
            offset: 6,
        };
        bench.net.start_xmit(skb).unwrap();
        // Beyond the end.
        let mut bad = bench.skb(60, 0);
        bad.csum = CsumState::Partial {
            start: 34,
            offset: 25,
        };
        bench.net.start_xmit(bad).unwrap();
        bench.net.flush();
        bench.dev.borrow_mut().transmit();
        let [sent] = &bench.sent()[..] else {
            panic!("one frame")
        };
        if offload {
            assert_eq!(sent.hdr, [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0]);
            assert_eq!(sent.frame, [0x11; 60]);
        } else {
            assert_eq!(sent.hdr, [0; 12]);
            // 13 words of 0x1111 and nothing else: their sum is 0xdddd.
            assert_eq!(sent.frame[40..42], (!0xddddu16).to_be_bytes());
        }
        let stats = *bench.net.borrow().stats();
        assert_eq!(stats.tx_csum_offload, u64::from(offload));
        assert_eq!(
            (stats.tx_csum_software, stats.tx_csum_errors),
            (u64::from(!offload), 1)
        );
    }
}

#[test]
fn unreachable_buffers_are_copied_and_short_headroom_is_no_obstacle() {
    let mut bench = Bench::new(Options::default());
    let other = Bench::new(Options::default());
    let in_pool = |pool: &PagePool, headroom, seed| {
        let mut skb = SkBuff::alloc(pool, headroom, 100).unwrap();
        skb.put_slice(&frame(100, seed)).unwrap();
        skb
    };
    let heap = SkBuff::from_vec(frame(100, 1));
    let foreign = in_pool(&other.net.tx_pool(), 64, 2);
    assert!(
        foreign.dma_addr().is_some(),
        "an address, but one of another device"
    );
    let tight = in_pool(&bench.net.tx_pool(), 11, 3);
    let mut partial = in_pool(&bench.net.tx_pool(), 0, 4);
    partial.csum = CsumState::Partial {
        start: 34,
        offset: 16,
    };
    for skb in [heap, foreign, tight, partial] {
        bench.net.start_xmit(skb).unwrap();
    }
    bench.net.flush();
    bench.dev.borrow_mut().transmit();
    let csum_hdr = [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0];
    let sent = |hdr, seed, ndesc| Sent {
        hdr,
        frame: frame(100, seed),
        ndesc,
    };
    assert_eq!(
        bench.sent(),
        [
            sent([0; 12], 1, 1),
            sent([0; 12], 2, 1),
            sent([0; 12], 3, 2),
            sent(csum_hdr, 4, 2)
        ]
    );
    let stats = *bench.net.borrow().stats();
    assert_eq!((stats.tx_bounce, stats.tx_header_desc), (2, 2));
    bench.assert_clean();
}

#[test]
fn a_received_frame_can_be_sent_back_in_its_own_buffer() {
    let mut bench = Bench::new(Options::default());
    assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(1514, 9)));
    assert!(bench.interrupts());
    let skb = bench.napi(64).remove(0);
    bench.net.start_xmit(skb).unwrap();
    bench.net.flush();
    bench.dev.borrow_mut().transmit();
    assert_eq!(
        bench.sent(),
        [Sent {
            hdr: [0; 12],
            frame: frame(1514, 9),
            ndesc: 1
        }]
    );
    assert_eq!(bench.net.borrow().stats().tx_bounce, 0);
}

#[test]
fn illegal_frames_are_dropped_and_counted() {
    let mut bench = Bench::new(Options::default());
    for (len, dropped) in [(13, 1), (14, 0), (1522, 0), (1523, 1)] {
        let before = bench.net.borrow().stats().tx_length_errors;
        let skb = bench.skb(len, 0);
        bench.net.start_xmit(skb).unwrap();
        assert_eq!(
            bench.net.borrow().stats().tx_length_errors - before,
            dropped,
            "{len} bytes"
        );
    }
    // Received: header only, two buffers (dropped for its length), no buffer, GSO, checksum beyond the end.
    let hdr = |flags, gso, start, buffers| [flags, gso, 0, 0, 0, 0, start, 0, 6, 0, buffers, 0];
    for (hdr, len) in [
        (HDR_PLAIN, 13),
        (hdr(0, 0, 0, 2), 64),
        (hdr(0, 0, 0, 0), 64),
        (hdr(0, 1, 0, 1), 64),
        (hdr(1, 0, 57, 1), 64),
        (hdr(1, 0, 56, 1), 64),
    ] {
        assert!(bench.dev.borrow_mut().receive(hdr, &frame(len, 0)));
    }
    bench.interrupts();
    let got: Vec<_> = bench.napi(64).into_iter().map(|skb| skb.csum).collect();
    assert_eq!(
        got,
        [
            CsumState::None,
            CsumState::Partial {
                start: 56,
                offset: 6
            }
        ]
    );
    let stats = *bench.net.borrow().stats();
    assert_eq!(
        (stats.rx_length_errors, stats.rx_num_buffers_errors),
        (2, 2)
    );
    assert_eq!(
        (
            stats.rx_gso_errors,
            stats.rx_csum_errors,
            stats.rx_csum_partial
        ),
        (1, 1, 1)
    );
}

#[test]
fn without_guest_csum_flags_do_not_count() {
    let mut bench = Bench::new(Options {
        features: !Feature::GUEST_CSUM,
        ..Options::default()
    });
    assert!(bench.dev.borrow_mut().receive(DATA_VALID, &frame(64, 0)));
    bench.interrupts();
    assert_eq!(bench.napi(64)[0].csum, CsumState::None);
}

#[test]
fn a_dry_pool_is_survived() {
    let options = Options {
        rx_queue_size: 8,
        rx_buffers: 8,
        ..Options::default()
    };
    let mut bench = Bench::new(options);
    for n in 0..8 {
        assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, n)));
    }
    bench.interrupts();
    let held = bench.napi(64);
    assert_eq!(held.len(), 8);
    assert!(
        !bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, 0)),
        "no buffer"
    );
    assert!(bench.net.borrow().rx_starved());
    assert!(bench.net.borrow().stats().rx_refill_failed > 0);
    drop(held);
    bench.net.borrow_mut().refill();
    assert!(!bench.net.borrow().rx_starved());
    assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, 0)));
    assert!(bench.interrupts());
    assert_eq!(bench.napi(64).len(), 1);
}

#[test]
fn a_frame_in_pieces_is_one_chain() {
    let mut bench = Bench::new(Options::default());
    let pool = bench.net.tx_pool();
    let bytes = frame(300, 5);
    let in_pieces = |cuts: [usize; 3]| {
        let mut skb = SkBuff::alloc(&pool, 64, cuts[0]).unwrap();
        skb.put_slice(&bytes[..cuts[0]]).unwrap();
        for part in [
            &bytes[cuts[0]..cuts[1]],
            &bytes[cuts[1]..cuts[2]],
            &bytes[cuts[2]..],
        ] {
            let mut page = pool.alloc().unwrap();
            page.as_mut_slice()[9..9 + part.len()].copy_from_slice(part);
            skb.add_frag(Frag::new(page.share(), 9, part.len()));
        }
        skb
    };
    assert!(bench.net.features().sg);
    let whole = in_pieces([60, 100, 201]);
    // The clone's buffer belongs to two packets: the header goes before it, not into it.
    let clone = whole.skb_clone();
    bench.net.start_xmit(whole).unwrap();
    bench.net.start_xmit(clone).unwrap();
    // One piece that the device cannot reach: all of it is copied into one page.
    let mut heap = in_pieces([70, 80, 90]);
    heap.trim(299);
    heap.add_frag(Frag::from_vec(bytes[299..].to_vec()));
    bench.net.start_xmit(heap).unwrap();
    bench.net.flush();
    bench.dev.borrow_mut().transmit();
    let sent = |ndesc| Sent {
        hdr: [0; 12],
        frame: bytes.clone(),
        ndesc,
    };
    assert_eq!(bench.dev.borrow().sent, [sent(5), sent(5), sent(1)]);
    let stats = *bench.net.borrow().stats();
    assert_eq!(
        (stats.tx_sg, stats.tx_bounce, stats.tx_header_desc),
        (2, 1, 2)
    );
}

#[test]
fn a_frame_in_pieces_waits_until_all_of_them_fit() {
    let mut bench = Bench::new(Options {
        tx_queue_size: 20,
        ..Options::default()
    });
    let pool = bench.net.tx_pool();
    let plain = || {
        let mut skb = SkBuff::alloc(&pool, 64, 60).unwrap();
        skb.put_slice(&frame(60, 1)).unwrap();
        skb
    };
    for _ in 0..15 {
        bench.net.start_xmit(plain()).unwrap();
    }
    let mut large = plain();
    for _ in 0..4 {
        large.add_frag(Frag::new(pool.alloc().unwrap().share(), 0, 10));
    }
    // Five descriptors are free, one with a header of its own would need six.
    let large = bench.net.start_xmit(large).unwrap_err();
    assert!(!bench.net.tx_ready());
    bench.dev.borrow_mut().transmit();
    bench.net.poll(64, &mut Vec::new());
    assert!(bench.net.tx_ready());
    bench.net.start_xmit(large).unwrap();
    bench.net.flush();
    bench.dev.borrow_mut().transmit();
    assert_eq!(bench.dev.borrow().sent.last().unwrap().ndesc, 5);
}
