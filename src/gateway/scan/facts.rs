//! What the scan learns on its way, besides that the body is valid.

use std::ops::Range;

use super::json::Text;
use super::schema::Kind;

/// Which of [`Facts`] a value feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    None,
    Model,
    Stream,
    StreamOptions,
    IncludeUsage,
    MaxTokens,
    Choices,
    BestOf,
    Prompts,
    Prompt,
    Modality,
    ToolChoice,
    ThinkingBudget,
}

/// A value that passed its schema.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Decimal,
    Text(Text<'a>),
    Array { len: usize, of: Kind },
    Object { empty: bool },
}

impl Found<'_> {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(false) => Kind::False,
            Self::Bool(true) => Kind::True,
            Self::Integer(_) => Kind::Integer,
            Self::Decimal => Kind::Decimal,
            Self::Text(_) => Kind::String,
            Self::Array { .. } => Kind::Array,
            Self::Object { .. } => Kind::Object,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    pub(super) model: Option<Text<'a>>,
    pub(super) stream: bool,
    pub(super) stream_options: Option<(Range<usize>, Found<'a>)>,
    pub(super) include_usage: Option<(Range<usize>, bool)>,
    pub(super) max_tokens: Option<u64>,
    pub(super) choices: Option<u64>,
    pub(super) best_of: Option<u64>,
    pub(super) prompts: u64,
    pub(super) prompt_bytes: u64,
    pub(super) wants_audio: bool,
    pub(super) tool_choice: Option<Text<'a>>,
    pub(super) thinking_budget: Option<u64>,
}

/// Bytes of text that a token ID stands for, roughly.
const BYTES_PER_TOKEN: u64 = 4;

impl<'a> Facts<'a> {
    pub(super) fn record(&mut self, fact: Fact, found: Found<'a>, span: Range<usize>) {
        match (fact, found) {
            (Fact::Model, Found::Text(text)) => self.model = Some(text),
            (Fact::Stream, Found::Bool(stream)) => self.stream = stream,
            (Fact::StreamOptions, found) => self.stream_options = Some((span, found)),
            (Fact::IncludeUsage, found) => {
                self.include_usage = Some((span, matches!(found, Found::Bool(true))));
            }
            (Fact::MaxTokens, Found::Integer(bound)) => self.max_tokens = positive(bound),
            (Fact::Choices, Found::Integer(choices)) => self.choices = positive(choices),
            (Fact::BestOf, Found::Integer(choices)) => self.best_of = positive(choices),
            (Fact::Prompts, Found::Array { len, of: Kind::String | Kind::Array }) => {
                self.prompts = len as u64;
            }
            (Fact::Prompt | Fact::Prompts, Found::Text(text)) => {
                self.prompt_bytes += text.raw().len() as u64;
            }
            (Fact::Prompt, Found::Integer(_)) => self.prompt_bytes += BYTES_PER_TOKEN,
            (Fact::Modality, Found::Text(text)) => self.wants_audio |= text.decode() == "audio",
            (Fact::ToolChoice, Found::Text(text)) => self.tool_choice = Some(text),
            (Fact::ThinkingBudget, Found::Integer(budget)) => {
                self.thinking_budget = positive(budget);
            }
            _ => {}
        }
    }

    /// Whether `tool_choice` is this word.
    pub(super) fn chooses(&self, word: &str) -> bool {
        self.tool_choice.is_some_and(|choice| choice.decode() == word)
    }
}

fn positive(integer: i64) -> Option<u64> {
    u64::try_from(integer).ok()
}
