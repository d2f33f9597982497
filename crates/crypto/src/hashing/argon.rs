//! argon2 (RFC 9106) with memory that is used again.

use std::hint::black_box;

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt},
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use sso_core::{
    ports::{HashError, Random},
    values::PasswordHash,
};

/// Bytes of a salt (RFC 9106, 3.1).
pub(super) const SALT_BYTES: usize = 16;
/// Bytes of a new hash.
pub(super) const OUTPUT_BYTES: usize = 32;

/// 1 MiB: too big to share a page of the allocator with others.
const REMINDER_BLOCKS: usize = 1024;

/// Most memory of a hash, in KiB.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ITERATIONS: u32 = 10;
const MAX_LANES: u32 = 4;

/// The parameters of new argon2id hashes. The default is the first choice of OWASP's
/// Password Storage Cheat Sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Params {
    /// Memory in KiB (`m`): at least 8 for each lane, at most 262,144 (256 MiB).
    pub memory_kib: u32,
    /// Passes over the memory (`t`): 1 to 10.
    pub iterations: u32,
    /// Lanes (`p`): 1 to 4. They are computed one after another.
    pub lanes: u32,
}

impl Default for Argon2Params {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            lanes: 1,
        }
    }
}

impl Argon2Params {
    /// argon2id of these parameters, if they are within the bounds.
    pub(super) fn argon2id(self) -> Result<Argon2<'static>, &'static str> {
        let params = Params::new(
            self.memory_kib,
            self.iterations,
            self.lanes,
            Some(OUTPUT_BYTES),
        )
        .map_err(|_| "argon2 parameters that the algorithm does not allow")?;
        within_bounds(&params)?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// Bounds on what a stored hash can make us do: one row must not stop the service.
pub(super) fn within_bounds(params: &Params) -> Result<(), &'static str> {
    if params.m_cost() > MAX_MEMORY_KIB {
        return Err("argon2 memory above 256 MiB");
    }
    if params.t_cost() > MAX_ITERATIONS {
        return Err("argon2 iterations above 10");
    }
    if params.p_cost() > MAX_LANES {
        return Err("argon2 lanes above 4");
    }
    Ok(())
}

/// The memory of one thread. It saves a quarter of a hash's time not to fetch and clear 19 MiB
/// from the kernel for each.
#[derive(Default)]
pub(super) struct Memory {
    blocks: Vec<Block>,
    /// Memory was given to the allocator and maybe not yet to the kernel.
    freed: bool,
}

impl Memory {
    /// Nothing is held, here or by the allocator.
    pub(super) const fn is_settled(&self) -> bool {
        self.blocks.capacity() == 0 && !self.freed
    }

    /// Gives the memory back, in two steps, each after some idle time: first to the allocator,
    /// then by the allocator to the kernel. An allocator keeps what was freed for a while (mimalloc
    /// for a second) and looks at its clock only when it is called: so it is called once more, with
    /// something too big to share a page. Nothing of it is touched.
    pub(super) fn settle(&mut self) {
        if self.blocks.capacity() > 0 {
            self.blocks = Vec::new();
            self.freed = true;
        } else {
            drop(black_box(Vec::<Block>::with_capacity(REMINDER_BLOCKS)));
            self.freed = false;
        }
    }

    /// This thread has freed memory of its own beside this.
    pub(super) const fn note_freed(&mut self) {
        self.freed = true;
    }

    #[cfg(test)]
    pub(super) const fn is_empty(&self) -> bool {
        self.blocks.capacity() == 0
    }

    fn blocks(&mut self, count: usize) -> Result<&mut [Block], HashError> {
        if self.blocks.len() < count {
            self.blocks
                .try_reserve_exact(count - self.blocks.len())
                .map_err(|_| HashError::Unreadable("no memory for an argon2 hash"))?;
            self.blocks.resize(count, Block::new());
        }
        Ok(&mut self.blocks[..count])
    }
}

/// The raw hash of `password`.
fn compute(
    argon2: &Argon2<'_>,
    memory: &mut Memory,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
) -> Result<(), HashError> {
    let blocks = memory.blocks(argon2.params().block_count())?;
    argon2
        .hash_password_into_with_memory(password, salt, output, blocks)
        .map_err(|_| HashError::Unreadable("argon2 refused its input"))
}

/// A new hash under a new salt, as a PHC string.
pub(super) fn hash(
    argon2: &Argon2<'_>,
    memory: &mut Memory,
    password: &[u8],
    random: &dyn Random,
) -> Result<PasswordHash, HashError> {
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt);
    let mut output = [0; OUTPUT_BYTES];
    compute(argon2, memory, password, &salt, &mut output)?;
    let unwritable = |_| HashError::Unreadable("argon2 hash that cannot be written");
    let phc = Phc {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(argon2.params())
            .map_err(|_| HashError::Unreadable("argon2 parameters that cannot be written"))?,
        salt: Some(Salt::new(&salt).map_err(unwritable)?),
        hash: Some(Output::new(&output).map_err(unwritable)?),
    };
    Ok(PasswordHash::new(phc.to_string()))
}

/// Whether `password` has this hash, in constant time.
pub(super) fn verify(
    argon2: &Argon2<'_>,
    memory: &mut Memory,
    password: &[u8],
    salt: &[u8],
    expected: &[u8],
) -> Result<bool, HashError> {
    let mut buffer = [0; Output::MAX_LENGTH];
    let output = buffer
        .get_mut(..expected.len())
        .ok_or(HashError::Unreadable("argon2 hash that is too long"))?;
    compute(argon2, memory, password, salt, output)?;
    Ok(verify_slices_are_equal(output, expected).is_ok())
}

/// As much work as one verification, for a user who does not exist.
pub(super) fn pretend(
    argon2: &Argon2<'_>,
    memory: &mut Memory,
    password: &[u8],
) -> Result<(), HashError> {
    let mut output = [0; OUTPUT_BYTES];
    compute(argon2, memory, password, &[0; SALT_BYTES], &mut output)?;
    black_box(output);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_to_the_allocator_first_and_by_it_to_the_kernel_later() {
        let mut memory = Memory::default();
        assert!(memory.is_settled());
        memory.blocks(8).unwrap();
        assert!(!memory.is_empty());
        memory.settle();
        assert!(memory.is_empty() && !memory.is_settled());
        memory.settle();
        assert!(memory.is_settled());
    }

    #[test]
    fn memory_grows_to_what_is_asked_and_stays() {
        let mut memory = Memory::default();
        assert_eq!(memory.blocks(8).unwrap().len(), 8);
        assert_eq!(memory.blocks(16).unwrap().len(), 16);
        assert_eq!(memory.blocks(8).unwrap().len(), 8);
        assert_eq!(memory.blocks.len(), 16);
    }
}
