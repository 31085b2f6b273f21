use super::*;

/// A pickle of protocol 4 with `program` in it.
fn pickled(program: &[u8]) -> Vec<u8> {
    [b"\x80\x04", program, b"."].concat()
}

fn error(program: &[u8]) -> String {
    read(&pickled(program)).unwrap_err().to_string()
}

fn ints(numbers: &[i64]) -> PyValue {
    PyValue::List(numbers.iter().copied().map(PyValue::Int).collect())
}

#[test]
fn each_executing_instruction_is_refused_by_name() {
    for (program, name) in [
        (&b"cos\nsystem\n"[..], "GLOBAL"),
        (b"\x8c\x02os\x8c\x06system\x93", "STACK_GLOBAL"),
        (b"N)R", "REDUCE"),
        (b"N}b", "BUILD"),
        (b"(ios\nsystem\n", "INST"),
        (b"(No", "OBJ"),
        (b"N)\x81", "NEWOBJ"),
        (b"N)}\x92", "NEWOBJ_EX"),
        (b"P1\n", "PERSID"),
        (b"NQ", "BINPERSID"),
        (b"\x82\x01", "EXT1"),
        (b"\x83\x01\x00", "EXT2"),
        (b"\x84\x01\x00\x00\x00", "EXT4"),
        (b"\x97", "NEXT_BUFFER"),
        (b"N\x98", "READONLY_BUFFER"),
    ] {
        let error = error(program);
        assert!(error.contains(&format!("{name} is refused")), "{name}: {error}");
        assert!(error.contains("runs code"), "{name}: {error}");
    }
}

#[test]
fn instructions_of_protocol_0_and_unknown_ones_are_refused_by_name() {
    for (code, name) in b"ILFSTUVgp".iter().zip([
        "INT",
        "LONG",
        "FLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "GET",
        "PUT",
    ]) {
        let error = error(&[*code, b'1', b'\n']);
        assert!(error.contains(&format!("at byte 2: {name} is refused")), "{error}");
    }
    for code in [0, b' ', b'z', 0x99, 0xff] {
        let error = error(&[code]);
        assert!(error.contains(&format!("0x{code:02x} is no known instruction")), "{error}");
    }
}

#[test]
fn shared_values_are_read_wherever_they_stand() {
    // x = [7]; [x, x, (x, x)]
    let value = read(&pickled(b"](]\x94K\x07ah\x00h\x00h\x00\x86e")).unwrap();
    let x = ints(&[7]);
    let both = PyValue::List(vec![x.clone(), x.clone()]);
    assert_eq!(value, PyValue::List(vec![x.clone(), x, both]));
}

#[test]
fn a_value_that_contains_itself_is_refused() {
    for program in
        [&b"]\x94h\x00a"[..], b"}\x94K\x01h\x00s", b"]\x94(h\x00tah\x00", b"]\x94(]h\x00ae"]
    {
        let error = error(program);
        assert!(error.contains("a value that contains itself"), "{error}");
    }
}

#[test]
fn a_billion_laughs_are_an_error_and_not_a_memory_hole() {
    // Each list holds the one before it ten times.
    let mut lists = b"]\x94".to_vec();
    let mut tuples = b")\x94".to_vec();
    for level in 0..40_u8 {
        let ten = [b'h', level].repeat(10);
        lists.extend([b"](", &ten[..], b"e\x94"].concat());
        tuples.extend([b"(", &ten[..], b"t\x94"].concat());
    }
    let text =
        [&b"X\x00\x00\x10\x00"[..], &b"x".repeat(1 << 20), b"\x94(", &b"h\x00".repeat(1_000), b"l"];
    for program in [lists, tuples, text.concat()] {
        let error = error(&program);
        assert!(error.contains("repeated to more than 64 MiB"), "{error}");
    }
}

#[test]
fn nesting_is_bounded_and_never_exhausts_the_stack() {
    let nested = |levels: usize| [&b"]"[..], &b"\x85".repeat(levels - 1)].concat();
    assert!(read(&pickled(&nested(crate::python::MAX_DEPTH))).is_ok());
    for levels in [crate::python::MAX_DEPTH + 1, 3_000_000] {
        let error = error(&nested(levels));
        assert!(error.contains("nested deeper than 127 levels"), "{error}");
    }
}

#[test]
fn claimed_lengths_are_not_believed() {
    for program in [
        &b"X\xff\xff\xff\xff"[..],
        b"B\xff\xff\xff\x7fabc",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc",
        b"\x8e\x00\x00\x00\x00\x00\x00\x00\x10",
        b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x8b\xff\xff\xff\xff",
        b"\x95\xff\x00\x00\x00\x00\x00\x00\x00N",
    ] {
        let error = error(program);
        assert!(error.contains("are claimed"), "{error}");
    }
    assert!(error(b"Nr\xff\xff\xff\xff").contains("place 4294967295 of the memo"));
    assert!(error(b"j\xff\xff\xff\xff").contains("place 4294967295 of the memo is empty"));
}

#[test]
fn broken_pickles_are_refused_with_their_place() {
    for (program, expected) in [
        (&b"K"[..], "at byte 2: the pickle ends in the middle"),
        (b"", "at byte 2: a value is missing"),
        (b"e", "a mark is missing"),
        (b"](N", "the pickle ends"),
        (b"N(a", "a value is missing"),
        (b"NNa", "items for something that is no list"),
        (b"]NNs", "entries for something that is no dict"),
        (b"}(Nu", "a key without a value"),
        (b"\x8c\x02\xc3\x28", "text that is not UTF-8"),
    ] {
        let program = [b"\x80\x04", program].concat();
        let program =
            if expected.contains("ends") { program } else { [&program[..], b"."].concat() };
        let error = read(&program).unwrap_err().to_string();
        assert!(error.contains(expected), "{program:02x?}: {error}");
    }
    assert!(read(b"\x80\x06N.").unwrap_err().to_string().contains("protocol 6; 2 to 5 are read"));
}

#[test]
fn what_fixtures_do_not_have_is_read_too() {
    let digits = "-170141183460469231731687303715884105728";
    let smallest = [&b"\x8a\x10"[..], &[0; 15], b"\x80"].concat();
    for (program, expected) in [
        (&smallest[..], PyValue::BigInt(digits.to_owned())),
        (b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\xff", PyValue::Int(-1)),
        (b"\x8a\x00", PyValue::Int(0)),
        (b"\x8b\x01\x00\x00\x00\x05", PyValue::Int(5)),
        (b"C\x02ab", PyValue::Bytes(b"ab".to_vec())),
        (b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a", PyValue::Bytes(b"a".to_vec())),
        (b"\x8f\x94(K\x01K\x02\x90", ints(&[1, 2])),
        (b"(K\x01K\x02\x91", ints(&[1, 2])),
        (b"(K\x01K\x02l", ints(&[1, 2])),
        (b"K\x01K\x020\x85", ints(&[1])),
        (b"K\x01(K\x02K\x031\x85", ints(&[1])),
        (b"K\x0020(K\x010K\x02\x85", ints(&[2])),
        (b"K\x012\x86", ints(&[1, 1])),
        (b"(K\x01Nd", PyValue::Dict(vec![(PyValue::Int(1), PyValue::None)])),
        (b"\x8c\x07a\xed\xa0\xbdb\xc3\xa9", PyValue::Text("a\u{fffd}bé".to_owned())),
    ] {
        assert_eq!(read(&pickled(program)), Ok(expected), "{program:02x?}");
    }
    let long = [&b"\x8b\xff\xff\x00\x00"[..], &b"\x01".repeat(65_535)].concat();
    assert!(error(&long).contains("an integer of 65535 bytes"));
}
