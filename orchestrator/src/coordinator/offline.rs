//! A user's command when no coordinator runs: the same scheduler, for a moment.

use std::path::Path;

use super::{
    api::{Control, Controlled},
    effects::changes,
    home::Home,
    server::CoordinatorError,
    submit,
};
use crate::{
    core::{Core, Limits},
    store::{DATABASE, Store, StoreError},
};

/// Carries out `command` on the database of `home`.
///
/// # Errors
/// [`CoordinatorError`], also when a coordinator has started meanwhile.
pub async fn control(home: &Path, command: Control) -> Result<Controlled, CoordinatorError> {
    let database = home.join(DATABASE);
    if !database.exists() {
        return Err(StoreError::Missing(database).into());
    }
    let home = Home::claim(home)?;
    let mut store = Store::open(&home.root().join(DATABASE)).await?;
    let (mut core, restored) = Core::restore(Limits::default(), 0, store.restore())?;
    let (event, kind) = submit::control(command);
    let effects = core.handle(0, event)?;
    let mut all = changes(&restored, &[], "its coordinator ended before it");
    all.extend(changes(&effects, &[], ""));
    let changed = submit::changed(&effects);
    all.push(submit::told(kind, &changed));
    store.apply(all).await?;
    store.close().await?;
    Ok(Controlled { changed })
}
