//! Where a page leads to.
//!
//! Finds `href="..."` as text: enough to find the way, and less than HTML allows.

use url::Url;

use crate::{failure::Failure, fetch::Answer};

/// The pages of the same site that an answer names, in its order.
pub(crate) fn of(url: &Url, answer: &Result<Answer, Failure>) -> Vec<Url> {
    let links = match answer {
        Ok(Answer::Page { is_html: true, body }) => hrefs(&String::from_utf8_lossy(body)),
        Ok(Answer::Redirect { location }) => vec![location.clone()],
        Ok(Answer::Page { .. }) | Err(_) => vec![],
    };
    let links = links.iter().filter_map(|link| url.join(link).ok());
    links.filter(|link| link.scheme() == "http" && link.origin() == url.origin()).collect()
}

fn hrefs(html: &str) -> Vec<String> {
    let after = html.split("href=\"").skip(1);
    let inside = after.filter_map(|text| text.split_once('"').map(|(link, _)| link));
    inside.map(|link| link.replace("&amp;", "&")).collect()
}
