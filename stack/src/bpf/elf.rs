//! Object files as `clang -target bpf` writes them: programs, maps, global variables, and what refers to them.

use super::BpfError;
use super::btf::Btf;
use super::insn::{CALL, INSN_SIZE, Insn, LD_IMM64, PSEUDO_CALL};
use super::maps::{Map, MapKind, MapSpec};
use super::memory::{MAP_HANDLE, map_addr};
use object::elf::{EM_BPF, R_BPF_64_32, R_BPF_64_64};
use object::read::elf::ElfFile64;
use object::{
    LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags,
    RelocationTarget, SectionIndex, SymbolKind,
};
use std::collections::BTreeMap;

type Elf<'a> = ElfFile64<'a, LittleEndian>;
type Section<'a, 'b> = object::read::elf::ElfSection64<'a, 'b, LittleEndian>;

/// Maps of one object, and how the code refers to them.
#[derive(Default)]
struct Maps {
    maps: Vec<Map>,
    /// Maps by the name of their symbol.
    by_name: BTreeMap<String, usize>,
    /// Maps that are sections of global variables.
    by_section: BTreeMap<usize, usize>,
}

/// What was read of an object: the code of one program and all maps.
pub(super) struct Loaded {
    pub insns: Vec<Insn>,
    /// First instruction of the program.
    pub entry: usize,
    pub name: String,
    pub maps: Vec<Map>,
}

fn malformed(problem: impl std::fmt::Display) -> BpfError {
    BpfError::Elf(problem.to_string())
}

/// Reads the program in section `section` (the first function there), or the function of that name.
pub(super) fn load(bytes: &[u8], section: &str) -> Result<Loaded, BpfError> {
    let elf = Elf::parse(bytes).map_err(malformed)?;
    if elf.elf_header().e_machine.get(LittleEndian) != EM_BPF {
        return Err(malformed("not an object for BPF"));
    }
    let maps = maps(&elf)?;
    let (code, start, name) = program(&elf, section)?;
    let mut insns = decode(&code)?;
    let text = elf
        .section_by_name(".text")
        .filter(|text| text.index() != code.index());
    let mut text_at = None;
    if let Some(text) = &text {
        let functions = decode(text)?;
        if !functions.is_empty() {
            text_at = Some((text.index(), insns.len()));
            insns.extend(functions);
        }
    }
    let places = Places {
        code: code.index(),
        text: text_at,
    };
    relocate(&elf, &code, 0, &places, &maps, &mut insns)?;
    if let (Some(text), Some((_, at))) = (&text, text_at) {
        relocate(&elf, text, at, &places, &maps, &mut insns)?;
    }
    Ok(Loaded {
        insns,
        entry: start,
        name,
        maps: maps.maps,
    })
}

/// Where sections begin in the joined code.
struct Places {
    code: SectionIndex,
    text: Option<(SectionIndex, usize)>,
}

impl Places {
    fn of(&self, section: SectionIndex) -> Option<usize> {
        if section == self.code {
            return Some(0);
        }
        self.text
            .filter(|text| text.0 == section)
            .map(|text| text.1)
    }
}

/// The section with the program, its first instruction and its name.
fn program<'a, 'b>(
    elf: &'b Elf<'a>,
    wanted: &str,
) -> Result<(Section<'a, 'b>, usize, String), BpfError> {
    let functions = || {
        elf.symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
    };
    let in_section = elf.section_by_name(wanted).filter(|_| wanted != ".text");
    let function = match &in_section {
        Some(section) => functions()
            .filter(|f| f.section_index() == Some(section.index()))
            .min_by_key(|f| f.address()),
        None => functions().find(|f| f.name() == Ok(wanted)),
    };
    let function = function.ok_or_else(|| BpfError::NoProgram(wanted.to_owned()))?;
    let section = function
        .section_index()
        .and_then(|index| elf.section_by_index(index).ok())
        .ok_or_else(|| BpfError::NoProgram(wanted.to_owned()))?;
    let start = usize::try_from(function.address()).unwrap_or(usize::MAX) / INSN_SIZE;
    let slots = section.size() / INSN_SIZE as u64;
    if function.address() % INSN_SIZE as u64 != 0 || start as u64 >= slots {
        return Err(malformed("the program begins outside of its section"));
    }
    Ok((section, start, function.name().unwrap_or("?").to_owned()))
}

fn decode(section: &Section<'_, '_>) -> Result<Vec<Insn>, BpfError> {
    let bytes = section.data().map_err(malformed)?;
    if bytes.len() % INSN_SIZE != 0 {
        return Err(malformed("half an instruction at the end of a section"));
    }
    let slots = bytes.chunks_exact(INSN_SIZE);
    Ok(slots
        .filter_map(|slot| slot.first_chunk().map(Insn::decode))
        .collect())
}

/// All maps: declared in `.maps` (with BTF) or `maps` (`struct bpf_map_def`), and the sections of global variables.
fn maps(elf: &Elf<'_>) -> Result<Maps, BpfError> {
    let mut maps = Maps::default();
    let btf = elf
        .section_by_name(".BTF")
        .and_then(|section| section.data().ok());
    if elf.section_by_name(".maps").is_some() {
        let btf = btf
            .and_then(Btf::parse)
            .ok_or_else(|| malformed("maps need BTF (clang -g)"))?;
        for spec in btf.maps()? {
            maps.add(spec)?;
        }
    }
    if let Some(section) = elf.section_by_name("maps") {
        let bytes = section.data().map_err(malformed)?;
        for symbol in elf.symbols() {
            let Ok(name) = symbol.name() else { continue };
            if symbol.section_index() != Some(section.index()) || name.is_empty() {
                continue;
            }
            let at = usize::try_from(symbol.address()).unwrap_or(usize::MAX);
            maps.add(legacy_map(name, bytes.get(at..).unwrap_or_default())?)?;
        }
    }
    for section in elf.sections() {
        let name = section.name().unwrap_or_default();
        let is = |prefix: &str| name == prefix || name.starts_with(&format!("{prefix}."));
        let read_only = is(".rodata");
        if !(read_only || is(".data") || is(".bss")) || section.size() == 0 {
            continue;
        }
        let zero;
        let bytes = if is(".bss") {
            let size = usize::try_from(section.size()).unwrap_or(usize::MAX);
            if size > MAX_GLOBALS {
                return Err(malformed("too many global variables"));
            }
            zero = vec![0; size];
            &zero
        } else {
            section.data().map_err(malformed)?
        };
        maps.by_section.insert(section.index().0, maps.maps.len());
        maps.maps.push(Map::global(name, bytes, read_only)?);
    }
    Ok(maps)
}

/// Bytes of a section without contents.
const MAX_GLOBALS: usize = 16 << 20;

impl Maps {
    fn add(&mut self, spec: MapSpec) -> Result<(), BpfError> {
        self.by_name.insert(spec.name.clone(), self.maps.len());
        self.maps.push(Map::new(spec)?);
        Ok(())
    }
}

/// `struct bpf_map_def`: type, key_size, value_size, max_entries, and flags that say nothing of what it does.
fn legacy_map(name: &str, bytes: &[u8]) -> Result<MapSpec, BpfError> {
    let bad = |problem| BpfError::Map {
        name: name.to_owned(),
        problem,
    };
    let Some(fields) = bytes.first_chunk::<16>() else {
        return Err(bad("its definition is cut off"));
    };
    let field = |at: usize| {
        fields
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .map_or(0, |b| u32::from_le_bytes(*b))
    };
    Ok(MapSpec {
        name: name.to_owned(),
        kind: MapKind::from_id(field(0)).ok_or_else(|| bad("unknown kind"))?,
        key_size: field(4),
        value_size: field(8),
        max_entries: field(12),
    })
}

/// Puts the addresses of maps and functions into the code of `section`, which begins at `base`.
fn relocate(
    elf: &Elf<'_>,
    section: &Section<'_, '_>,
    base: usize,
    places: &Places,
    maps: &Maps,
    insns: &mut [Insn],
) -> Result<(), BpfError> {
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else {
            return Err(malformed("a relocation without a symbol"));
        };
        let RelocationFlags::Elf { r_type, .. } = relocation.flags() else {
            return Err(malformed("a relocation of an unknown kind"));
        };
        let symbol = elf.symbol_by_index(index).map_err(malformed)?;
        let at = usize::try_from(offset).unwrap_or(usize::MAX) / INSN_SIZE + base;
        let Some(insn) = insns.get_mut(at) else {
            return Err(malformed("a relocation outside of its section"));
        };
        let name = symbol.name().unwrap_or_default();
        match (r_type, insn.opcode) {
            // A 64-bit constant is the address of what the symbol names.
            (R_BPF_64_64, LD_IMM64) => {
                let addr = if let Some(&map) = maps.by_name.get(name) {
                    MAP_HANDLE + map as u64
                } else if let Some(map) = symbol
                    .section_index()
                    .and_then(|s| maps.by_section.get(&s.0))
                {
                    // In a section of variables: the constant is an offset from the symbol.
                    let offset =
                        (insn.imm as u32 as usize).saturating_add(symbol.address() as usize);
                    map_addr(*map, offset & 0xffff_ffff)
                } else {
                    return Err(BpfError::Symbol(name.to_owned()));
                };
                insn.imm = i64::from(addr as u32 as i32);
                insn.src = 0;
                match insns.get_mut(at + 1) {
                    Some(high) => high.imm = i64::from((addr >> 32) as u32 as i32),
                    None => return Err(malformed("half of a 64-bit constant")),
                }
            }
            // A call goes to the function that the symbol names.
            (R_BPF_64_32, CALL) => {
                let to = symbol
                    .section_index()
                    .and_then(|section| places.of(section))
                    .ok_or_else(|| BpfError::Symbol(name.to_owned()))?;
                // With a section's symbol the distance is in the instruction; with a function's it is −1.
                let distance = (symbol.address() / INSN_SIZE as u64) as i64 + insn.imm + 1;
                insn.src = PSEUDO_CALL;
                insn.imm = to as i64 + distance - (at as i64 + 1);
            }
            _ => return Err(malformed("a relocation of an unknown kind")),
        }
    }
    Ok(())
}
