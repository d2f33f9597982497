use async_trait::async_trait;

use super::StoreError;
use crate::{caller::Network, values::Email};

/// Most networks that are remembered of a user: one more forgets the one that has been known
/// longest.
pub const MAX_NETWORKS: u32 = 32;

/// The networks from which users have signed in: opening a session from an address makes its
/// network known.
#[async_trait]
pub trait NetworkReads {
    /// Whether the account of this canonical address has signed in from there. `false` if there is
    /// no such account, and for [`Network::UNKNOWN`]. Costs the same for every account.
    async fn knows_network(&self, email: &Email, network: Network) -> Result<bool, StoreError>;
}
