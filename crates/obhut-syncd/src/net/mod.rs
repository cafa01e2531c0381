//! The network: certificates, TLS, greetings, connections.
