//! Convolutional networks: what an image becomes, layer by layer.
//! Never says how it is computed; only what fits, and how much there is to multiply.

use super::Activation;
use crate::base::canon::{canonical_enum, canonical_struct};

/// Layers of convolutions of one network.
pub const CONVOLUTIONS_MAX: usize = 32;
/// The side of a kernel or of a square that is pooled.
pub const SIDE_MAX: u32 = 15;

/// A network for images: convolutions, then dense layers.
#[derive(Clone, PartialEq, Debug)]
pub struct Cnn {
    /// What its features are: the pixels line by line, channels last.
    pub image: Image,
    /// The convolutions, input side first.
    pub convolutions: Vec<Convolution>,
    /// Width of each hidden dense layer after them.
    pub hidden: Vec<u32>,
    /// What bends between layers.
    pub activation: Activation,
    /// The share of the values of each hidden dense layer, and of what the convolutions give, that
    /// a training step leaves out; 0 leaves none out.
    pub dropout: f64,
}
canonical_struct!(Cnn { image, convolutions, hidden, activation, dropout });

/// The extent of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image {
    /// Lines.
    pub height: u32,
    /// Pixels of a line.
    pub width: u32,
    /// Values of a pixel.
    pub channels: u32,
}
canonical_struct!(Image { height, width, channels });

/// A convolution of an image with stride 1, and what follows it: norm, activation, max-pooling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Convolution {
    /// Channels that it gives.
    pub filters: u32,
    /// The side of its kernel, odd.
    pub kernel: u32,
    /// What is around the image.
    pub padding: Padding,
    /// What is normalised; `None` normalises nothing.
    pub norm: Option<ImageNorm>,
    /// The side of the squares of which the largest value is kept; 1 keeps all.
    pub pool: u32,
}
canonical_struct!(Convolution { filters, kernel, padding, norm, pool });

/// What of images is brought to mean 0 and variance 1, before a factor and a shift per channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageNorm {
    /// So many groups of channels of each image by itself.
    Groups(u32),
    /// Each channel of all images of a batch; who predicts goes by what they were on the way.
    Batch,
}
canonical_enum!(ImageNorm { 1 => Groups(x), 3 => Batch });

impl ImageNorm {
    /// Numbers of each channel: a factor and a shift, and for batches a mean and a variance.
    const fn numbers(self) -> u64 {
        match self {
            Self::Groups(_) => 2,
            Self::Batch => 4,
        }
    }
}

/// What is around an image that is convolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Padding {
    /// As many zeros as it takes to keep its extent.
    Same,
    /// Nothing: it gets smaller by the kernel less one.
    Valid,
}
canonical_enum!(Padding { 1 => Same, 2 => Valid });

impl Padding {
    /// The word of a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Valid => "valid",
        }
    }

    /// The padding that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Same, Self::Valid].into_iter().find(|padding| padding.word() == word)
    }
}

/// Why a network cannot be: which convolution (from 0), and what of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// The place of the convolution.
    pub at: usize,
    /// The key of the manifest that is wrong.
    pub key: &'static str,
    /// The image that it is given.
    pub image: Image,
}

impl Image {
    /// How many values it has.
    #[must_use]
    pub fn len(self) -> u64 {
        [self.width, self.channels]
            .iter()
            .fold(u64::from(self.height), |len, side| len.saturating_mul(u64::from(*side)))
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// What a convolution makes of it before and after pooling; the key that is wrong if it cannot.
    fn convolved(self, by: &Convolution) -> Result<(Self, Self), &'static str> {
        let Convolution { filters, kernel, padding, norm, pool } = *by;
        if filters == 0 {
            return Err("filters");
        }
        if kernel.is_multiple_of(2) || kernel > SIDE_MAX {
            return Err("kernel");
        }
        let side = |side: u32| match padding {
            Padding::Same => side,
            Padding::Valid => side.saturating_sub(kernel - 1),
        };
        let whole = Self { height: side(self.height), width: side(self.width), channels: filters };
        if whole.is_empty() {
            return Err("kernel");
        }
        if let Some(ImageNorm::Groups(groups)) = norm
            && (groups == 0 || !filters.is_multiple_of(groups))
        {
            return Err("groupNorm");
        }
        if !(1..=SIDE_MAX).contains(&pool) || pool > whole.height || pool > whole.width {
            return Err("pool");
        }
        let (height, width) = (whole.height / pool, whole.width / pool);
        Ok((whole, Self { height, width, ..whole }))
    }
}

impl Cnn {
    /// The images between the convolutions: what each is given, what it makes of it, and what is
    /// left after pooling.
    pub fn images(&self) -> Result<Vec<(Image, Image, Image)>, Misfit> {
        let mut image = self.image;
        let each = self.convolutions.iter().enumerate().map(|(at, convolution)| {
            let given = image;
            let (whole, left) =
                given.convolved(convolution).map_err(|key| Misfit { at, key, image })?;
            image = left;
            Ok((given, whole, left))
        });
        each.collect()
    }

    /// Multiply-adds for one image, and parameters, with so many outputs; none if it cannot be.
    #[must_use]
    pub fn work(&self, outputs: u64) -> Option<(u64, u64)> {
        let images = self.images().ok()?;
        let (mut products, mut parameters) = (0u64, 0u64);
        for ((given, whole, _), by) in images.iter().zip(&self.convolutions) {
            let side = u64::from(by.kernel);
            let depth = side.saturating_mul(side).saturating_mul(u64::from(given.channels));
            let filters = u64::from(by.filters);
            let norms = by.norm.map_or(0, ImageNorm::numbers);
            let own = depth.saturating_add(1 + norms).saturating_mul(filters);
            parameters = parameters.saturating_add(own);
            products = products.saturating_add(depth.saturating_mul(whole.len()));
        }
        let flat = images.last().map_or(self.image, |(_, _, left)| *left).len();
        let widths = self.hidden.iter().map(|width| u64::from(*width)).chain([outputs]);
        widths.fold(flat, |inputs, outputs| {
            let own = inputs.saturating_add(1).saturating_mul(outputs);
            (products, parameters) = (products.saturating_add(own), parameters.saturating_add(own));
            outputs
        });
        Some((products, parameters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Image = Image { height: 28, width: 28, channels: 1 };
    const PLAIN: Convolution =
        Convolution { filters: 32, kernel: 3, padding: Padding::Same, norm: None, pool: 2 };

    fn cnn(convolutions: &[Convolution]) -> Cnn {
        Cnn {
            image: IMAGE,
            convolutions: convolutions.to_vec(),
            hidden: vec![128],
            activation: Activation::Relu,
            dropout: 0.0,
        }
    }

    #[test]
    fn an_image_gets_smaller_by_pooling_and_without_padding() {
        let valid = Convolution { filters: 64, padding: Padding::Valid, ..PLAIN };
        let images = cnn(&[PLAIN, valid]).images().unwrap();
        let sides = |(a, b, c): &(Image, Image, Image)| [*a, *b, *c].map(|image| image.width);
        assert_eq!(images.iter().map(sides).collect::<Vec<_>>(), [[28, 28, 14], [14, 12, 6]]);
        assert_eq!(images[1].2, Image { height: 6, width: 6, channels: 64 });
    }

    #[test]
    fn what_does_not_fit_is_named() {
        #[track_caller]
        fn check(wrong: Convolution, key: &str) {
            let misfit = cnn(&[PLAIN, wrong]).images().unwrap_err();
            assert_eq!((misfit.at, misfit.key, misfit.image.width), (1, key, 14));
        }
        check(Convolution { filters: 0, ..PLAIN }, "filters");
        check(Convolution { kernel: 0, ..PLAIN }, "kernel");
        check(Convolution { kernel: 4, ..PLAIN }, "kernel");
        check(Convolution { kernel: 17, ..PLAIN }, "kernel");
        check(Convolution { kernel: 15, padding: Padding::Valid, ..PLAIN }, "kernel");
        check(Convolution { norm: Some(ImageNorm::Groups(0)), ..PLAIN }, "groupNorm");
        check(Convolution { norm: Some(ImageNorm::Groups(5)), ..PLAIN }, "groupNorm");
        check(Convolution { pool: 0, ..PLAIN }, "pool");
        check(Convolution { pool: 15, ..PLAIN }, "pool");
    }

    #[test]
    fn the_work_of_the_usual_network_is_known() {
        let two = [PLAIN, Convolution { filters: 64, ..PLAIN }];
        let (products, parameters) = cnn(&two).work(10).unwrap();
        let dense = 3137 * 128 + 129 * 10;
        assert_eq!(parameters, 10 * 32 + 289 * 64 + dense);
        assert_eq!(products, 9 * 784 * 32 + 288 * 196 * 64 + dense);
    }
}
