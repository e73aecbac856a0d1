//! No-op trials, end to end: submitted, leased, run by a worker process, reported and recorded.

use std::time::Instant;

use permafrost::coordinator::api::{Submit, Submitted, SubmittedTrial};
use serde_json::json;

use super::{
    Result,
    session::{Look, POLL, Session, Worker, folder, noop},
};

const FRACTIONS: [f64; 3] = [0.01, 0.1, 1.0];

/// Seconds from the submission to the commit of the last result.
///
/// # Errors
/// Also when the database does not hold what should be in it.
pub async fn run(trials: usize, steps: u64) -> Result<f64> {
    let home = folder()?;
    let session = Session::start(home.path()).await?;
    let worker = Worker::start(home.path())?;
    let mut look = Look::open(home.path()).await?;
    while look.number("SELECT count(*) FROM workers").await? == 0 {
        tokio::time::sleep(POLL).await;
    }
    let plan = plan(trials, steps);

    let start = Instant::now();
    let submitted: Submitted = session.client.post("/v1/submit", &plan).await?;
    // The index on `state` answers this without a look at the rows.
    while look.number("SELECT EXISTS (SELECT 1 FROM trials WHERE state IN ('waiting', 'ready', 'running'))").await? == 1
    {
        tokio::time::sleep(POLL).await;
    }
    let seconds = start.elapsed().as_secs_f64();

    session.end().await?;
    drop(worker);
    if submitted.new != trials {
        return Err(format!("{} trials were new", submitted.new).into());
    }
    look.expect("SELECT count(*) FROM trials WHERE state = 'done' AND attempts = 1", trials).await?;
    look.expect("SELECT count(*) FROM attempts WHERE state = 'done' AND ended IS NOT NULL", trials).await?;
    look.expect("SELECT count(*) FROM results", trials).await?;
    look.expect("SELECT count(*) FROM sweep_trials", trials).await?;
    look.expect("SELECT count(*) FROM metrics", trials * steps as usize).await?;
    look.expect_sound().await?;
    Ok(seconds)
}

fn plan(trials: usize, steps: u64) -> Submit {
    let trials = (0..trials).map(|index| SubmittedTrial {
        stage: "noop".to_owned(),
        parameters: json!({"learning_rate": 1e-6 * index as f64, "fraction": FRACTIONS[index % 3]}),
        task: noop(index, steps),
    });
    Submit {
        name: "benchmark".to_owned(),
        source: String::new(),
        digest: "benchmark".to_owned(),
        report: json!([]),
        tags: vec![],
        trials: trials.collect(),
        retry: vec![],
    }
}
