//! `samara run`: a component's function over inputs, on any runtime.

pub(crate) mod collected;
mod inputs;
mod output;
mod plan;
mod policy;
mod records;

use std::io::{self, IsTerminal};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, select};
use samara::settings::units as text;
use samara::{
    Access, Builder, Encoded, Error, Executor, FunctionInfo, Grouped, Job, MapReduce, Records,
};

use self::output::Printer;
pub(crate) use self::output::line;
use self::policy::Stats;
use crate::globals::Globals;
use crate::interrupt::interrupted;
use crate::report::usage;
use crate::{compile, component, units};

/// Runs a function: one task per --input, or one per partition of the objects of --over.
///
/// Prints each task's value as a line of JSON, in the order of the inputs, as soon as it and all
/// before it are there; errors go to standard error.
///
/// JSON becomes the types of the function as it is written: 5 is an integer and 5.0 a float; a
/// parameter of type f64 takes both, one of type u64 only the former. A tuple is an array, () is [], a char its code point. In
/// outputs, bytes are base64url, what JSON has no number for (NaN) is null, and keys of maps that
/// are no strings become their JSON text.
///
/// With --json one object per task, {"index", "ok"} or {"index", "error"}, and a summary.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::EXIT_CODES)]
pub(crate) struct Arguments {
    /// A component's file, or the directory of a crate, which is built first.
    component: PathBuf,

    /// The function's name.
    function: String,

    /// The argument of one task; an array of them where the function takes several. Repeat it for
    /// more tasks; `-` reads one JSON value per line from standard input. With --over: what every
    /// task gets beside its partition.
    #[arg(long, value_name = "JSON", allow_negative_numbers = true)]
    input: Vec<String>,

    #[command(flatten)]
    objects: ObjectArguments,

    /// Combines the values with this function of the component; prints one value.
    #[arg(long, value_name = "FUNCTION")]
    reduce: Option<String>,

    /// With --reduce: combines the values of each object, and prints one value for each, after its
    /// URL and a tab.
    #[arg(long, requires = "reduce", requires = "over")]
    per_object: bool,

    /// Prints what would run, and runs nothing: objects, partitions, bytes, tasks.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    platform: PlatformArguments,

    #[command(flatten)]
    policy: policy::PolicyArguments,
}

/// What the tasks read.
#[derive(Debug, clap::Args)]
struct ObjectArguments {
    /// Objects to run over: a URL, path, directory or pattern. Repeat it for more.
    #[arg(long, value_name = "URL")]
    over: Vec<String>,

    /// Cuts objects into partitions of this size, such as 8MiB. Without: one task per object.
    #[arg(long, value_name = "SIZE", requires = "over", value_parser = units::parse_size)]
    chunk: Option<NonZeroU64>,

    /// Cuts each object into this many partitions.
    #[arg(long, value_name = "N", requires = "over", conflicts_with = "chunk")]
    chunks: Option<NonZeroU64>,

    /// What objects consist of: no record is cut in two. One of lines, csv, csv-no-header, jsonl,
    /// fixed:BYTES, bytes, ended-by:TEXT (with \n, \r, \t, \0, \xHH).
    #[arg(long, value_name = "KIND", requires = "over", default_value = "lines")]
    #[arg(value_parser = records::parse)]
    records: Records,
}

/// Where tasks run, and what they may do there.
#[derive(Debug, clap::Args)]
struct PlatformArguments {
    /// Lets the function read and list the objects at and below a URL or path. Repeatable.
    #[arg(long, value_name = "URL")]
    grant_read: Vec<String>,

    /// Lets the function read, write and delete the objects at and below a URL or path. Repeatable.
    #[arg(long, value_name = "URL")]
    grant_write: Vec<String>,

    /// Memory of one task; 1GiB by default, 4GiB at most.
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    memory: Option<NonZeroU64>,

    /// Time of one task; 15m by default.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    time_limit: Option<Duration>,

    /// Tasks that run at the same moment; what the runtime allows by default.
    #[arg(long, value_name = "N")]
    slots: Option<NonZeroUsize>,
}

pub(crate) fn run(arguments: &Arguments, globals: &Globals) -> Result<ExitCode> {
    let plan = inputs::Inputs::read(&arguments.input, &arguments.objects)?;
    let component = component::open(&arguments.component, &compile::output(globals.verbosity))?;
    let executor = executor(arguments, globals)?;
    let functions = samara::block_on(executor.functions(&component))?;
    let function = find(&functions, &arguments.function, &arguments.component)?;
    let plan = plan.into_plan(function)?;
    if arguments.dry_run {
        return plan::print(&executor, &function.name, &plan, globals);
    }
    let mut printer = Printer::new(globals.json, globals.verbosity);
    let (reuse, stats) = (arguments.policy.reuse, arguments.policy.stats.as_ref());
    stats.map_or(Ok(()), Stats::try_out)?;
    let Some(reduce) = &arguments.reduce else {
        let submitted = executor.map_untyped(&component, &function.name, plan).reuse(reuse);
        let job = samara::block_on(submitted)?;
        return samara::block_on(print_all(job, interrupted()?, &mut printer, stats));
    };
    let reduce = combining(find(&functions, reduce, &arguments.component)?)?;
    let request = executor.map_reduce_untyped(&component, &function.name, plan, &reduce.name);
    let request = request.reuse(reuse);
    if arguments.per_object {
        let job = samara::block_on(request.per_object())?;
        return samara::block_on(print_objects(job, interrupted()?, &mut printer, stats));
    }
    let job = samara::block_on(request)?;
    samara::block_on(print_combined(job, interrupted()?, &mut printer, stats))
}

/// The function, where it combines values.
fn combining(reduce: &FunctionInfo) -> Result<&FunctionInfo> {
    match reduce.reduce {
        true => Ok(reduce),
        false => {
            let name = &reduce.name;
            Err(usage(format!(
                "--reduce {name}: `{name}` does not combine values; mark it with \
                 #[function(reduce)]"
            )))
        }
    }
}

fn find<'a>(
    functions: &'a [FunctionInfo],
    name: &str,
    component: &std::path::Path,
) -> Result<&'a FunctionInfo> {
    functions.iter().find(|function| function.name == name).ok_or_else(|| {
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        let component = component.display();
        usage(match names.is_empty() {
            true => format!("{component} has no functions; mark some with #[function]"),
            false => {
                format!("{component} has no function `{name}`; it has {}", names.join(", "))
            }
        })
    })
}

fn executor(arguments: &Arguments, globals: &Globals) -> Result<Executor> {
    let platform = &arguments.platform;
    let given = [
        ("memory", platform.memory.map(|bytes| text::size(bytes.get())), "--memory"),
        ("time", platform.time_limit.map(text::duration), "--time-limit"),
        ("slots", platform.slots.map(|slots| slots.to_string()), "--slots"),
    ];
    let mut reader = globals.reader();
    for (name, value, flag) in given {
        if let Some(value) = value {
            reader = reader.set(name, value, flag);
        }
    }
    let settings = arguments.policy.settings(reader).read()?;
    let mut builder = Builder::from_settings(&settings);
    // A bar on the same terminal as lines of values or of a log would be torn apart by them.
    let verbosity = globals.verbosity;
    let lines = verbosity.verbose || (arguments.reduce.is_none() && io::stdout().is_terminal());
    if verbosity.quiet || lines || !io::stderr().is_terminal() {
        builder = builder.progress(false);
    }
    for url in &platform.grant_read {
        builder = builder.grant(url, Access::Read);
    }
    for url in &platform.grant_write {
        builder = builder.grant(url, Access::ReadWrite);
    }
    Ok(builder.build()?)
}

/// Prints each task's result, in the order of the inputs.
async fn print_all(
    job: Job<Encoded>,
    mut interrupted: oneshot::Receiver<()>,
    printer: &mut Printer,
    stats: Option<&Stats>,
) -> Result<ExitCode> {
    printer.started(&job.summary(), Some(job.id()));
    for index in 0..job.len() {
        let mut task = job.task(index);
        let result = match (&mut task).now_or_never() {
            Some(result) => result,
            None => {
                printer.flush()?;
                match select(task, &mut interrupted).await {
                    Either::Left((result, _)) => result,
                    Either::Right(_) => {
                        job.cancel();
                        job.wait().await;
                        stats.map_or(Ok(()), |file| file.write(&job.stats()))?;
                        return printer.interrupted(&job.summary());
                    }
                }
            }
        };
        printer.result(Some(index), result)?;
    }
    job.wait().await;
    stats.map_or(Ok(()), |file| file.write(&job.stats()))?;
    printer.finish(&job.summary())
}

/// Prints the combined value.
async fn print_combined(
    mut job: MapReduce<Encoded>,
    interrupted: oneshot::Receiver<()>,
    printer: &mut Printer,
    stats: Option<&Stats>,
) -> Result<ExitCode> {
    printer.started(&job.summary(), None);
    let was_interrupted = {
        let waiting = pin!(job.wait());
        matches!(select(waiting, interrupted).await, Either::Right(_))
    };
    if was_interrupted {
        job.cancel();
        job.wait().await;
    }
    let summary = job.summary();
    let numbers = job.stats();
    if was_interrupted {
        stats.map_or(Ok(()), |file| file.write(&numbers))?;
        return printer.interrupted(&summary);
    }
    match job.value().await {
        Ok(Some(value)) => printer.result(None, Ok(value))?,
        // No inputs: nothing to combine.
        Ok(None) => printer.result(None, Ok(Encoded(vec![NULL].into())))?,
        Err(Error::Task(error)) => printer.result(None, Err(error))?,
        Err(error) => return Err(error.into()),
    }
    let ended = printer.finish(&summary)?;
    // After the values, which are not to be lost where the file cannot be written.
    stats.map_or(Ok(()), |file| file.write(&numbers))?;
    Ok(ended)
}

/// Prints the combined value of each object.
async fn print_objects(
    mut job: Grouped<Encoded>,
    interrupted: oneshot::Receiver<()>,
    printer: &mut Printer,
    stats: Option<&Stats>,
) -> Result<ExitCode> {
    printer.started(&job.stats().summary, None);
    let was_interrupted = {
        let waiting = pin!(job.wait());
        matches!(select(waiting, interrupted).await, Either::Right(_))
    };
    if was_interrupted {
        job.cancel();
        job.wait().await;
    }
    let numbers = job.stats();
    let summary = numbers.summary;
    if was_interrupted {
        stats.map_or(Ok(()), |file| file.write(&numbers))?;
        return printer.interrupted(&summary);
    }
    match job.values().await {
        Ok(values) => {
            for (url, value) in &values {
                printer.object(url, value)?;
            }
        }
        Err(Error::Task(error)) => printer.result(None, Err(error))?,
        Err(error) => return Err(error.into()),
    }
    let ended = printer.finish(&summary)?;
    // After the values, which are not to be lost where the file cannot be written.
    stats.map_or(Ok(()), |file| file.write(&numbers))?;
    Ok(ended)
}

/// CBOR's null.
const NULL: u8 = 0xf6;
