//! For services that ask who is calling: access tokens validated in process.
