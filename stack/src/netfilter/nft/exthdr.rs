//! IPv6 extension headers, IPv4 options, TCP options and SCTP chunks, as nft names them.

use super::datatype::DataType;
use super::expr::{ExtField, ExtKind, Exthdr};
use DataType as T;

type Fields = &'static [(&'static str, u16, DataType)];

const N8: DataType = T::Integer(8);
const N16: DataType = T::Integer(16);
const N32: DataType = T::Integer(32);

/// Of those with one number the first that has a field is what nft calls it.
const IP6: [(&str, u8, Fields); 8] = [
    (
        "hbh",
        0,
        &[("nexthdr", 0, T::InetProto), ("hdrlength", 8, N8)],
    ),
    (
        "rt",
        43,
        &[
            ("nexthdr", 0, T::InetProto),
            ("hdrlength", 8, N8),
            ("type", 16, N8),
            ("seg-left", 24, N8),
        ],
    ),
    (
        "srh",
        43,
        &[
            ("last-entry", 32, N8),
            ("flags", 40, N8),
            ("tag", 48, N16),
            ("sid[1]", 64, T::Ipv6Addr),
            ("sid[2]", 192, T::Ipv6Addr),
        ],
    ),
    (
        "rt0",
        43,
        &[
            ("reserved", 32, N32),
            ("addr[1]", 64, T::Ipv6Addr),
            ("addr[2]", 192, T::Ipv6Addr),
        ],
    ),
    (
        "rt2",
        43,
        &[("reserved", 32, N32), ("addr", 64, T::Ipv6Addr)],
    ),
    (
        "frag",
        44,
        &[
            ("nexthdr", 0, T::InetProto),
            ("reserved", 8, N8),
            ("frag-off", 16, T::Integer(13)),
            ("reserved2", 29, T::Integer(2)),
            ("more-fragments", 31, T::Integer(1)),
            ("id", 32, N32),
        ],
    ),
    (
        "dst",
        60,
        &[("nexthdr", 0, T::InetProto), ("hdrlength", 8, N8)],
    ),
    (
        "mh",
        135,
        &[
            ("nexthdr", 0, T::InetProto),
            ("hdrlength", 8, N8),
            ("type", 16, T::MhType),
            ("reserved", 24, N8),
            ("checksum", 32, N16),
        ],
    ),
];

const TCP: [(&str, u8, Fields); 14] = [
    ("eol", 0, &[]),
    ("nop", 1, &[]),
    ("maxseg", 2, &[("length", 8, N8), ("size", 16, N16)]),
    ("window", 3, &[("length", 8, N8), ("count", 16, N8)]),
    ("sack-perm", 4, &[("length", 8, N8)]),
    (
        "sack",
        5,
        &[("length", 8, N8), ("left", 16, N32), ("right", 48, N32)],
    ),
    (
        "timestamp",
        8,
        &[("length", 8, N8), ("tsval", 16, N32), ("tsecr", 48, N32)],
    ),
    ("sack0", 5, &[("left", 16, N32), ("right", 48, N32)]),
    ("sack1", 5, &[("left", 80, N32), ("right", 112, N32)]),
    ("sack2", 5, &[("left", 144, N32), ("right", 176, N32)]),
    ("sack3", 5, &[("left", 208, N32), ("right", 240, N32)]),
    ("md5sig", 19, &[("length", 8, N8)]),
    (
        "mptcp",
        30,
        &[("length", 8, N8), ("subtype", 16, T::Integer(4))],
    ),
    ("fastopen", 34, &[("length", 8, N8)]),
];

/// The fields that every chunk has, with `more` behind them.
macro_rules! chunk {
    ($name:literal, $number:literal $(, ($field:literal, $offset:literal, $dtype:expr))*) => {
        (
            $name,
            $number,
            &[("type", 0, N8), ("flags", 8, N8), ("length", 16, N16) $(, ($field, $offset, $dtype))*],
        )
    };
}

/// RFC 9260 3.3, RFC 5061 4.1, RFC 3758 3.2.
const SCTP: [(&str, u8, Fields); 18] = [
    chunk!(
        "data",
        0,
        ("tsn", 32, N32),
        ("stream", 64, N16),
        ("ssn", 80, N16),
        ("ppid", 96, N32)
    ),
    chunk!(
        "init",
        1,
        ("init-tag", 32, N32),
        ("a-rwnd", 64, N32),
        ("num-outbound-streams", 96, N16),
        ("num-inbound-streams", 112, N16),
        ("initial-tsn", 128, N32)
    ),
    chunk!(
        "init-ack",
        2,
        ("init-tag", 32, N32),
        ("a-rwnd", 64, N32),
        ("num-outbound-streams", 96, N16),
        ("num-inbound-streams", 112, N16),
        ("initial-tsn", 128, N32)
    ),
    chunk!(
        "sack",
        3,
        ("cum-tsn-ack", 32, N32),
        ("a-rwnd", 64, N32),
        ("num-gap-ack-blocks", 96, N16),
        ("num-dup-tsns", 112, N16)
    ),
    chunk!("heartbeat", 4),
    chunk!("heartbeat-ack", 5),
    chunk!("abort", 6),
    chunk!("shutdown", 7, ("cum-tsn-ack", 32, N32)),
    chunk!("shutdown-ack", 8),
    chunk!("error", 9),
    chunk!("cookie-echo", 10),
    chunk!("cookie-ack", 11),
    chunk!("ecne", 12, ("lowest-tsn", 32, N32)),
    chunk!("cwr", 13, ("lowest-tsn", 32, N32)),
    chunk!("shutdown-complete", 14),
    chunk!("asconf-ack", 128, ("seqno", 32, N32)),
    chunk!("forward-tsn", 192, ("new-cum-tsn", 32, N32)),
    chunk!("asconf", 193, ("seqno", 32, N32)),
];

const IP4: [(&str, u8, Fields); 4] = [
    (
        "lsrr",
        131,
        &[
            ("type", 0, N8),
            ("length", 8, N8),
            ("ptr", 16, N8),
            ("addr", 24, N32),
        ],
    ),
    (
        "rr",
        7,
        &[
            ("type", 0, N8),
            ("length", 8, N8),
            ("ptr", 16, N8),
            ("addr", 24, N32),
        ],
    ),
    (
        "ssrr",
        137,
        &[
            ("type", 0, N8),
            ("length", 8, N8),
            ("ptr", 16, N8),
            ("addr", 24, N32),
        ],
    ),
    (
        "ra",
        148,
        &[("type", 0, N8), ("length", 8, N8), ("value", 16, N16)],
    ),
];

fn find(
    table: &'static [(&'static str, u8, Fields)],
    kind: fn(u8) -> ExtKind,
    name: &str,
    field: Option<&str>,
) -> Option<Exthdr> {
    let (_, number, fields) = table.iter().find(|(n, _, _)| *n == name)?;
    let field = match field {
        None => None,
        Some(field) => {
            let (name, offset, dtype) = *fields.iter().find(|(n, _, _)| *n == field)?;
            Some(ExtField {
                name,
                offset,
                dtype,
            })
        }
    };
    Some(Exthdr {
        kind: kind(*number),
        field,
    })
}

/// `frag id`; `field` none: whether the header is there.
pub(crate) fn ip6(name: &str, field: Option<&str>) -> Option<Exthdr> {
    find(&IP6, ExtKind::Ip6, name, field)
}

/// `tcp option NAME FIELD`
pub(crate) fn tcp_option(name: &str, field: Option<&str>) -> Option<Exthdr> {
    // Older names of the same options.
    let name = match name {
        "mss" => "maxseg",
        "sack-permitted" => "sack-perm",
        "noop" => "nop",
        other => other,
    };
    let numbered = || {
        let number = name.parse::<u8>().ok().filter(|_| field.is_none())?;
        Some(Exthdr {
            kind: ExtKind::TcpOption(number),
            field: None,
        })
    };
    find(&TCP, ExtKind::TcpOption, name, field).or_else(numbered)
}

/// `ip option NAME FIELD`
pub(crate) fn ip_option(name: &str, field: Option<&str>) -> Option<Exthdr> {
    find(&IP4, ExtKind::Ip4Option, name, field)
}

/// `sctp chunk NAME FIELD`
pub(crate) fn sctp_chunk(name: &str, field: Option<&str>) -> Option<Exthdr> {
    find(&SCTP, ExtKind::SctpChunk, name, field)
}

/// nft's words for it, field not included; options that have no name are their number.
pub(crate) fn name(e: Exthdr) -> String {
    let (table, number): (&[(&'static str, u8, Fields)], u8) = match e.kind {
        ExtKind::Ip6(n) => (&IP6, n),
        ExtKind::TcpOption(n) => (&TCP, n),
        ExtKind::Ip4Option(n) => (&IP4, n),
        ExtKind::SctpChunk(n) => (&SCTP, n),
    };
    let has_field = |fields: Fields| {
        e.field.is_none_or(|field| {
            fields
                .iter()
                .any(|(name, offset, _)| (*name, *offset) == (field.name, field.offset))
        })
    };
    let numbered = || table.iter().filter(|(_, n, _)| *n == number);
    let mut found = numbered().filter(|(_, _, fields)| has_field(fields));
    match found.next() {
        Some((name, _, _)) => (*name).to_owned(),
        None => number.to_string(),
    }
}
