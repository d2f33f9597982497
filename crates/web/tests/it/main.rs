//! The accept loop over real sockets, and the layers around a router.

#[cfg(test)]
mod layers;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod tls;
