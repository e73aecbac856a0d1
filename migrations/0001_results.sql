-- The results database of Permafrost. It is an interface: open it with sqlite3, pandas or DuckDB while a sweep runs.
-- Only the coordinator writes. For people there are views at the end: leaderboard, cells, provenance, why_waiting, history.
-- Times are milliseconds since 1970-01-01 UTC. Trials are named by their identity, 64 hexadecimal digits
-- (BLAKE3 of all that determines the result); other tables use the short integer trials.trial.

-- A sweep file that was launched. Launching the same name again with another content makes a new revision.
CREATE TABLE sweeps (
    sweep       INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL,              -- `name:` of the file
    revision    INTEGER NOT NULL,              -- counts from 1 within a name
    source      TEXT    NOT NULL,              -- the file as it was
    digest      TEXT    NOT NULL,              -- BLAKE3 of the resolved plan: trials, stages and report
    report      TEXT    NOT NULL,              -- JSON: `tables`, the `report:` key as resolved, and `stages`
    tags        TEXT    NOT NULL DEFAULT '[]', -- JSON list of texts
    submitted   INTEGER NOT NULL,
    UNIQUE (name, revision)
) STRICT;

-- Every trial ever planned. Equal identity means the same trial: it is run once, whichever sweeps need it.
CREATE TABLE trials (
    trial       INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,       -- identity
    kind        TEXT    NOT NULL,              -- fetch, prepare, embed, pretrain, classify, noop
    task        TEXT    NOT NULL,              -- JSON: what it does, fully resolved
    array_key   TEXT    NOT NULL,              -- trials with equal keys may run as one array
    state       TEXT    NOT NULL CHECK (state IN ('waiting', 'ready', 'running', 'done', 'failed', 'diverged', 'pruned', 'cancelled')),
    attempts    INTEGER NOT NULL DEFAULT 0,    -- the last attempt's number: the fencing token
    not_before  INTEGER,                       -- a retry waits until then
    created     INTEGER NOT NULL,
    ended       INTEGER                        -- when it came to its present end
) STRICT;
CREATE INDEX trials_state ON trials (state);

-- What a trial reads: an edge of the graph.
CREATE TABLE trial_inputs (
    trial       INTEGER NOT NULL REFERENCES trials (trial),
    input       INTEGER NOT NULL REFERENCES trials (trial),
    PRIMARY KEY (trial, input)
) STRICT, WITHOUT ROWID;
CREATE INDEX trial_inputs_input ON trial_inputs (input);

-- Where a trial stands in a sweep. `parameters` are those of the whole lineage, as people write them:
-- a classify trial carries the vision and text encoder of its Adaptor too.
CREATE TABLE sweep_trials (
    sweep       INTEGER NOT NULL REFERENCES sweeps (sweep),
    trial       INTEGER NOT NULL REFERENCES trials (trial),
    stage       TEXT    NOT NULL,
    position    INTEGER NOT NULL,              -- order in the plan
    parameters  TEXT    NOT NULL,              -- JSON object
    reused      INTEGER NOT NULL,              -- 1: it was done before this sweep was submitted
    PRIMARY KEY (sweep, trial, stage)
) STRICT, WITHOUT ROWID;
CREATE INDEX sweep_trials_trial ON sweep_trials (trial);

-- A process that ran trials. One that is started again is another worker.
CREATE TABLE workers (
    worker      INTEGER PRIMARY KEY,
    uuid        TEXT    NOT NULL UNIQUE,
    host        TEXT    NOT NULL,
    pid         INTEGER NOT NULL,
    program     TEXT    NOT NULL,              -- program version
    device      TEXT    NOT NULL,              -- cpu, cuda:0, ...
    model       TEXT    NOT NULL,              -- name of processor or card
    threads     INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    registered  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    ended       INTEGER                        -- NULL: still there
) STRICT;

-- One execution of a trial under a lease. Results are accepted only from the trial's last attempt.
CREATE TABLE attempts (
    trial       INTEGER NOT NULL REFERENCES trials (trial),
    attempt     INTEGER NOT NULL,              -- counts from 1
    worker      INTEGER NOT NULL REFERENCES workers (worker),
    array       TEXT    NOT NULL,              -- attempts with the same array ran together as one
    members     INTEGER NOT NULL,              -- members of that array
    state       TEXT    NOT NULL CHECK (state IN ('running', 'done', 'failed', 'diverged', 'pre-empted', 'lost', 'cancelled')),
    started     INTEGER NOT NULL,
    ended       INTEGER,
    done_units  INTEGER NOT NULL DEFAULT 0,    -- progress: steps or samples done ...
    total_units INTEGER NOT NULL DEFAULT 0,    -- ... of so many; 0: unknown
    resumed_step INTEGER,                      -- the checkpoint it went on from
    class       TEXT,                          -- failed: transient, resources, input, bug
    message     TEXT,                          -- failed, diverged, lost: what happened
    cure        TEXT,                          -- what to do about it
    PRIMARY KEY (trial, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_running ON attempts (state) WHERE state = 'running';

-- Metrics as attempts reported them. A resumed trial repeats the steps after its checkpoint; see the view `history`.
CREATE TABLE metric_names (
    metric      INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE
) STRICT;
CREATE TABLE metrics (
    trial       INTEGER NOT NULL REFERENCES trials (trial),
    metric      INTEGER NOT NULL REFERENCES metric_names (metric),
    step        INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    value       REAL    NOT NULL,
    PRIMARY KEY (trial, metric, step, attempt)
) STRICT, WITHOUT ROWID;

-- Final values of a trial that is done.
CREATE TABLE results (
    trial       INTEGER NOT NULL REFERENCES trials (trial),
    name        TEXT    NOT NULL,
    value       REAL    NOT NULL,
    PRIMARY KEY (trial, name)
) STRICT, WITHOUT ROWID;

-- Files of a trial that is done. Paths are relative to the folder of this database.
CREATE TABLE artifacts (
    trial       INTEGER NOT NULL REFERENCES trials (trial),
    name        TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    path        TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    blake3      TEXT    NOT NULL,
    PRIMARY KEY (trial, name)
) STRICT, WITHOUT ROWID;

-- States from which a trial can go on; the last two are kept.
CREATE TABLE checkpoints (
    trial       INTEGER NOT NULL REFERENCES trials (trial),
    step        INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    path        TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    blake3      TEXT    NOT NULL,
    created     INTEGER NOT NULL,
    PRIMARY KEY (trial, step)
) STRICT, WITHOUT ROWID;

-- What happened, in order: state changes, refusals, commands of users. Bounded: the oldest go first.
CREATE TABLE events (
    event       INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    kind        TEXT    NOT NULL,              -- such as trial-done, attempt-lost, finish-refused, drain
    sweep       INTEGER REFERENCES sweeps (sweep),
    trial       INTEGER REFERENCES trials (trial),
    attempt     INTEGER,
    worker      INTEGER REFERENCES workers (worker),
    detail      TEXT                           -- for people
) STRICT;
CREATE INDEX events_trial ON events (trial);

-- Metric histories without repeats: at each step the value of the latest attempt that reported it.
CREATE VIEW history AS
SELECT t.id AS trial_id, n.name AS metric, m.step, m.value, m.attempt, m.trial
FROM metrics m
JOIN metric_names n USING (metric)
JOIN trials t USING (trial)
WHERE m.attempt = (SELECT max(o.attempt) FROM metrics o WHERE o.trial = m.trial AND o.metric = m.metric AND o.step = m.step);

-- Every result of every trial with the parameters it had in each sweep; best read with ORDER BY value DESC.
CREATE VIEW leaderboard AS
SELECT s.name AS sweep, s.revision, st.stage, t.id AS trial_id, substr(t.id, 1, 10) AS trial, st.parameters, r.name AS metric, r.value,
       w.device, w.model, w.program, a.ended - a.started AS duration_ms
FROM sweep_trials st
JOIN sweeps s USING (sweep)
JOIN trials t USING (trial)
JOIN results r USING (trial)
LEFT JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts
LEFT JOIN workers w USING (worker)
WHERE t.state = 'done';

-- Trials that differ only in their seed, as one row: mean, sample standard deviation, and the half width of the 95 % interval
-- of the mean (Student's t: exact quantiles up to 10 seeds, beyond that an expansion that is right to within 0.2 %).
-- Not every SQLite has sqrt(), the one in this program neither: the roots are Newton's.
CREATE VIEW cells AS
WITH results_ AS (
    SELECT st.sweep, st.stage, json_remove(st.parameters, '$.seed') AS parameters, r.name AS metric, r.value
    FROM sweep_trials st
    JOIN trials t USING (trial)
    JOIN results r USING (trial)
    WHERE t.state = 'done'
), centred AS (
    -- Two passes: the textbook formula of one pass loses all digits of a small spread.
    SELECT *, value - avg(value) OVER (PARTITION BY sweep, stage, parameters, metric) AS deviation FROM results_
), spread AS (
    SELECT sweep, stage, parameters, metric, count(*) AS n, avg(value) AS mean,
           CASE WHEN count(*) > 1 THEN sum(deviation * deviation) / (count(*) - 1) END AS variance,
           min(value) AS min, max(value) AS max
    FROM centred GROUP BY sweep, stage, parameters, metric
), rooted AS (
    SELECT *,
           CASE WHEN variance > 0 THEN (
               WITH RECURSIVE newton (i, root) AS (
                   SELECT 0, (variance + 1) / 2
                   UNION ALL SELECT i + 1, (root + variance / root) / 2 FROM newton WHERE i < 80
               )
               SELECT root FROM newton WHERE i = 80
           ) ELSE variance END AS sd,
           CASE WHEN n > 1 THEN (
               WITH RECURSIVE newton (i, root) AS (
                   SELECT 0, (n * 1.0 + 1) / 2
                   UNION ALL SELECT i + 1, (root + n * 1.0 / root) / 2 FROM newton WHERE i < 80
               )
               SELECT root FROM newton WHERE i = 80
           ) END AS root_n
    FROM spread
)
SELECT s.name AS sweep, s.revision, c.stage, c.parameters, c.metric, c.n, c.mean, c.sd,
       c.sd / c.root_n * CASE c.n WHEN 2 THEN 12.706205 WHEN 3 THEN 4.302653 WHEN 4 THEN 3.182446 WHEN 5 THEN 2.776445
           WHEN 6 THEN 2.570582 WHEN 7 THEN 2.446912 WHEN 8 THEN 2.364624 WHEN 9 THEN 2.306004 WHEN 10 THEN 2.262157
           ELSE 1.959964 + 2.3723 / (c.n - 1) + 2.8225 / ((c.n - 1) * (c.n - 1)) END AS ci95,
       c.min, c.max
FROM rooted c
JOIN sweeps s USING (sweep);

-- Where each result comes from: who computed it, when, with which program, device and seed, from which data.
-- `inputs` are the identities of all that the trial read; they cover the whole lineage, down to the downloaded files.
CREATE VIEW provenance AS
SELECT t.id AS trial_id, substr(t.id, 1, 10) AS trial, t.kind, t.task, json_extract(t.task, '$.seed') AS seed,
       (SELECT json_group_array(i.id) FROM trial_inputs e JOIN trials i ON i.trial = e.input WHERE e.trial = t.trial) AS inputs,
       a.attempt, w.host, w.device, w.model, w.program,
       datetime(a.started / 1000, 'unixepoch') AS started_utc, a.ended - a.started AS duration_ms
FROM trials t
JOIN attempts a ON a.trial = t.trial AND a.attempt = t.attempts
JOIN workers w USING (worker)
WHERE t.state = 'done';

-- Why a trial does not run yet; `why` goes on after "it". A trial is blocked by inputs, near or far, that ended without a result.
CREATE VIEW why_waiting AS
WITH RECURSIVE blocked (trial, root) AS (
    SELECT e.trial, e.input FROM trial_inputs e JOIN trials i ON i.trial = e.input
    WHERE i.state IN ('failed', 'diverged', 'pruned', 'cancelled')
    UNION
    SELECT e.trial, b.root FROM blocked b JOIN trial_inputs e ON e.input = b.trial
), roots AS (
    SELECT b.trial, group_concat(r.kind || ' ' || substr(r.id, 1, 10) || ' (' || r.state || ')', ', ') AS roots
    FROM blocked b JOIN trials r ON r.trial = b.root GROUP BY b.trial
)
SELECT t.id AS trial_id, substr(t.id, 1, 10) AS trial, t.kind, t.state,
       CASE
           WHEN t.state = 'ready' AND t.not_before IS NOT NULL THEN 'waits until ' || datetime(t.not_before / 1000, 'unixepoch') || ' UTC before its next attempt'
           WHEN t.state = 'ready' THEN 'waits for a free worker'
           WHEN r.roots IS NOT NULL THEN 'cannot run without the result of ' || r.roots
           ELSE 'waits for ' || (SELECT sum(i.state <> 'done') || ' of ' || count(*) FROM trial_inputs e JOIN trials i ON i.trial = e.input
                                 WHERE e.trial = t.trial) || ' inputs'
       END AS why
FROM trials t
LEFT JOIN roots r ON r.trial = t.trial
WHERE t.state IN ('waiting', 'ready');
