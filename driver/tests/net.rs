//! Life of the device against a virtio network function in software: probe, configuration, errors,
//! reset, removal.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::bench::{Bench, HDR_PLAIN, frame, probe, works};
use common::function::{DEVICE, Function};
use common::memory;
use common::pci::{Msi, Pci, vector_of};
use driver::{Duplex, Error, Feature, Options, Queue, VirtioNet};
use stack::{NetDeviceOps, SkBuff};

#[test]
fn probe_reads_the_device() {
    let bench = Bench::new(Options::default());
    let net = bench.net.borrow();
    assert_eq!(net.negotiated(), Feature::BASIC);
    assert_eq!(net.mac(), [2, 0, 0, 0, 0, 0x0b]);
    assert_eq!((net.mtu(), net.link_up()), (1500, true));
    assert_eq!(
        (net.config().speed, net.config().duplex),
        (Some(10_000), Some(Duplex::Full))
    );
    assert_eq!(net.queue_sizes(), (256, 256));
    let dev = bench.dev.borrow();
    assert_eq!(dev.status, 0x0f);
    assert_eq!((dev.regs[0].vector, dev.regs[1].vector), (1, 2));
    assert_eq!(dev.config[4] & 6, 6, "memory space and bus master");
    assert_eq!(dev.violations, [""; 0]);
}

#[test]
fn features_can_be_switched_off() {
    for off in [
        Feature::CSUM,
        Feature::IN_ORDER,
        Feature::MAC | Feature::MTU,
        Feature::STATUS,
    ] {
        let options = Options {
            features: !off,
            mtu: 1400,
            ..Options::default()
        };
        let bench = Bench::new(options);
        let net = bench.net.borrow();
        assert_eq!(net.negotiated(), Feature::BASIC.without(off));
        assert_eq!(
            net.mtu(),
            if off.contains(Feature::MTU) {
                1400
            } else {
                1500
            }
        );
        assert_eq!(net.mac()[1] == 0x57, off.contains(Feature::MAC));
        assert_eq!(net.features().hw_csum, off != Feature::CSUM);
        bench.assert_clean();
    }
}

#[test]
fn jumbo_frames_fit() {
    let mut bench = Bench::with(
        Options {
            rx_queue_size: 16,
            ..Options::default()
        },
        |f| f.mtu = 9216,
    );
    assert_eq!(bench.net.mtu(), 9216);
    let jumbo = frame(9216 + 14, 5);
    assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &jumbo));
    bench.interrupts();
    assert_eq!(bench.napi(64)[0].data(), jumbo);
    bench
        .net
        .start_xmit(SkBuff::from_vec(jumbo.clone()))
        .unwrap();
    bench.net.flush();
    bench.dev.borrow_mut().transmit();
    assert_eq!(bench.sent()[0].frame, jumbo);
}

#[test]
fn link_and_mtu_follow_the_configuration() {
    let bench = Bench::new(Options::default());
    let action = |bench: &Bench| {
        let message = bench.dev.borrow_mut().messages.pop_front().unwrap();
        assert_eq!(vector_of(message), bench.net.borrow().vectors().config);
        bench.net.borrow_mut().handle_irq(0)
    };
    bench.dev.borrow_mut().change_config(|f| f.net_status = 0);
    assert_eq!(action(&bench).link_changed, Some(false));
    assert!(!bench.net.link_up());
    bench.dev.borrow_mut().change_config(|f| f.net_status = 1);
    assert_eq!(action(&bench).link_changed, Some(true));
    bench.dev.borrow_mut().change_config(|f| f.mtu = 1280);
    assert_eq!(action(&bench).link_changed, None);
    assert_eq!(bench.net.mtu(), 1280);
    // The receive buffers are not made for this.
    bench.dev.borrow_mut().change_config(|f| f.mtu = 9000);
    action(&bench);
    assert_eq!(bench.net.mtu(), 1500);
    bench.dev.borrow_mut().change_config(|f| f.mtu = 20);
    action(&bench);
    assert_eq!(
        (bench.net.mtu(), bench.net.borrow().stats().config_errors),
        (1500, 1)
    );
    bench.assert_clean();
}

#[test]
fn a_torn_configuration_is_read_again() {
    let bench = Bench::with(Options::default(), |f| f.tear = 5);
    let torn = bench.net.borrow().mac()[5];
    assert_eq!(torn, bench.dev.borrow().mac[5]);
    let (_, net) = probe(
        Options {
            poll_limit: 20,
            ..Options::default()
        },
        3,
        |f| f.tear = 100,
    );
    assert!(matches!(net, Err(Error::ConfigUnstable)));
}

#[test]
fn needs_reset_is_recovered_from() {
    let mut bench = Bench::new(Options::default());
    assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, 0)));
    for _ in 0..5 {
        let skb = bench.skb(64, 0);
        bench.net.start_xmit(skb).unwrap();
    }
    bench.dev.borrow_mut().change_config(|f| f.status |= 64);
    let mut action = driver::IrqAction::default();
    while let Some(message) = { bench.dev.borrow_mut().messages.pop_front() } {
        action.needs_reset |= bench
            .net
            .borrow_mut()
            .handle_irq(vector_of(message))
            .needs_reset;
    }
    assert!(action.needs_reset && bench.net.borrow().needs_reset());
    // Nothing moves until then.
    let skb = bench.skb(64, 0);
    bench.net.start_xmit(skb).unwrap();
    assert_eq!(bench.net.poll(64, &mut Vec::new()), 0);
    assert!(bench.net.complete());

    bench.net.borrow_mut().reset_and_recover().unwrap();
    let stats = *bench.net.borrow().stats();
    assert_eq!(
        (stats.resets, stats.reset_rx_buffers, stats.reset_tx_packets),
        (1, 256, 5)
    );
    assert_eq!(stats.tx_dead, 1);
    let pool = bench.net.tx_pool();
    assert_eq!(pool.available(), pool.count());
    works(&mut bench);
    bench.assert_clean();
}

#[test]
fn a_device_that_does_not_come_back_is_given_up() {
    let mut bench = Bench::with(
        Options {
            poll_limit: 50,
            ..Options::default()
        },
        |_| (),
    );
    bench.dev.borrow_mut().reset_takes = 1000;
    let recovered = bench.net.borrow_mut().reset_and_recover();
    assert!(matches!(
        recovered,
        Err(Error::ResetTimeout { status: 0x80 })
    ));
    assert_eq!(bench.dev.borrow().config[4] & 4, 0, "no bus master");
    let skb = bench.skb(64, 0);
    bench.net.start_xmit(skb).unwrap();
    bench.net.flush();
    assert_eq!(bench.net.poll(64, &mut Vec::new()), 0);
    bench.dev.borrow_mut().reset_takes = 0;
    bench.dev.borrow_mut().status = 0;
    bench.net.borrow_mut().reset_and_recover().unwrap();
    works(&mut bench);
}

#[test]
fn a_device_with_fewer_features_after_a_reset_is_refused() {
    let bench = Bench::new(Options::default());
    bench.dev.borrow_mut().offered &= !Feature::CSUM.bits();
    let recovered = bench.net.borrow_mut().reset_and_recover();
    assert!(matches!(
        recovered,
        Err(Error::MissingFeature {
            missing: Feature::CSUM
        })
    ));
}

#[test]
fn single_queues_are_reset() {
    let mut bench = Bench::new(Options::default());
    for queue in [Queue::Receive(0), Queue::Transmit(0), Queue::Receive(0)] {
        let skb = bench.skb(64, 0);
        bench.net.start_xmit(skb).unwrap();
        assert!(bench.dev.borrow_mut().receive(HDR_PLAIN, &frame(64, 0)));
        bench.net.borrow_mut().reset_queue(queue).unwrap();
        bench.interrupts();
        bench.napi(64);
        works(&mut bench);
    }
    let stats = *bench.net.borrow().stats();
    assert_eq!((stats.queue_resets, stats.reset_tx_packets), (3, 1));
    bench.assert_clean();
    let bench = Bench::new(Options {
        features: !Feature::RING_RESET,
        ..Options::default()
    });
    let refused = bench.net.borrow_mut().reset_queue(Queue::Receive(0));
    assert!(matches!(refused, Err(Error::NoQueueReset)));
}

#[test]
fn remove_leaves_nothing_behind() {
    let mut bench = Bench::new(Options::default());
    let (rx_pool, tx_pool) = (bench.net.borrow().rx_pool(), bench.net.tx_pool());
    let skb = bench.skb(64, 0);
    bench.net.start_xmit(skb).unwrap();
    bench.net.borrow_mut().remove().unwrap();
    bench.net.borrow_mut().remove().unwrap();
    assert_eq!(
        (rx_pool.available(), tx_pool.available()),
        (rx_pool.count(), tx_pool.count())
    );
    {
        let dev = bench.dev.borrow();
        assert_eq!(
            (dev.status, dev.config[4] & 4, dev.config[0x43] & 0x80),
            (0, 0, 0)
        );
    }
    assert!(!bench.net.link_up());
    bench.assert_clean();
    let dev = bench.dev.clone();
    drop(bench);
    assert_eq!(Rc::strong_count(&dev), 1);
}

#[test]
fn vectors_are_shared_when_there_are_few() {
    for vectors in [1, 2] {
        let (dev, net) = probe(Options::default(), vectors, |_| ());
        let mut bench = Bench {
            dev,
            net: Rc::new(RefCell::new(net.unwrap())),
        };
        works(&mut bench);
        bench.assert_clean();
    }
    assert!(matches!(
        VirtioNet::probe(
            Pci(probe(Options::default(), 3, |_| ()).0),
            memory::shared(1 << 20).0,
            Msi { vectors: 0 },
            Options::default()
        ),
        Err(Error::NoVectors)
    ));
}

#[test]
fn queue_sizes_are_what_both_can() {
    let options = Options {
        rx_queue_size: 7,
        tx_queue_size: 1000,
        ..Options::default()
    };
    let mut bench = Bench::with(options, |f| f.queue_max[1] = 100);
    assert_eq!(bench.net.borrow().queue_sizes(), (7, 100));
    for _ in 0..50 {
        works(&mut bench);
    }
    bench.assert_clean();
}

#[test]
fn unusable_devices_are_refused() {
    type Prepare = fn(&mut Function);
    let cases: [(Prepare, &str); 14] = [
        (|f| f.config[0] = 0x86, "not a virtio network device"),
        (|f| f.config[2] = 0x42, "not a virtio network device"),
        (|f| f.config[6] = 0, "notification capability"),
        (|f| f.config[0x51] = 0x50, "capability list is broken"),
        (|f| f.config[0x34] = 0x10, "capability list is broken"),
        (|f| f.config[0x40] = 0, "MSI-X capability"),
        (|f| f.config[0x8c] = 0x30, "48 bytes, 56 are needed"),
        (|f| f.config[0xcc] = 8, "8 bytes, 12 are needed"),
        (
            |f| f.offered &= !Feature::RING_PACKED.bits(),
            "does not offer RING_PACKED",
        ),
        (|f| f.refuse_features = true, "refused the features"),
        (|f| f.refuse_vector = true, "refused MSI-X vector"),
        (|f| f.queue_max[1] = 0, "virtqueue 1 does not exist"),
        (|f| f.num_queues = 1, "does not exist"),
        (
            |f| f.config[0x9c..0xa0].copy_from_slice(&[25, 0, 0, 0]),
            "doorbell of virtqueue 1",
        ),
    ];
    for (i, (prepare, expected)) in cases.into_iter().enumerate() {
        let (dev, net) = probe(Options::default(), 3, prepare);
        let error = net.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "case {i}: {error}");
        let dev = dev.borrow();
        assert_eq!(dev.config[4] & 4, 0, "case {i}: still bus master");
        assert!(i < 8 || dev.status & 0x80 != 0, "case {i}: FAILED not set");
    }
    assert_eq!(DEVICE % 4, 0);
}

#[test]
fn impossible_options_are_refused() {
    let d = Options::default;
    for options in [
        Options {
            rx_queue_size: 0,
            ..d()
        },
        Options {
            tx_queue_size: 1,
            ..d()
        },
        Options {
            rx_queue_size: 40_000,
            ..d()
        },
        Options { mtu: 67, ..d() },
        Options {
            fallback_mac: [1, 0, 0, 0, 0, 0],
            ..d()
        },
        Options {
            features: !Feature::VERSION_1,
            ..d()
        },
    ] {
        assert!(matches!(
            probe(options, 3, |_| ()).1,
            Err(Error::Options { .. })
        ));
    }
    let huge = Options {
        rx_buffers: usize::MAX,
        ..d()
    };
    assert!(matches!(probe(huge, 3, |_| ()).1, Err(Error::Dma { .. })));
}

#[test]
fn a_dead_bus_is_noticed() {
    let mut bench = Bench::new(Options::default());
    bench.dev.borrow_mut().fail_writes = true;
    let skb = bench.skb(64, 0);
    bench.net.start_xmit(skb).unwrap();
    bench.net.flush();
    assert!(bench.net.borrow().needs_reset());
    assert_eq!(bench.net.borrow().stats().register_errors, 1);
}

#[test]
fn nonsense_in_the_ring_is_counted() {
    let mut bench = Bench::new(Options::default());
    let desc = bench.dev.borrow().regs[0].desc;
    // Length beyond what was offered: the frame is lost, the queue goes on.
    bench
        .dev
        .borrow()
        .mem
        .write(desc + 8, &[0xff, 0xff, 0, 0, 0, 0, 0x80, 0x80])
        .unwrap();
    assert!(bench.napi(64).is_empty());
    assert_eq!(bench.net.borrow().stats().bad_used_len, 1);
    // An id that is not there: only a reset helps.
    bench
        .dev
        .borrow()
        .mem
        .write(desc + 24, &[64, 0, 0, 0, 0xff, 0xff, 0x80, 0x80])
        .unwrap();
    assert!(bench.napi(64).is_empty());
    assert_eq!(bench.net.borrow().stats().bad_used_id, 1);
    assert!(bench.net.borrow().needs_reset());
    bench.net.borrow_mut().reset_and_recover().unwrap();
    works(&mut bench);
}
