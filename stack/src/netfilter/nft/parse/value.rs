//! Constants, read by the type of what they are compared with or put into; set literals.

use super::Parser;
use crate::netfilter::nft::DataType;
use crate::netfilter::nft::datatype::{parse_number, string_bits};
use crate::netfilter::nft::error::NftError;
use crate::netfilter::nft::expr::{
    BinOp, Elem, ElemData, Part, SetRef, VerdictExpr, prefix_host_mask,
};
use crate::netfilter::nft::lex::{Kind, Token};
use crate::netfilter::nft::normal;
use crate::netfilter::nft::set::{Elements, Refused};
use crate::netfilter::nft::stmt::ObjKind;
use crate::netfilter::nft::stmt::Rhs;

impl Parser<'_> {
    /// Whether the next word is a constant of type `t`.
    pub(super) fn is_constant(&self, t: DataType) -> bool {
        let token = self.peek();
        match token.kind {
            Kind::Quoted => true,
            Kind::Word => self.constant_of(t, &token.text).is_ok(),
            _ => false,
        }
    }

    fn constant_of(&self, t: DataType, text: &str) -> Result<u128, String> {
        match t {
            DataType::IfaceIndex => match (self.known.device(text), parse_number(text)) {
                (Some(index), _) => Ok(index.into()),
                (None, Some(n)) if n <= t.max() => Ok(n),
                _ => Err("there is no such device".to_owned()),
            },
            DataType::Verdict => Err("expected a verdict".to_owned()),
            _ => t.parse(text),
        }
    }

    /// One constant: `5`, `syn`, `(syn | ack)`, `1 << 3`.
    pub(super) fn constant(&mut self, t: DataType) -> Result<u128, NftError> {
        self.constant_above(t, 0)
    }

    /// A constant with the operators in it that bind at least as `level`.
    pub(super) fn constant_above(&mut self, t: DataType, level: u8) -> Result<u128, NftError> {
        self.deeper()?;
        let mut value = self.constant_primary(t)?;
        // Names of devices and the like contain no operators.
        while !t.is_string() {
            let Some(op) = self.binop(level) else { break };
            let right = self.constant_above(t, op.level() + 1)?;
            value = op.apply(value, right) & t.max();
        }
        self.depth -= 1;
        Ok(value)
    }

    fn constant_primary(&mut self, t: DataType) -> Result<u128, NftError> {
        if self.take("(") {
            let value = self.constant(t)?;
            self.expect(")")?;
            return Ok(value);
        }
        if t == DataType::ClassId && self.peek().kind != Kind::Quoted {
            return self.classid();
        }
        if t == DataType::Hour && self.peek().kind == Kind::Word && self.peek_at(1).is(":") {
            return self.hour();
        }
        let pos = self.pos();
        let text = self.string(&format!("a value of type {}", t.name()))?;
        self.constant_of(t, &text).map_err(|p| pos.error(p))
    }

    /// `10:30`, whose quotes a shell took away.
    fn hour(&mut self) -> Result<u128, NftError> {
        let pos = self.pos();
        let hour = self.word("an hour")?;
        self.expect(":")?;
        let minute = self.word("minutes")?;
        let time = DataType::Hour.parse(&format!("{hour}:{minute}"));
        time.map_err(|problem| pos.error(problem))
    }

    /// `major:minor` in hexadecimal, or a plain number.
    fn classid(&mut self) -> Result<u128, NftError> {
        let half = |p: &mut Self| {
            p.split_at_hyphen();
            let pos = p.pos();
            let text = p.word("a class")?;
            u16::from_str_radix(&text, 16).map_err(|_| pos.error("expected up to four hex digits"))
        };
        if self.take(":") {
            return Ok(half(self)?.into());
        }
        self.split_at_hyphen();
        if self.take_word("none") {
            return Ok(0);
        }
        if self.take_word("root") {
            return Ok(0xffff_ffff);
        }
        if self.peek_at(1).is(":") {
            let major = half(self)?;
            self.expect(":")?;
            // `1:` is `1:0`.
            let minor = if self.peek().kind == Kind::Word {
                half(self)?
            } else {
                0
            };
            return Ok(u128::from(major) << 16 | u128::from(minor));
        }
        Ok(self.number("a class", u32::MAX.into())?.into())
    }

    /// In `1:a-1:f` the hyphen stands between two classes: a word that it is in the middle of becomes three.
    fn split_at_hyphen(&mut self) {
        let token = self.peek().clone();
        let Some((low, high)) = token
            .text
            .split_once('-')
            .filter(|_| token.kind == Kind::Word)
        else {
            return;
        };
        let column = token.column + low.chars().count();
        let part = |kind, text: &str, column| Token {
            kind,
            text: text.to_owned(),
            line: token.line,
            column,
        };
        let parts = [
            part(Kind::Word, low, token.column),
            part(Kind::Punct("-"), "-", column),
            part(Kind::Word, high, column + 1),
        ];
        self.tokens.splice(self.at..=self.at, parts);
    }

    /// An operator on bits that binds at least as `level`, taken.
    pub(super) fn binop(&mut self, level: u8) -> Option<BinOp> {
        let token = self.peek();
        let op = match (&token.kind, token.text.as_str()) {
            (Kind::Punct(_), "&") | (Kind::Word, "and") => BinOp::And,
            (Kind::Punct(_), "|") | (Kind::Word, "or") => BinOp::Or,
            (Kind::Punct(_), "^") | (Kind::Word, "xor") => BinOp::Xor,
            (Kind::Punct(_), "<<") | (Kind::Word, "lshift") => BinOp::Lshift,
            (Kind::Punct(_), ">>") | (Kind::Word, "rshift") => BinOp::Rshift,
            _ => return None,
        };
        if op.level() < level {
            return None;
        }
        self.next();
        Some(op)
    }

    /// A value, a range `a-b`, a prefix `a/len` or a wildcard `eth*`.
    pub(super) fn part(&mut self, t: DataType) -> Result<Part, NftError> {
        let pos = self.pos();
        if t.is_string()
            && let Some(prefix) = pos.word.strip_suffix('*')
        {
            self.string("a name")?;
            if prefix.is_empty() || prefix.len() > 15 {
                return Err(pos.error("a name has 1 to 15 bytes before the *"));
            }
            return Ok(Part::Prefix(string_bits(prefix), prefix.len() as u32 * 8));
        }
        let low = self.constant(t)?;
        if self.take("-") {
            let high = self.constant(t)?;
            // The night goes on into the next day: a match turns it round.
            if high < low && t != DataType::Hour {
                return Err(pos.error("the range ends before it begins"));
            }
            return Ok(if low == high {
                Part::Value(low)
            } else {
                Part::Range(low, high)
            });
        }
        if !t.is_string() && !t.is_bitmask() && self.take("/") {
            let len = self.number("a prefix length", t.bits().into())? as u32;
            let host = prefix_host_mask(t.bits(), len);
            return Ok(if host == 0 {
                Part::Value(low)
            } else {
                Part::Prefix(low & !host, len)
            });
        }
        Ok(Part::Value(low))
    }

    /// One part for each of `types`, with points between.
    pub(super) fn parts(&mut self, types: &[DataType]) -> Result<Vec<Part>, NftError> {
        let mut parts = Vec::with_capacity(types.len());
        for (i, t) in types.iter().enumerate() {
            if i > 0 {
                if !self.is(".") {
                    return self.error(format!("expected . and a value of type {}", t.name()));
                }
                self.next();
            }
            parts.push(self.part(*t)?);
        }
        Ok(parts)
    }

    /// What a match compares a value of `types` with. `list`: a list of flags may come.
    pub(super) fn rhs(&mut self, types: &[DataType]) -> Result<Rhs, NftError> {
        if self.is("{") {
            let elems = self.set_literal(types, None, None)?;
            // A set of one is no set; one that became one by merging is.
            let single = elems.len() == 1;
            let elems = self.anonymous(elems, types)?;
            if let ([t], [elem]) = (types, elems.as_slice())
                && single
                && let [part] = elem.key.as_slice()
                && *elem == Elem::new(vec![*part])
            {
                return Ok(match *part {
                    Part::Value(flags) if t.is_bitmask() => Rhs::Flags(flags),
                    part => Rhs::Parts(vec![part]),
                });
            }
            return Ok(Rhs::Set(SetRef::Anonymous(elems)));
        }
        if self.is("@") {
            return Ok(Rhs::Set(self.set_name(types)?));
        }
        let [t] = types else {
            return Ok(Rhs::Parts(self.parts(types)?));
        };
        if !t.is_bitmask() {
            return Ok(Rhs::Parts(self.parts(types)?));
        }
        let value = self.flags(*t)?;
        if self.take("/") {
            let mask = self.flags(*t)?;
            return Ok(Rhs::Masked { value, mask });
        }
        Ok(Rhs::Flags(value))
    }

    /// `a,b` or `a | b`
    fn flags(&mut self, t: DataType) -> Result<u128, NftError> {
        let mut value = self.constant(t)?;
        while self.take(",") {
            value |= self.constant(t)?;
        }
        Ok(value)
    }

    /// `@name`, whose key must have `types`.
    pub(super) fn set_name(&mut self, types: &[DataType]) -> Result<SetRef, NftError> {
        self.expect("@")?;
        let pos = self.pos();
        let name = self.name("a set")?;
        let Some(spec) = self.set_spec(&name) else {
            return Err(pos.error("there is no such set in this table"));
        };
        let widths = |types: &[DataType]| types.iter().map(|t| t.bits()).collect::<Vec<_>>();
        // Integers of unknown width (numbers that are computed) fit every number.
        if spec.key.len() != types.len() || widths(&spec.key) != widths(types) {
            return Err(pos.error(format!(
                "the set's key is {}, not {}",
                type_names(&spec.key),
                type_names(types)
            )));
        }
        Ok(SetRef::Named(name))
    }

    /// `{ elements }`. `data`: types of a map's data, `None` for a set. `objects`: the data are names of such objects.
    pub(super) fn set_literal(
        &mut self,
        types: &[DataType],
        data: Option<&[DataType]>,
        objects: Option<ObjKind>,
    ) -> Result<Vec<Elem>, NftError> {
        self.expect("{")?;
        let (mut elems, mut places) = (Vec::new(), Vec::new());
        loop {
            self.skip_newlines();
            if self.is("}") && elems.is_empty() {
                return self.error("a set has an element at least");
            }
            if self.take("}") {
                self.places.elems = places;
                return Ok(elems);
            }
            places.push(self.at);
            elems.push(self.elem(types, data, objects)?);
            self.skip_newlines();
            if !self.take(",") && !self.is("}") {
                return self.error("expected , or }");
            }
        }
    }

    /// The elements of the literal that was just read, as a rule keeps them.
    pub(super) fn anonymous(
        &mut self,
        elems: Vec<Elem>,
        types: &[DataType],
    ) -> Result<Vec<Elem>, NftError> {
        let places = std::mem::take(&mut self.places.elems);
        let bits: Vec<u32> = types.iter().map(|t| t.bits()).collect();
        // Plain intervals without data are merged.
        let merged = types.len() == 1 && elems.iter().all(|e| e.data.is_none());
        if !merged && let Some((i, refused)) = Elements::first_refused(&bits, &elems) {
            let at = places.get(i).copied().unwrap_or(self.at);
            return Err(self.tokens[at].pos().error(match refused {
                Refused::Exists(_) => "the same key twice in one map",
                _ => "the interval overlaps with another one",
            }));
        }
        Ok(normal::anonymous(elems, types))
    }

    fn elem(
        &mut self,
        types: &[DataType],
        data: Option<&[DataType]>,
        objects: Option<ObjKind>,
    ) -> Result<Elem, NftError> {
        let key = if self.take("*") {
            Vec::new()
        } else {
            self.parts(types)?
        };
        let mut elem = Elem::new(key);
        loop {
            self.skip_newlines();
            if self.take_word("timeout") {
                elem.timeout = Some(self.time()?);
            } else if self.take_word("expires") {
                elem.expires = Some(self.time()?);
            } else if self.take_word("comment") {
                elem.comment = Some(self.comment()?);
            } else if self.is_stateful() {
                let stmt = self.stateful()?;
                elem.stmts.push(stmt);
            } else {
                break;
            }
        }
        match data {
            Some(_) if self.by_key && !self.is(":") => Ok(elem),
            None if self.is(":") => self.error("a set's elements have no data"),
            None => Ok(elem),
            Some(types) => {
                self.expect(":")?;
                self.skip_newlines();
                elem.data = Some(match (types, objects) {
                    (_, Some(kind)) => {
                        let at = self.at;
                        let name = self.string("an object")?;
                        ElemData::Object(kind, self.mention(name, at))
                    }
                    ([DataType::Verdict], _) => ElemData::Verdict(self.verdict()?),
                    (types, _) => ElemData::Value(self.parts(types)?, types.to_vec()),
                });
                Ok(elem)
            }
        }
    }

    /// A verdict with its chain.
    pub(super) fn verdict(&mut self) -> Result<VerdictExpr, NftError> {
        let pos = self.pos();
        Ok(match self.word("a verdict")?.as_str() {
            "accept" => VerdictExpr::Accept,
            "drop" => VerdictExpr::Drop,
            "continue" => VerdictExpr::Continue,
            "return" => VerdictExpr::Return,
            "jump" => VerdictExpr::Jump(self.target()?),
            "goto" => VerdictExpr::Goto(self.target()?),
            "queue" => return Err(pos.error("queue is not supported")),
            _ => return Err(pos.error("is no verdict")),
        })
    }

    /// The chain that a verdict leads to.
    fn target(&mut self) -> Result<String, NftError> {
        let at = self.at;
        let name = self.name("a chain")?;
        Ok(self.mention(name, at))
    }
}

/// `ipv4_addr . inet_service`
pub(crate) fn type_names(types: &[DataType]) -> String {
    let names: Vec<_> = types.iter().map(|t| t.name()).collect();
    names.join(" . ")
}
