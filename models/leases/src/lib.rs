//! A model of the leases by which every instance obeys a revocation, explored exhaustively.
