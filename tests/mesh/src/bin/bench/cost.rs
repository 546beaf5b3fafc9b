//! What a request costs, beside Envoy's own filters: one table for each load.

use anyhow::{Context, Result};

use crate::kind::Kind;
use crate::noise::{self, Refused};
use crate::part::Part;
use crate::rows::Row;
use crate::samples::Samples;
use crate::spread::Spread;
use crate::table::{self, Table};

/// The tables of a part with their titles. Ratios to the native stack are left out where the same stack differs too much from itself.
pub fn tables(samples: &Samples, part: Part, refused: &mut Refused) -> Result<Vec<(String, Table)>> {
    let mut tables = Vec::new();
    for kind in Kind::ALL {
        let rows = kind.rows(&[part]);
        if !rows.is_empty() {
            tables.push((format!("Body of {}", kind.title()), one(samples, kind, &rows, refused)?));
        }
    }
    Ok(tables)
}

fn one(samples: &Samples, kind: Kind, rows: &[Row], refused: &mut Refused) -> Result<Table> {
    let noise = samples.noise(kind, Row::Native, Row::NativeAgain)?;
    let quiet = refused.allows(&format!("cost, {}", kind.title()), noise, noise::MOST);
    let mut table = table::head(["configuration", "CPU µs/request", "min..max", "cost µs", "min..max", "cost / native stack", "min..max"]);
    for row in rows {
        let mut line = vec![row.title()];
        line.extend(Spread::of(samples.per_request((kind, *row))).context("no samples")?.micros());
        if *row == Row::Bare {
            line.extend(["0", "", "0", ""].map(str::to_owned));
        } else {
            line.extend(samples.cost((kind, *row))?.micros());
            line.extend(match quiet {
                true => samples.relative((kind, *row), (kind, Row::Native))?.ratio(),
                false => ["-".to_owned(), String::new()],
            });
        }
        table.push(line);
    }
    Ok(table)
}
