//! One message in both forms of the services' port.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::BufMut;
use futures_util::stream;
use http::{Method, uri::PathAndQuery};
use serde_json::{Map, Value};
use sso_testkit::http::Http;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{Ascii, MetadataKey},
    transport::Channel,
};
use tonic_types::StatusExt;

/// A field: its number, its name, its value, which is a string or a flag.
pub(super) type Field = (u32, &'static str, Value);

/// The port's address in both forms.
pub(super) struct Wire {
    channel: Channel,
    json: Http,
}

/// What a call was answered: `ok`, or the reason of the error.
pub(super) type Answer = String;

impl Wire {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            channel: sso_testkit::persona::channel(address).await?,
            json: Http::new(address),
        })
    }

    /// As gRPC. A streaming rpc is answered when its stream opens.
    pub(super) async fn grpc(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        message: &[Field],
    ) -> Result<Answer> {
        let message = encode(message);
        let mut request = Request::new(stream::iter([message]));
        for (name, value) in headers {
            let name = MetadataKey::<Ascii>::from_static(name);
            request.metadata_mut().insert(name, value.parse()?);
        }
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await?;
        let path: PathAndQuery = path.parse()?;
        let answer = client.streaming(request, path, Raw).await;
        let first = match answer {
            Ok(answer) => answer.into_inner().message().await.map(drop),
            Err(status) => Err(status),
        };
        Ok(first.map_or_else(|status| reason(&status), |()| "ok".to_owned()))
    }

    /// As JSON.
    pub(super) async fn json(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        message: &[Field],
    ) -> Result<Answer> {
        let body: Map<_, _> = message
            .iter()
            .map(|(_, name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
        let body = Value::Object(body).to_string();
        let reply = self.json.send(Method::POST, path, &all, body).await?;
        if reply.status == 200 {
            return Ok("ok".to_owned());
        }
        let body = reply.json();
        let details = body["details"].as_array().context("no details")?;
        let reason = details.iter().find_map(|detail| detail["reason"].as_str());
        Ok(reason.context("no reason")?.to_owned())
    }
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map_or_else(|| format!("{:?}", status.code()), |info| info.reason)
}

/// Strings and flags are all that these messages have.
fn encode(message: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, _, value) in message {
        match value {
            Value::Bool(flag) => prost::encoding::bool::encode(*number, flag, &mut bytes),
            text => {
                let text = text.as_str().unwrap_or_default().to_owned();
                prost::encoding::string::encode(*number, &text, &mut bytes);
            }
        }
    }
    bytes
}

/// Messages as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        use bytes::Buf;
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}
