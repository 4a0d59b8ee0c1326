//! FTP: data connections that the control connection announces, also through NAT.

use crate::router::{CLIENT, Router, SERVER, checksums_ok, ports, tcp};

const RULES: &str = r#"
table ip t {
    ct helper ftp { type "ftp" protocol tcp; }
    chain pre { type filter hook prerouting priority 0; tcp dport 21 ct helper set "ftp"; }
    chain fwd { type filter hook forward priority 0; policy drop;
        ct state related accept
        tcp dport 21 accept
        ct state established accept
    }
}
"#;

const C: ([u8; 4], u16) = (CLIENT, 40001);
const S: ([u8; 4], u16) = (SERVER, 21);

/// Numbers of a frame's segment, and its payload.
fn segment(frame: &[u8]) -> (u32, u32, Vec<u8>) {
    let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    (word(38), word(42), frame[54..].to_vec())
}

/// A control connection with its greeting and login; `client`: as the server sees the client.
fn login(r: &mut Router, client: ([u8; 4], u16)) {
    r.client_sends(tcp(C, S, "S", (1000, 0), b""));
    r.server_sends(tcp(S, client, "S.", (5000, 1001), b""));
    r.client_sends(tcp(C, S, ".", (1001, 5001), b""));
    r.server_sends(tcp(S, client, "P.", (5001, 1001), b"220 hi\r\n"));
    r.client_sends(tcp(C, S, "P.", (1001, 5009), b"USER x\r\n"));
}

#[test]
fn active_and_passive_connections_are_related() {
    let mut r = Router::new();
    r.stack.nft(RULES).unwrap();
    login(&mut r, C);
    // Nobody expects this one.
    let data = |flags, port| tcp((SERVER, 20), (CLIENT, port), flags, (1, 0), b"");
    assert!(r.server_sends(data("S", 40100)).is_empty());
    r.client_sends(tcp(C, S, "P.", (1009, 5009), b"PORT 10,0,1,2,156,164\r\n"));
    assert_eq!(r.stack.conntrack().expectations().count(), 1);
    assert_eq!(r.server_sends(data("S", 40100)).len(), 1);
    assert_eq!(r.stack.conntrack().expectations().count(), 0);
    let to = |port| tcp((CLIENT, 40300), (SERVER, port), "S", (1, 0), b"");
    r.server_sends(tcp(S, C, "P.", (5009, 1032), b"229 go (|||50000|)\r\n"));
    assert!(r.client_sends(to(50001)).is_empty());
    assert_eq!(r.client_sends(to(50000)).len(), 1);
    // An address that is not the server's own is not believed.
    r.server_sends(tcp(S, C, "P.", (5029, 1032), b"227 (10,0,2,3,195,81)\r\n"));
    assert_eq!(r.stack.conntrack().expectations().count(), 0);
}

#[test]
fn what_is_announced_in_the_middle_of_a_line_counts_for_nothing() {
    let mut r = Router::new();
    r.stack.nft(RULES).unwrap();
    login(&mut r, C);
    r.client_sends(tcp(C, S, "P.", (1009, 5009), b"CWD "));
    r.client_sends(tcp(C, S, "P.", (1013, 5009), b"PORT 10,0,1,2,156,164\r\n"));
    assert_eq!(r.stack.conntrack().expectations().count(), 0);
}

#[test]
fn masqueraded_port_says_the_routers_address_and_numbers_follow() {
    let mut r = Router::new();
    r.stack.nft(RULES).unwrap();
    r.stack
        .nft("table ip nat { chain post { type nat hook postrouting priority 100; oifname \"s\" masquerade; } }")
        .unwrap();
    let seen = ([10, 0, 2, 1], 40001);
    login(&mut r, seen);
    let out = r.client_sends(tcp(C, S, "P.", (1009, 5009), b"PORT 10,0,1,2,156,164\r\n"));
    assert!(checksums_ok(&out[0]));
    assert_eq!(
        segment(&out[0]),
        (1009, 5009, b"PORT 10,0,2,1,156,164\r\n".to_vec())
    );
    // The server connects to the router, which brings it to the client.
    let data = r.server_sends(tcp((SERVER, 20), ([10, 0, 2, 1], 40100), "S", (1, 0), b""));
    assert_eq!(
        (ports(&data[0]), &data[0][30..34]),
        ((20, 40100), &CLIENT[..])
    );
    assert!(checksums_ok(&data[0]));
    let answer = r.client_sends(tcp((CLIENT, 40100), (SERVER, 20), "S.", (70, 2), b""));
    assert_eq!(answer[0][26..30], [10, 0, 2, 1]);
    assert!(
        r.list()
            .lines()
            .any(|l| l.contains("sport=20") && l.contains("src=10.0.1.2"))
    );

    // A longer address: what follows is numbered anew, and acknowledgements are numbered back.
    let line = b"EPRT |1|10.0.1.2|40101|\r\n";
    let out = r.client_sends(tcp(C, S, "P.", (1032, 5009), line));
    assert_eq!(
        segment(&out[0]),
        (1032, 5009, b"EPRT |1|10.0.2.1|40101|\r\n".to_vec())
    );
}

#[test]
fn numbers_follow_a_line_that_became_longer() {
    let mut r = Router::new();
    r.stack.nft(RULES).unwrap();
    r.stack
        .nft("table ip nat { chain post { type nat hook postrouting priority 100; oifname \"s\" snat to 10.0.2.111; } }")
        .unwrap();
    let seen = ([10, 0, 2, 111], 40001);
    r.stack
        .add_addr(r.s, "10.0.2.111/32".parse().unwrap())
        .unwrap();
    login(&mut r, seen);
    let out = r.client_sends(tcp(
        C,
        S,
        "P.",
        (1009, 5009),
        b"EPRT |1|10.0.1.2|40101|\r\n",
    ));
    let (_, _, line) = segment(&out[0]);
    assert_eq!(line, b"EPRT |1|10.0.2.111|40101|\r\n");
    assert!(checksums_ok(&out[0]));
    // Two bytes more.
    let back = r.server_sends(tcp(S, seen, "P.", (5009, 1036), b"200 ok\r\n"));
    assert_eq!(segment(&back[0]).1, 1034);
    assert!(checksums_ok(&back[0]));
    let next = r.client_sends(tcp(C, S, "P.", (1034, 5017), b"LIST\r\n"));
    assert_eq!(segment(&next[0]).0, 1036);
    assert!(checksums_ok(&next[0]));
    let back = r.server_sends(tcp(S, seen, ".", (5017, 1042), b""));
    assert_eq!(segment(&back[0]).1, 1040);
    assert_eq!(r.stack.conntrack().stats().invalid, 0);
    // The line again, as if it had been lost: the same change, counted once.
    let out = r.client_sends(tcp(
        C,
        S,
        "P.",
        (1009, 5009),
        b"EPRT |1|10.0.1.2|40101|\r\n",
    ));
    assert_eq!(segment(&out[0]).0, 1009);
    let next = r.client_sends(tcp(C, S, ".", (1040, 5017), b""));
    assert_eq!(segment(&next[0]).0, 1042);
}
