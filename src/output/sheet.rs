//! Rows and columns in the forms that `--format` knows.

use comfy_table::presets::{ASCII_MARKDOWN, NOTHING};
use comfy_table::{CellAlignment, Table, TableComponent};

/// A table of text.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Sheet {
    /// An empty table with these headers.
    pub fn new<const N: usize>(headers: [&str; N]) -> Self {
        Self::with_headers(headers.map(str::to_owned).to_vec())
    }

    /// An empty table with these headers.
    pub fn with_headers(headers: Vec<String>) -> Self {
        Self { headers, ..Self::default() }
    }

    /// Sets columns (from 0) to the right, as numbers are.
    pub fn right(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
        self.right.extend(columns);
        self
    }

    /// Appends a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(NOTHING);
        table.set_style(TableComponent::HeaderLines, '─');
        table.set_style(TableComponent::MiddleHeaderIntersections, '─');
        table.add_rows(&self.rows);
        self.draw(table)
    }

    /// For documents.
    pub fn markdown(&self) -> String {
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN);
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")));
        }
        self.draw(table)
    }

    fn draw(&self, mut table: Table) -> String {
        table.set_header(&self.headers);
        for &column in &self.right {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// For spreadsheets.
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in std::iter::once(&self.headers).chain(&self.rows) {
            writer.write_record(row).expect("memory takes every record of one length");
        }
        let bytes = writer.into_inner().expect("memory can be flushed");
        String::from_utf8(bytes).expect("cells are text")
    }
}
