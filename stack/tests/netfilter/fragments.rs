//! With connection tracking a router puts datagrams together, and sends them on in the pieces that they came in.

use crate::router::{CLIENT, Router, SERVER, udp, udp6};

/// Cuts an IPv4 frame into fragments with payloads of these lengths; the rest is the last one.
fn cut(frame: &[u8], lens: &[usize], df: bool) -> Vec<Vec<u8>> {
    let (headers, mut rest) = frame.split_at(34);
    let (mut at, mut out) = (0, Vec::new());
    for &len in lens.iter().chain([&usize::MAX]) {
        let (piece, after) = rest.split_at(len.min(rest.len()));
        let mut bytes = [headers, piece].concat();
        let field = (at / 8) | (usize::from(!after.is_empty()) << 13) | (usize::from(df) << 14);
        bytes[16..18].copy_from_slice(&((20 + piece.len()) as u16).to_be_bytes());
        bytes[20..22].copy_from_slice(&(field as u16).to_be_bytes());
        bytes[24..26].fill(0);
        let sum: u32 = bytes[14..34]
            .chunks(2)
            .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]))
            .sum();
        let check = !((sum & 0xffff) + (sum >> 16)) as u16;
        bytes[24..26].copy_from_slice(&check.to_be_bytes());
        out.push(bytes);
        at += piece.len();
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    out
}

/// What is in the fragments, and where: offset field and payload.
fn parts(frames: &[Vec<u8>]) -> Vec<(u16, Vec<u8>)> {
    let field = |f: &Vec<u8>| u16::from_be_bytes([f[20], f[21]]);
    frames
        .iter()
        .map(|f| (field(f), f[34..].to_vec()))
        .collect()
}

#[test]
fn out_as_they_came_in_whatever_the_order() {
    for (len, lens) in [(3000, [1480, 1480]), (3000, [800, 1480]), (100, [8, 16])] {
        let mut r = Router::new();
        let whole = udp((CLIENT, 40000), (SERVER, 9), &vec![7; len]);
        let frames = cut(&whole, &lens, false);
        let mut out = Vec::new();
        for frame in frames.iter().rev() {
            assert!(out.is_empty());
            out = r.client_sends(frame.clone());
        }
        assert!(parts(&out) == parts(&frames), "{lens:?}");
        assert_eq!(r.stack.conntrack().count(), 1);
        assert_eq!(r.stack.conntrack().stats().invalid, 0);
    }
}

/// As a kernel does it, though the sender said don't fragment.
#[test]
fn the_dont_fragment_bit_of_fragments_is_lost() {
    let mut r = Router::new();
    let whole = udp((CLIENT, 40000), (SERVER, 9), &vec![7; 3000]);
    let mut out = Vec::new();
    for frame in cut(&whole, &[1480, 1480], true) {
        out = r.client_sends(frame);
    }
    assert!(parts(&out) == parts(&cut(&whole, &[1480, 1480], false)));
}

#[test]
fn pieces_are_cut_again_for_a_narrow_way_out_but_not_against_the_senders_will() {
    let whole = udp((CLIENT, 40000), (SERVER, 9), &vec![7; 2000]);
    for df in [false, true] {
        let mut r = Router::new();
        r.s_wire.borrow_mut().mtu = 1000;
        let mut out = Vec::new();
        for frame in cut(&whole, &[1480], df) {
            out.extend(r.client_sends(frame));
        }
        if df {
            assert!(out.is_empty());
            let told = r.c_wire.borrow().tx.clone();
            assert_eq!(
                (told[0][34], told[0][35], &told[0][40..42]),
                (3, 4, &1000u16.to_be_bytes()[..])
            );
        } else {
            let lens: Vec<usize> = out.iter().map(|f| f.len() - 34).collect();
            assert_eq!(lens, [976, 976, 56]);
        }
    }
}

fn cut6(frame: &[u8], len: usize) -> Vec<Vec<u8>> {
    let (headers, payload) = frame.split_at(54);
    let last = (payload.len() - 1) / len;
    let piece = |(i, bytes): (usize, &[u8])| {
        let mut out = headers.to_vec();
        out[18..20].copy_from_slice(&((8 + bytes.len()) as u16).to_be_bytes());
        out[20] = 44;
        let field = (i * len) as u16 | u16::from(i < last);
        out.extend([17, 0]);
        out.extend(field.to_be_bytes());
        out.extend([1, 2, 3, 4]);
        out.extend(bytes);
        out
    };
    payload.chunks(len).enumerate().map(piece).collect()
}

#[test]
fn ipv6_goes_on_in_pieces_too() {
    let mut r = Router::new();
    let whole = udp6("fd00:1::2", 40000, "fd00:2::2", 9, &vec![7; 3000]);
    let frames = cut6(&whole, 1448);
    let mut out = Vec::new();
    for frame in &frames {
        out = r.client_sends(frame.clone());
    }
    assert_eq!(r.stack.conntrack().count(), 1);
    assert_eq!(out.len(), frames.len());
    for (ours, theirs) in out.iter().zip(&frames) {
        // The identification is the router's own.
        assert_eq!(
            (&ours[54..58], &ours[62..]),
            (&theirs[54..58], &theirs[62..])
        );
    }
}

/// Rules before defragmentation choose the zones: equal headers in two of them are two datagrams (6.18: two fragments, none put together).
#[test]
fn fragments_of_two_zones_do_not_meet() {
    let whole = udp((CLIENT, 40000), ([10, 0, 1, 1], 9), &[7; 100]);
    let whole6 = udp6("fd00:1::2", 40000, "fd00:1::1", 9, &[7; 100]);
    let cases = [cut(&whole, &[56], false), cut6(&whole6, 56)];
    for (zones, together) in [(["1", "2"], 0), (["1", "1"], 1)] {
        for pieces in &cases {
            let mut r = Router::new();
            let rules = format!(
                "add table inet z; add chain inet z p {{ type filter hook prerouting priority -450; }}; \
                 add rule inet z p iifname c ct zone set {}; add rule inet z p iifname s ct zone set {}",
                zones[0], zones[1]
            );
            r.stack.nft(&rules).unwrap();
            r.client_sends(pieces[0].clone());
            let mut other = pieces[1].clone();
            other[4] = 2;
            r.server_sends(other);
            assert_eq!(r.stack.stats().reassembled, together, "{zones:?}");
        }
    }
}

/// `frag_expire_skip_icmp()`: only who was asked tells that fragments are missing; IPv6 tells in any case.
#[test]
fn a_router_does_not_tell_that_fragments_are_missing() {
    let sent = |frame: &[u8]| {
        let mut r = Router::new();
        r.client_sends(frame.to_vec());
        r.wait(61);
        assert_eq!(r.stack.drop_count(stack::DropReason::FragReasmTimeout), 1);
        std::mem::take(&mut r.c_wire.borrow_mut().tx)
    };
    let to = |dst| cut(&udp((CLIENT, 40000), (dst, 9), &[7; 100]), &[56], false);
    let told = sent(&to([10, 0, 1, 1])[0]);
    assert_eq!((told.len(), &told[0][34..36]), (1, &[11, 1][..]));
    assert!(sent(&to(SERVER)[0]).is_empty());
    // No route: nobody is told that either.
    assert!(sent(&to([10, 77, 0, 1])[0]).is_empty());
    let to = udp6("fd00:1::2", 40000, "fd00:2::2", 9, &[7; 100]);
    let told = sent(&cut6(&to, 56)[0]);
    assert_eq!((told.len(), &told[0][54..56]), (1, &[3, 1][..]));
}

/// `ipv6_defrag()` has its hook drop what it cannot use.
#[test]
fn overlapping_ipv6_fragments_are_dropped_by_the_hook() {
    let mut r = Router::new();
    let whole = udp6("fd00:1::2", 40000, "fd00:2::2", 9, &[7; 300]);
    let pieces = cut6(&whole, 80);
    r.client_sends(pieces[0].clone());
    r.client_sends(pieces[2].clone());
    let mut overlap = cut6(&whole, 160)[0].clone();
    overlap[54 + 3] = 41;
    r.client_sends(overlap);
    assert_eq!(r.stack.drop_count(stack::DropReason::NetfilterDrop), 1);
    assert_eq!((r.stack.stats().dropped, r.stack.stats().held), (1, 0));
}
