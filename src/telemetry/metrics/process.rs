//! What the kernel says of this process, under the names that all of Prometheus' clients use.

use procfs::process::{LimitValue, Process, Stat};

/// The figures that can be read; none where there is no `/proc`.
pub(super) fn figures() -> Vec<(&'static str, f64)> {
    let Ok(process) = Process::myself() else { return Vec::new() };
    let mut figures = Vec::with_capacity(7);
    if let Ok(stat) = process.stat() {
        of_stat(&stat, &mut figures);
    }
    if let Ok(open) = process.fd_count() {
        figures.push(("process_open_fds", super::float(open as u64)));
    }
    if let Ok(limits) = process.limits()
        && let LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        figures.push(("process_max_fds", super::float(most)));
    }
    figures
}

fn of_stat(stat: &Stat, figures: &mut Vec<(&'static str, f64)>) {
    let ticks = super::float(procfs::ticks_per_second());
    let used = super::float(stat.utime + stat.stime) / ticks;
    let pages = super::float(stat.rss.saturating_mul(procfs::page_size()));
    figures.extend([
        ("process_cpu_seconds_total", used),
        ("process_resident_memory_bytes", pages),
        ("process_virtual_memory_bytes", super::float(stat.vsize)),
        ("process_threads", super::float(stat.num_threads.unsigned_abs())),
    ]);
    if let Ok(boot) = procfs::boot_time_secs() {
        let started = super::float(boot) + super::float(stat.starttime) / ticks;
        figures.push(("process_start_time_seconds", started));
    }
}
