//! CPU time of another process, and which core runs what.

use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The CPU clock of a process: user and kernel time of all its threads, ended ones too, in nanoseconds.
#[derive(Clone, Copy)]
pub struct Clock(libc::clockid_t);

impl Clock {
    /// The clock of process `pid`.
    pub fn of(pid: i32) -> Result<Self> {
        let mut clock = 0;
        // SAFETY: `clock` is a valid place for the result.
        match unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } {
            0 => Ok(Self(clock)),
            code => Err(std::io::Error::from_raw_os_error(code)).with_context(|| format!("no CPU clock of process {pid}")),
        }
    }

    /// CPU time used so far.
    pub fn read(self) -> Result<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid place for the result.
        if unsafe { libc::clock_gettime(self.0, &raw mut time) } != 0 {
            return Err(std::io::Error::last_os_error()).context("cannot read a process's CPU clock");
        }
        Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
    }
}

/// Puts every thread of `processes` on one core and the calling thread on the others. False if there is only one core.
pub fn separate(processes: &[i32]) -> Result<bool> {
    let cores = cores()?;
    let Some((measured, others)) = cores.split_last().filter(|(_, others)| !others.is_empty()) else {
        return Ok(false);
    };
    for process in processes {
        for entry in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let name = entry?.file_name();
            let thread = name.to_string_lossy().parse()?;
            allow(thread, &[*measured])?;
        }
    }
    allow(0, others)?;
    Ok(true)
}

/// The cores that this program may use.
fn cores() -> Result<Vec<usize>> {
    // SAFETY: a `cpu_set_t` is bits, all zero is the empty set; the call writes no more than its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            bail!("cannot ask for the usable cores: {}", std::io::Error::last_os_error());
        }
        set
    };
    let limit = usize::try_from(libc::CPU_SETSIZE)?;
    // SAFETY: the index is below CPU_SETSIZE.
    Ok((0..limit).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect())
}

fn allow(thread: i32, cores: &[usize]) -> Result<()> {
    // SAFETY: as above; each core came out of such a set.
    let done = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cores.iter().for_each(|core| libc::CPU_SET(*core, &mut set));
        libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if done == 0 { Ok(()) } else { bail!("cannot pin thread {thread}: {}", std::io::Error::last_os_error()) }
}
