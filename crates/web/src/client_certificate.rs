/// An extension of requests over mutual TLS: the names in the client's certificate, which is
/// verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject alternative names; its common name where it has none.
    pub names: Vec<String>,
}
