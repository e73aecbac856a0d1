//! Kernels with AMX: 32 x 32 sums in four tile registers.
//!
//! The intrinsics are not stable in Rust yet, so the instructions stand here as assembly. The compiler never uses tile registers
//! itself, so what one block leaves in them the next one finds.

use std::{
    arch::{asm, x86_64::__cpuid_count},
    sync::OnceLock,
};

use super::{
    How, Matrix, Precision,
    blocked::{self, Kernel, Lines},
    tiles::Words,
};

/// Whether the processor has AMX with `bf16` and the system lets this process use it.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        const TILE: u32 = 1 << 24;
        const BF16: u32 = 1 << 22;
        let features = __cpuid_count(7, 0).edx;
        features & TILE != 0 && features & BF16 != 0 && permitted()
    })
}

/// Asks Linux for the state of the tile registers, for the threads of this process.
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: this call changes nothing but the permission; an older kernel answers with an error.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

pub(super) fn product(out: &mut [f32], stride: usize, a: Matrix<'_>, b: Matrix<'_>, how: How) {
    // SAFETY: this engine is chosen only where `available` says that the processor can do it; AMX with `bf16` comes with AVX-512.
    unsafe {
        match how.precision {
            Precision::F32 => blocked::product(Split, out, stride, a, b, how),
            Precision::Bf16 => blocked::product(Bf16, out, stride, a, b, how),
        }
    }
}

/// Packs `b` for [`product_packed`].
pub(super) fn pack(b: Matrix<'_>, precision: Precision) -> Lines {
    let mut lines = Lines::default();
    // SAFETY: as above.
    unsafe {
        match precision {
            Precision::F32 => blocked::pack_right(Split, b, &mut lines, 1),
            Precision::Bf16 => blocked::pack_right(Bf16, b, &mut lines, 1),
        };
    }
    lines
}

/// [`product`] with what [`pack`] made of a matrix of `columns` columns.
pub(super) fn product_packed(out: &mut [f32], stride: usize, a: Matrix<'_>, b: &Lines, columns: usize, how: How) {
    // SAFETY: as above.
    unsafe {
        match how.precision {
            Precision::F32 => blocked::product_packed(Split, out, stride, a, b.all(), columns, how),
            Precision::Bf16 => blocked::product_packed(Bf16, out, stride, a, b.all(), columns, how),
        }
    }
}

/// Products of `bf16` pairs.
#[derive(Clone, Copy)]
struct Bf16;

/// Products of numbers in three parts.
#[derive(Clone, Copy)]
struct Split;

/// Shapes of the eight tile registers: 16 rows of 64 bytes each.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIG: Config = Config {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

fn enter() {
    // SAFETY: an engine with AMX was detected, and the configuration is a valid one.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIG, options(nostack, preserves_flags)) };
}

fn leave() {
    // SAFETY: an engine with AMX was detected. Without live tiles a switch of threads costs nothing.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags)) };
}

/// # Safety
/// `c` has 32 rows of 32 columns.
unsafe fn load(c: *const f32, stride: usize, add: bool) {
    // SAFETY: the caller's.
    unsafe {
        if add {
            asm!(
                "tileloadd tmm0, [{top} + {stride}]",
                "tileloadd tmm1, [{top} + {stride} + 64]",
                "tileloadd tmm2, [{bottom} + {stride}]",
                "tileloadd tmm3, [{bottom} + {stride} + 64]",
                top = in(reg) c, bottom = in(reg) c.add(16 * stride), stride = in(reg) 4 * stride,
                options(nostack, preserves_flags, readonly),
            );
        } else {
            asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, preserves_flags));
        }
    }
}

/// # Safety
/// `c` has 32 rows of 32 columns.
unsafe fn store(c: *mut f32, stride: usize) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "tilestored [{top} + {stride}], tmm0",
            "tilestored [{top} + {stride} + 64], tmm1",
            "tilestored [{bottom} + {stride}], tmm2",
            "tilestored [{bottom} + {stride} + 64], tmm3",
            top = in(reg) c, bottom = in(reg) c.add(16 * stride), stride = in(reg) 4 * stride,
            options(nostack, preserves_flags),
        );
    }
}

impl Kernel for Bf16 {
    const LEFT: usize = 2;
    const RIGHT: usize = 2;
    const STEPS: usize = 24;

    fn words(self) -> Words {
        Words::Bf16
    }

    fn enter(self) {
        enter();
    }

    fn leave(self) {
        leave();
    }

    unsafe fn block(self, steps: usize, a: *const u32, b: *const u32, c: *mut f32, stride: usize, add: bool) {
        // SAFETY: the caller's: each step has two tiles of 1,024 bytes on either side.
        unsafe {
            load(c, stride, add);
            asm!(
                "2:",
                "tileloadd tmm4, [{a} + {line}]",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {line} + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 2048",
                "add {b}, 2048",
                "dec {steps}",
                "jnz 2b",
                a = inout(reg) a => _, b = inout(reg) b => _, steps = inout(reg) steps => _, line = in(reg) 64_usize,
                options(nostack, readonly),
            );
            store(c, stride);
        }
    }
}

impl Kernel for Split {
    const LEFT: usize = 2;
    const RIGHT: usize = 2;
    const STEPS: usize = 10;

    fn words(self) -> Words {
        Words::Split
    }

    fn enter(self) {
        enter();
    }

    fn leave(self) {
        leave();
    }

    unsafe fn block(self, steps: usize, a: *const u32, b: *const u32, c: *mut f32, stride: usize, add: bool) {
        // SAFETY: the caller's: each step has three planes of two tiles on either side. Small products come first.
        unsafe {
            load(c, stride, add);
            asm!(
                "2:",
                // Third part on the left with the first on the right.
                "tileloadd tmm4, [{a} + {line} + 4096]",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {line} + 5120]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                // Second with first.
                "tileloadd tmm4, [{a} + {line} + 2048]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {line} + 3072]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                // Second with second.
                "tileloadd tmm6, [{b} + {line} + 2048]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 3072]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                // First with second.
                "tileloadd tmm4, [{a} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a} + {line} + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                // First with third.
                "tileloadd tmm6, [{b} + {line} + 4096]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 5120]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                // First with first.
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 6144",
                "add {b}, 6144",
                "dec {steps}",
                "jnz 2b",
                a = inout(reg) a => _, b = inout(reg) b => _, steps = inout(reg) steps => _, line = in(reg) 64_usize,
                options(nostack, readonly),
            );
            store(c, stride);
        }
    }
}
