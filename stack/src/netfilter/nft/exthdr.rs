//! IPv6 extension headers, IPv4 options and TCP options, as nft names them.

use super::datatype::DataType;
use super::expr::{ExtField, ExtKind, Exthdr};
use DataType as T;

type Fields = &'static [(&'static str, u16, DataType)];

const N8: DataType = T::Integer(8);
const N16: DataType = T::Integer(16);
const N32: DataType = T::Integer(32);

const IP6: [(&str, u8, Fields); 5] = [
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

const TCP: [(&str, u8, Fields); 7] = [
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
];

const IP4: [(&str, u8, Fields); 4] = [
    (
        "lsrr",
        131,
        &[
            ("type", 0, N8),
            ("length", 8, N8),
            ("ptr", 16, N8),
            ("addr", 24, T::Ipv4Addr),
        ],
    ),
    (
        "rr",
        7,
        &[
            ("type", 0, N8),
            ("length", 8, N8),
            ("ptr", 16, N8),
            ("addr", 24, T::Ipv4Addr),
        ],
    ),
    (
        "ssrr",
        137,
        &[
            ("type", 0, N8),
            ("length", 8, N8),
            ("ptr", 16, N8),
            ("addr", 24, T::Ipv4Addr),
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
    find(&TCP, ExtKind::TcpOption, name, field)
}

/// `ip option NAME FIELD`
pub(crate) fn ip_option(name: &str, field: Option<&str>) -> Option<Exthdr> {
    find(&IP4, ExtKind::Ip4Option, name, field)
}

/// nft's words for it, field not included.
pub(crate) fn name(kind: ExtKind) -> &'static str {
    let named = |table: &'static [(&'static str, u8, Fields)], number: u8| {
        table
            .iter()
            .find(|(_, n, _)| *n == number)
            .map_or("", |(name, _, _)| *name)
    };
    match kind {
        ExtKind::Ip6(n) => named(&IP6, n),
        ExtKind::TcpOption(n) => named(&TCP, n),
        ExtKind::Ip4Option(n) => named(&IP4, n),
    }
}
