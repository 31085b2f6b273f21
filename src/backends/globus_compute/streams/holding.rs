//! Posts that other instances got for streams of this process.

use uuid::Uuid;

use super::{
    End, PostRefusal, StreamHub,
    post::Post,
    question::{self, Question, Verdict, Word},
    seal::{Label, Sort},
};

impl StreamHub {
    /// Does what a question of another instance asks for, and returns the answer to it. `None` when
    /// it is not for this process, or was not made by an instance with the same secret.
    pub(super) fn answer(&self, label: &Label, message: &[u8]) -> Option<Vec<u8>> {
        if label.sort != Sort::Question || label.holder != self.inner.me {
            return None;
        }
        let Some(content) = self.inner.seal.open(label, message) else {
            metrics::counter!("figw_streaming_forged_total").increment(1);
            tracing::debug!(asker = %label.asker, "a message about a stream has another secret");
            return None;
        };
        let key = (label.asker, label.number);
        // It is asked again when the answer did not arrive: nothing may be taken twice.
        let code = self.inner.answered.get(&key).unwrap_or_else(|| {
            let code = question::code(self.judge(label, &content));
            self.inner.answered.insert(key, code);
            code
        });
        self.inner.seal.close(&Label { sort: Sort::Answer, ..*label }, &[&[code]])
    }

    fn judge(&self, label: &Label, content: &[u8]) -> Verdict {
        let question = Question::read(content).ok_or(PostRefusal::InvalidJson)?;
        let post = Post::read(question.word.kind(), question.body)?;
        let stream = self.find(post.task, question.token).ok_or(PostRefusal::NoStream)?;
        if !stream.hear(label.asker, label.number) {
            return Err(PostRefusal::NoStream);
        }
        match question.word {
            Word::Post(kind) => super::give(&stream, kind, &post),
            Word::Lost if stream.end(End::Lost) => {
                tracing::warn!(stream = %post.task, "another instance could not pass a post on");
                Ok(())
            }
            Word::Lost => Err(PostRefusal::NoStream),
        }
    }
}

/// The body of a question that needs none but the stream's name.
pub(super) fn naming(task: Uuid) -> Vec<u8> {
    format!(r#"{{"task_id":"{task}"}}"#).into_bytes()
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;
    use crate::backends::globus_compute::streams::{
        Inbox, Piece, PostKind, StreamTicket, instance::Instance,
    };

    fn hub(secret: &str) -> StreamHub {
        StreamHub::new(&secret.into(), &"http://127.0.0.1:8000".parse().unwrap()).unwrap()
    }

    /// A stream and an instance that passes posts on to it.
    struct Scene {
        hub: StreamHub,
        asker: Instance,
        ticket: StreamTicket,
        inbox: Inbox,
    }

    impl Scene {
        fn new() -> Self {
            let hub = hub("secret");
            let (ticket, inbox) = hub.open().unwrap();
            Self { hub, asker: Instance::new(), ticket, inbox }
        }

        fn label(&self, number: u64) -> Label {
            let (asker, holder) = (self.asker, self.hub.inner.me);
            Label { sort: Sort::Question, asker, holder, number }
        }

        fn question(&self, number: u64, word: Word) -> Vec<u8> {
            let body = json!({"task_id": self.ticket.task, "data": format!("data: {number}")});
            let body = body.to_string().into_bytes();
            let token = self.ticket.token.expose_secret().as_bytes();
            let head = Question { word, token, body: &body }.head().unwrap();
            self.hub.inner.seal.close(&self.label(number), &[&head, token, &body]).unwrap()
        }

        fn ask(&self, number: u64, message: &[u8]) -> Option<Verdict> {
            let answer = self.hub.answer(&self.label(number), message)?;
            let label = Label { sort: Sort::Answer, ..self.label(number) };
            question::opened(&self.hub.inner.seal, &label, &answer)
        }

        fn read(&mut self) -> Option<Piece> {
            match self.inbox.poll_piece(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(piece) => Some(piece),
                Poll::Pending => None,
            }
        }
    }

    const DATA: Word = Word::Post(PostKind::Data);
    const REFUSED: Option<Verdict> = Some(Err(PostRefusal::NoStream));

    #[test]
    fn a_question_that_is_asked_again_is_answered_again_and_taken_once() {
        let mut scene = Scene::new();
        let message = scene.question(1, DATA);
        assert_eq!(scene.ask(1, &message), Some(Ok(())));
        assert_eq!(scene.ask(1, &message), Some(Ok(())));
        assert_eq!(scene.read(), Some(Piece::Events("data: 1\n\n".into())));
        assert_eq!(scene.read(), None);
    }

    #[test]
    fn what_was_recorded_cannot_be_played_again() {
        let mut scene = Scene::new();
        let [first, second] = [1, 2].map(|number| scene.question(number, DATA));
        assert_eq!(scene.ask(1, &first), Some(Ok(())));
        assert_eq!(scene.ask(2, &second), Some(Ok(())));
        // Long afterwards, when its answer is not remembered any more.
        scene.hub.inner.answered.invalidate_all();
        assert_eq!((scene.ask(1, &first), scene.ask(2, &second)), (REFUSED, REFUSED));
        assert!(scene.read().is_some() && scene.read().is_some());
        assert_eq!(scene.read(), None);
        assert_eq!(scene.ask(3, &second), None, "its number is part of it");
    }

    #[test]
    fn another_secret_or_another_holder_is_not_answered() {
        let (scene, other) = (Scene::new(), hub("another"));
        let message = scene.question(1, DATA);
        assert_eq!(other.answer(&scene.label(1), &message), None);
        let label = Label { holder: other.inner.me, ..scene.label(1) };
        assert_eq!(other.answer(&label, &message), None);
        let answer = Label { sort: Sort::Answer, ..scene.label(1) };
        assert_eq!(scene.hub.answer(&answer, &message), None);
    }

    #[test]
    fn a_gap_ends_the_stream_and_what_comes_late_is_refused() {
        let mut scene = Scene::new();
        assert_eq!(scene.ask(5, &scene.question(5, DATA)), Some(Ok(())));
        assert_eq!(scene.ask(7, &scene.question(7, Word::Lost)), Some(Ok(())));
        assert_eq!(scene.ask(6, &scene.question(6, DATA)), REFUSED);
        assert_eq!(scene.ask(8, &scene.question(8, DATA)), REFUSED);
        assert!(scene.read().is_some());
        assert_eq!(scene.read(), Some(Piece::End(End::Lost)));
    }
}
