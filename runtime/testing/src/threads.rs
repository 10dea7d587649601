//! What the kernel says of the threads of the calling process, by their names.

/// How often the threads whose names `is_meant` picks went to sleep by themselves so far; each time one woke up before. Those that have ended are
/// not counted.
pub fn sleeps(is_meant: impl Fn(&str) -> bool) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("there are threads");
    let of = |task: std::fs::DirEntry| {
        // A thread may end at any moment: then there is nothing to read.
        let read = |file| std::fs::read_to_string(task.path().join(file)).ok();
        let status = read("status").filter(|_| read("comm").is_some_and(|c| is_meant(c.trim())))?;
        let sleeps = status
            .lines()
            .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
        sleeps.trim().parse::<u64>().ok()
    };
    tasks.flatten().filter_map(of).sum()
}

/// How often sysmon went to sleep, and so how often it looked, in a process with one runtime.
pub fn rounds_of_sysmon() -> u64 {
    sleeps(|name| name == "gmp-sysmon")
}
