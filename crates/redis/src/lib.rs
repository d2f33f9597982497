//! Redis, alone or behind Sentinel: the stream that hastens revocation, and counters that all instances share.
