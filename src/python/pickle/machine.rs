//! The stack machine that a pickle is a program for, without the instructions that run code.

use num_bigint::BigInt;

use super::{
    graph::{Graph, Id, Node},
    opcodes,
};
use crate::python::{PyValue, ReadError};

/// The longest integer, in bytes: 4,300 digits, where Python itself stops turning integers into
/// text. Longer ones take a time that grows with the square of their length.
const LONGEST_INTEGER: usize = 1_785;

pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    /// The next byte to be read.
    at: usize,
    graph: Graph,
    stack: Vec<Id>,
    /// How long the stack was at each mark that is still open.
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
    /// How many places of the memo are taken.
    memoised: usize,
}

type Step<T = ()> = Result<T, String>;

impl<'a> Machine<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            graph: Graph::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            memoised: 0,
        }
    }

    /// Runs until `STOP`: all values, and the one that is the result.
    pub(super) fn run(mut self) -> Result<(Graph, Id), ReadError> {
        loop {
            let place = self.at;
            let step = self.byte().and_then(|code| match code {
                opcodes::STOP => self.pop().map(Some),
                code => self.execute(code).map(|()| None),
            });
            match step {
                Ok(None) => {}
                Ok(Some(root)) => return Ok((self.graph, root)),
                Err(reason) => {
                    return Err(ReadError(format!("pickle, at byte {place}: {reason}")));
                }
            }
        }
    }

    fn execute(&mut self, code: u8) -> Step {
        match code {
            opcodes::PROTO => self.protocol(),
            opcodes::FRAME => self.frame(),
            opcodes::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            opcodes::POP => self.pop_or_unmark(),
            opcodes::POP_MARK => self.since_mark().map(drop),
            opcodes::DUP => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            opcodes::BINGET => self.counted_index(1).and_then(|index| self.recall(index)),
            opcodes::LONG_BINGET => self.counted_index(4).and_then(|index| self.recall(index)),
            opcodes::BINPUT => self.counted_index(1).and_then(|index| self.memoise(index)),
            opcodes::LONG_BINPUT => self.counted_index(4).and_then(|index| self.memoise(index)),
            opcodes::MEMOIZE => self.memoise(self.memoised),
            code => self.container(code),
        }
    }

    fn container(&mut self, code: u8) -> Step {
        let items = match code {
            opcodes::EMPTY_LIST | opcodes::EMPTY_TUPLE | opcodes::EMPTY_SET => Vec::new(),
            opcodes::LIST | opcodes::TUPLE | opcodes::FROZENSET => self.since_mark()?,
            opcodes::TUPLE1 => vec![self.pop()?],
            opcodes::TUPLE2 => self.popped::<2>()?.into(),
            opcodes::TUPLE3 => self.popped::<3>()?.into(),
            opcodes::EMPTY_DICT => return self.push(Node::Dict(Vec::new())),
            opcodes::DICT => {
                let entries = pairs(&self.since_mark()?)?;
                return self.push(Node::Dict(entries));
            }
            opcodes::APPEND => {
                let item = self.pop()?;
                return self.extend(vec![item]);
            }
            opcodes::APPENDS | opcodes::ADDITEMS => {
                let items = self.since_mark()?;
                return self.extend(items);
            }
            opcodes::SETITEM => {
                let entry = self.popped::<2>()?;
                return self.insert(&entry);
            }
            opcodes::SETITEMS => {
                let entries = self.since_mark()?;
                return self.insert(&entries);
            }
            code => {
                let leaf = self.leaf(code)?;
                return self.push(Node::Leaf(leaf));
            }
        };
        self.push(Node::List(items))
    }

    fn leaf(&mut self, code: u8) -> Step<PyValue> {
        Ok(match code {
            opcodes::NONE => PyValue::None,
            opcodes::NEWTRUE => PyValue::Bool(true),
            opcodes::NEWFALSE => PyValue::Bool(false),
            opcodes::BININT => PyValue::Int(i32::from_le_bytes(self.array()?).into()),
            opcodes::BININT1 => PyValue::Int(self.byte()?.into()),
            opcodes::BININT2 => PyValue::Int(u16::from_le_bytes(self.array()?).into()),
            opcodes::LONG1 => integer(self.counted(1)?)?,
            opcodes::LONG4 => integer(self.counted(4)?)?,
            opcodes::BINFLOAT => PyValue::Float(f64::from_be_bytes(self.array()?)),
            opcodes::SHORT_BINUNICODE => text(self.counted(1)?)?,
            opcodes::BINUNICODE => text(self.counted(4)?)?,
            opcodes::BINUNICODE8 => text(self.counted(8)?)?,
            opcodes::SHORT_BINBYTES => PyValue::Bytes(self.counted(1)?.to_vec()),
            opcodes::BINBYTES => PyValue::Bytes(self.counted(4)?.to_vec()),
            opcodes::BINBYTES8 | opcodes::BYTEARRAY8 => PyValue::Bytes(self.counted(8)?.to_vec()),
            code => return Err(opcodes::refusal(code)),
        })
    }

    fn protocol(&mut self) -> Step {
        match self.byte()? {
            2..=5 => Ok(()),
            other => Err(format!("protocol {other}; 2 to 5 are read")),
        }
    }

    /// A frame only says how much comes at once.
    fn frame(&mut self) -> Step {
        let length = u64::from_le_bytes(self.array()?);
        self.ahead(length).map(drop)
    }

    fn push(&mut self, node: Node) -> Step {
        let id = self.graph.add(node).ok_or("too many values")?;
        self.stack.push(id);
        Ok(())
    }

    /// Where the values since the last mark begin; nothing below belongs to the present container.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Step<Id> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(|| "a value is missing".to_owned())
    }

    fn pop(&mut self) -> Step<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn popped<const N: usize>(&mut self) -> Step<[Id; N]> {
        let mut popped = [0; N];
        for place in popped.iter_mut().rev() {
            *place = self.pop()?;
        }
        Ok(popped)
    }

    fn pop_or_unmark(&mut self) -> Step {
        if self.stack.len() == self.floor() && self.marks.pop().is_some() {
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn since_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    fn extend(&mut self, mut items: Vec<Id>) -> Step {
        let top = self.top()?;
        let list = self.graph.list(top).ok_or("items for something that is no list")?;
        list.append(&mut items);
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Step {
        let entries = pairs(items)?;
        let top = self.top()?;
        let dict = self.graph.dict(top).ok_or("entries for something that is no dict")?;
        dict.extend(entries);
        Ok(())
    }

    fn memoise(&mut self, index: usize) -> Step {
        let top = self.top()?;
        // Each memoised value takes a byte at least, so no honest index is beyond the last byte.
        if index >= self.bytes.len() {
            return Err(format!("place {index} of the memo"));
        }
        if index >= self.memo.len() {
            self.memo.resize(index + 1, None);
        }
        self.memoised += usize::from(self.memo[index].is_none());
        self.memo[index] = Some(top);
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Step {
        let known = self.memo.get(index).copied().flatten();
        self.stack.push(known.ok_or_else(|| format!("place {index} of the memo is empty"))?);
        Ok(())
    }

    fn byte(&mut self) -> Step<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let array = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        let array = *array.ok_or("the pickle ends in the middle")?;
        self.at += N;
        Ok(array)
    }

    /// The next `length` bytes, which stay where they are.
    fn ahead(&self, length: u64) -> Step<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length))
            .ok_or_else(|| format!("{length} bytes are claimed, {} are left", rest.len()))
    }

    /// A number of `width` bytes, lowest first.
    fn number(&mut self, width: usize) -> Step<u64> {
        let bytes = self.ahead(width as u64)?;
        self.at += width;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn counted_index(&mut self, width: usize) -> Step<usize> {
        let number = self.number(width)?;
        usize::try_from(number).map_err(|_| format!("place {number} of the memo"))
    }

    /// The bytes whose count stands before them, in `width` bytes.
    fn counted(&mut self, width: usize) -> Step<&'a [u8]> {
        let length = self.number(width)?;
        let bytes = self.ahead(length)?;
        self.at += bytes.len();
        Ok(bytes)
    }
}

fn pairs(items: &[Id]) -> Step<Vec<(Id, Id)>> {
    match items.as_chunks() {
        (pairs, []) => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
        _ => Err("a key without a value".to_owned()),
    }
}

/// An integer of any length: two's complement, lowest byte first.
fn integer(bytes: &[u8]) -> Step<PyValue> {
    if bytes.len() > LONGEST_INTEGER {
        return Err(format!("an integer of {} bytes; {LONGEST_INTEGER} are read", bytes.len()));
    }
    let number = BigInt::from_signed_bytes_le(bytes);
    let small = i64::try_from(&number).map(PyValue::Int);
    Ok(small.unwrap_or_else(|_| PyValue::BigInt(number.to_string())))
}

/// UTF-8 in which Python also writes half surrogate pairs, as three bytes each.
fn text(bytes: &[u8]) -> Step<PyValue> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(PyValue::Text(text.to_owned()));
    }
    let mut bytes = bytes.to_vec();
    let mut from = 0;
    while let Some(place) = memchr::memchr(0xED, &bytes[from..]) {
        from += place + 1;
        if let Some([0xA0..=0xBF, 0x80..=0xBF]) = bytes.get(from..from + 2) {
            bytes.splice(from - 1..from + 2, "\u{fffd}".bytes());
        }
    }
    String::from_utf8(bytes).map(PyValue::Text).map_err(|_| "text that is not UTF-8".to_owned())
}
