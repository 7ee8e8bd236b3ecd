//! What is answered to a request: a pure look at method, path and `Accept`, and the picture behind it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use standfast_model::request::View;
use tokio::sync::oneshot;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, version 0.0.4.
    Prometheus,
    /// OpenMetrics text, version 1.0.0.
    OpenMetrics,
}

impl Format {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }

    fn accepted(headers: &HeaderMap) -> Self {
        let mut accepted = headers.get_all(ACCEPT).iter();
        let open = accepted.any(|value| {
            let text = value.to_str().unwrap_or_default();
            text.contains("application/openmetrics-text")
        });
        if open {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }
}

/// A question for the picture, with the way back. Dropped, whoever asked is told to try again.
#[derive(Debug)]
pub struct Asked(pub(crate) oneshot::Sender<View>);

impl Asked {
    /// Answers. Whoever asked may be gone.
    pub fn answer(self, view: View) {
        drop(self.0.send(view));
    }
}

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Metrics(Format),
    Nothing(StatusCode),
}

pub(crate) fn wanted<B>(request: &Request<B>) -> Wanted {
    if request.uri().path() != "/metrics" {
        Wanted::Nothing(StatusCode::NOT_FOUND)
    } else if matches!(*request.method(), Method::GET | Method::HEAD) {
        Wanted::Metrics(Format::accepted(request.headers()))
    } else {
        Wanted::Nothing(StatusCode::METHOD_NOT_ALLOWED)
    }
}

pub(crate) fn metrics(format: Format, text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, format.content_type());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let text = match status {
        StatusCode::NOT_FOUND => "there is /metrics here, and nothing else\n",
        StatusCode::METHOD_NOT_ALLOWED => "GET and HEAD only\n",
        _ => "the agent did not answer in time; try again\n",
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
