//! A stream's posts and its task, in every order in which they may end.

use http::StatusCode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    super::super::streams::{PostKind, PostRefusal, StreamHub, StreamTicket},
    *,
};

/// Shorter than in earnest, so that the tests are.
const SHORT_GRACE: Duration = Duration::from_millis(100);

/// A function that has been called, and what its caller waits for.
struct Called {
    hub: StreamHub,
    ticket: StreamTicket,
    result: Option<oneshot::Sender<Outcome>>,
    answer: Option<StreamedAnswer>,
}

impl Called {
    fn on(route: Route) -> Self {
        let url = "http://127.0.0.1:8000".parse().unwrap();
        let hub = StreamHub::new(&"the secret of all".into(), &url).unwrap();
        let (ticket, inbox) = hub.open().unwrap();
        let (result, outcome) = oneshot::channel();
        let outcome = Box::pin(async {
            match outcome.await {
                Ok(outcome) => outcome,
                Err(_) => std::future::pending().await,
            }
        });
        let answer = StreamedAnswer::waiting_for(inbox, outcome, route, SHORT_GRACE);
        Self { hub, ticket, result: Some(result), answer: Some(answer) }
    }

    fn posts(&self, kind: PostKind, mut body: Value) -> Result<(), PostRefusal> {
        body["task_id"] = self.ticket.task.to_string().into();
        let token = self.ticket.token.expose_secret().as_bytes();
        self.hub.post(kind, token, body.to_string().as_bytes()).map(drop)
    }

    fn says(&self, lines: &str) {
        self.posts(PostKind::Data, json!({"data": lines})).unwrap();
    }

    fn is_done(&self) {
        self.posts(PostKind::Done, json!({})).unwrap();
    }

    fn fails(&self, error: &str) {
        self.posts(PostKind::Error, json!({"error": error})).unwrap();
    }

    fn returns(&mut self, summary: &Value) {
        self.ends(Ok(PyValue::Text(summary.to_string())));
    }

    fn ends(&mut self, outcome: Outcome) {
        assert!(self.result.take().unwrap().send(outcome).is_ok());
    }

    async fn begun(&mut self) -> Result<AnswerBody, Unanswered> {
        self.answer.take().unwrap().begun().await
    }

    /// The whole answer as it is read by now, and what broke it.
    async fn answer(&mut self) -> (String, Option<String>) {
        read(self.begun().await.unwrap()).await
    }
}

async fn read(mut body: AnswerBody) -> (String, Option<String>) {
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            }
            Err(error) => return (text, Some(error.downcast::<Told>().unwrap().to_caller())),
        }
    }
    (text, None)
}

fn completed(total: u64, sent: u64) -> Value {
    json!({"streaming": true, "status": "completed", "total_chunks": total,
           "chunks_sent_to_server": sent})
}

const MODEL_ERROR: &str = "API request failed with status code: 400\nResponse text: \
                           {\"object\":\"error\",\"message\":\"too many tokens\"}";

#[tokio::test]
async fn done_ends_the_stream_and_the_result_is_not_waited_for() {
    let mut called = Called::on(Route::ChatCompletions);
    called.says("data: 1\ndata: 2");
    called.is_done();
    let expected = "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n";
    assert_eq!(called.answer().await, (expected.to_owned(), None));
    assert_eq!(called.hub.open_streams(), 0);
}

#[tokio::test]
async fn routes_with_an_end_of_their_own_get_no_other() {
    let mut called = Called::on(Route::Messages);
    called.says("event: message_stop\ndata: {}");
    called.is_done();
    assert_eq!(called.answer().await, ("event: message_stop\ndata: {}\n\n".to_owned(), None));
}

#[tokio::test]
async fn a_task_that_returned_ends_its_stream_without_done() {
    let mut called = Called::on(Route::Completions);
    called.says("data: 1\ndata: 2");
    called.returns(&completed(2, 2));
    let began = std::time::Instant::now();
    let expected = "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n";
    assert_eq!(called.answer().await, (expected.to_owned(), None));
    assert!(began.elapsed() < SHORT_GRACE, "all lines were there");
}

#[tokio::test]
async fn posts_may_overtake_each_other_and_the_result() {
    let mut called = Called::on(Route::ChatCompletions);
    called.says("data: 1");
    let mut body = called.begun().await.unwrap();
    called.returns(&completed(2, 1));
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: 1\n\n");
    let late = async {
        tokio::time::sleep(SHORT_GRACE / 4).await;
        called.says("data: 2");
    };
    let (rest, ()) = tokio::join!(read(body), late);
    assert_eq!(rest, ("data: 2\n\ndata: [DONE]\n\n".to_owned(), None));
}

#[tokio::test]
async fn a_stream_with_a_hole_is_not_called_whole() {
    let mut called = Called::on(Route::ChatCompletions);
    called.says("data: 1");
    called.returns(&completed(3, 2));
    let (text, error) = called.answer().await;
    assert_eq!(text, "data: 1\n\n");
    assert_eq!(error.unwrap(), "a part of the answer was lost on its way from the cluster");
}

#[tokio::test]
async fn a_stream_of_which_nothing_came_is_no_answer() {
    let mut called = Called::on(Route::ChatCompletions);
    called.returns(&completed(7, 0));
    assert!(matches!(called.begun().await, Err(Unanswered::NothingCame)));
}

#[tokio::test]
async fn a_model_that_refuses_first_keeps_its_status() {
    let said = |outcome: Result<AnswerBody, Unanswered>| match outcome {
        Err(Unanswered::Model(error)) => error.status,
        other => panic!("{:?}", other.err()),
    };
    let mut posted = Called::on(Route::ChatCompletions);
    posted.fails(MODEL_ERROR);
    assert_eq!(said(posted.begun().await), StatusCode::BAD_REQUEST);

    // In a stream, a model's error is a task that ended well.
    let mut returned = Called::on(Route::ChatCompletions);
    returned.returns(&json!({"status": "error", "error": MODEL_ERROR}));
    assert_eq!(said(returned.begun().await), StatusCode::BAD_REQUEST);

    let mut failed = Called::on(Route::ChatCompletions);
    failed.ends(Err(ComputeError::Failed(format!("Traceback:\nException: {MODEL_ERROR}"))));
    assert_eq!(said(failed.begun().await), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_failure_after_some_data_ends_the_stream_and_says_what_callers_may_know() {
    let mut model = Called::on(Route::ChatCompletions);
    model.says("data: 1");
    model.fails(MODEL_ERROR);
    let (text, error) = model.answer().await;
    assert_eq!(text, "data: 1\n\n");
    assert_eq!(error.unwrap(), "the model failed in the middle of its answer: too many tokens");

    let mut node = Called::on(Route::ChatCompletions);
    node.says("data: 1");
    let traceback = "Traceback: File \"/home/someone/f.py\": ManagerLost: gpu-node-17";
    node.ends(Err(ComputeError::Failed(traceback.to_owned())));
    let (text, error) = node.answer().await;
    assert_eq!(text, "data: 1\n\n");
    assert_eq!(error.unwrap(), "the model failed in the middle of its answer");
}

#[test]
fn what_the_model_says_in_the_middle_is_for_its_caller_and_no_log() {
    let told = Failure::Function(MODEL_ERROR.to_owned()).in_the_answer();
    assert!(told.to_caller().contains("too many tokens"));
    assert_eq!(told.to_string(), "the model failed in the middle of its answer");
}

#[tokio::test]
async fn not_hearing_of_the_task_does_not_harm_its_stream() {
    let mut called = Called::on(Route::ChatCompletions);
    called.says("data: 1");
    let mut body = called.begun().await.unwrap();
    called.ends(Err(ComputeError::Unavailable { reason: "gone".to_owned(), retry_after: None }));
    body.frame().await.unwrap().unwrap();
    let later = async {
        tokio::time::sleep(SHORT_GRACE * 2).await;
        called.says("data: 2");
        called.is_done();
    };
    let (rest, ()) = tokio::join!(read(body), later);
    assert_eq!(rest, ("data: 2\n\ndata: [DONE]\n\n".to_owned(), None));
}

#[tokio::test]
async fn a_reader_who_sleeps_is_told_so() {
    let mut called = Called::on(Route::ChatCompletions);
    called.says("data: 1");
    let body = called.begun().await.unwrap();
    let line = format!("data: {}", "x".repeat(140_000));
    while called.posts(PostKind::Data, json!({"data": line})).is_ok() {}
    let (text, error) = read(body).await;
    assert_eq!(text, "data: 1\n\n");
    assert!(error.unwrap().starts_with("more than 8 MiB of this stream waited"));
    assert_eq!(called.hub.open_streams(), 0);
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_nothing_behind() {
    let mut called = Called::on(Route::ChatCompletions);
    called.says("data: 1");
    let body = called.begun().await.unwrap();
    drop(body);
    assert_eq!(called.hub.open_streams(), 0);
    assert_eq!(called.posts(PostKind::Done, json!({})), Err(PostRefusal::NoStream));
    let result = called.result.take().unwrap();
    assert!(result.is_closed(), "nobody waits for the task any more");
}
