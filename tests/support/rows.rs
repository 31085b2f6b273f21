//! What a gateway has written down, read from its database by other means than its own.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{gateway::Gateway, postgres::psql};

/// How long a row may take from the request's end into the database: a flush interval, and what a
/// busy machine adds.
const ROW_LIMIT: Duration = Duration::from_secs(20);

/// A row of `usage`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Usage {
    pub request_id: String,
    pub username: String,
    pub cluster: String,
    pub framework: String,
    pub endpoint: String,
    pub model: String,
    pub route: String,
    pub streamed: bool,
    pub status: u16,
    pub backend_status: Option<u16>,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub tokens_estimated: bool,
    pub first_byte_us: Option<u64>,
    pub duration_us: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub error: Option<String>,
}

/// A row of `access`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Access {
    pub request_id: String,
    pub username: String,
    pub method: String,
    pub path: String,
    pub status: u16,
    pub duration_us: u64,
    pub model: Option<String>,
    pub error: Option<String>,
}

const USAGE: &str = "SELECT json_object(\
    'request_id', request_id, 'username', username, 'cluster', cluster, 'framework', framework, \
    'endpoint', endpoint, 'model', model, 'route', route, \
    'streamed', json(iif(streamed, 'true', 'false')), 'status', status, \
    'backend_status', backend_status, 'prompt_tokens', prompt_tokens, \
    'completion_tokens', completion_tokens, \
    'tokens_estimated', json(iif(tokens_estimated, 'true', 'false')), \
    'first_byte_us', first_byte_us, 'duration_us', duration_us, 'request_bytes', request_bytes, \
    'response_bytes', response_bytes, 'error', error) FROM usage ORDER BY id";
const ACCESS: &str = "SELECT json_object(\
    'request_id', request_id, 'username', username, 'method', method, 'path', path, \
    'status', status, 'duration_us', duration_us, 'model', model, 'error', error) \
    FROM access ORDER BY id";

impl Gateway {
    /// All usage rows, in the order of their ids.
    pub fn usage(&self) -> Vec<Usage> {
        self.rows("usage", USAGE)
    }

    /// All access rows, in the order of their ids.
    pub fn access(&self) -> Vec<Access> {
        self.rows("access", ACCESS)
    }

    /// Waits until there are as many usage rows as that, and fails when there are more.
    #[track_caller]
    pub fn wait_for_usage(&self, count: usize) -> Vec<Usage> {
        self.wait_for("usage", count, Self::usage)
    }

    /// Waits until there are as many access rows as that, and fails when there are more.
    #[track_caller]
    pub fn wait_for_access(&self, count: usize) -> Vec<Access> {
        self.wait_for("access", count, Self::access)
    }

    #[track_caller]
    fn wait_for<T: std::fmt::Debug>(
        &self,
        table: &str,
        count: usize,
        read: fn(&Self) -> Vec<T>,
    ) -> Vec<T> {
        let given_up = Instant::now() + ROW_LIMIT;
        loop {
            let rows = read(self);
            if rows.len() >= count || Instant::now() > given_up {
                assert_eq!(rows.len(), count, "{table} rows: {rows:#?}");
                return rows;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// One number that a statement asks for.
    pub fn count(&self, statement: &str) -> usize {
        match self.database().strip_prefix("sqlite:") {
            Some(path) => {
                let count = sqlite(path).query_row(statement, [], |row| row.get::<_, u32>(0));
                count.expect(statement) as usize
            }
            None => psql(self.database(), statement).parse().expect("a number"),
        }
    }

    fn rows<T: DeserializeOwned>(&self, table: &str, statement: &str) -> Vec<T> {
        let texts: Vec<String> = if let Some(path) = self.database().strip_prefix("sqlite:") {
            let database = sqlite(path);
            let mut statement = database.prepare(statement).expect(statement);
            let rows = statement.query_map([], |row| row.get(0)).expect("rows");
            rows.collect::<Result<_, _>>().expect("rows of text")
        } else {
            let statement = format!("SELECT row_to_json(t) FROM {table} t ORDER BY t.id");
            psql(self.database(), &statement).lines().map(ToOwned::to_owned).collect()
        };
        texts
            .iter()
            .map(|text| serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}")))
            .collect()
    }
}

fn sqlite(path: &str) -> rusqlite::Connection {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(path, flags).expect("figw's database");
    database.busy_timeout(Duration::from_secs(10)).expect("a time-out");
    database
}
