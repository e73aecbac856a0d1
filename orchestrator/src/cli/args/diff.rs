//! Arguments of `diff`.

use clap::Args;

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// A trial (the first digits of its identity), or a sweep: NAME or NAME@REVISION
    #[arg(value_name = "A")]
    pub a: String,
    /// Another one of the same sort
    #[arg(value_name = "B")]
    pub b: String,
    /// Sweeps: compare this result of every stage that has it [default: what each stage's trials are compared by]
    #[arg(long, value_name = "RESULT")]
    pub metric: Option<String>,
}
