//! `sso.v1.Keys`: each method parses, calls one use case, converts.

use sso_core::{
    Failure, Sso,
    usecases::keys::{self, Ended, Start, parse_id, parse_use},
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    call::Call,
    convert::key,
    proto::v1::{
        ListKeysRequest, ListKeysResponse, RetireKeyRequest, RetireKeyResponse, RotateKeysRequest,
        RotateKeysResponse, keys_server::Keys,
    },
};

/// The service.
pub(crate) struct KeysService(pub Sso);

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Keys for KeysService {
    async fn list(&self, request: Request<ListKeysRequest>) -> Answer<ListKeysResponse> {
        let (call, ListKeysRequest {}) = Call::open(request);
        call.end(list(&self.0, &call).await)
    }

    async fn rotate(&self, request: Request<RotateKeysRequest>) -> Answer<RotateKeysResponse> {
        let (call, message) = Call::open(request);
        call.end(rotate(&self.0, &call, &message).await)
    }

    async fn retire(&self, request: Request<RetireKeyRequest>) -> Answer<RetireKeyResponse> {
        let (call, message) = Call::open(request);
        let ended = retire(&self.0, &call, &message).await;
        let ended = call.end(ended)?.into_inner();
        let message = RetireKeyResponse {
            key: Some(key(&ended.key)),
        };
        Ok(Call::revoked(message, ended.reach))
    }
}

async fn list(sso: &Sso, call: &Call) -> Result<ListKeysResponse, Failure> {
    let listed = keys::list(sso, &call.caller()).await?;
    Ok(ListKeysResponse {
        keys: listed.iter().map(key).collect(),
    })
}

async fn rotate(
    sso: &Sso,
    call: &Call,
    message: &RotateKeysRequest,
) -> Result<RotateKeysResponse, Failure> {
    let usages = parse_use(&message.r#use, call.fields())?;
    let start = if message.now {
        Start::AtOnce
    } else {
        Start::Published
    };
    let made = keys::rotate(sso, &call.caller(), &usages, start).await?;
    Ok(RotateKeysResponse {
        keys: made.iter().map(key).collect(),
    })
}

async fn retire(sso: &Sso, call: &Call, message: &RetireKeyRequest) -> Result<Ended, Failure> {
    let kid = parse_id(&message.key_id, call.fields())?;
    Ok(keys::retire(sso, &call.caller(), &kid).await?)
}
