//! What brokers are configured with.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// The id of every cluster: they are told apart by their ports.
pub(super) const CLUSTER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

/// Users of the listeners with TLS. `alice` may do everything, `mallory` nothing.
pub(super) const USERS: [(&str, &str); 2] =
    [("alice", "alice-secret"), ("mallory", "mallory-secret")];

/// One node: broker and controller.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: u32,
    pub(super) folder: PathBuf,
    /// In clear, everybody may do everything.
    pub(super) port: u16,
    controller: u16,
    pub(super) secure: Option<Secure>,
    /// `1@127.0.0.1:9093,..`
    voters: String,
    nodes: usize,
}

/// The listeners with TLS.
#[derive(Debug, Clone)]
pub(super) struct Secure {
    /// With SASL.
    pub(super) port: u16,
    /// For whoever shows a certificate of the authority.
    pub(super) certified: u16,
    /// Has `broker.pem` and `ca.pem`.
    pub(super) folder: PathBuf,
}

impl Node {
    /// The only one.
    pub(super) fn alone(folder: &Path, [port, controller]: [u16; 2]) -> Self {
        Self {
            id: 1,
            folder: folder.join("node1"),
            port,
            controller,
            secure: None,
            voters: format!("1@127.0.0.1:{controller}"),
            nodes: 1,
        }
    }

    /// The nodes of a cluster: for each its port, its controller's and the two with TLS.
    pub(super) fn cluster(folder: &Path, ports: &[[u16; 4]], is_secure: bool) -> Vec<Self> {
        let voter = |(at, ports): (usize, &[u16; 4])| format!("{}@127.0.0.1:{}", at + 1, ports[1]);
        let voters: Vec<_> = ports.iter().enumerate().map(voter).collect();
        (1..)
            .zip(ports)
            .map(|(id, [port, controller, secure, certified])| Self {
                id,
                folder: folder.join(format!("node{id}")),
                port: *port,
                controller: *controller,
                secure: is_secure.then(|| Secure {
                    port: *secure,
                    certified: *certified,
                    folder: folder.to_owned(),
                }),
                voters: voters.join(","),
                nodes: ports.len(),
            })
            .collect()
    }

    /// `server.properties`. Sessions are short, so that the loss of a broker is soon noticed.
    pub(super) fn properties(&self) -> String {
        let Self {
            id,
            port,
            controller,
            voters,
            nodes,
            ..
        } = self;
        let in_sync = if *nodes == 1 { 1 } else { 2 };
        let (mut listener, mut protocol) = (String::new(), String::new());
        if let Some(secure) = &self.secure {
            listener = format!(
                ",SECURE://127.0.0.1:{},CERTIFIED://127.0.0.1:{}",
                secure.port, secure.certified
            );
            ",SECURE:SASL_SSL,CERTIFIED:SSL".clone_into(&mut protocol);
        }
        let mut text = format!(
            "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listener}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{listener}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocol}
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}
num.partitions=3
default.replication.factor={nodes}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={nodes}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={nodes}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=3
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=250
replica.lag.time.max.ms=5000
controller.quorum.election.timeout.ms=500
controller.quorum.election.backoff.max.ms=250
controller.quorum.fetch.timeout.ms=1000
controlled.shutdown.enable=false
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:alice;User:CN=alice
",
            folder = self.folder.display(),
        );
        if let Some(with) = &self.secure {
            secure(&mut text, &with.folder);
        }
        text
    }
}

fn secure(text: &mut String, folder: &Path) {
    let modules = "org.apache.kafka.common.security";
    let mut plain = String::new();
    for (user, password) in USERS {
        // Writing to a string does not fail.
        let _ = write!(plain, " user_{user}=\"{password}\"");
    }
    let of = |mechanism: &str, module: &str, options: &str| {
        format!(
            "listener.name.secure.{mechanism}.sasl.jaas.config={modules}.{module} required{options};\n"
        )
    };
    let folder = folder.display();
    let _ = write!(
        text,
        "ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
listener.name.certified.ssl.client.auth=required
listener.name.certified.ssl.truststore.type=PEM
listener.name.certified.ssl.truststore.location={folder}/ca.pem
"
    );
    text.push_str("sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN,OAUTHBEARER\n");
    text.push_str(&of("scram-sha-256", "scram.ScramLoginModule", ""));
    text.push_str(&of("scram-sha-512", "scram.ScramLoginModule", ""));
    text.push_str(&of("plain", "plain.PlainLoginModule", &plain));
    // Tokens without a signature: this is about the client.
    let claim = " unsecuredLoginStringClaim_sub=\"broker\"";
    text.push_str(&of(
        "oauthbearer",
        "oauthbearer.OAuthBearerLoginModule",
        claim,
    ));
}

/// `meta.properties` of a node's folder.
pub(super) fn meta(node: u32) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    #[expect(clippy::disallowed_methods, reason = "one for each folder")]
    let id = Uuid::new_v4();
    // It must not begin with a hyphen.
    let directory = format!("A{}", &URL_SAFE_NO_PAD.encode(id.as_bytes())[1..]);
    format!("version=1\ncluster.id={CLUSTER}\nnode.id={node}\ndirectory.id={directory}\n")
}
