//! A report as a person reads it, in columns.
//!
//! Must never compute: what it shows stands in the report.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::report::{CaseReport, Finding, GoalReport, Measured, Report};

const HEADINGS: [&str; 5] = ["median", "least", "spread", "ratio", "beside it (medians)"];
const ENGINE_WIDTH: usize = 12;
const FIGURE_WIDTH: usize = 10;

pub(crate) fn render(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "{} on Linux {}; measured on core {}, loaded from core {}; {} rounds, {} counts\n",
        machine.processor,
        machine.kernel,
        machine.measured_core,
        machine.load_core,
        report.rounds,
        report.size.name(),
    );
    for case in &report.cases {
        text += "\n";
        render_case(&mut text, case);
    }
    text += "\n";
    render_goals(&mut text, report);
    text
}

fn render_case(text: &mut String, case: &CaseReport) {
    line(text, &format!("{}, {}: {}", case.scenario, case_name(case), case.unit));
    if let Some(goal) = &case.goal {
        line(text, &format!("  {}", goal_line(goal, case)));
    }
    let [median, least, spread, ratio, beside] = HEADINGS;
    line(text, &columns("engine", [median, least, spread, &format!("{ratio} *")], beside));
    for row in &case.rows {
        match &row.finding {
            Finding::Measured(measured) => line(text, &measured_row(row.engine, measured)),
            Finding::Abstains { why } => line(text, &columns(row.engine, ["-", "", "", ""], why)),
            Finding::Failed { error } => {
                line(text, &columns(row.engine, ["FAILED", "", "", ""], error));
            }
        }
    }
    line(text, &format!("  * {} = 1, round by round", case.baseline));
}

fn measured_row(engine: &str, measured: &Measured) -> String {
    let summary = &measured.summary;
    let cells = [
        figure(summary.median),
        figure(summary.min),
        format!("{:.0} %", summary.spread * 100.0),
        measured.ratio.map_or_else(|| "-".to_owned(), figure),
    ];
    columns(engine, cells.each_ref().map(String::as_str), &beside(&measured.extras))
}

/// Pads what stands before the last column, which may be as long as it likes.
fn columns(engine: &str, figures: [&str; 4], last: &str) -> String {
    let mut row = format!("  {engine:<ENGINE_WIDTH$}");
    for cell in figures {
        write!(row, "{cell:>FIGURE_WIDTH$}").expect("a String takes all that is written");
    }
    row + "   " + last
}

fn line(text: &mut String, row: &str) {
    *text += row.trim_end();
    *text += "\n";
}

/// `wall_ns: 12.5` as `wall 12.5 ns`: names carry their unit last.
fn beside(extras: &BTreeMap<String, f64>) -> String {
    let told = extras.iter().map(|(name, value)| {
        let (what, unit) = name.rsplit_once('_').unwrap_or((name, ""));
        let unit = if unit == "us" { "µs" } else { unit };
        format!("{} {} {unit}", what.replace('_', " "), figure(*value))
    });
    told.collect::<Vec<_>>().join(", ")
}

fn case_name(case: &CaseReport) -> String {
    format!("{} {}", grouped(case.param), case.param_unit)
}

fn goal_line(goal: &GoalReport, case: &CaseReport) -> String {
    let of_baseline = match goal.is_ratio {
        true => format!(" of {}", case.baseline),
        false => String::new(),
    };
    let verdict = match (goal.is_met, goal.figure) {
        (Some(true), Some(reached)) => format!("met ({})", figure(reached)),
        (Some(false), Some(reached)) => format!("MISSED ({})", figure(reached)),
        _ => "not measured".to_owned(),
    };
    format!("goal for greenroom: at most {}{of_baseline}: {verdict}", figure(goal.at_most))
}

fn render_goals(text: &mut String, report: &Report) {
    let goals = report.cases.iter().filter_map(|case| case.goal.as_ref());
    let [mut met, mut missed, mut open] = [0, 0, 0];
    for goal in goals {
        match goal.is_met {
            Some(true) => met += 1,
            Some(false) => missed += 1,
            None => open += 1,
        }
    }
    line(text, &format!("goals: {met} met, {missed} missed, {open} not measured"));
}

/// Three digits that matter, thousands in groups.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => grouped_signed(value.round() as i64),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn grouped_signed(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(value.unsigned_abs()))
}

fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn figures_keep_three_digits() {
        let cases = [
            (0.0, "0.00"),
            (2.204, "2.20"),
            (9.999, "10.0"),
            (28.96, "29.0"),
            (99.99, "100"),
            (455.4, "455"),
            (8_700.0, "8,700"),
            (1_234_567.0, "1,234,567"),
            (-1_500.0, "-1,500"),
        ];
        for (value, expected) in cases {
            assert_eq!(figure(value), expected);
        }
    }

    #[test]
    fn extras_are_told_with_their_unit_last() {
        let extras =
            BTreeMap::from([("page_table_bytes".to_owned(), 12.0), ("wall_ns".to_owned(), 1234.0)]);
        assert_eq!(beside(&extras), "page table 12.0 bytes, wall 1,234 ns");
    }

    #[test]
    fn a_whole_report() {
        let expected = "\
a processor on Linux 6.18; measured on core 0, loaded from core 1; 3 rounds, full counts

echo, 64 connections: µs of server CPU per request
  goal for greenroom: at most 1.05 of epoll: met (1.02)
  engine          median     least    spread   ratio *   beside it (medians)
  greenroom         4.10      4.00     107 %      1.02   wall 8.20 µs
  tokio           FAILED                                 it broke
  corosensei           -                                 has no sockets
  epoll             4.00      4.00     100 %      1.00   wall 8.00 µs
  * epoll = 1, round by round

spawn_join, 1 task at a time: ns of CPU per task
  goal for greenroom: at most 40.0: not measured
  engine          median     least    spread   ratio *   beside it (medians)
  tokio              433       433       0 %         -   wall 866 µs
  * greenroom = 1, round by round

yield, 2 tasks: ns of CPU per switch
  goal for greenroom: at most 8.00: MISSED (8.50)
  engine          median     least    spread   ratio *   beside it (medians)
  greenroom         8.75      8.50       6 %      1.00   wall 17.5 µs
  tokio              180       180       0 %      20.0   wall 360 µs
  * greenroom = 1, round by round

goals: 1 met, 1 missed, 1 not measured
";
        let text = render(&example());
        assert_eq!(text, expected, "\n{text}");
    }
}
