//! Ten million broken and hostile buffers: each is read or refused, none panics, and what is read
//! can be written. The inputs are the same in every run.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, and nobody imports them"
)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use figw::{globus::codec, python::pickle};
use serde_json::Value;

const INPUTS: u64 = 10_000_000;

/// Inputs that a thread takes at once.
const PORTION: u64 = 10_000;

#[test]
fn ten_million_hostile_buffers_are_read_or_refused() {
    let samples = Samples::load();
    let (next, read) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let mut input = Vec::new();
                loop {
                    let first = next.fetch_add(PORTION, Ordering::Relaxed);
                    if first >= INPUTS {
                        return;
                    }
                    let readable = (first..first + PORTION)
                        .filter(|number| samples.survives(*number, &mut input))
                        .count();
                    read.fetch_add(readable as u64, Ordering::Relaxed);
                }
            });
        }
    });
    // Inputs that are all refused at their first byte would show nothing.
    let read = read.into_inner();
    println!("{read} of {INPUTS} inputs could be read");
    assert!(read > INPUTS / 20 && read < INPUTS * 19 / 20, "{read} of {INPUTS} could be read");
}

struct Samples {
    pickles: Vec<Vec<u8>>,
    buffers: Vec<String>,
}

impl Samples {
    /// The short ones of the real samples: ten million copies of long ones only take time.
    fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/globus/fixtures/results.json");
        let document: Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let payloads = document["cases"].as_array().unwrap().iter();
        let payloads = payloads.map(|case| case["payload"].as_str().unwrap().to_owned());
        let buffers: Vec<_> = payloads.filter(|payload| payload.len() < 500).collect();
        let pickles = buffers.iter().filter_map(|buffer| buffer.strip_prefix("00\n"));
        let pickles =
            pickles.map(|body| STANDARD.decode(body.replace('\n', "")).unwrap()).collect();
        Self { pickles, buffers }
    }

    /// Reads input `number`, and tells whether it could be read.
    fn survives(&self, number: u64, input: &mut Vec<u8>) -> bool {
        let mut dice = Dice(number);
        input.clear();
        let kind = number % 10;
        match kind {
            0 => {
                input.extend_from_slice(dice.one_of(&self.buffers).as_bytes());
                mutate(input, &mut dice);
            }
            1..=5 => {
                input.extend_from_slice(dice.one_of::<Vec<u8>>(&self.pickles));
                mutate(input, &mut dice);
            }
            _ => soup(input, &mut dice),
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let value = match kind {
                0 => codec::decode(&String::from_utf8_lossy(input)).ok(),
                _ => pickle::read(input).ok(),
            };
            let read = value.is_some();
            if number % 16 == 1 {
                value.map(codec::PyValue::into_document);
            }
            read
        }));
        outcome.unwrap_or_else(|_| panic!("input {number} panics: {input:02x?}"))
    }
}

/// Random numbers from a seed (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    #[allow(clippy::cast_possible_truncation, reason = "any bits are as good as others")]
    fn below(&mut self, limit: usize) -> usize {
        self.roll() as usize % limit.max(1)
    }

    #[allow(clippy::cast_possible_truncation, reason = "any bits are as good as others")]
    fn byte(&mut self) -> u8 {
        self.roll() as u8
    }

    fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// Changes, removes, repeats or cuts off a few bytes.
fn mutate(input: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        let place = dice.below(input.len());
        match dice.below(8) {
            0 => input.truncate(place),
            1 => drop(input.drain(place..(place + dice.below(9)).min(input.len()))),
            2 => {
                let end = (place + dice.below(9)).min(input.len());
                input.extend_from_within(place..end);
            }
            3 => input.insert(place, *dice.one_of(INSTRUCTIONS)),
            4 => input.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << (place % 8)),
            5 => input.iter_mut().skip(place).take(4).for_each(|byte| *byte = 0xff),
            _ => input.iter_mut().skip(place).take(1).for_each(|byte| *byte = dice.byte()),
        }
    }
}

/// All instructions that plain values have, some that they do not have.
const INSTRUCTIONS: &[u8] =
    b"\x80\x95(012N\x88\x89JKM\x8a\x8bGX\x8c\x8dBC\x8e\x96]ael)t\x85\x86\x87}sud\
    \x8f\x90\x91hjqr\x94hhhqq\x94\x94\x85\x86es(((]]}}NNNKKK\x8c\x8c.cRi\x81\x93\x97";

/// A program of random instructions, most with arguments of the right length.
fn soup(input: &mut Vec<u8>, dice: &mut Dice) {
    input.extend_from_slice(b"\x80\x04N(");
    for _ in 0..=dice.below(24) {
        let instruction = *dice.one_of(INSTRUCTIONS);
        input.push(instruction);
        let small = dice.byte() & 3;
        match instruction {
            0x80 => input.push(2 + small),
            b'K' | b'h' | b'q' => input.push(small),
            b'M' => input.extend_from_slice(&[small, dice.byte()]),
            b'J' | b'j' | b'r' => input.extend_from_slice(&[small, 0, 0, dice.byte() & 0x80]),
            b'G' => input.extend_from_slice(&dice.roll().to_be_bytes()),
            0x8c | b'C' | 0x8a => counted(input, &[], small, dice),
            b'X' | b'B' | 0x8b => counted(input, &[0; 3], small, dice),
            0x8d | 0x8e | 0x96 => counted(input, &[0; 7], small, dice),
            0x95 => input.extend_from_slice(&[small, 0, 0, 0, 0, 0, 0, 0]),
            _ => {}
        }
    }
    input.push(b'.');
}

/// A length, the higher bytes of which are `rest`, and as many bytes.
fn counted(input: &mut Vec<u8>, rest: &[u8], length: u8, dice: &mut Dice) {
    input.push(length);
    input.extend_from_slice(rest);
    let bytes = dice.roll().to_le_bytes();
    input.extend(bytes.iter().take(length.into()).map(|byte| byte & 0x7f));
}
