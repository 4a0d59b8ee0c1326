//! [`bpf_elf`]: programs from elsewhere.

use super::common::{Host, MAC, PEER};
use etherparse::PacketBuilder;
use stack::bpf::{Program, ProgramType};
use stack::xdp::TcBpf;
use stack::{BpfVerdict, IfIndex, SkBuff, StackConfig, TcProgram};

/// Sections and functions of the objects that clang wrote for the tests, and of ours.
const SECTIONS: [&str; 6] = ["xdp", "tc", "classifier", "xdp/loop", "xdp/stray", "prog"];
/// Bytes of an ELF file's magic number.
const MAGIC: &[u8] = b"\x7fELF";

/// An object file; what does not begin as one is taken for instructions, of a program in section `xdp`.
pub fn bpf_elf(data: &[u8]) {
    let built;
    let elf = if data.starts_with(MAGIC) {
        data
    } else {
        built = object(data);
        &built
    };
    for section in SECTIONS {
        if let Ok(program) = Program::load(elf, section, ProgramType::Xdp) {
            run_xdp(program);
        }
        if let Ok(program) = TcBpf::load(elf, section, 1) {
            run_tc(program);
        }
    }
}

fn udp() -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(PEER, MAC)
        .ipv4([192, 0, 2, 10], [192, 0, 2, 20], 64)
        .udp(1, 9)
        .write(&mut bytes, b"payload")
        .expect("a Vec takes everything");
    bytes
}

fn run_xdp(program: Program) {
    let mut host = Host::new(StackConfig::default());
    host.stack
        .xdp_attach_program(host.dev, program)
        .expect("a program for XDP");
    host.receive([udp(), vec![0; 14]]);
    let s = host.stack.xdp_stats(host.dev).expect("a program");
    let verdicts = s.pass + s.drop + s.tx + s.redirect + s.aborted + s.faults;
    assert_eq!(verdicts, 2, "{s:?}");
    host.assert_balanced();
    host.wire.borrow_mut().tx.clear();
}

fn run_tc(mut program: TcBpf) {
    let frame = udp();
    let mut skb = SkBuff::from_vec(frame);
    (skb.dev, skb.iif) = (IfIndex(2), IfIndex(2));
    let BpfVerdict { .. } = program.run(&mut skb, 0);
    assert!(skb.len() <= 65_536, "{} bytes", skb.len());
}

/// An object file with one section of instructions, `xdp`.
fn object(insns: &[u8]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0xdp\0.shstrtab\0";
    const HEADER: usize = 64;
    let insns = &insns[..insns.len() / 8 * 8];
    let names_at = HEADER + insns.len();
    let sections_at = (names_at + NAMES.len()).next_multiple_of(8);
    let mut elf = MAGIC.to_vec();
    // 64 bits, little endian, version 1.
    elf.extend([2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // ET_REL, EM_BPF.
    elf.extend([1, 0, 247, 0, 1, 0, 0, 0]);
    elf.extend([0; 16]);
    elf.extend((sections_at as u64).to_le_bytes());
    elf.extend([0; 4]);
    for field in [HEADER as u16, 0, 0, 64, 3, 2] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend(insns);
    elf.extend(NAMES);
    elf.resize(sections_at + 64, 0);
    // Name, type (PROGBITS, STRTAB), flags (ALLOC | EXECINSTR), address, offset, size, link and info, alignment, entry size.
    for (name, kind, flags, at, len) in [
        (1u32, 1u32, 6u64, HEADER, insns.len()),
        (5, 3, 0, names_at, NAMES.len()),
    ] {
        elf.extend(name.to_le_bytes());
        elf.extend(kind.to_le_bytes());
        for word in [flags, 0, at as u64, len as u64, 0, 8, 0] {
            elf.extend(word.to_le_bytes());
        }
    }
    elf
}
