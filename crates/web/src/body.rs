//! Request bodies: read to a bound, inflated to the same bound; and the JSON object in one.

mod object;

use std::io::Read;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;

pub use object::{MAX_BODY, Object, ObjectError, WrongType, object};

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Longer than the bound, as sent or inflated.
    #[error("the body is too large")]
    TooLarge,
    /// A `Content-Encoding` other than gzip.
    #[error("the Content-Encoding is not supported, send gzip or none")]
    UnsupportedEncoding,
    /// A `Content-Type` that is not read here.
    #[error("the Content-Type is not supported, send application/json")]
    UnsupportedMediaType,
    /// Bytes that are not what the headers say.
    #[error("{0}")]
    Malformed(&'static str),
    /// The client went away, or broke the protocol.
    #[error("the body ended early")]
    Interrupted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    /// So many bytes may be sent for a body of `limit`. What does not pack has a header, and another for
    /// each stored block (RFC 1951, section 3.2.4), of which some encoders make short ones.
    const fn most_sent(self, limit: usize) -> usize {
        match self {
            Self::Identity => limit,
            Self::Gzip => limit + limit / 256 + 256,
        }
    }
}

/// Reads a body of at most `limit` bytes after inflating it. gzip is inflated, concatenated members too
/// (RFC 1952, section 2.2).
pub async fn read(body: Body, headers: &HeaderMap, limit: usize) -> Result<Bytes, BodyError> {
    require_length(headers, limit)?;
    let coding = coding(headers)?;
    let sent = collect(body, coding.most_sent(limit)).await?;
    match coding {
        Coding::Identity => Ok(sent),
        Coding::Gzip => inflate(&sent, limit),
    }
}

/// Refuses a body whose `Content-Length` alone is beyond what `limit` bytes take as they are sent.
pub fn require_length(headers: &HeaderMap, limit: usize) -> Result<(), BodyError> {
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    let most = coding(headers).unwrap_or(Coding::Identity).most_sent(limit);
    match declared.map(str::parse::<u64>) {
        Some(Ok(length)) if length > most as u64 => Err(BodyError::TooLarge),
        // More digits than fit. What is no number never gets here: the protocol refuses it.
        Some(Err(_)) => Err(BodyError::TooLarge),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Whether the body may be JSON: no `Content-Type` at all, or `application/json` without a
/// parameter or with `charset=utf-8`.
pub fn require_json(headers: &HeaderMap) -> Result<(), BodyError> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if is_json(only) => Ok(()),
        (Some(_), _) => Err(BodyError::UnsupportedMediaType),
    }
}

fn is_json(value: &HeaderValue) -> bool {
    let Ok(value) = value.to_str() else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let mut parameters = parts.filter(|parameter| !parameter.is_empty());
    essence.eq_ignore_ascii_case("application/json")
        && parameters.next().is_none_or(is_utf8)
        && parameters.next().is_none()
}

fn is_utf8(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        name.eq_ignore_ascii_case("charset")
            && quoted.unwrap_or(value).eq_ignore_ascii_case("utf-8")
    })
}

/// One coding at most: layers of gzip are how a bomb stays small.
fn coding(headers: &HeaderMap) -> Result<Coding, BodyError> {
    let mut found = Coding::Identity;
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| BodyError::UnsupportedEncoding)?;
        for name in value.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            let gzip = name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip");
            match (gzip, found) {
                (true, Coding::Identity) => found = Coding::Gzip,
                (false, _) if name.eq_ignore_ascii_case("identity") => {}
                _ => return Err(BodyError::UnsupportedEncoding),
            }
        }
    }
    Ok(found)
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Interrupted)?.into_data() else {
            continue;
        };
        let before = first.as_ref().map_or(0, Bytes::len) + whole.len();
        if data.len() > limit - before {
            return Err(BodyError::TooLarge);
        }
        // Most bodies are one frame, which need not be copied.
        if before == 0 {
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

fn inflate(sent: &[u8], limit: usize) -> Result<Bytes, BodyError> {
    let mut inflated = Vec::new();
    // One byte more than allowed is enough to know, however long it would go on.
    let bound = limit as u64 + 1;
    MultiGzDecoder::new(sent)
        .take(bound)
        .read_to_end(&mut inflated)
        .map_err(|_| BodyError::Malformed("the body is not gzip, or ends early"))?;
    if inflated.len() > limit {
        return Err(BodyError::TooLarge);
    }
    Ok(inflated.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::http::HeaderName;
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    async fn read_gzip(bytes: Vec<u8>, limit: usize) -> Result<Bytes, BodyError> {
        read(bytes.into(), &headers(CONTENT_ENCODING, "gzip"), limit).await
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_bound_and_not_beyond() {
        let plain =
            |size: usize| async move { read(vec![b'x'; size].into(), &HeaderMap::new(), 10).await };
        assert_eq!(plain(0).await.unwrap().len(), 0);
        assert_eq!(plain(10).await.unwrap().len(), 10);
        assert_eq!(plain(11).await, Err(BodyError::TooLarge));
        let frames = |count: usize| {
            let stream = futures_util::stream::iter(
                (0..count).map(|_| Ok::<_, std::convert::Infallible>("abc")),
            );
            Body::from_stream(stream)
        };
        let none = HeaderMap::new();
        assert_eq!(read(frames(3), &none, 9).await.unwrap(), "abcabcabc");
        assert_eq!(read(frames(4), &none, 9).await, Err(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn a_declared_length_beyond_the_bound_is_refused_unread() {
        for length in ["11", "18446744073709551616"] {
            let headers = headers(CONTENT_LENGTH, length);
            assert_eq!(
                read(Body::empty(), &headers, 10).await,
                Err(BodyError::TooLarge)
            );
        }
    }

    #[tokio::test]
    async fn gzip_is_inflated_members_and_all() {
        assert_eq!(read_gzip(gzip(b"hello"), 100).await.unwrap(), "hello");
        let two = [gzip(b"hel"), gzip(b"lo")].concat();
        assert_eq!(read_gzip(two, 100).await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn a_bomb_stops_at_the_bound() {
        let bomb = gzip(&vec![0; 50_000_000]);
        assert!(bomb.len() < 65_536);
        assert_eq!(read_gzip(bomb, 65_536).await, Err(BodyError::TooLarge));
        assert_eq!(read_gzip(gzip(&[0; 64]), 64).await.unwrap().len(), 64);
        assert_eq!(
            read_gzip(gzip(&[0; 65]), 64).await,
            Err(BodyError::TooLarge)
        );
    }

    #[tokio::test]
    async fn what_gzip_makes_longer_is_judged_by_what_it_was() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(&vec![b'x'; 65_536]).unwrap();
        let stored = encoder.finish().unwrap();
        assert!(stored.len() > 65_536);
        let length = stored.len().to_string().parse().unwrap();
        let mut headers = headers(CONTENT_ENCODING, "gzip");
        headers.insert(CONTENT_LENGTH, length);
        let read = read(stored.into(), &headers, 65_536).await;
        assert_eq!(read.unwrap().len(), 65_536);
    }

    #[tokio::test]
    async fn what_is_not_gzip_is_malformed() {
        let mut cut = gzip(b"hello");
        cut.truncate(cut.len() - 3);
        let mut damaged = gzip(b"hello");
        let crc = damaged.len() - 8;
        damaged[crc] ^= 1;
        let tail = [gzip(b"hello"), b"tail".to_vec()].concat();
        for bad in [cut, damaged, tail, Vec::new(), b"{}".to_vec()] {
            assert!(matches!(
                read_gzip(bad, 100).await,
                Err(BodyError::Malformed(_))
            ));
        }
    }

    #[tokio::test]
    async fn no_encoding_or_one_gzip_is_known() {
        let sent = |encoding: &'static str, bytes: Vec<u8>| async move {
            read(bytes.into(), &headers(CONTENT_ENCODING, encoding), 100).await
        };
        for plain in ["", "identity"] {
            let bytes = sent(plain, b"hello".to_vec()).await;
            assert_eq!(bytes.unwrap(), "hello", "{plain}");
        }
        for packed in ["gzip", "GZip", "x-gzip", "identity, gzip"] {
            let bytes = sent(packed, gzip(b"hello")).await;
            assert_eq!(bytes.unwrap(), "hello", "{packed}");
        }
        for bad in ["br", "deflate", "zstd", "gzip, gzip", "gzip, br", "gzipp"] {
            let refused = sent(bad, gzip(b"hello")).await;
            assert_eq!(refused, Err(BodyError::UnsupportedEncoding), "{bad}");
        }
    }

    #[test]
    fn json_is_no_content_type_or_json_in_utf8() {
        assert!(require_json(&HeaderMap::new()).is_ok());
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json;",
        ] {
            assert!(require_json(&headers(CONTENT_TYPE, good)).is_ok(), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "text/json",
            "application/jsonx",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8; a=b",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
        ] {
            assert!(require_json(&headers(CONTENT_TYPE, bad)).is_err(), "{bad}");
        }
    }
}
