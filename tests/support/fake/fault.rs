//! What can go wrong with an answer.

use std::time::Duration;

/// One way for the back end to misbehave. "Midway" is after the first chunk of a stream, or half
/// of a body that is not streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `status-429`: this status with a JSON error; 429 and 503 carry `Retry-After: 7`.
    Status(u16),
    /// `hang-before-headers`: never answers.
    HangBeforeHeaders,
    /// `hang-after-headers`: sends headers, then nothing.
    HangAfterHeaders,
    /// `hang-midway`: stops sending, keeps the connection.
    HangMidway,
    /// `reset-before-headers`: TCP reset instead of an answer.
    ResetBeforeHeaders,
    /// `reset-midway`: TCP reset after part of the body.
    ResetMidway,
    /// `slow-chunks` (50 ms) or `slow-chunks-200`: so long before each chunk.
    SlowChunks(Duration),
    /// `malformed-json`: 200 and JSON that breaks off, in each event when streamed.
    MalformedJson,
    /// `html`: 200 and a web page, as a proxy's login page would be.
    Html,
    /// `huge`: a well-formed answer with 50 MB of text.
    Huge,
    /// `split-first-chunk`: the first chunk comes in two TCP writes, 20 ms apart.
    SplitFirstChunk,
    /// `no-usage`: never says what was used.
    NoUsage,
    /// `no-done`: the stream lacks its end mark.
    NoDone,
    /// `error-event`: an error in the midst of a stream, which then ends.
    ErrorEvent,
    /// `error-first`: a stream that consists of an error.
    ErrorFirst,
    /// `cut-short`: a stream that is closed in good order, but midway.
    CutShort,
}

impl Fault {
    /// Reads a fault's name as it stands above.
    pub fn named(name: &str) -> Option<Self> {
        if let Some(status) = name.strip_prefix("status-") {
            return status.parse().ok().map(Self::Status);
        }
        if let Some(pause) = name.strip_prefix("slow-chunks-") {
            return pause.parse().ok().map(Duration::from_millis).map(Self::SlowChunks);
        }
        Some(match name {
            "hang-before-headers" => Self::HangBeforeHeaders,
            "hang-after-headers" => Self::HangAfterHeaders,
            "hang-midway" => Self::HangMidway,
            "reset-before-headers" => Self::ResetBeforeHeaders,
            "reset-midway" => Self::ResetMidway,
            "slow-chunks" => Self::SlowChunks(Duration::from_millis(50)),
            "malformed-json" => Self::MalformedJson,
            "html" => Self::Html,
            "huge" => Self::Huge,
            "split-first-chunk" => Self::SplitFirstChunk,
            "no-usage" => Self::NoUsage,
            "no-done" => Self::NoDone,
            "error-event" => Self::ErrorEvent,
            "error-first" => Self::ErrorFirst,
            "cut-short" => Self::CutShort,
            _ => return None,
        })
    }
}
