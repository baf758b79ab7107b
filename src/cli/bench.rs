//! placeholder
use super::{
    Context, args,
    exit::{Exit, Stop},
};
pub(super) fn bench(_: &args::Bench, _: &mut Context) -> Result<Exit, Stop> {
    Ok(Exit::Done)
}
