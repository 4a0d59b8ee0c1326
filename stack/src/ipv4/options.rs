//! IPv4 options (RFC 791 3.1, RFC 2113): checks as `ip_options_compile()`, and the recording of routes and times.

use smallvec::SmallVec;
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

/// What a packet's options ask of who handles it (`struct ip_options`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IpOptions {
    /// Offset of record route from the start of the IP header; 0: there is none.
    rr: u8,
    /// Offset of the timestamps; 0: there are none.
    ts: u8,
    /// The entry before the pointer of record route is this host's, and holds the address that the packet was sent to.
    rr_needaddr: bool,
    /// The same of the timestamps' entry.
    ts_needaddr: bool,
    /// A time was entered.
    ts_needtime: bool,
    /// The header's bytes have changed, its checksum has not.
    is_changed: bool,
}

/// Options of an answer; a multiple of 4 bytes.
pub(crate) type EchoedOptions = SmallVec<[u8; 40]>;

/// Options that all packets of a connection have (`inet_opt`), as they answer those of its SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedOptions {
    list: [u8; 40],
    /// Bytes of the list, a multiple of 4.
    len: u8,
    /// Where in it each packet enters when it leaves (`ts_needtime`); 0: nowhere, as an option begins with three other bytes.
    time_at: u8,
}

impl SavedOptions {
    /// None.
    pub const NONE: Self = Self {
        list: [0; 40],
        len: 0,
        time_at: 0,
    };

    /// Bytes that they add to each header (`icsk_ext_hdr_len`).
    pub fn len(&self) -> usize {
        self.len.into()
    }

    /// `ip_options_build()`: those of a packet that leaves at `time`, in milliseconds since midnight UT.
    pub fn build(&self, time: u32) -> EchoedOptions {
        let mut list = EchoedOptions::from_slice(self.list.get(..self.len()).unwrap_or_default());
        let entry = list.get_mut(usize::from(self.time_at)..);
        if let Some(entry) = entry.and_then(|e| e.first_chunk_mut())
            && self.time_at != 0
        {
            *entry = time.to_be_bytes();
        }
        list
    }
}

/// What this host enters into options.
pub(crate) struct Entries<'a> {
    /// `fib_compute_spec_dst()`: its address for who sent the packet.
    pub address: Ipv4Addr,
    /// Milliseconds since midnight UT.
    pub time: u32,
    /// Whether an address may be somebody else's (`RTN_UNICAST`).
    pub elsewhere: &'a dyn Fn(Ipv4Addr) -> bool,
}

/// A timestamp option with times only, with addresses, and with those of who is to enter a time.
const TS_TSONLY: u8 = 0;
const TS_TSANDADDR: u8 = 1;
const TS_PRESPEC: u8 = 3;

impl IpOptions {
    /// Of a packet that has none, or was not looked at.
    pub const NONE: Self = Self {
        rr: 0,
        ts: 0,
        rr_needaddr: false,
        ts_needaddr: false,
        ts_needtime: false,
        is_changed: false,
    };

    /// `ip_options_compile()` for a received packet. What is found before an error stays. Source routes are refused silently
    /// (`accept_source_route` is off), once the rest is known to be in order.
    pub fn compile(&mut self, list: &mut [u8], own: &Entries<'_>) -> Result<(), BadOptions> {
        let mut source_route = false;
        let mut at = 0;
        while let Some(&kind) = list.get(at) {
            match kind {
                IPOPT_END => {
                    let rest = list.get_mut(at..).unwrap_or_default();
                    self.is_changed |= rest.iter().any(|&b| b != IPOPT_END);
                    rest.fill(IPOPT_END);
                    break;
                }
                IPOPT_NOOP => at += 1,
                _ => {
                    let len = usize::from(*list.get(at + 1).ok_or(bad(at))?);
                    let option = list.get_mut(at..at + len).filter(|o| o.len() >= 2);
                    let option = option.ok_or(bad(at))?;
                    match kind {
                        IPOPT_LSRR | IPOPT_SSRR => {
                            check_route(at, option, source_route)?;
                            source_route = true;
                        }
                        IPOPT_RR => self.compile_route(at, option, own)?,
                        IPOPT_TIMESTAMP => self.compile_timestamp(at, option, own)?,
                        IPOPT_RA if len < 4 => return Err(bad(at + 1)),
                        _ => {}
                    }
                    at += len;
                }
            }
        }
        match source_route {
            true => Err(BadOptions { pointer: None }),
            false => Ok(()),
        }
    }

    fn compile_route(
        &mut self,
        at: usize,
        option: &mut [u8],
        own: &Entries<'_>,
    ) -> Result<(), BadOptions> {
        check_route(at, option, self.rr != 0)?;
        // 1-based; at most 40 bytes.
        let pointer = usize::from(option[2]);
        if pointer <= option.len() {
            let entry = entry(option, pointer).ok_or(bad(at + 2))?;
            *entry = own.address.octets();
            option[2] += 4;
            (self.rr_needaddr, self.is_changed) = (true, true);
        }
        self.rr = HEADER + at as u8;
        Ok(())
    }

    fn compile_timestamp(
        &mut self,
        at: usize,
        option: &mut [u8],
        own: &Entries<'_>,
    ) -> Result<(), BadOptions> {
        if self.ts != 0 {
            return Err(bad(at));
        }
        let &mut [_, _, pointer, flags, ..] = option else {
            return Err(bad(at + 1));
        };
        if pointer < 5 {
            return Err(bad(at + 2));
        }
        let kind = flags & 0xf;
        let (start, time) = (usize::from(pointer), own.time.to_be_bytes());
        if start <= option.len() {
            let first = *entry(option, start).ok_or(bad(at + 2))?;
            match kind {
                TS_TSONLY => {
                    *entry(option, start).ok_or(bad(at + 2))? = time;
                    option[2] += 4;
                    (self.ts_needtime, self.is_changed) = (true, true);
                }
                TS_TSANDADDR | TS_PRESPEC => {
                    let second = entry(option, start + 4).ok_or(bad(at + 2))?;
                    if kind == TS_TSANDADDR || !(own.elsewhere)(first.into()) {
                        *second = time;
                        option[2] += 8;
                        (self.ts_needtime, self.is_changed) = (true, true);
                    }
                    if kind == TS_TSANDADDR {
                        *entry(option, start).ok_or(bad(at + 2))? = own.address.octets();
                        self.ts_needaddr = true;
                    }
                }
                _ => {}
            }
        } else if kind != TS_PRESPEC {
            // How many had no room; more cannot be counted.
            if flags >> 4 == 15 {
                return Err(bad(at + 3));
            }
            option[3] += 1 << 4;
            self.is_changed = true;
        }
        self.ts = HEADER + at as u8;
        Ok(())
    }

    /// `ip_forward_options()`: record route gets `address`, that of the outgoing device; timestamps keep that of the incoming one. `true`: the
    /// header's checksum is to be made anew.
    pub fn forward(&mut self, header: &mut [u8], address: Ipv4Addr) -> bool {
        if self.rr_needaddr {
            enter(header, self.rr, address.octets());
            self.is_changed = true;
        }
        std::mem::take(&mut self.is_changed)
    }

    /// Whether there is something for who enters an address when forwarding.
    pub fn is_to_be_forwarded(&self) -> bool {
        self.is_changed || self.rr_needaddr
    }

    /// `__ip_options_echo()` and `ip_options_build()`: the options of an answer to the packet that begins with `header`, which goes out from
    /// `own.address`; a multiple of 4 bytes. `None`: there is no room for what they ask for.
    pub fn echo(&self, header: &[u8], own: &Entries<'_>) -> Option<EchoedOptions> {
        Some(self.echo_list(header, own)?.0)
    }

    /// `tcp_v4_save_options()`: the same, for all packets to who sent this one.
    pub fn save(&self, header: &[u8], own: &Entries<'_>) -> Option<SavedOptions> {
        let (list, time_at) = self.echo_list(header, own)?;
        let mut saved = SavedOptions {
            len: u8::try_from(list.len()).ok()?,
            time_at: time_at.and_then(|at| u8::try_from(at).ok()).unwrap_or(0),
            ..SavedOptions::NONE
        };
        saved.list.get_mut(..list.len())?.copy_from_slice(&list);
        Some(saved)
    }

    /// The options, and where a time was entered.
    fn echo_list(
        &self,
        header: &[u8],
        own: &Entries<'_>,
    ) -> Option<(EchoedOptions, Option<usize>)> {
        let mut list = EchoedOptions::new();
        let mut time_at = None;
        if self.rr != 0 {
            let mut option = Self::at(header, self.rr)?;
            let pointer = usize::from(option[2]);
            if self.rr_needaddr && pointer <= option.len() {
                *entry(&mut option, pointer)? = own.address.octets();
                option[2] += 4;
            }
            list.extend_from_slice(&option);
        }
        if self.ts != 0 {
            let mut option = Self::at(header, self.ts)?;
            if self.echo_timestamp(&mut option, own)? {
                // Before the pointer, which counts from 1.
                time_at = (list.len() + usize::from(option[2])).checked_sub(5);
            }
            list.extend_from_slice(&option);
        }
        while !list.len().is_multiple_of(4) {
            list.push(IPOPT_END);
        }
        Some((list, time_at))
    }

    /// `true`: a time was entered.
    fn echo_timestamp(&self, option: &mut [u8], own: &Entries<'_>) -> Option<bool> {
        let mut pointer = usize::from(option[2]);
        if pointer > option.len() {
            return Some(false);
        }
        let mut timed = false;
        if self.ts_needaddr {
            *entry(option, pointer)? = own.address.octets();
            pointer += 4;
        }
        if self.ts_needtime && option[3] & 0xf != TS_PRESPEC {
            *entry(option, pointer)? = own.time.to_be_bytes();
            pointer += 4;
            timed = true;
        } else if self.ts_needtime {
            let next = *entry(option, pointer)?;
            if let Some(time) = entry(option, pointer + 4)
                && !(own.elsewhere)(next.into())
            {
                *time = own.time.to_be_bytes();
                pointer += 8;
                timed = true;
            }
        }
        // At most 40 + 1.
        option[2] = pointer as u8;
        Some(timed)
    }

    /// A copy of the option at this offset of a header.
    fn at(header: &[u8], offset: u8) -> Option<EchoedOptions> {
        let option = header.get(usize::from(offset)..)?;
        let option = option.get(..usize::from(*option.get(1)?))?;
        (option.len() > 2).then(|| SmallVec::from_slice(option))
    }
}

/// Bytes of a header without options.
const HEADER: u8 = 20;

/// The four bytes at a pointer, which counts from 1.
fn entry(option: &mut [u8], pointer: usize) -> Option<&mut [u8; 4]> {
    option.get_mut(pointer.checked_sub(1)?..)?.first_chunk_mut()
}

/// Overwrites the four bytes before the pointer of the option at `offset`.
fn enter(header: &mut [u8], offset: u8, value: [u8; 4]) {
    let option = header.get_mut(usize::from(offset)..).unwrap_or_default();
    let pointer = option.get(2).map_or(0, |&p| usize::from(p));
    if let Some(place) = pointer.checked_sub(4).and_then(|p| entry(option, p)) {
        *place = value;
    }
}

/// The fixed part of an option with a route.
fn check_route(at: usize, option: &[u8], twice: bool) -> Result<(), BadOptions> {
    match option {
        _ if twice => Err(bad(at)),
        [_, _] => Err(bad(at + 1)),
        [_, _, 0..4, ..] => Err(bad(at + 2)),
        _ => Ok(()),
    }
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

    fn compile(list: &[u8]) -> (Result<IpOptions, Option<u8>>, Vec<u8>) {
        let (mut options, mut list) = (IpOptions::default(), list.to_vec());
        let own = Entries {
            address: Ipv4Addr::new(10, 0, 0, 1),
            time: 0x0102_0304,
            elsewhere: &|address| address.octets()[3] != 1,
        };
        let compiled = options.compile(&mut list, &own);
        (compiled.map(|()| options).map_err(|bad| bad.pointer), list)
    }

    #[test]
    fn sound_and_unsound_lists() {
        let pointer = |list: &[u8]| compile(list).0.map(|_| ());
        assert_eq!(pointer(&[1, 1, 0, 9]), Ok(()));
        assert_eq!(pointer(&[IPOPT_RA, 4, 0, 0]), Ok(()));
        assert_eq!(pointer(&[IPOPT_RR, 7, 4, 0, 0, 0, 0, 0]), Ok(()));
        assert_eq!(pointer(&[IPOPT_RR, 7, 3, 0, 0, 0, 0, 0]), Err(Some(22)));
        assert_eq!(pointer(&[IPOPT_RR, 6, 4, 0, 0, 0, 0, 0]), Err(Some(22)));
        assert_eq!(pointer(&[1, IPOPT_RR, 9, 4]), Err(Some(21)));
        assert_eq!(pointer(&[1, 1, 1, IPOPT_RR]), Err(Some(23)));
        assert_eq!(pointer(&[IPOPT_LSRR, 7, 4, 1, 2, 3, 4, 0]), Err(None));
        assert_eq!(
            pointer(&[IPOPT_LSRR, 3, 4, IPOPT_LSRR, 3, 4, 0, 0]),
            Err(Some(23))
        );
    }

    #[test]
    fn routes_are_recorded_until_full() {
        let (options, list) = compile(&[IPOPT_RR, 7, 4, 0, 0, 0, 0, 0]);
        assert_eq!(list, [IPOPT_RR, 7, 8, 10, 0, 0, 1, 0]);
        let mut header = [[0x47; 20].as_slice(), &list].concat();
        assert!(
            options
                .unwrap()
                .forward(&mut header, Ipv4Addr::new(1, 2, 3, 4))
        );
        assert_eq!(header[20..], [IPOPT_RR, 7, 8, 1, 2, 3, 4, 0]);
        let (mut full, same) = (compile(&list).0.unwrap(), compile(&list).1);
        assert_eq!(same, list);
        assert!(!full.forward(&mut header, Ipv4Addr::new(5, 6, 7, 8)));
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
            let own = Entries { address: Ipv4Addr::LOCALHOST, time: 9, elsewhere: &|_| false };
            let mut options = IpOptions::default();
            let _ = options.compile(&mut list, &own);
            let mut header = [[0; 20].as_slice(), &list].concat();
            let _ = options.echo(&header, &own);
            options.forward(&mut header, Ipv4Addr::LOCALHOST);
            blank_uncopied(&mut list);
        }
    }
}
