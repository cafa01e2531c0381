//! Polynomials over GF(2) for the chunker (formats: restic 12).

use crate::error::Result;
use crate::world::Random;

/// A polynomial over GF(2), bit i = coefficient of x^i.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polynomial(pub u64);

impl Polynomial {
    /// A random irreducible polynomial of degree 53.
    pub fn random(_random: &dyn Random) -> Result<Self> {
        todo!()
    }
    /// Whether it is irreducible (Ben-Or).
    pub fn is_irreducible(self) -> bool {
        todo!()
    }
}
