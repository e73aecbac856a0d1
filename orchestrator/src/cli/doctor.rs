//! `permafrost doctor`.

mod needs;

use std::{fs, io, path::Path, process::Command};

use permafrost_worker::{datasets::fetch, device::Device, monitor};
use serde::Serialize;

use super::{
    args::{Doctor, Global},
    connect, devices,
    error::CliError,
    ui,
};
use crate::{
    store::{DATABASE, Reader, SqlValue, StoreError},
    sweep::{self, room},
};

/// With less free space than this, in bytes, not even a database and logs can be written.
const LEAST_SPACE: u64 = 16 << 20;
/// What to do about it.
const NO_ROOM: &str = "free space there, or name a --home on another disk";
/// Less free space than this is worth a warning.
const LITTLE_SPACE: u64 = 2 << 30;
/// The oldest Python that current packages run on.
const PYTHON: (u32, u32) = (3, 8);

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Note,
    Bad,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    state: State,
    found: String,
    cure: Option<String>,
}

impl Check {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), cure: None }
    }

    fn note(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, state: State::Note, found: found.into(), cure: Some(cure.into()) }
    }

    fn bad(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, state: State::Bad, found: found.into(), cure: Some(cure.into()) }
    }
}

/// Checks machine, home folder, and what a sweep needs.
pub(super) async fn run(global: &Global, args: &Doctor) -> Result<(), CliError> {
    // A sweep file that is wrong is told before anything else.
    let plan = args.file.as_deref().map(sweep::load).transpose()?;
    let mut checks = vec![processor(), cards(), home(&global.home)];
    checks.push(database(&global.home).await);
    checks.push(coordinator(&global.home).await);
    checks.extend(devices(&global.home).await);
    match &plan {
        Some(plan) => checks.extend(needs::checks(global, args, plan).await?),
        None => checks.extend([space(&global.home, 0), python()]),
    }
    if global.json {
        ui::json(&checks)?;
    } else {
        for check in &checks {
            let mark = match check.state {
                State::Ok => "ok  ",
                State::Note => "note",
                State::Bad => "BAD ",
            };
            ui::out(format_args!("{mark}  {:<12} {}", check.check, check.found))?;
            if let Some(cure) = &check.cure {
                ui::out(format_args!("      {:<12} hint: {cure}", ""))?;
            }
        }
    }
    match checks.iter().filter(|check| check.state == State::Bad).count() {
        0 => Ok(()),
        bad => Err(CliError::Unhealthy(bad)),
    }
}

fn processor() -> Check {
    let info = match Device::open("cpu", None) {
        Ok(device) => device.info(),
        Err(error) => return Check::bad("processor", error.to_string(), "use another machine"),
    };
    let memory = ui::bytes(info.memory_bytes);
    Check::ok("processor", format!("{}, {} threads, {memory} of memory", info.model, info.threads))
}

fn cards() -> Check {
    match monitor::cards() {
        Ok(cards) if !cards.is_empty() => {
            let names: Vec<String> =
                cards.iter().map(|card| format!("{} ({})", card.model, ui::bytes(card.memory_bytes))).collect();
            let found = format!("{}, driver {}", names.join(", "), cards[0].driver);
            match cfg!(feature = "cuda") {
                true => Check::ok("gpu", found),
                false => Check::note(
                    "gpu",
                    found,
                    "this program was built without CUDA: build with `--features cuda` to use it",
                ),
            }
        }
        Ok(_) => Check::ok("gpu", "none: the driver is there and lists no card; the processor is used"),
        Err(error) => match std::env::var_os(monitor::LIBRARY) {
            Some(path) => {
                let cure = format!(
                    "{} names the driver's library libnvidia-ml; unset it, or name the right file",
                    monitor::LIBRARY
                );
                Check::bad("gpu", format!("{} cannot be used: {error}", Path::new(&path).display()), cure)
            }
            None => Check::ok("gpu", "none: no NVIDIA driver; the processor is used"),
        },
    }
}

fn home(home: &Path) -> Check {
    let existing = room::existing(home);
    let cure = "name a folder that you may write to with --home";
    if !existing.is_dir() {
        return Check::bad("home", format!("{} is not a folder", existing.display()), cure);
    }
    match try_to_write(existing) {
        Ok(()) if home.exists() => Check::ok("home", format!("{} can be written", home.display())),
        Ok(()) => Check::ok("home", format!("{} will be made", home.display())),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            Check::bad("home", format!("{} cannot be written: {error}", existing.display()), NO_ROOM)
        }
        Err(error) => Check::bad("home", format!("{} cannot be written: {error}", existing.display()), cure),
    }
}

/// Makes a folder with a file in it, and removes both: permissions alone do not tell what a file system allows.
fn try_to_write(folder: &Path) -> io::Result<()> {
    let own = folder.join(format!(".permafrost-doctor-{}", std::process::id()));
    fs::create_dir(&own)?;
    let file = own.join("file");
    let written = fs::write(&file, "permafrost");
    fs::remove_file(&file).ok();
    fs::remove_dir(&own)?;
    written
}

/// Whether there is room for `needed` bytes.
fn space(home: &Path, needed: u64) -> Check {
    let Ok(free) = room::free_bytes(home) else {
        return Check::note("disk", "free space is not known", "look yourself");
    };
    let found = match needed {
        0 => format!("{} free", ui::bytes(free)),
        needed => format!("{} free, the sweep needs about {}", ui::bytes(free), ui::bytes(needed)),
    };
    match () {
        () if free < needed.max(LEAST_SPACE) => Check::bad("disk", found, NO_ROOM),
        () if free < needed.saturating_add(LITTLE_SPACE) => Check::note("disk", found, NO_ROOM),
        () => Check::ok("disk", found),
    }
}

/// Python and pip, which fetch packages.
fn python() -> Check {
    let python = std::env::var_os(fetch::PYTHON).unwrap_or_else(|| "python3".into());
    let name = python.to_string_lossy().into_owned();
    let cure = "install python3 with pip, or name one in PERMAFROST_PYTHON, or use --wheel-dir";
    let ask = |arguments: &[&str]| {
        let output = Command::new(&python).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(version) = ask(&["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]) else {
        return Check::note("python", format!("`{name}` cannot be run"), cure);
    };
    let number = version.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    if number.is_none_or(|number: (u32, u32)| number < PYTHON) {
        return Check::note("python", format!("`{name}` is Python {version}"), cure);
    }
    match ask(&["-m", "pip", "--version"]) {
        Some(pip) => {
            let pip = pip.split_whitespace().nth(1).unwrap_or("?").to_owned();
            Check::ok("python", format!("`{name}` is Python {version} with pip {pip}"))
        }
        None => Check::note("python", format!("`{name}` (Python {version}) has no pip"), cure),
    }
}

async fn database(home: &Path) -> Check {
    let path = home.join(DATABASE);
    let reader = match Reader::open(&path).await {
        Ok(reader) => reader,
        Err(StoreError::Missing(_)) => return Check::ok("database", "none yet"),
        Err(error) => return Check::bad("database", error.to_string(), error.cure().unwrap_or_default()),
    };
    let size = fs::metadata(&path).map(|metadata| ui::bytes(metadata.len())).unwrap_or_default();
    let (trials, check) =
        match (first(&reader, "SELECT count(*) FROM trials").await, first(&reader, "PRAGMA quick_check(1)").await) {
            (Ok(trials), Ok(check)) => (trials, check),
            (Err(error), _) | (_, Err(error)) => {
                return Check::bad("database", error.to_string(), error.cure().unwrap_or_default());
            }
        };
    let found = format!("{} ({size}), {trials} trials, quick check: {check}", path.display());
    match check.as_str() {
        "ok" => Check::ok("database", found),
        _ => Check::bad("database", found, "restore a copy of it; `sqlite3 FILE .recover` saves what can be read"),
    }
}

/// The first value of the first row.
async fn first(reader: &Reader, sql: &str) -> Result<String, StoreError> {
    let result = reader.query(sql).await?;
    Ok(match result.rows.into_iter().next().and_then(|row| row.into_iter().next()) {
        Some(SqlValue::Integer(number)) => number.to_string(),
        Some(SqlValue::Text(text)) => text,
        _ => String::new(),
    })
}

/// What is wrong with the devices that are sampled now.
async fn devices(home: &Path) -> Vec<Check> {
    // Whether the database can be used is another check.
    let Ok(reader) = Reader::open(&home.join(DATABASE)).await else { return Vec::new() };
    let Ok(devices) = devices::now(&reader).await else { return Vec::new() };
    let warnings = devices.advice.into_iter().filter(|advice| advice.warning);
    let note = |advice: crate::monitor::advice::Advice| {
        let found = format!("{} on {}: {}", advice.name, advice.host, advice.text);
        Check::note("devices", found, advice.cure.unwrap_or_else(|| "`permafrost status` has more".to_owned()))
    };
    let notes: Vec<Check> = warnings.map(note).collect();
    match devices.states.len() {
        0 => Vec::new(),
        count if notes.is_empty() => {
            vec![Check::ok("devices", format!("{} sampled, nothing to be said", ui::counted(count, "device")))]
        }
        _ => notes,
    }
}

async fn coordinator(home: &Path) -> Check {
    match connect::running(home).await {
        Ok(Some(client)) => {
            let endpoint = client.endpoint();
            Check::ok("coordinator", format!("process {} at {}", endpoint.pid, endpoint.address))
        }
        Ok(None) => Check::ok("coordinator", "none runs; `launch` starts one"),
        Err(error) => Check::bad("coordinator", error.to_string(), error.cure().unwrap_or_default()),
    }
}
