//! Registers, negotiation and the control queue (4.1.4.3, 5.1.4, 5.1.6.5).

use crate::{
    driver::{Bench, US},
    frames::Spec,
};
use hwmodel::{
    Device, ModelConfig,
    model::{SUPPORTED, Stat, feature},
};

const CTRL: u64 = feature::CTRL_VQ | feature::CTRL_RX | feature::CTRL_MAC_ADDR | feature::CTRL_VLAN;

// shows (model): 2.2.2-2, 2.2.2-3, 6.2-1
#[test]
fn the_offer_is_what_was_chosen() {
    for off in [0, feature::MRG_RXBUF, feature::CSUM, feature::CTRL_VQ] {
        let config = ModelConfig {
            queue_pairs: 2,
            features: !off,
            ..ModelConfig::default()
        };
        let offered = config.offered();
        let mut bench = Bench::new(config);
        let seen = bench.offered();
        assert_eq!(seen, offered);
        assert_eq!(seen & off, 0);
        assert!(bench.negotiate(offered));
        for bit in (0..64).map(|bit| 1 << bit).filter(|bit| offered & bit == 0) {
            assert!(!bench.negotiate(bit), "{bit:#x} is not offered");
        }
        let queues = if off == feature::CTRL_VQ { 4 } else { 5 };
        assert_eq!(bench.read(0x12, 2), queues);
    }
    assert_eq!(SUPPORTED & feature::REQUIRED, feature::REQUIRED);
}

// shows (model): 2.2.2-2, 5.1.3.1-1
#[test]
fn features_without_what_they_need_are_refused() {
    let mut bench = Bench::new(ModelConfig::default());
    for features in [
        feature::HOST_TSO4,
        feature::HOST_ECN | feature::CSUM,
        feature::GUEST_TSO6,
        feature::CTRL_RX,
        feature::NOTF_COAL,
    ] {
        assert!(!bench.negotiate(features), "{features:#x}");
    }
}

// shows (model): 2.5.2-1, 5.1.4.1-1, 5.1.4.1-2, 5.1.4.1-6, 5.1.4.1-7, 5.1.4.1-8, 5.1.4.1-9
#[test]
fn the_configuration_shows_the_options() {
    let config = ModelConfig {
        mac: [2, 1, 2, 3, 4, 5],
        mtu: 9000,
        queue_pairs: 8,
        ..ModelConfig::default()
    };
    let mut bench = Bench::new(config);
    let mac: Vec<u32> = (0..6).map(|at| bench.device_config(at, 1)).collect();
    assert_eq!(mac, [2, 1, 2, 3, 4, 5]);
    assert_eq!(bench.device_config(6, 2), 1, "the link is up");
    assert_eq!(bench.device_config(8, 2), 8);
    assert_eq!(bench.device_config(10, 2), 9000);
    assert_eq!(bench.device_config(12, 4), 10_000);
    assert_eq!(bench.device_config(16, 1), 1);
    assert!(
        bench.device_config(17, 1) >= 40,
        "5.1.4.1: rss_max_key_size"
    );
    assert!(bench.device_config(18, 2) >= 128, "5.1.4.1");
    assert_eq!(bench.device_config(20, 4), 0x1ff);
    assert_eq!(bench.device_config(24, 4), 0);
}

// shows (model): 5.1.2-1, 5.1.6.5-1
#[test]
fn the_control_queue_is_behind_the_pairs_in_use() {
    for (features, queue) in [(0, 2), (feature::MQ, 6), (feature::RSS, 6)] {
        let config = ModelConfig {
            queue_pairs: 3,
            ..ModelConfig::default()
        };
        let features = features | feature::CTRL_VQ | feature::CTRL_RX;
        let mut bench = Bench::start(config, features, 8);
        assert_eq!(bench.queues(), queue + 1);
        assert_eq!(bench.command(&[0, 0, 1]), 0);
        assert_eq!(bench.nic.stat(Stat::CtrlOk), 1);
    }
}

fn to(to: [u8; 6], vlan: Option<u16>) -> Vec<u8> {
    Spec {
        to,
        vlan,
        ..Spec::default()
    }
    .frame()
}

// shows (model): 5.1.6.5-1, 5.1.6.5.1.1-1, 5.1.6.5.1.1-2, 5.1.6.5.2.1-1, 5.1.6.5.2.1-3
// shows (model): 5.1.6.5.3.1-2
#[test]
fn commands_decide_what_comes_in() {
    let mut bench = Bench::start(ModelConfig::default(), CTRL, 64);
    bench.fill(0, 60, 2048);
    let own = [2, 0, 0, 0, 0, 1];
    let [other, group] = [[2, 0, 0, 0, 0, 9], [0x33, 0x33, 0, 0, 0, 1]];
    let comes = |bench: &mut Bench, frame: Vec<u8>| {
        bench.wire(&frame);
        bench.run(3 * US);
        bench
            .receive(0)
            .is_some_and(|received| received.frame == frame)
    };
    assert!(comes(&mut bench, to(own, None)) && comes(&mut bench, to([0xff; 6], None)));
    assert!(!comes(&mut bench, to(other, None)) && !comes(&mut bench, to(group, None)));
    assert!(!comes(&mut bench, to(own, Some(5))));
    assert_eq!(bench.nic.stat(Stat::RxFiltered), 3);
    assert_eq!(bench.command(&[2, 0, 5, 0]), 0);
    assert!(comes(&mut bench, to(own, Some(5))));
    assert_eq!(bench.command(&[0, 1, 1]), 0);
    assert!(comes(&mut bench, to(group, None)) && !comes(&mut bench, to(other, None)));
    assert_eq!(bench.command(&[0, 0, 1]), 0);
    assert!(comes(&mut bench, to(other, Some(77))));
    assert_eq!(bench.command(&[0, 0, 0]), 0);
    assert_eq!(bench.command(&[&[1, 1][..], &other].concat()), 0);
    assert!(comes(&mut bench, to(other, None)) && !comes(&mut bench, to(own, None)));
    let mac: Vec<u32> = (0..6).map(|at| bench.device_config(at, 1)).collect();
    assert_eq!(mac, [2, 0, 0, 0, 0, 9], "reflected in the configuration");
    bench.bring_up(CTRL, 8);
    assert_eq!(
        bench.device_config(5, 1),
        1,
        "a reset brings the address back"
    );
    bench.fill(0, 4, 2048);
    assert!(comes(&mut bench, to(own, None)) && !comes(&mut bench, to(group, None)));
}

// shows (model): 5.1.6.5-1
#[test]
fn unknown_and_malformed_commands_are_errors() {
    let mut bench = Bench::start(ModelConfig::default(), CTRL, 8);
    let commands: &[&[u8]] = &[
        &[],
        &[0],
        &[0, 0],
        &[0, 9, 1],
        &[9, 0, 1],
        &[4, 0, 1, 0],
        &[1, 0, 9, 0, 0, 0, 1, 2, 3],
        &vec![1; 20_000],
    ];
    for (index, command) in commands.iter().enumerate() {
        assert_eq!(bench.command(command), 1, "{command:x?}");
        assert_eq!(bench.nic.stat(Stat::CtrlErr), index as u64 + 1);
    }
    assert_eq!(bench.command(&[0, 0, 1]), 0);
    assert_eq!(bench.status() & 64, 0);
}

#[test]
fn a_command_without_room_for_an_answer_comes_back() {
    let mut bench = Bench::start(ModelConfig::default(), CTRL, 8);
    let at = bench.alloc(8);
    bench.poke(at, &[0, 0, 1]);
    bench.post(2, &[(at, 3, false)]);
    bench.post(2, &[(at, 1, false), (at + 1, 2, false), (at + 4, 0, true)]);
    bench.kick(2);
    bench.run(5 * US);
    assert_eq!(bench.used(2).unwrap().len, 0);
    assert_eq!(bench.used(2).unwrap().len, 0);
}

// shows (model): 4.1.4.3.1-5
#[test]
fn the_link_changes_status_and_generation() {
    let mut bench = Bench::start(ModelConfig::default(), feature::STATUS, 8);
    let before = bench.read(0x15, 1);
    bench.nic.set_link(false);
    bench.run(3 * US);
    assert_eq!(bench.messages(), [0]);
    assert_eq!(
        (bench.device_config(6, 2), bench.read(0x15, 1)),
        (0, before + 1)
    );
    bench.nic.set_link(false);
    bench.run(3 * US);
    assert!(bench.messages().is_empty());
}
