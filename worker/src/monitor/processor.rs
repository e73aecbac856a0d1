//! The processor, the machine's memory, and what this process takes of both, through the system.

use std::time::{Duration, Instant};

use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::protocol::Sample;

/// This process and its machine.
pub(super) struct Processor {
    system: System,
    pid: Pid,
    /// CPU time of this process when it was sampled last.
    cpu: Option<Duration>,
    /// When the load of the machine was read last, and what it was.
    host: (Instant, Option<f64>),
}

impl Processor {
    pub(super) fn new() -> Self {
        let mut system = System::new();
        system.refresh_cpu_usage();
        Self { system, pid: Pid::from_u32(std::process::id()), cpu: None, host: (Instant::now(), None) }
    }

    /// Share of all processors of this machine that was busy, 0 to 1. The system needs a while between two looks.
    pub(super) fn host_utilisation(&mut self) -> Option<f64> {
        if self.host.0.elapsed() >= MINIMUM_CPU_UPDATE_INTERVAL {
            self.system.refresh_cpu_usage();
            let share = f64::from(self.system.global_cpu_usage()) / 100.0;
            self.host = (Instant::now(), share.is_finite().then(|| share.clamp(0.0, 1.0)));
        }
        self.host.1
    }

    /// A sample of `threads` threads over the time `span`; 0: the first, or one after a gap.
    pub(super) fn sample(&mut self, threads: usize, span: Duration) -> Sample {
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.pid]), false, what);
        self.system.refresh_memory();
        let process = self.system.process(self.pid);
        let cpu = process.map(|process| Duration::from_millis(process.accumulated_cpu_time()));
        let before = std::mem::replace(&mut self.cpu, cpu);
        let computed = cpu.zip(before).map(|(now, before)| now.saturating_sub(before));
        let most = span.as_secs_f64() * threads as f64;
        Sample {
            utilisation: computed
                .filter(|_| most > 0.0)
                .map(|computed| (computed.as_secs_f64() / most).clamp(0.0, 1.0)),
            memory_used_bytes: Some(self.system.used_memory()),
            own_memory_bytes: process.map(sysinfo::Process::memory),
            host_utilisation: self.host_utilisation(),
            ..Sample::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_is_seen() {
        let mut processor = Processor::new();
        let first = processor.sample(1, Duration::ZERO);
        assert_eq!(first.utilisation, None);
        assert!(
            first.own_memory_bytes > Some(1 << 20) && first.memory_used_bytes > first.own_memory_bytes,
            "{first:?}"
        );
        let began = Instant::now();
        // CPU time counts in hundredths of a second; other programs may take the processor meanwhile.
        while began.elapsed() < Duration::from_millis(300) {
            std::hint::black_box(began.elapsed());
        }
        let sample = processor.sample(1, began.elapsed());
        assert!(sample.utilisation > Some(0.1), "{sample:?}");
        assert!(sample.host_utilisation > Some(0.0) && sample.host_utilisation <= Some(1.0), "{sample:?}");
    }
}
