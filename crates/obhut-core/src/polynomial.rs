//! Polynomials over GF(2) for the chunker (formats: restic 12).
//!
//! A repository's polynomial is secret and chosen once, at `init`: random, of degree 53, irreducible.
//! Nothing here is fast; it runs once a process.

use std::fmt;

use crate::error::{Error, Result};
use crate::world::Random;

/// The degree of every repository's polynomial.
pub const DEGREE: u32 = 53;

/// A polynomial over GF(2), bit i = coefficient of x^i.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Polynomial(pub u64);

/// A repository's polynomial is a secret: it does not appear in debug texts.
impl fmt::Debug for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polynomial").finish_non_exhaustive()
    }
}

impl Polynomial {
    /// A random irreducible polynomial of degree 53.
    pub fn random(random: &dyn Random) -> Result<Self> {
        // About one in 27 of the candidates is irreducible; running out of tries means broken randomness.
        for _ in 0..10_000 {
            let mut bytes = [0; 8];
            random.fill(&mut bytes)?;
            let low = u64::from_le_bytes(bytes) & ((1 << (DEGREE + 1)) - 1);
            let candidate = Self(low | 1 << DEGREE | 1);
            if candidate.is_irreducible() {
                return Ok(candidate);
            }
        }
        Err(Error::internal(
            "no irreducible polynomial in 10000 random ones",
        ))
    }

    /// Parses 1 to 16 hex digits without prefix, as the config has them.
    pub fn parse(hex: &str) -> Option<Self> {
        let digits = (1..=16).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u64::from_str_radix(hex, 16).ok().map(Self))?
    }

    /// Lower-case hex without padding, as the config has it.
    pub fn hex(self) -> String {
        format!("{:x}", self.0)
    }

    /// The degree; `None` for the zero polynomial.
    pub fn degree(self) -> Option<u32> {
        self.0.checked_ilog2()
    }

    /// Whether it is irreducible (Ben-Or): f of degree n is iff gcd(x^(2^i) - x mod f, f) = 1 for all
    /// i in 1..=n/2.
    pub fn is_irreducible(self) -> bool {
        let Some(degree @ 1..) = self.degree() else {
            return false;
        };
        let x = remainder(2, self.0);
        let mut power = x;
        for _ in 0..degree / 2 {
            power = multiply(power, power, self.0);
            if gcd(self.0, power ^ x) != 1 {
                return false;
            }
        }
        true
    }

    /// The remainder of `self` divided by `divisor`, which is not zero.
    pub(crate) fn modulo(self, divisor: Self) -> Self {
        Self(remainder(self.0, divisor.0))
    }
}

/// The remainder of `a` divided by `b`, which is not zero.
fn remainder(mut a: u64, b: u64) -> u64 {
    let degree = b.ilog2();
    while let Some(top) = a.checked_ilog2() {
        if top < degree {
            break;
        }
        a ^= b << (top - degree);
    }
    a
}

/// `a * b mod f` for a and b of lower degree than f, which has at most 63.
fn multiply(mut a: u64, mut b: u64, f: u64) -> u64 {
    let degree = f.ilog2();
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        b >>= 1;
        // `a` has a lower degree than `f`; doubling it may reach the degree, in bit 63 at most.
        a <<= 1;
        if a >> degree & 1 == 1 {
            a ^= f;
        }
    }
    product
}

/// The greatest common divisor.
fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, remainder(a, b));
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::tests::LastByte;
    use crate::world::SystemRandom;

    /// Trial division by every polynomial of at most half the degree.
    fn irreducible_by_division(f: u64) -> bool {
        let Some(degree @ 1..) = f.checked_ilog2() else {
            return false;
        };
        (2..1u64 << (degree / 2 + 1)).all(|divisor| remainder(f, divisor) != 0)
    }

    #[test]
    fn agrees_with_trial_division() {
        for f in 0..4096 {
            assert_eq!(
                Polynomial(f).is_irreducible(),
                irreducible_by_division(f),
                "{f:#x}"
            );
        }
    }

    #[test]
    fn knows_restics_polynomials() {
        for good in [0x3D_A335_8B4D_C173, 0x24_9971_770A_B0FF] {
            assert!(Polynomial(good).is_irreducible());
            assert_eq!(Polynomial(good).degree(), Some(DEGREE));
        }
        // Divisible by x, by x + 1, and a square.
        for bad in [0x3D_A335_8B4D_C172, 0x3D_A335_8B4D_C170, 0b101, 0, 1] {
            assert!(!Polynomial(bad).is_irreducible());
        }
    }

    #[test]
    fn counts_of_irreducible_polynomials() {
        // Gauss: the number of irreducible polynomials of degree n over GF(2).
        for (degree, count) in [(1, 2), (2, 1), (3, 2), (4, 3), (8, 30), (12, 335)] {
            let all = (1u64 << degree)..(2 << degree);
            assert_eq!(
                all.filter(|f| Polynomial(*f).is_irreducible()).count(),
                count
            );
        }
    }

    #[test]
    fn random_ones_fit_and_differ() {
        let one = Polynomial::random(&SystemRandom).expect("found");
        let two = Polynomial::random(&SystemRandom).expect("found");
        assert_eq!((one.degree(), two.degree()), (Some(DEGREE), Some(DEGREE)));
        assert!(one.is_irreducible() && two.is_irreducible());
        assert_ne!(one, two);
    }

    #[test]
    fn broken_randomness_ends() {
        assert!(!Polynomial(1 << DEGREE | 1).is_irreducible());
        assert!(Polynomial::random(&LastByte(0)).is_err());
    }

    #[test]
    fn parses_only_hex() {
        for bad in ["", "+1", "0x3d", " 1", "g", "3da3358b4dc1733da", "1 "] {
            assert_eq!(Polynomial::parse(bad), None, "{bad}");
        }
        assert_eq!(
            Polynomial::parse("3DA3358b4dc173"),
            Some(Polynomial(0x3D_A335_8B4D_C173))
        );
    }

    #[test]
    fn stays_secret() {
        assert!(!format!("{:?}", Polynomial(0xabc_def)).contains("abcdef"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn products_are_reducible(a in 2..1u64 << 27, b in 2..1u64 << 27) {
            // The carry-less product, without a modulus.
            let product = (0..27).filter(|i| b >> i & 1 == 1).fold(0, |sum, i| sum ^ a << i);
            prop_assert!(!Polynomial(product).is_irreducible());
            prop_assert_eq!(remainder(product, a), 0);
            prop_assert_eq!(gcd(product, a), a);
        }

        #[test]
        fn hex_round_trip(bits: u64) {
            prop_assert_eq!(Polynomial::parse(&Polynomial(bits).hex()), Some(Polynomial(bits)));
        }

        #[test]
        fn multiplication_is_bilinear(a in 0..1u64 << 53, b in 0..1u64 << 53, c in 0..1u64 << 53) {
            let f = 0x3D_A335_8B4D_C173;
            prop_assert_eq!(multiply(a, b, f) ^ multiply(a, c, f), multiply(a, b ^ c, f));
            prop_assert_eq!(multiply(a, b, f), multiply(b, a, f));
        }
    }
}
