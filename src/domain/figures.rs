//! What requests add up to: counters over time, by model and by user, and the spread of latencies.

use std::ops::AddAssign;

use jiff::Timestamp;

/// Sums over requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// All requests.
    pub requests: u64,
    /// Those with a status below 400.
    pub succeeded: u64,
    /// Those with a status of 400 to 499.
    pub client_errors: u64,
    /// Those with a status of 500 and more.
    pub server_errors: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Microseconds from the request's head to the end of the answer.
    pub duration_us: u64,
}

impl Counters {
    /// Requests that failed, whoever's fault it was.
    #[must_use]
    pub const fn errors(&self) -> u64 {
        self.client_errors.saturating_add(self.server_errors)
    }

    /// Tokens read and written.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Share of the requests that succeeded, 0 to 1; none when there were no requests.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio is for people")]
    pub fn success(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.succeeded as f64 / self.requests as f64)
    }

    /// Mean time to the end of an answer, in microseconds; none when there were no requests.
    #[must_use]
    pub const fn mean_us(&self) -> Option<u64> {
        self.duration_us.checked_div(self.requests)
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.requests, other.requests);
        add(&mut self.succeeded, other.succeeded);
        add(&mut self.client_errors, other.client_errors);
        add(&mut self.server_errors, other.server_errors);
        add(&mut self.prompt_tokens, other.prompt_tokens);
        add(&mut self.completion_tokens, other.completion_tokens);
        add(&mut self.duration_us, other.duration_us);
    }
}

/// Whose requests, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Only this user's; everybody's otherwise.
    pub user: Option<String>,
    /// The first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
    /// Where the sums are taken from.
    pub source: Source,
}

/// Where sums are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The requests' own rows, to the microsecond. They go when their retention is over.
    Rows,
    /// The roll-up by hours, which knows no users.
    Hours,
    /// The roll-up by days (UTC) and users.
    Days,
}

/// A step of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its beginning.
    pub at: Timestamp,
    /// What came in it.
    pub counters: Counters,
}

/// What goes to one name: a model, a cluster or a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The name.
    pub name: String,
    /// Its part.
    pub counters: Counters,
}

/// By what usage is broken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakdown {
    /// The model that was asked for.
    Model,
    /// The cluster.
    Cluster,
}

/// In which order users are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserOrder {
    /// By name.
    Name,
    /// By requests.
    Requests,
    /// By failed requests.
    Errors,
    /// By tokens read.
    PromptTokens,
    /// By tokens written.
    CompletionTokens,
}

/// Which users are listed, and which part of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserList {
    /// What the name contains, in whatever case; empty for all.
    pub search: String,
    /// The order.
    pub order: UserOrder,
    /// Whether the largest come first.
    pub descending: bool,
    /// How many are passed over.
    pub offset: u32,
    /// How many are listed at most.
    pub limit: u32,
}

/// A part of the list of users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPage {
    /// The users in it.
    pub users: Vec<Share>,
    /// How many there are in all; 0 when the part is beyond the end.
    pub total: u64,
}

/// What is measured of a request that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Microseconds to the end of the answer.
    Duration,
    /// Microseconds to the first byte of the answer.
    FirstByte,
    /// Tokens written in a thousand seconds of the whole request.
    Throughput,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 3] = [Self::Duration, Self::FirstByte, Self::Throughput];

    /// Its number in the database.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Self::Duration => 1,
            Self::FirstByte => 2,
            Self::Throughput => 3,
        }
    }
}

/// Requests whose measure was about the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyBin {
    /// The model.
    pub model: String,
    /// What was measured.
    pub measure: Measure,
    /// Which bin: values v with `floor(4·log2(v))` of this.
    pub bucket: i16,
    /// How many requests.
    pub requests: u64,
}

/// What was measured of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencySample {
    /// The model.
    pub model: String,
    /// Microseconds to the end of the answer.
    pub duration_us: u64,
    /// Microseconds to its first byte.
    pub first_byte_us: Option<u64>,
    /// Tokens written.
    pub completion_tokens: u64,
}

/// The statuses of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusClass {
    /// Below 400.
    Succeeded,
    /// 400 to 499.
    ClientErrors,
    /// 500 and more.
    ServerErrors,
    /// 400 and more.
    Errors,
}

/// Which requests of the log are wanted. What is not set does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Whose.
    pub user: Option<String>,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The cluster.
    pub cluster: Option<String>,
    /// The route, such as `chat/completions`.
    pub route: Option<String>,
    /// How they ended.
    pub status: Option<StatusClass>,
    /// The `x-request-id`.
    pub request_id: Option<String>,
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The first moment after.
    pub until: Option<Timestamp>,
    /// Only what is older than this request.
    pub before: Option<(Timestamp, uuid::Uuid)>,
}

/// What was stored of a request's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredText {
    /// What was asked.
    pub prompt: Excerpt,
    /// What was answered.
    pub answer: Option<Excerpt>,
}

/// The beginning of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// So much of it as was asked for.
    pub text: String,
    /// Size of the whole, in bytes.
    pub bytes: u64,
}

impl Excerpt {
    /// Whether the text goes on.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        (self.text.len() as u64) < self.bytes
    }
}
