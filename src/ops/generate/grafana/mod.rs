//! Grafana's dashboard of figw.

mod panels;

use serde_json::{Value, json};

use self::panels::{Panel, SECTIONS, Section};
use super::GeneratedFile;

/// Columns of Grafana's grid.
const COLUMNS: u32 = 24;

/// Rows of the grid that a panel takes.
const HEIGHT: u32 = 8;

/// The dashboard, for import by hand or provisioning from a directory.
#[must_use]
pub fn grafana() -> GeneratedFile {
    let dashboard = json!({
        "uid": "figw",
        "title": "figw",
        "description": "Made by `figw generate grafana`. figw-metrics(7) says what each metric means.",
        "tags": ["figw"],
        "schemaVersion": 39,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "",
        "time": { "from": "now-6h", "to": "now" },
        "templating": { "list": [
            { "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus" },
            variable("instance", "Instance", "label_values(figw_build_info, instance)"),
            variable("endpoint", "Endpoint", "label_values(figw_requests_total, endpoint)"),
        ] },
        "panels": panels(),
    });
    let content = format!("{dashboard:#}\n");
    GeneratedFile::new("figw.json", content)
}

fn variable(name: &str, label: &str, query: &str) -> Value {
    json!({
        "name": name, "label": label, "type": "query", "datasource": data_source(),
        "query": { "query": query, "refId": name }, "definition": query,
        "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
        "current": { "text": ["All"], "value": ["$__all"] },
    })
}

fn data_source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// Headings and panels, three in a row.
fn panels() -> Vec<Value> {
    let mut panels = Vec::new();
    let mut top = 0;
    for Section(title, below) in SECTIONS {
        let id = panels.len() + 1;
        let place = json!({ "x": 0, "y": top, "w": COLUMNS, "h": 1 });
        panels.push(json!({
            "id": id, "type": "row", "title": title, "collapsed": false, "panels": [], "gridPos": place,
        }));
        top += 1;
        for chunk in below.chunks(3) {
            let mut left = 0;
            for described in chunk {
                let place = json!({ "x": left, "y": top, "w": COLUMNS / 3, "h": HEIGHT });
                panels.push(panel(panels.len() + 1, described, &place));
                left += COLUMNS / 3;
            }
            top += HEIGHT;
        }
    }
    panels
}

fn panel(id: usize, Panel(title, unit, queries): &Panel, place: &Value) -> Value {
    let letters = ["A", "B", "C", "D", "E"];
    let targets: Vec<_> = letters
        .iter()
        .zip(*queries)
        .map(|(letter, (expression, legend))| {
            json!({
                "refId": letter, "datasource": data_source(), "expr": expression,
                "legendFormat": legend, "range": true,
            })
        })
        .collect();
    json!({
        "id": id, "type": "timeseries", "title": title, "datasource": data_source(),
        "gridPos": place, "targets": targets,
        "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] },
        "options": {
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
            "tooltip": { "mode": "multi", "sort": "desc" },
        },
    })
}
