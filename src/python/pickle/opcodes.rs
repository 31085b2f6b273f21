//! The instructions of pickles by their names in `pickletools`.

/// Declares the instructions that are carried out, as constants.
macro_rules! carried_out {
    ($($name:ident = $code:literal,)*) => {
        $(pub(super) const $name: u8 = $code;)*
    };
}

carried_out! {
    PROTO = 0x80, FRAME = 0x95, STOP = b'.',
    MARK = b'(', POP = b'0', POP_MARK = b'1', DUP = b'2',
    NONE = b'N', NEWTRUE = 0x88, NEWFALSE = 0x89,
    BININT = b'J', BININT1 = b'K', BININT2 = b'M', LONG1 = 0x8a, LONG4 = 0x8b, BINFLOAT = b'G',
    BINUNICODE = b'X', SHORT_BINUNICODE = 0x8c, BINUNICODE8 = 0x8d,
    BINBYTES = b'B', SHORT_BINBYTES = b'C', BINBYTES8 = 0x8e, BYTEARRAY8 = 0x96,
    EMPTY_LIST = b']', APPEND = b'a', APPENDS = b'e', LIST = b'l',
    EMPTY_TUPLE = b')', TUPLE = b't', TUPLE1 = 0x85, TUPLE2 = 0x86, TUPLE3 = 0x87,
    EMPTY_DICT = b'}', SETITEM = b's', SETITEMS = b'u', DICT = b'd',
    EMPTY_SET = 0x8f, ADDITEMS = 0x90, FROZENSET = 0x91,
    BINGET = b'h', LONG_BINGET = b'j', BINPUT = b'q', LONG_BINPUT = b'r', MEMOIZE = 0x94,
}

/// Why an instruction that is not carried out is not.
pub(super) fn refusal(code: u8) -> String {
    if let Some(name) = executing(code) {
        return format!("{name} is refused: it makes objects or runs code");
    }
    match textual(code) {
        Some(name) => format!("{name} is refused: plain values have it in protocols 0 and 1 only"),
        None => format!("0x{code:02x} is no known instruction"),
    }
}

/// Those that import, call, build or fetch something from outside of the pickle.
const fn executing(code: u8) -> Option<&'static str> {
    Some(match code {
        b'c' => "GLOBAL",
        0x93 => "STACK_GLOBAL",
        b'R' => "REDUCE",
        b'b' => "BUILD",
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        b'P' => "PERSID",
        b'Q' => "BINPERSID",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => return None,
    })
}

/// Those that only older protocols, or Python 2, write.
const fn textual(code: u8) -> Option<&'static str> {
    Some(match code {
        b'I' => "INT",
        b'L' => "LONG",
        b'F' => "FLOAT",
        b'S' => "STRING",
        b'T' => "BINSTRING",
        b'U' => "SHORT_BINSTRING",
        b'V' => "UNICODE",
        b'g' => "GET",
        b'p' => "PUT",
        _ => return None,
    })
}
