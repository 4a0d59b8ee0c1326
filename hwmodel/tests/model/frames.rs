//! Frames for the tests, and what is right of them, byte by byte.

/// Ones' complement sum of big-endian words (RFC 1071 1), not complemented.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let mut total: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            total = (total & 0xffff) + (total >> 16);
        }
    }
    total as u16
}

/// What goes into a packet.
#[derive(Clone)]
pub struct Spec {
    pub to: [u8; 6],
    pub vlan: Option<u16>,
    pub ipv6: bool,
    /// Protocol number: 6 or 17.
    pub protocol: u8,
    /// Last octet of source and destination address.
    pub hosts: [u8; 2],
    pub ports: [u16; 2],
    pub seq: u32,
    pub flags: u8,
    pub payload: Vec<u8>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            to: [2, 0, 0, 0, 0, 1],
            vlan: None,
            ipv6: false,
            protocol: 17,
            hosts: [10, 20],
            ports: [40_000, 7],
            seq: 1000,
            flags: 0x10,
            payload: vec![0x5a; 100],
        }
    }
}

impl Spec {
    /// Offset of the transport header.
    pub fn l4(&self) -> usize {
        14 + if self.vlan.is_some() { 4 } else { 0 } + if self.ipv6 { 40 } else { 20 }
    }

    pub fn headers(&self) -> usize {
        self.l4() + if self.protocol == 6 { 20 } else { 8 }
    }

    pub fn csum_offset(&self) -> usize {
        if self.protocol == 6 { 16 } else { 6 }
    }

    /// The frame; its checksum field holds the pseudo-header's sum.
    pub fn partial(&self) -> Vec<u8> {
        let mut transport = Vec::new();
        for port in self.ports {
            transport.extend(port.to_be_bytes());
        }
        if self.protocol == 6 {
            transport.extend(self.seq.to_be_bytes());
            transport.extend([0, 0, 0, 1, 0x50, self.flags, 0x20, 0, 0, 0, 0, 0]);
        } else {
            transport.extend((8 + self.payload.len() as u16).to_be_bytes());
            transport.extend([0, 0]);
        }
        transport.extend(&self.payload);
        let mut frame = self.to.to_vec();
        frame.extend([2, 0, 0, 0, 0, 0xaa]);
        if let Some(vlan) = self.vlan {
            frame.extend([0x81, 0]);
            frame.extend(vlan.to_be_bytes());
        }
        let len = transport.len() as u16;
        let [from, to] = self.hosts;
        let mut addresses = Vec::new();
        if self.ipv6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(len.to_be_bytes());
            frame.extend([self.protocol, 64]);
            for host in [from, to] {
                addresses.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
            }
        } else {
            let start = frame.len() + 2;
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + len).to_be_bytes());
            frame.extend([0, 7, 0x40, 0, 64, self.protocol, 0, 0]);
            addresses.extend([192, 0, 2, from, 192, 0, 2, to]);
            let csum = !sum(&[&frame[start..], &addresses]);
            frame[start + 10..start + 12].copy_from_slice(&csum.to_be_bytes());
        }
        let pseudo = sum(&[&addresses, &[0, self.protocol], &len.to_be_bytes()]);
        let at = self.csum_offset();
        transport[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
        frame.extend(addresses);
        frame.extend(transport);
        frame
    }

    /// The frame with its checksum.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = self.partial();
        let l4 = self.l4();
        let csum = match !sum(&[&frame[l4..]]) {
            0 if self.protocol == 17 => 0xffff,
            csum => csum,
        };
        let at = l4 + self.csum_offset();
        frame[at..at + 2].copy_from_slice(&csum.to_be_bytes());
        frame
    }

    /// The header of a frame to be sent whose checksum is to be filled in, in pieces of `size` (0: in
    /// one).
    pub fn hdr(&self, size: u16) -> [u8; 12] {
        let kind = match (size, self.protocol, self.ipv6) {
            (0, ..) => 0,
            (_, 17, _) => 5,
            (_, _, false) => 1,
            (_, _, true) => 4,
        };
        let words = [self.headers() as u16, size, self.l4() as u16];
        let mut hdr = [0; 12];
        (hdr[0], hdr[1]) = (1, kind);
        for (at, word) in (2..).step_by(2).zip(words) {
            hdr[at..at + 2].copy_from_slice(&word.to_le_bytes());
        }
        hdr[8] = self.csum_offset() as u8;
        hdr
    }
}

/// As the wire carries it: at least 60 bytes.
pub fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(60), 0);
    frame
}
