//! The PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>): who is behind a proxy that does
//! not speak HTTP.
//!
//! Only from a trusted proxy, which must send it; strict, because what follows is somebody's
//! request.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Begins a header of version 2, section 2.2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest header of version 1 with its line break, section 2.1.
const MAX_LINE: usize = 107;
/// Longest addresses and TLVs of version 2 that are read; the protocol would allow 64 KiB.
const MAX_PAYLOAD: u16 = 2048;

/// The header is missing, cut off, or none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("no PROXY header: {0}")]
    Broken(&'static str),
    #[error("no PROXY header")]
    Io(#[from] io::Error),
}

/// Reads the header and not a byte more. `None`: the proxy speaks for itself (a health check), or
/// for somebody who has no address.
pub(super) async fn read<S>(stream: &mut S) -> Result<Option<IpAddr>, ProxyError>
where
    S: AsyncBufRead + Unpin,
{
    // Both versions are longer than that.
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return read_binary(stream).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(ProxyError::Broken("neither version 1 nor version 2"));
    }
    let mut line = start.to_vec();
    let rest = (MAX_LINE - line.len()) as u64;
    stream.take(rest).read_until(b'\n', &mut line).await?;
    parse_line(&line)
}

async fn read_binary<S>(stream: &mut S) -> Result<Option<IpAddr>, ProxyError>
where
    S: AsyncBufRead + Unpin,
{
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [command, family, length @ ..] = head;
    let length = u16::from_be_bytes(length);
    if length > MAX_PAYLOAD {
        return Err(ProxyError::Broken("longer than 2 KiB"));
    }
    let mut payload = vec![0; usize::from(length)];
    stream.read_exact(&mut payload).await?;
    parse_binary(command, family, &payload)
}

/// Section 2.2. What follows the addresses (TLVs) is skipped.
fn parse_binary(command: u8, family: u8, payload: &[u8]) -> Result<Option<IpAddr>, ProxyError> {
    match command {
        // LOCAL: the receiver "must discard the protocol block including the family".
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(ProxyError::Broken("another version or command")),
    }
    // Source and destination address, then their ports.
    match family {
        0x11 => Ok(Some(source(payload, 12, Ipv4Addr::from)?)),
        0x21 => Ok(Some(source(payload, 36, Ipv6Addr::from)?)),
        // UNSPEC, and Unix sockets: nobody with an address.
        0x00 | 0x31 => Ok(None),
        _ => Err(ProxyError::Broken("not of a stream")),
    }
}

fn source<const N: usize, A: Into<IpAddr>>(
    payload: &[u8],
    whole: usize,
    address: impl FnOnce([u8; N]) -> A,
) -> Result<IpAddr, ProxyError> {
    match payload.first_chunk() {
        Some(bytes) if payload.len() >= whole => Ok(address(*bytes).into().to_canonical()),
        _ => Err(ProxyError::Broken("addresses cut off")),
    }
}

/// Section 2.1: `PROXY TCP4 source destination port port`, one space between each.
fn parse_line(line: &[u8]) -> Result<Option<IpAddr>, ProxyError> {
    let text = line
        .strip_suffix(b"\r\n")
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or(ProxyError::Broken("a line without end, or not text"))?;
    let mut words = text.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // Whatever else stands there is to be ignored.
        return Ok(None);
    }
    let words: Vec<&str> = words.collect();
    let [source, destination, from, to] = words[..] else {
        return Err(ProxyError::Broken("not two addresses and two ports"));
    };
    let parse = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            _ => None,
        }
    };
    match (parse(source), parse(destination)) {
        (Some(source), Some(_)) if is_port(from) && is_port(to) => Ok(Some(source.to_canonical())),
        _ => Err(ProxyError::Broken("not two addresses and two ports")),
    }
}

/// Decimal, without sign or leading zeros.
fn is_port(text: &str) -> bool {
    text.parse::<u16>()
        .is_ok_and(|port| port.to_string() == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The address, and what is left to read.
    async fn parse(bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
        let mut rest = bytes;
        read(&mut rest).await.ok().map(|address| (address, rest))
    }

    fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, payload].concat()
    }

    fn v4() -> Vec<u8> {
        [&[192, 0, 2, 1, 10, 0, 0, 1][..], &[1, 2, 3, 4]].concat()
    }

    #[tokio::test]
    async fn a_line_of_version_1_names_the_client() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443", Some("192.0.2.1")),
            ("PROXY TCP6 2001:db8::1 ::1 0 65535", Some("2001:db8::1")),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2", Some("192.0.2.1")),
            ("PROXY UNKNOWN", None),
            ("PROXY UNKNOWN what ever", None),
        ] {
            let bytes = format!("{line}\r\nGET /");
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(
                parse(bytes.as_bytes()).await,
                Some((expected, &b"GET /"[..])),
                "{line}"
            );
        }
    }

    #[tokio::test]
    async fn a_line_that_is_not_exactly_so_is_refused() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY \r\n aaaaaaa",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 \r\n",
            "PROXY TCP4 192.0.2.1  10.0.0.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 04711 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 +4711 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n",
            "PROXY TCP4 2001:db8::1 ::1 4711 443\r\n",
            "PROXY TCP6 192.0.2.1 10.0.0.1 4711 443\r\n",
            "PROXY UDP4 192.0.2.1 10.0.0.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.999 10.0.0.1 4711 443\r\n",
            "proxy TCP4 192.0.2.1 10.0.0.1 4711 443\r\n",
            "PROXY UNKNOWN",
            "PROXY",
            "",
        ] {
            assert_eq!(parse(line.as_bytes()).await, None, "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE));
        assert_eq!(parse(long.as_bytes()).await, None);
    }

    #[tokio::test]
    async fn version_2_names_the_client_and_its_tlvs_are_skipped() {
        let v6 = [&Ipv6Addr::LOCALHOST.octets()[..], &[0; 20]].concat();
        for (bytes, expected) in [
            (binary(0x21, 0x11, &v4()), Some("192.0.2.1")),
            (
                binary(0x21, 0x11, &[v4(), vec![4, 0, 1, 9]].concat()),
                Some("192.0.2.1"),
            ),
            (binary(0x21, 0x21, &v6), Some("::1")),
            (binary(0x20, 0x11, &v4()), None),
            (binary(0x20, 0x00, &[]), None),
            (binary(0x21, 0x00, &[]), None),
            (binary(0x21, 0x31, &[0; 216]), None),
        ] {
            let bytes = [&bytes[..], b"GET /"].concat();
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(parse(&bytes).await, Some((expected, &b"GET /"[..])));
        }
    }

    #[tokio::test]
    async fn version_2_that_is_cut_too_long_or_of_no_stream_is_refused() {
        for bytes in [
            binary(0x21, 0x11, &v4()[..11]),
            binary(0x21, 0x21, &v4()),
            binary(0x22, 0x11, &v4()),
            binary(0x11, 0x11, &v4()),
            binary(0x21, 0x12, &v4()),
            binary(0x21, 0x41, &v4()),
            binary(0x21, 0x11, &vec![0; usize::from(MAX_PAYLOAD) + 1]),
            binary(0x21, 0x11, &v4())[..20].to_vec(),
            SIGNATURE.to_vec(),
        ] {
            assert_eq!(parse(&bytes).await, None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_the_parser_ends_and_takes_no_byte_of_what_follows(
            start in prop_oneof![
                Just(Vec::new()),
                Just(SIGNATURE.to_vec()),
                Just(b"PROXY TCP4 ".to_vec()),
                Just(b"PROXY UNKNOWN".to_vec()),
            ],
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, rest].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Some((_, left)) = runtime.block_on(parse(&bytes)) {
                let taken = bytes.len() - left.len();
                let header = &bytes[..taken];
                prop_assert!(header.starts_with(&SIGNATURE) || header.ends_with(b"\r\n"));
                // What it took is the whole header: any shorter, and it would wait for more.
                prop_assert!(runtime.block_on(parse(&bytes[..taken - 1])).is_none());
            }
        }

        #[test]
        fn every_address_survives_either_version(address: IpAddr) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let expected = address.to_canonical();
            let (line, bytes) = match address {
                IpAddr::V4(v4) => (
                    format!("PROXY TCP4 {v4} 127.0.0.1 1 2\r\n"),
                    binary(0x21, 0x11, &[&v4.octets()[..], &[0; 8]].concat()),
                ),
                IpAddr::V6(v6) => (
                    format!("PROXY TCP6 {v6} ::1 1 2\r\n"),
                    binary(0x21, 0x21, &[&v6.octets()[..], &[0; 20]].concat()),
                ),
            };
            for header in [line.as_bytes(), &bytes] {
                let parsed = runtime.block_on(parse(header));
                prop_assert_eq!(parsed, Some((Some(expected), &b""[..])));
            }
        }
    }
}
