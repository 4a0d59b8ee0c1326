//! The part of BTF (BPF Type Format) that declares maps: a section of variables whose types say what they are.
//!
//! libbpf writes `__uint(type, 1)` as a member that points to an array of 1 integer, and `__type(key, u32)` as one that points to the
//! key's type.

use super::BpfError;
use super::maps::{MapKind, MapSpec};

const KIND_INT: u8 = 1;
const KIND_PTR: u8 = 2;
const KIND_ARRAY: u8 = 3;
const KIND_STRUCT: u8 = 4;
const KIND_UNION: u8 = 5;
const KIND_ENUM: u8 = 6;
const KIND_TYPEDEF: u8 = 8;
const KIND_VOLATILE: u8 = 9;
const KIND_CONST: u8 = 10;
const KIND_RESTRICT: u8 = 11;
const KIND_FUNC_PROTO: u8 = 13;
const KIND_VAR: u8 = 14;
const KIND_DATASEC: u8 = 15;
const KIND_FLOAT: u8 = 16;
const KIND_DECL_TAG: u8 = 17;
const KIND_TYPE_TAG: u8 = 18;
const KIND_ENUM64: u8 = 19;

/// Types deeper than this are not followed.
const MAX_DEPTH: usize = 32;

/// One type: the common header and what follows it.
#[derive(Clone, Copy)]
struct Type<'a> {
    name: u32,
    kind: u8,
    /// Size in bytes or number of another type.
    size_or_type: u32,
    rest: &'a [u8],
}

/// All types of an object, numbered from 1.
pub(super) struct Btf<'a> {
    types: Vec<Type<'a>>,
    strings: &'a [u8],
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b| u32::from_le_bytes(*b))
}

impl<'a> Btf<'a> {
    /// Reads a `.BTF` section.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        const MAGIC: [u8; 2] = [0x9f, 0xeb];
        if data.first_chunk()? != &MAGIC {
            return None;
        }
        let header_len = u32_at(data, 4)? as usize;
        let part = |at: usize| {
            let (offset, len) = (u32_at(data, at)? as usize, u32_at(data, at + 4)? as usize);
            let start = header_len.checked_add(offset)?;
            data.get(start..start.checked_add(len)?)
        };
        let (mut bytes, strings) = (part(8)?, part(16)?);
        let mut types = Vec::new();
        while !bytes.is_empty() {
            let (name, info, size_or_type) =
                (u32_at(bytes, 0)?, u32_at(bytes, 4)?, u32_at(bytes, 8)?);
            let (kind, vlen) = ((info >> 24 & 0x1f) as u8, (info & 0xffff) as usize);
            let len = match kind {
                KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
                KIND_ARRAY => 12,
                KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * vlen,
                KIND_ENUM | KIND_FUNC_PROTO => 8 * vlen,
                _ => 0,
            };
            let rest = bytes.get(12..12 + len)?;
            types.push(Type {
                name,
                kind,
                size_or_type,
                rest,
            });
            bytes = bytes.get(12 + len..)?;
        }
        Some(Self { types, strings })
    }

    fn get(&self, id: u32) -> Option<Type<'a>> {
        self.types.get((id as usize).checked_sub(1)?).copied()
    }

    fn string(&self, at: u32) -> Option<&'a str> {
        let bytes = self.strings.get(at as usize..)?;
        let len = bytes.iter().position(|&b| b == 0)?;
        std::str::from_utf8(&bytes[..len]).ok()
    }

    /// The type without typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<Type<'a>> {
        for _ in 0..MAX_DEPTH {
            let ty = self.get(id)?;
            match ty.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = ty.size_or_type;
                }
                _ => return Some(ty),
            }
        }
        None
    }

    /// Bytes of a value of the type.
    fn size_of(&self, id: u32) -> Option<u32> {
        let (mut id, mut count) = (id, 1u32);
        for _ in 0..MAX_DEPTH {
            let ty = self.resolve(id)?;
            match ty.kind {
                KIND_INT | KIND_STRUCT | KIND_UNION | KIND_ENUM | KIND_ENUM64 | KIND_FLOAT => {
                    return count.checked_mul(ty.size_or_type);
                }
                KIND_PTR => return count.checked_mul(8),
                KIND_ARRAY => {
                    count = count.checked_mul(u32_at(ty.rest, 8)?)?;
                    id = u32_at(ty.rest, 0)?;
                }
                _ => return None,
            }
        }
        None
    }

    /// The value of `__uint()`: a pointer to an array of so many elements.
    fn uint(&self, id: u32) -> Option<u32> {
        let pointer = self.resolve(id)?;
        let array = self.resolve(pointer.size_or_type)?;
        (pointer.kind == KIND_PTR && array.kind == KIND_ARRAY).then_some(())?;
        u32_at(array.rest, 8)
    }

    /// The maps that the variables of section `.maps` declare.
    pub fn maps(&self) -> Result<Vec<MapSpec>, BpfError> {
        let named =
            |ty: &&Type<'_>| ty.kind == KIND_DATASEC && self.string(ty.name) == Some(".maps");
        let Some(section) = self.types.iter().find(named) else {
            return Ok(Vec::new());
        };
        let variables = section.rest.chunks_exact(12);
        variables
            .map(|variable| self.map(u32_at(variable, 0).unwrap_or(0)))
            .collect()
    }

    fn map(&self, variable: u32) -> Result<MapSpec, BpfError> {
        let name = self
            .get(variable)
            .and_then(|ty| self.string(ty.name))
            .unwrap_or("?");
        let bad = |problem| BpfError::Map {
            name: name.to_owned(),
            problem,
        };
        let ty = self
            .get(variable)
            .filter(|ty| ty.kind == KIND_VAR)
            .and_then(|ty| self.resolve(ty.size_or_type))
            .filter(|ty| ty.kind == KIND_STRUCT)
            .ok_or_else(|| bad("its type is not a structure"))?;
        let (mut kind, mut key_size, mut value_size, mut max_entries) = (None, 0, 0, 0);
        for member in ty.rest.chunks_exact(12) {
            let field = u32_at(member, 0)
                .and_then(|at| self.string(at))
                .unwrap_or_default();
            let ty = u32_at(member, 4).unwrap_or(0);
            let number = self.uint(ty);
            let pointee = || {
                let pointer = self.resolve(ty).filter(|ty| ty.kind == KIND_PTR)?;
                self.size_of(pointer.size_or_type)
            };
            let value = match field {
                "key" | "value" => pointee(),
                _ => number,
            };
            let value = value.ok_or_else(|| bad("a member cannot be understood"))?;
            match field {
                "type" => kind = Some(MapKind::from_id(value).ok_or_else(|| bad("unknown kind"))?),
                "key" | "key_size" => key_size = value,
                "value" | "value_size" => value_size = value,
                "max_entries" => max_entries = value,
                // BPF_F_NO_PREALLOC and the like, and pinning by name, say nothing of what the map does.
                "map_flags" | "pinning" => {}
                _ => return Err(bad("unknown member")),
            }
        }
        Ok(MapSpec {
            name: name.to_owned(),
            kind: kind.ok_or_else(|| bad("no kind"))?,
            key_size,
            value_size,
            max_entries,
        })
    }
}
