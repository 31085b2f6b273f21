//! Traces: what callers begin is continued and passed on, and what a collector gets, or does not get, costs
//! no request anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper may fail its test"
)]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as Attribute,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use serde_json::json;
use support::{
    client::Caller,
    fake::{Fake, Fault},
    federation::{Federation, MODEL},
    gateway::{Gateway, Plan},
    requests::{chat, streamed_chat},
    small_server::{Reply, SmallServer},
};

const CHAT: &str = "chat/completions";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that keeps what it gets.
struct Collector {
    server: SmallServer,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start() -> Self {
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&bodies);
        let server = SmallServer::start(move |ask| {
            assert_eq!(ask.path, "/v1/traces");
            assert_eq!(ask.headers["content-type"], "application/x-protobuf");
            kept.lock().unwrap().push(ask.body.to_vec());
            Reply { status: 200, headers: Vec::new(), body: String::new() }
        });
        Self { server, bodies }
    }

    /// All spans so far, in the order of their beginning.
    fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap();
        let requests =
            bodies.iter().map(|body| ExportTraceServiceRequest::decode(&body[..]).unwrap());
        let resources = requests.flat_map(|request| request.resource_spans);
        let mut spans: Vec<_> = resources
            .inspect(|resource| {
                let about = resource.resource.as_ref().unwrap();
                let named = about.attributes.iter().any(|pair| pair.key == "service.name");
                assert!(named, "{about:?}");
            })
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }
}

/// A gateway that sends its spans every 50 ms.
fn traced(plan: Plan, endpoint: &str) -> Gateway {
    let mut gateway = plan.set("telemetry.otlp_endpoint", endpoint).prepare();
    gateway.set_variable("OTEL_BSP_SCHEDULE_DELAY", "50");
    gateway.serve();
    gateway
}

fn stop(gateway: &mut Gateway) {
    gateway.terminate();
    assert!(gateway.wait_for_exit(Duration::from_secs(20)).success());
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let pair = span.attributes.iter().find(|pair| pair.key == name)?;
    Some(match pair.value.as_ref()?.value.as_ref()? {
        Attribute::StringValue(text) => text.clone(),
        Attribute::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

fn of_caller(gateway: &Gateway, flags: &str) -> Caller {
    Caller::of(gateway)
        .with_header("traceparent", &format!("00-{TRACE}-{PARENT}-{flags}"))
        .with_header("tracestate", "vendor=1")
}

#[tokio::test]
async fn a_callers_trace_goes_on_through_figw_to_the_endpoint() {
    let (fake, collector) = (Fake::start(), Collector::start());
    let plan = Plan::in_front_of(fake.api_url()).models(["fake-model"]);
    let mut gateway = traced(plan, collector.server.url());
    let caller = of_caller(&gateway, "01");
    let mut secret = chat("fake-model");
    secret["messages"][0]["content"] = "pRoMpT-mArKeR".into();
    caller.ask(CHAT, &secret).await.ok();
    caller.ask(CHAT, &streamed_chat("fake-model", 7)).await.ok();
    stop(&mut gateway);

    let spans = collector.spans();
    assert_eq!(spans.len(), 4, "{spans:#?}");
    let sent = fake.received();
    for (index, pair) in spans.chunks(2).enumerate() {
        let [server, client] = pair else { panic!("{pair:?}") };
        assert_eq!((server.kind(), client.kind()), (SpanKind::Server, SpanKind::Client));
        assert_eq!((hex(&server.trace_id), hex(&client.trace_id)), (TRACE.into(), TRACE.into()));
        assert_eq!(hex(&server.parent_span_id), PARENT);
        assert_eq!(client.parent_span_id, server.span_id);
        let headers = &sent[index].headers;
        let told = format!("00-{TRACE}-{}-01", hex(&client.span_id));
        assert_eq!(headers["traceparent"], told.as_str());
        assert_eq!(headers["tracestate"], "vendor=1");
        assert_eq!(server.name, "chat fake-model");
        assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
        assert!(client.end_time_unix_nano > client.start_time_unix_nano);
        for (name, value) in [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "vllm"),
            ("gen_ai.request.model", "fake-model"),
            ("http.response.status_code", "200"),
            ("figw.endpoint", "local-vllm-fake-model"),
        ] {
            assert_eq!(attribute(server, name).as_deref(), Some(value), "{server:?}");
            assert_eq!(attribute(client, name).as_deref(), Some(value), "{client:?}");
        }
    }
    assert_eq!(attribute(&spans[2], "gen_ai.usage.output_tokens").as_deref(), Some("7"));
    let marker = b"pRoMpT-mArKeR";
    let bodies = collector.bodies.lock().unwrap();
    assert!(!bodies.iter().any(|body| body.windows(marker.len()).any(|part| part == marker)));
}

#[tokio::test]
async fn each_endpoint_that_was_asked_has_a_span_of_its_own() {
    let collector = Collector::start();
    let mut federation =
        Federation::with(2, &[("telemetry.otlp_endpoint", collector.server.url())], |_| json!({}));
    for fake in &federation.fakes {
        fake.script([Some(Fault::Status(500))]);
    }
    federation.caller.ask(CHAT, &chat(MODEL)).await;
    federation.caller.ask(CHAT, &chat("no such model")).await;
    stop(&mut federation.gateway);
    let spans = collector.spans();
    let of_kind = |kind| spans.iter().filter(|span| span.kind() == kind).collect::<Vec<_>>();
    let (servers, clients) = (of_kind(SpanKind::Server), of_kind(SpanKind::Client));
    assert_eq!((servers.len(), clients.len()), (2, 2), "{spans:#?}");
    assert!(servers.iter().all(|span| span.parent_span_id.is_empty()), "figw has begun the traces");
    assert_ne!(servers[0].trace_id, servers[1].trace_id);
    let endpoints: Vec<_> = clients.iter().map(|span| attribute(span, "figw.endpoint")).collect();
    assert_ne!(endpoints[0], endpoints[1]);
    let failed = |span: &Span| span.status.as_ref().is_some_and(|status| status.code == 2);
    assert!(clients.iter().all(|span| failed(span)) && failed(servers[0]), "{spans:#?}");
    assert_eq!(attribute(servers[1], "http.response.status_code").as_deref(), Some("404"));
}

#[tokio::test]
async fn who_is_refused_at_the_door_has_a_span_too() {
    let (fake, collector) = (Fake::start(), Collector::start());
    let plan = Plan::in_front_of(fake.api_url()).models(["fake-model"]);
    let mut gateway = traced(plan.set("server.max_body_bytes", "64KiB"), collector.server.url());
    let caller = of_caller(&gateway, "01");
    assert_eq!(caller.without_key().ask(CHAT, &chat("fake-model")).await.status, 401);
    let mut long = chat("fake-model");
    long["messages"][0]["content"] = "x".repeat(100_000).into();
    assert_eq!(caller.ask(CHAT, &long).await.status, 413);
    stop(&mut gateway);
    let spans = collector.spans();
    let told =
        |span: &Span| (hex(&span.parent_span_id), attribute(span, "http.response.status_code"));
    let told: Vec<_> = spans.iter().map(told).collect();
    let expected = ["401", "413"].map(|status| (PARENT.to_owned(), Some(status.to_owned())));
    assert_eq!(told, expected, "{spans:#?}");
}

#[tokio::test]
async fn who_does_not_want_to_be_traced_is_not() {
    let (fake, collector) = (Fake::start(), Collector::start());
    let plan = Plan::in_front_of(fake.api_url()).models(["fake-model"]);
    let mut gateway = traced(plan.set("telemetry.sample_ratio", "0"), collector.server.url());
    of_caller(&gateway, "00").ask(CHAT, &chat("fake-model")).await.ok();
    Caller::of(&gateway).ask(CHAT, &chat("fake-model")).await.ok();
    stop(&mut gateway);
    assert_eq!(collector.spans(), []);
    let sent = fake.received();
    let of = |index: usize| sent[index].headers["traceparent"].to_str().unwrap().to_owned();
    assert!(of(0).starts_with(&format!("00-{TRACE}-")) && of(0).ends_with("-00"), "{}", of(0));
    assert!(of(1).ends_with("-00") && !of(1).contains(TRACE), "{}", of(1));
}

#[tokio::test]
async fn without_a_collector_a_trace_passes_as_it_came() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    of_caller(&gateway, "01").ask(CHAT, &chat("fake-model")).await.ok();
    let malformed = Caller::of(&gateway).with_header("traceparent", "00-xyz-1-01");
    malformed.with_header("tracestate", "vendor=1").ask(CHAT, &chat("fake-model")).await.ok();
    Caller::of(&gateway).ask(CHAT, &chat("fake-model")).await.ok();
    let sent = fake.received();
    assert_eq!(sent[0].headers["traceparent"], format!("00-{TRACE}-{PARENT}-01").as_str());
    assert_eq!(sent[0].headers["tracestate"], "vendor=1");
    for headers in [&sent[1].headers, &sent[2].headers] {
        assert!(!headers.contains_key("traceparent") && !headers.contains_key("tracestate"));
    }
    assert!(gateway.log().contains(&format!("trace_id={TRACE}")), "{}", gateway.log());
}

/// The median time of a request, and how long the gateway takes to stop.
async fn times(endpoint: Option<&str>) -> (Duration, Duration) {
    let fake = Fake::start();
    let plan = Plan::in_front_of(fake.api_url()).models(["fake-model"]);
    let mut gateway = match endpoint {
        Some(endpoint) => traced(plan, endpoint),
        None => plan.start(),
    };
    let caller = Caller::of(&gateway);
    let mut took = Vec::new();
    for _ in 0..300 {
        took.push(caller.ask(CHAT, &chat("fake-model")).await.ok().took);
    }
    took.sort_unstable();
    if endpoint.is_some() {
        let failed = gateway.log().matches("traces cannot be sent").count();
        assert!(failed <= 1, "said once: {}", gateway.log());
    }
    let begun = Instant::now();
    stop(&mut gateway);
    (took[took.len() / 2], begun.elapsed())
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_costs_no_request_anything() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = away.local_addr().unwrap();
    drop(away);
    // Connections to it come about, and nobody ever answers.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let (without, _) = times(None).await;
    for endpoint in [address, hanging.local_addr().unwrap()] {
        let (median, stopping) = times(Some(&format!("http://{endpoint}"))).await;
        println!("{median:?} of {without:?}, stopped within {stopping:?}");
        assert!(median < without * 2 + Duration::from_millis(2), "{median:?} of {without:?}");
        assert!(stopping < Duration::from_secs(6), "{stopping:?}");
    }
}

#[test]
fn a_ratio_is_a_number_from_0_to_1() {
    for wrong in ["1.5", "-1", "half"] {
        let plan = Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]);
        let gateway = plan.prepare();
        let mut check = gateway.command();
        check.env("FIGW_TELEMETRY__SAMPLE_RATIO", wrong).args(["config", "check"]);
        let output = check.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("telemetry.sample_ratio") && said.contains("a number from 0 to 1"),
            "{said}"
        );
    }
}
