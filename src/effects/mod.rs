//! L2, hands: one file per outside thing. Never makes a decision.

pub mod artifacts;
mod buckets;
pub mod bus;
pub mod children;
pub mod clock;
pub mod disk;
pub mod draft;
pub mod journal;
pub mod keyring;
pub mod machine;
pub mod perils;
pub mod socket;
pub mod sources;
pub mod store;
pub mod tensorboard;

pub use perils::{Peril, pass};

/// One provider of TLS for the process: two would not agree.
fn install_tls() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // Fails where one is installed already: that one will do.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
}
