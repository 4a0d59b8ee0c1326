use super::*;

const ALL: u32 = u32::MAX;
const OFFER: u64 = feature::REQUIRED | feature::CSUM | feature::HOST_TSO4 | feature::RING_RESET;

fn regs() -> CommonCfg {
    CommonCfg::new(OFFER, 3, 4, 256)
}

fn negotiate(regs: &mut CommonCfg, features: u64) -> bool {
    for half in 0..2 {
        regs.write(0x08, ALL, half);
        regs.write(0x0c, ALL, (features >> (32 * half)) as u32);
    }
    regs.write(0x14, 0xff, 3);
    regs.write(0x14, 0xff, 11);
    regs.read(0x14) & u32::from(status::FEATURES_OK) != 0
}

// shows (model): 2.2.2-2, 5.1.3.1-1
#[test]
fn only_valid_subsets_are_taken() {
    for (features, taken) in [
        (feature::REQUIRED, true),
        (OFFER, true),
        (feature::VERSION_1, false),
        (feature::RING_PACKED, false),
        (feature::REQUIRED | feature::MAC, false),
        (feature::REQUIRED | feature::HOST_TSO4, false),
    ] {
        assert_eq!(negotiate(&mut regs(), features), taken, "{features:#x}");
    }
    let mut regs = regs();
    assert!(negotiate(&mut regs, feature::REQUIRED));
    regs.write(0x0c, ALL, 0);
    assert_eq!(regs.features(), feature::REQUIRED, "2.2.1");
}

// shows (model): 4.1.4.3.1-11
#[test]
fn a_queue_is_live_when_all_is_set_up() {
    let mut regs = regs();
    assert!(negotiate(&mut regs, OFFER));
    regs.write(0x14, 0xffff_0000, 1 << 16);
    regs.write(0x18, ALL, 8 | 2 << 16);
    regs.write(0x20, ALL, 0x1234_5678);
    assert_eq!(regs.write(0x1c, 0xffff, 1), Effect::Refresh);
    assert_eq!(regs.live(1), None, "before DRIVER_OK");
    regs.write(0x14, 0xff, 15);
    let ring = RingConfig {
        size: 8,
        desc: 0x1234_5670,
        ..RingConfig::default()
    };
    assert_eq!(regs.live(1), Some(ring));
    assert_eq!((regs.queue_vector(1), regs.queue_vector(9)), (2, NO_VECTOR));
    regs.write(0x20, ALL, 0);
    assert_eq!(regs.live(1), Some(ring), "fixed while enabled");
    assert_eq!(
        regs.write(0x38, 0xffff_0000, 1 << 16),
        Effect::ResetQueue(1)
    );
    assert_eq!((regs.live(1), regs.read(0x38) >> 16), (None, 1));
    regs.reset_queue(1);
    assert_eq!((regs.read(0x1c) & 1, regs.read(0x18)), (0, 0xffff_0100));
}

// shows (model): 4.1.4.3.1-13, 4.1.5.1.2.1-6
#[test]
fn what_does_not_exist_is_zero() {
    let mut regs = regs();
    regs.write(0x14, 0xffff_0000, 3 << 16);
    for offset in (0x18..0x40).step_by(4) {
        assert_eq!(regs.write(offset, ALL, 1), Effect::None);
        let vector = if offset == 0x18 { 0xffff_0000 } else { 0 };
        assert_eq!(regs.read(offset), vector, "{offset:#x}");
    }
    regs.write(0x10, 0xffff, 4);
    assert_eq!(regs.read(0x10), 3 << 16 | 0xffff, "vector 4 of 4");
}

#[test]
fn illegal_sizes_are_told() {
    for size in [0, 257, 0xffff] {
        let mut regs = regs();
        regs.write(0x18, 0xffff, size);
        assert_eq!(regs.write(0x1c, ALL, 1), Effect::BadSize, "{size}");
    }
}

#[test]
fn needs_reset_is_told_once() {
    let mut regs = regs();
    assert!(regs.needs_reset());
    assert!(!regs.needs_reset());
    regs.config_changed();
    assert_eq!(regs.write(0x14, 0xff, 0), Effect::Reset);
    regs.reset();
    assert_eq!(regs.read(0x14), 0x100, "the generation stays");
}
