//! Examples: rows of a table as a matrix of features and a vector of labels.
//! Never knows where the rows came from nor what is trained on them.

/// Rows to learn from or to be measured on.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// The names of the features, in order.
    pub features: Vec<String>,
    /// The values, row by row: `rows × features.len()`.
    pub values: Vec<f32>,
    /// The class of each row: an index into `classes`.
    pub labels: Vec<u32>,
    /// The label vocabulary, ascending.
    pub classes: Vec<String>,
}

impl Examples {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// How many features each row has.
    #[must_use]
    pub fn width(&self) -> usize {
        self.features.len()
    }
}
