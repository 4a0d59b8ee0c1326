//! Programs as clang wrote them (tests/data/bpf), on a device and on packets for tc.

mod common;

use common::{Host, MAC, PEER, Wire, frame};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use stack::bpf::{BpfError, MapKind, Program, ProgramType};
use stack::xdp::{TcBpf, XdpStats};
use stack::{
    BpfVerdict, CsumState, DropReason, IfIndex, SkBuff, StackConfig, StackError, TcProgram,
};
use std::rc::Rc;

fn object(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/bpf/{name}.o", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("object file")
}

fn udp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(PEER, MAC)
        .ipv4([192, 0, 2, 10], [192, 0, 2, 20], 64)
        .udp(sport, dport)
        .write(&mut bytes, payload)
        .expect("written");
    bytes
}

fn host(name: &str, section: &str) -> Host {
    let mut host = Host::new(StackConfig::default());
    host.stack
        .xdp_attach(host.dev, &object(name), section)
        .expect("attached");
    host
}

impl Host {
    fn xdp(&self) -> XdpStats {
        self.stack.xdp_stats(self.dev).expect("a program")
    }

    fn value(&self, map: &str, key: &[u8]) -> Option<Vec<u8>> {
        let maps = self.stack.xdp_maps(self.dev).expect("a program");
        let maps = maps.borrow();
        let map = maps.iter().find(|m| m.spec().name == map).expect("a map");
        map.lookup(key).map(<[u8]>::to_vec)
    }

    fn set(&self, map: &str, key: u32, value: u32) {
        let maps = self.stack.xdp_maps(self.dev).expect("a program");
        let mut maps = maps.borrow_mut();
        let map = maps
            .iter_mut()
            .find(|m| m.spec().name == map)
            .expect("a map");
        map.update(&key.to_le_bytes(), &value.to_le_bytes(), 0)
            .expect("set");
    }
}

/// The recording "XDP, tc and nft layering": one datagram each to ports 7, 6, 8, 10, 9.
#[test]
fn verdicts_are_the_recorded_ones() {
    let mut host = host("layering", "xdp");
    for port in [7, 6, 8, 10, 9] {
        host.receive([udp(port, port, b"x")]);
    }
    // 8 came back with the addresses swapped, before anything of the stack saw it; 10 and 9 went on (and have no socket here).
    let mut back = udp(8, 8, b"x");
    back[..6].copy_from_slice(&PEER);
    back[6..12].copy_from_slice(&MAC);
    let sent = host.sent();
    assert_eq!(sent[0], back);
    assert_eq!(sent.len(), 3, "two port unreachables");
    let expected = XdpStats {
        pass: 2,
        drop: 1,
        tx: 1,
        aborted: 1,
        ..XdpStats::default()
    };
    assert_eq!(host.xdp(), expected);
    // As the kernel reports both (drops/): no reason more specific.
    assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 2);
    host.assert_balanced();
    assert!(host.stack.xdp_detach(host.dev) && !host.stack.xdp_detach(host.dev));
}

#[test]
fn the_recorded_tc_program_marks_and_drops() {
    let mut program = TcBpf::load(&object("layering"), "tc", 0).expect("loaded");
    let mut verdict = |port| {
        let mut skb = received(&udp(port, port, b"x"));
        let verdict = program.run(&mut skb, 0);
        assert_eq!(skb.network_offset(), 0);
        (verdict.code, skb.mark)
    };
    assert_eq!(
        [verdict(10), verdict(9), verdict(8)],
        [(2, 0), (-1, 0x7c), (-1, 0)]
    );
}

/// As the stack has it at tc ingress.
fn received(frame: &[u8]) -> SkBuff {
    let mut skb = SkBuff::from_vec(frame.to_vec());
    skb.reset_mac_header();
    skb.protocol = u16::from_be_bytes([frame[12], frame[13]]);
    skb.pull(14).expect("a header");
    skb.reset_network_header();
    skb
}

#[test]
fn maps_keep_what_the_program_puts_there() {
    let mut host = host("maps", "xdp");
    let key = |sport: u16| [&[192, 0, 2, 10][..], &sport.to_be_bytes(), &[0, 0]].concat();
    let packets =
        |value: Option<Vec<u8>>| value.map(|v| u64::from_le_bytes(v[..8].try_into().unwrap()));
    host.now = 5_000_000;
    host.receive([udp(1, 1, b""), udp(2, 1, b""), udp(1, 1, b"")]);
    assert_eq!(packets(host.value("flows", &key(1))), Some(2));
    assert_eq!(packets(host.value("flows", &key(2))), Some(1));
    // bpf_ktime_get_ns() is simulated time.
    assert_eq!(
        host.value("flows", &key(2)).unwrap()[8..],
        5000u64.to_le_bytes()
    );
    // The table is full.
    host.receive([udp(3, 1, b"")]);
    assert_eq!((host.xdp().pass, host.xdp().drop), (3, 1));
    // Forgetting makes room; there is nothing to forget twice.
    host.receive([udp(1, 2, b""), udp(1, 2, b""), udp(3, 1, b"")]);
    assert_eq!((host.xdp().pass, host.xdp().drop), (5, 2));
    assert_eq!(host.value("flows", &key(1)), None);
    // The least recent one goes.
    host.receive([
        udp(10, 3, b""),
        udp(11, 3, b""),
        udp(10, 3, b""),
        udp(12, 3, b""),
    ]);
    let recent = |port: u16| host.value("recent", &port.to_be_bytes()).is_some();
    assert_eq!([recent(10), recent(11), recent(12)], [true, false, true]);
    // A function of the program's own counted, in all but the blocked port; variables are in maps of their own.
    let counter = |host: &Host, which: u32| packets(host.value("counters", &which.to_le_bytes()));
    assert_eq!((counter(&host, 0), counter(&host, 1)), (Some(11), Some(0)));
    assert_eq!(packets(host.value(".bss", &[0; 4])), Some(11));
    // .rodata has the port, .data the limit of 3 packets altogether.
    let drops = host.xdp().drop;
    host.receive([udp(1, 1000, b"")]);
    assert_eq!((counter(&host, 1), host.xdp().drop), (Some(1), drops + 1));
    host.assert_balanced();
}

#[test]
fn frames_are_redirected_to_devices_and_sockets() {
    let mut host = host("maps", "xdp");
    let other = Wire::new([2, 0, 0, 0, 0, 0x0c]);
    let dev = host.stack.add_device("eth1", Box::new(Rc::clone(&other)));
    assert_eq!(dev, IfIndex(3));
    host.set("devices", 4, dev.0);
    host.set("devices", 5, 99);
    let frame = udp(4, 4, b"through the map");
    host.receive([
        frame.clone(),
        udp(5, 4, b"no device"),
        udp(6, 4, b"no entry"),
    ]);
    assert_eq!(std::mem::take(&mut other.borrow_mut().tx), [frame]);
    assert_eq!(other.borrow().flushes, 1);
    let stats = host.xdp();
    assert_eq!(
        (stats.redirect, stats.redirect_errors, stats.drop),
        (2, 1, 1)
    );
    // By number; too long for the other device's MTU.
    let frame = udp(1, 10, b"by number");
    other.borrow_mut().mtu = 100;
    host.receive([frame.clone(), udp(1, 10, &[0; 100])]);
    assert_eq!(other.borrow().tx, [frame]);
    assert_eq!(host.xdp().redirect_errors, 2);
    // Without a socket in the map the frame goes on.
    host.receive([udp(1, 5, b"on")]);
    assert_eq!(host.xdp().pass, 1);
    let xsk = host.stack.xsk_bind(host.dev).expect("a socket");
    host.set("sockets", 0, xsk.0);
    let frame = udp(1, 5, b"for the socket");
    host.receive([frame.clone()]);
    host.assert_balanced();
    assert_eq!(host.stack.xsk_recv(xsk).expect("a frame").data(), frame);
    assert!(host.stack.xsk_recv(xsk).is_none());
    assert!(host.stack.xsk_close(xsk));
    host.receive([frame]);
    assert_eq!(host.xdp().redirect_errors, 3);
    host.assert_balanced();
}

#[test]
fn programs_change_the_frame() {
    let mut host = host("maps", "xdp");
    let (tag, cut, ttl) = (
        udp(1, 6, b"tag"),
        udp(1, 7, b"0123456789abcdef"),
        udp(1, 8, b"ttl"),
    );
    host.receive([tag.clone(), cut.clone(), ttl]);
    let sent = host.sent();
    assert_eq!(sent[0], [&tag[..12], &[0x81, 0, 0, 5], &tag[12..]].concat());
    assert_eq!(sent[1], cut[..cut.len() - 10]);
    let packet = SlicedPacket::from_ethernet(&sent[2]).expect("parsed");
    let Some(etherparse::NetSlice::Ipv4(ip)) = packet.net else {
        panic!("no IPv4");
    };
    let header = ip.header().to_header();
    assert_eq!(header.time_to_live, 17);
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    // There is no room for so much.
    host.receive([udp(1, 12, b"")]);
    assert_eq!(host.xdp().drop, 1);
    assert_eq!(host.xdp().tx_errors, 0);
    // What is no verdict aborts.
    host.receive([udp(1, 11, b"")]);
    assert_eq!(host.xdp().aborted, 1);
    // Frames too short to look into pass.
    host.receive([frame(0x0800, &[0; 4])]);
    assert_eq!(host.xdp().pass, 1);
    host.assert_balanced();
}

#[test]
fn what_the_program_said_is_in_the_trace() {
    let mut host = host("layering", "xdp");
    host.journeys();
    for port in [7, 6, 8, 5] {
        host.receive([udp(1, port, b"x")]);
    }
    let journeys = host.journeys();
    let said: Vec<&str> = journeys
        .lines()
        .filter_map(|line| line.split(" > ").find(|stage| stage.starts_with("xdp ")))
        .collect();
    assert_eq!(
        said,
        ["xdp drop", "xdp aborted", "xdp tx", "xdp pass"],
        "{journeys}"
    );
}

/// xdp_do_redirect(): the frame is the other driver's at once, past everything else.
#[test]
fn a_redirected_frame_in_the_trace() {
    let mut host = host("maps", "xdp");
    let other = Wire::new([2, 0, 0, 0, 0, 0x0c]);
    let dev = host.stack.add_device("eth1", Box::new(Rc::clone(&other)));
    host.set("devices", 4, dev.0);
    host.journeys();
    host.receive([udp(4, 4, b"x")]);
    assert_eq!(other.borrow().tx.len(), 1);
    let journeys = host.journeys();
    let stages: Vec<&str> = journeys.split([':', '>']).map(str::trim).collect();
    assert_eq!(stages[1..], ["napi_poll", "xdp redirect", "xmit"]);
}

#[test]
fn random_numbers_come_from_the_seed() {
    let passed = |seed| {
        let mut host = Host::new(StackConfig {
            seed,
            ..StackConfig::default()
        });
        host.stack
            .xdp_attach(host.dev, &object("maps"), "try_all")
            .expect("attached");
        let before = |host: &Host| host.xdp().pass;
        (0..64)
            .map(|_| {
                let passed = before(&host);
                host.receive([udp(1, 9, b"")]);
                before(&host) > passed
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(passed(7), passed(7));
    assert_ne!(passed(7), passed(8));
    assert!((16..48).contains(&passed(7).iter().filter(|&&p| p).count()));
}

#[test]
fn a_checksum_left_out_moves_with_the_frame() {
    let mut host = host("maps", "xdp");
    let mut left_out = udp(1, 6, b"tag");
    let whole = left_out.clone();
    // The sum of the pseudo header, to which whoever sends it adds the rest.
    let mut pseudo: u32 = 17 + 11;
    for pair in left_out[26..34].chunks(2) {
        pseudo += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    left_out[40..42].copy_from_slice(&((pseudo % 0xffff) as u16).to_be_bytes());
    host.wire.borrow_mut().rx.push_back((
        left_out,
        CsumState::Partial {
            start: 34,
            offset: 6,
        },
    ));
    host.receive([]);
    let wire = host.wire.borrow();
    assert_eq!(wire.tx.len(), 1);
    assert_eq!([&wire.tx[0][..12], &wire.tx[0][16..]].concat(), whole);
    assert_eq!(wire.tx_csum, [CsumState::None]);
}

#[test]
fn what_a_verifier_refuses_is_stopped() {
    for section in ["xdp/loop", "xdp/stray"] {
        let mut host = host("maps", section);
        host.receive([udp(1, 1, b"x")]);
        assert_eq!(host.xdp().faults, 1, "{section}");
        assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 1);
        host.assert_balanced();
    }
}

/// One program for each way out of its memory (bounds.c): it is stopped there, the frame is lost, and nothing else happened.
#[test]
fn whatever_leaves_its_memory_is_stopped() {
    let elf = object("bounds");
    for section in common::LEAVES_ITS_MEMORY {
        let mut host = host("bounds", section);
        let pool = host.wire.borrow().pool.clone();
        let frame = udp(1, 1, &[250, 1, 2]);
        host.receive([frame.clone(), frame]);
        let expected = XdpStats {
            faults: 2,
            ..XdpStats::default()
        };
        assert_eq!(host.xdp(), expected, "{section}");
        assert!(host.sent().is_empty(), "{section}");
        assert_eq!(host.stack.drop_count(DropReason::NotSpecified), 2);
        assert_eq!(host.value("array", &[1, 0, 0, 0]), Some(vec![0; 16]));
        assert_eq!(host.value("hash", &[0; 4]), None, "{section}");
        host.assert_balanced();
        assert_eq!(pool.available(), pool.count());
        // The program may be used again, and others.
        host.stack
            .xdp_attach(host.dev, &elf, "xdp/inside")
            .expect("attached");
        host.receive([udp(1, 1, &[0])]);
        assert_eq!(host.xdp().pass, 1);
    }
}

/// The neighbour of all those stays inside; its maps are an array, a hash and a device map with any numbers as keys.
#[test]
fn whatever_stays_in_its_memory_runs() {
    let mut host = host("bounds", "xdp/inside");
    // Byte 14 is 0x45: slot 1 of the array, then the device map, which has nothing at 5 yet.
    let frame = udp(1, 1, &[14]);
    host.receive([frame.clone()]);
    assert_eq!((host.xdp().tx, host.sent()), (1, vec![frame.clone()]));
    let mut value = vec![0; 16];
    value[5] = 0x45;
    assert_eq!(host.value("array", &[1, 0, 0, 0]), Some(value));
    let other = Wire::new([2, 0, 0, 0, 0, 0x0c]);
    let dev = host.stack.add_device("eth1", Box::new(Rc::clone(&other)));
    host.set("devices", 5, dev.0);
    host.receive([frame.clone()]);
    assert_eq!(other.borrow().tx, [frame]);
    // The last byte is inside, the next one is not; too short a frame has none.
    host.receive([udp(1, 1, &[42]), udp(1, 1, &[43]), udp(1, 1, b"")]);
    let expected = XdpStats {
        tx: 1,
        redirect: 1,
        pass: 1,
        aborted: 1,
        drop: 1,
        ..XdpStats::default()
    };
    assert_eq!(host.xdp(), expected);
    let kinds: Vec<MapKind> = {
        let maps = host.stack.xdp_maps(host.dev).expect("a program");
        maps.borrow().iter().map(|m| m.spec().kind).collect()
    };
    assert_eq!(kinds, [MapKind::Array, MapKind::Hash, MapKind::DevMapHash]);
    host.assert_balanced();
}

#[test]
fn objects_that_cannot_be_loaded_say_why() {
    let mut host = Host::new(StackConfig::default());
    let (dev, elf) = (host.dev, object("maps"));
    let refused = |host: &mut Host, elf: &[u8], section: &str| {
        host.stack
            .xdp_attach(dev, elf, section)
            .expect_err("refused")
    };
    assert_eq!(
        refused(&mut host, &elf, "nothing"),
        StackError::Bpf(BpfError::NoProgram("nothing".into()))
    );
    assert!(matches!(
        refused(&mut host, b"\x7fELF", "xdp"),
        StackError::Bpf(BpfError::Elf(_))
    ));
    // A tc program calls what XDP programs must not.
    assert!(matches!(
        refused(&mut host, &object("tc"), "classifier"),
        StackError::Bpf(BpfError::Insn {
            problem: "unknown function",
            ..
        })
    ));
    let tc = Program::load(&object("tc"), "classifier", ProgramType::SchedCls).expect("loaded");
    assert_eq!(
        host.stack.xdp_attach_program(dev, tc),
        Err(StackError::WrongProgram)
    );
    assert_eq!(
        host.stack.xdp_attach(IfIndex(9), &elf, "xdp"),
        Err(StackError::NoDevice(IfIndex(9)))
    );
}

#[test]
fn tc_programs_rewrite_and_redirect() {
    let mut program = TcBpf::load(&object("tc"), "classifier", 0).expect("loaded");
    assert_eq!(program.maps().borrow()[0].spec().kind, MapKind::Array);
    let sound = |skb: &SkBuff| {
        let frame = skb.mac_bytes().to_vec();
        let packet = SlicedPacket::from_ethernet(&frame).expect("parsed");
        let (Some(etherparse::NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) =
            (packet.net, packet.transport)
        else {
            panic!("no UDP");
        };
        let header = ip.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        let sum = udp
            .to_header()
            .calc_checksum_ipv4(&header, udp.payload())
            .unwrap();
        assert_eq!(udp.checksum(), sum);
        (header.source, udp.destination_port())
    };
    let mut skb = received(&udp(9, 1, b"odd"));
    assert_eq!(program.run(&mut skb, 0).code, 0);
    assert_eq!(sound(&skb), ([192, 0, 2, 10], 2));
    let mut skb = received(&udp(9, 3, b"even"));
    assert_eq!(program.run(&mut skb, 0).code, 0);
    assert_eq!(sound(&skb), ([10, 9, 9, 9], 3));
    let mut skb = received(&udp(9, 4, b"mark"));
    (skb.mark, skb.dev) = (1000, IfIndex(2));
    assert_eq!(program.run(&mut skb, 0).code, 3);
    assert_eq!((skb.mark, skb.priority), (2, 1046));
    let mut skb = received(&udp(9, 5, b"away"));
    let away = BpfVerdict {
        code: 7,
        redirect: Some((IfIndex(2), true)),
    };
    assert_eq!(program.run(&mut skb, 0), away);
    let hits = program.maps();
    assert_eq!(
        hits.borrow()[0].lookup(&[0; 4]),
        Some(&4u64.to_le_bytes()[..])
    );
}
