//! Convolutional networks against stock candle, and which of them are refused.
//! Never measures time.

use super::*;
use crate::compute::kernel::Engine;
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::model::{Reads, Shape};
use crate::compute::op::{self, Wanted};
use candle_core::{Device, Var};

const PLAIN: Convolution =
    Convolution { filters: 4, kernel: 3, padding: Padding::Same, norm: None, pool: 2 };

fn network(convolutions: &[Convolution], dropout: f64) -> (job::Model, Network) {
    let model = job::Model::Cnn(job::Cnn {
        image: Image { height: 8, width: 6, channels: 3 },
        convolutions: convolutions.to_vec(),
        hidden: vec![7],
        activation: Activation::Tanh,
        dropout,
    });
    let shape = Shape::new(&model, Reads::numbers(8 * 6 * 3), 2).unwrap();
    let initial = shape.initial(5);
    (model, Network::learning(Engine::default(), &shape, initial).unwrap())
}

fn images(rows: usize) -> Tensor {
    let mut values = vec![0.0; rows * 8 * 6 * 3];
    Philox::new(5, purpose::SYNTHETIC, 0).fill(-1.0, 1.0, &mut values);
    op::input(values, rows, 8 * 6 * 3).unwrap()
}

fn wanted() -> Wanted {
    Wanted::Classes { labels: vec![0, 1, 1], weights: [].into() }
}

const LEARN: Pass = Pass::Learn { seed: 1, step: 2 };

/// The same network as candle's users write it: channels first in the middle.
fn stock(vars: &[Var], x: &Tensor, layers: &[Convolution]) -> Result<Tensor> {
    let mut vars = vars.iter();
    let mut next = || vars.next().unwrap().as_tensor();
    let mut x = x.reshape((3, 8, 6, 3))?.permute((0, 3, 1, 2))?.contiguous()?;
    for layer in layers {
        let weights = next().permute((3, 2, 0, 1))?.contiguous()?;
        let margin = if layer.padding == Padding::Same { layer.kernel as usize / 2 } else { 0 };
        x = x.conv2d(&weights, margin, 1, 1, 1)?;
        x = x.broadcast_add(&next().reshape((1, (), 1, 1))?)?;
        if let Some(ImageNorm::Groups(groups)) = layer.norm {
            let (n, c, h, w) = x.dims4()?;
            let flat = x.reshape((n, groups as usize, ()))?;
            let flat = flat.broadcast_sub(&flat.mean_keepdim(2)?)?;
            let variance = (flat.sqr()?.mean_keepdim(2)? + 1e-5)?;
            x = flat.broadcast_div(&variance.sqrt()?)?.reshape((n, c, h, w))?;
            x = x.broadcast_mul(&next().reshape((1, (), 1, 1))?)?;
            x = x.broadcast_add(&next().reshape((1, (), 1, 1))?)?;
        }
        x = x.tanh()?;
        // Not `max_pool2d`: its gradient is that of the mean (candle 0.11), a quarter of this one.
        let (n, c, h, w) = x.dims4()?;
        let side = layer.pool as usize;
        x = x.reshape(vec![n, c, h / side, side, w / side, side])?.max(5)?.max(3)?;
    }
    x = x.permute((0, 2, 3, 1))?.contiguous()?.reshape((3, ()))?;
    x = x.matmul(next())?.broadcast_add(next())?.tanh()?;
    x.matmul(next())?.broadcast_add(next())
}

#[test]
fn outputs_and_gradients_agree_with_stock_candle() {
    let valid = Convolution { filters: 6, padding: Padding::Valid, pool: 1, ..PLAIN };
    let normed = Convolution { filters: 6, kernel: 5, norm: Some(ImageNorm::Groups(3)), ..PLAIN };
    for layers in [vec![PLAIN], vec![PLAIN, valid], vec![normed, valid]] {
        let (_, network) = network(&layers, 0.0);
        let x = images(3);
        let y = network.forward(&x, LEARN).unwrap();
        network.learn(&network.loss(&y, wanted()).unwrap()).unwrap();
        let parameters = network.parameters();
        let copy = |p: &Parameter| Var::from_tensor(&p.tensor.copy().unwrap()).unwrap();
        let vars: Vec<Var> = parameters.iter().map(copy).collect();
        let theirs = stock(&vars, &x, &layers).unwrap();
        let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let near = |ours: &[f32], theirs: &[f32], name: &str| {
            assert_eq!(ours.len(), theirs.len(), "{name}");
            for (a, b) in ours.iter().zip(theirs) {
                assert!((a - b).abs() < 2e-5, "{name}: {a} {b}");
            }
        };
        near(&numbers(&y), &numbers(&theirs), "outputs");
        let labels = Tensor::from_vec(vec![0u32, 1, 1], 3, &Device::Cpu).unwrap();
        let loss = candle_nn::loss::cross_entropy(&theirs, &labels).unwrap();
        let gradients = loss.backward().unwrap();
        for (ours, stock) in parameters.iter().zip(&vars) {
            let stock = numbers(gradients.get(stock).unwrap());
            near(&ours.gradient.lock().values, &stock, &ours.name);
        }
    }
}

#[test]
fn a_prediction_leaves_nothing_out_and_a_step_its_own_values() {
    let (_, dropping) = network(&[PLAIN], 0.5);
    let of = |pass| {
        let y = dropping.forward(&images(3), pass).unwrap();
        y.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let (_, whole) = network(&[PLAIN], 0.0);
    let without = whole.forward(&images(3), LEARN).unwrap().flatten_all().unwrap();
    assert_eq!(of(Pass::Predict), without.to_vec1::<f32>().unwrap());
    assert_eq!(of(LEARN), of(LEARN));
    assert_ne!(of(LEARN), of(Pass::Predict));
    assert_ne!(of(LEARN), of(Pass::Learn { seed: 1, step: 3 }));
    assert_ne!(of(LEARN), of(Pass::Learn { seed: 2, step: 2 }));
}

#[test]
fn rows_have_no_influence_on_each_other() {
    let normed = Convolution { norm: Some(ImageNorm::Groups(2)), ..PLAIN };
    let (_, network) = network(&[PLAIN, normed], 0.25);
    let values = images(300).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let alone = values.chunks(8 * 6 * 3).flat_map(|row| network.outputs(row).unwrap());
    assert_eq!(network.outputs(&values).unwrap(), alone.collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_is_refused() {
    let fits = |change: &dyn Fn(&mut job::Cnn), features| {
        let (model, _) = network(&[PLAIN], 0.0);
        let job::Model::Cnn(mut cnn) = model else { panic!("a network for images") };
        change(&mut cnn);
        Shape::new(&job::Model::Cnn(cnn), Reads::numbers(features), 2)
            .map(drop)
            .map_err(|fault| fault.message)
    };
    #[track_caller]
    fn refused(result: std::result::Result<(), String>, words: &str) {
        let message = result.unwrap_err();
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(fits(&|_| (), 144), Ok(()));
    refused(fits(&|_| (), 143), "8 × 6 × 3 = 144 values, but there are 143 features");
    refused(fits(&|cnn| cnn.convolutions[0].kernel = 4, 144), "`kernel` of convolution 0");
    refused(fits(&|cnn| cnn.convolutions[0].pool = 7, 144), "`pool` of convolution 0");
    refused(fits(&|cnn| cnn.convolutions[0].norm = Some(ImageNorm::Groups(3)), 144), "`groupNorm`");
    refused(fits(&|cnn| cnn.convolutions = vec![PLAIN; 33], 144), "33 convolutions");
    refused(fits(&|cnn| cnn.convolutions[0].filters = u32::MAX, 144), "16777216 values");
    refused(fits(&|cnn| cnn.activation = Activation::Gelu, 144), "GELU");
    refused(fits(&|cnn| cnn.dropout = 1.0, 144), "dropout");
    refused(fits(&|cnn| cnn.dropout = f64::NAN, 144), "dropout");
    let huge = |cnn: &mut job::Cnn| cnn.image.height = u32::MAX;
    refused(fits(&huge, 144), "144 features");
}
