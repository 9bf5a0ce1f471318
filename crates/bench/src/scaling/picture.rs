//! The comparison as a picture: a row for each boot time, with cost, lateness and kills.

use super::{Contender, Run, Scenario};
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

const WIDTH: u32 = 1500;
const HEAD: u32 = 92;
const ROW: u32 = 270;
/// What is not more than this, in percent, is drawn as nothing.
const SHARE_LEAST: f64 = 0.01;

/// A bar for each trace and policy.
struct Panel<'a> {
    caption: String,
    runs: &'a [&'a Run],
    traces: &'a [&'a str],
    value: fn(&Run) -> f64,
    label: fn(&Run) -> String,
}

/// Draws the quiet runs as an SVG.
pub(super) fn draw(runs: &[Run], boots: &[f64], target: f64) -> anyhow::Result<String> {
    let calm: Vec<&Run> = runs.iter().filter(|run| run.scenario == Scenario::Calm).collect();
    let mut traces: Vec<&str> = vec![];
    for run in &calm {
        if !traces.contains(&run.trace.as_str()) {
            traces.push(&run.trace);
        }
    }
    let mut svg = String::new();
    {
        let height = HEAD + ROW * boots.len() as u32;
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let failed = |error| anyhow::anyhow!("the picture cannot be drawn: {error:?}");
        root.fill(&WHITE).map_err(failed)?;
        let (head, body) = root.split_vertically(HEAD);
        legend(&head, target)?;
        let rows = body.split_evenly((boots.len(), 3));
        for (row, boot) in rows.chunks(3).zip(boots) {
            let here: Vec<&Run> =
                calm.iter().filter(|run| run.boot_seconds == *boot).copied().collect();
            let panel = |what: &str, value, label| Panel {
                caption: format!("Boot {boot} s: {what}"),
                runs: &here,
                traces: &traces,
                value,
                label,
            };
            let [cost, late, kills] = row else { continue };
            let cost_of =
                panel("cost, × work", |run| run.cost(), |run| format!("{:.1}", run.cost()));
            let most = here.iter().map(|run| run.cost()).fold(2.0, f64::max);
            cost_of.draw(cost, 0.0..most * 1.2, 0.0, |value| format!("{value:.0}"))?;
            let share = |run: &Run| run.over_target * 100.0;
            let late_of = panel("tickets over the target, %", share, |run| {
                let percent = run.over_target * 100.0;
                match percent {
                    percent if percent < SHARE_LEAST / 2.0 => "0".into(),
                    percent if percent < 10.0 => format!("{percent:.2}"),
                    percent => format!("{percent:.0}"),
                }
            });
            let log = (SHARE_LEAST..1000.0).log_scale();
            late_of.draw(late, log, SHARE_LEAST, |value| match *value {
                value if value > 100.0 => String::new(),
                value => format!("{value}"),
            })?;
            let killed = |run: &Run| f64::from(run.busy_killed);
            let kills_of = panel("busy workers killed", killed, |run| run.busy_killed.to_string());
            let most = calm.iter().map(|run| killed(run)).fold(5.0, f64::max);
            kills_of.draw(kills, 0.0..most * 1.2, 0.0, |value| format!("{value:.0}"))?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn legend(area: &Area<'_>, target: f64) -> anyhow::Result<()> {
    let failed = |error| anyhow::anyhow!("the picture cannot be drawn: {error:?}");
    let title = format!(
        "Scaling workers: a target wait of {target} s, all on the same arrivals. Lower is better."
    );
    let style = ("sans-serif", 24).into_font().color(&BLACK);
    area.draw(&Text::new(title, (24, 16), style)).map_err(failed)?;
    for (number, contender) in Contender::ALL.into_iter().enumerate() {
        let left = 24 + 190 * number as i32;
        let patch = Rectangle::new([(left, 56), (left + 22, 76)], color(contender).filled());
        area.draw(&patch).map_err(failed)?;
        let style = ("sans-serif", 18).into_font().color(&BLACK);
        area.draw(&Text::new(contender.name(), (left + 32, 58), style)).map_err(failed)?;
    }
    Ok(())
}

fn color(contender: Contender) -> RGBColor {
    match contender {
        Contender::Printmill => RGBColor(0, 114, 178),
        Contender::KedaTuned => RGBColor(230, 159, 0),
        Contender::KedaDefault => RGBColor(213, 94, 0),
        Contender::AwsBacklog => RGBColor(140, 140, 140),
    }
}

impl Panel<'_> {
    fn draw<Y>(
        &self,
        area: &Area<'_>,
        scale: Y,
        bottom: f64,
        format: fn(&f64) -> String,
    ) -> anyhow::Result<()>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let failed = |error| anyhow::anyhow!("the picture cannot be drawn: {error:?}");
        let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
        let groups = self.traces.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.caption, text(19))
            .margin(10)
            .x_label_area_size(28)
            .y_label_area_size(46)
            .build_cartesian_2d(0.0..groups, scale)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .y_labels(6)
            .y_label_style(text(14))
            .y_label_formatter(&format)
            .draw()
            .map_err(failed)?;
        let width = 0.8 / Contender::ALL.len() as f64;
        for run in self.runs {
            let Some(group) = self.traces.iter().position(|trace| *trace == run.trace) else {
                continue;
            };
            let nth = Contender::ALL.iter().position(|one| *one == run.policy).unwrap_or(0);
            let left = group as f64 + 0.1 + width * nth as f64;
            let top = (self.value)(run).max(bottom);
            let bar = [(left, bottom), (left + 0.9 * width, top)];
            let bar = Rectangle::new(bar, color(run.policy).filled());
            let style = text(11).pos(Pos::new(HPos::Center, VPos::Bottom));
            let label = Text::new((self.label)(run), (left + 0.45 * width, top), style);
            chart.draw_series([bar]).map_err(failed)?;
            chart.draw_series([label]).map_err(failed)?;
        }
        for (group, trace) in self.traces.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(group as f64 + 0.5, bottom));
            let style = text(15).pos(Pos::new(HPos::Center, VPos::Top));
            let (dx, dy) = area.get_base_pixel();
            area.draw(&Text::new(*trace, (x - dx, y - dy + 7), style)).map_err(failed)?;
        }
        Ok(())
    }
}
