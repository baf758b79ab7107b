//! The shape of a convolutional network in the metadata of a model file.
//! Never says whether it can be: `Shape::new` does.

use crate::domain::job::{Activation, Cnn, Convolution, Image, ImageNorm, Padding};
use serde::{Deserialize, Serialize};

/// The norm of a layer over batches.
const BATCH: &str = "batch";

/// What a network for images has besides hidden layers and an activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Images {
    /// Height, width and channels.
    image: [u32; 3],
    convolutions: Vec<Layer>,
    dropout: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Layer {
    filters: u32,
    kernel: u32,
    padding: String,
    group_norm: Option<u32>,
    /// `batch`, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    norm: Option<String>,
    pool: u32,
}

impl Images {
    pub(super) fn of(cnn: &Cnn) -> Self {
        let Image { height, width, channels } = cnn.image;
        let layer = |by: &Convolution| Layer {
            filters: by.filters,
            kernel: by.kernel,
            padding: by.padding.word().to_owned(),
            group_norm: match by.norm {
                Some(ImageNorm::Groups(groups)) => Some(groups),
                Some(ImageNorm::Batch) | None => None,
            },
            norm: (by.norm == Some(ImageNorm::Batch)).then(|| BATCH.to_owned()),
            pool: by.pool,
        };
        Self {
            image: [height, width, channels],
            convolutions: cnn.convolutions.iter().map(layer).collect(),
            dropout: cnn.dropout,
        }
    }

    /// The network; none where a word is unknown.
    pub(super) fn network(self, hidden: Vec<u32>, activation: Activation) -> Option<Cnn> {
        let [height, width, channels] = self.image;
        let convolution = |layer: Layer| {
            let Layer { filters, kernel, padding, group_norm, norm, pool } = layer;
            let padding = Padding::from_word(&padding)?;
            let norm = match (group_norm, norm.as_deref()) {
                (groups, None) => groups.map(ImageNorm::Groups),
                (None, Some(BATCH)) => Some(ImageNorm::Batch),
                _ => return None,
            };
            Some(Convolution { filters, kernel, padding, norm, pool })
        };
        Some(Cnn {
            image: Image { height, width, channels },
            convolutions: self.convolutions.into_iter().map(convolution).collect::<Option<_>>()?,
            hidden,
            activation,
            dropout: self.dropout,
        })
    }
}
