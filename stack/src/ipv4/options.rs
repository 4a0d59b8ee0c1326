//! IPv4 options (RFC 791 3.1, RFC 2113): checks as `ip_options_compile()`, and the recording of routes when forwarding.

use std::net::Ipv4Addr;

/// End of the list.
const IPOPT_END: u8 = 0;
/// Padding.
const IPOPT_NOOP: u8 = 1;
/// Record route.
const IPOPT_RR: u8 = 7;
/// Timestamps.
const IPOPT_TIMESTAMP: u8 = 68;
/// Loose source route.
const IPOPT_LSRR: u8 = 131;
/// Strict source route.
const IPOPT_SSRR: u8 = 137;
/// Router alert.
const IPOPT_RA: u8 = 148;
/// Set in options that every fragment carries.
const IPOPT_COPY: u8 = 0x80;

/// What is wrong with a packet's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadOptions {
    /// Offset of the offending byte from the start of the IP header, for the parameter-problem message; none: drop silently.
    pub pointer: Option<u8>,
}

/// One option and its position in the list.
struct Opt<'a> {
    at: usize,
    bytes: &'a [u8],
}

/// Walks the list. `Err` holds the position of an option whose length is wrong.
fn walk<'a>(
    list: &'a [u8],
    mut each: impl FnMut(Opt<'a>) -> Result<(), BadOptions>,
) -> Result<(), BadOptions> {
    let mut at = 0;
    while let Some(&kind) = list.get(at) {
        match kind {
            IPOPT_END => return Ok(()),
            IPOPT_NOOP => at += 1,
            _ => {
                let len = usize::from(*list.get(at + 1).ok_or(bad(at))?);
                let bytes = list
                    .get(at..at + len)
                    .filter(|b| b.len() >= 2)
                    .ok_or(bad(at + 1))?;
                each(Opt { at, bytes })?;
                at += len;
            }
        }
    }
    Ok(())
}

/// The problem is at byte `at` of the list, which begins at byte 20 of the header.
fn bad(at: usize) -> BadOptions {
    BadOptions {
        pointer: u8::try_from(20 + at).ok(),
    }
}

/// `ip_options_compile()` for a received packet. Source routes are refused silently (`accept_source_route` is off).
pub(crate) fn compile(list: &[u8]) -> Result<(), BadOptions> {
    let mut seen = (false, false);
    walk(list, |Opt { at, bytes }| match bytes[0] {
        IPOPT_LSRR | IPOPT_SSRR => Err(BadOptions { pointer: None }),
        IPOPT_RR => {
            let twice = std::mem::replace(&mut seen.0, true);
            record_pointer(at, bytes, twice, 3, 4, 4)
        }
        IPOPT_TIMESTAMP => {
            let twice = std::mem::replace(&mut seen.1, true);
            // Flag 0: times only; 1 and 3: addresses and times.
            let entry = if bytes.get(3).is_some_and(|f| f & 0xf == 0) {
                4
            } else {
                8
            };
            record_pointer(at, bytes, twice, 4, 5, entry)
        }
        IPOPT_RA if bytes.len() < 4 => Err(bad(at + 1)),
        _ => Ok(()),
    })
}

/// Checks an option that routers append to: `fixed` bytes before the entries, a pointer (1-based) of at least `first`, and if it is not
/// full, room for a whole entry.
fn record_pointer(
    at: usize,
    bytes: &[u8],
    twice: bool,
    fixed: usize,
    first: u8,
    entry: usize,
) -> Result<(), BadOptions> {
    if twice {
        return Err(bad(at));
    }
    if bytes.len() < fixed {
        return Err(bad(at + 1));
    }
    let pointer = bytes[2];
    if pointer < first {
        return Err(bad(at + 2));
    }
    let next = usize::from(pointer);
    if next <= bytes.len() && next - 1 + entry > bytes.len() {
        return Err(bad(at + 2));
    }
    Ok(())
}

/// `ip_forward_options()`: enters `address` (of the outgoing device) into a record-route option that has room. `true` when the header
/// changed.
pub(crate) fn record_route(list: &mut [u8], address: Ipv4Addr) -> bool {
    let mut found = None;
    let sound = walk(list, |option| {
        if option.bytes[0] == IPOPT_RR && option.bytes.len() >= 3 {
            found = Some((option.at, usize::from(option.bytes[2]), option.bytes.len()));
        }
        Ok(())
    });
    let Some((at, pointer, len)) = found.filter(|_| sound.is_ok()) else {
        return false;
    };
    let Some(start) = pointer.checked_sub(1).filter(|s| s + 4 <= len) else {
        return false;
    };
    let Some(entry) = list
        .get_mut(at + start..)
        .and_then(|rest| rest.first_chunk_mut::<4>())
    else {
        return false;
    };
    *entry = address.octets();
    list[at + 2] += 4;
    true
}

/// `ip_options_fragment()`: later fragments carry only options with the copy bit; the others become padding.
pub(crate) fn blank_uncopied(list: &mut [u8]) {
    let mut blank: Vec<(usize, usize)> = Vec::new();
    let sound = walk(list, |option| {
        if option.bytes[0] & IPOPT_COPY == 0 {
            blank.push((option.at, option.bytes.len()));
        }
        Ok(())
    });
    if sound.is_ok() {
        for (at, len) in blank {
            list[at..at + len].fill(IPOPT_NOOP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sound_and_unsound_lists() {
        let pointer = |list: &[u8]| compile(list).map_err(|e| e.pointer);
        assert_eq!(pointer(&[1, 1, 0, 9]), Ok(()));
        assert_eq!(pointer(&[IPOPT_RA, 4, 0, 0]), Ok(()));
        assert_eq!(pointer(&[IPOPT_RR, 7, 4, 0, 0, 0, 0, 0]), Ok(()));
        assert_eq!(pointer(&[IPOPT_RR, 7, 3, 0, 0, 0, 0, 0]), Err(Some(22)));
        assert_eq!(pointer(&[IPOPT_RR, 6, 4, 0, 0, 0, 0, 0]), Err(Some(22)));
        assert_eq!(pointer(&[1, IPOPT_RR, 9, 4]), Err(Some(22)));
        assert_eq!(pointer(&[1, 1, 1, IPOPT_RR]), Err(Some(23)));
        assert_eq!(pointer(&[IPOPT_LSRR, 7, 4, 1, 2, 3, 4, 0]), Err(None));
    }

    #[test]
    fn routes_are_recorded_until_full() {
        let mut list = [IPOPT_RR, 7, 4, 0, 0, 0, 0, 0];
        assert!(record_route(&mut list, Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(list, [IPOPT_RR, 7, 8, 1, 2, 3, 4, 0]);
        assert!(!record_route(&mut list, Ipv4Addr::new(5, 6, 7, 8)));
    }

    #[test]
    fn later_fragments_keep_what_must_be_copied() {
        let mut list = [IPOPT_RR, 3, 4, IPOPT_RA, 4, 0, 0, 0];
        blank_uncopied(&mut list);
        assert_eq!(list, [1, 1, 1, IPOPT_RA, 4, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes(mut list in prop::collection::vec(any::<u8>(), 0..=40)) {
            let _ = compile(&list);
            record_route(&mut list, Ipv4Addr::LOCALHOST);
            blank_uncopied(&mut list);
        }
    }
}
