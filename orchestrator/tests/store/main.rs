//! The store keeps its promises on real files: full disks, damage, late attempts, hostile SQL, views, revisions.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod damage;
mod full;
mod guarded;
mod opening;
mod real_disk;
mod sql;
mod submit;
mod support;
mod views;
mod watching;
