-- What devices did. Workers sample the device they drive, each second by default; samples are kept for an hour, minutes for ever.
-- What a device cannot tell is NULL: a processor has no power here, an old card no clocks.

-- A device of a host: a card, or the processor that a CPU worker drives.
CREATE TABLE devices (
    device      INTEGER PRIMARY KEY,
    host        TEXT    NOT NULL,
    name        TEXT    NOT NULL,              -- cpu, cuda:0, ...
    uuid        TEXT    NOT NULL DEFAULT '',   -- of the card, as NVML says it; empty for a processor
    model       TEXT    NOT NULL,
    memory_bytes INTEGER NOT NULL,
    power_limit_w REAL,
    driver      TEXT,                          -- version
    observed_s  REAL    NOT NULL DEFAULT 0,    -- seconds for which there were samples, ever ...
    busy_s      REAL    NOT NULL DEFAULT 0,    -- ... and those of them in which it computed
    energy_j    REAL,                          -- joules meanwhile
    xid_errors  INTEGER NOT NULL DEFAULT 0,    -- critical errors that the driver reported ...
    last_xid    INTEGER,                       -- ... and the number of the last one; each is an event, too
    UNIQUE (host, name, uuid)
) STRICT;

-- The last hour.
CREATE TABLE device_samples (
    device      INTEGER NOT NULL REFERENCES devices (device),
    at          INTEGER NOT NULL,
    utilisation REAL,                          -- share of the time in which it computed, 0 to 1
    memory_used_bytes INTEGER,                 -- by whatever process
    own_memory_bytes INTEGER,                  -- by its worker's process
    power_w     REAL,
    temperature_c REAL,
    sm_clock_mhz REAL,
    memory_clock_mhz REAL,
    throttle    TEXT,                          -- reasons for which clocks are held down, such as 'sw-power-cap,hw-slowdown'; NULL: none
    ecc_corrected INTEGER,                     -- errors since the driver was loaded
    ecc_uncorrected INTEGER,
    processes   INTEGER,                       -- that compute on it, of whatever program
    host_utilisation REAL,                     -- share of all processors of the host that was busy, 0 to 1
    members     INTEGER NOT NULL,              -- trials that its worker ran
    PRIMARY KEY (device, at)
) STRICT, WITHOUT ROWID;

-- Each minute in which there were samples.
CREATE TABLE device_minutes (
    device      INTEGER NOT NULL REFERENCES devices (device),
    minute      INTEGER NOT NULL,              -- its beginning
    samples     INTEGER NOT NULL,
    seconds     REAL    NOT NULL DEFAULT 0,    -- that they stand for: less than 60 where some are missing
    utilisation REAL,                          -- mean
    memory_used_bytes INTEGER,                 -- greatest
    power_w     REAL,                          -- mean
    energy_j    REAL,                          -- joules
    temperature_c REAL,                        -- greatest
    sm_clock_mhz REAL,                         -- mean
    throttled   REAL,                          -- share of that time in which clocks were held down
    busy_members REAL NOT NULL,                -- mean number of trials that its worker ran
    PRIMARY KEY (device, minute)
) STRICT, WITHOUT ROWID;

-- What an attempt took of its device. Members of an array that run at the same time share seconds and joules alike. Written some
-- seconds late, and once more when the attempt has ended; workers that drive the same device each count it whole.
CREATE TABLE attempt_usage (
    trial       INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    device      INTEGER NOT NULL REFERENCES devices (device),
    device_s    REAL    NOT NULL,              -- seconds of the device
    busy_s      REAL    NOT NULL,              -- of these, seconds in which it computed: utilisation is busy_s / device_s
    energy_j    REAL,                          -- joules
    memory_peak_bytes INTEGER,                 -- most memory that its worker's process used on the device meanwhile
    samples     INTEGER NOT NULL DEFAULT 0,    -- taken while it ran; 0: it was too short, the rest is what its neighbours in time took
    PRIMARY KEY (trial, attempt),
    FOREIGN KEY (trial, attempt) REFERENCES attempts (trial, attempt)
) STRICT, WITHOUT ROWID;

-- What each trial took, with all attempts that it needed.
CREATE VIEW trial_usage AS
SELECT t.id AS trial_id, substr(t.id, 1, 10) AS trial, t.kind, max(d.name) AS device, max(d.model) AS model,
       sum(u.busy_s) / sum(u.device_s) AS utilisation, sum(u.device_s) / 3600.0 AS device_hours, sum(u.energy_j) AS energy_j,
       max(u.memory_peak_bytes) AS memory_peak_bytes, sum(u.samples) AS samples
FROM attempt_usage u
JOIN trials t USING (trial)
JOIN devices d USING (device)
GROUP BY t.trial
HAVING sum(u.device_s) > 0;
