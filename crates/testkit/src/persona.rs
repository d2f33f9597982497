//! People who use a server: `let alice = Persona::register(&server.http, "alice").await?`.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::json;
use tonic::transport::Channel;

use crate::http::{Http, Reply};

/// Package `auth`, compiled as a client of somebody else would be.
pub mod auth {
    #![allow(
        missing_docs,
        unused_qualifications,
        clippy::all,
        clippy::pedantic,
        reason = "generated"
    )]
    tonic::include_proto!("auth");
}

/// Package `sso.v1`, compiled as a client of somebody else would be.
pub mod v1 {
    #![allow(
        missing_docs,
        unused_qualifications,
        clippy::all,
        clippy::pedantic,
        reason = "generated"
    )]
    tonic::include_proto!("sso.v1");
}

/// A gRPC client of `auth.Auth`.
pub type Grpc = auth::auth_client::AuthClient<Channel>;

/// Connects to the gRPC port at `address`, in clear.
pub async fn connect(address: SocketAddr) -> Result<Grpc> {
    Ok(Grpc::new(channel(address).await?))
}

/// A connection to the gRPC port at `address`, in clear.
pub async fn channel(address: SocketAddr) -> Result<Channel> {
    Ok(Channel::from_shared(format!("http://{address}"))?
        .connect()
        .await?)
}

/// A registered user with the tokens that he was given last.
#[derive(Debug, Clone)]
pub struct Persona {
    http: Http,
    /// His address.
    pub email: String,
    /// His password.
    pub password: String,
    /// His id.
    pub id: String,
    /// The newest access token.
    pub access: String,
    /// The newest refresh token.
    pub refresh: String,
}

impl Persona {
    /// Registers `name`@example.com.
    pub async fn register(http: &Http, name: &str) -> Result<Self> {
        let email = format!("{name}@example.com");
        let password = format!("the secret of {name}");
        let body = json!({ "email": email, "password": password });
        let reply = http.post("/auth/registration", &body).await?;
        ensure!(
            reply.status == StatusCode::CREATED,
            "{name} is not registered: {reply:?}"
        );
        Self::of(http, name, &reply)
    }

    /// Who was registered as [`Self::register`] does it, by the answer.
    pub fn of(http: &Http, name: &str, reply: &Reply) -> Result<Self> {
        let mut persona = Self {
            http: http.clone(),
            email: format!("{name}@example.com"),
            password: format!("the secret of {name}"),
            id: String::new(),
            access: String::new(),
            refresh: String::new(),
        };
        persona.keep(reply)?;
        Ok(persona)
    }

    /// The same person at another client.
    #[must_use]
    pub fn at(&self, http: &Http) -> Self {
        Self {
            http: http.clone(),
            ..self.clone()
        }
    }

    /// Logs in and keeps the tokens of the new session.
    pub async fn login(&mut self) -> Result<Reply> {
        let reply = self.try_login(&self.password).await?;
        if reply.status == StatusCode::OK {
            self.keep(&reply)?;
        }
        Ok(reply)
    }

    /// Tries to log in with this password.
    pub async fn try_login(&self, password: &str) -> Result<Reply> {
        let body = json!({ "email": self.email, "password": password });
        self.http.post("/auth/login", &body).await
    }

    /// Refreshes and keeps the tokens.
    pub async fn refresh(&mut self) -> Result<Reply> {
        let reply = self.use_refresh_token(&self.refresh).await?;
        if reply.status == StatusCode::OK {
            self.keep(&reply)?;
        }
        Ok(reply)
    }

    /// Uses a refresh token and keeps nothing.
    pub async fn use_refresh_token(&self, token: &str) -> Result<Reply> {
        self.http
            .post("/auth/refresh", &json!({ "token": token }))
            .await
    }

    /// Logs out by this token.
    pub async fn logout(&self, token: &str, everywhere: bool) -> Result<Reply> {
        let body = json!({ "token": token, "everywhere": everywhere });
        self.http.post("/auth/logout", &body).await
    }

    /// Asks who he is, with the newest access token.
    pub async fn info(&self) -> Result<Reply> {
        self.http.get("/auth/info", Some(&self.access)).await
    }

    /// Asks for his sessions, with the newest access token.
    pub async fn sessions(&self) -> Result<Reply> {
        self.http.get("/auth/sessions", Some(&self.access)).await
    }

    /// Changes his password and keeps the tokens.
    pub async fn change_password(&mut self, new: &str) -> Result<Reply> {
        let body = json!({ "current_password": self.password, "new_password": new }).to_string();
        let path = "/auth/password";
        let reply = self
            .http
            .bearer(Method::POST, path, Some(&self.access), &body)
            .await?;
        if reply.status == StatusCode::OK {
            self.keep(&reply)?;
            new.clone_into(&mut self.password);
        }
        Ok(reply)
    }

    fn keep(&mut self, reply: &Reply) -> Result<()> {
        let body = reply.json();
        let member = |name: &str| {
            body[name]
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("no {name}"))
        };
        self.id = member("user_id")?;
        self.access = member("access_token")?;
        self.refresh = member("refresh_token")?;
        Ok(())
    }
}
