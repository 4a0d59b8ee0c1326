//! Several queue pairs and the control queue.

mod common;

use common::bench::{Bench, HDR_PLAIN, Net, frame, probe};
use common::function::{Function, RSS};
use common::pci::vector_of;
use driver::{Coalesce, Error, Feature, Options, Queue, Rss, RxMode};
use stack::{NetDeviceOps, SkBuff};

/// A device with `pairs` and everything but `off`, and so many vectors.
fn bench(pairs: u16, vectors: u16, off: Feature) -> Bench {
    let (dev, net) = probe(Options::default(), vectors, |f| {
        f.offered = Feature::SUPPORTED.without(off).bits();
        f.pairs = pairs;
    });
    Bench {
        dev,
        net: std::rc::Rc::new(std::cell::RefCell::new(net.unwrap())),
    }
}

/// The device's commands since the last call.
fn commands(bench: &Bench) -> Vec<(u8, u8, Vec<u8>)> {
    std::mem::take(&mut bench.dev.borrow_mut().commands)
}

fn skb(bench: &Bench, fill: u8, queue: u16) -> SkBuff {
    let mut skb = bench.skb(100, fill);
    skb.queue_mapping = queue;
    skb
}

#[test]
fn each_pair_has_vectors_and_a_napi_instance_of_its_own() {
    let mut bench = bench(4, 9, Feature::NONE);
    assert_eq!(bench.net.num_queues(), 4);
    for pair in 0..4usize {
        let queue = pair as u16;
        assert!(
            bench
                .dev
                .borrow_mut()
                .receive_at(pair, HDR_PLAIN, &frame(90, queue as u8))
        );
        let message = bench.dev.borrow_mut().messages.pop_front().unwrap();
        let vectors = bench.net.borrow().vectors();
        assert_eq!(vector_of(message), vectors.rx(queue));
        let action = bench.net.borrow_mut().handle_irq(vector_of(message));
        assert_eq!(action.schedule_napi, 1 << pair);
        // Only this pair's interrupts are off.
        let next = (pair + 1) % 4;
        let mut rx = Vec::new();
        for other in (0..4).filter(|other| *other != queue) {
            assert_eq!(bench.net.poll_queue(other, 64, &mut rx), 0);
        }
        assert_eq!(bench.net.poll_queue(queue, 64, &mut rx), 1);
        assert_eq!(
            (rx[0].data(), rx[0].rx_queue),
            (&frame(90, queue as u8)[..], queue + 1)
        );
        assert!(
            bench
                .dev
                .borrow_mut()
                .receive_at(next, HDR_PLAIN, &frame(60, 0))
        );
        assert_eq!(bench.dev.borrow_mut().messages.drain(..).count(), 1);
        assert!(bench.net.complete_queue(queue));
        bench.net.poll_queue(next as u16, 64, &mut rx);
        assert!(bench.net.complete_queue(next as u16));

        bench.net.start_xmit(skb(&bench, 7, queue)).unwrap();
        bench.net.flush();
        bench.dev.borrow_mut().transmit_at(pair, 1);
        assert_eq!(bench.sent().len(), 1);
        let message = bench.dev.borrow_mut().messages.pop_front().unwrap();
        assert_eq!(vector_of(message), vectors.tx(queue));
        bench.net.poll_queue(queue, 64, &mut rx);
        assert!(bench.net.complete_queue(queue));
        let stats = bench.net.borrow().queue_stats(queue);
        assert_eq!(stats.tx_packets, 1);
        assert!(stats.rx_packets >= 1);
    }
    assert_eq!(bench.net.borrow().stats().tx_completed, 4);
    bench.assert_clean();
}

#[test]
fn pairs_share_vectors_when_there_are_few() {
    for (vectors, all) in [(5, 0b1000), (4, 0b1100), (2, 0b1100), (1, 0b1100)] {
        let bench = bench(4, vectors, Feature::NONE);
        assert!(
            bench
                .dev
                .borrow_mut()
                .receive_at(2, HDR_PLAIN, &frame(90, 0))
        );
        assert!(
            bench
                .dev
                .borrow_mut()
                .receive_at(3, HDR_PLAIN, &frame(90, 0))
        );
        let message = bench.dev.borrow_mut().messages.pop_back().unwrap();
        let action = bench.net.borrow_mut().handle_irq(vector_of(message));
        assert_eq!(action.schedule_napi, all, "{vectors} vectors");
        bench.assert_clean();
    }
}

#[test]
fn a_full_queue_does_not_stop_the_driver_from_taking_for_another() {
    let mut bench = bench(2, 5, Feature::NONE);
    let mut full = 0;
    while bench.net.start_xmit(skb(&bench, 1, 1)).is_ok() {
        full += 1;
    }
    assert!(!bench.net.tx_ready());
    bench.net.start_xmit(skb(&bench, 2, 0)).unwrap();
    bench.net.flush();
    bench.dev.borrow_mut().transmit_at(0, usize::MAX);
    assert_eq!(bench.sent().len(), 1);
    bench.dev.borrow_mut().transmit_at(1, usize::MAX);
    assert_eq!(bench.sent().len(), full);
    bench.net.poll_queue(1, 64, &mut Vec::new());
    assert!(bench.net.tx_ready());
    // A stack that names a queue which is not there is served by one that is.
    bench.net.start_xmit(skb(&bench, 3, 7)).unwrap();
    bench.net.flush();
    bench.dev.borrow_mut().transmit_at(1, usize::MAX);
    assert_eq!(bench.sent().len(), 1);
    bench.assert_clean();
}

#[test]
fn steering_is_configured_before_traffic_and_again_after_a_reset() {
    for (off, pairs, expected) in [
        (Feature::NONE, 3, (4, 1)),
        (Feature::RSS, 3, (4, 0)),
        (Feature::MQ, 3, (4, 1)),
    ] {
        let mut bench = bench(pairs, 9, off);
        for round in 0..2 {
            let sent = commands(&bench);
            assert_eq!(sent[0], (0, 0, vec![0]), "not promiscuous");
            assert_eq!(sent[1], (0, 1, vec![1]), "all groups");
            assert_eq!((sent[2].0, sent[2].1), expected);
            if expected.1 == 0 {
                assert_eq!(sent[2].2, [3, 0]);
            } else {
                // Types, mask, unclassified, 64 entries, pairs, key.
                assert_eq!(sent[2].2.len(), 8 + 2 * usize::from(RSS.1) + 3 + 40);
                assert_eq!(
                    sent[2].2[..14],
                    [0x3f, 0, 0, 0, 63, 0, 0, 0, 0, 0, 1, 0, 2, 0]
                );
            }
            assert_eq!(sent.len(), 3);
            if round == 0 {
                bench.net.borrow_mut().reset_and_recover().unwrap();
            }
        }
        common::bench::works(&mut bench);
        bench.assert_clean();
    }
    // One pair needs no command for it; and without a control queue there is one pair.
    let one = bench(1, 3, Feature::NONE);
    assert_eq!(commands(&one).len(), 2);
    assert_eq!(one.net.borrow().queue_pairs(), 1);
    let none = bench(4, 9, Feature::CTRL_VQ);
    assert_eq!(
        (commands(&none).len(), none.net.borrow().queue_pairs()),
        (0, 1)
    );
}

#[test]
fn every_command_has_the_specifications_layout_and_is_given_again() {
    let bench = bench(2, 5, Feature::NONE);
    commands(&bench);
    let set = |net: &mut Net| {
        net.set_rx_mode(RxMode {
            promiscuous: true,
            all_multicast: false,
        })?;
        net.set_mac_table(
            &[[2, 0, 0, 0, 0, 9]],
            &[[1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]],
        )?;
        net.set_mac_address([2, 1, 2, 3, 4, 5])?;
        net.set_vlan(7, true)?;
        net.set_vlan(0x123, true)?;
        net.set_vlan(7, false)?;
        net.set_coalesce(Coalesce {
            rx_usecs: 20,
            rx_max_packets: 300,
            tx_usecs: 50,
            tx_max_packets: 2,
        })?;
        net.set_rss(&Rss {
            hash_types: 3,
            key: [9; 40],
            table: vec![1, 0],
            unclassified: 1,
        })
    };
    set(&mut bench.net.borrow_mut()).unwrap();
    let mut rss = vec![3, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 2, 0, 40];
    rss.extend([9; 40]);
    let table = [
        &[1, 0, 0, 0, 2, 0, 0, 0, 0, 9][..],
        &[2, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1, 0x33, 0x33, 0, 0, 0, 1],
    ]
    .concat();
    let all = [
        (0, 0, vec![1]),
        (0, 1, vec![0]),
        (1, 0, table),
        (1, 1, vec![2, 1, 2, 3, 4, 5]),
        (2, 0, vec![7, 0]),
        (2, 0, vec![0x23, 1]),
        (2, 1, vec![7, 0]),
        (6, 1, vec![0x2c, 1, 0, 0, 20, 0, 0, 0]),
        (6, 0, vec![2, 0, 0, 0, 50, 0, 0, 0]),
        (4, 1, rss),
    ];
    assert_eq!(commands(&bench), all);
    assert_eq!(bench.net.mac(), [2, 1, 2, 3, 4, 5]);
    bench.net.borrow_mut().reset_and_recover().unwrap();
    let mut again = commands(&bench);
    again.sort();
    let mut kept: Vec<_> = all
        .into_iter()
        .filter(|c| c.0 != 2 || c.2 != [7, 0])
        .collect();
    kept.sort();
    assert_eq!(again, kept);
    bench.assert_clean();
}

#[test]
fn what_cannot_be_asked_for_is_an_error() {
    let bench = bench(
        2,
        5,
        Feature::CTRL_VLAN | Feature::CTRL_RX | Feature::NOTF_COAL,
    );
    let mut net = bench.net.borrow_mut();
    for (refused, feature) in [
        (net.set_vlan(1, true), Feature::CTRL_VLAN),
        (net.set_rx_mode(RxMode::default()), Feature::CTRL_RX),
        (net.set_coalesce(Coalesce::default()), Feature::NOTF_COAL),
    ] {
        assert!(matches!(refused, Err(Error::NotNegotiated { feature: f }) if f == feature));
    }
    let group = net.set_mac_address([1, 0, 0x5e, 0, 0, 1]);
    assert!(matches!(group, Err(Error::Options { .. })));
    let third = net.reset_queue(Queue::Receive(2));
    assert!(matches!(third, Err(Error::NoQueue { queue: 4 })));
    drop(net);

    commands(&bench);
    bench.dev.borrow_mut().ack = Some(1);
    let refused = bench.net.borrow_mut().set_mac_address([2; 6]);
    assert!(matches!(refused, Err(Error::ControlRefused { ack: 1, .. })));
    assert_ne!(bench.net.mac(), [2; 6]);
    assert!(
        !bench.net.borrow().needs_reset(),
        "a refusal breaks nothing"
    );
    assert_eq!(bench.net.borrow().stats().ctrl_refused, 1);
}

#[test]
fn a_device_that_does_not_answer_a_command_is_reset() {
    let silent = |f: &mut Function| {
        f.offered = Feature::SUPPORTED.bits();
        f.pairs = 2;
        f.ack = None;
    };
    let options = Options {
        poll_limit: 20,
        ..Options::default()
    };
    let (_, net) = probe(options, 5, silent);
    assert!(matches!(net.err(), Some(Error::ControlTimeout { .. })));

    let mut bench = bench(2, 5, Feature::NONE);
    bench.dev.borrow_mut().ack = None;
    let lost = bench.net.borrow_mut().set_vlan(1, true);
    assert!(matches!(lost, Err(Error::ControlTimeout { .. })));
    assert!(bench.net.borrow().needs_reset());
    bench.dev.borrow_mut().ack = Some(0);
    bench.net.borrow_mut().reset_and_recover().unwrap();
    common::bench::works(&mut bench);
    bench.assert_clean();
}
