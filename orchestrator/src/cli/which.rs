//! What a user named: sweeps and their revisions.

use permafrost_worker::id::TrialId;

use super::{error::CliError, status::sweep_named};
use crate::store::{Reader, StoreError, SweepRow};

/// Revisions that are named in a cure.
const NAMED: usize = 10;

/// Splits `NAME@REVISION`; names of sweeps have no `@`.
///
/// # Errors
/// [`CliError::Usage`] when what follows is not a number.
pub(super) fn split(text: &str) -> Result<(&str, Option<i64>), CliError> {
    let Some((name, revision)) = text.split_once('@') else { return Ok((text, None)) };
    match revision.parse() {
        Ok(revision) => Ok((name, Some(revision))),
        Err(_) => Err(CliError::Usage {
            what: format!("`{revision}` is no revision"),
            cure: format!("revisions are counted from 1: {name}@1"),
        }),
    }
}

/// A trial by the first digits of its identity. `instead` says, for the name of a sweep, what is to be used.
///
/// # Errors
/// [`CliError::NotFound`] when a sweep is called so; [`CliError::Store`] when nothing is, or several trials begin so.
pub(super) async fn trial(
    reader: &Reader,
    digits: &str,
    instead: impl FnOnce(&str) -> String,
) -> Result<TrialId, CliError> {
    let error = match reader.find_trial(digits).await {
        Err(error @ StoreError::NoSuchTrial(_)) => error,
        found => return Ok(found?),
    };
    let name = digits.split_once('@').map_or(digits, |(name, _)| name);
    if name.is_empty() || reader.latest(Some(name)).await?.is_none() {
        return Err(error.into());
    }
    Err(CliError::NotFound { what: format!("`{digits}` is a sweep, and no trial begins so"), cure: instead(name) })
}

/// A sweep by `NAME`, `NAME@REVISION`, or name and revision apart; the latest revision without one, and without a name the sweep launched last.
///
/// # Errors
/// [`CliError::NotFound`] that says what there is.
pub(super) async fn sweep_at(reader: &Reader, name: Option<&str>, revision: Option<i64>) -> Result<SweepRow, CliError> {
    let (name, own) = name.map(split).transpose()?.map_or((None, None), |(name, own)| (Some(name), own));
    if let (Some(own), Some(revision)) = (own, revision)
        && own != revision
    {
        let what = format!("revision {own} and --revision {revision} are not the same");
        return Err(CliError::Usage { what, cure: "name one of them".to_owned() });
    }
    let latest = sweep_named(reader, name).await?;
    let Some(revision) = own.or(revision).filter(|revision| *revision != latest.revision) else { return Ok(latest) };
    let sweeps = reader.sweeps().await?;
    let of_name: Vec<SweepRow> = sweeps.into_iter().filter(|sweep| sweep.name == latest.name).collect();
    let known: Vec<String> = of_name.iter().take(NAMED).map(|sweep| sweep.revision.to_string()).collect();
    of_name.into_iter().find(|sweep| sweep.revision == revision).ok_or_else(|| CliError::NotFound {
        what: format!("sweep `{}` has no revision {revision}", latest.name),
        cure: format!("it has {}", known.join(", ")),
    })
}
