//! A build: jobs that need each other's products, as many at once as there are hands.
//!
//! ```text
//! cargo run --example pipeline
//! cargo run --example pipeline -- --jobs 1
//! cargo run --example pipeline -- --fail parse
//! ```
//!
//! The work is simulated: a job sleeps for as long as it would take. Each has its line in the chart,
//! in which one column is a tenth of a second. A job that fails takes those with it that need its
//! product; the others are built all the same.

#![deny(unsafe_code)]

use std::{error::Error, ffi::OsString, fmt, process::ExitCode, time::Duration};

use greenroom::{
    GreenPool, Instant,
    pool::{DagPool, PropagateError, TaskError},
    sleep,
};
use lexopt::prelude::*;

const USAGE: &str = "\
usage: pipeline [--jobs N] [--fail JOB] [--panic JOB]
  --jobs N     jobs at once; 3, if not said
  --fail JOB   has this job fail, and --panic has it panic; each can be said several times";

const JOBS_DEFAULT: usize = 3;
const JOBS_MAX: usize = 100;

/// What is to be built, of what, in how many tenths of a second. In no order: the pool finds one.
const RECIPES: &[Recipe] = &[
    Recipe { job: "package", needs: &["link", "docs", "test"], tenths: 2 },
    Recipe { job: "link", needs: &["lex", "parse", "emit"], tenths: 3 },
    Recipe { job: "test", needs: &["link", "data"], tenths: 4 },
    Recipe { job: "docs", needs: &["fetch"], tenths: 5 },
    Recipe { job: "emit", needs: &["headers"], tenths: 3 },
    Recipe { job: "parse", needs: &["headers", "grammar"], tenths: 4 },
    Recipe { job: "lex", needs: &["headers"], tenths: 2 },
    Recipe { job: "grammar", needs: &["fetch"], tenths: 2 },
    Recipe { job: "headers", needs: &["fetch"], tenths: 1 },
    Recipe { job: "data", needs: &[], tenths: 6 },
    Recipe { job: "fetch", needs: &[], tenths: 2 },
];

const TENTH: Duration = Duration::from_millis(100);

struct Recipe {
    job: &'static str,
    needs: &'static [&'static str],
    tenths: u32,
}

/// What a job leaves: when it was made, and how long that takes at least, with all that it needs.
struct Product {
    begin: Duration,
    end: Duration,
    chain: Duration,
}

struct Options {
    jobs: usize,
    fail: Vec<String>,
    panic: Vec<String>,
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("pipeline: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match build(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pipeline: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Options, lexopt::Error> {
        let mut options = Options { jobs: JOBS_DEFAULT, fail: Vec::new(), panic: Vec::new() };
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("jobs") => options.jobs = parser.value()?.parse_with(jobs)?,
                Long("fail") => options.fail.push(parser.value()?.parse_with(job)?),
                Long("panic") => options.panic.push(parser.value()?.parse_with(job)?),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(options)
    }
}

fn jobs(text: &str) -> Result<usize, String> {
    let jobs = text.parse().ok().filter(|jobs| (1..=JOBS_MAX).contains(jobs));
    jobs.ok_or_else(|| format!("jobs at once are from 1 to {JOBS_MAX}"))
}

fn job(text: &str) -> Result<String, String> {
    if RECIPES.iter().any(|recipe| recipe.job == text) {
        return Ok(text.to_owned());
    }
    let known: Vec<_> = RECIPES.iter().map(|recipe| recipe.job).collect();
    Err(format!("there is no such job; there are {}", known.join(" ")))
}

/// Builds all that can be built, and tells of each job as it ends. True if that was everything.
fn build(options: &Options) -> Result<bool, Box<dyn Error>> {
    let pool: DagPool<_, Product> = DagPool::over(&GreenPool::new(options.jobs));
    let begin = Instant::now();
    for recipe in RECIPES {
        let fate = Fate::of(recipe.job, options);
        pool.spawn(recipe.job, recipe.needs.iter().copied(), move |made| {
            let started = begin.elapsed();
            sleep(TENTH * recipe.tenths);
            fate.meet()?;
            let needed = made.iter().map(|(_, product)| product.chain).max();
            let chain = needed.unwrap_or_default() + TENTH * recipe.tenths;
            Ok(Product { begin: started, end: begin.elapsed(), chain })
        })?;
    }
    let mut is_whole = true;
    for (job, outcome) in pool.wait_each(RECIPES.iter().map(|recipe| recipe.job)) {
        match outcome {
            Ok(product) => println!("{job:>8} {product}"),
            Err(error) => {
                is_whole = false;
                println!("{job:>8} {}", why(job, &error));
            }
        }
    }
    match pool.waitall() {
        Ok(products) => println!(
            "built in {:.1} s; all the work is {:.1} s, and the longest chain of it {:.1} s",
            begin.elapsed().as_secs_f64(),
            RECIPES.iter().map(|recipe| TENTH * recipe.tenths).sum::<Duration>().as_secs_f64(),
            products["package"].chain.as_secs_f64(),
        ),
        Err(error) => println!("no package: {error}"),
    }
    Ok(is_whole)
}

/// Why a job has no product: by its own fault, or by that of another.
fn why(job: &str, error: &PropagateError<&str>) -> String {
    if *error.key() == job {
        let cause = error.source().expect("it has a cause");
        return format!("FAILED: {cause}");
    }
    format!("not built, since {} failed", error.key())
}

#[derive(Clone, Copy)]
enum Fate {
    Good,
    Fails,
    Panics,
}

impl Fate {
    fn of(job: &str, options: &Options) -> Fate {
        let is_among = |jobs: &[String]| jobs.iter().any(|other| other == job);
        match (is_among(&options.panic), is_among(&options.fail)) {
            (true, _) => Fate::Panics,
            (false, true) => Fate::Fails,
            (false, false) => Fate::Good,
        }
    }

    fn meet(self) -> Result<(), TaskError> {
        match self {
            Fate::Good => Ok(()),
            Fate::Fails => Err("the command ended with status 1".into()),
            // Without the panic hook's message: the chart tells of it.
            Fate::Panics => std::panic::resume_unwind(Box::new("a bug in the job")),
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = |time: Duration| (time.as_secs_f64() / TENTH.as_secs_f64()).round() as usize;
        let (before, wide) = (columns(self.begin), columns(self.end) - columns(self.begin));
        write!(f, "{:before$}{:#<wide$}", "", "")
    }
}
