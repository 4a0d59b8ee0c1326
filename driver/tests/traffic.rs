//! Properties of the whole driver: random traffic over an honest device, anything from a lying one.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::bench::{Bench, HDR_PLAIN, frame, probe};
use driver::{Feature, Options, TxCompletion};
use proptest::prelude::*;
use stack::{NetDeviceOps, SkBuff};

#[derive(Clone, Debug)]
enum Op {
    Receive(usize),
    Send(usize),
    Heap(usize),
    Flush,
    Transmit,
    Interrupts,
    Hold(bool),
    Reset,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (14..1515usize).prop_map(Op::Receive),
        8 => (14..1515usize).prop_map(Op::Send),
        1 => (14..1515usize).prop_map(Op::Heap),
        4 => Just(Op::Flush),
        4 => Just(Op::Transmit),
        6 => Just(Op::Interrupts),
        1 => any::<bool>().prop_map(Op::Hold),
        1 => Just(Op::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever is done in whatever order: what goes in comes out, in order, and at the end, with
    /// nothing but interrupts as a reason to look, nothing is left.
    #[test]
    fn traffic_is_complete_and_in_order(
        rx_queue_size in 1..40u16,
        tx_queue_size in 2..40u16,
        off in any::<u64>(),
        when_stopped: bool,
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let optional = Feature::EVENT_IDX | Feature::IN_ORDER | Feature::CSUM;
        let tx_completion =
            if when_stopped { TxCompletion::WhenStopped } else { TxCompletion::Interrupt };
        let features = !(optional & Feature::from_bits(off));
        let options =
            Options { features, rx_queue_size, tx_queue_size, tx_completion, ..Options::default() };
        let mut bench = Bench::new(options);
        let (mut received, mut expected) = (Vec::new(), Vec::new());
        let (mut sent, mut handed) = (Vec::new(), Vec::new());
        let mut held = Vec::new();
        let mut hold = false;
        let mut waiting: Option<SkBuff> = None;
        for (n, op) in ops.iter().enumerate() {
            match op {
                Op::Receive(len) => {
                    let frame = frame(*len, n as u8);
                    if bench.dev.borrow_mut().receive(HDR_PLAIN, &frame) {
                        expected.push(frame);
                    }
                }
                Op::Send(len) | Op::Heap(len) if waiting.is_none() => {
                    let bytes = frame(*len, n as u8);
                    let skb = SkBuff::alloc(&bench.net.tx_pool(), 64, *len);
                    let skb = match (op, skb) {
                        (Op::Send(_), Some(mut skb)) => {
                            skb.put_slice(&bytes).unwrap();
                            skb
                        }
                        _ => SkBuff::from_vec(bytes.clone()),
                    };
                    let no_buffer = bench.net.borrow().stats().tx_no_buffer;
                    match bench.net.start_xmit(skb) {
                        Ok(()) if bench.net.borrow().stats().tx_no_buffer > no_buffer => {}
                        Ok(()) => handed.push(bytes),
                        Err(skb) => waiting = Some(skb),
                    }
                }
                Op::Send(_) | Op::Heap(_) => {}
                Op::Flush => bench.net.flush(),
                Op::Transmit => {
                    bench.dev.borrow_mut().transmit();
                    sent.extend(bench.sent().into_iter().map(|s| s.frame));
                }
                Op::Interrupts => {
                    if bench.interrupts() {
                        for skb in bench.napi(3) {
                            received.push(skb.data().to_vec());
                            if hold { held.push(skb); }
                        }
                        if let Some(skb) = waiting.take() {
                            let bytes = skb.data().to_vec();
                            match bench.net.start_xmit(skb) {
                                Ok(()) => handed.push(bytes),
                                Err(skb) => waiting = Some(skb),
                            }
                            bench.net.flush();
                        }
                    }
                }
                Op::Hold(on) => { hold = *on; held.clear(); }
                Op::Reset => {
                    bench.net.borrow_mut().reset_and_recover().unwrap();
                    // What was under way in either direction is lost.
                    expected.truncate(received.len());
                    handed.truncate(sent.len());
                    let rx_pool = bench.net.borrow().rx_pool();
                    prop_assert!(rx_pool.available() + held.len() + usize::from(rx_queue_size) >= rx_pool.count());
                }
            }
        }
        bench.net.flush();
        loop {
            bench.dev.borrow_mut().transmit();
            sent.extend(bench.sent().into_iter().map(|s| s.frame));
            if !bench.interrupts() { break; }
            received.extend(bench.napi(3).iter().map(|skb| skb.data().to_vec()));
        }
        prop_assert_eq!(received, expected);
        prop_assert_eq!(sent, handed);
        bench.assert_clean();
        let stats = *bench.net.borrow().stats();
        prop_assert_eq!((stats.bad_used_id, stats.bad_used_len), (0, 0));
        let outstanding = stats.tx_packets - stats.tx_completed - stats.reset_tx_packets;
        prop_assert!(when_stopped || outstanding == 0, "{outstanding} frames were not taken back");
        let (rx_pool, tx_pool) = (bench.net.borrow().rx_pool(), bench.net.tx_pool());
        drop((waiting, held));
        bench.net.borrow_mut().remove().unwrap();
        prop_assert_eq!(rx_pool.available(), rx_pool.count());
        prop_assert_eq!(tx_pool.available(), tx_pool.count());
    }

    /// A device that answers register reads with anything: probe ends, with or without an error,
    /// and what it makes of it can be used and removed without harm.
    #[test]
    fn lying_registers_do_no_harm(
        lies in prop::collection::vec(prop::option::weighted(0.1, any::<u32>()), 1..300),
        config in prop::collection::vec((0x34..256usize, any::<u8>()), 0..4),
        ring in prop::collection::vec(any::<[u8; 16]>(), 1..16),
    ) {
        let options = Options { poll_limit: 20, ..Options::default() };
        let (dev, net) = probe(options, 3, |f| {
            f.lies = lies.into();
            for (at, value) in config { f.config[at] = value; }
        });
        let Ok(net) = net else { return Ok(()) };
        let mut bench = Bench { dev, net: Rc::new(RefCell::new(net)) };
        bench.net.borrow_mut().handle_irq(0);
        for (i, garbage) in (0u64..).zip(&ring) {
            for q in 0..2 {
                let dev = bench.dev.borrow();
                _ = dev.mem.write(dev.regs[q].desc + 16 * i, garbage);
            }
            let vector = u16::from(garbage[0] % 4);
            bench.net.borrow_mut().handle_irq(vector);
            let skb = SkBuff::from_vec(vec![0; 64]);
            _ = bench.net.start_xmit(skb);
            bench.net.flush();
            bench.napi(2);
        }
        _ = bench.net.borrow_mut().reset_and_recover();
        _ = bench.net.borrow_mut().remove();
        let (rx_pool, tx_pool) = (bench.net.borrow().rx_pool(), bench.net.tx_pool());
        prop_assert_eq!(rx_pool.available(), rx_pool.count());
        prop_assert_eq!(tx_pool.available(), tx_pool.count());
    }
}
