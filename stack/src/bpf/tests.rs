//! The machine against another one (rbpf), what is refused before a run and what ends one, and files that are not what they say.

use super::*;
use insn::{INSN_SIZE, LD_IMM64};
use proptest::prelude::*;

/// One slot: opcode, registers, offset, constant.
fn slot(opcode: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; INSN_SIZE] {
    let [o0, o1] = off.to_le_bytes();
    let [i0, i1, i2, i3] = imm.to_le_bytes();
    [opcode, src << 4 | dst, o0, o1, i0, i1, i2, i3]
}

const EXIT: [u8; INSN_SIZE] = [0x95, 0, 0, 0, 0, 0, 0, 0];

fn load_imm64(dst: u8, value: u64) -> [[u8; INSN_SIZE]; 2] {
    [
        slot(LD_IMM64, dst, 0, 0, value as i32),
        slot(0, 0, 0, 0, (value >> 32) as i32),
    ]
}

fn program(code: &[[u8; INSN_SIZE]]) -> Result<Program, BpfError> {
    Program::new(code.iter().map(Insn::decode).collect(), 0, ProgramType::Xdp)
}

/// Runs code over a packet of 20 bytes in a buffer of 100.
fn run(code: &[[u8; INSN_SIZE]]) -> Result<u64, Fault> {
    let mut program = program(code).expect("loaded");
    let mut buf: Vec<u8> = (0..100).collect();
    run_over(&mut program, &mut buf)
}

fn run_over(program: &mut Program, buf: &mut [u8]) -> Result<u64, Fault> {
    let mut packet = Packet {
        buf,
        start: 50,
        end: 70,
        meta: 50,
        written: false,
    };
    let mut ctx = [0; 24];
    let result = program.run(
        &mut ctx,
        &[(16, 20)],
        [0, 4, 8],
        &mut packet,
        ProgramEnv::default(),
    );
    result.map(|(value, _)| value)
}

fn refused(code: &[[u8; INSN_SIZE]]) -> &'static str {
    match program(code).expect_err("refused") {
        BpfError::Insn { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn code_that_no_program_may_have_is_refused() {
    assert_eq!(program(&[]).err(), Some(BpfError::Size(0)));
    assert_eq!(
        refused(&[slot(0xb7, 0, 0, 0, 1)]),
        "the last instruction is not an exit"
    );
    assert_eq!(
        refused(&[slot(0xff, 0, 0, 0, 0), EXIT]),
        "unknown instruction"
    );
    assert_eq!(
        refused(&[slot(0xb7, 11, 0, 0, 0), EXIT]),
        "no such register"
    );
    assert_eq!(
        refused(&[slot(0xbf, 0, 12, 0, 0), EXIT]),
        "no such register"
    );
    assert_eq!(
        refused(&[slot(0x07, 10, 0, 0, 8), EXIT]),
        "the frame pointer is read only"
    );
    assert_eq!(refused(&[slot(0x37, 0, 0, 0, 0), EXIT]), "division by zero");
    assert_eq!(
        refused(&[slot(0x64, 0, 0, 0, 32), EXIT]),
        "shift by more than the width"
    );
    assert_eq!(refused(&[slot(0x05, 0, 0, 5, 0), EXIT]), "jump to nowhere");
    assert_eq!(refused(&[slot(0x05, 0, 0, -2, 0), EXIT]), "jump to nowhere");
    assert_eq!(
        refused(&[slot(0x85, 0, 0, 0, 999), EXIT]),
        "unknown function"
    );
    assert_eq!(refused(&[slot(0x85, 0, 1, 0, 7), EXIT]), "call to nowhere");
    assert_eq!(
        refused(&[EXIT, slot(LD_IMM64, 0, 0, 0, 1)]),
        "half of a 64-bit constant"
    );
    let [low, high] = load_imm64(0, 1);
    assert_eq!(
        refused(&[slot(0x05, 0, 0, 1, 0), low, high, EXIT]),
        "jump to nowhere"
    );
    assert_eq!(
        refused(&[low, EXIT, EXIT]),
        "not the second half of a 64-bit constant"
    );
}

#[test]
fn only_its_own_memory_is_reached() {
    let load = |addr: u64, size: u8| {
        let [low, high] = load_imm64(1, addr);
        run(&[low, high, slot(size | 0x61, 0, 1, 0, 0), EXIT])
    };
    let packet = memory::PACKET_BASE + 50;
    let byte = 0x10;
    assert_eq!(load(packet, byte), Ok(50));
    assert_eq!(load(packet + 19, byte), Ok(69));
    assert_eq!(load(packet + 16, 0), Ok(0x4544_4342));
    for (addr, size) in [
        (packet - 1, byte),
        (packet + 20, byte),
        (packet + 17, 0),
        (0, byte),
        (u64::MAX, 0),
        (memory::CTX_BASE + 21, 0),
        (memory::STACK_BASE + 512, byte),
        (memory::MAP_BASE, byte),
        (memory::MAP_HANDLE, byte),
        (memory::MAP_HANDLE - 1, 0),
    ] {
        assert!(
            matches!(load(addr, size), Err(Fault::Access { at: 2, .. })),
            "{addr:#x}"
        );
    }
    // The process's own addresses mean nothing.
    let secret = 7u64;
    assert!(load(&raw const secret as u64, byte).is_err());
    // The context is read only but for what is listed.
    let store = |offset| run(&[slot(0x62, 1, 0, offset, 1), slot(0xb7, 0, 0, 0, 0), EXIT]);
    assert!(store(16).is_ok() && store(12).is_err() && store(18).is_err());
}

#[test]
fn time_and_depth_are_bounded() {
    assert_eq!(run(&[slot(0x05, 0, 0, -1, 0), EXIT]), Err(Fault::Budget));
    // A function that calls itself.
    let code = [slot(0x85, 0, 1, 0, -1), EXIT];
    assert_eq!(run(&code), Err(Fault::CallDepth { at: 0 }));
}

#[test]
fn functions_have_frames_of_their_own() {
    // r6 = 5; call; r0 += r6; exit. The function changes r6 and writes to its stack; the caller's stack keeps 9.
    let code = [
        slot(0xb7, 6, 0, 0, 5),
        slot(0x7a, 10, 0, -8, 9),
        slot(0x85, 0, 1, 0, 3),
        slot(0x0f, 0, 6, 0, 0),
        slot(0x79, 1, 10, -8, 0),
        slot(0x05, 0, 0, 4, 0),
        slot(0xb7, 6, 0, 0, 100),
        slot(0x7a, 10, 0, -8, 1),
        slot(0xb7, 0, 0, 0, 2),
        EXIT,
        slot(0x0f, 0, 1, 0, 0),
        EXIT,
    ];
    assert_eq!(run(&code), Ok(2 + 5 + 9));
}

#[test]
fn constants_are_extended_by_their_sign() {
    // if r1 > -2 (which is 0xffff_ffff_ffff_fffe) then 1 else 0
    let greater = |r1: u64| {
        let [low, high] = load_imm64(1, r1);
        run(&[
            low,
            high,
            slot(0xb7, 0, 0, 0, 0),
            slot(0x25, 1, 0, 1, -2),
            EXIT,
            slot(0xb7, 0, 0, 0, 1),
            EXIT,
        ])
    };
    assert_eq!((greater(0xffff_ffff), greater(u64::MAX)), (Ok(0), Ok(1)));
}

#[test]
fn the_least_number_is_its_own_negative() {
    let negative = |opcode, value| {
        let [low, high] = load_imm64(0, value);
        run(&[low, high, slot(opcode, 0, 0, 0, 0), EXIT])
    };
    assert_eq!(
        (negative(0x87, 1 << 63), negative(0x87, 5)),
        (Ok(1 << 63), Ok(-5i64 as u64))
    );
    assert_eq!(
        (negative(0x84, 1 << 31), negative(0x84, 5)),
        (Ok(1 << 31), Ok(0xffff_fffb))
    );
}

#[test]
fn nothing_is_divided_by_zero() {
    let by_zero = |opcode| {
        let [low, high] = load_imm64(0, 0x1234_5678_0000_0007);
        run(&[
            low,
            high,
            slot(0xb7, 1, 0, 0, 0),
            slot(opcode, 0, 1, 0, 0),
            EXIT,
        ])
    };
    assert_eq!((by_zero(0x3f), by_zero(0x3c)), (Ok(0), Ok(0)));
    assert_eq!(
        (by_zero(0x9f), by_zero(0x9c)),
        (Ok(0x1234_5678_0000_0007), Ok(7))
    );
}

#[test]
fn atomics_and_sign_extension() {
    // *(u64 *)(r10 - 8) = 5; r1 = 3; r1 = fetch_add; r0 = that + what is there.
    let fetch_add = [
        slot(0x7a, 10, 0, -8, 5),
        slot(0xb7, 1, 0, 0, 3),
        slot(0xdb, 10, 1, -8, 1),
        slot(0x79, 0, 10, -8, 0),
        slot(0x0f, 0, 1, 0, 0),
        EXIT,
    ];
    assert_eq!(run(&fetch_add), Ok(8 + 5));
    // r0 = 5 is what is there: 7 takes its place.
    let compare = [
        slot(0x7a, 10, 0, -8, 5),
        slot(0xb7, 0, 0, 0, 5),
        slot(0xb7, 1, 0, 0, 7),
        slot(0xdb, 10, 1, -8, 0xf1),
        slot(0x79, 0, 10, -8, 0),
        EXIT,
    ];
    assert_eq!(run(&compare), Ok(7));
    let load = [slot(0x7a, 10, 0, -8, 0x80), slot(0x91, 0, 10, -8, 0), EXIT];
    assert_eq!(run(&load), Ok(-128i64 as u64));
    let mov = [slot(0xb7, 1, 0, 0, 0x8000), slot(0xbf, 0, 1, 16, 0), EXIT];
    assert_eq!(run(&mov), Ok(-32768i64 as u64));
    let divide = [slot(0xb7, 0, 0, 0, -7), slot(0x37, 0, 0, 1, 2), EXIT];
    assert_eq!(run(&divide), Ok(-3i64 as u64));
    let swap = [slot(0xb7, 0, 0, 0, 0x1234), slot(0xd7, 0, 0, 0, 16), EXIT];
    assert_eq!(run(&swap), Ok(0x3412));
}

/// Arithmetic and forward jumps of the first instruction set, which every machine has; without negation, where rbpf panics at the least number.
fn arithmetic() -> impl Strategy<Value = [u8; INSN_SIZE]> {
    let operation = prop::sample::select(vec![
        0x00u8, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0, 0xd0,
    ]);
    let jump = prop::sample::select(vec![
        0x10u8, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0,
    ]);
    let kind = prop::sample::select(vec![0x04u8, 0x07, 0x05, 0x06]);
    (
        kind,
        operation,
        jump,
        any::<bool>(),
        0..10u8,
        0..10u8,
        0..4i16,
        any::<i32>(),
    )
        .prop_map(|(kind, operation, jump, by_register, dst, src, off, imm)| {
            let register = if by_register { 0x08 } else { 0 };
            // RFC 9669 5.1 extends constants by their sign; rbpf does not where it compares unsigned numbers.
            let unsigned = matches!(jump, 0x20 | 0x30 | 0x40 | 0xa0 | 0xb0);
            let imm = if matches!(kind, 0x05 | 0x06) && unsigned {
                imm & i32::MAX
            } else {
                imm
            };
            if kind == 0x05 || kind == 0x06 {
                return slot(
                    kind | jump | register,
                    dst,
                    if by_register { src } else { 0 },
                    off,
                    if by_register { 0 } else { imm },
                );
            }
            let width = if kind == 0x04 { 32 } else { 64 };
            match operation {
                // RFC 9669 4.1: modulo zero clears the upper half all the same; not so in rbpf.
                0x90 if by_register && width == 32 => slot(0xac, dst, src, 0, 0),
                0xd0 => slot(0xd4 | register, dst, 0, 0, [16, 32, 64][src as usize % 3]),
                // By registers, shifts of more than the width differ between machines.
                0x60 | 0x70 | 0xc0 => slot(operation | kind, dst, 0, 0, imm.rem_euclid(width)),
                0x30 | 0x90 if !by_register => slot(operation | kind, dst, 0, 0, imm | 1),
                _ => slot(
                    operation | kind | register,
                    dst,
                    if by_register { src } else { 0 },
                    0,
                    if by_register { 0 } else { imm },
                ),
            }
        })
}

proptest! {
    #[test]
    fn another_machine_gets_the_same(
        start in prop::collection::vec(any::<u64>(), 10),
        body in prop::collection::vec(arithmetic(), 0..60),
    ) {
        let mut code: Vec<[u8; INSN_SIZE]> = Vec::new();
        for (register, value) in start.iter().enumerate() {
            code.extend(load_imm64(register as u8, *value));
        }
        code.extend(&body);
        // Where jumps over the end land.
        code.extend([slot(0xbf, 0, 0, 0, 0); 4]);
        for register in 1..10 {
            code.push(slot(0x27, 0, 0, 0, 31));
            code.push(slot(0x0f, 0, register, 0, 0));
        }
        code.push(EXIT);
        let bytes: Vec<u8> = code.concat();
        let vm = rbpf::EbpfVmNoData::new(Some(&bytes)).expect("loaded");
        let theirs = vm.execute_program().expect("run");
        prop_assert_eq!(run(&code), Ok(theirs));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_code_ends(code in prop::collection::vec((any::<u8>(), 0..11u8, 0..11u8, -8..8i16, -8..100i32), 1..20)) {
        let mut code: Vec<_> = code.into_iter().map(|(o, d, s, off, imm)| slot(o, d, s, off, imm)).collect();
        code.push(EXIT);
        if let Ok(mut program) = program(&code) {
            let mut buf = vec![0; 100];
            let _ = run_over(&mut program, &mut buf);
        }
    }
}

fn object(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/bpf/{name}.o", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("object file")
}

proptest! {
    #[test]
    fn damaged_objects_do_no_harm(
        name in prop::sample::select(vec!["layering", "maps", "tc"]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>(),
        cuts in prop::bool::weighted(0.2),
    ) {
        let mut elf = object(name);
        for (at, value) in damage {
            let at = at.index(elf.len());
            elf[at] = value;
        }
        if cuts {
            elf.truncate(cut.index(elf.len()));
        }
        for section in ["xdp", "tc", "classifier", "xdp/loop"] {
            if let Ok(mut program) = Program::load(&elf, section, ProgramType::Xdp) {
                let mut buf = vec![0; 100];
                let _ = run_over(&mut program, &mut buf);
            }
        }
    }

    #[test]
    fn any_bytes_are_no_object(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut elf = object("tc");
        prop_assert!(Program::load(&bytes, "xdp", ProgramType::Xdp).is_err());
        let n = bytes.len();
        elf[64..64 + n].copy_from_slice(&bytes);
        let _ = Program::load(&elf, "classifier", ProgramType::SchedCls);
    }
}

#[test]
fn maps_refuse_what_does_not_fit() {
    let spec = |kind, key_size, value_size, max_entries| MapSpec {
        name: "m".into(),
        kind,
        key_size,
        value_size,
        max_entries,
    };
    let refused = |spec| match Map::new(spec) {
        Err(BpfError::Map { problem, .. }) => problem,
        _ => panic!("made"),
    };
    assert_eq!(
        refused(spec(MapKind::Hash, 4, 0, 1)),
        "sizes must not be zero"
    );
    assert_eq!(
        refused(spec(MapKind::Array, 8, 8, 1)),
        "the key must have 4 bytes"
    );
    assert_eq!(
        refused(spec(MapKind::DevMap, 4, 16, 1)),
        "the value must have 4 or 8 bytes"
    );
    assert_eq!(
        refused(spec(MapKind::Hash, 600, 8, 1)),
        "the key is too long"
    );
    assert_eq!(
        refused(spec(MapKind::Hash, 4, u32::MAX, u32::MAX)),
        "it would take too much memory"
    );
    let mut array = Map::new(spec(MapKind::Array, 4, 3, 2)).unwrap();
    assert_eq!(
        array.update(&[2, 0, 0, 0], &[1, 2, 3], 0),
        Err(MapError::Full)
    );
    assert_eq!(
        array.update(&[1, 0, 0, 0], &[1, 2, 3], 1),
        Err(MapError::Exists)
    );
    assert_eq!(
        array.update(&[1, 0, 0, 0], &[1, 2], 0),
        Err(MapError::Invalid)
    );
    assert_eq!(array.update(&[1, 0, 0, 0], &[1, 2, 3], 2), Ok(()));
    assert_eq!(
        (array.lookup(&[1, 0, 0, 0]), array.len()),
        (Some(&[1, 2, 3][..]), 2)
    );
    assert_eq!(array.delete(&[1, 0, 0, 0]), Err(MapError::Invalid));
    let mut hash = Map::new(spec(MapKind::Hash, 1, 1, 2)).unwrap();
    assert_eq!(hash.update(&[1], &[1], 2), Err(MapError::Missing));
    assert_eq!(
        (hash.update(&[1], &[1], 0), hash.update(&[2], &[2], 1)),
        (Ok(()), Ok(()))
    );
    assert_eq!(hash.update(&[3], &[3], 0), Err(MapError::Full));
    assert_eq!(
        (hash.delete(&[1]), hash.delete(&[1])),
        (Ok(()), Err(MapError::Missing))
    );
    assert_eq!((hash.update(&[3], &[3], 0), hash.len()), (Ok(()), 2));
    assert_eq!(
        (hash.lookup(&[2]), hash.lookup(&[3]), hash.lookup(&[1])),
        (Some(&[2][..]), Some(&[3][..]), None)
    );
}
