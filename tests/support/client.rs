//! A caller of figw: a connection for each request, and nothing smoothed over.

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::gateway::Gateway;

/// Longer than any test waits for an answer that does come.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why there is no answer at all.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Somebody with a key.
#[derive(Debug, Clone)]
pub struct Caller {
    address: SocketAddr,
    key: Option<String>,
    headers: Vec<(&'static str, String)>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether the connection broke before the answer's end.
    pub cut: bool,
    /// From asking to the end.
    pub took: Duration,
}

impl Caller {
    /// The gateway's own researcher.
    pub fn of(gateway: &Gateway) -> Self {
        Self { address: gateway.address(), key: Some(gateway.key().to_owned()), headers: vec![] }
    }

    /// Somebody who asks there: a proxy in front of gateways.
    pub fn at(address: SocketAddr, key: Option<&str>) -> Self {
        Self { address, key: key.map(str::to_owned), headers: vec![] }
    }

    /// The same with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The same without any key.
    #[must_use]
    pub fn without_key(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// The same, sending this header, too.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Asks on the federated path of a route, such as `chat/completions`.
    pub async fn ask(&self, route: &str, body: &Value) -> Answer {
        self.post(&format!("/v1/{route}"), body.to_string()).await
    }

    /// The same where figw may be gone.
    pub async fn try_ask(&self, route: &str, body: &Value) -> Result<Answer, Failure> {
        let begun = Instant::now();
        let response = self.open(&format!("/v1/{route}"), body).await?;
        Ok(read(response, begun).await)
    }

    /// Sends exactly this body.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.answer(self.request("POST", path, Full::new(body.into()))).await
    }

    /// Sends a body in pieces, without saying how long it will be.
    pub async fn post_chunked(&self, path: &str, pieces: Vec<Bytes>) -> Answer {
        self.answer(self.request("POST", path, in_pieces(pieces))).await
    }

    /// The same where figw may close before it has read all.
    pub async fn try_post_chunked(
        &self,
        path: &str,
        pieces: Vec<Bytes>,
    ) -> Result<Answer, Failure> {
        let begun = Instant::now();
        let response =
            exchange(self.address, self.request("POST", path, in_pieces(pieces))).await?;
        Ok(read(response, begun).await)
    }

    /// Asks with another method.
    pub async fn send(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
        self.answer(self.request(method, path, Full::new(body.into()))).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.answer(self.request("GET", path, Full::new(Bytes::new()))).await
    }

    /// Sends a request and returns when the answer's head has come.
    pub async fn open(&self, path: &str, body: &Value) -> Result<Response<Incoming>, Failure> {
        exchange(self.address, self.request("POST", path, Full::new(body.to_string().into()))).await
    }

    fn request<B>(&self, method: &str, path: &str, body: B) -> Request<B> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "figw")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request.body(body).expect("a well-formed request")
    }

    async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let begun = Instant::now();
        let whole = async {
            let response = exchange(self.address, request).await.expect("an answer");
            read(response, begun).await
        };
        tokio::time::timeout(PATIENCE, whole).await.expect("an answer within a minute")
    }

    /// The bytes of a POST, for tests that send them in their own way.
    pub fn raw_post(&self, path: &str, body: &[u8]) -> Vec<u8> {
        let key = self.key.as_deref().unwrap_or_default();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: figw\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    }

    /// Connects and sends exactly these bytes.
    pub async fn send_raw(&self, bytes: &[u8]) -> TcpStream {
        let mut tcp = TcpStream::connect(self.address).await.expect("figw accepts");
        tcp.set_nodelay(true).expect("a socket");
        tcp.write_all(bytes).await.expect("figw takes the bytes");
        tcp
    }
}

fn in_pieces(pieces: Vec<Bytes>) -> impl Body<Data = Bytes, Error = Infallible> + Send + 'static {
    let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
    StreamBody::new(futures_util::stream::iter(frames))
}

async fn exchange<B>(
    address: SocketAddr,
    request: Request<B>,
) -> Result<Response<Incoming>, Failure>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
    // How it ends, the response's body tells.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// Reads an answer to its end, orderly or not.
pub async fn read(response: Response<Incoming>, begun: Instant) -> Answer {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    let mut cut = false;
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(_) => cut = true,
        }
    }
    let (status, headers) = (head.status.as_u16(), head.headers);
    Answer { status, headers, body: body.into(), cut, took: begun.elapsed() }
}

/// Everything that comes until the connection ends, or nothing comes for a while.
pub async fn drain(tcp: &mut TcpStream, patience: Duration) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(n @ 1..)) = tokio::time::timeout(patience, tcp.read(&mut buffer)).await {
        all.extend_from_slice(&buffer[..n]);
    }
    all
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("an answer in UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in answer {}: {}", self.status, self.text()))
    }

    /// The data of each server-sent event.
    pub fn events(&self) -> Vec<&str> {
        self.text().lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of text"))
    }

    /// Fails, with what was said, unless the status is 200.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, StatusCode::OK.as_u16(), "{}", self.text());
        assert!(!self.cut, "cut after {} bytes", self.body.len());
        self
    }
}
