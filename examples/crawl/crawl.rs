//! The crawl: pages that are known, and green threads that fetch them.
//!
//! All of it is on one OS thread, so cells and an `Rc` are enough. Knows no HTTP.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use greenroom::JoinHandle;
use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use crate::{
    failure::Failure,
    fetch::{Answer, Server},
    frontier::Frontier,
    links,
    options::Options,
    report::{Report, Tally},
};

pub(crate) struct Crawl {
    server: Server,
    frontier: RefCell<Frontier>,
    tally: RefCell<Tally>,
    workers: RefCell<Vec<JoinHandle<()>>>,
    at_work: Cell<usize>,
    at_work_max: usize,
    progress: ProgressBar,
}

impl Crawl {
    pub(crate) fn new(server: Server, options: &Options) -> Rc<Crawl> {
        Rc::new(Crawl {
            server,
            frontier: RefCell::new(Frontier::new(options.pages_max)),
            tally: RefCell::default(),
            workers: RefCell::default(),
            at_work: Cell::new(0),
            at_work_max: options.concurrency,
            progress: progress_bar(),
        })
    }

    /// Fetches `start` and every page that can be reached from there.
    pub(crate) fn run(self: Rc<Crawl>, start: Url) -> io::Result<Report> {
        let begin = Instant::now();
        self.discover(start.clone());
        self.join_workers();
        self.progress.finish_and_clear();
        let is_cut = self.frontier.borrow().is_cut();
        Report::new(start, self.tally.take(), begin.elapsed(), is_cut)
    }

    /// Notes a page. If it was not known and more green threads are allowed, one is started.
    fn discover(self: &Rc<Crawl>, url: Url) {
        if !self.frontier.borrow_mut().add(url) || self.at_work.get() == self.at_work_max {
            return;
        }
        self.at_work.set(self.at_work.get() + 1);
        let crawl = Rc::clone(self);
        let worker = greenroom::spawn(move || crawl.work());
        self.keep(worker);
    }

    /// What a green thread does: fetch one page after the other, until none is left.
    fn work(self: &Rc<Crawl>) {
        while let Some(url) = self.next_page() {
            let begin = Instant::now();
            let answer = self.server.get(&url);
            self.count(&url, &answer, begin.elapsed());
            for link in links::of(&url, &answer) {
                self.discover(link);
            }
            self.show_progress();
        }
        self.at_work.set(self.at_work.get() - 1);
    }

    fn next_page(&self) -> Option<Url> {
        self.frontier.borrow_mut().next_page()
    }

    fn count(&self, url: &Url, answer: &Result<Answer, Failure>, time: Duration) {
        let mut tally = self.tally.borrow_mut();
        tally.time += time;
        match answer {
            Ok(Answer::Page { body, .. }) => tally.page(body.len()),
            Ok(Answer::Redirect { .. }) => tally.redirects += 1,
            Err(failure) => tally.failure(*failure, url),
        }
    }

    /// Remembers whom to wait for. Those that have ended are forgotten now and then, so that a
    /// long crawl keeps no more of them than a short one.
    fn keep(&self, worker: JoinHandle<()>) {
        let mut workers = self.workers.borrow_mut();
        if workers.len() >= 2 * self.at_work_max {
            workers.retain(|worker| !worker.is_finished());
        }
        workers.push(worker);
    }

    /// Waits until nobody is at work, and so no page is left.
    fn join_workers(&self) {
        loop {
            let worker = self.workers.borrow_mut().pop();
            let Some(worker) = worker else { return };
            worker.join().expect("a worker counts what fails and goes on");
        }
    }

    fn show_progress(&self) {
        self.progress.set_message(self.at_work.get().to_string());
        self.progress.set_length(self.frontier.borrow().known() as u64);
        self.progress.inc(1);
    }
}

/// Drawn only if standard error is a terminal.
fn progress_bar() -> ProgressBar {
    let line = "{bar:30} {human_pos} of {human_len} pages, green threads: {msg}";
    let style = ProgressStyle::with_template(line).expect("the template is well-formed");
    ProgressBar::new(1).with_style(style)
}
