//! Expressions that are computed for a packet.

use super::Parser;
use crate::netfilter::nft::DataType;
use crate::netfilter::nft::error::NftError;
use crate::netfilter::nft::expr::{
    BinOp, CtDir, CtKey, Expr, ExtField, ExtKind, Exthdr, FibFlags, FibResult, Ipsec, IpsecKey,
    MetaKey, RtKey, SetRef,
};
use crate::netfilter::nft::exthdr;
use crate::netfilter::nft::lex::Kind;
use crate::netfilter::nft::model::TableFamily;
use crate::netfilter::nft::normal;
use crate::netfilter::nft::proto::{Base, Proto};

impl Parser<'_> {
    /// `a . b`, or one of them; `map` may follow, with data of `data` types.
    pub(super) fn concat_expr(&mut self, data: &[DataType]) -> Result<Expr, NftError> {
        self.deeper()?;
        let mut expr = self.key_expr()?;
        while self.take_word("map") {
            expr = self.map(expr, data)?;
        }
        self.depth -= 1;
        Ok(expr)
    }

    /// Values with dots between them.
    pub(super) fn key_expr(&mut self) -> Result<Expr, NftError> {
        let mut parts = vec![self.bin_expr()?];
        while self.take(".") {
            parts.push(self.bin_expr()?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Expr::Concat(parts),
        })
    }

    fn map(&mut self, key: Expr, data: &[DataType]) -> Result<Expr, NftError> {
        let types = key.types();
        let set = if self.is("@") {
            let pos = self.peek_at(1).pos();
            let set = self.set_name(&types)?;
            if let SetRef::Named(name) = &set
                && let Some(spec) = self.set_spec(name)
            {
                let bits = |types: &[DataType]| types.iter().map(|t| t.bits()).collect::<Vec<_>>();
                if spec.data.is_empty() || (!data.is_empty() && bits(&spec.data) != bits(data)) {
                    return Err(
                        pos.error(format!("is no map to {}", super::value::type_names(data)))
                    );
                }
            }
            set
        } else {
            if data.is_empty() {
                return self.error("the type of the map's data is not known here");
            }
            let elems = self.set_literal(&types, Some(data), None)?;
            SetRef::Anonymous(self.anonymous(elems, &types)?)
        };
        Ok(Expr::Map(Box::new(key), set))
    }

    /// One operand with constants applied to it: `meta mark & 0xff | 0x100`.
    fn bin_expr(&mut self) -> Result<Expr, NftError> {
        let mut left = self.primary()?;
        let t = left.dtype();
        while let Some(op) = self.binop(0) {
            let t = match op {
                BinOp::Lshift | BinOp::Rshift => DataType::Integer(32),
                _ => t,
            };
            // The kernel's bitwise expression takes constants.
            let right = Expr::Value(self.constant_above(t, op.level() + 1)?, t);
            left = normal::fold(Expr::Bin(op, Box::new(left), Box::new(right)));
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<Expr, NftError> {
        if self.take("(") {
            let expr = self.concat_expr(&[])?;
            self.expect(")")?;
            return Ok(expr);
        }
        if self.is("@") {
            return self.raw();
        }
        let pos = self.pos();
        let word = self.word("an expression")?;
        match word.as_str() {
            "meta" => {
                let pos = self.pos();
                let key = self.word("a key of meta")?;
                match MetaKey::from_name(&key) {
                    Some(key) => self.checked_meta(key),
                    None => Err(pos.error("unknown key of meta")),
                }
            }
            "ct" => self.ct(),
            "fib" => self.fib(),
            "numgen" => self.numgen(),
            "jhash" => {
                let expr = Box::new(self.concat_expr(&[])?);
                self.expect_word("mod")?;
                let modulus = self.modulus()?;
                let seed = match self.take_word("seed") {
                    true => Some(self.number("a seed", u32::MAX.into())? as u32),
                    false => None,
                };
                let offset = self.offset(modulus)?;
                Ok(Expr::Jhash {
                    expr,
                    modulus,
                    seed,
                    offset,
                })
            }
            "symhash" => {
                self.expect_word("mod")?;
                let modulus = self.modulus()?;
                let offset = self.offset(modulus)?;
                Ok(Expr::Symhash { modulus, offset })
            }
            "ipsec" if self.is_word("in") || self.is_word("out") => self.ipsec(),
            "sctp" if self.take_word("chunk") => self.sctp_chunk(),
            "rt" if ["mtu", "classid", "nexthop", "ipsec", "ip", "ip6"]
                .iter()
                .any(|w| self.is_word(w)) =>
            {
                self.rt()
            }
            "exthdr" | "hbh" | "rt" | "rt0" | "rt2" | "frag" | "dst" | "mh" | "srh" => {
                self.ip6_exthdr(&word)
            }
            _ => {
                if let Some(key) = MetaKey::from_name(&word).filter(|k| k.may_be_unqualified()) {
                    return self.checked_meta(key);
                }
                if matches!(word.as_str(), "tcp" | "ip") && self.is_word("option") {
                    self.next();
                    return self.option(&word);
                }
                match Proto::from_name(&word) {
                    Some(proto) => self.payload(proto),
                    None => Err(pos.error("is no statement or expression")),
                }
            }
        }
    }

    /// `ipsec in|out [spnum N] KEY`
    fn ipsec(&mut self) -> Result<Expr, NftError> {
        let family = self.table.family;
        if family == TableFamily::Netdev {
            return self.error("packets of this family are not transformed");
        }
        let out = self.next().text == "out";
        let number = match self.take_word("spnum") {
            true => self.number("a number", u8::MAX.into())? as u8,
            false => 0,
        };
        let pos = self.pos();
        let mut name = self.word("a key of ipsec")?;
        if matches!(name.as_str(), "ip" | "ip6") {
            name = format!("{name} {}", self.word("saddr or daddr")?);
        }
        match IpsecKey::from_name(&name) {
            Some(key) => Ok(Expr::Ipsec(Ipsec { out, number, key })),
            None => Err(pos.error("unknown key of ipsec")),
        }
    }

    /// `sctp chunk NAME FIELD`, `sctp chunk NAME exists`
    fn sctp_chunk(&mut self) -> Result<Expr, NftError> {
        let pos = self.pos();
        let name = self.word("a chunk")?;
        let field = match self.asks_presence() {
            true => None,
            false => Some(self.word("a field of the chunk")?),
        };
        let found = exthdr::sctp_chunk(&name, field.as_deref());
        let found = found.ok_or_else(|| pos.error("unknown chunk or field"))?;
        Ok(Expr::Exthdr(found))
    }

    /// `rt [ip|ip6] KEY`
    fn rt(&mut self) -> Result<Expr, NftError> {
        let mut name = self.word("a key of rt")?;
        match (name.as_str(), self.table.family) {
            ("ip" | "ip6", _) => {
                self.expect_word("nexthop")?;
                name += " nexthop";
            }
            ("nexthop", TableFamily::Ip) => name = "ip nexthop".to_owned(),
            ("nexthop", TableFamily::Ip6) => name = "ip6 nexthop".to_owned(),
            _ => {}
        }
        let found = RtKey::ALL.into_iter().find(|(n, _, _)| *n == name);
        match found {
            Some((_, key, _)) => Ok(Expr::Rt(key)),
            None => {
                self.at -= 1;
                self.error("say ip or ip6 before nexthop in this family")
            }
        }
    }

    fn checked_meta(&self, key: MetaKey) -> Result<Expr, NftError> {
        let inet = self.table.family == TableFamily::Inet;
        if key == MetaKey::NfProto && !inet && !self.table.name.is_empty() {
            return Err(self.tokens[self.at - 1]
                .pos()
                .error("meta nfproto is only useful in the inet family"));
        }
        Ok(Expr::Meta(key))
    }

    /// `ct [original|reply] [ip|ip6] KEY`
    fn ct(&mut self) -> Result<Expr, NftError> {
        let pos = self.pos();
        let dir = if self.take_word("original") {
            Some(CtDir::Original)
        } else if self.take_word("reply") {
            Some(CtDir::Reply)
        } else {
            None
        };
        let mut name = self.word("a key of ct")?;
        if matches!(name.as_str(), "ip" | "ip6") {
            name = format!("{name} {}", self.word("saddr or daddr")?);
        }
        self.at -= 1;
        let Some(key) = CtKey::from_name(&name) else {
            return self.error("unknown key of ct");
        };
        let key = match (key, self.table.family) {
            (CtKey::Saddr, TableFamily::Ip) => CtKey::IpSaddr,
            (CtKey::Daddr, TableFamily::Ip) => CtKey::IpDaddr,
            (CtKey::Saddr, TableFamily::Ip6) => CtKey::Ip6Saddr,
            (CtKey::Daddr, TableFamily::Ip6) => CtKey::Ip6Daddr,
            (CtKey::Saddr | CtKey::Daddr, _) => {
                return self.error("say ip or ip6 before saddr or daddr in this family");
            }
            (key, _) => key,
        };
        if dir.is_some() && !key.may_have_direction() {
            return self.error("has no direction");
        }
        if dir.is_none() && key.needs_direction() {
            return Err(pos.error("say original or reply before this key"));
        }
        self.next();
        // The protocols of both directions are the same.
        let dir = dir.filter(|_| !matches!(key, CtKey::Protocol | CtKey::L3Proto));
        Ok(Expr::Ct(key, dir))
    }

    fn payload(&mut self, proto: Proto) -> Result<Expr, NftError> {
        let pos = self.pos();
        let mut name = self.word("a field")?;
        if proto == Proto::Arp && matches!(name.as_str(), "saddr" | "daddr") {
            name = format!("{name} {}", self.word("ether or ip")?);
        }
        match proto.field(&name) {
            Some(field) => Ok(Expr::Payload(proto, field)),
            None => Err(pos.error(format!("unknown field of {}", proto.name()))),
        }
    }

    /// `@base,offset,len`
    fn raw(&mut self) -> Result<Expr, NftError> {
        self.expect("@")?;
        let pos = self.pos();
        let base = match self.word("ll, nh, th or ih")?.as_str() {
            "ll" => Base::Link,
            "nh" => Base::Network,
            "th" => Base::Transport,
            "ih" => Base::Inner,
            _ => return Err(pos.error("a raw payload starts at ll, nh, th or ih")),
        };
        let (offset, len) = self.raw_bits("a raw payload has 1 to 128 bits")?;
        Ok(Expr::Raw(base, offset, len))
    }

    /// `,offset,len` in bits; a length of 0 is the error `empty`.
    fn raw_bits(&mut self, empty: &'static str) -> Result<(u16, u16), NftError> {
        self.expect(",")?;
        let offset = self.number("an offset in bits", 2047)? as u16;
        self.expect(",")?;
        let pos = self.pos();
        let len = self.number("a length in bits", 128)? as u16;
        if len == 0 {
            return Err(pos.error(empty));
        }
        Ok((offset, len))
    }

    /// `fib saddr . iif oif`
    fn fib(&mut self) -> Result<Expr, NftError> {
        let start = self.pos();
        let mut flags = FibFlags::default();
        loop {
            let pos = self.pos();
            let flag = match self.word("saddr, daddr, mark, iif or oif")?.as_str() {
                "saddr" => &mut flags.saddr,
                "daddr" => &mut flags.daddr,
                "mark" => &mut flags.mark,
                "iif" => &mut flags.iif,
                "oif" => &mut flags.oif,
                _ => return Err(pos.error("expected saddr, daddr, mark, iif or oif")),
            };
            *flag = true;
            if !self.take(".") {
                break;
            }
        }
        if flags.saddr == flags.daddr {
            return Err(start.error("fib looks up either saddr or daddr"));
        }
        if flags.iif && flags.oif {
            return Err(start.error("fib looks at either iif or oif"));
        }
        let pos = self.pos();
        let result = match self.word("oif, oifname or type")?.as_str() {
            "oif" if self.asks_presence() => FibResult::Exists,
            "oif" => FibResult::Oif,
            "oifname" => FibResult::OifName,
            "type" => FibResult::Type,
            _ => return Err(pos.error("fib gives oif, oifname or type")),
        };
        Ok(Expr::Fib(flags, result))
    }

    /// `exists` or `missing` comes, with an operator before it or without.
    fn asks_presence(&self) -> bool {
        let word = |n: usize| {
            let token = self.peek_at(n);
            token.is_word("exists") || token.is_word("missing")
        };
        word(0) || ((self.is("==") || self.is("!=")) && word(1))
    }

    fn numgen(&mut self) -> Result<Expr, NftError> {
        let pos = self.pos();
        let random = match self.word("inc or random")?.as_str() {
            "inc" => false,
            "random" => true,
            _ => return Err(pos.error("expected inc or random")),
        };
        self.expect_word("mod")?;
        let modulus = self.modulus()?;
        let offset = self.offset(modulus)?;
        Ok(Expr::Numgen {
            random,
            modulus,
            offset,
        })
    }

    fn modulus(&mut self) -> Result<u32, NftError> {
        let pos = self.pos();
        match self.number("a modulus", u32::MAX.into())? as u32 {
            0 => Err(pos.error("the modulus is at least 1")),
            n => Ok(n),
        }
    }

    /// `offset N`; offset + modulus - 1 must be a 32-bit number.
    fn offset(&mut self, modulus: u32) -> Result<u32, NftError> {
        if !self.take_word("offset") {
            return Ok(0);
        }
        let pos = self.pos();
        let offset = self.number("an offset", u32::MAX.into())? as u32;
        match offset.checked_add(modulus - 1) {
            Some(_) => Ok(offset),
            None => Err(pos.error("offset and modulus together are too large")),
        }
    }

    /// `frag id`, `exthdr hbh exists`
    fn ip6_exthdr(&mut self, word: &str) -> Result<Expr, NftError> {
        if !matches!(
            self.table.family,
            TableFamily::Ip6 | TableFamily::Inet | TableFamily::Netdev
        ) {
            self.at -= 1;
            return self.error("extension headers exist in IPv6 only");
        }
        let pos = self.pos();
        if word == "exthdr" {
            let name = self.word("an extension header")?;
            return match exthdr::ip6(&name, None).filter(|_| name != "srh") {
                Some(e) => Ok(Expr::Exthdr(e)),
                None => Err(pos.error("unknown extension header")),
            };
        }
        let mut field = self.word("a field")?;
        if self.take("[") {
            let index = self.number("a number from 1 on", u8::MAX.into())?;
            self.expect("]")?;
            field = format!("{field}[{index}]");
        }
        match exthdr::ip6(word, Some(&field)) {
            Some(e) => Ok(Expr::Exthdr(e)),
            None => Err(pos.error(format!("unknown field of {word}"))),
        }
    }

    /// `tcp option maxseg size`, `ip option rr exists`
    fn option(&mut self, of: &str) -> Result<Expr, NftError> {
        let pos = self.pos();
        if of == "tcp" && self.take("@") {
            return self.raw_option();
        }
        let name = self.word("an option")?;
        let presence = self.asks_presence();
        let field = if presence {
            None
        } else {
            Some(self.word("a field of the option")?)
        };
        let found = match of {
            "tcp" => exthdr::tcp_option(&name, field.as_deref()),
            _ => exthdr::ip_option(&name, field.as_deref()),
        };
        match found {
            Some(e) => Ok(Expr::Exthdr(e)),
            None => Err(pos.error("unknown option or field")),
        }
    }

    /// `@kind,offset,len` of a TCP option, offset and length in bits, the `@` taken.
    fn raw_option(&mut self) -> Result<Expr, NftError> {
        let kind = self.number("the kind of an option", u8::MAX.into())? as u8;
        let (offset, len) = self.raw_bits("a field has 1 to 128 bits")?;
        Ok(Expr::Exthdr(Exthdr {
            kind: ExtKind::TcpOption(kind),
            field: Some(ExtField {
                name: "",
                offset,
                dtype: DataType::Integer(len),
            }),
        }))
    }

    /// A value to be put into something of `types`: a constant, or computed.
    pub(super) fn data_expr(&mut self, types: &[DataType]) -> Result<Expr, NftError> {
        let [t] = types else {
            return self.concat_expr(types);
        };
        if self.computed(*t) {
            let pos = self.pos();
            let expr = self.concat_expr(types)?;
            // stmt_evaluate_arg()
            let found = expr.dtype();
            let number = matches!(found, DataType::Integer(_) | DataType::HostInteger(_));
            let named = matches!(&expr, Expr::Map(_, SetRef::Named(_)));
            if found != *t && !number && !named {
                return Err(pos.error(format!("is {}, not {}", found.name(), t.name())));
            }
            return Ok(expr);
        }
        if self.is("@") {
            return self.concat_expr(types);
        }
        let mut value = self.constant(*t)?;
        if t.is_bitmask() {
            while self.take(",") {
                value |= self.constant(*t)?;
            }
        }
        Ok(Expr::Value(value, *t))
    }

    /// Whether what follows is computed, and no constant of type `t`. A word that is both is the constant (`icmp` is a protocol).
    fn computed(&self, t: DataType) -> bool {
        const STARTS: [&str; 9] = [
            "meta", "ct", "fib", "numgen", "jhash", "symhash", "exthdr", "frag", "rt",
        ];
        let mut n = 0;
        while self.peek_at(n).is("(") {
            n += 1;
        }
        let token = self.peek_at(n);
        let word = token.text.as_str();
        token.kind == Kind::Word
            && (n > 0 || !self.is_constant(t))
            && t.parse(word).is_err()
            && (MetaKey::from_name(word).is_some_and(|k| k.may_be_unqualified())
                || Proto::from_name(word).is_some()
                || STARTS.contains(&word))
    }
}
