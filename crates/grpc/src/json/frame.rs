//! The gRPC call inside of a JSON call: one message in, one message out, each behind the five bytes
//! of gRPC's "Length-Prefixed-Message".

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method as Verb, Request, Version,
        header::{
            ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT,
            TE, TRANSFER_ENCODING,
        },
        request::Parts,
        uri::Uri,
    },
    response::Response,
};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use prost::Message;
use prost_reflect::DynamicMessage;
use sso_core::Failure;
use sso_web::RequestId;
use tonic::{Code, Status};

use crate::{methods::Method, status};

/// A flag and the length.
const PREFIX: usize = 5;
/// Headers that are about the JSON body, the connection, or gRPC's own framing.
const NOT_METADATA: [HeaderName; 10] = [
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    EXPECT,
    TE,
    TRANSFER_ENCODING,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("grpc-timeout"),
];

/// What a call answered.
pub(super) struct Answer {
    /// Its metadata.
    pub headers: HeaderMap,
    /// Its message.
    pub message: Bytes,
}

/// The gRPC request with the headers and extensions of the JSON request.
pub(super) fn request(
    method: &'static Method,
    mut parts: Parts,
    message: &DynamicMessage,
) -> Result<Request<Body>, Failure> {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).map_err(Failure::internal)?);
    message.encode(&mut framed).map_err(Failure::internal)?;

    parts.method = Verb::POST;
    parts.version = Version::HTTP_2;
    parts.uri = Uri::try_from(&method.path).map_err(Failure::internal)?;
    for name in NOT_METADATA {
        parts.headers.remove(name);
    }
    let grpc = HeaderValue::from_static("application/grpc");
    parts.headers.insert(CONTENT_TYPE, grpc);
    Ok(Request::from_parts(parts, Body::from(framed.freeze())))
}

/// The message of a gRPC answer, or its error, which stands in the head or in the trailers.
pub(super) async fn answer(response: Response, id: &RequestId) -> Result<Answer, Status> {
    let (head, body) = response.into_parts();
    reject(&head.headers, id)?;
    let broken = || status::refuse(&Failure::internal("a service broke its frame"), id);
    let body = body.collect().await.map_err(|_| broken())?;
    if let Some(trailers) = body.trailers() {
        reject(trailers, id)?;
    }
    let bytes = body.to_bytes();
    let message = unframe(&bytes).ok_or_else(broken)?;
    Ok(Answer {
        headers: head.headers,
        message,
    })
}

/// Errors that tonic made get the details that ours have.
fn reject(headers: &HeaderMap, id: &RequestId) -> Result<(), Status> {
    match Status::from_header_map(headers) {
        None => Ok(()),
        Some(status) if status.code() == Code::Ok => Ok(()),
        Some(status) if status.details().is_empty() => Err(status::complete(&status, id.as_str())),
        Some(status) => Err(status),
    }
}

fn unframe(bytes: &Bytes) -> Option<Bytes> {
    let (prefix, message) = bytes.split_first_chunk::<PREFIX>()?;
    let [0, length @ ..] = *prefix else {
        return None;
    };
    let whole = u32::from_be_bytes(length) as usize == message.len();
    whole.then(|| bytes.slice(PREFIX..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_uncompressed_message_is_taken_out_of_its_frame() {
        let unframed = |bytes: &'static [u8]| unframe(&Bytes::from_static(bytes));
        assert_eq!(unframed(&[0, 0, 0, 0, 2, 7, 8]).unwrap(), [7, 8][..]);
        assert_eq!(unframed(&[0, 0, 0, 0, 0]).unwrap(), [][..]);
        for bad in [
            &[0, 0, 0, 0, 2, 7][..],
            &[0, 0, 0, 0, 1, 7, 8],
            &[1, 0, 0, 0, 1, 7],
            &[0, 0, 0],
            &[],
        ] {
            assert_eq!(unframed(bad), None, "{bad:?}");
        }
    }
}
