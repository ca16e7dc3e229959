//! The pages of a crawl that are known, and those of them that wait to be fetched.
//!
//! Fetches nothing.

use std::collections::{HashSet, VecDeque};

use url::Url;

pub(crate) struct Frontier {
    waiting: VecDeque<Url>,
    known: HashSet<Url>,
    pages_max: usize,
    is_cut: bool,
}

impl Frontier {
    pub(crate) fn new(pages_max: usize) -> Frontier {
        Frontier { waiting: VecDeque::new(), known: HashSet::new(), pages_max, is_cut: false }
    }

    /// Adds a page. False if it was known, or is one too many.
    pub(crate) fn add(&mut self, mut url: Url) -> bool {
        url.set_fragment(None);
        if self.known.contains(&url) {
            return false;
        }
        if self.known.len() == self.pages_max {
            self.is_cut = true;
            return false;
        }
        self.waiting.push_back(url.clone());
        self.known.insert(url)
    }

    /// The page that has waited longest.
    pub(crate) fn next_page(&mut self) -> Option<Url> {
        self.waiting.pop_front()
    }

    pub(crate) fn known(&self) -> usize {
        self.known.len()
    }

    /// Whether pages were left out because there were too many.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }
}
