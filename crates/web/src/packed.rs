//! Bodies that the binary holds packed: a third of its size for files that few ask for.

use std::io::Read;

use axum::{
    http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY},
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::read::GzDecoder;

/// An answer of a body that is packed with gzip: as it is for a client that takes gzip (RFC 9110,
/// section 12.5.3), else unpacked. `packed` is ours: it is not bounded when it is unpacked.
pub fn gzip(asked: &HeaderMap, packed: Bytes) -> std::io::Result<Response> {
    let mut response = if takes_gzip(asked) {
        let encoding = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        (encoding, packed).into_response()
    } else {
        let mut plain = Vec::with_capacity(4 * packed.len());
        GzDecoder::new(&*packed).read_to_end(&mut plain)?;
        plain.into_response()
    };
    let vary = HeaderValue::from_static("accept-encoding");
    response.headers_mut().insert(VARY, vary);
    Ok(response)
}

/// Whether a client takes gzip: it says so of it, or of all that it does not name.
pub(crate) fn takes_gzip(asked: &HeaderMap) -> bool {
    let lists = asked.get_all(ACCEPT_ENCODING).iter();
    let codings = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    let (mut gzip, mut others) = (None, false);
    for coding in codings {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches(['q', 'Q', '=', ' ']);
        // No weight is 1; what is no number is not taken as a yes.
        let wanted = weight.is_empty() || weight.parse::<f32>().is_ok_and(|weight| weight > 0.0);
        match name.trim() {
            "*" => others = wanted,
            // One coding of two names (RFC 9110, section 8.4.1.3).
            name if ["gzip", "x-gzip"]
                .iter()
                .any(|gzip| name.eq_ignore_ascii_case(gzip)) =>
            {
                gzip = Some(wanted);
            }
            _ => {}
        }
    }
    gzip.unwrap_or(others)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::body::to_bytes;
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    async fn answered(accept: Option<&str>) -> (bool, Vec<u8>) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"page").unwrap();
        let packed = Bytes::from(encoder.finish().unwrap());
        let mut asked = HeaderMap::new();
        if let Some(accept) = accept {
            asked.insert(ACCEPT_ENCODING, accept.parse().unwrap());
        }
        let response = gzip(&asked, packed.clone()).unwrap();
        assert_eq!(response.headers()[VARY], "accept-encoding");
        let is_packed = response.headers().contains_key(CONTENT_ENCODING);
        let body = to_bytes(response.into_body(), 1024).await.unwrap();
        if is_packed {
            assert_eq!(body, packed);
        }
        (is_packed, body.to_vec())
    }

    #[tokio::test]
    async fn who_takes_gzip_gets_it_and_the_rest_gets_the_page() {
        for accept in [
            "gzip",
            "br, GZIP;q=0.5",
            "deflate, gzip ;q=1",
            "x-gzip",
            "br, *",
        ] {
            assert!(answered(Some(accept)).await.0, "{accept}");
        }
        for accept in [None, Some("gzip;q=0"), Some("br"), Some("gzip;q=x")] {
            let plain = (false, b"page".to_vec());
            assert_eq!(answered(accept).await, plain, "{accept:?}");
        }
    }
}
