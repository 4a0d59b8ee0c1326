use super::*;

const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ALL: u64 = u64::MAX;

fn control() -> Control {
    Control::new(OWN, 4)
}

fn rss(mask: u16, table: &[u16], max_tx: u16, key: &[u8]) -> Vec<u8> {
    let mut command = vec![4, 1, 0x3f, 0, 0, 0];
    let words = [&[mask, 1], table, &[max_tx]].concat();
    command.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    command.push(key.len() as u8);
    command.extend(key);
    command
}

// shows (model): 5.1.6.5.1.1-1, 5.1.6.5.1.1-2, 5.1.6.5.2.1-2
#[test]
fn frames_are_let_in_by_address() {
    let mut control = control();
    let [other, group] = [[2, 0, 0, 0, 0, 2], [1, 0, 0x5e, 0, 0, 1]];
    let seen = |c: &Control| {
        [OWN, [0xff; 6], other, group].map(|to| c.accepts(ALL & !feature::CTRL_VLAN, &to, None))
    };
    assert_eq!(seen(&control), [true, true, false, false]);
    assert!(control.accepts(0, &other, None), "nobody could say so");
    assert!(control.execute(ALL, &[0, 1, 1]));
    assert_eq!(seen(&control), [true, true, false, true]);
    assert!(control.execute(ALL, &[0, 1, 0]) && control.execute(ALL, &[0, 0, 1]));
    assert_eq!(seen(&control), [true; 4]);
    assert!(control.execute(ALL, &[0, 0, 0]));
    let table = [&[1, 0, 1, 0, 0, 0][..], &other, &[1, 0, 0, 0], &group].concat();
    assert!(control.execute(ALL, &table));
    assert_eq!(seen(&control), [true; 4]);
    assert!(control.execute(ALL, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(seen(&control), [true, true, false, false]);
    assert!(control.execute(ALL, &[&[1, 1][..], &other].concat()));
    assert_eq!(seen(&control), [false, true, true, false]);
}

#[test]
fn too_many_addresses_let_all_of_their_kind_in() {
    let mut control = control();
    let count = MAC_TABLE as u32 + 1;
    let list: Vec<u8> = (0..count)
        .flat_map(|i| [1, 0, 0x5e, 0, 1, i as u8])
        .collect();
    let command = [&[1, 0, 0, 0, 0, 0][..], &count.to_le_bytes(), &list].concat();
    assert!(control.execute(ALL, &command));
    assert!(control.accepts(ALL, &[1, 0, 0x5e, 9, 9, 9], None));
    assert!(!control.accepts(ALL, &[2, 9, 9, 9, 9, 9], None));
}

// shows (model): 5.1.6.5.3.1-1, 5.1.6.5.3.1-2
#[test]
fn vlans_are_let_in_by_number() {
    let mut control = control();
    let seen = |c: &Control, vlan| c.accepts(ALL, &OWN, vlan);
    assert!(seen(&control, None) && !seen(&control, Some(5)));
    assert!(control.execute(ALL, &[2, 0, 5, 0]) && control.execute(ALL, &[2, 0, 0xff, 0x0f]));
    assert!(seen(&control, Some(5)) && seen(&control, Some(4095)) && !seen(&control, Some(6)));
    assert!(control.execute(ALL, &[2, 1, 5, 0]));
    assert!(!seen(&control, Some(5)));
    assert!(control.accepts(ALL & !feature::CTRL_VLAN, &OWN, Some(5)));
}

// shows (model): 5.1.6.4.3-1, 5.1.6.5.6.4-1
#[test]
fn steering_is_what_was_said_last() {
    let mut control = control();
    assert!(control.execute(ALL, &[4, 0, 3, 0]));
    assert_eq!(control.steering, Steering::Automatic { pairs: 3 });
    assert!(control.execute(ALL, &rss(3, &[0, 1, 2, 3], 4, &[7; 40])));
    let table = vec![0, 1, 2, 3];
    let unclassified = 1;
    assert_eq!(
        control.steering,
        Steering::Rss {
            table,
            unclassified
        }
    );
    assert_eq!(
        (control.hash_types, Some(control.key)),
        (0x3f, Key::new(&[7; 40]))
    );
    assert!(control.execute(ALL, &[4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 8, 9]));
    assert_eq!(
        (control.hash_types, Some(control.key)),
        (1, Key::new(&[8, 9]))
    );
    assert_eq!(control.steering, Steering::Automatic { pairs: 4 });
    assert!(control.execute(ALL, &[6, 1, 9, 0, 0, 0, 100, 0, 0, 0]));
    let limits = Limits {
        max_packets: 9,
        max_usecs: 100,
    };
    assert_eq!(
        (control.rx_limits, control.tx_limits),
        (limits, Limits::default())
    );
}

/// As Linux 7.3 sends it: a byte of padding behind the key.
#[test]
fn padding_behind_the_key_is_ignored() {
    let (mut control, mut padded) = (control(), control());
    let command = rss(1, &[0, 1], 4, &[7; 40]);
    assert!(control.execute(ALL, &command));
    assert!(padded.execute(ALL, &[&command[..], &[0]].concat()));
    assert_eq!(control, padded);
}

// shows (model): 5.1.6.5-1
#[test]
fn malformed_commands_change_nothing() {
    let bad_tables = [
        rss(2, &[0, 1, 2], 1, &[1; 40]),
        rss(255, &[0; 256], 1, &[1; 40]),
        rss(1, &[0, 4], 1, &[1; 40]),
        rss(1, &[0, 0x8000], 1, &[1; 40]),
        rss(1, &[0, 1], 0, &[1; 40]),
        rss(1, &[0, 1], 5, &[1; 40]),
        rss(1, &[0, 1], 1, &[1; 41]),
        rss(1, &[0, 1], 1, &[1; 40])[..20].to_vec(),
    ];
    let short: &[&[u8]] = &[
        &[],
        &[0],
        &[0, 0],
        &[0, 0, 2],
        &[0, 0, 1, 1],
        &[0, 2, 1],
        &[1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        &[1, 1, 1, 0, 0, 0, 0, 1],
        &[1, 1, 2, 0, 0, 0, 0],
        &[2, 0, 0, 0x10],
        &[2, 0, 1],
        &[3, 0],
        &[4, 0, 0, 0],
        &[4, 0, 5, 0],
        &[4, 1, 0, 2, 0, 0],
        &[4, 2, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        &[4, 3],
        &[6, 0, 1, 0, 0, 0],
        &[6, 2, 1, 0, 0, 0, 1, 0, 0, 0],
        &[255, 255],
    ];
    let mut control = control();
    let bad = bad_tables
        .iter()
        .map(Vec::as_slice)
        .chain(short.iter().copied());
    for command in bad {
        assert!(!control.execute(ALL, command), "{command:x?}");
    }
    assert_eq!(control, Control::new(OWN, 4));
}

#[test]
fn commands_need_their_feature() {
    let mut control = control();
    let commands: &[&[u8]] = &[
        &[0, 0, 1],
        &[0, 1, 1],
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 1, 2, 0, 0, 0, 0, 9],
        &[2, 0, 1, 0],
        &[4, 0, 2, 0],
        &rss(0, &[0], 1, &[]),
        &[4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[6, 0, 1, 0, 0, 0, 1, 0, 0, 0],
    ];
    for command in commands {
        assert!(!control.execute(feature::CTRL_VQ, command), "{command:x?}");
    }
    assert_eq!(control, Control::new(OWN, 4));
    for command in commands {
        assert!(control.execute(ALL, command), "{command:x?}");
    }
}
