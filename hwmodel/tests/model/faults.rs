//! Faults of the host on the RTL: each kind of access of each kind of queue, refused with SLVERR, with
//! DECERR, or never answered, stops that queue with DEVICE_NEEDS_RESET; the others go on.

use crate::{
    driver::{BUS, Bench, MEMORY, MSI, NEEDS_RESET, US},
    frames::{Spec, padded},
};
use hwmodel::{Device, Nic, NicConfig, Permission, model::feature};

const PAIRS: u16 = 4;
/// The control queue's index.
const CTRL: u16 = 2 * PAIRS;
/// All memory once more, for reads and for writes only: what is not allowed answers SLVERR.
const READ_ONLY: u64 = 0x13_0000_0000;
const WRITE_ONLY: u64 = 0x14_0000_0000;
/// Nothing is here: DECERR.
const NOWHERE: u64 = 0x15_0000_0000;
/// Longer than the RTL waits for a completion: twice its WatchPeriod, and some.
const WATCH: u64 = 900 * US;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Descriptors,
    /// The driver's event suppression structure.
    DriverEvent,
    /// The device's.
    DeviceEvent,
    Used,
    Data,
    /// The control queue's answer.
    Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Slverr,
    Decerr,
    Lost,
}

fn card() -> Bench<Nic> {
    let config = NicConfig {
        queue_pairs: PAIRS,
        memory: MEMORY,
        ..NicConfig::default()
    };
    let mut bench = Bench::with(Nic::new(config).unwrap(), PAIRS);
    for (base, permission) in [
        (READ_ONLY, Permission::Read),
        (WRITE_ONLY, Permission::Write),
    ] {
        let iommu = bench.nic.iommu();
        iommu.map(base, MEMORY as u64, 0, permission).unwrap();
    }
    bring_up(&mut bench);
    bench
}

/// With RSS as soon as the card has it: then all pairs can be made to receive.
fn bring_up(bench: &mut Bench<Nic>) {
    let several = feature::MQ | feature::CTRL_VQ | feature::RING_RESET;
    let features = several | bench.offered() & feature::RSS;
    bench.bring_up(features, 64);
    bench.run(10 * US); // all queues have looked at their rings
}

fn has_rss(bench: &Bench<Nic>) -> bool {
    bench.features & feature::RSS != 0
}

/// Lets all frames come to `pair`: no hash, and it is where unclassified packets go (5.1.6.5.7.1).
fn steer(bench: &mut Bench<Nic>, pair: u16) {
    if has_rss(bench) {
        let mut command = vec![4, 1, 0, 0, 0, 0, 0, 0];
        for _ in 0..2 {
            command.extend(pair.to_le_bytes());
        }
        command.extend(PAIRS.to_le_bytes());
        command.push(40);
        command.extend([0; 40]);
        assert_eq!(bench.command(&command), 0);
    }
}

/// Where a part of a queue is for the device, so that this access is refused.
fn bad(access: Access, fault: Fault, addr: u64) -> u64 {
    let writes = matches!(access, Access::Used | Access::DeviceEvent | Access::Answer);
    match (fault, writes) {
        (Fault::Lost, _) => addr,
        (Fault::Decerr, _) => addr - BUS + NOWHERE,
        (Fault::Slverr, true) => addr - BUS + READ_ONLY,
        (Fault::Slverr, false) => addr - BUS + WRITE_ONLY,
    }
}

/// Sets `queue` up anew so that its next `access` fails, and makes it do it.
fn provoke(bench: &mut Bench<Nic>, queue: u16, access: Access, fault: Fault) {
    // Where commands cannot be given any more.
    if queue.is_multiple_of(2) && queue != CTRL {
        steer(bench, queue / 2);
    }
    bench.reset_queue(queue);
    bench.enable_elsewhere(queue, 64, |[desc, driver, device]| match access {
        Access::Descriptors | Access::Used => [bad(access, fault, desc), driver, device],
        Access::DriverEvent => [desc, bad(access, fault, driver), device],
        Access::DeviceEvent => [desc, driver, bad(access, fault, device)],
        Access::Data | Access::Answer => [desc, driver, device],
    });
    let (data, answer) = (bench.alloc(2048), bench.alloc(1));
    if fault == Fault::Lost {
        // The device has looked at the ring, and sleeps until it is told of something.
        bench.run(10 * US);
        let ring = &bench.rings[&queue];
        let lost = match access {
            Access::Descriptors => ring.desc..ring.desc + 1,
            // Behind the descriptor's address and length (2.8.13).
            Access::Used => ring.desc + 8..ring.desc + 9,
            Access::DriverEvent => ring.driver..ring.driver + 4,
            Access::DeviceEvent => ring.device..ring.device + 4,
            Access::Data => data..data + 2048,
            Access::Answer => answer..answer + 1,
        };
        bench.nic.set_unanswered(&[lost]);
    }
    let place = |wanted: Access, writes: Access, addr: u64| {
        if access == wanted {
            bad(writes, fault, addr)
        } else {
            addr
        }
    };
    match queue {
        CTRL => {
            bench.poke(data, &[4, 0, 1, 0]);
            let at = place(Access::Data, Access::Data, data);
            let ack = place(Access::Answer, Access::Answer, answer);
            bench.post(CTRL, &[(at, 4, false), (ack, 1, true)]);
        }
        _ if queue.is_multiple_of(2) => {
            // Data is written here.
            let at = place(Access::Data, Access::Answer, data);
            bench.post(queue, &[(at, 2048, true)]);
        }
        _ => {
            bench.poke(data, &[0; 200]);
            let at = place(Access::Data, Access::Data, data);
            bench.post(queue, &[(at, 200, false)]);
        }
    }
    bench.kick(queue);
    bench.run(10 * US);
    if queue.is_multiple_of(2) && queue != CTRL {
        bench.wire(&padded(Spec::default().frame()));
    }
    bench.run(if fault == Fault::Lost { WATCH } else { 20 * US });
}

/// One transmit queue after the other sends, and pair `pair` receives.
fn others_go_on(bench: &mut Bench<Nic>, broken: u16) {
    bench.sent();
    for queue in (1..CTRL).step_by(2).filter(|queue| *queue != broken) {
        let frame = vec![queue as u8; 100];
        bench.send(queue, [0; 12], &frame);
        bench.run(20 * US);
        assert_eq!(bench.sent(), [frame], "queue {queue}");
        assert!(bench.used(queue).is_some(), "queue {queue}");
    }
    if broken != CTRL && has_rss(bench) {
        for queue in (0..CTRL).step_by(2).filter(|queue| *queue != broken) {
            works(bench, queue);
        }
    } else if broken > CTRL || broken % 2 == 1 {
        works(bench, 0);
    }
}

/// A queue does its work.
fn works(bench: &mut Bench<Nic>, queue: u16) {
    match queue {
        CTRL => assert_eq!(bench.command(&[4, 0, 1, 0]), 0),
        _ if queue.is_multiple_of(2) => {
            steer(bench, queue / 2);
            bench.fill(queue, 4, 2048);
            bench.run(5 * US);
            let frame = padded(Spec::default().frame());
            bench.wire(&frame);
            bench.run(20 * US);
            let received = bench.receive(queue);
            assert_eq!(received.map(|r| r.frame), Some(frame), "queue {queue}");
        }
        _ => {
            bench.sent();
            bench.send(queue, [0; 12], &[7; 90]);
            bench.run(20 * US);
            assert_eq!(bench.sent(), [[7; 90]], "queue {queue}");
        }
    }
}

/// All queues do, those that frames can be made to come to.
fn all_work(bench: &mut Bench<Nic>) {
    for queue in 0..=CTRL {
        if queue % 2 == 1 || queue == 0 || queue == CTRL || has_rss(bench) {
            works(bench, queue);
        }
    }
}

/// The kinds of access of a queue.
fn accesses(queue: u16) -> Vec<Access> {
    let mut all = vec![
        Access::Descriptors,
        Access::DriverEvent,
        Access::DeviceEvent,
        Access::Used,
        Access::Data,
    ];
    if queue == CTRL {
        all.push(Access::Answer);
    }
    all
}

/// Receive queues that frames can be made to come to, a transmit queue and the control queue.
fn queues(bench: &Bench<Nic>) -> Vec<u16> {
    let mut queues = vec![0, 3, CTRL];
    if has_rss(bench) {
        queues.push(4);
    }
    queues
}

// shows (RTL): 2.1.2-4, 4.1.4.3.1-10
#[test]
fn a_refused_access_of_any_kind_stops_its_queue_only() {
    for queue in queues(&card()) {
        for access in accesses(queue) {
            for fault in [Fault::Slverr, Fault::Decerr] {
                // Where used descriptors are refused but not their reads there is something.
                if (access, fault) == (Access::Used, Fault::Decerr) {
                    continue;
                }
                println!("queue {queue}: {access:?}, {fault:?}");
                let mut bench = card();
                bench.messages();
                provoke(&mut bench, queue, access, fault);
                assert_eq!(bench.status() & NEEDS_RESET, NEEDS_RESET);
                assert!(bench.messages().contains(&0), "a configuration interrupt");
                others_go_on(&mut bench, queue);
                // 2.6.1: the queue comes back by its own reset.
                bench.reset_queue(queue);
                bench.enable(queue, 64);
                works(&mut bench, queue);
            }
        }
    }
}

// shows (RTL): 2.1.2-4
#[test]
fn an_access_of_any_kind_that_is_never_answered_stops_its_queue_only() {
    for queue in queues(&card()) {
        for access in accesses(queue) {
            println!("queue {queue}: {access:?}");
            let mut bench = card();
            bench.messages();
            provoke(&mut bench, queue, access, Fault::Lost);
            assert_eq!(bench.status() & NEEDS_RESET, NEEDS_RESET);
            assert!(bench.messages().contains(&0), "a configuration interrupt");
            others_go_on(&mut bench, queue);
            // The answers come after all, and are thrown away.
            bench.nic.set_unanswered(&[]);
            bench.run(20 * US);
            bench.reset();
            bring_up(&mut bench);
            all_work(&mut bench);
            assert_eq!(bench.status() & NEEDS_RESET, 0);
        }
    }
}

/// The response of a message never comes: the device says so, and its queues go on without interrupts.
// shows (RTL): 2.1.2-4
#[test]
fn a_message_that_is_never_answered_holds_up_no_queue() {
    let mut bench = card();
    bench.messages();
    let messages = MSI..MSI + 0x1000;
    bench.nic.set_unanswered(std::slice::from_ref(&messages));
    works(&mut bench, 1);
    bench.run(WATCH);
    assert_eq!(bench.status() & NEEDS_RESET, NEEDS_RESET);
    all_work(&mut bench);
    // A reset does not wait for it for ever, and the next life has its messages again.
    bench.nic.set_unanswered(&[]);
    bench.run(20 * US);
    bench.reset();
    bring_up(&mut bench);
    bench.messages();
    works(&mut bench, 1);
    assert_eq!(bench.messages(), [2]);
}
