//! `u32 match …` (tc/f_u32.c): words for fields, made into keys of 32 bits.

use crate::addr::IpCidr;
use crate::command::{CommandError, Word, Words};
use crate::sched::cls::u32::U32Key;
use std::net::IpAddr;

/// The keys of one filter, as they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct U32Keys(pub Vec<U32Key>);

/// `TC_U32_MAXKEYS`-like limit: the kernel counts keys in a byte, tc has room for 128.
const MAX_KEYS: usize = 128;

impl U32Keys {
    /// Reads what follows `match`.
    pub fn read(&mut self, words: &mut Words<'_>) -> Result<(), CommandError> {
        let selector = words.expect("u32, u16, u8, ip, ip6, tcp, udp or icmp")?;
        match selector.text {
            "u32" => self.plain(words, 4)?,
            "u16" => self.plain(words, 2)?,
            "u8" => self.plain(words, 1)?,
            "ip" => self.ip(words)?,
            "ip6" => self.ip6(words)?,
            "tcp" | "udp" => self.ports(words)?,
            "icmp" => self.icmp(words)?,
            _ => {
                return Err(
                    selector.error("unknown match: u32, u16, u8, ip, ip6, tcp, udp or icmp")
                );
            }
        }
        match self.0.len() {
            ..=MAX_KEYS => Ok(()),
            _ => Err(selector.error("more than 128 words to compare")),
        }
    }

    /// `pack_key()`: what fits into a word that is there already goes there.
    fn pack(&mut self, value: u32, mask: u32, offset: i32, nexthdr: bool) {
        let value = value & mask;
        let same = |key: &&mut U32Key| key.offset == offset && key.nexthdr == nexthdr;
        if let Some(key) = self.0.iter_mut().find(same) {
            let common = key.mask & mask;
            if (value ^ key.value) & common == 0 {
                key.value |= value;
                key.mask |= mask;
                return;
            }
        }
        self.0.push(U32Key {
            value,
            mask,
            offset,
            nexthdr,
        });
    }

    /// `pack_key16()`, `pack_key8()`: `size` bytes at `offset`.
    fn pack_part(&mut self, value: u32, mask: u32, size: u8, offset: i32, nexthdr: bool) {
        let bits = u32::from(size) * 8;
        let within = offset.rem_euclid(4) as u32;
        let shift = 32 - bits - within * 8;
        self.pack(
            value << shift,
            mask << shift,
            offset - within as i32,
            nexthdr,
        );
    }

    /// `u32 VALUE MASK [at [nexthdr+]OFFSET]` and its shorter kin.
    fn plain(&mut self, words: &mut Words<'_>, size: u8) -> Result<(), CommandError> {
        let value = number(words.expect("a value")?, size, 10)?;
        let mask = number(words.expect("a mask")?, size, 16)?;
        let (offset, nexthdr) = at(words, size)?.unwrap_or((0, false));
        self.pack_part(value, mask, size, offset, nexthdr);
        Ok(())
    }

    /// `FIELD VALUE MASK` at a place that the field has.
    fn field(
        &mut self,
        words: &mut Words<'_>,
        size: u8,
        offset: i32,
        nexthdr: bool,
    ) -> Result<(), CommandError> {
        let value = number(words.expect("a value")?, size, 10)?;
        let mask = number(words.expect("a mask")?, size, 16)?;
        let place = at(words, size)?.unwrap_or((offset, nexthdr));
        self.pack_part(value, mask, size, place.0, place.1);
        Ok(())
    }

    fn ip(&mut self, words: &mut Words<'_>) -> Result<(), CommandError> {
        let field = words.expect("a field of the IP header")?;
        match field.text {
            "src" => self.prefix(words, 12, true)?,
            "dst" => self.prefix(words, 16, true)?,
            "tos" | "dsfield" | "precedence" => self.field(words, 1, 1, false)?,
            "ihl" => self.field(words, 1, 0, false)?,
            "protocol" => self.field(words, 1, 9, false)?,
            "nofrag" => self.pack_part(0, 0x3fff, 2, 6, false),
            "firstfrag" => self.pack_part(0x2000, 0x3fff, 2, 6, false),
            "df" => self.pack_part(0x4000, 0x4000, 2, 6, false),
            "mf" => self.pack_part(0x2000, 0x2000, 2, 6, false),
            "sport" => self.field(words, 2, 20, false)?,
            "dport" => self.field(words, 2, 22, false)?,
            "icmp_type" => self.field(words, 1, 20, false)?,
            "icmp_code" => self.field(words, 1, 21, false)?,
            _ => return Err(field.error("unknown field of the IP header")),
        }
        Ok(())
    }

    fn ip6(&mut self, words: &mut Words<'_>) -> Result<(), CommandError> {
        let field = words.expect("a field of the IPv6 header")?;
        match field.text {
            "src" => self.prefix(words, 8, false)?,
            "dst" => self.prefix(words, 24, false)?,
            "priority" => {
                // The traffic class is 4 bits into the header.
                let value = number(words.expect("a value")?, 1, 10)?;
                let mask = number(words.expect("a mask")?, 1, 16)?;
                self.pack(value << 20, mask << 20, 0, false);
            }
            "flowlabel" => {
                let value = number(words.expect("a value")?, 4, 10)?;
                let mask = number(words.expect("a mask")?, 4, 16)?;
                self.pack(value, mask & 0x000f_ffff, 0, false);
            }
            "protocol" => self.field(words, 1, 6, false)?,
            "sport" => self.field(words, 2, 40, false)?,
            "dport" => self.field(words, 2, 42, false)?,
            "icmp_type" => self.field(words, 1, 40, false)?,
            // tc writes it so, and the kernel finds it at 41 of the same header.
            "icmp_code" => self.field(words, 1, 41, true)?,
            _ => return Err(field.error("unknown field of the IPv6 header")),
        }
        Ok(())
    }

    fn ports(&mut self, words: &mut Words<'_>) -> Result<(), CommandError> {
        let field = words.expect("src or dst")?;
        match field.text {
            "src" => self.field(words, 2, 0, true),
            "dst" => self.field(words, 2, 2, true),
            _ => Err(field.error("unknown field: src or dst")),
        }
    }

    fn icmp(&mut self, words: &mut Words<'_>) -> Result<(), CommandError> {
        let field = words.expect("type or code")?;
        match field.text {
            "type" => self.field(words, 1, 0, true),
            "code" => self.field(words, 1, 1, true),
            _ => Err(field.error("unknown field: type or code")),
        }
    }

    /// An address with a prefix length; one key for each word of it that matters.
    fn prefix(&mut self, words: &mut Words<'_>, offset: i32, v4: bool) -> Result<(), CommandError> {
        let word = words.expect("an address")?;
        let cidr = word
            .text
            .parse::<IpCidr>()
            .ok()
            .or_else(|| word.text.parse().ok().map(IpCidr::host))
            .filter(|cidr| cidr.address().is_ipv4() == v4)
            .ok_or_else(|| {
                word.error(if v4 {
                    "not an IPv4 prefix"
                } else {
                    "not an IPv6 prefix"
                })
            })?;
        let prefix = u32::from(cidr.prefix_len());
        let mask_from = |bit: u32| match prefix.saturating_sub(bit).min(32) {
            0 => 0,
            bits => u32::MAX << (32 - bits),
        };
        match cidr.address() {
            IpAddr::V4(address) => {
                let (offset, _) = at(words, 4)?.unwrap_or((offset, false));
                self.pack(address.to_bits(), mask_from(0), offset, false);
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                for i in 0..4u32 {
                    let mask = mask_from(i * 32);
                    if mask != 0 {
                        let word = (bits >> (96 - i * 32)) as u32;
                        self.pack(word, mask, offset + i as i32 * 4, false);
                    }
                }
            }
        }
        Ok(())
    }
}

/// A number of `size` bytes: hexadecimal behind `0x`, octal behind `0`, else to `base`. Masks are hexadecimal in any case.
fn number(word: Word<'_>, size: u8, base: u32) -> Result<u32, CommandError> {
    let (digits, base) = match word.text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if base == 10 && word.text.starts_with('0') => (word.text, 8),
        None => (word.text, base),
    };
    let value = match digits.starts_with(['+', '-']) {
        true => None,
        false => u32::from_str_radix(digits, base).ok(),
    };
    let max = u32::MAX >> (32 - u32::from(size) * 8);
    value
        .filter(|value| *value <= max)
        .ok_or_else(|| word.error(format!("not a number of {size} bytes")))
}

/// `at [nexthdr+]OFFSET`.
fn at(words: &mut Words<'_>, size: u8) -> Result<Option<(i32, bool)>, CommandError> {
    if !words.accept("at") {
        return Ok(None);
    }
    let word = words.expect("an offset")?;
    let (number, nexthdr) = match word.text.strip_prefix("nexthdr") {
        Some(rest) => (rest, true),
        None => (word.text, false),
    };
    let offset: i32 = number.parse().map_err(|_| word.error("not an offset"))?;
    if !(-1024..=65535).contains(&offset) || offset % i32::from(size) != 0 {
        return Err(word.error(format!("not a multiple of {size} within a packet")));
    }
    Ok(Some((offset, nexthdr)))
}
