//! Prepare trials of every reader over miniature collections that look like the published ones, over the real label files of
//! RSNA and SIIM-ACR (out of `torchxrayvision-1.5.7-py3-none-any.whl` in the folder that `PERMAFROST_WHEELS` names), and over the
//! real radiographs of `data/covid-cxr` in the folder that `PERMAFROST_SHARED` names. Where those are not there, tests say
//! `skipped: ...`.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod challenges;
mod checks;
mod mimic;
mod real;
mod support;
