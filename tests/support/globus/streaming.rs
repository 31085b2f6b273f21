//! The side channel of streams: what a function on a node posts to the gateway.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{FakeGlobus, STREAMING_SECRET, World};

/// A post of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Post {
    /// Lines of server-sent events.
    Data(String),
    Error(String),
    Done,
}

/// What a function posts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub posts: Vec<Post>,
    /// Before each post.
    pub pace: Duration,
}

impl Script {
    /// A chat whose piece *i* says *i*, to its end.
    pub fn chat(pieces: usize, pace: Duration) -> Self {
        let piece = |text: String, finish: Value, usage: Value| {
            let event = json!({"id": "chatcmpl-globus", "object": "chat.completion.chunk",
                "created": 1, "model": "m", "usage": usage,
                "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]});
            Post::Data(format!("data: {event}"))
        };
        let mut posts: Vec<_> =
            (0..pieces).map(|i| piece(format!("{i} "), Value::Null, Value::Null)).collect();
        let usage = json!({"prompt_tokens": 3, "completion_tokens": pieces,
            "total_tokens": 3 + pieces});
        posts.push(piece(String::new(), "stop".into(), usage));
        posts.push(Post::Done);
        Self { posts, pace }
    }
}

/// What became of a post.
#[derive(Debug, Clone)]
pub struct Posted {
    /// `stream_task_id` of its stream.
    pub stream: String,
    pub post: Post,
    /// When it was about to be sent.
    pub at: Instant,
    /// How long the gateway took to answer it.
    pub took: Duration,
    /// The gateway's answer, or why there was none.
    pub status: Result<u16, String>,
}

/// Every post, in the order of their ends.
#[derive(Default)]
pub(super) struct Posts(Mutex<Vec<Posted>>);

impl FakeGlobus {
    /// What functions have posted so far, in the order in which the posts ended.
    pub fn posted(&self) -> Vec<Posted> {
        self.world.posts.0.lock().unwrap().clone()
    }
}

/// Where a stream goes to, from the function's argument.
struct Channel {
    host: String,
    task: String,
    token: String,
}

impl Channel {
    fn of(argument: &Value) -> Result<Self, String> {
        let parameters = &argument["model_params"];
        let text = |name: &str| {
            let value = parameters[name].as_str().filter(|value| !value.is_empty());
            value.map(str::to_owned).ok_or_else(|| format!("Streaming requires {name}"))
        };
        let port = match &parameters["streaming_server_port"] {
            Value::Number(port) => port.to_string(),
            Value::String(port) => port.clone(),
            _ => return Err("Streaming requires streaming_server_port".into()),
        };
        if text("streaming_server_protocol")? != "http" {
            return Err("only http is spoken here".into());
        }
        Ok(Self {
            host: format!("{}:{port}", text("streaming_server_host")?),
            task: text("stream_task_id")?,
            token: text("stream_task_token")?,
        })
    }

    fn request(&self, post: &Post) -> Request<Full<Bytes>> {
        let (route, body) = match post {
            Post::Data(lines) => ("data", json!({"data": lines, "type": "data"})),
            Post::Error(text) => ("error", json!({"error": text, "type": "error"})),
            Post::Done => ("done", json!({"type": "done"})),
        };
        let mut body = body;
        body["task_id"] = self.task.clone().into();
        Request::post(format!("/resource_server/api/streaming/{route}/"))
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-internal-secret", STREAMING_SECRET)
            .header("x-stream-task-token", &self.token)
            .body(Full::new(body.to_string().into()))
            .expect("a well-formed request")
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let tcp = TcpStream::connect(&self.host).await.map_err(|error| error.to_string())?;
        // A gateway that has gone shows in the answer.
        let _ = tcp.set_nodelay(true);
        let (sender, connection) =
            http1::handshake(TokioIo::new(tcp)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Plays a script and says what the function returns: a text in JSON, also when the model failed.
pub(super) async fn play(world: &World, argument: &Value, script: Script) -> Result<Value, String> {
    let channel = Channel::of(argument)?;
    // Data goes over one connection, as with a session of `requests`; the rest over fresh ones.
    let mut kept = None;
    let mut status = "completed";
    for post in script.posts {
        tokio::time::sleep(script.pace).await;
        if matches!(post, Post::Error(_)) {
            status = "error";
        }
        let at = Instant::now();
        let outcome = send(&channel, &post, &mut kept).await;
        let posted =
            Posted { stream: channel.task.clone(), post, at, took: at.elapsed(), status: outcome };
        world.posts.0.lock().unwrap().push(posted);
    }
    let summary = json!({"streaming": true, "task_id": channel.task, "response_time": 0.1,
        "throughput_tokens_per_second": 0, "total_tokens": 0, "status": status});
    Ok(summary.to_string().into())
}

async fn send(
    channel: &Channel,
    post: &Post,
    kept: &mut Option<SendRequest<Full<Bytes>>>,
) -> Result<u16, String> {
    let is_data = matches!(post, Post::Data(_));
    let mut sender = match kept.take().filter(|sender| is_data && !sender.is_closed()) {
        Some(sender) => sender,
        None => channel.connect().await?,
    };
    sender.ready().await.map_err(|error| error.to_string())?;
    let answer = sender.send_request(channel.request(post));
    let answer = answer.await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await.map_err(|error| error.to_string())?;
    if is_data {
        *kept = Some(sender);
    }
    Ok(status)
}
