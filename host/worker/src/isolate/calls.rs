//! System calls that a tenant's process has no use for, and that one that was taken over would have:
//! those that make processes, reach into others, or open parts of the kernel in which holes are found
//! again and again. They are refused by a filter of seccomp.
//!
//! Refused is also memory that the process's bound does not count (`memory.rs`), as far as nothing honest
//! has it: memory that is shared, and stacks that grow.
//!
//! What is not named here stays allowed: what the C library, tokio and wasmtime call changes from
//! version to version, and a list of all of it would be too long or wrong.

use samara_core::link::Protection;

/// Refuses them, for this thread and those that it will start. Nothing refuses fewer afterwards.
/// `network` says whether there are sockets that leave the machine.
pub(super) fn filter(network: bool) -> Protection {
    match arch::filter(network) {
        Ok(()) => Protection::there(
            "calls",
            match network {
                true => {
                    "no further processes, none of others', no shared memory, and no rare parts of the kernel"
                }
                false => {
                    "no further processes, none of others', no network, no shared memory, and no rare \
                     parts of the kernel"
                }
            },
        ),
        Err(error) => Protection::missing("calls", error.to_string()),
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod arch {
    use std::collections::BTreeMap;
    use std::io;

    use nix::libc;
    use seccompiler::SeccompCmpOp::{MaskedEq, Ne};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule, apply_filter,
    };

    /// Refused calls by number, with what is refused of them: all of it, where nothing is said.
    type Refused = BTreeMap<i64, Vec<SeccompRule>>;

    /// Refused whatever they are asked.
    const ALWAYS: &[i64] = &[
        // Programs, and other processes. A thread that is signalled is one's own: `tgkill` says whose.
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_mrelease,
        libc::SYS_migrate_pages,
        libc::SYS_move_pages,
        libc::SYS_kcmp,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_tkill,
        libc::SYS_setpgid,
        libc::SYS_setsid,
        // Namespaces and file systems.
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_mount_setattr,
        libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at,
        libc::SYS_fanotify_init,
        libc::SYS_quotactl,
        libc::SYS_acct,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        // Parts of the kernel that programs like this one never need.
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_personality,
        // Memory and queues that outlive who made them, and that no bound of one process counts.
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_semget,
        libc::SYS_msgget,
        libc::SYS_mq_open,
        libc::SYS_memfd_secret,
        // The machine itself, where the host is root.
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_syslog,
        libc::SYS_vhangup,
    ];

    #[cfg(target_arch = "x86_64")]
    const ALSO: &[i64] = &[
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_kexec_file_load,
        libc::SYS_ioperm,
        libc::SYS_iopl,
        libc::SYS_modify_ldt,
    ];
    #[cfg(target_arch = "aarch64")]
    const ALSO: &[i64] = &[];

    /// The bit of calls of x32, programs of 32 bits with registers of 64, which kernels may know beside
    /// their own: a filter sees them as the same machine's.
    #[cfg(target_arch = "x86_64")]
    const X32: i64 = 0x4000_0000;

    /// Those that have numbers of their own there (`syscall_64.tbl` of Linux).
    #[cfg(target_arch = "x86_64")]
    const X32_OWN: std::ops::RangeInclusive<i64> = 512..=547;

    /// Sockets: to name servers and to itself, where there is a network; to nobody, where there is none.
    const LOCAL: [i32; 2] = [libc::AF_UNIX, libc::AF_NETLINK];
    const REMOTE: [i32; 2] = [libc::AF_INET, libc::AF_INET6];

    pub(super) fn filter(network: bool) -> io::Result<()> {
        // The C library makes threads by `clone` where this is not there. Its flags lie in memory, where
        // a filter does not see them.
        let no_clone3 = Refused::from([(libc::SYS_clone3, Vec::new())]);
        apply(no_clone3, libc::ENOSYS)?;
        apply(refused(network)?, libc::EPERM)
    }

    fn apply(mut refused: Refused, with: i32) -> io::Result<()> {
        of_x32(&mut refused);
        let errno = SeccompAction::Errno(with.unsigned_abs());
        let here = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
        let filter = SeccompFilter::new(refused, SeccompAction::Allow, errno, here);
        let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(io::Error::other)?;
        apply_filter(&program).map_err(io::Error::other)
    }

    fn refused(network: bool) -> io::Result<Refused> {
        let own = u64::from(std::process::id());
        let none_of = |argument, values: &[u64]| {
            let differs = |value: &u64| (argument, Length::Dword, Ne, *value);
            values.iter().map(differs).collect::<Vec<_>>()
        };
        let families: Vec<u64> = match network {
            true => LOCAL.iter().chain(&REMOTE).map(|it| u64::from(it.unsigned_abs())).collect(),
            false => LOCAL.iter().map(|it| u64::from(it.unsigned_abs())).collect(),
        };
        let thread = libc::CLONE_THREAD.unsigned_abs().into();
        let mut all: Refused = ALWAYS.iter().chain(ALSO).map(|call| (*call, Vec::new())).collect();
        for (call, conditions) in [
            // No signals but one's own, and no process that is no thread.
            (libc::SYS_kill, none_of(0, &[own])),
            (libc::SYS_tgkill, none_of(0, &[own])),
            (libc::SYS_prlimit64, none_of(0, &[0, own])),
            (libc::SYS_clone, vec![(0, Length::Qword, MaskedEq(thread), 0)]),
            (libc::SYS_socket, none_of(0, &families)),
        ] {
            all.insert(call, vec![rule(conditions)?]);
        }
        all.insert(libc::SYS_mmap, uncounted()?);
        Ok(all)
    }

    /// Mappings that the bound of what a process may write to does not count. Code, and what memories
    /// begin with, is mapped privately.
    fn uncounted() -> io::Result<Vec<SeccompRule>> {
        let of = |mask: i32, value: i32| {
            let how = MaskedEq(mask.unsigned_abs().into());
            rule(vec![(3, Length::Dword, how, value.unsigned_abs().into())])
        };
        Ok(vec![
            of(libc::MAP_TYPE, libc::MAP_SHARED)?,
            of(libc::MAP_TYPE, libc::MAP_SHARED_VALIDATE)?,
            of(libc::MAP_GROWSDOWN, libc::MAP_GROWSDOWN)?,
        ])
    }

    /// Refuses a call where all of it holds.
    fn rule(conditions: Vec<(u8, Length, SeccompCmpOp, u64)>) -> io::Result<SeccompRule> {
        let made = conditions.into_iter().map(|(argument, length, how, value)| {
            SeccompCondition::new(argument, length, how, value)
        });
        let made = made.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        SeccompRule::new(made).map_err(io::Error::other)
    }

    #[cfg(target_arch = "x86_64")]
    fn of_x32(refused: &mut Refused) {
        let same: Refused =
            refused.iter().map(|(call, rules)| (*call | X32, rules.clone())).collect();
        refused.extend(same);
        refused.extend(X32_OWN.map(|call| (call | X32, Vec::new())));
    }

    #[cfg(target_arch = "aarch64")]
    fn of_x32(_: &mut Refused) {}
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod arch {
    pub(super) fn filter(_: bool) -> std::io::Result<()> {
        Err(std::io::Error::other("filters are made for x86_64 and aarch64 alone"))
    }
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use nix::libc;

    use super::*;

    /// Makes a call of six numbers; the error's number, or 0.
    fn call(number: i64, arguments: [i64; 6]) -> i32 {
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: the calls of this test make new things, and touch no memory of this process.
        #[allow(unsafe_code, reason = "what is to be refused has no safe function")]
        let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
        match answer {
            -1 => std::io::Error::last_os_error().raw_os_error().unwrap_or(-1),
            _ => 0,
        }
    }

    fn maps(flags: i32) -> i32 {
        let writes = i64::from(libc::PROT_READ | libc::PROT_WRITE);
        call(libc::SYS_mmap, [0, 1 << 20, writes, flags.into(), -1, 0])
    }

    #[test]
    fn memory_that_no_bound_counts_is_refused() {
        let (shared, private) =
            (libc::MAP_SHARED | libc::MAP_ANONYMOUS, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let try_all = move || {
            let memory = [maps(shared), maps(private | libc::MAP_GROWSDOWN)];
            let made = call(libc::SYS_shmget, [libc::IPC_PRIVATE.into(), 1 << 20, 0o600, 0, 0, 0]);
            let secret = call(libc::SYS_memfd_secret, [0; 6]);
            (memory, made, secret, maps(private | libc::MAP_NORESERVE))
        };
        // A filter is of one thread, which is good for nothing else afterwards.
        let filtered = std::thread::spawn(move || (filter(true), try_all()));
        let (said, tried) = filtered.join().unwrap();
        if said.holds {
            let no = libc::EPERM;
            assert_eq!(tried, ([no, no], no, no, 0), "{said}");
        }
        let here = std::thread::spawn(move || (maps(shared), maps(private | libc::MAP_GROWSDOWN)));
        assert_eq!(here.join().unwrap(), (0, 0), "others may");
    }
}
