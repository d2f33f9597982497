//! HAProxy before two instances of `sso`.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::{daemon::Daemon, ports::Port, sandbox::Room};

/// HTTP and gRPC of two instances on one port each; it ends when this is dropped.
#[derive(Debug)]
pub struct Balancer {
    /// Where it takes HTTP.
    pub http: Port,
    /// Where it takes gRPC: HTTP/2 in clear.
    pub grpc: Port,
    _daemon: Daemon,
}

/// Where an instance listens.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    /// Its HTTP API, which also says whether it is ready.
    pub http: SocketAddr,
    /// Its gRPC port.
    pub grpc: SocketAddr,
}

impl Balancer {
    /// Calls go to whichever instance is ready, asked four times a second; the calls of one gRPC
    /// connection to both. On these ports, in this room.
    pub fn start(room: &Room, (http, grpc): (Port, Port), backends: &[Backend; 2]) -> Result<Self> {
        let [one, two] = backends;
        let text = format!(
            "global
    noreuseport
defaults
    mode http
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout check 1s
    option redispatch
frontend http
    bind {}
    option forwardfor
    default_backend https
backend https
    balance leastconn
    option httpchk GET /auth/ready
    default-server check inter 250ms fall 1 rise 1
    server sso1 {}
    server sso2 {}
frontend grpc
    bind {}
    default_backend grpcs
backend grpcs
    balance roundrobin
    option httpchk GET /auth/ready
    default-server check inter 250ms fall 1 rise 1 proto h2 check-proto h1
    server sso1 {} addr {} port {}
    server sso2 {} addr {} port {}
",
            http.address(),
            one.http,
            two.http,
            grpc.address(),
            one.grpc,
            one.http.ip(),
            one.http.port(),
            two.grpc,
            two.http.ip(),
            two.http.port(),
        );
        let folder = room.subfolder("balancer")?;
        let file = room.write("balancer/haproxy.cfg", &text)?;
        let mut command = room.command("haproxy", &folder);
        command.arg("-db").arg("-f").arg(file);
        let log = room.folder().join("balancer.log");
        let daemon = Daemon::start("the balancer", command, &log).context("haproxy")?;
        Ok(Self {
            http,
            grpc,
            _daemon: daemon,
        })
    }
}
