//! What the command line says. Each has a variable, for places where there is no command line.

use clap::Parser;

/// Samara's host: runs tasks that drivers send, wherever it is deployed.
///
/// It finds out where it is by what the platform sets, listens there, and ends on SIGTERM when what
/// it has taken is done. Settings come from flags, then from variables.
///
/// Exit codes: 0 all that was taken was done; 2 a flag is unknown; 3 what was not done in time went
/// back to its driver; 70 the machine can run no guests; 75 the store did not give what there is to
/// do, or did not take an answer; 77 who started it may not have that done; 78 a setting makes no
/// sense, or the host cannot listen.
#[derive(Debug, Default, Parser)]
#[command(name = "samara-host", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Where the host is, instead of finding out; `?` lists the places [variable: SAMARA_HOST_AS]
    #[arg(long = "as", value_name = "PLACE")]
    pub(crate) place: Option<String>,

    /// Where to listen: 127.0.0.1:8080, :8080 for every interface, or unix:PATH [variable:
    /// SAMARA_HOST_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,

    /// Tasks that run at the same moment; one per core unless said [variable: SAMARA_HOST_SLOTS]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<String>,

    /// How long what was taken may take, once the host is told to end: 30s; what the platform allows
    /// unless said [variable: SAMARA_HOST_GRACE]
    #[arg(long, value_name = "TIME")]
    pub(crate) grace: Option<String>,

    /// Where compiled code is kept; `samara/compiled` in the user's cache directory unless said, and
    /// `none` for nowhere [variable: SAMARA_HOST_CACHE_DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<String>,

    /// Counts the instructions that tasks execute: `true` or `false`; slower by a third or so
    /// [variable: SAMARA_HOST_COUNT_FUEL]
    #[arg(long, value_name = "WHETHER", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) count_fuel: Option<String>,

    /// `tenant` runs each tenant's tasks in a process of its own, which has given up what it does not
    /// need; `tenant,strict` ends where the machine lacks something for that, `tenant,idle=60s` says
    /// how long such a process stays without work, and `tenant,memory=2GiB` how much memory it may
    /// have; `none` unless said [variable: SAMARA_HOST_ISOLATE]
    #[arg(long, value_name = "HOW")]
    pub(crate) isolate: Option<String>,

    /// What is logged, to stderr: error, warn, info, debug, trace [variable: SAMARA_HOST_LOG]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,

    /// Ends when standard input does, and so with whoever started it
    #[arg(long)]
    pub(crate) with_parent: bool,

    /// Reads the settings, says what is wrong with them, and ends
    #[arg(long)]
    pub(crate) check: bool,

    /// Compiles the component on standard input for the host that says this, and ends
    #[arg(long, value_name = "ORDER", hide = true, exclusive = true)]
    pub(crate) compile: Option<String>,

    /// Runs a tenant's tasks for the host whose link is standard input
    #[arg(long, hide = true, exclusive = true)]
    pub(crate) isolated: bool,
}
